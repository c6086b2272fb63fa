//! The guest's kernel and its disk drivers, taken out of Debian's package without installing it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::host;

/// Drivers in the order in which they must be loaded; the ring comes before everything that speaks through it.
const MODULES: [&str; 6] = [
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/block/virtio_blk.ko",
];

/// Where the header of a packed kernel says how many sectors of setup code it has, and where its payload lies.
const SETUP_SECTORS_AT: usize = 0x1f1;
const PAYLOAD_AT: usize = 0x248;
const SECTOR_BYTES: usize = 512;

/// A kernel taken out of its package.
#[derive(Debug)]
pub struct Kernel {
    /// As boot loaders want it.
    pub packed: PathBuf,
    /// As QEMU starts it fastest.
    pub direct: PathBuf,
    /// Its drivers: name and content, in loading order.
    pub modules: Vec<(String, Vec<u8>)>,
    /// Its release, as `uname -r` says it.
    pub release: String,
}

/// Unpacks the package into the scratch folder, and puts the kernel into `out`.
pub fn unpack(package: &Path, scratch: &Path, out: &Path, log: &Path) -> Result<Kernel> {
    let tree = scratch.join("kernel");
    host::run(host::program("dpkg-deb")?.arg("-x").arg(package).arg(&tree), log)?;
    let boot = tree.join("boot");
    let release = fs::read_dir(&boot)?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_prefix("vmlinuz-")?.to_owned()))
        .next()
        .with_context(|| format!("{} holds no kernel", package.display()))?;
    let packed = out.join("vmlinuz");
    fs::copy(boot.join(format!("vmlinuz-{release}")), &packed)?;
    let drivers = tree.join("lib/modules").join(&release).join("kernel");
    let modules = MODULES.iter().map(|module| driver(&drivers, module)).collect::<Result<_>>()?;
    let direct = unpacked(&packed, scratch, out, log)?.unwrap_or_else(|| packed.clone());
    Ok(Kernel { packed, direct, modules, release })
}

fn driver(drivers: &Path, module: &str) -> Result<(String, Vec<u8>)> {
    let file = drivers.join(module);
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let content = fs::read(&file).with_context(|| format!("the guest's kernel has no driver {module}"))?;
    Ok((name, content))
}

/// The kernel as a plain program, which spares the guest the slow unpacking; none where it is packed another way.
fn unpacked(packed: &Path, scratch: &Path, out: &Path, log: &Path) -> Result<Option<PathBuf>> {
    let Ok(mut lz4) = host::program("lz4") else { return Ok(None) };
    let image = fs::read(packed)?;
    let Some(payload) = payload(&image) else { bail!("{} is no Linux kernel", packed.display()) };
    let from = scratch.join("payload.lz4");
    fs::write(&from, payload)?;
    let direct = out.join("vmlinux");
    // The payload ends with padding that lz4 complains about after having written everything, so the result is judged
    // by what it is.
    host::exit_code(lz4.args(["-d", "-q", "-f"]).arg(&from).arg(&direct), log)?;
    let whole = fs::read(&direct).is_ok_and(|elf| elf.starts_with(b"\x7fELF"));
    Ok(whole.then_some(direct))
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| {
        let bytes: [u8; 4] = image.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let setup_sectors = match *image.get(SETUP_SECTORS_AT)? {
        0 => 4,
        n => usize::from(n),
    };
    let start = ((setup_sectors + 1) * SECTOR_BYTES).checked_add(number(PAYLOAD_AT)?)?;
    // The last four bytes are the unpacked size, which is no part of the payload.
    let end = start.checked_add(number(PAYLOAD_AT + 4)?)?.checked_sub(4)?;
    image.get(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(payload_len: u32) -> Vec<u8> {
        let mut image = vec![0; 3 * SECTOR_BYTES];
        image[SETUP_SECTORS_AT] = 1;
        image[PAYLOAD_AT..PAYLOAD_AT + 4].copy_from_slice(&16_u32.to_le_bytes());
        image[PAYLOAD_AT + 4..PAYLOAD_AT + 8].copy_from_slice(&payload_len.to_le_bytes());
        image[2 * SECTOR_BYTES + 16..][..3].copy_from_slice(b"LZ4");
        image
    }

    #[test]
    fn the_payload_lies_behind_the_setup_code_without_its_size() {
        assert_eq!(payload(&kernel(7)), Some(&b"LZ4"[..]));
    }

    #[test]
    fn a_payload_that_leaves_its_file_is_none() {
        assert_eq!(payload(&kernel(u32::MAX)), None);
        assert_eq!(payload(&kernel(3)), None);
        assert_eq!(payload(b"short"), None);
    }
}
