//! Reading and writing one disk, whatever stands behind it.
//!
//! `sonae-source` implements these traits, `sonae-repo` uses them, and neither knows the other.

use std::io;

use crate::{ByteCount, ByteOffset};

/// What a stretch of a disk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentKind {
    /// Bytes that must be read; they may still all be zero.
    Data,
    /// Known to read as zeros, so it need not be read.
    Hole,
}

/// A stretch of one kind, from the position asked for up to `end` (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// What the stretch holds.
    pub kind: ExtentKind,
    /// The first position behind the stretch; always behind the position asked for, at most the disk's size.
    pub end: ByteOffset,
}

/// A failed operation on a disk: what was tried, on what, where.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The operating system refused or the device failed.
    #[error("cannot {doing} {label} at offset {at}")]
    Io {
        /// The operation as a verb: `read`, `write`, `open`.
        doing: &'static str,
        /// The disk as a person knows it: a path or a URL.
        label: String,
        /// Where on the disk.
        at: ByteOffset,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// The disk ended before its stated size.
    #[error("{label} ends at offset {at}, before its stated size of {size}")]
    Short {
        /// The disk as a person knows it.
        label: String,
        /// Where it ended.
        at: ByteOffset,
        /// Its stated size.
        size: ByteCount,
    },
    /// The disk was written to while it was read, so what was read is no single point in time.
    #[error("{label} changed while it was read")]
    Changed {
        /// The disk as a person knows it.
        label: String,
    },
    /// The disk cannot be used as asked.
    #[error("{label}: {why}")]
    Unusable {
        /// The disk as a person knows it.
        label: String,
        /// Why; its text says what to do, too.
        why: Unfit,
    },
}

/// Why something cannot be a source or a target. The texts are for the log; who speaks to people matches the variants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Nothing is there.
    #[error("does not exist; check the path")]
    Missing,
    /// Its folder is not there.
    #[error("the folder above it does not exist; create it or choose another path")]
    NoFolder,
    /// The path ends in no name of a file.
    #[error("names no file; name the file to create")]
    NoName,
    /// Something is there that must not be touched.
    #[error("exists; use --existing update to write only what differs, or choose another path")]
    Exists,
    /// What lies under the name for unfinished restores is no file.
    #[error("is in the way and is no file of an interrupted restore; remove it or choose another path")]
    InTheWay,
    /// It may not be read.
    #[error("no permission to read it; work as a user who may")]
    NotReadable,
    /// It may not be written to.
    #[error("no permission to write to it; work as a user who may")]
    NotWritable,
    /// The file system or the device is read-only.
    #[error("is read-only; make it writable or choose another path")]
    ReadOnly,
    /// It is neither a file nor a block device.
    #[error("is {found}; name a raw image file or a block device")]
    Kind {
        /// What it is, with its article.
        found: &'static str,
    },
    /// It is the source, and an image in a format of its own.
    #[error(
        "is a {format} image, not a raw one; convert it with `qemu-img convert -O raw`, or write raw: before the path to \
         take its bytes as they are"
    )]
    SourceFormat {
        /// The format.
        format: &'static str,
    },
    /// It is the target, and an image in a format of its own.
    #[error(
        "is a {format} image, not a raw one; to restore over it, remove it (or clear its first sector) first"
    )]
    TargetFormat {
        /// The format.
        format: &'static str,
    },
    /// Somebody else holds it; the text says who where that is known.
    #[error("{by}")]
    InUse {
        /// Who, and what to do.
        by: &'static str,
    },
    /// A file of another size.
    #[error(
        "has {found}, the disk to restore has {needed}; restore to another path, or set its size first with `truncate` \
         if its content may be lost"
    )]
    Size {
        /// What it has.
        found: ByteCount,
        /// What the disk has.
        needed: ByteCount,
    },
    /// A device that is too small.
    #[error("has {found}, too few for the disk to restore, which has {needed}; choose a larger device")]
    TooSmall {
        /// What it has.
        found: ByteCount,
        /// What the disk has.
        needed: ByteCount,
    },
    /// Something took the name of the target while it was restored.
    #[error(
        "something else was put there during the restore; the restored disk is whole and lies beside it as {partial}"
    )]
    NameTaken {
        /// The name under which the restored disk lies.
        partial: String,
    },
    /// It was finished before, and nothing may be written any more.
    #[error("is finished already")]
    Finished,
}

impl Unfit {
    /// Whether naming the variant and its fields says everything; of the others the text knows more.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        match self {
            Self::Missing
            | Self::NoFolder
            | Self::Exists
            | Self::SourceFormat { .. }
            | Self::TargetFormat { .. }
            | Self::Size { .. }
            | Self::TooSmall { .. }
            | Self::NameTaken { .. } => true,
            Self::NoName
            | Self::InTheWay
            | Self::NotReadable
            | Self::NotWritable
            | Self::ReadOnly
            | Self::Kind { .. }
            | Self::InUse { .. }
            | Self::Finished => false,
        }
    }
}

/// A disk that can be read at any position, by several threads at once.
pub trait DiskRead: Send + Sync {
    /// The disk as a person knows it (a path or a URL), for messages.
    fn label(&self) -> &str;

    /// Size of the disk; constant while the value lives.
    fn size(&self) -> ByteCount;

    /// The extent that contains `at`. Errors: [`DiskError::Io`]. `at` must lie inside the disk.
    fn extent_at(&self, at: ByteOffset) -> Result<Extent, DiskError>;

    /// Fills `into` from `at` completely. Errors: [`DiskError::Io`], or [`DiskError::Short`] when the disk ends early.
    fn read_at(&self, at: ByteOffset, into: &mut [u8]) -> Result<(), DiskError>;

    /// Says whether everything read since opening belongs to one unchanged disk.
    ///
    /// Called once, after the last read. Errors: [`DiskError::Changed`] where a change can be noticed.
    fn confirm_unchanged(&self) -> Result<(), DiskError>;
}

/// What a restore target holds before the first write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// Just made: reads as zeros everywhere.
    Fresh,
    /// Holds older content, which may equal what is to be written.
    Existing,
}

/// A disk that can be written at any position, by several threads at once.
pub trait DiskTarget: DiskRead {
    /// What the target held when it was opened.
    fn state(&self) -> TargetState;

    /// Writes all of `bytes` at `at`.
    fn write_at(&self, at: ByteOffset, bytes: &[u8]) -> Result<(), DiskError>;

    /// Makes `len` bytes from `at` read as zeros, as a hole where the target can hold one.
    fn zero_at(&self, at: ByteOffset, len: ByteCount) -> Result<(), DiskError>;

    /// Makes everything durable and gives the target its final name; before this nobody can take it for whole.
    fn finish(&self) -> Result<(), DiskError>;
}
