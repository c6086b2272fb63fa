//! Prunes of random repositories: nothing that a point needs ever goes, and what is left over does.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sonae_types::{Clock as _, Timestamp};

use super::*;
use crate::check::Depth;
use crate::crypto::Password;
use crate::lock::LockKind;
use crate::snapshot::{Point, Snapshot};
use crate::store::fault::{Fault, FaultStore};
use crate::store::wrap::{Answer, Around, Call, Verb, Wrapped};
use crate::store::{MemoryStore, ObjectStore};
use crate::testing::{
    CountingEntropy, Holes, ManualClock, MemoryDisk, environment, image, memory_repository, restore_disk,
    save_disk,
};

const PASSWORD: &[u8] = b"secret";
const ALL: PruneBounds =
    PruneBounds { grace: Duration::ZERO, max_unused: MaxUnused::Bytes(ByteCount::ZERO), max_repack: MOST };
const MARKING: PruneBounds = PruneBounds { grace: GRACE, ..ALL };
const MOST: ByteCount = ByteCount::new(u64::MAX);

/// A repository in memory with a clock that can be put.
struct World {
    store: MemoryStore,
    clock: Arc<ManualClock>,
    repository: Repository,
}

impl World {
    fn new(pack: ByteCount) -> Self {
        let store = MemoryStore::new();
        drop(memory_repository(&store));
        Self::over(&store, Arc::new(store.clone()), pack)
    }

    fn over(store: &MemoryStore, around: Arc<dyn ObjectStore>, pack: ByteCount) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_000_000_000_000)));
        let mut environment = environment();
        environment.clock = Arc::clone(&clock) as Arc<dyn sonae_types::Clock>;
        static SEEDS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let seed = SEEDS.fetch_add(1, Ordering::Relaxed) << 32;
        environment.entropy = Arc::new(CountingEntropy::starting_at(seed));
        let password = Password::from_file_bytes(PASSWORD);
        let repository = Repository::open(around, environment, &password).unwrap().with_packs_of(pack);
        Self { store: store.clone(), clock, repository }
    }

    /// Saves a disk as a point of its own second.
    fn save(&self, recipe: &str, second: i64) -> Point {
        let saved = save_disk(&self.repository, image(recipe, 0), Holes::Told).unwrap();
        let time = crate::time::to_rfc3339(Timestamp::from_micros(second * 1_000_000));
        let snapshot = Snapshot { time, ..saved.snapshot.clone() };
        let id = self.repository.save_point(&snapshot).unwrap();
        self.forget(&saved);
        Point { id, snapshot }
    }

    fn forget(&self, point: &Point) {
        self.store.remove(FileName::Hashed(FileKind::Snapshot, point.id)).unwrap();
    }

    fn try_prune(&self, bounds: &PruneBounds) -> Result<PruneReport, PruneError> {
        let lock = self.repository.lock(LockKind::Exclusive)?;
        self.repository.prune(bounds, Prune::Write(&lock), &Stop::default(), &Progress::default())
    }

    fn prune(&self, bounds: &PruneBounds) -> PruneReport {
        self.try_prune(bounds).unwrap()
    }

    fn would(&self, bounds: &PruneBounds) -> PruneReport {
        self.repository.prune(bounds, Prune::DryRun, &Stop::default(), &Progress::default()).unwrap()
    }

    fn ids(&self, kind: FileKind) -> Vec<Digest> {
        self.store.list(kind).unwrap().into_iter().map(|file| file.id).collect()
    }

    fn files(&self) -> Vec<Vec<Digest>> {
        FileKind::ALL.map(|kind| self.ids(kind)).to_vec()
    }

    fn check(&self, points: &[(Point, String)]) {
        let report = self.repository.check(Depth::Data, &Stop::default(), &Progress::default()).unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        for (point, recipe) in points {
            let bytes = image(recipe, 0);
            let target = MemoryDisk::fresh(bytes.len());
            assert!(restore_disk(&self.repository, point, &target).unwrap().damaged.is_empty());
            assert!(target.content() == bytes, "{recipe} came back as another disk");
        }
    }

    /// Every blob that the index lists, with how many places it has.
    fn listed(&self) -> usize {
        self.repository.load_index().unwrap().len()
    }

    fn pass(&self, span: Duration) {
        self.clock.sleep(span);
    }
}

