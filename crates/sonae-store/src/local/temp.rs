//! Files on their way to their names.

use std::fs::File;
use std::io::{self, Write as _};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Advice, AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use sonae_types::ByteCount;

use super::{FILE_MODE, OPEN_FOLDER, TMP, make_folder};

/// How much is written before the disk is set to work on it. Measured on ext4 with packs of 24 MiB against one flush
/// at the end (medians): 1 thread 950 MiB/s instead of 530, 4 threads 1,360 instead of 1,100.
const PIECE: usize = 2 * 1024 * 1024;

/// A file on its way to its name; removed again if it does not get there.
pub(super) struct Temp {
    folder: OwnedFd,
    name: Option<String>,
}

impl Temp {
    /// Writes the bytes to a new file in `tmp/` and waits until the disk has them.
    pub(super) fn write(root: &OwnedFd, bytes: &[u8]) -> io::Result<Self> {
        let folder = match rustix::fs::openat(root, TMP, OPEN_FOLDER, Mode::empty()) {
            Err(Errno::NOENT) => {
                make_folder(root, TMP)?;
                rustix::fs::openat(root, TMP, OPEN_FOLDER, Mode::empty())?
            }
            other => other?,
        };
        let (mut file, name) = create_unique(&folder)?;
        let temp = Self { folder, name: Some(name) };
        let mut at = 0;
        for piece in bytes.chunks(PIECE) {
            file.write_all(piece)?;
            let len = ByteCount::of_len(piece.len()).get();
            if PIECE < bytes.len() {
                // Sets the disk to work on this piece while the next one is copied. It is only a wish, so a file
                // system that does not know it loses nothing.
                rustix::fs::fadvise(&file, at, NonZeroU64::new(len), Advice::DontNeed).ok();
            }
            at += len;
        }
        file.sync_data()?;
        Ok(temp)
    }

    pub(super) fn place(mut self, folder: &OwnedFd, leaf: &str) -> io::Result<()> {
        if let Some(name) = &self.name {
            rustix::fs::renameat(&self.folder, name, folder, leaf)?;
        }
        self.name = None;
        Ok(())
    }

    /// Gives the file its name unless there is one with it. Errors: [`io::ErrorKind::AlreadyExists`].
    pub(super) fn place_new(mut self, folder: &OwnedFd, leaf: &str) -> io::Result<()> {
        let Some(name) = &self.name else { return Ok(()) };
        match rustix::fs::renameat_with(&self.folder, name, folder, leaf, RenameFlags::NOREPLACE) {
            // NFS, for one, cannot do this, but can do the following.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => self.link_new(folder, leaf),
            Err(cause) => Err(cause.into()),
            Ok(()) => {
                self.name = None;
                Ok(())
            }
        }
    }

    /// As [`Self::place_new`], by a second name; the first one goes when `self` does.
    pub(super) fn link_new(self, folder: &OwnedFd, leaf: &str) -> io::Result<()> {
        let name = self.name.as_deref().unwrap_or_default();
        Ok(rustix::fs::linkat(&self.folder, name, folder, leaf, AtFlags::empty())?)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // What cannot be removed now is swept up later.
            rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()).ok();
        }
    }
}

/// A new file in a folder, under a name that no other has.
pub(super) fn create_unique(folder: &OwnedFd) -> io::Result<(File, String)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    loop {
        let name = format!("sonae-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        match rustix::fs::openat(folder, &name, flags, FILE_MODE) {
            Ok(file) => return Ok((File::from(file), name)),
            // Another machine with the same process number, or a left-over of a process that had it before.
            Err(Errno::EXIST | Errno::INTR) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
}
