//! The index: which blob lies where. In memory at most 64 bytes a blob; in the repository many files that add up.

mod file;
mod table;
#[cfg(test)]
mod tests;

use sonae_types::Digest;

use crate::blob::{BlobEntry, BlobKind};

pub use file::{IndexError, IndexedPack, decode_index, encode_index};
use table::Table;

/// Most blobs in one index file; readers advise it to stay below 8 MiB.
pub const INDEX_BLOBS_MAX: usize = 50_000;

/// Most places of one blob that are kept. Hundreds of machines may store the same chunk at once, each a copy; a hostile
/// index could name millions, and every one of them would be compared with all before it.
pub const COPIES_MAX: usize = 1_000;

/// All index files of a repository added up.
#[derive(Debug, Default)]
pub struct Index {
    table: Table,
    packs: Vec<Digest>,
}

/// Where one copy of a blob lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: Digest,
    /// Its place in the pack and its lengths.
    pub blob: BlobEntry,
}

/// The number of a place in the index: small, for long lists of what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceNumber(u32);

impl PlaceNumber {
    /// The number, for lists with an entry for every place; below [`Index::len`].
    #[must_use]
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

impl Index {
    /// Adds what a pack holds. The same pack twice does no harm; a blob in several packs keeps its places, at most
    /// [`COPIES_MAX`] of them.
    pub fn add(&mut self, pack: &IndexedPack) {
        let number = u32::try_from(self.packs.len()).expect("fewer than 2^31 packs");
        self.packs.push(pack.id);
        let mut used = false;
        for blob in &pack.blobs {
            let (mut copies, mut known) = (0, false);
            for place in self.locations(blob.kind, blob.id) {
                copies += 1;
                known = known || (place.pack == pack.id && place.blob.offset == blob.offset);
            }
            if !known && copies < COPIES_MAX {
                self.table.insert(blob, number);
                used = true;
            }
        }
        if !used {
            self.packs.pop();
        }
    }

    /// Whether the blob lies anywhere.
    #[must_use]
    pub fn has(&self, kind: BlobKind, id: Digest) -> bool {
        self.table.find(kind, id).next().is_some()
    }

    /// Every place where the blob lies, in the order they were added.
    pub fn locations(&self, kind: BlobKind, id: Digest) -> impl Iterator<Item = Location> + '_ {
        self.table.find(kind, id).map(|(blob, pack)| Location { pack: self.packs[pack as usize], blob })
    }

    /// The first place where the blob lies.
    #[must_use]
    pub fn locate(&self, kind: BlobKind, id: Digest) -> Option<Location> {
        self.locations(kind, id).next()
    }

    /// The number of the first place where the blob lies.
    #[must_use]
    pub fn number(&self, kind: BlobKind, id: Digest) -> Option<PlaceNumber> {
        self.table.find_numbers(kind, id).next().map(PlaceNumber)
    }

    /// The number of every place where the blob lies.
    pub fn numbers(&self, kind: BlobKind, id: Digest) -> impl Iterator<Item = PlaceNumber> + '_ {
        self.table.find_numbers(kind, id).map(PlaceNumber)
    }

    /// Every number, with the place that it stands for.
    pub fn numbered(&self) -> impl Iterator<Item = (PlaceNumber, Location)> + '_ {
        (0..).map(PlaceNumber).zip(self.iter())
    }

    /// The place with this number.
    #[must_use]
    pub fn place(&self, number: PlaceNumber) -> Location {
        let (blob, pack) = self.table.get(number.0);
        Location { pack: self.packs[pack as usize], blob }
    }

    /// What sorts places as they lie in the repository: pack by pack, front to back.
    #[must_use]
    pub fn storage_order(&self, number: PlaceNumber) -> (u32, u32) {
        let (blob, pack) = self.table.get(number.0);
        (pack, blob.offset)
    }

    /// Length of the blob's plaintext.
    #[must_use]
    pub fn plain_len(&self, kind: BlobKind, id: Digest) -> Option<u32> {
        self.table.find(kind, id).next().map(|(blob, _)| blob.plain_len())
    }

    /// Number of places known, copies counted each.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no blob is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every place known, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = Location> + '_ {
        self.table.iter().map(|(blob, pack)| Location { pack: self.packs[pack as usize], blob })
    }

    /// Memory that the index takes for its blobs, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.packs.capacity() * 32
    }
}
