//! Who may work beside whom, and when a lock counts for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sonae_types::{Clock as _, Timestamp};

use super::{Fate, LOST, LockError, LockKind, Reading, STALE, Standing, Unlock};
use crate::crypto::{KdfCost, Password};
use crate::environment::{Environment, Liveness, Processes};
use crate::repository::Repository;
use crate::store::fault::{Fault, FaultStore, Seen};
use crate::store::wrap::Verb;
use crate::store::{FileKind, LocalStore, MemoryStore, ObjectStore as _, StoreError};
use crate::testing::{CountingEntropy, ManualClock, environment, memory_repository};

struct NoneLive;

impl Processes for NoneLive {
    fn lives(&self, _pid: u32) -> Liveness {
        Liveness::Gone
    }
}

fn open(store: &MemoryStore, change: impl FnOnce(&mut Environment)) -> Repository {
    let mut environment = environment();
    environment.entropy = Arc::new(CountingEntropy::starting_at(77));
    change(&mut environment);
    Repository::open(Arc::new(store.clone()), environment, &Password::from_file_bytes(b"secret")).unwrap()
}

fn locks(store: &MemoryStore) -> usize {
    store.list(FileKind::Lock).unwrap().len()
}

#[test]
fn shared_locks_stand_beside_each_other_and_an_exclusive_one_stands_alone() {
    let store = MemoryStore::new();
    let one = memory_repository(&store);
    let two = open(&store, |_| {});
    let (first, second) = (one.lock(LockKind::Shared).unwrap(), two.lock(LockKind::Shared).unwrap());
    assert!(matches!(two.lock(LockKind::Exclusive), Err(LockError::Held { .. })));
    drop((first, second));
    assert_eq!(locks(&store), 0, "a dropped lock is gone");
    let alone = one.lock(LockKind::Exclusive).unwrap();
    assert!(matches!(two.lock(LockKind::Shared), Err(LockError::Held { .. })));
    assert!(matches!(two.lock(LockKind::Exclusive), Err(LockError::Held { .. })));
    drop(alone);
    assert_eq!(locks(&store), 0, "a refused lock leaves no file");
}

#[test]
fn a_lock_that_nobody_refreshed_for_half_an_hour_counts_for_nothing() {
    let store = MemoryStore::new();
    let held = memory_repository(&store).lock(LockKind::Exclusive).unwrap();
    for (after, free) in [(STALE, false), (STALE + std::time::Duration::from_secs(2), true)] {
        let later = environment().clock.now().as_micros() + i64::try_from(after.as_micros()).unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(later)));
        let other = open(&store, |environment| {
            environment.clock = clock;
            environment.worker.hostname = "elsewhere".to_owned();
        });
        assert_eq!(other.lock(LockKind::Shared).is_ok(), free, "{after:?}");
    }
    drop(held);
}

#[test]
fn a_dead_process_locks_out_nobody_on_its_own_machine_but_everybody_on_others() {
    let store = MemoryStore::new();
    let held = memory_repository(&store).lock(LockKind::Exclusive).unwrap();
    for (hostname, free) in [("elsewhere", false), ("test", true)] {
        let other = open(&store, |environment| {
            environment.processes = Arc::new(NoneLive);
            environment.worker.hostname = hostname.to_owned();
        });
        assert_eq!(other.lock(LockKind::Shared).is_ok(), free, "{hostname}");
    }
    drop(held);
}

#[test]
fn a_lock_file_that_cannot_be_read_may_be_anybodys_and_counts() {
    let store = MemoryStore::new();
    let repository = memory_repository(&store);
    store.put(crate::store::contract::named(FileKind::Lock, b"no lock at all"), b"no lock at all").unwrap();
    assert!(matches!(repository.lock(LockKind::Shared), Err(LockError::Unreadable { .. })));
}

#[test]
fn a_holder_learns_that_its_lock_may_have_been_taken_for_stale() {
    let store = MemoryStore::new();
    drop(memory_repository(&store));
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(0)));
    let lock =
        open(&store, |environment| environment.clock = Arc::clone(&clock) as Arc<dyn sonae_types::Clock>)
            .lock(LockKind::Shared)
            .unwrap();
    assert!(lock.confirm().is_ok());
    clock.sleep(LOST);
    assert!(matches!(lock.confirm(), Err(LockError::Lost { .. })));
}

/// A clock that is a day ahead of the one that locks are written by in these tests.
fn a_day_ahead() -> Arc<ManualClock> {
    let later = environment().clock.now().as_micros() + 24 * 3600 * 1_000_000;
    Arc::new(ManualClock::at(Timestamp::from_micros(later)))
}

fn elsewhere(environment: &mut Environment, clock: Arc<ManualClock>) {
    environment.clock = clock;
    environment.worker.hostname = "elsewhere".to_owned();
}

#[test]
fn a_clock_that_is_a_day_ahead_takes_no_living_lock_for_a_stale_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalStore::create(&folder.path().join("repo")).unwrap());
    let password = Password::from_file_bytes(b"secret");
    let held = Repository::init(store.clone(), environment(), &password, KdfCost::FOR_TESTS).unwrap();
    let lock = held.lock(LockKind::Exclusive).unwrap();
    let mut wrong = environment();
    wrong.entropy = Arc::new(CountingEntropy::starting_at(77));
    elsewhere(&mut wrong, a_day_ahead());
    let other = Repository::open(store.clone(), wrong, &password).unwrap();
    assert!(matches!(other.lock(LockKind::Shared), Err(LockError::Held { .. })));
    let found = other.unlock(Unlock::Worthless).unwrap();
    assert_eq!(
        found.iter().map(|lock| (lock.standing, lock.fate)).collect::<Vec<_>>(),
        [(Standing::Held, Fate::Kept)]
    );
    assert!(lock.confirm().is_ok());
    drop(lock);
    assert!(store.list(FileKind::Lock).unwrap().is_empty(), "probes and refused locks leave no file");
}

