//! Copies in memory: the same twice, whole or not written, under the same and under another key; and healing from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use sonae_types::{ByteCount, Digest};

use crate::heal::{Cure, HealReport, Healing};
use crate::replica::Side;
use crate::{CopyError, CopyReport, Copying, Extent, Found, KeyFiles, found_copy};
use sonae_repo::check::Depth;
use sonae_repo::crypto::{KdfCost, Password};
use sonae_repo::environment::{Progress, Stop};
use sonae_repo::lock::LockKind;
use sonae_repo::repair::Repair;
use sonae_repo::repository::Repository;
use sonae_repo::snapshot::{PROOF_TAG, Point, Snapshot};
use sonae_repo::store::fault::{Fault, FaultStore, Seen};
use sonae_repo::store::wrap::Verb;
use sonae_repo::store::{FileKind, FileName, MemoryStore, ObjectStore};
use sonae_repo::testing::{
    CountingEntropy, Holes, MemoryDisk, environment, image, memory_repository, restore_disk, save_disk,
};

const RECIPES: [&str; 3] = ["tnz", "nntz", "ttnnz"];
const KINDS: [FileKind; 4] = [FileKind::Key, FileKind::Data, FileKind::Index, FileKind::Snapshot];

type Files = BTreeMap<FileName, Vec<u8>>;

/// Whether a target has the key of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Same,
    Other,
}

/// A source with a few points, and an empty place.
struct World {
    store: MemoryStore,
    source: Repository,
    points: Vec<Point>,
    there: MemoryStore,
}

fn password() -> Password {
    Password::from_file_bytes(b"secret")
}

/// Opens a repository with randomness that no other one of a test has.
fn open(store: Arc<dyn ObjectStore>, salt: u64) -> Repository {
    reopened(store, salt).unwrap()
}

fn reopened(store: Arc<dyn ObjectStore>, salt: u64) -> Result<Repository, CopyError> {
    let mut environment = environment();
    environment.entropy = Arc::new(CountingEntropy::starting_at(salt));
    Ok(Repository::open(store, environment, &password())?.with_packs_of(ByteCount::kib(96)))
}

fn files(store: &MemoryStore) -> Files {
    let listed = KINDS.into_iter().flat_map(|kind| {
        store.list(kind).unwrap().into_iter().map(move |file| FileName::Hashed(kind, file.id))
    });
    listed.map(|name| (name, store.get(name).unwrap())).collect()
}

fn names(store: &MemoryStore, kind: FileKind) -> Vec<FileName> {
    files(store).into_keys().filter(|name| matches!(name, FileName::Hashed(of, _) if *of == kind)).collect()
}

fn damage(store: &MemoryStore, name: FileName, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = store.get(name).unwrap();
    change(&mut bytes);
    store.remove(name).unwrap();
    store.put(name, &bytes).unwrap();
}

#[expect(clippy::ptr_arg, reason = "it stands beside changes of length")]
fn flip(bytes: &mut Vec<u8>) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 8;
}

impl World {
    fn new() -> Self {
        let store = MemoryStore::new();
        let source = memory_repository(&store).with_packs_of(ByteCount::kib(96));
        let points = RECIPES.map(|recipe| save_disk(&source, image(recipe, 5), Holes::Told).unwrap());
        Self { store, source, points: points.to_vec(), there: MemoryStore::new() }
    }

    /// The same files once more, to be changed.
    fn again(&self) -> Self {
        let twin = |store: &MemoryStore| {
            let twin = MemoryStore::new();
            for (name, bytes) in files(store) {
                twin.put(name, &bytes).unwrap();
            }
            if let Ok(config) = store.get(FileName::Config) {
                twin.put(FileName::Config, &config).unwrap();
            }
            twin
        };
        let (store, there) = (twin(&self.store), twin(&self.there));
        let source = open(Arc::new(store.clone()), 39_000);
        Self { store, source, points: self.points.clone(), there }
    }

    /// The target, made where there is none yet.
    fn target(&self, key: Key, over: Arc<dyn ObjectStore>) -> Repository {
        match key {
            Key::Same => {
                assert_eq!(
                    found_copy(&self.source, &self.there, Found::Repository).unwrap(),
                    Found::Repository
                );
            }
            Key::Other if self.there.size(FileName::Config).is_err() => {
                let mut environment = environment();
                environment.entropy = Arc::new(CountingEntropy::starting_at(40_000));
                Repository::init(Arc::new(self.there.clone()), environment, &password(), KdfCost::FOR_TESTS)
                    .unwrap();
            }
            Key::Other => {}
        }
        open(over, 41_000 + files(&self.there).len() as u64)
    }

