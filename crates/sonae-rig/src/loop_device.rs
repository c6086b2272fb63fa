//! Block devices made of files, where this machine lets us: real devices for tests, that can be broken on purpose.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::host::{self, Missing};

/// A loop device over a file; detached when dropped.
#[derive(Debug)]
pub struct LoopDevice {
    device: PathBuf,
}

impl LoopDevice {
    /// Attaches a device that reads past the page cache, so that what the file lacks is an I/O error and not a zero.
    /// Errors: [`Missing`] where this machine or this user has no loop devices.
    pub fn attach(file: &Path) -> Result<Self> {
        let ended = host::program("losetup")?.args(["--find", "--show", "--direct-io=on"]).arg(file).output();
        let ended = ended.context("cannot start losetup")?;
        if !ended.status.success() {
            let why = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
            return Err(Missing { what: format!("a loop device: {why}"), remedy: "needs root" }.into());
        }
        Ok(Self { device: PathBuf::from(String::from_utf8(ended.stdout)?.trim()) })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.device
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        if let Ok(mut losetup) = host::program("losetup") {
            // A device that stays attached disturbs nobody but takes a number.
            losetup.arg("--detach").arg(&self.device).output().ok();
        }
    }
}
