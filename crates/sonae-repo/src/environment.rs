//! What the engine is told about the world: who works, time, randomness, and whether to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sonae_types::{ByteCount, Clock, Entropy};

/// Who works on a repository; written into locks, keys and points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// The machine we run on.
    pub hostname: String,
    /// The user we run as.
    pub username: String,
    /// Our process.
    pub pid: u32,
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// The world as values: everything an operation may ask that is not in the repository.
#[derive(Clone)]
pub struct Environment {
    /// Tells time and waits.
    pub clock: Arc<dyn Clock>,
    /// Gives randomness for keys and IVs.
    pub entropy: Arc<dyn Entropy>,
    /// Who works.
    pub worker: Worker,
    /// Whether processes on this machine live; a dead one's lock is stale.
    pub processes: Arc<dyn Processes>,
}

/// Tells whether a process on this machine lives.
pub trait Processes: Send + Sync {
    /// The answer; unsure counts as living.
    fn lives(&self, pid: u32) -> Liveness;
}

/// Whether a process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It runs, or nobody can tell.
    Lives,
    /// It is certainly gone.
    Gone,
}

/// A request to stop that long work looks at often. Clones are the same request.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

/// The work was asked to stop before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped before the work was done")]
pub struct Stopped;

/// How far long work has come. Counters only grow; anybody may look at any time.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    done: AtomicU64,
    stored: AtomicU64,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl Stop {
    /// Asks for the stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Errors: [`Stopped`] once it was asked for.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.0.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }
}

impl Progress {
    /// States more work to be done.
    pub fn expect(&self, bytes: ByteCount) {
        self.total.fetch_add(bytes.get(), Ordering::Relaxed);
    }

    /// Counts work as done.
    pub fn advance(&self, bytes: ByteCount) {
        self.done.fetch_add(bytes.get(), Ordering::Relaxed);
    }

    /// Counts bytes that were handed to the store.
    pub fn store(&self, bytes: ByteCount) {
        self.stored.fetch_add(bytes.get(), Ordering::Relaxed);
    }

    /// All work known so far.
    #[must_use]
    pub fn total(&self) -> ByteCount {
        ByteCount::new(self.total.load(Ordering::Relaxed))
    }

    /// The work done so far.
    #[must_use]
    pub fn done(&self) -> ByteCount {
        ByteCount::new(self.done.load(Ordering::Relaxed))
    }

    /// Bytes handed to the store so far.
    #[must_use]
    pub fn stored(&self) -> ByteCount {
        ByteCount::new(self.stored.load(Ordering::Relaxed))
    }
}