    fn copy_over(
        &self,
        key: Key,
        depth: Depth,
        target: &Repository,
        from: &Repository,
    ) -> Result<CopyReport, CopyError> {
        assert_eq!(self.source.has_key_of(target), key == Key::Same);
        let points = from.points()?;
        let lock = target.lock(LockKind::Shared)?;
        let (stop, progress) = (Stop::default(), Progress::default());
        let copying = Copying {
            source: from,
            target,
            lock: &lock,
            extent: Extent::Everything,
            keys: KeyFiles::Taken,
            depth,
            stop: &stop,
            progress: &progress,
        };
        copying.run(points)
    }

    fn copy(&self, key: Key, depth: Depth) -> CopyReport {
        let target = self.target(key, Arc::new(self.there.clone()));
        self.copy_over(key, depth, &target, &self.source).unwrap()
    }

    /// Every point that a repository lists can be restored, and is one of ours.
    #[track_caller]
    fn check_listed(&self, store: &MemoryStore) -> usize {
        let repository = open(Arc::new(store.clone()), 50_000);
        let points = repository.points().unwrap();
        assert!(points.damaged.is_empty(), "{:?}", points.damaged);
        for point in &points.good {
            let first = point.snapshot.original.unwrap_or(point.id);
            let number = self.points.iter().position(|ours| ours.id == first).expect("a point of the source");
            let target = MemoryDisk::fresh(image(RECIPES[number], 5).len());
            assert!(restore_disk(&repository, point, &target).unwrap().damaged.is_empty(), "{number}");
            assert_eq!(target.content(), image(RECIPES[number], 5), "{number}");
        }
        points.good.len()
    }

    /// All points, and a check that reads everything and has nothing to say.
    #[track_caller]
    fn check_whole(&self, store: &MemoryStore) {
        assert_eq!(self.check_listed(store), self.points.len());
        let repository = open(Arc::new(store.clone()), 50_000);
        let report = repository.check(Depth::Data, &Stop::default(), &Progress::default()).unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    }

    fn heal(&self, store: &MemoryStore, from: &Repository, depth: Depth) -> HealReport {
        let here = reopened(Arc::new(store.clone()), 52_000)
            .ok()
            .or_else(|| from.adopt(Arc::new(store.clone())))
            .expect("it can be opened");
        let here = here.with_packs_of(ByteCount::kib(96));
        let before = files(store);
        let (stop, progress) = (Stop::default(), Progress::default());
        let healing = Healing { here: &here, from, depth, stop: &stop, progress: &progress };
        let told = healing.run(Repair::DryRun).unwrap();
        assert_eq!(files(store), before, "a dry run changes nothing");
        let lock = here.lock(LockKind::Exclusive).unwrap();
        let done = healing.run(Repair::Write(&lock)).unwrap();
        assert_eq!(told.files.is_empty(), done.files.is_empty(), "{told:?} {done:?}");
        done
    }
}

#[test]
fn a_copy_into_an_empty_place_has_the_same_files_and_opens_with_the_same_password() {
    let world = World::new();
    let report = world.copy(Key::Same, Depth::Structure);
    assert_eq!(files(&world.there), files(&world.store));
    assert_eq!(world.there.get(FileName::Config).unwrap(), world.store.get(FileName::Config).unwrap());
    assert_eq!((report.points_copied, report.points_there), (3, 0));
    assert!(report.refused.is_empty() && report.replaced.files == 0 && report.resealed.blobs == 0);
    world.check_whole(&world.there);
}

#[test]
fn copying_twice_is_copying_once() {
    for key in [Key::Same, Key::Other] {
        let world = World::new();
        world.copy(key, Depth::Structure);
        let once = files(&world.there);
        for depth in [Depth::Structure, Depth::Data] {
            let again = world.copy(key, depth);
            assert_eq!(files(&world.there), once, "{key:?}");
            assert_eq!((again.points_copied, again.points_there), (0, 3));
            assert_eq!((again.copied.files, again.replaced.files, again.resealed.blobs), (0, 0, 0));
        }
    }
}

