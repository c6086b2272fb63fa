//! The workers: they name each chunk, look it up, and pack what is new.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender};
use sonae_types::{ByteCount, ByteOffset, Digest};

use super::claimed::Claimed;
use super::reader::{DiskDraft, Expected, Job, Place, Slot};
use super::{Chunk, DiskChunks, IngestError, Line};
use crate::blob::{BlobBatch, BlobKind};
use crate::chunk::ZERO_IDS;
use crate::compress::Squeezer;
use crate::hash::sha256_each;
use crate::pack::{PackBuilder, SealedPack};

/// What the workers found out about one disk.
#[derive(Debug, Default)]
pub(super) struct DiskState {
    ids: Mutex<Vec<(usize, Digest)>>,
    /// Numbers of the chunks that an audit found to be others.
    untrue: Mutex<HashSet<usize>>,
}

struct Worker<'a, 'b, 'c> {
    line: &'a Line<'b, 'c>,
    pack: PackBuilder,
    squeezer: Squeezer,
    batch: BlobBatch,
    packs: &'a Sender<SealedPack>,
    used: &'a Receiver<Vec<u8>>,
}

/// Works until the readers are done. After a failure it only gives buffers back, so that nobody waits for one.
pub(super) fn work(
    line: &Line<'_, '_>,
    jobs: &Receiver<Job>,
    give_back: &Sender<Vec<u8>>,
    packs: &Sender<SealedPack>,
    used: &Receiver<Vec<u8>>,
) {
    let pack =
        line.ingest.open_packs.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
    let squeezer = Squeezer::under(line.ingest.repository.config().compression());
    let mut worker = Worker { line, pack, squeezer, batch: BlobBatch::default(), packs, used };
    let zeros = vec![0; usize::try_from(crate::chunk::ZERO_CHUNK_BYTES_MAX).expect("4 MiB")];
    let mut ids = Vec::new();
    for job in jobs {
        let buffer = match job {
            Job::Chunks { disk, buffer, places } => {
                let chunks = places
                    .iter()
                    .map(|place| &buffer[place.start..place.start + place.len])
                    .collect::<Vec<_>>();
                sha256_each(&chunks, &mut ids);
                for (chunk, id) in chunks.iter().zip(&ids) {
                    if line.failure.check().is_err() {
                        break;
                    }
                    worker.take(*id, chunk);
                }
                line.states[disk].compare(&places, &ids);
                let named = places.iter().map(|place| place.slot).zip(ids.drain(..));
                line.states[disk].ids.lock().unwrap_or_else(PoisonError::into_inner).extend(named);
                Some(buffer)
            }
            Job::Zeros { len } => {
                let bytes = &zeros[..usize::try_from(len).expect("at most 4 MiB")];
                worker.take(ZERO_IDS.id(len), bytes);
                None
            }
        };
        if let Some(buffer) = buffer {
            give_back.send(buffer).expect("the pool outlives the workers");
        }
    }
    if !worker.pack.is_empty() {
        line.ingest.open_packs.lock().unwrap_or_else(PoisonError::into_inner).push(worker.pack);
    }
}

impl Worker<'_, '_, '_> {
    fn take(&mut self, id: Digest, bytes: &[u8]) {
        let ingest = self.line.ingest;
        if ingest.index.has(BlobKind::Data, id) || !ingest.claimed.claim(BlobKind::Data, id) {
            return;
        }
        let repository = ingest.repository;
        let stored = self.pack.add(
            &repository.key,
            &*repository.environment.entropy,
            &mut self.squeezer,
            BlobKind::Data,
            id,
            bytes,
        );
        ingest.claimed.note_stored(id, stored);
        ingest.totals.count(BlobKind::Data, bytes.len(), stored);
        if self.pack.is_full(repository.pack_bytes) {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let repository = self.line.ingest.repository;
        match self.pack.seal(&repository.key, &*repository.environment.entropy, &mut self.batch) {
            Ok(sealed) => self.packs.send(sealed).expect("uploaders live as long as workers"),
            Err(error) => self.line.failure.set(IngestError::Memory(error)),
        }
        if let Ok(buffer) = self.used.try_recv() {
            self.pack.reuse(buffer);
        }
    }
}

impl DiskState {
    /// Notes the chunks that are not what the parent has there.
    fn compare(&self, places: &[Place], ids: &[Digest]) {
        let others = places.iter().zip(ids).filter(|(place, id)| match place.expected {
            Expected::Anything => false,
            Expected::Chunk(expected) => expected != **id,
        });
        let mut untrue = self.untrue.lock().unwrap_or_else(PoisonError::into_inner);
        untrue.extend(others.map(|(place, _)| place.slot));
    }

    /// Puts the ids that the workers found into the reader's list, and charges the disk with what is new.
    pub(super) fn assemble(self, draft: DiskDraft, claimed: &Claimed) -> DiskChunks {
        let mut ids = self.ids.into_inner().unwrap_or_else(PoisonError::into_inner);
        ids.sort_unstable_by_key(|(slot, _)| *slot);
        let mut named = ids.into_iter();
        let untrue = self.untrue.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut at = ByteOffset::ZERO;
        let mut disk = DiskChunks {
            chunks: Vec::with_capacity(draft.slots.len()),
            read: draft.read,
            audited: draft.audited,
            inherited: ByteCount::ZERO,
            untrue: Vec::new(),
            zeros: ByteCount::ZERO,
            new_chunks: ByteCount::ZERO,
            stored: ByteCount::ZERO,
        };
        for (number, slot) in draft.slots.into_iter().enumerate() {
            let (id, len, zeros) = match slot {
                Slot::Zeros(chunk) => (chunk.id, chunk.len, chunk.len),
                Slot::Inherited(chunk) => {
                    disk.inherited += ByteCount::new(u64::from(chunk.len));
                    (chunk.id, chunk.len, if chunk.is_zeros() { chunk.len } else { 0 })
                }
                Slot::Awaited(len) => {
                    let (slot, id) = named.next().expect("without a failure every chunk was named");
                    assert_eq!(slot, number, "chunks are named once each");
                    (id, len, 0)
                }
            };
            if untrue.contains(&number) {
                disk.untrue.push(at);
            }
            at += ByteCount::new(u64::from(len));
            disk.zeros += ByteCount::new(u64::from(zeros));
            if let Some(stored) = claimed.charge(id) {
                disk.new_chunks += ByteCount::new(u64::from(len - zeros));
                disk.stored += ByteCount::new(u64::from(stored));
            }
            disk.chunks.push(Chunk { id, len });
        }
        disk
    }
}
