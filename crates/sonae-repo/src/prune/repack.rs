//! Repacking: what is used in packs of which little is, copied into new packs as it lies there, sealed.
//!
//! ```text
//! source packs ─┬─ copier ─┬─ full packs ─┬─ uploader ─ store
//!               └─ copier ─┘              └─ uploader ─ store
//! ```
//!
//! Nothing is opened: a copy has the bytes of the original. But its authentication code is checked in the very bytes that
//! were hashed and are stored, so that neither a damaged original nor a bit that memory lost becomes the only copy.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender};
use sonae_types::{ByteCount, Digest};

use super::PruneError;
use crate::blob::BlobKind;
use crate::environment::{Progress, Stop};
use crate::index::{Index, Location, PlaceNumber};
use crate::ingest::IngestError;
use crate::ingest::draft::IndexDraft;
use crate::lock::Lock;
use crate::pack::{PackBuilder, SealedPack};
use crate::reader::processors;
use crate::repository::Repository;
use crate::store::{FileKind, FileName, StoreError};

/// Threads that store packs, as in a backup.
const UPLOADERS: usize = 3;
/// Most bytes that are read at once.
const RUN_BYTES_MAX: u64 = 16 << 20;
/// Unused bytes are read along where the gap is this small.
const GAP_BYTES_MAX: u64 = 128 << 10;

/// What became of the packs that were to be repacked.
#[derive(Debug, Default)]
pub(super) struct Repacked {
    /// Packs of which everything that is used now also lies in a new pack that is stored and listed.
    pub(super) done: HashSet<Digest>,
    /// Packs with something in them that is used and cannot be read, or is not what was sealed.
    pub(super) damaged: HashSet<Digest>,
    pub(super) new_packs: usize,
    pub(super) new_bytes: ByteCount,
}

/// One pack to copy from.
struct Source<'a> {
    pack: Digest,
    places: &'a [PlaceNumber],
    /// How many of its blobs are in no stored pack yet.
    left: AtomicUsize,
    damaged: AtomicBool,
}

/// A pack that grows, and for each blob in it the number of its source.
#[derive(Default)]
struct Growing {
    pack: PackBuilder,
    origins: Vec<usize>,
}

/// A full one.
struct Full {
    pack: SealedPack,
    origins: Vec<usize>,
}

struct Line<'a> {
    repository: &'a Repository,
    index: &'a Index,
    stop: &'a Stop,
    progress: &'a Progress,
    sources: Vec<Source<'a>>,
    next: AtomicUsize,
    draft: IndexDraft,
    /// What copiers left open, chunks and trees.
    open: Mutex<[Vec<Growing>; 2]>,
    stored: Mutex<(usize, ByteCount)>,
    failure: Mutex<Option<PruneError>>,
    /// No room was left for a pack. What was copied until then is good.
    no_room: AtomicBool,
}

/// Copies the blobs at these places, which are sorted as they lie in the repository.
pub(super) fn repack(
    repository: &Repository,
    index: &Index,
    places: &[PlaceNumber],
    lock: &Lock,
    (stop, progress): (&Stop, &Progress),
) -> Result<Repacked, PruneError> {
    let of_one_pack = |a: &PlaceNumber, b: &PlaceNumber| index.place(*a).pack == index.place(*b).pack;
    let sources = places.chunk_by(of_one_pack).map(|places| Source {
        pack: index.place(places[0]).pack,
        places,
        left: AtomicUsize::new(places.len()),
        damaged: AtomicBool::new(false),
    });
    let line = Line {
        repository,
        index,
        stop,
        progress,
        sources: sources.collect(),
        next: AtomicUsize::new(0),
        draft: IndexDraft::default(),
        open: Mutex::default(),
        stored: Mutex::default(),
        failure: Mutex::default(),
        no_room: AtomicBool::new(false),
    };
    line.run();
    if let Some(failure) = line.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(failure);
    }
    // Under a lost lock packs may be gone that the index written next would list.
    lock.confirm()?;
    line.draft.flush(repository).map_err(of_ingest)?;
    let (new_packs, new_bytes) = line.stored.into_inner().unwrap_or_else(PoisonError::into_inner);
    let of =
        |is: fn(&Source<'_>) -> bool| line.sources.iter().filter(move |source| is(source)).map(|s| s.pack);
    Ok(Repacked {
        done: of(|source| source.left.load(Ordering::Relaxed) == 0).collect(),
        damaged: of(|source| source.damaged.load(Ordering::Relaxed)).collect(),
        new_packs,
        new_bytes,
    })
}

fn of_ingest(error: IngestError) -> PruneError {
    match error {
        IngestError::Store(error) => error.into(),
        IngestError::Stopped(stopped) => stopped.into(),
        IngestError::Source { .. } | IngestError::Memory(_) => unreachable!("only a store can fail here"),
    }
}

