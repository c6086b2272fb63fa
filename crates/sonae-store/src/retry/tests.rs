//! What is repeated, how long it takes, and what the answer of a repetition means.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use sonae_types::{Clock as _, Digest};

use super::*;
use crate::fault::{Fault, FaultStore, Seen};
use crate::testing::{TestClock, TestEntropy, check_contract, check_contract_repeated, sort};
use crate::wrap::Verb;
use crate::{FileKind, LocalStore, MemoryStore};

const PACK: FileName = FileName::Hashed(FileKind::Data, Digest::new([7; 32]));

/// A store in memory, what breaks it, and the store that repeats around both.
struct Rig {
    memory: MemoryStore,
    faults: Arc<FaultStore>,
    clock: Arc<TestClock>,
    repeats: Repeats,
    store: RetryStore,
}

impl Rig {
    fn new(plan: impl Fn(&Seen) -> Option<Fault> + Send + Sync + 'static) -> Self {
        let memory = MemoryStore::new();
        let faults = Arc::new(FaultStore::planned(Arc::new(memory.clone()), plan));
        let clock = Arc::new(TestClock::default());
        let repeats = Repeats::default();
        let patience = Patience::endless(Arc::clone(&clock) as Arc<dyn sonae_types::Clock>);
        let store = RetryStore::new(
            Arc::clone(&faults) as Arc<dyn ObjectStore>,
            RetryPolicy::FOLDER,
            patience,
            Arc::new(TestEntropy(0xff)),
            repeats.clone(),
        );
        Self { memory, faults, clock, repeats, store }
    }

    /// The first `n` operations of this verb break.
    fn breaking(fault: Fault, verb: Verb, n: u64) -> Self {
        Self::new(move |seen| (seen.verb == verb && seen.number_of_verb <= n).then_some(fault))
    }

    fn tries(&self, verb: Verb) -> usize {
        self.faults.log().iter().filter(|seen| seen.verb == verb).count()
    }
}

fn repeating(inner: Arc<dyn ObjectStore>, policy: RetryPolicy) -> RetryStore {
    let patience = Patience::endless(Arc::new(TestClock::default()));
    RetryStore::new(inner, policy, patience, Arc::new(TestEntropy(1)), Repeats::default())
}

#[test]
fn keeps_the_contract_of_stores() {
    check_contract(|inner| repeating(inner, RetryPolicy::FOLDER));
}

#[test]
fn keeps_the_contract_over_a_store_whose_every_third_operation_fails() {
    thread_local! {
        static OPERATIONS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
    }
    // Counted by each thread for itself, so that the repetition of a failed operation is never a third one again.
    let third = || OPERATIONS.replace(OPERATIONS.get().wrapping_add(1)) % 3 == 2;
    check_contract_repeated(|inner| {
        let broken = FaultStore::planned(inner, move |_seen| third().then_some(Fault::Fail));
        repeating(Arc::new(broken), RetryPolicy::FOLDER)
    });
}

#[test]
fn what_fails_for_a_while_succeeds_and_is_counted() {
    for n in 0..=5 {
        let rig = Rig::breaking(Fault::Fail, Verb::Put, n);
        rig.store.put(PACK, b"pack").unwrap();
        assert_eq!(rig.memory.get(PACK).unwrap(), b"pack");
        assert_eq!((rig.repeats.operations(), rig.repeats.tries()), (n.min(1), n));
        let cause = rig.repeats.last_cause();
        let expected = format!("cannot write {PACK} in memory: {}", std::io::Error::from_raw_os_error(5));
        assert_eq!(cause, (0 < n).then_some(expected));
    }
}

#[test]
fn what_fails_for_too_long_fails_with_its_own_error_after_the_waits_of_the_policy() {
    let rig = Rig::breaking(Fault::Fail, Verb::Get, u64::MAX);
    assert_eq!(sort(&rig.store.get(PACK).unwrap_err()), "io");
    assert_eq!(rig.tries(Verb::Get), 6);
    // The jitter of this test is always the greatest: the whole waits.
    assert_eq!(rig.clock.monotonic(), Duration::from_millis(250 + 500 + 1_000 + 2_000 + 4_000));
    assert_eq!((rig.repeats.operations(), rig.repeats.tries()), (1, 5));
}

#[test]
fn what_is_final_is_not_repeated() {
    let rig = Rig::breaking(Fault::Full, Verb::Put, 1);
    assert_eq!(sort(&rig.store.get(PACK).unwrap_err()), "not found");
    assert_eq!(sort(&rig.store.remove(PACK).unwrap_err()), "not found");
    assert_eq!(sort(&rig.store.put(PACK, b"pack").unwrap_err()), "full");
    assert_eq!(rig.faults.operations(), 3);
    assert_eq!((rig.repeats.operations(), rig.clock.sleeps()), (0, vec![]));
}

