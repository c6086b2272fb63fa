//! Reading many blobs: sorted as they lie in the packs, neighbours fetched together, opened on all processors.
//!
//! What is fetched and what is opened are different threads: a store behind a network takes long to begin to answer and
//! answers many at once, while processors are few. So many runs are under way before the first is opened, within a
//! bound on their bytes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sonae_types::ByteCount;

use crate::blob::{BlobBatch, BlobError, BlobOpener};
use crate::environment::{Progress, Stop};
use crate::index::{Index, PlaceNumber};
use crate::reader::{ReadError, processors};
use crate::repository::Repository;
use crate::room::{Room, Taken};
use crate::store::{FileKind, FileName};

/// Most bytes fetched at once.
const RUN_BYTES_MAX: u64 = 4 << 20;
/// Bytes that nobody wants are fetched along when the gap is this small, since asking again costs more.
const GAP_BYTES_MAX: u64 = 128 << 10;

/// Runs that are asked for at once. At 50 ms for an answer, 16 of 4 MiB are more than a processor can open.
const FETCHERS: usize = 16;
/// Bytes that are fetched, or on their way, before they are opened.
const AHEAD_BYTES_MAX: u64 = 64 << 20;

/// One wanted blob, and what the caller knows it by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) place: PlaceNumber,
    /// Any number of the caller's.
    pub(crate) tag: u64,
}

/// Reads blobs of a repository.
#[derive(Clone, Copy)]
pub(crate) struct Fetch<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) index: &'a Index,
    pub(crate) stop: &'a Stop,
    pub(crate) progress: &'a Progress,
}