/// What only a point needs: as many places as the index has without the others.
fn blobs_of(world: &World, points: &[Point]) -> usize {
    let index = world.repository.load_index().unwrap();
    let bits = used(&world.repository, &index, points, &Stop::default()).unwrap();
    index.numbered().filter(|(number, _)| bits.has(*number)).count()
}

fn recipes() -> impl Strategy<Value = Vec<(String, bool)>> {
    proptest::collection::vec(("[tnz]{1,12}", any::<bool>()), 1..7)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_a_point_needs_never_goes_and_without_grace_and_bound_nothing_else_stays(
        disks in recipes(), pack in 1..5u64, grace in any::<bool>(), max_unused in 0..60_000u32,
    ) {
        let world = World::new(ByteCount::kib(pack * 64));
        let mut left = Vec::new();
        for (second, (recipe, stays)) in (1..).zip(disks) {
            let point = world.save(&recipe, second);
            if stays { left.push((point, recipe)) } else { world.forget(&point) }
        }
        let bounds = PruneBounds {
            grace: if grace { GRACE } else { Duration::ZERO }, max_unused: MaxUnused::Share(max_unused), ..ALL
        };
        world.prune(&bounds);
        world.check(&left);
        let before = world.files();
        let again = world.prune(&bounds);
        prop_assert_eq!(world.files(), before, "a second prune changes nothing: {:?}", again);
        let report = world.prune(&ALL);
        world.check(&left);
        prop_assert_eq!(report.unused_left, ByteCount::ZERO);
        let points = left.iter().map(|(point, _)| point.clone()).collect::<Vec<_>>();
        prop_assert_eq!(world.listed(), blobs_of(&world, &points), "something unused is left");
        prop_assert_eq!(world.would(&ALL).before.packs, world.ids(FileKind::Data).len());
        prop_assert!(world.ids(FileKind::Mark).is_empty());
    }
}

/// A repository of which a half is of no use, and the point that is left.
fn half(pack: ByteCount) -> (World, Vec<(Point, String)>) {
    let world = World::new(pack);
    let first = world.save("nnnnnnnnnn", 1);
    let second = world.save("nnnttnnn", 2);
    world.forget(&first);
    (world, vec![(second, "nnnttnnn".to_owned())])
}

#[test]
fn what_is_unused_is_marked_stays_for_the_grace_and_goes_then() {
    let (world, left) = half(ByteCount::kib(128));
    let packs = world.ids(FileKind::Data);
    let first = world.prune(&MARKING);
    assert!(0 < first.waiting.packs && 0 < first.repacked.packs, "{first:?}");
    assert_eq!(first.removed, Amount::default());
    assert!(packs.iter().all(|pack| world.ids(FileKind::Data).contains(pack)), "nothing went yet");
    world.check(&left);
    world.pass(GRACE - Duration::from_mins(1));
    assert_eq!(world.prune(&MARKING).removed, Amount::default());
    world.pass(Duration::from_mins(2));
    let last = world.prune(&MARKING);
    assert_eq!((last.removed, last.waiting), (first.waiting, Amount::default()));
    world.check(&left);
    assert!(world.ids(FileKind::Mark).is_empty());
    assert_eq!(last.unused_left, ByteCount::ZERO);
}

