//! From sealed packs to index files: a pack's blobs are listed only after the pack is safe in the store.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::Sender;
use sonae_types::ByteCount;

use super::IngestError;
use crate::blob::BlobBatch;
use crate::environment::Progress;
use crate::index::{INDEX_BLOBS_MAX, IndexedPack, encode_index};
use crate::keep::{Confirm, keep};
use crate::pack::{PackBuilder, SealedPack};
use crate::repository::Repository;
use crate::store::{FileKind, FileName};

/// An index file is written at least this often, so that a long first run that dies need not store everything again.
const INTERVAL: Duration = Duration::from_mins(10);

/// The first of so many packs is read back whole from the store; of the others, name and length are asked for.
const SAMPLED: usize = 16;

/// The stored packs that no index file lists yet.
#[derive(Debug, Default)]
pub(crate) struct IndexDraft {
    draft: Mutex<Draft>,
    /// Packs handed to the store so far.
    packs: AtomicUsize,
}

#[derive(Debug, Default)]
struct Draft {
    packs: Vec<IndexedPack>,
    blobs: usize,
    /// Monotonic time of the first pack in it.
    since: Duration,
}

impl IndexDraft {
    /// Seals a pack and stores it at once.
    pub(super) fn store_pack(
        &self,
        repository: &Repository,
        progress: &Progress,
        pack: &mut PackBuilder,
        batch: &mut BlobBatch,
    ) -> Result<(), IngestError> {
        let sealed = pack
            .seal(&repository.key, &*repository.environment.entropy, batch)
            .map_err(IngestError::Memory)?;
        let buffer = self.put(repository, progress, sealed)?;
        pack.reuse(buffer);
        Ok(())
    }

    /// Stores a sealed pack and hands its buffer on for the next one.
    pub(crate) fn upload(
        &self,
        repository: &Repository,
        progress: &Progress,
        pack: SealedPack,
        used: &Sender<Vec<u8>>,
    ) -> Result<(), IngestError> {
        let buffer = self.put(repository, progress, pack)?;
        // A full queue means that there are buffers enough.
        drop(used.try_send(buffer));
        Ok(())
    }

    /// Writes an index file with what is left.
    pub(crate) fn flush(&self, repository: &Repository) -> Result<(), IngestError> {
        let draft = std::mem::take(&mut *self.draft.lock().unwrap_or_else(PoisonError::into_inner));
        if draft.packs.is_empty() {
            return Ok(());
        }
        let (id, bytes) = repository.encode_unpacked(&encode_index(&draft.packs));
        keep(&*repository.store, FileName::Hashed(FileKind::Index, id), &bytes, Confirm::Bytes)
            .map_err(IngestError::Store)
    }

    fn put(
        &self,
        repository: &Repository,
        progress: &Progress,
        pack: SealedPack,
    ) -> Result<Vec<u8>, IngestError> {
        // An index entry for a pack that is not there would keep every later run from storing its chunks again.
        let confirm = if self.packs.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLED) {
            Confirm::Bytes
        } else {
            Confirm::Length
        };
        keep(&*repository.store, FileName::Hashed(FileKind::Data, pack.id), &pack.bytes, confirm)
            .map_err(IngestError::Store)?;
        progress.store(ByteCount::of_len(pack.bytes.len()));
        let now = repository.environment.clock.monotonic();
        let full = {
            let mut draft = self.draft.lock().unwrap_or_else(PoisonError::into_inner);
            if draft.packs.is_empty() {
                draft.since = now;
            }
            draft.blobs += pack.blobs.len();
            draft.packs.push(IndexedPack { id: pack.id, blobs: pack.blobs });
            INDEX_BLOBS_MAX <= draft.blobs || INTERVAL <= now.saturating_sub(draft.since)
        };
        if full {
            self.flush(repository)?;
        }
        Ok(pack.bytes)
    }
}
