//! Restoring a file of a point onto a disk: in parallel, sparse, and over existing content only where it differs.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sonae_types::{ByteCount, ByteOffset, Digest, DiskError, DiskTarget, ExtentKind, TargetState};

use crate::blob::BlobKind;
use crate::chunk::{PAGE_BYTES, ZERO_CHUNK_BYTES_MAX, ZERO_IDS, is_zero};
use crate::environment::{Progress, Stop, Stopped};
use crate::fetch::{Fetch, Wanted};
use crate::hash::sha256;
use crate::index::{Index, PlaceNumber};
use crate::reader::{ReadError, processors};
use crate::repository::Repository;

/// A restore could not be done; the target is not finished.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The target failed.
    #[error("the restore target failed")]
    Target(#[from] DiskError),
    /// The repository could not be read at all.
    #[error("the repository cannot be read")]
    Read(#[from] ReadError),
    /// A chunk is in no index, so neither it nor what follows it can be placed.
    #[error("the chunk at {at} is in no index")]
    Missing {
        /// Where it begins.
        at: ByteOffset,
        /// The chunk.
        chunk: Digest,
    },
    /// The chunks of the file do not add up to its size.
    #[error("the chunks add up to {sum} bytes, the file has {size}")]
    Size {
        /// What they add up to.
        sum: u64,
        /// The stated size.
        size: u64,
    },
    /// Asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A stretch of the disk that could not be restored.
#[derive(Debug)]
pub struct DamagedRange {
    /// Where it begins.
    pub at: ByteOffset,
    /// How long it is.
    pub len: ByteCount,
    /// Why.
    pub cause: ReadError,
}

/// What a restore did.
#[derive(Debug, Default)]
pub struct RestoreOutcome {
    /// Bytes of data written.
    pub written: ByteCount,
    /// Bytes of data found in place already.
    pub in_place: ByteCount,
    /// Bytes that are zeros.
    pub zeros: ByteCount,
    /// What is missing, in the order of the disk; the target is finished only when this is empty.
    pub damaged: Vec<DamagedRange>,
}

/// One file to restore: its chunks in order, and its size.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// Chunks in order.
    pub ids: &'a [Digest],
    /// Stated size.
    pub size: ByteCount,
}

/// A restore: reads `content` from the repository and writes it to the target.
#[derive(Clone, Copy)]
pub struct Restore<'a> {
    /// From where.
    pub repository: &'a Repository,
    /// Its index.
    pub index: &'a Index,
    /// Whether to stop.
    pub stop: &'a Stop,
    /// How far it has come, in plain bytes.
    pub progress: &'a Progress,
}

#[derive(Clone, Copy)]
struct Piece {
    at: u64,
    len: u32,
    place: PlaceNumber,
}

struct Plan {
    data: Vec<Piece>,
    zeros: Vec<(u64, u32)>,
    damaged: Vec<DamagedRange>,
}

#[derive(Default)]
struct Counters {
    written: AtomicU64,
    in_place: AtomicU64,
}

impl std::fmt::Debug for Restore<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restore").field("repository", &self.repository).finish_non_exhaustive()
    }
}

