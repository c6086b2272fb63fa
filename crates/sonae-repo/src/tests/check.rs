//! Damage of every kind is found, with its place, and hides nothing else.

use sonae_types::Digest;

use crate::check::{CheckReport, Depth, Finding};
use crate::repository::Repository;
use crate::restore::RestoreError;
use crate::snapshot::Point;
use crate::store::{FileKind, FileName, MemoryStore, ObjectStore as _};
use crate::testing::{Holes, MemoryDisk, image, memory_repository, restore_disk, save_disk};
use crate::{Progress, Stop};

struct Case {
    store: MemoryStore,
    repository: Repository,
    point: Point,
    bytes: Vec<u8>,
}

fn case() -> Case {
    let store = MemoryStore::new();
    let repository = memory_repository(&store);
    let bytes = image("tntznzzztt", 77);
    let point = save_disk(&repository, bytes.clone(), Holes::Told).unwrap();
    Case { store, repository, point, bytes }
}

impl Case {
    fn check(&self, depth: Depth) -> CheckReport {
        self.repository.check(depth, &Stop::default(), &Progress::default()).unwrap()
    }

    fn verify(&self) -> Vec<Finding> {
        let index = self.repository.load_index_around_damage().unwrap().index;
        self.repository
            .verify(std::slice::from_ref(&self.point), &index, &Stop::default(), &Progress::default())
            .unwrap()
            .findings
    }

    fn files(&self, kind: FileKind) -> Vec<Digest> {
        self.store.list(kind).unwrap().into_iter().map(|file| file.id).collect()
    }

    fn change(&self, kind: FileKind, id: Digest, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.store.get(FileName::Hashed(kind, id)).unwrap();
        change(&mut bytes);
        self.store.put(FileName::Hashed(kind, id), &bytes).unwrap();
    }

    /// Flips a bit inside the longest chunk, which is no zero chunk: those are known without reading.
    fn flip_bit_in_longest_chunk(&self) {
        let index = self.repository.load_index().unwrap();
        let place = index.iter().max_by_key(|place| place.blob.length).unwrap();
        self.change(FileKind::Data, place.pack, |bytes| bytes[place.blob.offset as usize + 40] ^= 1);
    }

    /// The pack of chunks (the larger one) and the pack of trees.
    fn packs(&self) -> (Digest, Digest) {
        let mut packs = self.store.list(FileKind::Data).unwrap();
        packs.sort_by_key(|pack| pack.size);
        (packs[1].id, packs[0].id)
    }
}

#[test]
fn a_sound_repository_has_no_findings() {
    let case = case();
    let report = case.check(Depth::Data);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!((report.points, report.packs), (1, 2));
    assert!(0 < report.read.get());
    assert!(case.verify().is_empty());
}

#[test]
fn a_flipped_bit_in_a_chunk_is_found_by_reading_with_machine_disk_and_offset() {
    let case = case();
    case.flip_bit_in_longest_chunk();
    assert!(case.check(Depth::Structure).findings.is_empty());
    for findings in [case.check(Depth::Data).findings, case.verify()] {
        let range = findings.iter().find_map(|finding| {
            if let Finding::Range { vm, path, at, .. } = finding {
                Some((vm.as_str(), path.as_str(), *at))
            } else {
                None
            }
        });
        let (vm, path, at) = range.expect("the damage has a place");
        assert_eq!((vm, path), ("vm", "/vm/disk-vda.raw"));
        assert!(at.is_some());
    }
    let disk = MemoryDisk::fresh(case.bytes.len());
    let outcome = restore_disk(&case.repository, &case.point, &disk).unwrap();
    assert_eq!(outcome.damaged.len(), 1);
    assert_eq!(disk.times_finished(), 0, "a damaged restore must never look whole");
    let (at, len) = (usize::try_from(outcome.damaged[0].at.get()).unwrap(), outcome.damaged[0].len.as_len());
    let mut expected = case.bytes.clone();
    expected[at..at + len].fill(0);
    assert!(disk.content() == expected, "everything else is restored");
}

#[test]
fn a_truncated_an_empty_and_a_missing_pack_are_seen_without_reading() {
    for cut in [Some(1), Some(1_000_000_000), None] {
        let case = case();
        let (pack, _) = case.packs();
        match cut {
            Some(cut) => {
                case.change(FileKind::Data, pack, |bytes| bytes.truncate(bytes.len().saturating_sub(cut)));
            }
            None => case.store.remove(FileName::Hashed(FileKind::Data, pack)).unwrap(),
        }
        let report = case.check(Depth::Structure);
        let (pack, rest) = report.findings.split_first().unwrap();
        assert!(matches!(pack, Finding::PackSize { .. } | Finding::PackMissing { .. }), "{pack:?}");
        // The last byte is no part of a chunk; without the others, all are lost, and it is told to whom.
        assert_eq!(rest.is_empty(), cut == Some(1), "{rest:?}");
        let told =
            |finding: &Finding| matches!(finding, Finding::Range { vm, len: Some(_), .. } if vm == "vm");
        assert!(rest.iter().all(told), "{rest:?}");
        assert!(!case.check(Depth::Data).findings.is_empty());
    }
}

