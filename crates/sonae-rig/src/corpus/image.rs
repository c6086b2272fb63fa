//! Disk images: a partition table, an ext4 file system, files in it. Nothing is mounted and no loop device is used.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::gpt::{self, Partition};
use super::sparse;
use super::tree::Tree;
use crate::host;

/// Where an ordinary installer puts the first partition.
pub(crate) const FIRST_PARTITION_BYTES: u64 = 1 << 20;
/// A shift that keeps only 4 KiB pages in step with the other machines.
pub(crate) const SHIFT_BYTES: u64 = (1 << 20) + 16_384;
const PAGE_BYTES: u64 = 4096;
const FAKE_TIME: &str = "1575417600";

/// The partition of a disk that starts at `start_bytes` and leaves the last MiB for the table.
pub(crate) fn partition(disk_bytes: u64, start_bytes: u64) -> Partition {
    let len_bytes = (disk_bytes - FIRST_PARTITION_BYTES - start_bytes) / PAGE_BYTES * PAGE_BYTES;
    Partition { disk_bytes, start_bytes, len_bytes }
}

/// Makes an image with one empty file system; `guid` names the disk and the file system.
pub(crate) fn format(image: &Path, partition: Partition, guid: u128, log: &Path) -> Result<()> {
    let say = || format!("cannot write {}", image.display());
    let file = sparse::create(image, partition.disk_bytes).with_context(say)?;
    let uuid = uuid(guid);
    let options = format!(
        "hash_seed={uuid},offset={},nodiscard,lazy_itable_init=1,lazy_journal_init=1",
        partition.start_bytes
    );
    let mut mke2fs = settled(host::program("mke2fs")?);
    mke2fs.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "1", "-U", &uuid, "-E", &options]);
    host::run(mke2fs.arg(image).arg((partition.len_bytes / PAGE_BYTES).to_string()), log)?;
    let table = gpt::table(partition, guid);
    let tail_at = partition.disk_bytes - u64::try_from(table.tail.len())?;
    file.write_all_at(&table.head, 0).and_then(|()| file.write_all_at(&table.tail, tail_at)).with_context(say)
}

/// Lays a tree into the file system of an image; `script` is a file for the commands.
pub(crate) fn fill(image: &Path, start_bytes: u64, tree: &Tree, script: &Path) -> Result<()> {
    std::fs::write(script, tree.script()).with_context(|| format!("cannot write {}", script.display()))?;
    let said = script.with_extension("says");
    let mut debugfs = settled(host::program("debugfs")?);
    debugfs.arg("-w").arg("-f").arg(script).arg(format!("{}?offset={start_bytes}", image.display()));
    host::output(&mut debugfs, &said)?;
    // debugfs goes on after a failed command and ends with 0; only its words tell. Its first line is its version.
    let complaints =
        std::fs::read_to_string(&said).with_context(|| format!("cannot read {}", said.display()))?;
    if let Some(complaint) = complaints.lines().find(|line| !line.starts_with("debugfs ")) {
        bail!("cannot fill {}: {complaint} (all in {})", image.display(), said.display());
    }
    for file in [script, &said] {
        std::fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}

/// The same time and words on every machine.
fn settled(mut command: Command) -> Command {
    command
        .env("E2FSPROGS_FAKE_TIME", FAKE_TIME)
        .env("MKE2FS_SKIP_PROGRESS", "1")
        .env("LC_ALL", "C")
        .env("TZ", "UTC");
    command
}

fn uuid(guid: u128) -> String {
    let hex = format!("{guid:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_ends_a_mib_before_the_disk_and_holds_whole_pages() {
        let shifted = partition(64 << 20, FIRST_PARTITION_BYTES + SHIFT_BYTES);
        assert_eq!(shifted.start_bytes % 65_536, 16_384);
        assert_eq!(shifted.len_bytes % PAGE_BYTES, 0);
        assert_eq!(shifted.start_bytes + shifted.len_bytes, 63 << 20);
    }

    #[test]
    fn a_uuid_has_its_dashes() {
        assert_eq!(uuid(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff), "00112233-4455-6677-8899-aabbccddeeff");
    }
}
