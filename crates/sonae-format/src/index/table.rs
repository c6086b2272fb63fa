//! A hash table of blobs that takes at most 64 bytes a blob: 48 for the entry, and two to three slots of four bytes.
//!
//! Entries lie in segments of fixed length, so that growing never copies them and never leaves half the memory empty.
//! Blob ids are SHA-256 and hash enough where they are true. An index file may state others, all of which would begin
//! alike; so they are hashed once more, under a seed that nobody knows.

use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;

use sonae_types::Digest;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::blob::{BlobEntry, BlobKind};

const SEGMENT: usize = 512;
const TREE_BIT: u32 = 1 << 31;
const FREE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: [u8; 32],
    /// The pack's number; the highest bit says tree.
    pack: u32,
    offset: u32,
    length: u32,
    /// Zero: stored raw.
    expanded: u32,
}

const _: () = assert!(size_of::<Entry>() == 48);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Table {
    segments: Vec<Vec<Entry>>,
    slots: Vec<u32>,
    len: usize,
    seed: Seed,
}

/// Another one for every table. It decides only which slot is tried first, which nobody gets to see.
#[derive(Debug)]
struct Seed(u64);

impl Default for Seed {
    fn default() -> Self {
        Self(RandomState::new().hash_one(()))
    }
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, blob: &BlobEntry, pack: u32) {
        assert!(pack < TREE_BIT, "fewer than 2^31 packs");
        // Never more than half full: a miss then touches one or two entries, each of them a miss of the cache.
        if self.slots.len() < (self.len + 1) * 2 {
            self.grow();
        }
        let number = u32::try_from(self.len).ok().filter(|n| *n != FREE).expect("fewer than 2^32 blobs");
        if self.len.is_multiple_of(SEGMENT) {
            self.segments.push(Vec::with_capacity(SEGMENT));
        }
        let kind = match blob.kind {
            BlobKind::Data => 0,
            BlobKind::Tree => TREE_BIT,
        };
        let entry = Entry {
            id: *blob.id.as_bytes(),
            pack: pack | kind,
            offset: blob.offset,
            length: blob.length,
            expanded: blob.expanded.map_or(0, NonZeroU32::get),
        };
        self.segments.last_mut().expect("just made sure of").push(entry);
        self.len += 1;
        self.place(&entry.id, number);
    }

    /// All entries of this blob, oldest first.
    pub(super) fn find(&self, kind: BlobKind, id: Digest) -> impl Iterator<Item = (BlobEntry, u32)> + '_ {
        self.find_numbers(kind, id).map(|number| self.get(number))
    }

    /// The numbers of all entries of this blob, oldest first.
    pub(super) fn find_numbers(&self, kind: BlobKind, id: Digest) -> impl Iterator<Item = u32> + '_ {
        let count = self.slots.len();
        let start = if count == 0 { 0 } else { self.home(id.as_bytes()) };
        (0..count)
            .map(move |step| self.slots[(start + step) % count])
            .take_while(|slot| *slot != FREE)
            .filter(move |number| {
                let entry = self.entry(*number);
                entry.id == *id.as_bytes() && entry.kind() == kind
            })
    }

    pub(super) fn get(&self, number: u32) -> (BlobEntry, u32) {
        self.entry(number).out()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (BlobEntry, u32)> + '_ {
        self.segments.iter().flatten().map(Entry::out)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.segments.len() * SEGMENT * size_of::<Entry>() + self.slots.capacity() * size_of::<u32>()
    }

    /// How many slots the worst search goes through.
    #[cfg(test)]
    pub(super) fn longest_search(&self) -> usize {
        self.slots.chunk_by(|a, b| *a != FREE && *b != FREE).map(<[u32]>::len).max().unwrap_or(0)
    }

    fn grow(&mut self) {
        // By a half, not double: between a half and a third full, at most 12 bytes a blob.
        let count = (self.slots.len() * 3 / 2).max(1 << 10);
        self.slots = Vec::new();
        self.slots = vec![FREE; count];
        for number in 0..self.len {
            let number = u32::try_from(number).expect("fewer than 2^32 blobs");
            let id = self.entry(number).id;
            self.place(&id, number);
        }
    }

    fn place(&mut self, id: &[u8; 32], number: u32) {
        let count = self.slots.len();
        let mut at = self.home(id);
        while self.slots[at] != FREE {
            at = (at + 1) % count;
        }
        self.slots[at] = number;
    }

    /// Maps an id onto the slots without a division that would show a pattern: the high product of hash and count.
    fn home(&self, id: &[u8; 32]) -> usize {
        let hash = xxh3_64_with_seed(id, self.seed.0);
        let high = (u128::from(hash) * self.slots.len() as u128) >> 64;
        usize::try_from(high).expect("below the number of slots")
    }

    fn entry(&self, number: u32) -> &Entry {
        let number = number as usize;
        &self.segments[number / SEGMENT][number % SEGMENT]
    }
}

impl Entry {
    fn kind(&self) -> BlobKind {
        if self.pack & TREE_BIT == 0 { BlobKind::Data } else { BlobKind::Tree }
    }

    fn out(&self) -> (BlobEntry, u32) {
        let blob = BlobEntry {
            kind: self.kind(),
            id: Digest::new(self.id),
            offset: self.offset,
            length: self.length,
            expanded: NonZeroU32::new(self.expanded),
        };
        (blob, self.pack & !TREE_BIT)
    }
}
