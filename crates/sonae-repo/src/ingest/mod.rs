//! Taking disks into a repository: read → cut → hash → look up → compress → encrypt → pack → store.
//!
//! Each byte is touched once on its way. Readers fill buffers from a fixed pool, workers turn buffers into packs, and
//! uploaders store packs; every queue is bounded, so a slow store holds back the readers and memory stays bounded:
//!
//! ```text
//! disk ─ reader ─┐            ┌─ worker ─┐ sealed packs ┌─ uploader ─ store
//! disk ─ reader ─┴─ buffers ──┴─ worker ─┴──────────────┴─ uploader ─ store ─ index
//! ```

mod base;
mod claimed;
pub(crate) mod draft;
mod reader;
mod resealed;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender};
use sonae_types::{ByteCount, ByteOffset, Digest, DiskError, DiskRead};

use crate::blob::{BlobBatch, BlobError, BlobKind};
use crate::chunk::ChunkTarget;
use crate::compress::Squeezer;
use crate::environment::{Progress, Stop, Stopped};
use crate::hash::sha256;
use crate::index::Index;
use crate::pack::PackBuilder;
use crate::reader::processors;
use crate::repository::Repository;
use crate::store::StoreError;
pub use base::{Audit, Base, NoBase, Reading};
use claimed::Claimed;
use draft::IndexDraft;
pub(crate) use resealed::Resealer;

/// Most disks that are read at the same time.
const READERS_MAX: usize = 4;
/// Threads that store packs: enough to keep a disk or a network busy while the next pack is made.
const UPLOADERS: usize = 3;
/// Bytes of a buffer, unless the longest chunk asks for more.
const BUFFER_BYTES: usize = 8 << 20;

/// Taking in failed; nothing that was stored so far is referenced by any point.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A disk could not be read whole.
    #[error("disk number {disk} could not be read whole")]
    Source {
        /// Which of the disks, from zero.
        disk: usize,
        /// Why.
        #[source]
        cause: DiskError,
    },
    /// What was packed did not read back: memory or processor of this machine lose bits.
    #[error("a chunk did not read back as it was written, so this machine's memory cannot be trusted")]
    Memory(#[source] BlobError),
    /// The store failed.
    #[error("the repository could not be written")]
    Store(#[source] StoreError),
    /// Asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// One disk to take in.
#[derive(Clone, Copy)]
pub struct DiskInput<'a> {
    /// Where it is read from.
    pub disk: &'a dyn DiskRead,
    /// How it is cut.
    pub target: ChunkTarget,
    /// How much of it is read.
    pub reading: Reading<'a>,
}

/// One chunk of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// SHA-256 of its bytes.
    pub id: Digest,
    /// Its length in bytes.
    pub len: u32,
}

/// What became of one disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskChunks {
    /// Its chunks in order; joined, they are the disk.
    pub chunks: Vec<Chunk>,
    /// Bytes read from the source; known holes are not read.
    pub read: ByteCount,
    /// Bytes of chunks taken over from the parent without reading them.
    pub inherited: ByteCount,
    /// Bytes read again for proof, not counted among those read.
    pub audited: ByteCount,
    /// Where an audit found other bytes than the map of changes had promised. Any other inherited chunk may be wrong, too.
    pub untrue: Vec<ByteOffset>,
    /// Bytes in zero chunks.
    pub zeros: ByteCount,
    /// Plain bytes, zeros not counted, that the repository did not have and no disk before this one of the run brought.
    pub new_chunks: ByteCount,
    /// What they take in the repository, zero chunks included.
    pub stored: ByteCount,
}

/// What one run added to the repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestTotals {
    /// New chunks.
    pub data_blobs: u64,
    /// New folder listings.
    pub tree_blobs: u64,
    /// Plain bytes of both.
    pub plain: ByteCount,
    /// What they take in the repository.
    pub stored: ByteCount,
    /// What the new folder listings alone take: mostly lists of chunks.
    pub listings: ByteCount,
}

/// A run that takes in disks, files and trees. Dropped without [`Ingest::finish`], it leaves only packs that no point
/// references.
#[derive(Debug)]
pub struct Ingest<'a> {
    repository: &'a Repository,
    index: &'a Index,
    stop: &'a Stop,
    progress: &'a Progress,
    claimed: Claimed,
    draft: IndexDraft,
    totals: TotalCounters,
    /// Packs that workers left open; the next ones begin in them.
    open_packs: Mutex<Vec<PackBuilder>>,
    tree_pack: PackBuilder,
    squeezer: Squeezer,
}