impl Line<'_> {
    fn run(&self) {
        std::thread::scope(|scope| {
            let (send_pack, packs) = crossbeam_channel::bounded(1);
            let (send_used, used) = crossbeam_channel::bounded(UPLOADERS + processors());
            for _ in 0..UPLOADERS {
                let (packs, send_used) = (packs.clone(), send_used.clone());
                // After a failure packs are only taken off the queue, so that nobody waits for room in it.
                scope.spawn(move || packs.iter().for_each(|full| self.upload(full, &send_used)));
            }
            let copiers = (0..processors()).map(|_| {
                let (send_pack, used) = (send_pack.clone(), used.clone());
                scope.spawn(move || self.copy_all(&send_pack, &used))
            });
            for copier in copiers.collect::<Vec<_>>() {
                copier.join().expect("a copier does not panic");
            }
            let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
            for growing in open {
                self.finish(growing, &send_pack, &used);
            }
        });
    }

    fn copy_all(&self, packs: &Sender<Full>, used: &Receiver<Vec<u8>>) {
        let (mut growing, mut buffer) = (<[Growing; 2]>::default(), Vec::new());
        while let Some(number) = self.next_source() {
            if let Err(error) = self.copy(number, &mut growing, &mut buffer, packs, used) {
                self.fail(error);
            }
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (open, growing) in open.iter_mut().zip(growing) {
            open.push(growing);
        }
    }

    fn next_source(&self) -> Option<usize> {
        if self.no_room.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < self.sources.len())
    }

    fn fail(&self, error: PruneError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.next.store(self.sources.len(), Ordering::Relaxed);
    }

    fn has_failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn copy(
        &self,
        number: usize,
        growing: &mut [Growing; 2],
        buffer: &mut Vec<u8>,
        packs: &Sender<Full>,
        used: &Receiver<Vec<u8>>,
    ) -> Result<(), PruneError> {
        let source = &self.sources[number];
        let mut rest = source.places;
        while !rest.is_empty() {
            self.stop.check()?;
            let (run, behind) = rest.split_at(self.run_len(rest));
            rest = behind;
            let [first, last] = [run[0], run[run.len() - 1]].map(|place| self.index.place(place).blob);
            let start = u64::from(first.offset);
            let len = usize::try_from(last.end() - start).expect("a run is bounded");
            if buffer.len() < len {
                buffer.resize(len, 0);
            }
            let name = FileName::Hashed(FileKind::Data, source.pack);
            match self.repository.store.get_range(name, start, &mut buffer[..len]) {
                Ok(()) => {}
                Err(StoreError::NotFound { .. } | StoreError::Short { .. }) => {
                    source.damaged.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
            self.progress.advance(ByteCount::of_len(len));
            for Location { blob, .. } in run.iter().map(|place| self.index.place(*place)) {
                let from = usize::try_from(u64::from(blob.offset) - start).expect("inside the run");
                let growing = &mut growing[usize::from(blob.kind == BlobKind::Tree)];
                growing.pack.copy(&blob, &buffer[from..from + blob.length as usize]);
                growing.origins.push(number);
                if growing.pack.is_full(self.repository.pack_bytes) {
                    self.hand_over(growing, packs, used);
                }
            }
        }
        Ok(())
    }

    /// How many of the places are read at once: at least one.
    fn run_len(&self, places: &[PlaceNumber]) -> usize {
        let blob = |at: usize| self.index.place(places[at]).blob;
        let start = u64::from(blob(0).offset);
        let fits = |at: &usize| {
            let gap = u64::from(blob(*at).offset).checked_sub(blob(at - 1).end());
            gap.is_some_and(|gap| gap <= GAP_BYTES_MAX) && blob(*at).end() - start <= RUN_BYTES_MAX
        };
        1 + (1..places.len()).take_while(fits).count()
    }

    fn hand_over(&self, growing: &mut Growing, packs: &Sender<Full>, used: &Receiver<Vec<u8>>) {
        let repository = self.repository;
        loop {
            match growing.pack.seal_copied(&repository.key, &*repository.environment.entropy) {
                Ok(pack) => {
                    let origins = std::mem::take(&mut growing.origins);
                    packs.send(Full { pack, origins }).expect("uploaders live as long as copiers");
                    break;
                }
                Err(_forged) => {
                    let mut became = growing.pack.take_out_forged(&repository.key).into_iter();
                    growing.origins.retain(|origin| {
                        let sound = became.next().is_some_and(|became| became.is_ok());
                        if !sound {
                            self.sources[*origin].damaged.store(true, Ordering::Relaxed);
                        }
                        sound
                    });
                    if growing.pack.is_empty() {
                        break;
                    }
                }
            }
        }
        if let Ok(buffer) = used.try_recv() {
            growing.pack.reuse(buffer);
        }
    }

    /// Merges what the copiers left, so that one small pack is left and not one a processor.
    fn finish(&self, open: Vec<Growing>, packs: &Sender<Full>, used: &Receiver<Vec<u8>>) {
        let mut last = Growing::default();
        for mut growing in open {
            last.pack.append(&mut growing.pack);
            last.origins.append(&mut growing.origins);
            if last.pack.is_full(self.repository.pack_bytes) {
                self.hand_over(&mut last, packs, used);
            }
        }
        if !last.pack.is_empty() {
            self.hand_over(&mut last, packs, used);
        }
    }

    fn upload(&self, Full { pack, origins }: Full, used: &Sender<Vec<u8>>) {
        if self.has_failed() || self.no_room.load(Ordering::Relaxed) {
            return;
        }
        let size = ByteCount::of_len(pack.bytes.len());
        match self.draft.upload(self.repository, self.progress, pack, used) {
            Ok(()) => {
                let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
                *stored = (stored.0 + 1, stored.1 + size);
                for origin in origins {
                    self.sources[origin].left.fetch_sub(1, Ordering::Relaxed);
                }
            }
            Err(IngestError::Store(StoreError::Full { .. })) => self.no_room.store(true, Ordering::Relaxed),
            Err(error) => self.fail(of_ingest(error)),
        }
    }
}
