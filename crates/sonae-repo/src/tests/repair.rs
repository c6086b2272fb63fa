//! The index rebuilt from packs: whatever happens to index files, what was saved is found again.

use std::collections::BTreeSet;

use sonae_types::Digest;

use crate::check::Depth;
use crate::environment::{Progress, Stop};
use crate::lock::LockKind;
use crate::repair::{Repair, RepairReport};
use crate::repository::Repository;
use crate::snapshot::Point;
use crate::store::{FileKind, FileName, Listed, MemoryStore, ObjectStore as _};
use crate::testing::{Holes, MemoryDisk, image, memory_repository, restore_disk, save_disk};

const RECIPES: [&str; 3] = ["tnz", "nntz", "ttnnz"];

struct World {
    store: MemoryStore,
    repository: Repository,
    points: Vec<Point>,
}

impl World {
    fn new() -> Self {
        let store = MemoryStore::new();
        let repository = memory_repository(&store);
        let points = RECIPES.map(|recipe| save_disk(&repository, image(recipe, 5), Holes::Told).unwrap());
        Self { store, repository, points: points.to_vec() }
    }

    fn files(&self, kind: FileKind) -> Vec<Digest> {
        self.store.list(kind).unwrap().into_iter().map(|Listed { id, .. }| id).collect()
    }

    fn repair(&self) -> RepairReport {
        let lock = self.repository.lock(LockKind::Exclusive).unwrap();
        self.repository.repair_index(Repair::Write(&lock), &Stop::default(), &Progress::default()).unwrap()
    }

    #[track_caller]
    fn check_all_restores(&self) {
        for (point, recipe) in self.points.iter().zip(RECIPES) {
            let target = MemoryDisk::fresh(image(recipe, 5).len());
            assert!(restore_disk(&self.repository, point, &target).unwrap().damaged.is_empty(), "{recipe}");
            assert_eq!(target.content(), image(recipe, 5), "{recipe}");
        }
        let report = self.repository.check(Depth::Data, &Stop::default(), &Progress::default()).unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    }

    fn damage(&self, kind: FileKind, id: Digest, change: impl FnOnce(&mut Vec<u8>)) {
        let name = FileName::Hashed(kind, id);
        let mut bytes = self.store.get(name).unwrap();
        change(&mut bytes);
        self.store.put(name, &bytes).unwrap();
    }
}

#[test]
fn a_sound_index_is_left_as_it_is() {
    let world = World::new();
    let before = world.files(FileKind::Index);
    let report = world.repair();
    assert_eq!((report.written, report.removed, report.added.len()), (0, 0, 0));
    assert_eq!(world.files(FileKind::Index), before);
}

#[test]
fn any_set_of_index_files_may_be_lost_or_damaged() {
    for lost in 0..8u32 {
        for damaged in [false, true] {
            let world = World::new();
            for (number, id) in world.files(FileKind::Index).into_iter().enumerate() {
                if lost & (1 << number) == 0 {
                    continue;
                }
                if damaged {
                    world.damage(FileKind::Index, id, |bytes| bytes[20] ^= 1);
                } else {
                    world.store.remove(FileName::Hashed(FileKind::Index, id)).unwrap();
                }
            }
            let report = world.repair();
            assert_eq!(report.damaged_index.len(), if damaged { lost.count_ones() as usize } else { 0 });
            world.check_all_restores();
            assert_eq!(world.repair().written, 0, "a second repair finds nothing to do");
        }
    }
}

#[test]
fn a_dry_run_tells_the_same_and_changes_nothing() {
    let world = World::new();
    for id in world.files(FileKind::Index) {
        world.store.remove(FileName::Hashed(FileKind::Index, id)).unwrap();
    }
    let told = world.repository.repair_index(Repair::DryRun, &Stop::default(), &Progress::default()).unwrap();
    assert!(world.files(FileKind::Index).is_empty());
    let done = world.repair();
    assert_eq!((told.written, told.added), (done.written, done.added));
}

#[test]
fn a_pack_without_a_readable_header_keeps_what_the_index_knows_of_it() {
    let world = World::new();
    let index = world.repository.load_index().unwrap();
    let pack = index.iter().next().unwrap().pack;
    world.damage(FileKind::Data, pack, |bytes| *bytes.last_mut().unwrap() ^= 0x55);
    let report = world.repair();
    assert_eq!(report.damaged.iter().map(|file| file.id).collect::<Vec<_>>(), [pack]);
    assert_eq!((report.written, report.removed), (0, 0));
    for (point, recipe) in world.points.iter().zip(RECIPES) {
        let target = MemoryDisk::fresh(image(recipe, 5).len());
        assert!(restore_disk(&world.repository, point, &target).unwrap().damaged.is_empty());
        assert_eq!(target.content(), image(recipe, 5), "its blobs are sound");
    }
}

#[test]
fn a_lost_pack_is_named_and_leaves_the_index() {
    let world = World::new();
    let packs = world.files(FileKind::Data).into_iter().collect::<BTreeSet<_>>();
    let lost = *packs.first().unwrap();
    world.store.remove(FileName::Hashed(FileKind::Data, lost)).unwrap();
    let report = world.repair();
    assert_eq!(report.missing, [lost]);
    let index = world.repository.load_index().unwrap();
    let indexed = index.iter().map(|place| place.pack).collect::<BTreeSet<_>>();
    assert!(!indexed.contains(&lost));
    assert_eq!(indexed.len() + 1, packs.len(), "all others are listed");
}

#[test]
fn a_removed_lock_stops_the_repair_before_anything_is_removed() {
    let world = World::new();
    let lost = world.files(FileKind::Index)[0];
    world.damage(FileKind::Index, lost, |bytes| bytes[20] ^= 1);
    let lock = world.repository.lock(LockKind::Exclusive).unwrap();
    world.repository.unlock(crate::lock::Unlock::All).unwrap();
    let outcome = world.repository.repair_index(Repair::Write(&lock), &Stop::default(), &Progress::default());
    assert!(matches!(outcome, Err(crate::repair::RepairError::Lock(_))));
    assert!(world.files(FileKind::Index).contains(&lost));
}
