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
    /// The disk cannot be used as asked; the text says why and what to do.
    #[error("{label}: {why}")]
    Unusable {
        /// The disk as a person knows it.
        label: String,
        /// Why, and the remedy.
        why: String,
    },
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
