//! Who may work beside whom, and when a lock counts for nothing.

use std::sync::Arc;

use sonae_types::{Clock as _, Timestamp};

use crate::crypto::Password;
use crate::environment::{Environment, Liveness, Processes};
use crate::lock::{LOST, LockError, LockKind, STALE};
use crate::repository::Repository;
use crate::store::{FileKind, MemoryStore, ObjectStore as _};
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
    for (hostname, free) in [("test", true), ("elsewhere", false)] {
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