#[test]
fn every_operation_is_repeated() {
    let rig = Rig::new(|seen| (seen.number % 2 == 1).then_some(Fault::Fail));
    rig.store.put(PACK, b"pack").unwrap();
    assert_eq!(rig.store.get(PACK).unwrap(), b"pack");
    let mut into = [0; 2];
    rig.store.get_range(PACK, 1, &mut into).unwrap();
    assert_eq!(&into, b"ac");
    assert_eq!(rig.store.size(PACK).unwrap().get(), 4);
    assert_eq!(rig.store.stored_at(PACK).unwrap(), None);
    assert_eq!(rig.store.list(FileKind::Data).unwrap().len(), 1);
    rig.store.remove(PACK).unwrap();
    assert_eq!(rig.repeats.operations(), 7);
}

#[test]
fn a_torn_file_is_healed_by_the_repetition() {
    let rig = Rig::breaking(Fault::Torn, Verb::Put, 3);
    rig.store.put(PACK, b"pack").unwrap();
    assert_eq!(rig.memory.get(PACK).unwrap(), b"pack");
    let rig = Rig::breaking(Fault::Torn, Verb::GetRange, 3);
    rig.memory.put(PACK, b"pack").unwrap();
    let mut into = [0; 4];
    rig.store.get_range(PACK, 0, &mut into).unwrap();
    assert_eq!(&into, b"pack");
}

/// Changes as asked, and the answer to the first of this verb is an error.
#[derive(Debug)]
struct AnswerLost(Verb, AtomicU32);

impl Around for AnswerLost {
    fn around(&self, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Result<Answer, StoreError> {
        let answer = call.run(inner)?;
        if call.verb() == self.0 && self.1.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(call.failed("memory", std::io::ErrorKind::TimedOut.into()));
        }
        Ok(answer)
    }
}

fn losing_the_answer(memory: &MemoryStore, verb: Verb) -> RetryStore {
    let lossy = Wrapped::around(Arc::new(memory.clone()), AnswerLost(verb, AtomicU32::new(0)));
    repeating(Arc::new(lossy), RetryPolicy::FOLDER)
}

#[test]
fn a_removal_whose_answer_was_lost_is_a_removal() {
    let memory = MemoryStore::new();
    memory.put(PACK, b"pack").unwrap();
    losing_the_answer(&memory, Verb::Remove).remove(PACK).unwrap();
    assert!(memory.get(PACK).unwrap_err().is_not_found());
}

#[test]
fn a_config_whose_answer_was_lost_is_put_and_one_of_somebody_else_is_never_taken_for_it() {
    let memory = MemoryStore::new();
    losing_the_answer(&memory, Verb::Put).put(FileName::Config, b"ours").unwrap();
    assert_eq!(memory.get(FileName::Config).unwrap(), b"ours");

    for other in [b"their".as_slice(), b"ours and more"] {
        let rig = Rig::breaking(Fault::Fail, Verb::Put, 1);
        rig.memory.put(FileName::Config, other).unwrap();
        assert_eq!(sort(&rig.store.put(FileName::Config, b"ours").unwrap_err()), "exists");
        assert_eq!(rig.memory.get(FileName::Config).unwrap(), other);
    }
}

#[test]
fn a_config_that_cannot_be_compared_at_once_is_compared_later() {
    // The answer to the first put is an error although it landed; so is that to the first comparison.
    let memory = MemoryStore::new();
    let lossy = Wrapped::around(Arc::new(memory.clone()), AnswerLost(Verb::Put, AtomicU32::new(0)));
    let unread = FaultStore::planned(Arc::new(lossy), |seen| {
        (seen.verb == Verb::Get && seen.number_of_verb == 1).then_some(Fault::Fail)
    });
    repeating(Arc::new(unread), RetryPolicy::FOLDER).put(FileName::Config, b"ours").unwrap();
    assert_eq!(memory.get(FileName::Config).unwrap(), b"ours");
}

#[test]
fn a_torn_config_of_ours_is_told_as_the_failure_that_it_is() {
    let rig = Rig::breaking(Fault::Torn, Verb::Put, 1);
    assert_eq!(sort(&rig.store.put(FileName::Config, b"ours").unwrap_err()), "io");
    assert_eq!(rig.memory.get(FileName::Config).unwrap(), b"ou");
}