#[test]
fn under_another_key_every_point_comes_back_and_says_which_one_it_was() {
    let world = World::new();
    let report = world.copy(Key::Other, Depth::Structure);
    assert_eq!(report.points_copied, 3);
    assert!(0 < report.resealed.blobs && ByteCount::ZERO < report.resealed.stored);
    world.check_whole(&world.there);
    let copied = open(Arc::new(world.there.clone()), 1).points().unwrap().good;
    for ours in world.source.points().unwrap().good {
        let point = copied.iter().find(|point| point.snapshot.original == Some(ours.id)).unwrap();
        assert_eq!(point.snapshot, Snapshot { original: Some(ours.id), parent: None, ..ours.snapshot });
    }
}

#[test]
fn proofs_and_points_of_others_are_taken_along_with_fields_that_we_do_not_know() {
    for key in [Key::Same, Key::Other] {
        let world = World::new();
        let base = &world.points[0].snapshot;
        let proof = Snapshot { tags: vec![PROOF_TAG.to_owned()], ..base.clone() };
        world.source.save_point(&proof).unwrap();
        let mut foreign = serde_json::to_value(base).unwrap();
        foreign["label"] = "of another program".into();
        foreign["uid"] = 1000.into();
        let (id, bytes) = world.source.encode_unpacked(foreign.to_string().as_bytes());
        world.store.put(FileName::Hashed(FileKind::Snapshot, id), &bytes).unwrap();
        assert_eq!(world.copy(key, Depth::Structure).points_copied, 5);
        let target = open(Arc::new(world.there.clone()), 1);
        let jsons = world.there.list(FileKind::Snapshot).unwrap().into_iter().map(|file| {
            let json = target.unpacked(FileKind::Snapshot, &file).unwrap();
            serde_json::from_slice::<serde_json::Value>(&json).unwrap()
        });
        let labelled = jsons.filter(|json| json["label"] == "of another program" && json["uid"] == 1000);
        assert_eq!(labelled.count(), 1);
        assert_eq!(target.points().unwrap().good.iter().filter(|point| point.snapshot.is_proof()).count(), 1);
        assert_eq!(world.copy(key, Depth::Structure).points_copied, 0);
    }
}

#[test]
fn of_some_points_only_what_they_need_and_the_target_lacks_is_sent() {
    let world = World::new();
    let all = files(&world.store).len();
    for (number, point) in world.points.iter().enumerate() {
        let target = world.target(Key::Same, Arc::new(world.there.clone()));
        let lock = target.lock(LockKind::Shared).unwrap();
        let (stop, progress) = (Stop::default(), Progress::default());
        let copying = Copying {
            source: &world.source,
            target: &target,
            lock: &lock,
            extent: Extent::ThesePoints,
            keys: KeyFiles::Left,
            depth: Depth::Structure,
            stop: &stop,
            progress: &progress,
        };
        let mut points = world.source.points().unwrap();
        points.good.retain(|listed| listed.id == point.id);
        assert_eq!(copying.run(points).unwrap().points_copied, 1);
        drop(lock);
        assert_eq!(world.check_listed(&world.there), number + 1);
        let report = target.check(Depth::Data, &Stop::default(), &Progress::default()).unwrap();
        assert!(report.findings.is_empty() && report.unreferenced_packs.is_empty(), "{report:?}");
        assert!(number == 2 || files(&world.there).len() < all);
    }
    // What was copied point by point is completed by a copy of everything.
    world.copy(Key::Same, Depth::Structure);
    world.check_whole(&world.there);
}

/// Test 24: what may be wrong with the target.
#[test]
fn whatever_is_missing_short_or_altered_in_the_target_is_put_right_by_the_next_copy() {
    let sound = World::new();
    sound.copy(Key::Same, Depth::Structure);
    for name in files(&sound.there).into_keys() {
        for (number, depth) in
            [(0, Depth::Structure), (1, Depth::Structure), (2, Depth::Structure), (3, Depth::Data)]
        {
            let world = sound.again();
            let wanted = files(&world.there);
            match number {
                0 => world.there.remove(name).unwrap(),
                1 => damage(&world.there, name, |bytes| bytes.truncate(bytes.len() / 2)),
                2 => damage(&world.there, name, |bytes| bytes.extend(b"more")),
                _ => damage(&world.there, name, flip),
            }
            if matches!(name, FileName::Hashed(FileKind::Key, _)) {
                // With its only key damaged, a place cannot be opened: that is for healing.
                continue;
            }
            let report = world.copy(Key::Same, depth);
            let restored = if number == 0 { report.copied } else { report.replaced };
            assert_eq!(restored.files, 1, "{name} {number}: {report:?}");
            assert_eq!(files(&world.there), wanted, "{name} {number}");
        }
    }
}

