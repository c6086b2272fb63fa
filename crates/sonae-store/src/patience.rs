//! Waiting that ends when it makes no sense any more.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sonae_types::Clock;

/// No wait goes on for longer than this before it is asked again whether it still makes sense.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// No sleep is shorter: a clock that counts in microseconds would not move in less, and the wait would never end.
const SHORTEST_SLEEP: Duration = Duration::from_micros(1);

/// A clock to wait by, and the question whether waiting still makes sense.
#[derive(Clone)]
pub struct Patience {
    clock: Arc<dyn Clock>,
    may_go_on: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The time has come.
    ToTheEnd,
    /// Nobody wants what we waited for.
    GaveUp,
}

impl Patience {
    /// Waits by this clock while `may_go_on` says yes; it is asked about twenty times a second.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, may_go_on: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { clock, may_go_on: Arc::new(may_go_on) }
    }

    /// Waits by this clock, however long it takes.
    #[must_use]
    pub fn endless(clock: Arc<dyn Clock>) -> Self {
        Self::new(clock, || true)
    }

    /// The time that [`Self::wait_until`] waits for; never goes back.
    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Whether going on makes sense.
    pub(crate) fn goes_on(&self) -> bool {
        (self.may_go_on)()
    }

    pub(crate) fn wait(&self, span: Duration) -> Waited {
        self.wait_until(self.now().saturating_add(span))
    }

    pub(crate) fn wait_until(&self, due: Duration) -> Waited {
        loop {
            let Some(left) = due.checked_sub(self.now()).filter(|left| !left.is_zero()) else {
                return Waited::ToTheEnd;
            };
            if !self.goes_on() {
                return Waited::GaveUp;
            }
            self.clock.sleep(left.clamp(SHORTEST_SLEEP, ASK_EVERY));
        }
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use sonae_types::Timestamp;

    use super::*;

    /// A clock that counts in microseconds and moves only by sleeping.
    #[derive(Default)]
    struct Coarse(AtomicU64);

    impl Clock for Coarse {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(0)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_micros(self.0.load(Ordering::SeqCst))
        }

        fn sleep(&self, span: Duration) {
            self.0.fetch_add(u64::try_from(span.as_micros()).unwrap(), Ordering::SeqCst);
        }
    }

    #[test]
    fn a_wait_for_less_than_the_clock_can_tell_ends() {
        for nanos in [0, 1, 999, 1_000, 1_001, 50_000_001] {
            let clock = Arc::new(Coarse::default());
            let patience = Patience::endless(Arc::clone(&clock) as Arc<dyn Clock>);
            let span = Duration::from_nanos(nanos);
            assert_eq!(patience.wait(span), Waited::ToTheEnd);
            assert!(span <= clock.monotonic() && clock.monotonic() < span + SHORTEST_SLEEP);
        }
    }
}
