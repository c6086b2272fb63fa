//! Marks: which packs are to go, and since when. Plain restic knows nothing of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sonae_types::{Clock, Digest, Timestamp};

use crate::time::{from_rfc3339, to_rfc3339};

/// Packs that were found to be of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When, by the clock of whoever marked them.
    pub time: Timestamp,
    /// The packs.
    pub packs: Vec<Digest>,
}

/// What the clocks say of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// The grace is over by every clock.
    Ripe,
    /// It is not over by one of them.
    Waiting,
    /// It was made in the future by one of them, so that none says anything about it: its grace begins anew.
    Unknown,
}

/// What time it is, by our clock and by that of the store.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    now: Timestamp,
    store: Option<Timestamp>,
}

impl Clocks {
    /// Looks at the clocks. `begun` is what ours said at the beginning, as wall clock and monotonic: where it jumped
    /// forward since then, it is not believed.
    pub fn look(
        clock: &dyn Clock,
        (begun, monotonic): (Timestamp, Duration),
        store: Option<Timestamp>,
    ) -> Self {
        let passed = clock.monotonic().saturating_sub(monotonic);
        let passed = i64::try_from(passed.as_micros()).unwrap_or(i64::MAX);
        let reckoned = Timestamp::from_micros(begun.as_micros().saturating_add(passed));
        Self { now: clock.now().min(reckoned), store }
    }

    /// Whether the clock of the store is known.
    #[must_use]
    pub fn know_store_time(&self) -> bool {
        self.store.is_some()
    }

    /// The age of a mark that was made and stored then.
    #[must_use]
    pub fn age(&self, made: Timestamp, stored: Option<Timestamp>, grace: Duration) -> Age {
        let stored = stored.zip(self.store);
        let pairs = [Some((made, self.now)), stored].into_iter().flatten();
        if pairs.clone().any(|(made, now)| now < made) {
            Age::Unknown
        } else if pairs.clone().all(|(made, now)| grace <= now.since(made)) {
            Age::Ripe
        } else {
            Age::Waiting
        }
    }
}

#[derive(Serialize, Deserialize)]
struct MarkJson {
    time: String,
    packs: Vec<Digest>,
}

impl Mark {
    /// The JSON of the mark.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let json = MarkJson { time: to_rfc3339(self.time), packs: self.packs.clone() };
        serde_json::to_vec(&json).expect("a mark has only texts")
    }

    /// The mark in a JSON document; none where it is none, which only delays what it was about.
    #[must_use]
    pub fn decode(json: &[u8]) -> Option<Self> {
        let MarkJson { time, packs } = serde_json::from_slice(json).ok()?;
        Some(Self { time: from_rfc3339(&time)?, packs })
    }
}