impl Fetch<'_> {
    /// Gives every wanted blob to `handle`, in no order, several at a time; a damaged one is looked for in other packs
    /// first. Blobs wanted under several tags are opened once for each run of equal places.
    ///
    /// Errors: the first error of `handle`, or the stop.
    pub(crate) fn run<E: Send + From<crate::environment::Stopped>>(
        &self,
        mut wanted: Vec<Wanted>,
        handle: impl Fn(u64, Result<&[u8], ReadError>) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        wanted.sort_unstable_by_key(|wanted| (self.index.storage_order(wanted.place), wanted.tag));
        let runs = self.cut_into_runs(&wanted);
        let failure = Mutex::new(None);
        let (next, opened) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let fail = |error: E| {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            next.store(runs.len(), Ordering::Relaxed);
        };
        let room = Room::new(AHEAD_BYTES_MAX);
        let (send_fetched, fetched) = crossbeam_channel::bounded(FETCHERS);
        let (give_back, used) = crossbeam_channel::unbounded::<Vec<u8>>();
        std::thread::scope(|scope| {
            for _ in 0..FETCHERS.min(runs.len()) {
                let (send_fetched, used) = (send_fetched.clone(), used.clone());
                let (wanted, runs, room, next) = (&wanted, &runs, &room, &next);
                scope.spawn(move || {
                    while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let buffer = used.try_recv().unwrap_or_default();
                        let run = self.fetch(&wanted[run.clone()], buffer, room);
                        // Nobody opens any more only where an opener panicked.
                        if self.stop.check().is_err() || send_fetched.send(run).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send_fetched);
            for _ in 0..processors().min(runs.len()) {
                scope.spawn(|| {
                    let mut tools = Tools::default();
                    for run in &fetched {
                        // After a failure the runs are only taken off the queue.
                        if failure.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                            continue;
                        }
                        let outcome = self.stop.check().map_err(E::from);
                        match outcome.and_then(|()| self.open(&run, &mut tools, &handle)) {
                            Ok(()) => drop(opened.fetch_add(1, Ordering::Relaxed)),
                            Err(error) => fail(error),
                        }
                        // A buffer for one huge blob is not kept for the small ones.
                        if run.buffer.capacity() as u64 <= RUN_BYTES_MAX {
                            give_back.send(run.buffer).ok();
                        }
                    }
                });
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None if opened.into_inner() == runs.len() => Ok(()),
            // A fetcher that stopped has left runs that nobody opened.
            None => Ok(self.stop.check()?),
        }
    }

    fn cut_into_runs(&self, wanted: &[Wanted]) -> Vec<std::ops::Range<usize>> {
        let mut runs = Vec::new();
        let mut first = 0;
        for at in 1..=wanted.len() {
            let ends = at == wanted.len() || {
                let (start, before, here) = (
                    self.index.place(wanted[first].place),
                    self.index.place(wanted[at - 1].place),
                    self.index.place(wanted[at].place),
                );
                let gap = u64::from(here.blob.offset).checked_sub(before.blob.end());
                // Blobs that lie over each other are a lie of the index; each is then fetched for itself.
                let apart = gap.is_none_or(|gap| GAP_BYTES_MAX < gap) && here != before;
                here.pack != before.pack
                    || apart
                    || RUN_BYTES_MAX < here.blob.end() - u64::from(start.blob.offset)
            };
            if ends && first < at {
                runs.push(first..at);
                first = at;
            }
        }
        runs
    }

    /// Reads a run into the buffer, as soon as there is room for it. What cannot be read is told by its state.
    fn fetch<'w>(&self, wanted: &'w [Wanted], mut buffer: Vec<u8>, room: &'w Room) -> Run<'w> {
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else {
            return Run { wanted, start: 0, state: RunState::Apart, buffer, _room: room.take(0) };
        };
        let (first, last) = (self.index.place(first.place), self.index.place(last.place));
        let start = u64::from(first.blob.offset);
        if first.blob.check_lengths().is_err() {
            return Run { wanted, start, state: RunState::Apart, buffer, _room: room.take(0) };
        }
        let len = usize::try_from(last.blob.end().saturating_sub(start)).expect("a run is bounded");
        let room = room.take(len as u64);
        buffer.resize(len, 0);
        // A pack that cannot be read as a run may still give single blobs, or another pack may; `blob` tries them all.
        let pack = FileName::Hashed(FileKind::Data, first.pack);
        let state =
            match self.stop.check().map(|()| self.repository.store.get_range(pack, start, &mut buffer)) {
                Ok(Ok(())) => RunState::Whole,
                Ok(Err(_)) | Err(_) => RunState::Unread,
            };
        Run { wanted, start, state, buffer, _room: room }
    }

    /// Opens the blobs of a run.
    fn open<E>(
        &self,
        run: &Run<'_>,
        buffers: &mut Tools,
        handle: &impl Fn(u64, Result<&[u8], ReadError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (wanted, start) = (run.wanted, run.start);
        if run.state == RunState::Apart {
            return wanted
                .chunk_by(|a, b| a.place == b.place)
                .try_for_each(|group| self.look_elsewhere(group, &mut buffers.opener, handle));
        }
        let (sealed, fetched) = (&run.buffer, run.state == RunState::Whole);
        buffers.batch.clear();
        let mut pending = Vec::new();
        for group in wanted.chunk_by(|a, b| a.place == b.place) {
            let place = self.index.place(group[0].place);
            let from = usize::try_from(u64::from(place.blob.offset) - start).expect("inside the run");
            let sealed = &sealed[from..from + place.blob.length as usize];
            if fetched && buffers.batch.add(&self.repository.key, &place.blob, sealed).is_ok() {
                pending.push(group);
            } else {
                self.look_elsewhere(group, &mut buffers.opener, handle)?;
            }
            if buffers.batch.is_full() {
                self.hand_out(&mut pending, &mut buffers.batch, &mut buffers.opener, handle)?;
            }
        }
        self.hand_out(&mut pending, &mut buffers.batch, &mut buffers.opener, handle)
    }

    /// Compares the blobs of a batch with their names and gives them to whoever wants them.
    fn hand_out<E>(
        &self,
        pending: &mut Vec<&[Wanted]>,
        batch: &mut BlobBatch,
        opener: &mut BlobOpener,
        handle: &impl Fn(u64, Result<&[u8], ReadError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut groups = pending.drain(..);
        let mut refused = Vec::new();
        let mut outcome = Ok(());
        batch.compare(|answer| {
            let group = groups.next().expect("an answer for each blob");
            match answer {
                Ok(plain) if outcome.is_ok() => outcome = self.give(group, plain, handle),
                Ok(_) => {}
                Err(_) => refused.push(group),
            }
        });
        outcome?;
        refused.into_iter().try_for_each(|group| self.look_elsewhere(group, opener, handle))
    }

    fn give<E>(
        &self,
        group: &[Wanted],
        plain: &[u8],
        handle: &impl Fn(u64, Result<&[u8], ReadError>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.progress.advance(ByteCount::of_len(plain.len() * group.len()));
        group.iter().try_for_each(|wanted| handle(wanted.tag, Ok(plain)))
    }

    /// Tries every place of a blob, one after another.
    fn look_elsewhere<E>(
        &self,
        group: &[Wanted],
        opener: &mut BlobOpener,
        handle: &impl Fn(u64, Result<&[u8], ReadError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let place = self.index.place(group[0].place);
        let (kind, id) = (place.blob.kind, place.blob.id);
        match self.repository.blob(self.index, kind, id, opener) {
            // Whoever asks has laid out his work by the length that the index stated first.
            Ok(plain) if plain.len() != place.blob.plain_len() as usize => {
                let cause = BlobError::Length { id, length: place.blob.plain_len() };
                group.iter().try_for_each(|wanted| {
                    handle(wanted.tag, Err(ReadError::Blob { pack: place.pack, cause: cause.clone() }))
                })
            }
            Ok(plain) => self.give(group, plain, handle),
            Err(error) => {
                // The cause is told once; further places of the same blob are told that it is missing.
                let mut cause = Some(error);
                group.iter().try_for_each(|wanted| {
                    handle(wanted.tag, Err(cause.take().unwrap_or(ReadError::Missing { kind, id })))
                })
            }
        }
    }
}

/// A run of neighbouring blobs as it was fetched.
struct Run<'w> {
    wanted: &'w [Wanted],
    /// Where in the pack the buffer begins.
    start: u64,
    state: RunState,
    buffer: Vec<u8>,
    _room: Taken<'w>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RunState {
    /// The buffer holds it.
    Whole,
    /// The store did not give it.
    Unread,
    /// It makes no sense to read it in one piece: the index states a length that no blob has.
    Apart,
}

#[derive(Default)]
struct Tools {
    batch: BlobBatch,
    opener: BlobOpener,
}
