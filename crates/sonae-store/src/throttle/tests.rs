//! Never too fast, never slower than needed, and never for ever.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use proptest::prelude::*;
use sonae_types::{Clock, Digest};

use super::*;
use crate::MemoryStore;
use crate::fault::FaultStore;
use crate::testing::{TestClock, check_contract, sort};

const PACK: FileName = FileName::Hashed(FileKind::Data, Digest::new([7; 32]));

fn rate(bytes: u64) -> Rate {
    Rate::bytes_per_second(NonZeroU64::new(bytes).unwrap())
}

fn limits(limit: Limit) -> Limits {
    Limits { write: limit, read: limit }
}

/// How many bytes had passed in the end of each operation, and when: what the store inside sees of puts, and what the
/// caller sees of reads.
#[derive(Debug, Default)]
struct Passed(Mutex<Vec<(Duration, u64)>>);

impl Passed {
    fn note(&self, clock: &TestClock, bytes: usize) {
        self.0.lock().unwrap().push((clock.monotonic(), bytes as u64));
    }

    fn in_order(&self) -> Vec<(Duration, u64)> {
        let mut passed = self.0.lock().unwrap().clone();
        passed.sort_by_key(|(at, _)| *at);
        passed
    }
}

/// Panics where more bytes passed by any time than the rate makes from `start` until then and one burst.
fn check_since(start: Duration, passed: &[(Duration, u64)], rate: Rate, burst: u64) {
    let mut bytes = 0;
    for (at, more) in passed {
        bytes += more;
        let span = (*at - start).as_nanos();
        let allowed = span * u128::from(rate.get()) + u128::from(burst) * NANOS_PER_SECOND;
        assert!(
            u128::from(bytes) * NANOS_PER_SECOND <= allowed,
            "{bytes} bytes in {span} ns at {rate:?} with {burst} ahead"
        );
    }
}

#[derive(Debug)]
struct Probe {
    clock: Arc<TestClock>,
    passed: Arc<Passed>,
}

impl Around for Probe {
    fn around(&self, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Result<Answer, StoreError> {
        if let Call::Put { bytes, .. } = call {
            self.passed.note(&self.clock, bytes.len());
        }
        call.run(inner)
    }
}

/// A store that holds back with a clock of its own, and what has passed it.
struct Rig {
    memory: MemoryStore,
    clock: Arc<TestClock>,
    passed: Arc<Passed>,
    store: ThrottleStore,
}

impl Rig {
    fn new(limits: Limits) -> Self {
        let (clock, passed) = (Arc::new(TestClock::default()), Arc::new(Passed::default()));
        let probe = Probe { clock: Arc::clone(&clock), passed: Arc::clone(&passed) };
        let memory = MemoryStore::new();
        let inner = Arc::new(Wrapped::around(Arc::new(memory.clone()), probe));
        let patience = Patience::endless(Arc::clone(&clock) as Arc<dyn Clock>);
        let store = ThrottleStore::new(inner, limits, patience);
        Self { memory, clock, passed, store }
    }
}

fn unlimited(inner: Arc<dyn ObjectStore>) -> ThrottleStore {
    ThrottleStore::new(inner, Limits::default(), Patience::endless(Arc::new(TestClock::default())))
}

#[test]
fn keeps_the_contract_of_stores_with_and_without_limits() {
    check_contract(unlimited);
    check_contract(|inner| {
        let clock = Arc::new(TestClock::default());
        ThrottleStore::new(inner, limits(Limit::at_most(rate(1_000_000))), Patience::endless(clock))
    });
}

/// What somebody does with the store.
#[derive(Clone, Copy, Debug)]
enum Step {
    Move(usize),
    Idle(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop_oneof![0..50_usize, 0..5_000_usize, 0..100_000_usize].prop_map(Step::Move),
        1 => (0..3_000_000_000_u64).prop_map(Step::Idle),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_passes_never_exceeds_rate_times_time_and_one_burst(
        steps in steps(), speed in 1..200_000_u64, burst in 0..20_000_u64, reading: bool, whole: bool,
    ) {
        let rate = rate(speed);
        let rig = Rig::new(limits(Limit::AtMost { rate, burst: ByteCount::new(burst) }));
        let (mut moved, mut idle) = (0, Duration::ZERO);
        for step in steps {
            match step {
                Step::Idle(nanos) => {
                    idle += Duration::from_nanos(nanos);
                    rig.clock.sleep(Duration::from_nanos(nanos));
                }
                Step::Move(len) if reading => {
                    rig.memory.put(PACK, &vec![1; len]).unwrap();
                    if whole {
                        rig.store.get(PACK).unwrap();
                    } else {
                        rig.store.get_range(PACK, 0, &mut vec![0; len]).unwrap();
                    }
                    rig.passed.note(&rig.clock, len);
                    moved += len as u128;
                }
                Step::Move(len) => {
                    rig.store.put(PACK, &vec![1; len]).unwrap();
                    moved += len as u128;
                }
            }
        }
        let passed = rig.passed.in_order();
        check_since(Duration::ZERO, &passed, rate, burst);
        // The same from the moment on when something had just passed: nothing is saved up beyond one burst.
        for (n, (at, _)) in passed.iter().enumerate() {
            check_since(*at, &passed[n + 1..], rate, burst);
        }
        // And it never waits for longer than the bytes take, but for the shortest sleep each.
        let longest = (moved * NANOS_PER_SECOND).div_ceil(u128::from(speed)) + 40 * 1_001;
        prop_assert!((rig.clock.monotonic() - idle).as_nanos() <= longest);
    }
}

#[test]
fn writing_and_reading_have_limits_of_their_own() {
    let rig = Rig::new(Limits { write: Limit::at_most(rate(1_000)), read: Limit::at_most(rate(500)) });
    let seconds = || rig.clock.monotonic().as_secs();
    rig.store.put(PACK, &[1; 1_000]).unwrap();
    rig.store.get(PACK).unwrap();
    assert_eq!(seconds(), 1, "500 of the 1,000 bytes were ahead");
    rig.store.get(PACK).unwrap();
    assert_eq!(seconds(), 3);
    rig.store.put(PACK, &[1; 1_000]).unwrap();
    assert_eq!(seconds(), 3, "three seconds without writing earned one burst");
    rig.store.put(PACK, &[1; 10_000]).unwrap();
    assert_eq!(seconds(), 13);
    rig.store.list(FileKind::Data).unwrap();
    rig.store.size(PACK).unwrap();
    rig.store.remove(PACK).unwrap();
    assert_eq!(seconds(), 13);
}

#[test]
fn all_threads_pay_from_one_purse_and_all_get_through() {
    let speed = rate(1_000_000);
    let rig = Rig::new(limits(Limit::AtMost { rate: speed, burst: ByteCount::new(10_000) }));
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for thread in 0..8_u8 {
            let (rig, start) = (&rig, &start);
            scope.spawn(move || {
                start.wait();
                for n in 0..20_u8 {
                    let name = FileName::Hashed(FileKind::Data, Digest::new([thread * 20 + n; 32]));
                    rig.store.put(name, &[n; 25_000]).unwrap();
                }
            });
        }
    });
    assert_eq!(rig.memory.list(FileKind::Data).unwrap().len(), 160);
    check_since(Duration::ZERO, &rig.passed.in_order(), speed, 10_000);
}