#[test]
fn bytes_appended_to_a_pack_are_seen_without_reading() {
    let case = case();
    let (pack, _) = case.packs();
    case.change(FileKind::Data, pack, |bytes| bytes.push(0));
    assert!(matches!(case.check(Depth::Structure).findings[..], [Finding::PackSize { .. }]));
}

#[test]
fn a_damaged_listing_names_the_point_and_the_machine() {
    let case = case();
    let (_, trees) = case.packs();
    case.change(FileKind::Data, trees, |bytes| bytes[20] ^= 128);
    for found in [case.check(Depth::Structure).findings, case.verify()] {
        assert!(
            found.iter().any(|finding| matches!(finding, Finding::Folder { vm, .. } if vm == "vm")),
            "{found:?}"
        );
    }
}

#[test]
fn damaged_index_and_point_files_are_found_and_the_rest_is_still_checked() {
    for kind in [FileKind::Index, FileKind::Snapshot] {
        let case = case();
        let second = save_disk(&case.repository, image("nnn", 0), Holes::Told).unwrap();
        let id = case.files(kind).into_iter().find(|id| *id != second.id).unwrap();
        case.change(kind, id, |bytes| bytes[30] ^= 2);
        let report = case.check(Depth::Data);
        assert!(
            report.findings.iter().any(|finding| matches!(finding, Finding::File { .. })),
            "{:?}",
            report.findings
        );
        if kind == FileKind::Index {
            assert!(case.repository.load_index().is_err(), "nobody writes on half an index");
        }
    }
}

#[test]
fn a_second_sound_copy_of_a_damaged_chunk_is_used() {
    let case = case();
    let (pack, _) = case.packs();
    // The same chunks once more, in a pack of their own: as two machines write that backed up at the same time.
    let other = MemoryStore::new();
    for kind in [FileKind::Key, FileKind::Lock] {
        for id in case.files(kind) {
            other
                .put(FileName::Hashed(kind, id), &case.store.get(FileName::Hashed(kind, id)).unwrap())
                .unwrap();
        }
    }
    other.put(FileName::Config, &case.store.get(FileName::Config).unwrap()).unwrap();
    let password = crate::crypto::Password::from_file_bytes(b"secret");
    let mut environment = crate::testing::environment();
    environment.entropy = std::sync::Arc::new(crate::testing::CountingEntropy::starting_at(9));
    let twin = Repository::open(std::sync::Arc::new(other.clone()), environment, &password).unwrap();
    save_disk(&twin, case.bytes.clone(), Holes::Told).unwrap();
    for kind in [FileKind::Data, FileKind::Index] {
        for file in other.list(kind).unwrap() {
            case.store
                .put(FileName::Hashed(kind, file.id), &other.get(FileName::Hashed(kind, file.id)).unwrap())
                .unwrap();
        }
    }
    case.change(FileKind::Data, pack, |bytes| bytes[40] ^= 1);
    let disk = MemoryDisk::fresh(case.bytes.len());
    let outcome = restore_disk(&case.repository, &case.point, &disk).unwrap();
    assert!(outcome.damaged.is_empty());
    assert!(disk.content() == case.bytes);
    assert!(case.verify().is_empty());
    let found = case.check(Depth::Data).findings;
    assert!(
        matches!(found[..], [Finding::PackDamaged { .. }, ..]),
        "the bad copy is still reported: {found:?}"
    );
    assert!(!found.iter().any(|finding| matches!(finding, Finding::Range { .. })), "{found:?}");
}

#[test]
fn a_chunk_in_no_index_is_an_error_that_names_it_and_writes_nothing() {
    let case = case();
    for id in case.files(FileKind::Index) {
        case.store.remove(FileName::Hashed(FileKind::Index, id)).unwrap();
    }
    let disk = MemoryDisk::fresh(case.bytes.len());
    assert!(matches!(restore_disk(&case.repository, &case.point, &disk), Err(RestoreError::Read(_))));
    assert!(disk.content().iter().all(|byte| *byte == 0));
    assert_eq!(case.check(Depth::Structure).unreferenced_packs.len(), 2);
}