#[test]
fn what_the_target_has_more_is_left_alone() {
    let world = World::new();
    world.copy(Key::Same, Depth::Structure);
    let target = open(Arc::new(world.there.clone()), 44_000);
    save_disk(&target, image("nnnn", 77), Holes::Told).unwrap();
    let before = files(&world.there);
    world.copy(Key::Same, Depth::Data);
    assert_eq!(files(&world.there), before);
}

#[test]
fn a_target_under_another_key_stores_again_what_its_damaged_packs_held() {
    for (depth, change) in [
        (Depth::Structure, (|bytes| bytes.truncate(bytes.len() / 2)) as fn(&mut Vec<u8>)),
        (Depth::Data, flip),
    ] {
        let world = World::new();
        world.copy(Key::Other, Depth::Structure);
        let snapshot = names(&world.there, FileKind::Snapshot)[1];
        world.there.remove(snapshot).unwrap();
        for pack in names(&world.there, FileKind::Data) {
            damage(&world.there, pack, change);
        }
        let report = world.copy(Key::Other, depth);
        assert_eq!((report.points_copied, report.points_there), (1, 2));
        assert!(!report.unmended.is_empty() && 0 < report.resealed.blobs, "{report:?}");
        // Only the point that was copied anew is whole; the packs of the others are for healing.
        let report = world.heal(&world.there, &world.source, Depth::Data);
        assert!(report.findings.is_empty(), "{report:?}");
        world.check_whole(&world.there);
    }
}

