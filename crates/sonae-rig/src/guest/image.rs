//! The guest's two disks as raw images: one that boots by itself (boot sector, FAT with the boot loader, ext4 with the
//! system), one with an empty ext4 for the register.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use sonae_types::{ByteCount, ByteOffset};

use crate::host;

const INIT: &str = include_str!("../../assets/guest/init.sh");
const SQL: [(&str, &str); 3] = [
    ("create.sql", include_str!("../../assets/guest/create.sql")),
    ("write.sql", include_str!("../../assets/guest/write.sql")),
    ("register.sql", crate::register::QUESTION),
];
const SYSLINUX_CONFIG: &str = include_str!("../../assets/syslinux.cfg");
const BOOT_SECTOR_CODE: &str = "/usr/lib/syslinux/mbr/mbr.bin";

/// Layout of the system disk: an unused first MiB, the boot loader's FAT, the system's ext4.
const FAT_AT: ByteOffset = ByteOffset::new(ByteCount::mib(1).get());
const FAT_SIZE: ByteCount = ByteCount::mib(32);
/// Where the system's ext4 starts on the system disk.
pub const ROOT_AT: ByteOffset = ByteOffset::new(ByteCount::mib(33).get());
const ROOT_SIZE: ByteCount = ByteCount::mib(63);
const DATA_SIZE: ByteCount = ByteCount::mib(128);

const SECTOR_BYTES: u64 = 512;
/// Where the boot sector's code ends and its table of partitions starts.
const BOOT_CODE_BYTES: usize = 440;
const PARTITION_TABLE_AT: usize = 446;

/// Ids and times that would otherwise differ from build to build.
const ROOT_UUID: &str = "50a0e000-0000-4000-8000-000000000001";
const DATA_UUID: &str = "50a0e000-0000-4000-8000-000000000002";
const HASH_SEED: &str = "50a0e000-0000-4000-8000-000000000003";
const VOLUME_ID: &str = "50a0e000";
const DISK_ID: [u8; 4] = *b"SONA";
/// 2026-04-01 00:00:00 UTC.
const BUILD_TIME: &str = "1774972800";

/// Builds the system disk.
pub fn system(name: &str, kernel: &Path, initrd: &Path, to: &Path, scratch: &Path, log: &Path) -> Result<()> {
    sparse(to, ByteCount::new(ROOT_AT.get()) + ROOT_SIZE)?;
    boot_sector(to)?;
    boot_partition(kernel, initrd, to, scratch, log)?;
    let tree = scratch.join("root");
    root_tree(name, &tree, log)?;
    let mut mke2fs = ext4("sonae-root", ROOT_UUID)?;
    mke2fs
        .arg("-d")
        .arg(&tree)
        .arg("-E")
        .arg(format!("offset={},hash_seed={HASH_SEED}", ROOT_AT.get()))
        .arg(to);
    host::run(mke2fs.arg(format!("{}k", ROOT_SIZE.get() / 1024)), log)
}

/// Builds the data disk.
pub fn data(to: &Path, log: &Path) -> Result<()> {
    sparse(to, DATA_SIZE)?;
    host::run(ext4("sonae-data", DATA_UUID)?.arg("-E").arg(format!("hash_seed={HASH_SEED}")).arg(to), log)
}

fn ext4(label: &str, uuid: &str) -> Result<std::process::Command> {
    let mut mke2fs = host::program("mke2fs")?;
    mke2fs.env("E2FSPROGS_FAKE_TIME", BUILD_TIME).args(["-q", "-F", "-t", "ext4", "-L", label, "-U", uuid]);
    Ok(mke2fs)
}

fn sparse(file: &Path, size: ByteCount) -> Result<()> {
    File::create(file)
        .and_then(|f| f.set_len(size.get()))
        .with_context(|| format!("cannot make {}", file.display()))
}

fn boot_sector(disk: &Path) -> Result<()> {
    let code = fs::read(host::require(Path::new(BOOT_SECTOR_CODE))?)?;
    let sector = master_boot_record(&code)?;
    let mut file = OpenOptions::new().write(true).open(disk)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&sector)?;
    Ok(())
}