impl Restore<'_> {
    /// Restores onto the target, and finishes it when everything was there.
    ///
    /// Errors: [`RestoreError`]. Damage is no error: the rest is restored, and the outcome lists what is missing.
    pub fn run(&self, content: Content<'_>, target: &dyn DiskTarget) -> Result<RestoreOutcome, RestoreError> {
        let mut plan = self.plan(content)?;
        let zeros = ByteCount::new(plan.zeros.iter().map(|(_, len)| u64::from(*len)).sum());
        self.progress.expect(ByteCount::new(plan.data.iter().map(|piece| u64::from(piece.len)).sum()));
        let counters = Counters::default();
        if target.state() == TargetState::Existing {
            self.clear_zeros(&plan.zeros, target)?;
            plan.data = self.differing(&plan.data, target, &counters)?;
        }
        let damaged = Mutex::new(plan.damaged);
        let fetch = Fetch {
            repository: self.repository,
            index: self.index,
            stop: self.stop,
            progress: self.progress,
        };
        let wanted = plan.data.iter().map(|piece| Wanted { place: piece.place, tag: piece.at }).collect();
        let pieces = &plan.data;
        fetch.run(wanted, |at, answer| -> Result<(), RestoreError> {
            match answer {
                Ok(bytes) => {
                    target.write_at(ByteOffset::new(at), bytes)?;
                    counters.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
                Err(cause) if !cause.is_damage() => return Err(cause.into()),
                Err(cause) => {
                    let piece = pieces.binary_search_by_key(&at, |piece| piece.at).map(|found| pieces[found]);
                    let len = ByteCount::new(piece.map_or(0, |piece| u64::from(piece.len)));
                    let range = DamagedRange { at: ByteOffset::new(at), len, cause };
                    damaged.lock().unwrap_or_else(PoisonError::into_inner).push(range);
                }
            }
            Ok(())
        })?;
        let mut damaged = damaged.into_inner().unwrap_or_else(PoisonError::into_inner);
        damaged.sort_by_key(|range| range.at);
        if damaged.is_empty() {
            target.finish()?;
        }
        let (written, in_place) = (counters.written.into_inner(), counters.in_place.into_inner());
        Ok(RestoreOutcome {
            written: ByteCount::new(written),
            in_place: ByteCount::new(in_place),
            zeros,
            damaged,
        })
    }

    /// Where every chunk goes. A chunk that is in no index has no length, so what follows it has no place: then nothing
    /// is restored, and the error names the chunk.
    fn plan(&self, content: Content<'_>) -> Result<Plan, RestoreError> {
        let mut plan =
            Plan { data: Vec::with_capacity(content.ids.len()), zeros: Vec::new(), damaged: Vec::new() };
        let mut at = 0;
        for id in content.ids {
            let missing = RestoreError::Missing { at: ByteOffset::new(at), chunk: *id };
            let place = self.index.number(BlobKind::Data, *id).ok_or(missing)?;
            let len = self.index.place(place).blob.plain_len();
            let end = at + u64::from(len);
            // To know the id of an odd number of zeros is to hash them, which only the tail of a disk is worth.
            let odd = !(len as usize).is_multiple_of(PAGE_BYTES) && end != content.size.get();
            if odd || ZERO_CHUNK_BYTES_MAX < u64::from(len) || ZERO_IDS.id(u64::from(len)) != *id {
                plan.data.push(Piece { at, len, place });
            } else if 0 < len {
                plan.zeros.push((at, len));
            }
            at = end;
        }
        if at == content.size.get() {
            Ok(plan)
        } else {
            Err(RestoreError::Size { sum: at, size: content.size.get() })
        }
    }

    /// Makes zero what should be zero and is not.
    fn clear_zeros(&self, zeros: &[(u64, u32)], target: &dyn DiskTarget) -> Result<(), RestoreError> {
        in_parallel(zeros, |buffer: &mut Vec<u8>, (at, len)| {
            self.stop.check()?;
            let (at, end) = (*at, at + u64::from(*len));
            let extent = target.extent_at(ByteOffset::new(at))?;
            if extent.kind == ExtentKind::Hole && end <= extent.end.get() {
                return Ok(());
            }
            buffer.resize(*len as usize, 0);
            target.read_at(ByteOffset::new(at), buffer)?;
            if is_zero(buffer) {
                Ok(())
            } else {
                Ok(target.zero_at(ByteOffset::new(at), ByteCount::new(u64::from(*len)))?)
            }
        })
        .map(|_done: Vec<()>| ())
    }

    /// The pieces that the target does not hold already; those that it does are not even fetched.
    fn differing(
        &self,
        pieces: &[Piece],
        target: &dyn DiskTarget,
        counters: &Counters,
    ) -> Result<Vec<Piece>, RestoreError> {
        let answers = in_parallel(pieces, |buffer: &mut Vec<u8>, piece| {
            self.stop.check()?;
            buffer.resize(piece.len as usize, 0);
            target.read_at(ByteOffset::new(piece.at), buffer)?;
            let found = sha256(buffer);
            if found != self.index.place(piece.place).blob.id {
                return Ok(Some(*piece));
            }
            counters.in_place.fetch_add(u64::from(piece.len), Ordering::Relaxed);
            self.progress.advance(ByteCount::new(u64::from(piece.len)));
            Ok(None)
        })?;
        Ok(answers.into_iter().flatten().collect())
    }
}

/// Does the same to every item on all processors, each thread with a buffer of its own; answers in the items' order.
fn in_parallel<I: Sync, T: Send>(
    items: &[I],
    work: impl Fn(&mut Vec<u8>, &I) -> Result<T, RestoreError> + Sync,
) -> Result<Vec<T>, RestoreError> {
    let next = AtomicUsize::new(0);
    let parts = std::thread::scope(|scope| {
        let threads = (0..processors()).map(|_| {
            scope.spawn(|| {
                let mut buffer = Vec::new();
                let mut answers = Vec::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return Ok(answers) };
                    answers.push((at, work(&mut buffer, item)?));
                }
            })
        });
        let threads = threads.collect::<Vec<_>>();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a comparing thread does not panic"))
            .collect::<Result<Vec<_>, RestoreError>>()
    })?;
    let mut answers = parts.into_iter().flatten().collect::<Vec<_>>();
    answers.sort_unstable_by_key(|(at, _)| *at);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}
