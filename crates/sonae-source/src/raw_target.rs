//! Restoring to a raw image file or a block device.
//!
//! A new file has its final name only when it is whole. An existing one is never cut, grown or shared.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{Advice, AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};
use sonae_types::{ByteCount, ByteOffset, DiskError, DiskRead, DiskTarget, Extent, TargetState, Unfit};

use crate::disk_file::{self, DiskFile, Kind, Purpose, cannot_open, label_of, unusable};

mod hold;
#[cfg(test)]
mod tests;
mod zero;

/// A raw image file or a block device that a disk is restored to.
///
/// Nobody else can restore to it, and no QEMU that locks its images can open it, while this value lives.
#[derive(Debug)]
pub struct RawTarget {
    disk: DiskFile,
    state: TargetState,
    place: Place,
    stage: Mutex<Stage>,
    /// Bytes written so far.
    written: AtomicU64,
}

/// After so many bytes the disk is set to work on what was written.
const WRITE_BACK_EVERY: u64 = 32 << 20;

#[derive(Debug)]
enum Place {
    /// A file under a name that says that it is not whole, until it is.
    Partial {
        folder: OwnedFd,
        partial: OsString,
        name: OsString,
    },
    InPlace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Untouched,
    Touched,
    /// The content is durable and has its final name, but the name may not be durable yet.
    Named,
    Finished,
}

/// Behind the final name while a file is restored.
pub const PARTIAL: &str = ".sonae-partial";
const READ_WRITE: OFlags = OFlags::RDWR.union(OFlags::CLOEXEC);

impl RawTarget {
    /// A new file of `size` bytes, which gets its name `path` in [`DiskTarget::finish`].
    ///
    /// Until then it is `path` with `.sonae-partial` behind it. Dropped before, it stays under that name once it was
    /// written to, and the next call for the same path goes on with it as [`TargetState::Existing`]. Errors:
    /// [`DiskError::Unusable`] where there is something at `path`, no folder for it, or another restore at work;
    /// [`DiskError::Io`].
    pub fn create(path: &Path, size: ByteCount) -> Result<Self, DiskError> {
        let Some(name) = path.file_name() else {
            return Err(unusable(path, Unfit::NoName));
        };
        let folder = open_folder_of(path)?;
        refuse_existing_in(&folder, name, path)?;
        let mut partial = name.to_owned();
        partial.push(PARTIAL);
        let (file, state) = open_partial(path, &folder, &partial)?;
        let disk = DiskFile { file, kind: Kind::File, label: label_of(path), size };
        hold::take(&disk)?;
        let place = Place::Partial { folder, partial, name: name.to_owned() };
        let stage = Mutex::new(Stage::Untouched);
        let target = Self { disk, state, place, stage, written: AtomicU64::new(0) };
        // Another restore may have ended before this one had its lock: with this very file, or with one before it.
        target.refuse_existing(path)?;
        if !target.is_partial() {
            let by = "another restore to it has just ended; look at its result first";
            return Err(target.disk.unusable(Unfit::InUse { by }));
        }
        let resized = target.disk.file.set_len(size.get());
        resized.map_err(|cause| target.disk.failed("set the size of", ByteOffset::end_of(size), cause))?;
        Ok(target)
    }

