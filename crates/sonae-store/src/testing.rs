//! Stand-ins for the tests of the wrappers: time and randomness that are values, and stores to wrap.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sonae_types::{Clock, Entropy, Timestamp};

use crate::{LocalStore, MemoryStore, ObjectStore, StoreError, contract};

/// A clock that moves only by sleeping, and remembers each sleep.
#[derive(Debug, Default)]
pub(crate) struct TestClock {
    nanos: AtomicU64,
    sleeps: Mutex<Vec<Duration>>,
}

/// Entropy that repeats one byte.
#[derive(Debug)]
pub(crate) struct TestEntropy(pub(crate) u8);

impl TestClock {
    /// Each sleep so far.
    pub(crate) fn sleeps(&self) -> Vec<Duration> {
        self.sleeps.lock().unwrap().clone()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::SeqCst))
    }

    fn sleep(&self, span: Duration) {
        self.nanos.fetch_add(u64::try_from(span.as_nanos()).unwrap(), Ordering::SeqCst);
        self.sleeps.lock().unwrap().push(span);
    }
}

impl Entropy for TestEntropy {
    fn fill(&self, into: &mut [u8]) {
        into.fill(self.0);
    }
}

/// The contract of stores, kept by what `wrap` makes of a store in memory and of one in a folder.
pub(crate) fn check_contract<S: ObjectStore + 'static>(wrap: impl Fn(Arc<dyn ObjectStore>) -> S) {
    on_every_store(&|make| contract::check(&|| Box::new(wrap(make()))));
}

/// As [`check_contract`], but without the claims that hold only where every operation runs once.
pub(crate) fn check_contract_repeated<S: ObjectStore + 'static>(wrap: impl Fn(Arc<dyn ObjectStore>) -> S) {
    on_every_store(&|make| contract::check_repeated(&|| Box::new(wrap(make()))));
}

type Make<'a> = &'a dyn Fn() -> Arc<dyn ObjectStore>;

fn on_every_store(check: &dyn Fn(Make<'_>)) {
    check(&|| Arc::new(MemoryStore::new()));
    // Hundreds of folders for each claim take long on a disk.
    let temp = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let count = AtomicU64::new(0);
    check(&|| {
        let path = temp.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
        Arc::new(LocalStore::create(&path).unwrap())
    });
}

/// The error in one word.
pub(crate) fn sort(error: &StoreError) -> &'static str {
    match error {
        StoreError::NotFound { .. } => "not found",
        StoreError::Exists { .. } => "exists",
        StoreError::Full { .. } => "full",
        StoreError::Short { .. } => "short",
        StoreError::NotKept { .. } => "not kept",
        StoreError::Altered { .. } => "altered",
        StoreError::Unusable { .. } => "unusable",
        StoreError::Stopped { .. } => "stopped",
        StoreError::Io { .. } => "io",
    }
}
