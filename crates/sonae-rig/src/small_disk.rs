//! File systems with little room, where this machine lets us mount one: what a full disk does is seen on a full disk.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::FallocateFlags;
use sonae_types::ByteCount;

use crate::host::{self, Missing};

/// A file system in memory with room for so much and no more; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: tempfile::TempDir,
    fillers: AtomicU64,
}

/// What takes the room on a disk; gone when dropped.
#[derive(Debug)]
pub struct Filler {
    file: PathBuf,
}

impl SmallDisk {
    /// Mounts one. Errors: [`Missing`] where this user may not.
    pub fn mount(size: ByteCount) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = format!("size={}", size.get());
        let mut mount = host::program("mount")?;
        mount.args(["-t", "tmpfs", "-o", &options, "sonae-small-disk"]).arg(folder.path());
        let ended = mount.output().context("cannot start mount")?;
        if !ended.status.success() {
            let why = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
            return Err(
                Missing { what: format!("a file system to fill: {why}"), remedy: "needs root" }.into()
            );
        }
        Ok(Self { folder, fillers: AtomicU64::new(0) })
    }

    /// A path on it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Lets it take only so many files and folders more.
    pub fn leave_names(&self, number: u64) -> Result<()> {
        let disk = rustix::fs::statvfs(self.folder.path())?;
        self.remount(&format!("nr_inodes={}", disk.f_files - disk.f_ffree + number))
    }

    /// Makes it take no writes any more. Errors: somebody has a file on it open for writing.
    pub fn take_no_writes(&self) -> Result<()> {
        self.remount("ro")
    }

    fn remount(&self, options: &str) -> Result<()> {
        let mut mount = host::program("mount")?;
        mount.args(["-o", &format!("remount,{options}")]).arg(self.folder.path());
        let ended = mount.output().context("cannot start mount")?;
        let why = String::from_utf8_lossy(&ended.stderr);
        ensure!(
            ended.status.success(),
            "{} cannot be remounted: {}",
            self.folder.path().display(),
            why.trim()
        );
        Ok(())
    }

    /// The room that is left.
    pub fn free(&self) -> Result<ByteCount> {
        let disk = rustix::fs::statvfs(self.folder.path())?;
        Ok(ByteCount::new(disk.f_bavail * disk.f_frsize))
    }

    /// Fills it until only so much room is left. Errors: there is less.
    pub fn leave(&self, room: ByteCount) -> Result<Filler> {
        let number = self.fillers.fetch_add(1, Ordering::Relaxed);
        let filler = Filler { file: self.path(&format!("filler-{number}")) };
        let file = File::create_new(&filler.file)?;
        let free = self.free()?;
        let more = free.get().checked_sub(room.get()).with_context(|| format!("only {free} are left"))?;
        if more != 0 {
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, more)?;
        }
        ensure!(self.free()? == room, "{} are left instead of {room}", self.free()?);
        Ok(filler)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Ok(mut umount) = host::program("umount") {
            // What stays mounted takes the memory of what is on it, and goes with the machine.
            umount.args([Path::new("--lazy"), self.folder.path()]).output().ok();
        }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        std::fs::remove_file(&self.file).ok();
    }
}
