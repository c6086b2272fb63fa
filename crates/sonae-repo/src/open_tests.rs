//! What opening a repository costs: the key derivation, and one read of each file of the index.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sonae_types::ByteCount;

use crate::crypto::Password;
use crate::repository::Repository;
use crate::store::{FileKind, FileName, Listed, MemoryStore, ObjectStore, StoreError};
use crate::testing::{Holes, environment, image, memory_repository, save_disk};

/// Counts how often each file is read.
#[derive(Debug)]
struct CountingStore {
    inner: MemoryStore,
    reads: Mutex<BTreeMap<FileName, usize>>,
}

impl ObjectStore for CountingStore {
    fn location(&self) -> &str {
        self.inner.location()
    }
    fn put(&self, name: FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner.put(name, bytes)
    }
    fn get(&self, name: FileName) -> Result<Vec<u8>, StoreError> {
        *self.reads.lock().unwrap().entry(name).or_default() += 1;
        self.inner.get(name)
    }
    fn get_range(&self, name: FileName, at: u64, into: &mut [u8]) -> Result<(), StoreError> {
        *self.reads.lock().unwrap().entry(name).or_default() += 1;
        self.inner.get_range(name, at, into)
    }
    fn size(&self, name: FileName) -> Result<ByteCount, StoreError> {
        self.inner.size(name)
    }
    fn list(&self, kind: FileKind) -> Result<Vec<Listed>, StoreError> {
        self.inner.list(kind)
    }
    fn remove(&self, name: FileName) -> Result<(), StoreError> {
        self.inner.remove(name)
    }
}

#[test]
fn opening_reads_the_config_one_key_and_each_index_file_once_and_no_pack() {
    let memory = MemoryStore::new();
    let repository = memory_repository(&memory);
    for recipe in ["tnt", "nnn", "ztz"] {
        save_disk(&repository, image(recipe, 0), Holes::Told).unwrap();
    }
    let store = Arc::new(CountingStore { inner: memory.clone(), reads: Mutex::default() });
    let password = Password::from_file_bytes(b"secret");
    let opened =
        Repository::open(Arc::clone(&store) as Arc<dyn ObjectStore>, environment(), &password).unwrap();
    assert!(!opened.load_index().unwrap().is_empty());
    let index = memory.list(FileKind::Index).unwrap();
    assert_eq!(index.len(), 3);
    let files =
        |kind, files: Vec<Listed>| files.into_iter().map(move |file| (FileName::Hashed(kind, file.id), 1));
    let mut expected = files(FileKind::Index, index).collect::<BTreeMap<_, _>>();
    expected.extend(files(FileKind::Key, memory.list(FileKind::Key).unwrap()));
    expected.insert(FileName::Config, 1);
    assert_eq!(*store.reads.lock().unwrap(), expected);
}
