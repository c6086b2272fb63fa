//! Time and randomness as values: rooms are handed these traits, and only the edges implement them over the system.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant in UTC, in microseconds since 1970-01-01T00:00:00Z. Never a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant that many microseconds after the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Tells time and waits.
pub trait Clock: Send + Sync {
    /// The wall clock, for stamps.
    fn now(&self) -> Timestamp;

    /// Time since some fixed point that never goes back, for durations.
    fn monotonic(&self) -> Duration;

    /// Waits.
    fn sleep(&self, span: Duration);
}

/// Gives unpredictable bytes, fit for keys.
pub trait Entropy: Send + Sync {
    /// Fills `into` with random bytes.
    fn fill(&self, into: &mut [u8]);
}