#[test]
fn a_dry_run_says_what_is_done_then_and_changes_nothing() {
    let (world, _) = half(ByteCount::kib(128));
    for bounds in [MARKING, ALL] {
        let before = world.files();
        let would = world.would(&bounds);
        assert_eq!(world.files(), before);
        let done = world.prune(&bounds);
        assert_eq!((would.before, would.used), (done.before, done.used));
        assert_eq!(
            (would.repacked, would.waiting, would.removed),
            (done.repacked, done.waiting, done.removed)
        );
        assert_eq!(would.unused_left, done.unused_left);
    }
}

#[test]
fn what_is_marked_is_stored_again_by_writers_and_what_is_used_again_is_marked_no_more() {
    let (world, mut left) = half(ByteCount::kib(128));
    world.prune(&MARKING);
    let marked = world.repository.marked_packs().unwrap();
    let trusted = world.repository.load_trusted_index().unwrap();
    assert!(trusted.findings.is_empty(), "{:?}", trusted.findings);
    assert!(trusted.index.iter().all(|place| !marked.contains(&place.pack)), "writers pass it over");
    // Somebody else's program knows no marks.
    let marks = world.ids(FileKind::Mark);
    let kept = marks.iter().map(|id| (*id, world.store.get(FileName::Hashed(FileKind::Mark, *id)).unwrap()));
    let kept = kept.collect::<Vec<_>>();
    marks.iter().for_each(|id| world.store.remove(FileName::Hashed(FileKind::Mark, *id)).unwrap());
    left.push((world.save("nnnnnnnnnn", 3), "nnnnnnnnnn".to_owned()));
    for (id, bytes) in kept {
        world.store.put(FileName::Hashed(FileKind::Mark, id), &bytes).unwrap();
    }
    world.pass(GRACE * 2);
    let report = world.prune(&MARKING);
    world.check(&left);
    assert!(report.removed.packs < marked.len(), "{report:?}");
    world.pass(GRACE * 2);
    world.prune(&ALL);
    world.check(&left);
}

#[test]
fn a_lost_or_damaged_mark_and_one_from_the_future_only_delay() {
    for loss in ["gone", "damaged", "future"] {
        let (world, left) = half(ByteCount::kib(128));
        if loss == "future" {
            world.pass(GRACE * 100);
        }
        world.prune(&MARKING);
        let [mark] = world.ids(FileKind::Mark)[..] else { panic!("one mark") };
        let name = FileName::Hashed(FileKind::Mark, mark);
        match loss {
            "gone" => world.store.remove(name).unwrap(),
            "damaged" => world.store.put(name, b"no mark").unwrap(),
            _ => world.clock.set(Timestamp::from_micros(2_000_000_000_000)),
        }
        assert_eq!(world.prune(&MARKING).removed, Amount::default(), "{loss}");
        world.pass(GRACE + Duration::from_mins(1));
        assert!(0 < world.prune(&MARKING).removed.packs, "{loss}");
        world.check(&left);
        assert!(world.ids(FileKind::Mark).is_empty());
    }
}

#[test]
fn a_point_that_cannot_be_read_whole_keeps_everything_where_it_is() {
    for kind in [FileKind::Snapshot, FileKind::Index, FileKind::Data] {
        for file in half(ByteCount::kib(128)).0.ids(kind) {
            let (world, _) = half(ByteCount::kib(128));
            let Some(file) = world.ids(kind).into_iter().find(|id| *id == file) else { continue };
            let name = FileName::Hashed(kind, file);
            let bytes = world.store.get(name).unwrap();
            world.store.remove(name).unwrap();
            if kind != FileKind::Data {
                world.store.put(name, &bytes[..bytes.len() / 2]).unwrap();
            }
            let before = world.files();
            if world.try_prune(&ALL).is_err() {
                assert_eq!(world.files(), before, "{name}");
            } else {
                // A pack of which nothing was needed.
                assert_eq!(kind, FileKind::Data);
            }
        }
    }
}