    /// The existing file or block device at `path`, to be brought to the content of a disk of `size` bytes.
    ///
    /// A file must have that size; of a larger device only the first `size` bytes are written. Errors:
    /// [`DiskError::Unusable`] where there is none, the size does not fit, it is mounted, a guest or another restore
    /// holds it, or it is an image in a format of its own; [`DiskError::Io`].
    pub fn update(path: &Path, size: ByteCount) -> Result<Self, DiskError> {
        let kind = disk_file::kind_of(path, Purpose::Write)?;
        let flags = match kind {
            Kind::File => READ_WRITE,
            // The kernel then refuses devices that are mounted or part of another device.
            Kind::Device => READ_WRITE | OFlags::EXCL,
        };
        let file = rustix::fs::open(path, flags, Mode::empty())
            .map(File::from)
            .map_err(|cause| cannot_open(path, Purpose::Write, cause))?;
        let disk = DiskFile { file, kind, label: label_of(path), size };
        hold::take(&disk)?;
        let found = disk_file::size_of(&disk.file, kind);
        let found = found.map_err(|cause| disk.failed("look up the size of", ByteOffset::ZERO, cause))?;
        let fits = match kind {
            Kind::File => found == size,
            Kind::Device => size <= found,
        };
        if !fits {
            return Err(disk.unusable(match kind {
                Kind::File => Unfit::Size { found, needed: size },
                Kind::Device => Unfit::TooSmall { found, needed: size },
            }));
        }
        disk.refuse_image_format(Purpose::Write)?;
        let stage = Mutex::new(Stage::Untouched);
        let written = AtomicU64::new(0);
        Ok(Self { disk, state: TargetState::Existing, place: Place::InPlace, stage, written })
    }

    fn refuse_existing(&self, path: &Path) -> Result<(), DiskError> {
        match &self.place {
            Place::Partial { folder, name, .. } => refuse_existing_in(folder, name, path),
            Place::InPlace => Ok(()),
        }
    }

    /// Whether the open file is still the one under the partial name.
    fn is_partial(&self) -> bool {
        let Place::Partial { folder, partial, .. } = &self.place else { return false };
        let Ok(open) = self.disk.file.metadata() else { return false };
        rustix::fs::statat(folder, partial, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|named| (named.st_dev, named.st_ino) == (open.dev(), open.ino()))
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        // A stage is one value, so a panic elsewhere leaves no half of one behind.
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that the range may be written, and remembers that it was.
    fn touch(&self, at: ByteOffset, len: ByteCount) -> Result<(), DiskError> {
        self.disk.check_inside(at, len)?;
        let mut stage = self.stage();
        match *stage {
            Stage::Untouched | Stage::Touched => *stage = Stage::Touched,
            Stage::Named | Stage::Finished => return Err(self.disk.unusable(Unfit::Finished)),
        }
        Ok(())
    }

    fn write_all(&self, at: ByteOffset, bytes: &[u8]) -> Result<(), DiskError> {
        let written = self.disk.file.write_all_at(bytes, at.get());
        written.map_err(|cause| self.disk.failed("write", at, cause))?;
        let len = ByteCount::of_len(bytes.len()).get();
        let before = self.written.fetch_add(len, Ordering::Relaxed);
        if before / WRITE_BACK_EVERY != (before + len) / WRITE_BACK_EVERY {
            // Sets the disk to work while the next bytes are opened, or all of it would wait for the end. It is only a
            // wish, so a file system that does not know it loses nothing.
            rustix::fs::fadvise(&self.disk.file, 0, None, Advice::DontNeed).ok();
        }
        Ok(())
    }

    /// Gives a new file its final name, unless there is something with that name.
    fn name_it(&self) -> Result<(), DiskError> {
        let Place::Partial { folder, partial, name } = &self.place else { return Ok(()) };
        let renamed = match rustix::fs::renameat_with(folder, partial, folder, name, RenameFlags::NOREPLACE) {
            // NFS, for one, cannot do this, but can do the following.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                rustix::fs::linkat(folder, partial, folder, name, AtFlags::empty())
                    .and_then(|()| rustix::fs::unlinkat(folder, partial, AtFlags::empty()))
            }
            other => other,
        };
        renamed.map_err(|cause| match cause {
            Errno::EXIST => self.disk.unusable(Unfit::NameTaken { partial: partial.display().to_string() }),
            cause => self.disk.failed("name", ByteOffset::ZERO, cause),
        })
    }

    fn sync_folder(&self) -> Result<(), DiskError> {
        let Place::Partial { folder, .. } = &self.place else { return Ok(()) };
        match retry_on_intr(|| rustix::fs::fsync(folder)) {
            // File systems without the notion (CIFS, some in user space) say so; they offer nothing better.
            Ok(()) | Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(()),
            Err(cause) => Err(self.disk.failed("name", ByteOffset::ZERO, cause)),
        }
    }
}