#[derive(Debug, Default)]
struct TotalCounters {
    data_blobs: AtomicU64,
    tree_blobs: AtomicU64,
    plain: AtomicU64,
    stored: AtomicU64,
    listings: AtomicU64,
}

/// The first failure of a run; later ones are consequences.
#[derive(Debug, Default)]
struct Failure {
    happened: AtomicBool,
    first: Mutex<Option<IngestError>>,
}

impl<'a> Ingest<'a> {
    /// A run on a repository whose index is loaded. The caller holds a lock.
    #[must_use]
    pub fn new(repository: &'a Repository, index: &'a Index, stop: &'a Stop, progress: &'a Progress) -> Self {
        Self {
            repository,
            index,
            stop,
            progress,
            claimed: Claimed::new(),
            draft: IndexDraft::default(),
            totals: TotalCounters::default(),
            open_packs: Mutex::default(),
            tree_pack: PackBuilder::default(),
            squeezer: Squeezer::under(repository.config().compression()),
        }
    }

    /// Takes in disks, all together. Errors: the first [`IngestError`]; then none of the disks was taken in.
    pub fn disks(&mut self, inputs: &[DiskInput<'_>]) -> Result<Vec<DiskChunks>, IngestError> {
        let workers = processors();
        let readers = inputs.len().min(READERS_MAX);
        let buffer_bytes = inputs
            .iter()
            .map(|input| usize::try_from(input.target.max_bytes() * 2).expect("at most 8 MiB"))
            .max()
            .unwrap_or(0)
            .max(BUFFER_BYTES);
        let (give_back, free) = crossbeam_channel::unbounded();
        for _ in 0..2 * (workers + readers) {
            give_back.send(Vec::new()).expect("the receiver lives");
        }
        let line = Line {
            ingest: self,
            states: inputs.iter().map(|_| worker::DiskState::default()).collect(),
            failure: Failure::default(),
            buffer_bytes,
        };
        let drafts = line.run(inputs, readers, workers, &give_back, &free)?;
        // In the order of the disks, so that what several share is always charged to the first of them.
        Ok(line
            .states
            .into_iter()
            .zip(drafts)
            .map(|(state, draft)| state.assemble(draft, &self.claimed))
            .collect())
    }

    /// Takes in one blob: a folder listing or (a part of) a small file.
    pub fn blob(&mut self, kind: BlobKind, bytes: &[u8]) -> Result<Digest, IngestError> {
        let id = sha256(bytes);
        if self.index.has(kind, id) || !self.claimed.claim(kind, id) {
            return Ok(id);
        }
        let mut data_pack = match kind {
            BlobKind::Tree => None,
            BlobKind::Data => Some(
                self.open_packs.get_mut().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default(),
            ),
        };
        let pack = data_pack.as_mut().unwrap_or(&mut self.tree_pack);
        let stored = pack.add(
            &self.repository.key,
            &*self.repository.environment.entropy,
            &mut self.squeezer,
            kind,
            id,
            bytes,
        );
        self.totals.count(kind, bytes.len(), stored);
        if pack.is_full(self.repository.pack_bytes) {
            self.draft.store_pack(self.repository, self.progress, pack, &mut BlobBatch::default())?;
        }
        if let Some(pack) = data_pack {
            self.open_packs.get_mut().unwrap_or_else(PoisonError::into_inner).push(pack);
        }
        Ok(id)
    }

    /// Stores what is still open, first packs, then the index. Only now may a point reference what was taken in.
    pub fn finish(mut self) -> Result<IngestTotals, IngestError> {
        let stored = self.store_open_packs();
        // What was stored is listed even where the last packs were not, so that the next run uses it.
        let listed = self.draft.flush(self.repository);
        stored.and(listed)?;
        Ok(self.totals.read())
    }

    /// Lists what was stored so far, for a run that goes no further: the next one uses it. The caller's lock must hold,
    /// or others may have removed it. Where that fails, too, only room is lost.
    pub fn give_up(self) {
        drop(self.draft.flush(self.repository));
    }

    fn store_open_packs(&mut self) -> Result<(), IngestError> {
        let mut batch = BlobBatch::default();
        let mut open =
            std::mem::take(self.open_packs.get_mut().unwrap_or_else(PoisonError::into_inner)).into_iter();
        // What the workers left is merged, so that a small run leaves one small pack and not one a processor.
        let mut last = open.next().unwrap_or_default();
        for mut pack in open {
            last.append(&mut pack);
            if last.is_full(self.repository.pack_bytes) {
                self.draft.store_pack(self.repository, self.progress, &mut last, &mut batch)?;
            }
        }
        for pack in [&mut last, &mut self.tree_pack] {
            if !pack.is_empty() {
                self.draft.store_pack(self.repository, self.progress, pack, &mut batch)?;
            }
        }
        Ok(())
    }
}

/// One run over some disks: what its threads share.
struct Line<'a, 'b> {
    ingest: &'a Ingest<'b>,
    states: Vec<worker::DiskState>,
    failure: Failure,
    buffer_bytes: usize,
}

impl Line<'_, '_> {
    fn run(
        &self,
        inputs: &[DiskInput<'_>],
        readers: usize,
        workers: usize,
        give_back: &Sender<Vec<u8>>,
        free: &Receiver<Vec<u8>>,
    ) -> Result<Vec<reader::DiskDraft>, IngestError> {
        let next = std::sync::atomic::AtomicUsize::new(0);
        let drafts = Mutex::new(inputs.iter().map(|_| None).collect::<Vec<_>>());
        std::thread::scope(|scope| {
            let (send_job, jobs) = crossbeam_channel::unbounded();
            let (send_pack, packs) = crossbeam_channel::bounded(1);
            let (send_used, used) = crossbeam_channel::bounded(UPLOADERS + workers);
            for _ in 0..readers {
                let (send_job, next, drafts) = (send_job.clone(), &next, &drafts);
                scope.spawn(move || {
                    while let Some((disk, input)) = next_input(inputs, next) {
                        let buffers = reader::Buffers { free, jobs: &send_job, bytes: self.buffer_bytes };
                        match reader::read_disk(self, disk, input, &buffers) {
                            Ok(draft) => {
                                drafts.lock().unwrap_or_else(PoisonError::into_inner)[disk] = Some(draft);
                            }
                            Err(error) => self.failure.set(error),
                        }
                    }
                });
            }
            drop(send_job);
            for _ in 0..workers {
                let (jobs, send_pack, used) = (jobs.clone(), send_pack.clone(), used.clone());
                scope.spawn(move || worker::work(self, &jobs, give_back, &send_pack, &used));
            }
            drop(send_pack);
            for _ in 0..UPLOADERS {
                let (packs, send_used) = (packs.clone(), send_used.clone());
                scope.spawn(move || {
                    for pack in packs {
                        // After a failure packs are only taken off the queue, so that nobody waits for room in it.
                        if self.failure.check().is_ok()
                            && let Err(error) = self.ingest.draft.upload(
                                self.ingest.repository,
                                self.ingest.progress,
                                pack,
                                &send_used,
                            )
                        {
                            self.failure.set(error);
                        }
                    }
                });
            }
        });
        self.failure.take()?;
        let drafts = drafts.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(drafts.into_iter().map(|draft| draft.expect("without a failure every disk was read")).collect())
    }
}

fn next_input<'i, 'd>(
    inputs: &'i [DiskInput<'d>],
    next: &std::sync::atomic::AtomicUsize,
) -> Option<(usize, &'i DiskInput<'d>)> {
    let disk = next.fetch_add(1, Ordering::Relaxed);
    inputs.get(disk).map(|input| (disk, input))
}

impl TotalCounters {
    fn count(&self, kind: BlobKind, plain: usize, stored: u32) {
        let blobs = match kind {
            BlobKind::Data => &self.data_blobs,
            BlobKind::Tree => {
                self.listings.fetch_add(u64::from(stored), Ordering::Relaxed);
                &self.tree_blobs
            }
        };
        blobs.fetch_add(1, Ordering::Relaxed);
        self.plain.fetch_add(plain as u64, Ordering::Relaxed);
        self.stored.fetch_add(u64::from(stored), Ordering::Relaxed);
    }

    fn read(&self) -> IngestTotals {
        IngestTotals {
            data_blobs: self.data_blobs.load(Ordering::Relaxed),
            tree_blobs: self.tree_blobs.load(Ordering::Relaxed),
            plain: ByteCount::new(self.plain.load(Ordering::Relaxed)),
            stored: ByteCount::new(self.stored.load(Ordering::Relaxed)),
            listings: ByteCount::new(self.listings.load(Ordering::Relaxed)),
        }
    }
}

impl Failure {
    fn set(&self, error: IngestError) {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.happened.store(true, Ordering::Release);
    }

    /// Errors: [`Stopped`] once anything failed; the failure itself is kept for the caller of the run.
    fn check(&self) -> Result<(), Stopped> {
        if self.happened.load(Ordering::Acquire) { Err(Stopped) } else { Ok(()) }
    }

    fn take(&self) -> Result<(), IngestError> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

impl std::fmt::Debug for DiskInput<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskInput").field("disk", &self.disk.label()).field("target", &self.target).finish()
    }
}
