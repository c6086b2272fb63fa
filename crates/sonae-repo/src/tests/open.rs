//! What opening a repository costs: the key derivation, and one read of each file of the index.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::crypto::Password;
use crate::hash::sha256;
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

#[test]
fn a_key_file_that_does_not_say_who_made_it_opens_as_those_of_rustic_do() {
    let memory = MemoryStore::new();
    drop(memory_repository(&memory));
    let ours = FileName::Hashed(FileKind::Key, memory.list(FileKind::Key).unwrap()[0].id);
    let mut json: serde_json::Value = serde_json::from_slice(&memory.get(ours).unwrap()).unwrap();
    for field in ["created", "username", "hostname"] {
        json.as_object_mut().unwrap().remove(field).unwrap();
    }
    let bytes = serde_json::to_vec(&json).unwrap();
    memory.put(FileName::Hashed(FileKind::Key, sha256(&bytes)), &bytes).unwrap();
    memory.remove(ours).unwrap();
    let password = Password::from_file_bytes(b"secret");
    let opened = Repository::open(Arc::new(memory), environment(), &password).unwrap();
    let slots = opened.keys().unwrap();
    let file = slots[0].file.as_ref().unwrap();
    assert_eq!((slots.len(), file.username(), file.created()), (1, "", None));
}