#[test]
fn a_damaged_pack_is_told_and_stays_and_the_good_copy_of_two_is_the_one_that_stays() {
    let (world, left) = half(ByteCount::kib(128));
    let index = world.repository.load_index().unwrap();
    let needed = used(&world.repository, &index, &[left[0].0.clone()], &Stop::default()).unwrap();
    let (_, place) = index
        .numbered()
        .filter(|(number, place)| needed.has(*number) && place.blob.kind == crate::blob::BlobKind::Data)
        .max_by_key(|(_, place)| place.blob.length)
        .unwrap();
    let name = FileName::Hashed(FileKind::Data, place.pack);
    let sound = world.store.get(name).unwrap();
    let mut bent = sound.clone();
    bent[place.blob.offset as usize + 20] ^= 1;
    world.store.put(name, &bent).unwrap();
    let pruned = world.prune(&ALL);
    assert!(world.ids(FileKind::Data).contains(&place.pack), "it stays");
    assert!(pruned.damaged.is_empty() || pruned.damaged == [place.pack], "{pruned:?}");
    world.store.put(name, &sound).unwrap();
    world.check(&left);
    // Two copies: whichever is damaged, the other one stays.
    for at in 0..2 {
        let (world, left) = half(ByteCount::kib(64));
        let lists = world.ids(FileKind::Index);
        let hidden =
            lists.iter().map(|id| (*id, world.store.get(FileName::Hashed(FileKind::Index, *id)).unwrap()));
        let hidden = hidden.collect::<Vec<_>>();
        lists.iter().for_each(|id| world.store.remove(FileName::Hashed(FileKind::Index, *id)).unwrap());
        let twin = world.save("nnnttnnn", 9);
        for (id, bytes) in hidden {
            world.store.put(FileName::Hashed(FileKind::Index, id), &bytes).unwrap();
        }
        let index = world.repository.load_index().unwrap();
        let double = index.iter().filter(|place| index.numbers(place.blob.kind, place.blob.id).count() == 2);
        let ids = double.map(|place| (place.blob.kind, place.blob.id)).collect::<HashSet<_>>();
        assert!(!ids.is_empty());
        for (kind, id) in ids {
            let place = index.locations(kind, id).nth(at).unwrap();
            let name = FileName::Hashed(FileKind::Data, place.pack);
            let mut bytes = world.store.get(name).unwrap();
            bytes[place.blob.offset as usize + 18] ^= 4;
            world.store.put(name, &bytes).unwrap();
        }
        world.prune(&ALL);
        let points = [left, vec![(twin, "nnnttnnn".to_owned())]].concat();
        for (point, recipe) in &points {
            let target = MemoryDisk::fresh(image(recipe, 0).len());
            assert!(restore_disk(&world.repository, point, &target).unwrap().damaged.is_empty(), "{at}");
        }
    }
}

/// A store that refuses to remove packs, as one that locks them does.
#[derive(Debug)]
struct KeepsPacks;

