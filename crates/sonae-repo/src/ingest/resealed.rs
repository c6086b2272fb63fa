//! Taking in blobs that come from another pack: named and verified already, by many threads at once.

use std::sync::{Mutex, PoisonError};

use sonae_types::Digest;

use super::{Ingest, IngestError, IngestTotals};
use crate::blob::{BlobBatch, BlobKind};
use crate::compress::Squeezer;
use crate::pack::PackBuilder;

/// A run that takes in such blobs. What it leaves behind is as with [`Ingest`].
#[derive(Debug)]
pub(crate) struct Resealer<'a> {
    ingest: Ingest<'a>,
    data: Mutex<Vec<Bench>>,
    trees: Mutex<Vec<Bench>>,
}

/// An open pack and what is needed to fill and to seal it; a thread has one at a time.
#[derive(Debug)]
struct Bench {
    pack: PackBuilder,
    squeezer: Squeezer,
    batch: BlobBatch,
}

impl<'a> Resealer<'a> {
    pub(crate) fn new(ingest: Ingest<'a>) -> Self {
        Self { ingest, data: Mutex::default(), trees: Mutex::default() }
    }

    /// Stores a blob unless it is there. `id` is the SHA-256 of `plain`; packs are read back before they are stored.
    pub(crate) fn take(&self, kind: BlobKind, id: Digest, plain: &[u8]) -> Result<(), IngestError> {
        let ingest = &self.ingest;
        if ingest.index.has(kind, id) || !ingest.claimed.claim(kind, id) {
            return Ok(());
        }
        let benches = match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        };
        let repository = ingest.repository;
        let waiting = benches.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut bench = waiting.unwrap_or_else(|| Bench {
            pack: PackBuilder::default(),
            squeezer: Squeezer::under(repository.config().compression()),
            batch: BlobBatch::default(),
        });
        let Bench { pack, squeezer, batch } = &mut bench;
        let stored = pack.add(&repository.key, &*repository.environment.entropy, squeezer, kind, id, plain);
        ingest.totals.count(kind, plain.len(), stored);
        if pack.is_full(repository.pack_bytes) {
            ingest.draft.store_pack(repository, ingest.progress, pack, batch)?;
        }
        benches.lock().unwrap_or_else(PoisonError::into_inner).push(bench);
        Ok(())
    }

    /// Stores what is still open, then the index.
    pub(crate) fn finish(self) -> Result<IngestTotals, IngestError> {
        let Self { mut ingest, data, trees } = self;
        let packs = |benches: Mutex<Vec<Bench>>| {
            let benches = benches.into_inner().unwrap_or_else(PoisonError::into_inner);
            benches.into_iter().map(|bench| bench.pack)
        };
        ingest.open_packs.get_mut().unwrap_or_else(PoisonError::into_inner).extend(packs(data));
        for mut pack in packs(trees) {
            ingest.tree_pack.append(&mut pack);
            if ingest.tree_pack.is_full(ingest.repository.pack_bytes) {
                let tree_pack = &mut ingest.tree_pack;
                ingest.draft.store_pack(
                    ingest.repository,
                    ingest.progress,
                    tree_pack,
                    &mut BlobBatch::default(),
                )?;
            }
        }
        ingest.finish()
    }

    /// As [`Ingest::give_up`].
    pub(crate) fn give_up(self) {
        self.ingest.give_up();
    }
}
