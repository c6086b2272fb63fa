//! A pack as it lies in the store, for whoever goes through all of it: in memory where it has a usual size, else read in
//! parts, so that a giant costs time and no memory.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};
use sonae_types::{ByteCount, Digest};

use crate::hash::sha256;
use crate::store::{FileKind, FileName, ObjectStore, StoreError};

/// Longest pack that is held in memory: restic's longest, and its header. Every thread holds one.
pub const WHOLE_PACK_BYTES_MAX: ByteCount = ByteCount::mib(144);
/// Longest pack of the format, whose offsets have 32 bits, with its header.
pub const PACK_FILE_BYTES_MAX: ByteCount = ByteCount::new((4 << 30) + (16 << 20) + 4);
/// How much is read at once to hash a pack in parts.
const PART_BYTES: ByteCount = ByteCount::mib(4);

/// A pack that is there.
#[derive(Debug)]
pub(crate) struct StoredPack<'a> {
    store: &'a dyn ObjectStore,
    name: FileName,
    size: ByteCount,
    /// Empty where the pack is read in parts.
    bytes: Vec<u8>,
}

impl<'a> StoredPack<'a> {
    /// The pack with this id. Errors: those of the store.
    pub(crate) fn open(store: &'a dyn ObjectStore, id: Digest) -> Result<Self, StoreError> {
        let name = FileName::Hashed(FileKind::Data, id);
        let size = store.size(name)?;
        if WHOLE_PACK_BYTES_MAX < size {
            return Ok(Self { store, name, size, bytes: Vec::new() });
        }
        let bytes = store.get(name)?;
        Ok(Self { store, name, size: ByteCount::of_len(bytes.len()), bytes })
    }

    pub(crate) fn size(&self) -> ByteCount {
        self.size
    }

    /// What the pack's bytes hash to. Errors: those of the store.
    pub(crate) fn sha256(&self) -> Result<Digest, StoreError> {
        if self.is_whole() {
            return Ok(sha256(&self.bytes));
        }
        let mut hasher = Sha256::new();
        let mut part = vec![0; PART_BYTES.as_len()];
        let mut at = 0;
        while at < self.size.get() {
            let part = &mut part[..ByteCount::new(self.size.get() - at).min(PART_BYTES).as_len()];
            self.store.get_range(self.name, at, part)?;
            hasher.update(&*part);
            at += part.len() as u64;
        }
        Ok(Digest::new(hasher.finalize().into()))
    }

    /// These bytes of the pack; none where it does not have them. Errors: those of the store.
    pub(crate) fn range(&self, at: u64, len: usize) -> Result<Option<Cow<'_, [u8]>>, StoreError> {
        let Some(end) = at.checked_add(len as u64).filter(|end| *end <= self.size.get()) else {
            return Ok(None);
        };
        if self.is_whole() {
            let [at, end] = [at, end].map(|at| usize::try_from(at).expect("inside memory"));
            return Ok(Some(Cow::Borrowed(&self.bytes[at..end])));
        }
        let mut bytes = vec![0; len];
        self.store.get_range(self.name, at, &mut bytes)?;
        Ok(Some(Cow::Owned(bytes)))
    }

    fn is_whole(&self) -> bool {
        self.size == ByteCount::of_len(self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn a_pack_in_parts_is_the_same_as_one_in_memory() {
        let store = MemoryStore::new();
        let bytes = (0..9_000_000u32).map(|n| n.to_le_bytes()[1]).collect::<Vec<_>>();
        let id = sha256(&bytes);
        let name = FileName::Hashed(FileKind::Data, id);
        store.put(name, &bytes).unwrap();
        let whole = StoredPack::open(&store, id).unwrap();
        let parts = StoredPack { store: &store, name, size: whole.size(), bytes: Vec::new() };
        assert!(whole.is_whole() && !parts.is_whole());
        for pack in [whole, parts] {
            assert_eq!(pack.sha256().unwrap(), id);
            assert_eq!(pack.range(8_999_990, 10).unwrap().as_deref(), Some(&bytes[8_999_990..]));
            assert_eq!(pack.range(8_999_990, 11).unwrap(), None);
            assert_eq!(pack.range(u64::MAX, 1).unwrap(), None);
        }
    }
}
