//! A store whose operations are repeated when trying again may help.
//!
//! After a failure nobody knows whether the operation had its effect. So a repetition is not only made but also read
//! rightly: what was removed by the first try is not there for the second, and what the first one put is there already.

use std::error::Error;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sonae_types::Entropy;

use super::patience::{Patience, Waited};
use super::wrap::{Answer, Around, Call, Wrapped};
use super::{FileName, ObjectStore, Retry, StoreError};

#[cfg(test)]
mod tests;

/// How often and how long to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Most tries of one operation, the first one included.
    pub tries: NonZeroU32,
    /// Wait before the second try; each later wait is twice as long as the one before.
    pub first_wait: Duration,
    /// Longest single wait.
    pub longest_wait: Duration,
    /// Longest wait of one operation in sum. The tries themselves take their own time.
    pub longest_total_wait: Duration,
}

/// A store whose operations are repeated.
pub type RetryStore = Wrapped<Retrying>;

/// Repeats operations.
#[derive(Debug)]
pub struct Retrying {
    policy: RetryPolicy,
    patience: Patience,
    jitter: Jitter,
    repeats: Repeats,
}

struct Jitter(Arc<dyn Entropy>);

/// Which operations had to be repeated so far. Clones share the count; anybody may look at any time.
#[derive(Clone, Debug, Default)]
pub struct Repeats(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    operations: AtomicU64,
    tries: AtomicU64,
    last_cause: Mutex<Option<String>>,
}

impl RetryPolicy {
    /// For a folder of a local or mounted file system: at most 10 s, since whoever waits there waits in vain for longer.
    pub const FOLDER: Self = Self {
        tries: NonZeroU32::new(6).unwrap(),
        first_wait: Duration::from_millis(250),
        longest_wait: Duration::from_secs(4),
        longest_total_wait: Duration::from_secs(10),
    };

    /// For a store behind a network: about two minutes, in which a gateway restarts and a line comes back.
    pub const NETWORK: Self = Self {
        tries: NonZeroU32::new(12).unwrap(),
        first_wait: Duration::from_millis(500),
        longest_wait: Duration::from_secs(20),
        longest_total_wait: Duration::from_mins(2),
    };

    /// How long to wait after that many tries; none when they were enough. `jitter` is any number.
    ///
    /// A wait is between half of its length and all of it, so that those who failed together do not come back together.
    fn wait(&self, tries: u32, waited: Duration, jitter: u32) -> Option<Duration> {
        let left = self.longest_total_wait.checked_sub(waited).filter(|left| !left.is_zero())?;
        if self.tries.get() <= tries {
            return None;
        }
        let doubled = 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
        let whole = self.first_wait.saturating_mul(doubled).min(self.longest_wait);
        let half = whole / 2;
        let more = half.as_nanos() * u128::from(jitter) / u128::from(u32::MAX);
        Some((half + Duration::from_nanos(u64::try_from(more).unwrap_or(u64::MAX))).min(left))
    }
}

impl RetryStore {
    /// Repeats what fails in `inner`; what was repeated is counted in `repeats`.
    #[must_use]
    pub fn new(
        inner: Arc<dyn ObjectStore>,
        policy: RetryPolicy,
        patience: Patience,
        entropy: Arc<dyn Entropy>,
        repeats: Repeats,
    ) -> Self {
        Self::around(inner, Retrying { policy, patience, jitter: Jitter(entropy), repeats })
    }
}

impl Around for Retrying {
    fn around(&self, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Result<Answer, StoreError> {
        let mut error = match call.run(inner) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let mut waited = Duration::ZERO;
        for tries in 1.. {
            let wait = match error.retry() {
                Retry::Never => None,
                Retry::Later => self.policy.wait(tries, waited, self.jitter.number()),
            };
            let Some(wait) = wait else { break };
            if self.patience.wait(wait) == Waited::GaveUp {
                let location = inner.location().to_owned();
                return Err(StoreError::Stopped { location, cause: Some(Box::new(error)) });
            }
            waited += wait;
            self.repeats.count(tries, &error);
            let answer = call.run(inner);
            error = match answer.or_else(|again| settled(call, inner, error, again)) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
        }
        Err(error)
    }
}

/// What the error `again` of a repetition means, now that the try that ended with `earlier` may have had its effect.
fn settled(
    call: &Call<'_>,
    inner: &dyn ObjectStore,
    earlier: StoreError,
    again: StoreError,
) -> Result<Answer, StoreError> {
    match (call, again) {
        (Call::Remove { .. }, StoreError::NotFound { .. }) => Ok(Answer::Done),
        (Call::Put { name: FileName::Config, bytes }, exists @ StoreError::Exists { .. }) => {
            match inner.get(FileName::Config) {
                Ok(found) if found == *bytes => Ok(Answer::Done),
                // A beginning of ours is what the earlier try left. Nobody else's configuration is there, so the
                // earlier error is the true one.
                Ok(found) if bytes.starts_with(&found) => Err(earlier),
                Ok(_) => Err(exists),
                Err(gone) if gone.is_not_found() => Err(exists),
                Err(unread) => Err(unread),
            }
        }
        (_, again) => Err(again),
    }
}

impl Repeats {
    /// How many operations had to be repeated.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.0.operations.load(Ordering::Relaxed)
    }

    /// How many tries that took, not counting the first one of each operation.
    #[must_use]
    pub fn tries(&self) -> u64 {
        self.0.tries.load(Ordering::Relaxed)
    }

    /// Why the last repetition was made, with all causes in one line, for people and logs; none before the first one.
    #[must_use]
    pub fn last_cause(&self) -> Option<String> {
        self.0.last_cause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, tries_before: u32, cause: &StoreError) {
        if tries_before == 1 {
            self.0.operations.fetch_add(1, Ordering::Relaxed);
        }
        self.0.tries.fetch_add(1, Ordering::Relaxed);
        let cause = chain(cause);
        *self.0.last_cause.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause);
    }
}

fn chain(error: &StoreError) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    line
}

impl Jitter {
    fn number(&self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}

impl fmt::Debug for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jitter").finish_non_exhaustive()
    }
}
