//! Copies: a blob may lie in several packs, and one of them is the one that stays.

use std::sync::atomic::{AtomicU64, Ordering};

use sonae_types::Digest;

use crate::blob::BlobKind;
use crate::index::{Index, PlaceNumber};

/// One bit for every place of an index.
#[derive(Debug)]
pub struct Bits(Vec<AtomicU64>);

/// How good a copy is to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
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
    /// None set.
    #[must_use]
    pub fn of(index: &Index) -> Self {
        Self((0..index.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Sets the bit of a place.
    pub fn set(&self, number: PlaceNumber) {
        self.0[number.at() / 64].fetch_or(1 << (number.at() % 64), Ordering::Relaxed);
    }

    /// Whether the bit of a place is set.
    #[must_use]
    pub fn has(&self, number: PlaceNumber) -> bool {
        self.0[number.at() / 64].load(Ordering::Relaxed) >> (number.at() % 64) & 1 == 1
    }
}

/// The one copy of every used blob that is worth most. Errors: a blob all of whose packs are gone.
pub fn kept(
    index: &Index,
    used: &Bits,
    worth: impl Fn(PlaceNumber) -> Worth,
) -> Result<Bits, (BlobKind, Digest)> {
    let kept = Bits::of(index);
    for (number, place) in index.numbered().filter(|(number, _)| used.has(*number)) {
        let (kind, id) = (place.blob.kind, place.blob.id);
        let best = index.numbers(kind, id).min_by_key(|copy| worth(*copy)).unwrap_or(number);
        if worth(best) == Worth::Gone {
            return Err((kind, id));
        }
        kept.set(best);
    }
    Ok(kept)
}

/// The copies that stay of all that also lies in packs of which something goes, as they lie in the repository.
pub fn relied_upon(index: &Index, kept: &Bits, goes: impl Fn(PlaceNumber) -> bool) -> Vec<PlaceNumber> {
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
pub struct PackNumbers(Vec<u32>);

impl PackNumbers {
    /// `number_of` says which number of ours a pack has.
    pub fn of(index: &Index, number_of: impl Fn(Digest) -> u32) -> Self {
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

    /// The number of ours of the pack of a place.
    #[must_use]
    pub fn get(&self, index: &Index, number: PlaceNumber) -> usize {
        self.0[index.storage_order(number).0 as usize] as usize
    }
}
