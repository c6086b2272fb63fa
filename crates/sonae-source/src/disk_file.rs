//! What an open image file and an open block device have in common, whether they are read or restored to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{FileType, SeekFrom};
use rustix::io::Errno;
use sonae_types::{ByteCount, ByteOffset, DiskError, Extent, ExtentKind, Unfit};

use crate::image_format;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Device,
}

/// An open image file or block device of which the first `size` bytes are the disk.
#[derive(Debug)]
pub(crate) struct DiskFile {
    pub(crate) file: File,
    pub(crate) kind: Kind,
    pub(crate) label: String,
    pub(crate) size: ByteCount,
}

/// What is meant to be done with a file, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Read,
    Write,
}

impl DiskFile {
    pub(crate) fn extent_at(&self, at: ByteOffset) -> Result<Extent, DiskError> {
        self.check_inside(at, ByteCount::new(1))?;
        let end = ByteOffset::end_of(self.size);
        let until = |kind, found: u64| Extent { kind, end: ByteOffset::new(found).min(end) };
        // The position that these calls move is never used: everything is read and written at a stated position.
        match rustix::fs::seek(&self.file, SeekFrom::Data(at.get())) {
            Ok(data) if at.get() < data => Ok(until(ExtentKind::Hole, data)),
            Ok(_) => match rustix::fs::seek(&self.file, SeekFrom::Hole(at.get())) {
                Ok(hole) if at.get() < hole => Ok(until(ExtentKind::Data, hole)),
                // The file changed between the calls. To read more than necessary is never wrong.
                Ok(_) | Err(Errno::NXIO) => Ok(Extent { kind: ExtentKind::Data, end }),
                Err(cause) => Err(self.failed("find the holes of", at, cause)),
            },
            // No data from here on, or the file has become shorter.
            Err(Errno::NXIO) => self.check_not_shorter().map(|()| Extent { kind: ExtentKind::Hole, end }),
            // Block devices and some file systems know no holes.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(Extent { kind: ExtentKind::Data, end }),
            Err(cause) => Err(self.failed("find the holes of", at, cause)),
        }
    }

    pub(crate) fn read_at(&self, at: ByteOffset, into: &mut [u8]) -> Result<(), DiskError> {
        self.check_inside(at, ByteCount::of_len(into.len()))?;
        let mut done = 0;
        while done < into.len() {
            let now = at + ByteCount::of_len(done);
            match self.file.read_at(&mut into[done..], now.get()) {
                Ok(0) => return Err(self.short(now)),
                Ok(read) => done += read,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(self.failed("read", now, cause)),
            }
        }
        Ok(())
    }

    /// Refuses an image in a format of its own.
    pub(crate) fn refuse_image_format(&self, purpose: Purpose) -> Result<(), DiskError> {
        let mut head = [0; image_format::HEAD];
        let head = &mut head[..self.size.min(ByteCount::of_len(image_format::HEAD)).as_len()];
        self.read_at(ByteOffset::ZERO, head)?;
        match image_format::name_of(head) {
            None => Ok(()),
            Some(format) => Err(self.unusable(match purpose {
                Purpose::Read => Unfit::SourceFormat { format },
                Purpose::Write => Unfit::TargetFormat { format },
            })),
        }
    }

    /// Refuses a range that reaches beyond the disk.
    pub(crate) fn check_inside(&self, at: ByteOffset, len: ByteCount) -> Result<(), DiskError> {
        match at.get().checked_add(len.get()) {
            Some(end) if end <= self.size.get() => Ok(()),
            Some(_) | None => Err(self.short(ByteOffset::end_of(self.size))),
        }
    }

    fn check_not_shorter(&self) -> Result<(), DiskError> {
        let now =
            self.file.metadata().map_err(|cause| self.failed("look up", ByteOffset::ZERO, cause))?.len();
        if now < self.size.get() { Err(self.short(ByteOffset::new(now))) } else { Ok(()) }
    }

    fn short(&self, at: ByteOffset) -> DiskError {
        DiskError::Short { label: self.label.clone(), at, size: self.size }
    }

    pub(crate) fn failed(
        &self,
        doing: &'static str,
        at: ByteOffset,
        cause: impl Into<io::Error>,
    ) -> DiskError {
        DiskError::Io { doing, label: self.label.clone(), at, cause: cause.into() }
    }

    pub(crate) fn unusable(&self, why: Unfit) -> DiskError {
        DiskError::Unusable { label: self.label.clone(), why }
    }
}

pub(crate) fn label_of(path: &Path) -> String {
    path.display().to_string()
}

pub(crate) fn unusable(path: &Path, why: Unfit) -> DiskError {
    DiskError::Unusable { label: label_of(path), why }
}

/// Says why a file could not be opened, and what to do where that is known.
pub(crate) fn cannot_open(path: &Path, purpose: Purpose, cause: Errno) -> DiskError {
    let why = match (cause, purpose) {
        (Errno::NOENT | Errno::NOTDIR, _) => Unfit::Missing,
        (Errno::ACCESS | Errno::PERM, Purpose::Read) => Unfit::NotReadable,
        (Errno::ACCESS | Errno::PERM, Purpose::Write) => Unfit::NotWritable,
        (Errno::ROFS, _) => Unfit::ReadOnly,
        (Errno::BUSY, _) => {
            Unfit::InUse { by: "is in use; unmount it, or detach it from whatever holds it, first" }
        }
        _ => {
            return DiskError::Io {
                doing: "open",
                label: label_of(path),
                at: ByteOffset::ZERO,
                cause: cause.into(),
            };
        }
    };
    unusable(path, why)
}

/// Whether the path leads to a file or to a block device; anything else is refused before it is opened, since opening
/// some devices acts on them and opening a FIFO waits.
pub(crate) fn kind_of(path: &Path, purpose: Purpose) -> Result<Kind, DiskError> {
    let stat = rustix::fs::stat(path).map_err(|cause| cannot_open(path, purpose, cause))?;
    let found = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return Ok(Kind::File),
        FileType::BlockDevice => return Ok(Kind::Device),
        FileType::Directory => "a folder",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::Symlink | FileType::Unknown => "neither a file nor a block device",
    };
    Err(unusable(path, Unfit::Kind { found }))
}

/// The size of an open file or block device. Errors: those of the system.
pub(crate) fn size_of(file: &File, kind: Kind) -> io::Result<ByteCount> {
    Ok(ByteCount::new(match kind {
        Kind::File => file.metadata()?.len(),
        Kind::Device => rustix::fs::seek(file, SeekFrom::End(0))?,
    }))
}
