//! A store in memory, for tests: what a power failure would leave is not modelled here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sonae_types::ByteCount;

use super::{FileKind, FileName, Listed, ObjectStore, StoreError};

const LOCATION: &str = "memory";

/// Keeps the files of a repository in memory; clones share the same files.
#[derive(Clone, Default)]
pub struct MemoryStore {
    files: Arc<Mutex<Files>>,
}

type Files = BTreeMap<FileName, Arc<[u8]>>;

impl MemoryStore {
    /// A store without files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        // Every change below is one call on the map, so a panic elsewhere leaves no half-made state behind.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, name: FileName) -> Result<Arc<[u8]>, StoreError> {
        self.files().get(&name).cloned().ok_or_else(|| not_found(name))
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("files", &self.files().len()).finish()
    }
}

impl ObjectStore for MemoryStore {
    fn location(&self) -> &str {
        LOCATION
    }

    fn put(&self, name: FileName, bytes: &[u8]) -> Result<(), StoreError> {
        let bytes = Arc::from(bytes);
        let mut files = self.files();
        if name == FileName::Config && files.contains_key(&name) {
            return Err(StoreError::Exists { name, location: LOCATION.to_owned() });
        }
        files.insert(name, bytes);
        Ok(())
    }

    fn get(&self, name: FileName) -> Result<Vec<u8>, StoreError> {
        Ok(self.file(name)?.to_vec())
    }

    fn get_range(&self, name: FileName, at: u64, into: &mut [u8]) -> Result<(), StoreError> {
        let file = self.file(name)?;
        let range = usize::try_from(at).ok().and_then(|at| file.get(at..at.checked_add(into.len())?));
        match range {
            Some(bytes) => into.copy_from_slice(bytes),
            None => {
                return Err(StoreError::Short {
                    name,
                    location: LOCATION.to_owned(),
                    at,
                    len: ByteCount::of_len(into.len()).get(),
                    size: ByteCount::of_len(file.len()),
                });
            }
        }
        Ok(())
    }

    fn size(&self, name: FileName) -> Result<ByteCount, StoreError> {
        Ok(ByteCount::of_len(self.file(name)?.len()))
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>, StoreError> {
        // The map is sorted by kind, then by id.
        let listed = |(name, bytes): (&FileName, &Arc<[u8]>)| match name {
            FileName::Hashed(of, id) if *of == kind => {
                Some(Listed { id: *id, size: ByteCount::of_len(bytes.len()) })
            }
            FileName::Hashed(..) | FileName::Config => None,
        };
        Ok(self.files().iter().filter_map(listed).collect())
    }

    fn remove(&self, name: FileName) -> Result<(), StoreError> {
        self.files().remove(&name).map(drop).ok_or_else(|| not_found(name))
    }
}

fn not_found(name: FileName) -> StoreError {
    StoreError::NotFound { name, location: LOCATION.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;

    #[test]
    fn keeps_the_contract_of_stores() {
        contract::check(&|| Box::new(MemoryStore::new()));
    }

    #[test]
    fn clones_share_their_files() {
        let store = MemoryStore::new();
        store.clone().put(FileName::Config, b"shared").unwrap();
        assert_eq!(store.get(FileName::Config).unwrap(), b"shared");
    }
}
