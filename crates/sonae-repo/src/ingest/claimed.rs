//! The blobs that a run has taken upon itself to store: each once, however many disks have it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sonae_types::Digest;

use crate::blob::BlobKind;

/// Sharded so that workers seldom wait for each other; a tree and a chunk of the same bytes are two blobs and never
/// share a shard.
#[derive(Debug)]
pub(super) struct Claimed(Vec<Mutex<HashMap<Digest, Claim>>>);

/// A blob of this run.
#[derive(Clone, Copy, Debug)]
enum Claim {
    /// Stored with this length, and no disk has been charged with it yet.
    Stored(u32),
    /// Being stored, or charged to a disk already.
    Taken,
}

impl Claimed {
    pub(super) fn new() -> Self {
        Self((0..64).map(|_| Mutex::default()).collect())
    }

    /// Whether the caller is the first to ask for this blob and has to store it.
    pub(super) fn claim(&self, kind: BlobKind, id: Digest) -> bool {
        let mut shard = self.shard(kind, id).lock().unwrap_or_else(PoisonError::into_inner);
        let before = shard.len();
        shard.entry(id).or_insert(Claim::Taken);
        before < shard.len()
    }

    /// Notes the length that a claimed chunk took.
    pub(super) fn note_stored(&self, id: Digest, len: u32) {
        let mut shard = self.shard(BlobKind::Data, id).lock().unwrap_or_else(PoisonError::into_inner);
        shard.insert(id, Claim::Stored(len));
    }

    /// What storing this chunk took, for the first disk that asks; so the charge does not depend on which worker was
    /// faster.
    pub(super) fn charge(&self, id: Digest) -> Option<u32> {
        let mut shard = self.shard(BlobKind::Data, id).lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(shard.get_mut(&id)?, Claim::Taken) {
            Claim::Stored(len) => Some(len),
            Claim::Taken => None,
        }
    }

    fn shard(&self, kind: BlobKind, id: Digest) -> &Mutex<HashMap<Digest, Claim>> {
        let kind = match kind {
            BlobKind::Data => 0,
            BlobKind::Tree => 1,
        };
        &self.0[(usize::from(id.as_bytes()[0]) * 2 + kind) % self.0.len()]
    }
}
