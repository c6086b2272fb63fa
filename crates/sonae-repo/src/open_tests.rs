//! What opening a repository costs: the key derivation, and one read of each file of the index.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::crypto::Password;
use crate::repository::Repository;
use crate::store::fault::FaultStore;
use crate::store::wrap::{Target, Verb};
use crate::store::{FileKind, FileName, Listed, MemoryStore, ObjectStore};
use crate::testing::{Holes, environment, image, memory_repository, save_disk};

#[test]
fn opening_reads_the_config_one_key_and_each_index_file_once_and_no_pack() {
    let memory = MemoryStore::new();
    let repository = memory_repository(&memory);
    for recipe in ["tnt", "nnn", "ztz"] {
        save_disk(&repository, image(recipe, 0), Holes::Told).unwrap();
    }
    let store = Arc::new(FaultStore::calm(Arc::new(memory.clone())));
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
    let mut reads = BTreeMap::new();
    for seen in store.log().iter().filter(|seen| matches!(seen.verb, Verb::Get | Verb::GetRange)) {
        let Target::File(name) = seen.target else { panic!("{seen:?}") };
        *reads.entry(name).or_default() += 1;
    }
    assert_eq!(reads, expected);
}
