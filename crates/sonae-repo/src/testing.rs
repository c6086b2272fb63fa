//! Stand-ins for the tests of this room and of others: entropy and time that are values.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use sonae_types::{Clock, Entropy, Timestamp};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Entropy that counts: every call gives other bytes, every run the same. Never for data.
#[derive(Debug, Default)]
pub struct CountingEntropy(AtomicU64);

/// A clock that stands where it was put and moves only by sleeping.
#[derive(Debug, Default)]
pub struct ManualClock {
    micros: AtomicI64,
}

impl CountingEntropy {
    /// Entropy that begins elsewhere than another.
    #[must_use]
    pub fn starting_at(start: u64) -> Self {
        Self(AtomicU64::new(start << 32))
    }
}

impl Entropy for CountingEntropy {
    fn fill(&self, into: &mut [u8]) {
        for part in into.chunks_mut(8) {
            let count = self.0.fetch_add(1, Ordering::Relaxed);
            part.copy_from_slice(&xxh3_64_with_seed(&count.to_le_bytes(), 7).to_le_bytes()[..part.len()]);
        }
    }
}

impl ManualClock {
    /// A clock at this instant.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { micros: AtomicI64::new(now.as_micros()) }
    }

    /// Puts the clock elsewhere, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.micros.store(now.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.micros.load(Ordering::SeqCst)).unwrap_or(0))
    }

    fn sleep(&self, span: Duration) {
        self.micros.fetch_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}