#[test]
fn a_lock_that_somebody_removed_is_lost_at_once() {
    let store = MemoryStore::new();
    let one = memory_repository(&store);
    let lock = one.lock(LockKind::Shared).unwrap();
    assert!(lock.confirm().is_ok());
    let removed = open(&store, |_| {}).unlock(Unlock::All).unwrap();
    assert_eq!(removed.len(), 1);
    assert!(matches!(lock.confirm(), Err(LockError::Lost { .. })));
}

#[test]
fn a_lock_that_the_store_did_not_keep_is_no_lock() {
    let store = MemoryStore::new();
    drop(memory_repository(&store));
    // From outside: the file goes right after it was written, while the holder waits.
    let clock = Arc::new(RemovingClock { store: store.clone(), clock: ManualClock::default() });
    let repository = open(&store, |environment| environment.clock = clock);
    assert!(matches!(repository.lock(LockKind::Shared), Err(LockError::Lost { .. })));
}

/// A clock under whose sleeper somebody removes all locks.
struct RemovingClock {
    store: MemoryStore,
    clock: ManualClock,
}

impl sonae_types::Clock for RemovingClock {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> std::time::Duration {
        self.clock.monotonic()
    }

    fn sleep(&self, _span: std::time::Duration) {
        for file in self.store.list(FileKind::Lock).unwrap() {
            self.store.remove(super::lock_name(file.id)).unwrap();
        }
    }
}

#[test]
fn unlocking_removes_what_counts_for_nothing_and_names_what_it_leaves() {
    let store = MemoryStore::new();
    let old = memory_repository(&store);
    let stale = old.write_lock(LockKind::Exclusive).unwrap();
    let one = open(&store, |environment| elsewhere(environment, a_day_ahead()));
    let held = one.lock(LockKind::Shared).unwrap();
    assert!(store.size(super::lock_name(stale)).is_err(), "what stands in the way and is stale goes");
    let stale = old.write_lock(LockKind::Exclusive).unwrap();
    store.put(crate::store::contract::named(FileKind::Lock, b"no lock at all"), b"no lock at all").unwrap();
    let found = one.unlock(Unlock::Worthless).unwrap();
    let mut fates = found.iter().map(|lock| (lock.standing, lock.fate)).collect::<Vec<_>>();
    fates.sort_by_key(|(standing, _)| *standing as u8);
    assert_eq!(
        fates,
        [(Standing::Held, Fate::Kept), (Standing::Stale, Fate::Removed), (Standing::Unreadable, Fate::Kept)]
    );
    let holder = found.iter().find(|lock| lock.id == stale).and_then(|lock| lock.holder.clone()).unwrap();
    assert!(holder.exclusive && holder.hostname == "test");
    drop(held);
    assert_eq!(one.unlock(Unlock::All).unwrap().len(), 1, "the unreadable one");
    assert_eq!(locks(&store), 0);
}

#[test]
fn the_lock_of_a_dead_process_is_cleared_away_by_the_next_one_on_its_machine() {
    let store = MemoryStore::new();
    memory_repository(&store).write_lock(LockKind::Exclusive).unwrap();
    let next = open(&store, |environment| environment.processes = Arc::new(NoneLive));
    drop(next.lock(LockKind::Exclusive).unwrap());
    assert_eq!(locks(&store), 0);
}

/// A store over this one that is full while it is told so, and a repository in it.
fn filling(store: &MemoryStore) -> (Arc<AtomicBool>, Repository) {
    let full = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&full);
    let plan =
        move |seen: &Seen| (seen.verb == Verb::Put && told.load(Ordering::SeqCst)).then_some(Fault::Full);
    let store = FaultStore::planned(Arc::new(store.clone()), plan);
    let password = Password::from_file_bytes(b"secret");
    (full, Repository::open(Arc::new(store), environment(), &password).unwrap())
}

#[test]
fn a_place_that_takes_no_files_is_read_without_a_lock_written_by_nobody_and_not_read_while_it_is_locked() {
    let store = MemoryStore::new();
    let other = memory_repository(&store);
    let (full, repository) = filling(&store);
    assert!(matches!(repository.begin_reading().unwrap().settle().unwrap(), Reading::Locked(_)));
    full.store(true, Ordering::SeqCst);
    assert!(matches!(repository.begin_reading().unwrap().settle().unwrap(), Reading::Unlocked));
    assert!(matches!(repository.lock(LockKind::Shared), Err(LockError::Store(StoreError::Full { .. }))));
    let alone = other.lock(LockKind::Exclusive).unwrap();
    assert!(matches!(repository.begin_reading(), Err(LockError::Held { .. })));
    drop(alone);
    assert_eq!(locks(&store), 0);
}

#[test]
fn a_refresh_that_finds_no_room_is_made_up_for_and_the_lock_holds_meanwhile() {
    let store = MemoryStore::new();
    drop(memory_repository(&store));
    let (full, repository) = filling(&store);
    let lock = repository.lock(LockKind::Shared).unwrap();
    let before = store.list(FileKind::Lock).unwrap();
    full.store(true, Ordering::SeqCst);
    lock.shared.refresh();
    assert_eq!(store.list(FileKind::Lock).unwrap(), before, "the old one is there");
    assert!(lock.confirm().is_ok());
    full.store(false, Ordering::SeqCst);
    lock.shared.refresh();
    assert_ne!(store.list(FileKind::Lock).unwrap(), before);
    assert!(lock.confirm().is_ok());
    drop(lock);
    assert_eq!(locks(&store), 0);
}