/// The first sector: loader code, and two partitions of which the first is the one to boot.
fn master_boot_record(code: &[u8]) -> Result<[u8; 512]> {
    ensure!(code.len() <= BOOT_CODE_BYTES, "the boot sector's code is too long");
    let mut sector = [0; 512];
    sector[..code.len()].copy_from_slice(code);
    sector[BOOT_CODE_BYTES..BOOT_CODE_BYTES + 4].copy_from_slice(&DISK_ID);
    let partitions = [(0x80, 0x0e, FAT_AT, FAT_SIZE), (0x00, 0x83, ROOT_AT, ROOT_SIZE)];
    for ((active, kind, at, size), entry) in
        partitions.into_iter().zip(sector[PARTITION_TABLE_AT..].chunks_mut(16))
    {
        // Cylinders, heads and sectors are given as "see the sector numbers", as every tool does for large disks.
        entry[..8].copy_from_slice(&[active, 0xfe, 0xff, 0xff, kind, 0xfe, 0xff, 0xff]);
        entry[8..12].copy_from_slice(&u32::try_from(at.get() / SECTOR_BYTES)?.to_le_bytes());
        entry[12..16].copy_from_slice(&u32::try_from(size.get() / SECTOR_BYTES)?.to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    Ok(sector)
}

fn boot_partition(kernel: &Path, initrd: &Path, disk: &Path, scratch: &Path, log: &Path) -> Result<()> {
    let first_sector = (FAT_AT.get() / SECTOR_BYTES).to_string();
    let mut mkfs = host::program("mkfs.vfat")?;
    mkfs.args(["--invariant", "-F", "16", "-n", "SONAEBOOT", "-i", VOLUME_ID, "-h", &first_sector]);
    mkfs.args(["--offset", &first_sector]).arg(disk);
    host::run(mkfs.arg((FAT_SIZE.get() / 1024).to_string()), log)?;
    let config = scratch.join("syslinux.cfg");
    fs::write(&config, SYSLINUX_CONFIG)?;
    let inside = format!("{}@@{}", disk.display(), FAT_AT.get());
    let mut mcopy = host::program("mcopy")?;
    // The check refuses sizes that no floppy disk ever had.
    mcopy.env("MTOOLS_SKIP_CHECK", "1").arg("-i").arg(inside).args([&config, kernel, initrd]);
    host::run(mcopy.arg("::"), log)?;
    let mut syslinux = host::program("syslinux")?;
    host::run(syslinux.args(["--offset", &FAT_AT.get().to_string(), "--install"]).arg(disk), log)
}

/// The files of the system: busybox under all its names, sqlite with its libraries, our init.
fn root_tree(name: &str, tree: &Path, log: &Path) -> Result<()> {
    for folder in ["bin", "sbin", "dev", "proc", "sys", "tmp", "etc/sonae", "usr/bin", "data", "var/log"] {
        fs::create_dir_all(tree.join(folder))?;
    }
    let busybox = host::find("busybox")?;
    fs::copy(&busybox, tree.join("bin/busybox"))?;
    let names = host::output(host::command(&busybox).arg("--list"), log)?;
    for applet in String::from_utf8_lossy(&names).lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", tree.join("bin").join(applet))?;
    }
    let sqlite = host::find("sqlite3")?;
    fs::copy(&sqlite, tree.join("usr/bin/sqlite3"))?;
    for library in libraries(&sqlite, log)? {
        let inside = tree.join(library.strip_prefix("/").unwrap_or(&library));
        fs::create_dir_all(inside.parent().context("a library lies in a folder")?)?;
        fs::copy(&library, inside).with_context(|| format!("cannot copy {}", library.display()))?;
    }
    for (file, text) in SQL {
        fs::write(tree.join("etc/sonae").join(file), text)?;
    }
    fs::write(tree.join("etc/hostname"), format!("{name}\n"))?;
    let init = tree.join("sbin/init");
    fs::write(&init, INIT)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    same_times(tree, log)
}

/// The shared libraries a program needs, with the loader itself.
fn libraries(program: &Path, log: &Path) -> Result<Vec<PathBuf>> {
    let said = host::output(host::program("ldd")?.arg(program), log)?;
    let mut found: Vec<PathBuf> = String::from_utf8_lossy(&said)
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect();
    found.sort();
    found.dedup();
    Ok(found)
}

fn same_times(tree: &Path, log: &Path) -> Result<()> {
    let touch = host::find("touch")?;
    host::run(
        host::program("find")?.arg(tree).arg("-exec").arg(touch).args([
            "-h",
            "-d",
            &format!("@{BUILD_TIME}"),
            "{}",
            "+",
        ]),
        log,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_sector_has_one_partition_to_boot_and_one_behind_it() {
        let sector = master_boot_record(&[0x33; 440]).expect("the code fits");
        assert_eq!(sector[510..], [0x55, 0xaa]);
        assert_eq!((sector[446], sector[450]), (0x80, 0x0e));
        assert_eq!((sector[462], sector[466]), (0x00, 0x83));
        let number =
            |at: usize| u64::from(u32::from_le_bytes(sector[at..at + 4].try_into().expect("four bytes")));
        assert_eq!(
            number(454) + number(458),
            number(470),
            "the second partition starts where the first ends"
        );
        assert_eq!(
            (number(470) + number(474)) * SECTOR_BYTES,
            (ByteCount::new(ROOT_AT.get()) + ROOT_SIZE).get()
        );
    }
}