impl Around for KeepsPacks {
    fn around(&self, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Result<Answer, StoreError> {
        if let Call::Remove { name: FileName::Hashed(FileKind::Data, _) } = call {
            return Err(call.failed(inner.location(), std::io::ErrorKind::PermissionDenied.into()));
        }
        call.run(inner)
    }
}

#[test]
fn packs_that_the_store_keeps_are_told_listed_and_marked_and_go_as_soon_as_it_lets_them() {
    let (world, left) = half(ByteCount::kib(128));
    let keeping = Wrapped::around(Arc::new(world.store.clone()), KeepsPacks);
    let locked = World::over(&world.store, Arc::new(keeping), ByteCount::kib(128));
    let before = world.ids(FileKind::Data);
    for _ in 0..2 {
        let report = locked.prune(&ALL);
        assert!(!report.refused.is_empty());
        assert_eq!((report.removed, report.waiting.packs), (Amount::default(), report.refused.len()));
        let marked = world.repository.marked_packs().unwrap();
        let index = world.repository.load_index().unwrap();
        for refused in &report.refused {
            assert!(before.contains(&refused.pack.id) && marked.contains(&refused.pack.id));
            assert!(index.iter().any(|place| place.pack == refused.pack.id), "it is listed");
        }
        world.check(&left);
    }
    assert!(world.prune(&ALL).refused.is_empty());
    world.check(&left);
    assert_eq!(world.listed(), blobs_of(&world, &[left[0].0.clone()]));
}

#[test]
fn whichever_operation_fails_the_next_prune_ends_it_and_points_lose_nothing() {
    for (bounds, faults) in [(MARKING, &[Fault::Lost][..]), (ALL, &[Fault::Fail, Fault::TornSilently])] {
        let calm = {
            let (world, _) = half(ByteCount::kib(96));
            let store = Arc::new(FaultStore::calm(Arc::new(world.store.clone())));
            World::over(&world.store, store.clone(), ByteCount::kib(96)).prune(&bounds);
            store.operations()
        };
        let mut failed = 0;
        for fault in faults.iter().copied() {
            for number in 1..=calm + 1 {
                let (world, left) = half(ByteCount::kib(96));
                let store = Arc::new(FaultStore::at(Arc::new(world.store.clone()), number, fault));
                let opened =
                    std::panic::AssertUnwindSafe(|| World::over(&world.store, store, ByteCount::kib(96)));
                let Ok(hit) = std::panic::catch_unwind(opened) else { continue };
                failed += u32::from(hit.try_prune(&bounds).is_err());
                world.repository.unlock(crate::lock::Unlock::All).unwrap();
                let index = world.repository.load_index_around_damage().unwrap().index;
                let complete = world.repository.is_complete(&left[0].0, &index);
                assert!(complete.is_ok(), "{fault:?} {number}");
                world.prune(&ALL);
                world.check(&left);
                assert_eq!(world.listed(), blobs_of(&world, &[left[0].0.clone()]), "{fault:?} {number}");
            }
        }
        assert!(20 < failed, "only {failed} failed");
    }
}

#[test]
fn a_point_that_appears_while_a_prune_is_at_work_stops_it_before_anything_goes() {
    let (world, left) = half(ByteCount::kib(128));
    let before = world.ids(FileKind::Data);
    let extra = crate::snapshot::Snapshot { hostname: "woke-up".to_owned(), ..left[0].0.snapshot.clone() };
    let (store, late) = (world.store.clone(), world.repository.clone());
    let watching = FaultStore::planned(Arc::new(store), move |seen| {
        if seen.verb == Verb::Put
            && matches!(seen.target, crate::store::wrap::Target::File(FileName::Hashed(FileKind::Data, _)))
        {
            late.save_point(&extra).unwrap();
        }
        None
    });
    let pruner = World::over(&world.store, Arc::new(watching), ByteCount::kib(128));
    let error = pruner.try_prune(&ALL).unwrap_err();
    assert!(matches!(error, PruneError::Changed { .. }), "{error:?}");
    assert!(before.iter().all(|pack| world.ids(FileKind::Data).contains(pack)));
    world.prune(&ALL);
    world.check(&left);
}

#[test]
fn a_point_whose_lock_was_lost_stays_where_all_of_it_is_there_and_goes_where_it_is_not() {
    for pruned in [false, true] {
        let world = World::new(ByteCount::kib(64));
        let lock = world.repository.lock(LockKind::Shared).unwrap();
        let point = world.save("nnnn", 1);
        world.repository.unlock(crate::lock::Unlock::All).unwrap();
        if pruned {
            let bytes = world.store.get(FileName::Hashed(FileKind::Snapshot, point.id)).unwrap();
            world.forget(&point);
            world.prune(&ALL);
            world.store.put(FileName::Hashed(FileKind::Snapshot, point.id), &bytes).unwrap();
        }
        let settled = world.repository.settle_point(&point, &lock);
        assert_eq!(settled.is_err(), pruned, "{settled:?}");
        assert_eq!(world.ids(FileKind::Snapshot).is_empty(), pruned);
    }
}
