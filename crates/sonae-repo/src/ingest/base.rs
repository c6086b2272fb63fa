//! What an increment builds on: the chunks a disk had in a parent, and where it may differ from them.

use sonae_types::{ByteCount, ByteOffset, Digest, DiskError, DiskRead, ExtentKind};

use super::Chunk;
use crate::blob::BlobKind;
use crate::chunk::{
    Changed, OldChunk, OldContent, PAGE_BYTES, ZERO_CHUNK_BYTES_MAX, ZERO_IDS, ZERO_RUN_BYTES_MIN,
};
use crate::trusted::TrustedIndex;

/// Unchanged data is read again in stripes of this length.
const STRIPE_BYTES: u64 = 1 << 20;

/// How much of a disk is read.
#[derive(Clone, Copy, Debug)]
pub enum Reading<'a> {
    /// All of it.
    Whole,
    /// What may have changed, and a part of the rest for proof.
    Changed(&'a Base),
}

/// The chunks of a disk in a parent, and where it may differ from them.
#[derive(Clone, Debug)]
pub struct Base {
    pub(super) chunks: Vec<Chunk>,
    pub(super) changed: Changed,
    pub(super) audit: Audit,
}

/// The parent's chunks are no basis: they have to be known one by one, and add up to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoBase {
    /// A chunk is in no index file, so its length is not known.
    #[error("chunk {0} of the parent is in no index file")]
    Unknown(Digest),
    /// A chunk is longer than any that this program writes.
    #[error("chunk {0} of the parent is longer than any chunk of this rule")]
    TooLong(Digest),
    /// The chunks do not add up to the disk.
    #[error("the chunks of the parent have {found}, the disk has {size}")]
    Size {
        /// What they add up to.
        found: ByteCount,
        /// The disk's size.
        size: ByteCount,
    },
}

/// Which part of what is said to be unchanged is read again all the same (requirement 003-24: a map that lies must be
/// found out).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    percent: u64,
    turn: u64,
}

impl Audit {
    /// So many of a hundred stripes of 1 MiB, 100 at most. Each turn takes others, until every stripe had its turn: those
    /// of 1 % after 100 turns.
    #[must_use]
    pub fn of(percent: u8, turn: u64) -> Self {
        Self { percent: u64::from(percent.min(100)), turn }
    }

    /// Whether what begins here is read again.
    pub(super) fn is_due(self, at: u64) -> bool {
        let turn = (at / STRIPE_BYTES % 100 + self.turn % 100) % 100;
        turn * self.percent % 100 < self.percent
    }
}

impl Base {
    /// The chunks of a parent whose list this is, for a disk of this size. What the repository does not have any more
    /// counts as changed and is read again. Errors: [`NoBase`].
    pub fn new(
        ids: &[Digest],
        size: ByteCount,
        trusted: &TrustedIndex,
        changed: Changed,
        audit: Audit,
    ) -> Result<Self, NoBase> {
        let mut chunks = Vec::with_capacity(ids.len());
        let mut missing = Vec::new();
        let mut at = 0;
        for id in ids {
            let there = trusted.index.plain_len(BlobKind::Data, *id);
            let len = there.or_else(|| trusted.lost_len(*id)).ok_or(NoBase::Unknown(*id))?;
            if ZERO_CHUNK_BYTES_MAX < u64::from(len) {
                return Err(NoBase::TooLong(*id));
            }
            if there.is_none() {
                missing.push((at, u64::from(len)));
            }
            at += u64::from(len);
            chunks.push(Chunk { id: *id, len });
        }
        if at != size.get() {
            return Err(NoBase::Size { found: ByteCount::new(at), size });
        }
        let missing = Changed::new(at, missing).expect("chunks that add up to the disk lie on it");
        Ok(Self { chunks, changed: changed.and(missing), audit })
    }

    /// How many bytes may have changed.
    #[must_use]
    pub fn changed_bytes(&self) -> ByteCount {
        ByteCount::new(self.changed.bytes())
    }

    /// The chunk with this number, as the cutting sees it.
    pub(super) fn old(&self, number: usize) -> OldChunk {
        let chunk = self.chunks[number];
        let content = if chunk.is_zeros() { OldContent::Zeros } else { OldContent::Data };
        OldChunk { len: u64::from(chunk.len), content }
    }

    /// Where the disk has a hole now and had data before: trimmed, whatever the map says of it.
    ///
    /// Only runs long enough to be cut out can tell: a shorter hole may have been zeros inside a data chunk before.
    pub(super) fn trimmed(&self, disk: &dyn DiskRead) -> Result<Changed, DiskError> {
        const PAGE: u64 = PAGE_BYTES as u64;
        let size = disk.size().get();
        let mut found = Vec::new();
        let (mut chunks, mut chunk_at) = (self.chunks.iter().peekable(), 0);
        let mut at = 0;
        while at < size {
            let extent = disk.extent_at(ByteOffset::new(at))?;
            let end = extent.end.get().min(size);
            let start = at.next_multiple_of(PAGE);
            let whole = if end == size { size } else { end / PAGE * PAGE };
            if extent.kind == ExtentKind::Hole && start + ZERO_RUN_BYTES_MIN <= whole {
                while let Some(chunk) = chunks.next_if(|chunk| chunk_at + u64::from(chunk.len) <= start) {
                    chunk_at += u64::from(chunk.len);
                }
                let mut from = chunk_at;
                for chunk in chunks.clone() {
                    if whole <= from {
                        break;
                    }
                    let to = from + u64::from(chunk.len);
                    if !chunk.is_zeros() {
                        found.push((from.max(start), to.min(whole) - from.max(start)));
                    }
                    from = to;
                }
            }
            at = end;
        }
        Ok(Changed::new(size, found).expect("between the ends of a hole of the disk"))
    }
}

impl Chunk {
    /// Whether it is a zero chunk.
    #[must_use]
    pub fn is_zeros(&self) -> bool {
        let len = u64::from(self.len);
        len <= ZERO_CHUNK_BYTES_MAX && ZERO_IDS.id(len) == self.id
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_stripe_is_read_again_within_a_hundred_turns_over_its_share(percent in 1..=100u8, stripe in 0..5_000u64, first in any::<u32>()) {
            let turns = 100_u64.div_ceil(u64::from(percent));
            let due = (0..turns.max(1) + 100).filter(|turn| Audit::of(percent, u64::from(first) + turn).is_due(stripe * STRIPE_BYTES));
            prop_assert!(due.count() >= 1);
            let share = (0..100).filter(|turn| Audit::of(percent, *turn).is_due(stripe * STRIPE_BYTES)).count();
            prop_assert!(share >= usize::from(percent), "{} of 100 turns", share);
        }
    }

    #[test]
    fn no_audit_reads_nothing_and_a_whole_one_everything() {
        for stripe in 0..300 {
            assert!(!Audit::of(0, stripe).is_due(stripe * STRIPE_BYTES));
            assert!(Audit::of(100, 3).is_due(stripe * STRIPE_BYTES));
        }
    }
}
