//! The tiny real guest, built from Debian's own parts: a kernel, busybox and sqlite on a disk that boots by itself, and
//! a second disk for the resident register. No loop device, no mount, no root needed.
//!
//! As equal from build to build as the tools allow: fixed ids and times, everything in a fixed order.

pub mod disk;
pub mod image;
pub mod initramfs;
pub mod kernel;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sonae_types::ByteCount;

use crate::host::{self, Missing};

/// Where `tools/install-deps` puts what is not installed into the system.
#[derive(Clone, Debug)]
pub struct Tools(PathBuf);

/// The files of a built guest.
#[derive(Clone, Debug)]
pub struct GuestImages {
    /// The kernel QEMU can start by itself; where it could be unpacked, that saves the guest doing so.
    pub kernel: PathBuf,
    /// The first file system, with the disk drivers.
    pub initrd: PathBuf,
    /// First disk: boots by itself, holds the system.
    pub system: PathBuf,
    /// Second disk: holds the register, empty until the guest writes it.
    pub data: PathBuf,
    /// The kernel's release, as `uname -r` says it.
    pub release: String,
}

impl Tools {
    /// The folder of the tools.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Debian's package of the guest's kernel.
    pub fn kernel_package(&self) -> Result<PathBuf, Missing> {
        let link = self.0.join("guest-kernel.deb");
        host::require(&link)?;
        Ok(link)
    }
}

/// Builds the guest into a folder; what the tools say goes to the log.
pub fn build(tools: &Tools, hostname: &str, out: &Path, log: &Path) -> Result<GuestImages> {
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let scratch = tempfile::Builder::new()
        .prefix("scratch-")
        .tempdir_in(out)
        .context("cannot make a scratch folder")?;
    let kernel = kernel::unpack(&tools.kernel_package()?, scratch.path(), out, log)?;
    let initrd = out.join("initrd.img");
    fs::write(&initrd, initramfs::build(&kernel.modules)?)?;
    let system = out.join("system.raw");
    image::system(hostname, &kernel.packed, &initrd, &system, scratch.path(), log)
        .with_context(|| format!("cannot build {}", system.display()))?;
    let data = out.join("data.raw");
    image::data(&data, log).with_context(|| format!("cannot build {}", data.display()))?;
    Ok(GuestImages { kernel: kernel.direct, initrd, system, data, release: kernel.release })
}

/// Size of a file, holes included.
pub fn size(file: &Path) -> Result<ByteCount> {
    Ok(ByteCount::new(
        fs::metadata(file).with_context(|| format!("cannot look at {}", file.display()))?.len(),
    ))
}
