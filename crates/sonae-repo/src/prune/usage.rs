//! What is in use: every place of a blob with one bit, and which of several copies is the one that stays.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sonae_types::Digest;

use super::PruneError;
use crate::blob::BlobKind;
use crate::environment::Stop;
use crate::index::{Index, PlaceNumber};
use crate::reader::{ReadError, processors};
use crate::repository::Repository;
use crate::snapshot::Point;
use crate::walk::{Met, Walker};

/// One bit for every place of an index.
#[derive(Debug)]
pub(super) struct Bits(Vec<AtomicU64>);

/// How good a copy is to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// In a pack that is there.
    Good,
    /// In a pack that is marked.
    Marked,
    /// Read, and damaged.
    Damaged,
    /// In a pack that is gone or too short.
    Gone,
}

impl Bits {
    pub(super) fn of(index: &Index) -> Self {
        Self((0..index.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn set(&self, number: PlaceNumber) {
        self.0[number.at() / 64].fetch_or(1 << (number.at() % 64), Ordering::Relaxed);
    }

    pub(super) fn has(&self, number: PlaceNumber) -> bool {
        self.0[number.at() / 64].load(Ordering::Relaxed) >> (number.at() % 64) & 1 == 1
    }
}

/// The first place of every blob that a point needs.
///
/// Errors: a folder that cannot be read, a blob that no index file lists. What cannot be read cannot be known to be of
/// no use, and what is missing may lie in a pack that would go.
pub(super) fn used(
    repository: &Repository,
    index: &Index,
    points: &[Point],
    stop: &Stop,
) -> Result<Bits, PruneError> {
    let bits = Bits::of(index);
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let fail = |error: PruneError| {
        failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        next.store(points.len(), Ordering::Relaxed);
    };
    std::thread::scope(|scope| {
        for _ in 0..processors().min(points.len()) {
            scope.spawn(|| {
                let mut walker = Walker::new(repository, index);
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(stopped) = stop.check() {
                        return fail(stopped.into());
                    }
                    walker.walk(point, &mut |met| {
                        if let Err((path, cause)) = note(index, &bits, met) {
                            let vm = point.snapshot.hostname.clone();
                            fail(PruneError::Point { point: point.id, vm, path, cause });
                        }
                    });
                }
            });
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(bits), Err)
}

fn note(index: &Index, bits: &Bits, met: Met) -> Result<(), (String, Box<ReadError>)> {
    let (path, kind, ids) = match met {
        Met::Folder(tree) => (String::new(), BlobKind::Tree, vec![tree]),
        Met::File(file) => (file.path, BlobKind::Data, file.content),
        Met::Unreadable { path, cause, .. } => return Err((path, Box::new(cause))),
    };
    for id in ids {
        match index.number(kind, id) {
            Some(number) => bits.set(number),
            None => return Err((path, Box::new(ReadError::Missing { kind, id }))),
        }
    }
    Ok(())
}

/// The one copy of every used blob that is worth most. Errors: a blob all of whose packs are gone.
pub(super) fn kept(
    index: &Index,
    used: &Bits,
    worth: impl Fn(PlaceNumber) -> Worth,
) -> Result<Bits, PruneError> {
    let kept = Bits::of(index);
    for (number, place) in index.numbered().filter(|(number, _)| used.has(*number)) {
        let (kind, id) = (place.blob.kind, place.blob.id);
        let best = index.numbers(kind, id).min_by_key(|copy| worth(*copy)).unwrap_or(number);
        if worth(best) == Worth::Gone {
            return Err(PruneError::Read(ReadError::Missing { kind, id }));
        }
        kept.set(best);
    }
    Ok(kept)
}

/// The copies that stay of all that also lies in packs of which something goes, as they lie in the repository.
pub(super) fn relied_upon(
    index: &Index,
    kept: &Bits,
    goes: impl Fn(PlaceNumber) -> bool,
) -> Vec<PlaceNumber> {
    let wanted = Bits::of(index);
    let going = index.numbered().filter(|(number, _)| !kept.has(*number) && goes(*number));
    for (_, place) in going {
        let mut copies = index.numbers(place.blob.kind, place.blob.id);
        copies.find(|copy| kept.has(*copy)).inspect(|copy| wanted.set(*copy));
    }
    let wanted = index.numbered().map(|(number, _)| number).filter(|number| wanted.has(*number));
    let mut wanted = wanted.collect::<Vec<_>>();
    wanted.sort_unstable_by_key(|number| index.storage_order(*number));
    wanted
}

/// Packs by the numbers that an index gives them.
#[derive(Debug)]
pub(super) struct PackNumbers(Vec<u32>);

impl PackNumbers {
    /// `number_of` says which number of ours a pack has.
    pub(super) fn of(index: &Index, number_of: impl Fn(Digest) -> u32) -> Self {
        let mut numbers = Vec::new();
        for (number, place) in index.numbered() {
            let at = index.storage_order(number).0 as usize;
            if numbers.len() <= at {
                numbers.resize(at + 1, u32::MAX);
            }
            if numbers[at] == u32::MAX {
                numbers[at] = number_of(place.pack);
            }
        }
        Self(numbers)
    }

    pub(super) fn get(&self, index: &Index, number: PlaceNumber) -> usize {
        self.0[index.storage_order(number).0 as usize] as usize
    }
}

/// Places that were read and found damaged.
pub(super) type Damaged = HashSet<PlaceNumber>;
