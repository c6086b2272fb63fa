//! A store that passes no more bytes a second than it is told, for writing and reading each.
//!
//! Bytes are paid for at the speed that was set, in the order in which they are asked for, by all threads from one
//! purse. What was not used is saved up to one burst. Whoever wants more than was saved waits until the rest is earned,
//! so a file of any size passes, and never sooner than it may.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sonae_types::ByteCount;

use super::patience::{Patience, Waited};
use super::wrap::{Answer, Around, Call, Target, Wrapped};
use super::{FileKind, FileName, ObjectStore, StoreError};

#[cfg(test)]
mod tests;

/// Bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(NonZeroU64);

/// How fast something may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// As fast as it can.
    #[default]
    Unlimited,
    /// Not faster than this.
    AtMost {
        /// The speed.
        rate: Rate,
        /// How many bytes may be ahead of it, after a time without any.
        burst: ByteCount,
    },
}

/// How fast files may be written and read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that are put.
    pub write: Limit,
    /// Bytes that are got.
    pub read: Limit,
}

/// A store that holds back.
pub type ThrottleStore = Wrapped<Throttle>;

/// Holds back operations with many bytes.
///
/// Lock files are counted and pass at once: they are a few hundred bytes, and a lock that waits behind packs for too
/// long is lost. The other operations carry no bytes of files. Where the wait makes no sense any more,
/// [`StoreError::Stopped`] is answered: nothing was put then, and what was got is not handed over.
#[derive(Debug)]
pub struct Throttle {
    write: Purse,
    read: Purse,
    patience: Patience,
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

#[derive(Debug)]
struct Purse {
    limit: Limit,
    /// Until when everything asked for so far is paid at the speed of the limit.
    paid_until: Mutex<Duration>,
}

impl Rate {
    /// So many bytes a second.
    #[must_use]
    pub const fn bytes_per_second(bytes: NonZeroU64) -> Self {
        Self(bytes)
    }

    /// The plain number, in bytes a second.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl Limit {
    /// This speed, with a burst of what it makes in one second.
    #[must_use]
    pub const fn at_most(rate: Rate) -> Self {
        Self::AtMost { rate, burst: ByteCount::new(rate.get()) }
    }
}

impl ThrottleStore {
    /// Passes the bytes of `inner` on within the limits.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, limits: Limits, patience: Patience) -> Self {
        let purse = |limit| Purse { limit, paid_until: Mutex::default() };
        Self::around(inner, Throttle { write: purse(limits.write), read: purse(limits.read), patience })
    }
}

impl Around for Throttle {
    fn around(&self, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Result<Answer, StoreError> {
        let waits = !matches!(call.target(), Target::File(FileName::Hashed(FileKind::Lock, _)));
        let pay = |purse: &Purse, bytes: ByteCount| {
            let due = purse.pay(bytes, self.patience.now());
            if waits && self.patience.wait_until(due) == Waited::GaveUp {
                return Err(StoreError::Stopped { location: inner.location().to_owned(), cause: None });
            }
            Ok(())
        };
        match call {
            Call::Put { .. } => pay(&self.write, call.bytes())?,
            Call::GetRange { .. } => pay(&self.read, call.bytes())?,
            Call::Get { .. }
            | Call::Size { .. }
            | Call::StoredAt { .. }
            | Call::List { .. }
            | Call::Remove { .. } => {}
        }
        let answer = call.run(inner)?;
        // How many bytes a whole file has is known only now; they are held back here instead of inside.
        if let Answer::Bytes(bytes) = &answer {
            pay(&self.read, ByteCount::of_len(bytes.len()))?;
        }
        Ok(answer)
    }
}

impl Purse {
    /// Takes the bytes from what is or will be earned, and says from when on they may pass.
    ///
    /// All that ever passed by that time is at most what the rate makes until then, and the burst.
    fn pay(&self, bytes: ByteCount, now: Duration) -> Duration {
        let Limit::AtMost { rate, burst } = self.limit else { return now };
        // The one is rounded up and the other one down, so that nothing ever passes sooner than it may.
        let cost = nanoseconds(time_in_nanos(bytes).div_ceil(u128::from(rate.get())));
        let ahead = nanoseconds(time_in_nanos(burst) / u128::from(rate.get()));
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        *paid_until = now.max(*paid_until).saturating_add(cost);
        paid_until.saturating_sub(ahead)
    }
}

/// How many nanoseconds the bytes take at one byte a second.
fn time_in_nanos(bytes: ByteCount) -> u128 {
    u128::from(bytes.get()) * NANOS_PER_SECOND
}

fn nanoseconds(nanos: u128) -> Duration {
    let seconds = u64::try_from(nanos / NANOS_PER_SECOND).unwrap_or(u64::MAX);
    let rest = u64::try_from(nanos % NANOS_PER_SECOND).unwrap_or(0);
    Duration::from_secs(seconds).saturating_add(Duration::from_nanos(rest))
}