#[test]
fn a_lock_does_not_wait_behind_packs_but_is_counted() {
    let rig = Rig::new(limits(Limit::at_most(rate(1))));
    rig.store.put(PACK, &[1; 1_000]).unwrap();
    let lock = FileName::Hashed(FileKind::Lock, Digest::new([1; 32]));
    rig.store.put(lock, &[1; 200]).unwrap();
    rig.store.get(lock).unwrap();
    assert_eq!(rig.clock.monotonic().as_secs(), 999);
    rig.store.put(PACK, &[1; 1]).unwrap();
    assert_eq!(rig.clock.monotonic().as_secs(), 1_200);
}

#[test]
fn a_stop_ends_the_waiting_and_nothing_is_put_or_handed_over() {
    let asked = Arc::new(AtomicU64::new(0));
    let may_go_on = {
        let asked = Arc::clone(&asked);
        move || asked.fetch_add(1, Ordering::SeqCst) < 10
    };
    let clock = Arc::new(TestClock::default());
    let counted = Arc::new(FaultStore::calm(Arc::new(MemoryStore::new())));
    let patience = Patience::new(Arc::clone(&clock) as Arc<dyn Clock>, may_go_on);
    let inner = Arc::clone(&counted) as Arc<dyn ObjectStore>;
    let store = ThrottleStore::new(inner, limits(Limit::at_most(rate(1))), patience);
    assert_eq!(sort(&store.put(PACK, &[1; 1_000_000]).unwrap_err()), "stopped");
    assert_eq!(clock.monotonic(), Duration::from_millis(500));
    assert_eq!(counted.operations(), 0);

    counted.put(PACK, &[1; 1_000]).unwrap();
    assert_eq!(sort(&store.get(PACK).unwrap_err()), "stopped");
    assert_eq!(sort(&store.get_range(PACK, 0, &mut [0; 10]).unwrap_err()), "stopped");
    store.remove(PACK).unwrap();
}

#[test]
fn the_largest_numbers_make_a_long_wait_and_no_overflow() {
    for (bytes, speed) in [(u64::MAX, 1), (u64::MAX, u64::MAX), (1, u64::MAX), (0, 1)] {
        let purse = Purse { limit: Limit::at_most(rate(speed)), paid_until: Mutex::default() };
        let mut due = Duration::ZERO;
        for _ in 0..3 {
            let next = purse.pay(ByteCount::new(bytes), Duration::from_secs(1));
            assert!(due <= next, "{bytes} bytes at {speed}");
            due = next;
        }
    }
}