#[test]
fn what_is_damaged_in_the_source_is_named_and_keeps_back_the_points_that_need_it_and_no_others() {
    for key in [Key::Same, Key::Other] {
        let sound = World::new();
        for name in files(&sound.store).into_keys() {
            for change in [flip as fn(&mut Vec<u8>), |bytes| bytes.truncate(bytes.len() / 3)] {
                let world = sound.again();
                world.target(key, Arc::new(world.there.clone()));
                damage(&world.store, name, change);
                let report = world.copy(key, Depth::Structure);
                if matches!(name, FileName::Hashed(FileKind::Key, _)) {
                    // Under the same key the target has it already, as it should be; under another one nobody asks.
                    assert!(report.refused.is_empty() && report.points_copied == 3);
                    continue;
                }
                assert!(!report.refused.is_empty(), "{name}");
                assert_eq!(world.check_listed(&world.there), report.points_copied, "{name}");
                let there = open(Arc::new(world.there.clone()), 5);
                let checked = there.check(Depth::Data, &Stop::default(), &Progress::default()).unwrap();
                assert!(checked.findings.is_empty(), "{name}: {:?}", checked.findings);
                if let FileName::Hashed(FileKind::Snapshot, _) = name {
                    assert_eq!((report.points_copied, report.withheld.len()), (2, 0));
                } else {
                    assert_eq!(report.points_copied + report.withheld.len(), 3, "{name}");
                }
                // The second run says the same, and changes nothing.
                let before = files(&world.there);
                let again = world.copy(key, Depth::Structure);
                assert_eq!((again.refused.len(), again.withheld), (report.refused.len(), report.withheld));
                assert_eq!(files(&world.there), before, "{name}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_a_pack_of_the_source_costs_only_the_points_with_that_chunk() {
    let sound = World::new();
    let index = sound.source.load_index().unwrap();
    let mut withheld = Vec::new();
    for pack in names(&sound.store, FileKind::Data) {
        let world = sound.again();
        damage(&world.store, pack, |bytes| bytes[20] ^= 1);
        let report = world.copy(Key::Same, Depth::Structure);
        withheld.push(report.withheld.len());
        let FileName::Hashed(_, id) = pack else { unreachable!("a pack") };
        let others = index.iter().filter(|place| place.pack == id).count() - 1;
        assert!(report.resealed.blobs <= others as u64, "{pack}: {report:?}");
    }
    assert!(
        withheld.iter().any(|count| *count < 3),
        "no damage was small enough to leave a point: {withheld:?}"
    );
}

/// A copy with one side behind a store that breaks, and one more without. Answers the broken store.
fn tell(
    sound: &World,
    key: Key,
    side: Side,
    plan: impl Fn(&Seen) -> Option<Fault> + Send + Sync + 'static,
) -> Arc<FaultStore> {
    let world = sound.again();
    let inner = match side {
        Side::First => world.store.clone(),
        Side::Second => world.there.clone(),
    };
    let breaking = Arc::new(FaultStore::planned(Arc::new(inner), plan));
    let outcome = match side {
        Side::First => reopened(breaking.clone(), 46_000).and_then(|source| {
            world.copy_over(key, Depth::Structure, &reopened(Arc::new(world.there.clone()), 41_000)?, &source)
        }),
        Side::Second => reopened(breaking.clone(), 41_000)
            .and_then(|target| world.copy_over(key, Depth::Structure, &target, &world.source)),
    };
    // What was written is whole, whatever happened.
    let listed = world.check_listed(&world.there);
    if let Ok(report) = &outcome {
        assert!(report.points_copied <= listed, "{report:?}");
    }
    for store in [&world.store, &world.there] {
        store.list(FileKind::Lock).unwrap().into_iter().for_each(|lock| {
            store.remove(FileName::Hashed(FileKind::Lock, lock.id)).unwrap();
        });
    }
    let second = world.copy(key, Depth::Data);
    assert!(second.refused.is_empty(), "{second:?}");
    world.check_whole(&world.there);
    if key == Key::Same {
        let (ours, theirs) = (files(&world.store), files(&world.there));
        assert!(ours.iter().all(|(name, bytes)| theirs.get(name) == Some(bytes)));
    }
    breaking
}

/// Whether a fault may hit such an operation. A bit that the target loses while it stores is found by reading, in a
/// sample now, whole with `Depth::Data`.
fn means(fault: Fault, verb: Verb, side: Side) -> bool {
    match fault {
        Fault::Fail | Fault::Lost => true,
        Fault::Full => verb == Verb::Put,
        Fault::Torn | Fault::TornSilently => verb != Verb::Remove,
        Fault::Duplicated => [Verb::Put, Verb::List, Verb::Remove].contains(&verb),
        Fault::BitFlip(_) => side == Side::First && [Verb::Get, Verb::GetRange].contains(&verb),
        Fault::StaleListing => verb == Verb::List,
    }
}

#[test]
fn whichever_operation_of_either_side_goes_wrong_the_next_copy_completes_and_no_point_is_half() {
    let (mut stories, mut hits) = (0, 0);
    for key in [Key::Same, Key::Other] {
        let sound = World::new();
        sound.target(key, Arc::new(sound.there.clone()));
        for side in [Side::First, Side::Second] {
            let calm = tell(&sound, key, side, |_seen| None);
            let (operations, log) = (calm.operations(), calm.log());
            for fault in Fault::ALL {
                // What has no meaning for an operation needs no story. Which thread was faster decides about one more.
                let fault = if let Fault::BitFlip(_) = fault { Fault::BitFlip(77) } else { fault };
                let numbers = log.iter().filter(|seen| means(fault, seen.verb, side)).map(|seen| seen.number);
                for number in numbers.chain([operations + 1]) {
                    let told = tell(&sound, key, side, move |seen| (seen.number == number).then_some(fault));
                    (stories, hits) = (stories + 1, hits + told.hits().len());
                }
            }
            println!("{key:?} {side:?}: {operations} operations");
        }
    }
    println!("every n: {stories} stories of copies, {hits} faults hit");
    assert!(400 < hits, "{hits}");
}

#[test]
fn a_foundation_that_was_interrupted_is_completed_and_one_of_another_repository_is_left_alone() {
    let world = World::new();
    assert_eq!(found_copy(&world.source, &world.there, Found::Empty).unwrap(), Found::Empty);
    let key = names(&world.store, FileKind::Key)[0];
    world.there.put(key, &world.store.get(key).unwrap()).unwrap();
    assert_eq!(found_copy(&world.source, &world.there, Found::Empty).unwrap(), Found::Repository);
    let other = MemoryStore::new();
    other.put(FileName::Hashed(FileKind::Data, Digest::new([3; 32])), b"somebody's").unwrap();
    assert!(matches!(found_copy(&world.source, &other, Found::Empty), Err(CopyError::Open(_))));
}

#[test]
fn a_repository_made_alike_cuts_disks_as_the_other_one() {
    let world = World::new();
    let store = Arc::new(world.there.clone());
    let mut environment = environment();
    environment.entropy = Arc::new(CountingEntropy::starting_at(40_000));
    let source = Repository::open(Arc::new(world.store.clone()), environment, &password()).unwrap();
    let alike = source.init_alike(store, &password(), KdfCost::FOR_TESTS).unwrap();
    assert!(!alike.has_key_of(&source) && alike.config().id != source.config().id);
    world.copy(Key::Other, Depth::Structure);
    let before = names(&world.there, FileKind::Data).len();
    let again =
        save_disk(&open(Arc::new(world.there.clone()), 9), image(RECIPES[1], 5), Holes::Told).unwrap();
    assert_eq!(again.snapshot.tree, world.points[1].snapshot.tree);
    assert_eq!(names(&world.there, FileKind::Data).len(), before, "nothing is stored again");
}

#[test]
fn every_file_that_is_lost_or_damaged_comes_back_from_a_copy() {
    for key in [Key::Same, Key::Other] {
        let sound = World::new();
        sound.copy(key, Depth::Structure);
        for name in files(&sound.store).into_keys().chain([FileName::Config]) {
            for (number, depth) in [(0, Depth::Structure), (1, Depth::Structure), (2, Depth::Data)] {
                let world = sound.again();
                let copy = open(Arc::new(world.there.clone()), 47_000);
                let before = files(&world.store);
                match number {
                    0 => world.store.remove(name).unwrap(),
                    1 => damage(&world.store, name, |bytes| bytes.truncate(bytes.len() / 2)),
                    _ => damage(&world.store, name, flip),
                }
                let by_name_only = matches!(name, FileName::Config | FileName::Hashed(FileKind::Key, _));
                let lost_point = matches!(name, FileName::Hashed(FileKind::Snapshot, _));
                if by_name_only && key == Key::Other {
                    continue;
                }
                let report = world.heal(&world.store, &copy, depth);
                if lost_point && number == 0 {
                    // Whether it was forgotten or lost nobody can tell; copying the other way brings it back.
                    assert_eq!(report.only_in_copy, 1);
                    continue;
                }
                if lost_point && key == Key::Other {
                    assert!(!report.findings.is_empty() && report.files[0].cure == Cure::None, "{report:?}");
                    continue;
                }
                assert!(report.findings.is_empty(), "{name} {number} {key:?}: {report:?}");
                assert!(report.files.iter().all(|healed| healed.cure != Cure::None), "{report:?}");
                world.check_whole(&world.store);
                let lost_index = number == 0 && matches!(name, FileName::Hashed(FileKind::Index, _));
                if key == Key::Same && !lost_index {
                    assert_eq!(files(&world.store), before, "{name} {number}");
                }
            }
        }
    }
}

#[test]
fn a_repository_that_lost_all_its_packs_comes_back_from_a_copy_under_either_key() {
    for key in [Key::Same, Key::Other] {
        let world = World::new();
        world.copy(key, Depth::Structure);
        names(&world.store, FileKind::Data).into_iter().for_each(|pack| world.store.remove(pack).unwrap());
        let report = world.heal(&world.store, &open(Arc::new(world.there.clone()), 47_000), Depth::Structure);
        assert!(report.findings.is_empty(), "{report:?}");
        world.check_whole(&world.store);
    }
}

#[test]
fn what_neither_place_has_is_told_and_what_is_left_of_it_stays() {
    for key in [Key::Same, Key::Other] {
        let world = World::new();
        world.copy(key, Depth::Structure);
        for store in [&world.store, &world.there] {
            names(store, FileKind::Data)
                .into_iter()
                .for_each(|pack| damage(store, pack, |bytes| bytes[20] ^= 1));
        }
        let packs = names(&world.store, FileKind::Data);
        let report = world.heal(&world.store, &open(Arc::new(world.there.clone()), 47_000), Depth::Data);
        assert!(report.files.iter().any(|healed| healed.cure == Cure::None), "{report:?}");
        for healed in &report.files {
            assert!(packs.contains(&healed.file));
            assert_eq!(world.store.get(healed.file).is_ok(), healed.cure == Cure::None, "{healed:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_subset_of_the_target_is_lost_a_copy_completes_it(lost: u64, other: bool) {
        let key = if other { Key::Other } else { Key::Same };
        let world = World::new();
        world.copy(key, Depth::Structure);
        for (number, name) in files(&world.there).into_keys().enumerate() {
            let is_key = matches!(name, FileName::Hashed(FileKind::Key, _));
            if lost >> (number % 64) & 1 == 1 && !is_key {
                world.there.remove(name).unwrap();
            }
        }
        world.copy(key, Depth::Structure);
        if key == Key::Same {
            prop_assert_eq!(files(&world.there), files(&world.store));
        }
        let healed = world.heal(&world.there, &world.source, Depth::Structure);
        prop_assert!(healed.findings.is_empty(), "{healed:?}");
        world.check_whole(&world.there);
    }
}