impl DiskRead for RawTarget {
    fn label(&self) -> &str {
        &self.disk.label
    }

    fn size(&self) -> ByteCount {
        self.disk.size
    }

    fn extent_at(&self, at: ByteOffset) -> Result<Extent, DiskError> {
        self.disk.extent_at(at)
    }

    fn read_at(&self, at: ByteOffset, into: &mut [u8]) -> Result<(), DiskError> {
        self.disk.read_at(at, into)
    }

    /// Nobody but the caller changes a target, so there is nothing to notice.
    fn confirm_unchanged(&self) -> Result<(), DiskError> {
        Ok(())
    }
}

impl DiskTarget for RawTarget {
    fn state(&self) -> TargetState {
        self.state
    }

    fn write_at(&self, at: ByteOffset, bytes: &[u8]) -> Result<(), DiskError> {
        self.touch(at, ByteCount::of_len(bytes.len()))?;
        self.write_all(at, bytes)
    }

    fn zero_at(&self, at: ByteOffset, len: ByteCount) -> Result<(), DiskError> {
        self.touch(at, len)?;
        zero::zero(self, at, len)
    }

    fn finish(&self) -> Result<(), DiskError> {
        let mut stage = self.stage();
        if matches!(*stage, Stage::Untouched | Stage::Touched) {
            let synced = self.disk.file.sync_data();
            synced.map_err(|cause| self.disk.failed("make durable", ByteOffset::ZERO, cause))?;
            self.name_it()?;
            *stage = Stage::Named;
        }
        if *stage == Stage::Named {
            self.sync_folder()?;
            *stage = Stage::Finished;
        }
        Ok(())
    }
}

impl Drop for RawTarget {
    fn drop(&mut self) {
        let Place::Partial { folder, partial, .. } = &self.place else { return };
        let worthless = self.state == TargetState::Fresh && *self.stage() == Stage::Untouched;
        if worthless && self.is_partial() {
            // It is empty; where it cannot be removed, the next restore goes on with it.
            rustix::fs::unlinkat(folder, partial, AtFlags::empty()).ok();
        }
    }
}

fn open_folder_of(path: &Path) -> Result<OwnedFd, DiskError> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(above, flags, Mode::empty()).map_err(|cause| match cause {
        Errno::NOENT | Errno::NOTDIR => unusable(path, Unfit::NoFolder),
        cause => cannot_open(above, Purpose::Write, cause),
    })
}

fn refuse_existing_in(folder: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), DiskError> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Err(cause) => Err(cannot_open(path, Purpose::Write, cause)),
        Ok(_) => Err(unusable(path, Unfit::Exists)),
    }
}

/// A new partial file, or the one that an interrupted restore left.
fn open_partial(path: &Path, folder: &OwnedFd, partial: &OsStr) -> Result<(File, TargetState), DiskError> {
    let new = READ_WRITE | OFlags::CREATE | OFlags::EXCL;
    match rustix::fs::openat(folder, partial, new, Mode::RUSR | Mode::WUSR) {
        Ok(file) => return Ok((File::from(file), TargetState::Fresh)),
        Err(Errno::EXIST) => {}
        Err(cause) => return Err(cannot_open(path, Purpose::Write, cause)),
    }
    let left_over = path.with_file_name(partial);
    let no_file = || unusable(&left_over, Unfit::InTheWay);
    let stat = rustix::fs::statat(folder, partial, AtFlags::SYMLINK_NOFOLLOW);
    let stat = stat.map_err(|cause| cannot_open(&left_over, Purpose::Write, cause))?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(no_file());
    }
    match rustix::fs::openat(folder, partial, READ_WRITE | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(file) => Ok((File::from(file), TargetState::Existing)),
        Err(Errno::LOOP) => Err(no_file()),
        Err(cause) => Err(cannot_open(&left_over, Purpose::Write, cause)),
    }
}