#[test]
fn a_stop_ends_the_waiting_and_says_why_there_was_one() {
    let memory = MemoryStore::new();
    let broken = FaultStore::planned(Arc::new(memory), |_seen| Some(Fault::Fail));
    let clock = Arc::new(TestClock::default());
    let asked = AtomicU32::new(0);
    let patience = Patience::new(Arc::clone(&clock) as Arc<dyn sonae_types::Clock>, move || {
        asked.fetch_add(1, Ordering::SeqCst) < 8
    });
    let entropy = Arc::new(TestEntropy(0xff));
    let store = RetryStore::new(Arc::new(broken), RetryPolicy::FOLDER, patience, entropy, Repeats::default());
    let error = store.list(FileKind::Data).unwrap_err();
    assert_eq!(sort(&error), "stopped");
    let line = chain(&error);
    assert!(
        line.starts_with("stopped while an operation in memory had to wait: cannot list data in memory: "),
        "{line}"
    );
    // Five naps of the first wait of 250 ms, and three of the second.
    assert_eq!(clock.sleeps(), [Duration::from_millis(50); 8]);
}

proptest! {
    #[test]
    fn an_operation_is_never_tried_more_often_nor_waited_for_longer_than_the_policy_says(
        tries in 1..12_u32, first in 0..3_000_u64, longest in 0..5_000_u64, total in 0..20_000_u64, jitter: u8, fails in 0..20_u64,
    ) {
        let millis = Duration::from_millis;
        let policy = RetryPolicy {
            tries: NonZeroU32::new(tries).unwrap(),
            first_wait: millis(first),
            longest_wait: millis(longest),
            longest_total_wait: millis(total),
        };
        let broken = Arc::new(FaultStore::planned(Arc::new(MemoryStore::new()), move |seen| {
            (seen.number <= fails).then_some(Fault::Fail)
        }));
        let clock = Arc::new(TestClock::default());
        let patience = Patience::endless(Arc::clone(&clock) as Arc<dyn sonae_types::Clock>);
        let inner = Arc::clone(&broken) as Arc<dyn ObjectStore>;
        let store = RetryStore::new(inner, policy, patience, Arc::new(TestEntropy(jitter)), Repeats::default());
        let answer = store.list(FileKind::Key);
        let made = broken.operations();
        prop_assert!(made <= u64::from(tries));
        prop_assert_eq!(answer.is_ok(), fails < made);
        prop_assert!(clock.monotonic() <= policy.longest_total_wait);
        // It gives up early only because the time is over.
        prop_assert!(answer.is_ok() || made == u64::from(tries) || clock.monotonic() == policy.longest_total_wait);
    }
}

#[test]
fn what_the_system_refuses_is_final_and_what_may_pass_is_not() {
    let retry = |number: i32| {
        let cause = std::io::Error::from_raw_os_error(number);
        StoreError::Io { doing: "write", what: String::new(), location: String::new(), cause }.retry()
    };
    // EPERM ENOENT EACCES EEXIST EXDEV ENOTDIR EISDIR EINVAL EFBIG ENOSPC EROFS EMLINK ENAMETOOLONG ENOSYS ENOTEMPTY
    // EOPNOTSUPP EDQUOT
    for number in [1, 2, 13, 17, 18, 20, 21, 22, 27, 28, 30, 31, 36, 38, 39, 95, 122] {
        assert_eq!(retry(number), Retry::Never, "{}", std::io::Error::from_raw_os_error(number));
    }
    // EINTR EIO ENXIO EAGAIN ENOMEM EBUSY ENFILE EMFILE ETXTBSY ENONET ECOMM ENETDOWN ENETUNREACH ECONNABORTED
    // ECONNRESET ENOTCONN ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH ESTALE EREMOTEIO
    for number in
        [4, 5, 6, 11, 12, 16, 23, 24, 26, 64, 70, 100, 101, 103, 104, 107, 110, 111, 112, 113, 116, 121]
    {
        assert_eq!(retry(number), Retry::Later, "{}", std::io::Error::from_raw_os_error(number));
    }
}

#[test]
fn a_name_that_is_taken_by_a_folder_is_not_tried_again() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("repository");
    let local = LocalStore::create(&path).unwrap();
    // The name of the pack is taken by a folder, which no repetition changes.
    std::fs::create_dir(path.join(PACK.to_string())).unwrap();
    let counted = Arc::new(FaultStore::calm(Arc::new(local)));
    let store = repeating(Arc::clone(&counted) as Arc<dyn ObjectStore>, RetryPolicy::FOLDER);
    assert_eq!(sort(&store.put(PACK, b"pack").unwrap_err()), "io");
    assert_eq!(counted.operations(), 1);
}
