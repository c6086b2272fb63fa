//! Storing a file and making sure that the store has it: a store that says yes and has nothing is found out before
//! anything references the file.

use sonae_types::ByteCount;

use crate::hash::sha256;
use crate::store::{FileName, ObjectStore, StoreError};

/// How sure to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// The store has a file of this name and length.
    Length,
    /// The store gives the same bytes back, and they are what the name says: not what memory made of them since they
    /// were named.
    Bytes,
}

/// Stores a file and asks the store for it.
///
/// Errors: those of [`ObjectStore::put`], [`StoreError::NotKept`], [`StoreError::Altered`]. What may then lie there in
/// part is removed, since every later check would find it as damage; a configuration only where it is a part of ours.
pub fn keep(
    store: &dyn ObjectStore,
    name: FileName,
    bytes: &[u8],
    confirm: Confirm,
) -> Result<(), StoreError> {
    let put = store.put(name, bytes);
    let accepted = put.is_ok();
    let kept = put.and_then(|()| confirmed(store, name, bytes, confirm));
    let ours = match (&kept, name) {
        (Ok(()), _) | (Err(StoreError::Exists { .. }), _) => false,
        (Err(_), FileName::Hashed(..)) => true,
        // Where the store took it, there was none before.
        (Err(_), FileName::Config) => {
            accepted
                || store.get(name).is_ok_and(|found| found.len() < bytes.len() && bytes.starts_with(&found))
        }
    };
    if ours {
        // Where it cannot be removed, it is found as damage; nothing references it.
        drop(store.remove(name));
    }
    kept
}

/// Stores a file in the place of one with other bytes, and compares what the store gives back.
///
/// Errors: as [`keep`]. Nothing is removed then: what was there may be of use in parts.
pub fn replace(store: &dyn ObjectStore, name: FileName, bytes: &[u8]) -> Result<(), StoreError> {
    store.put(name, bytes)?;
    confirmed(store, name, bytes, Confirm::Bytes)
}

fn is_named(name: FileName, bytes: &[u8]) -> bool {
    match name {
        FileName::Config => true,
        FileName::Hashed(_, id) => sha256(bytes) == id,
    }
}

fn confirmed(
    store: &dyn ObjectStore,
    name: FileName,
    bytes: &[u8],
    confirm: Confirm,
) -> Result<(), StoreError> {
    let not_kept = |found| StoreError::NotKept {
        name,
        location: store.location().to_owned(),
        expected: ByteCount::of_len(bytes.len()),
        found,
    };
    let found = match confirm {
        Confirm::Length => store.size(name).map(|size| (size, true)),
        Confirm::Bytes => store
            .get(name)
            .map(|found| (ByteCount::of_len(found.len()), found == bytes && is_named(name, &found))),
    };
    match found {
        Ok((size, _)) if size != ByteCount::of_len(bytes.len()) => Err(not_kept(Some(size))),
        Ok((_, false)) => Err(StoreError::Altered { name, location: store.location().to_owned() }),
        Ok((_, true)) => Ok(()),
        Err(error) if error.is_not_found() => Err(not_kept(None)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{FileKind, MemoryStore};

    #[test]
    fn a_bit_that_memory_lost_after_a_file_was_named_is_caught_and_the_file_is_removed() {
        let store = MemoryStore::new();
        let mut bytes = vec![7; 5_000];
        for kind in [FileKind::Data, FileKind::Index, FileKind::Snapshot] {
            let name = FileName::Hashed(kind, sha256(&bytes));
            keep(&store, name, &bytes, Confirm::Bytes).unwrap();
            store.remove(name).unwrap();
            bytes[4_321] ^= 2;
            let refused = keep(&store, name, &bytes, Confirm::Bytes);
            assert!(matches!(refused, Err(StoreError::Altered { .. })), "{refused:?}");
            assert!(store.size(name).unwrap_err().is_not_found());
        }
    }
}
