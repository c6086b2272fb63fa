//! Page-aligned content-defined chunking: where a disk is cut (docs/format.md, "Chunking"; docs/adr/0002).
//!
//! File systems place data on page borders, so cuts are looked for only there. Nothing here reads, hashes for identity
//! or stores.

mod cut;
mod ranges;
mod recut;
#[cfg(test)]
mod recut_tests;
#[cfg(test)]
mod tests;
mod zero;

use serde::{Deserialize, Serialize};
use sonae_types::ByteCount;
use xxhash_rust::xxh3::xxh3_64;

pub use cut::{Cutter, Piece};
pub use ranges::{Changed, OffDisk, Stretch};
pub use recut::{OldChunk, OldContent, Recut, Step};
pub use zero::{ZERO_IDS, ZeroIds, is_zero};

/// Bytes of a page, the grain of every cut.
pub const PAGE_BYTES: usize = 4096;
/// Shortest run of zero pages that is cut out of the data around it.
pub const ZERO_RUN_BYTES_MIN: u64 = 64 << 10;
/// Longest zero chunk. rustic keeps at most 32 MB of chunks in memory, so larger ones would be slow to read there.
pub const ZERO_CHUNK_BYTES_MAX: u64 = 4 << 20;
/// The zero chunk by which plain restic recognises a sparse file.
pub const RESTIC_ZERO_BYTES: u64 = 512 << 10;

/// The target length of data chunks: a power of two from 64 KiB to 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct ChunkTarget(u32);

/// A number is no usable chunk target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunk target is a power of two from 65536 to 1048576, not {0}")]
pub struct BadTarget(pub u32);

impl ChunkTarget {
    /// The target of this many bytes. Errors: [`BadTarget`].
    pub const fn new(bytes: u32) -> Result<Self, BadTarget> {
        if bytes.is_power_of_two() && 64 << 10 <= bytes && bytes <= 1 << 20 {
            Ok(Self(bytes))
        } else {
            Err(BadTarget(bytes))
        }
    }

    /// The target for a disk of this size: larger disks get larger chunks, so that the list of chunk ids, which every
    /// point writes anew, stays small beside a day's changes.
    #[must_use]
    pub const fn for_disk(size: ByteCount) -> Self {
        const GIB: u64 = 1 << 30;
        Self(match size.get() {
            0..=0x80_0000_0000 => 128 << 10,
            bytes if bytes <= 2048 * GIB => 256 << 10,
            bytes if bytes <= 8192 * GIB => 512 << 10,
            _ => 1 << 20,
        })
    }

    /// The target in bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.0
    }

    /// No data chunk is shorter, but before a zero run and at the end of the disk.
    #[must_use]
    pub const fn min_bytes(self) -> u64 {
        self.0 as u64 / 4
    }

    /// No data chunk is longer.
    #[must_use]
    pub const fn max_bytes(self) -> u64 {
        self.0 as u64 * 4
    }

    /// The page hash must be zero under this mask for a cut behind the page.
    #[must_use]
    pub const fn mask(self) -> u64 {
        self.0 as u64 / PAGE_BYTES as u64 - 1
    }
}

impl TryFrom<u32> for ChunkTarget {
    type Error = BadTarget;
    fn try_from(bytes: u32) -> Result<Self, BadTarget> {
        Self::new(bytes)
    }
}

impl From<ChunkTarget> for u32 {
    fn from(target: ChunkTarget) -> u32 {
        target.0
    }
}

/// The seed of the page hash: the same in every copy of a repository that keeps its chunking, unknown to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSeed(u64);

impl ChunkSeed {
    /// The seed that belongs to a configuration with this `chunker_polynomial`.
    #[must_use]
    pub fn of_polynomial(hex: &str) -> Self {
        Self(xxh3_64(hex.as_bytes()))
    }
}
