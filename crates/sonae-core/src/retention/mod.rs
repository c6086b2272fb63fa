//! Retention: which recovery points of a machine stay and which may go, each with its reasons (requirement 001-19).
//!
//! The rules are those of restic's `forget`, so that whoever compares the two finds the same answer:
//!
//! - "The last n days" are the n newest days *that have points*, not the n days before today; of each such day the newest
//!   point stays. The same holds for hours, weeks (ISO 8601, from Monday), months and years.
//! - Where a rule has places left because there are fewer such periods than it allows, the oldest point of all stays as
//!   well (restic 0.16 and newer).
//! - `within` counts back from the newest point and not from now: a machine that is backed up no longer loses nothing by
//!   waiting.
//! - A tag rule keeps every point that has all of its tags.
//! - A point stays when any rule keeps it.
//!
//! Where we differ from restic, we keep more:
//!
//! - The zone of the calendar is named. restic takes that of each snapshot's time, which for points of Sonae is UTC: with
//!   the zone `UTC` both answer alike.
//! - Never removed, whatever a policy says: the newest good point; the newest of those of which nobody knows whether they
//!   are good, where it is newer than every good one.
//! - Kept, and taking no place from any other: damaged points, points whose time is in the future, and points whose time
//!   cannot be read. A clock that ran ahead for a day would otherwise leave points that push out every newer one.
//! - Proof records are passed over.
//!
//! So no policy can remove every point of a machine.

mod calendar;
mod decide;
mod policy;
#[cfg(test)]
mod tests;

pub use calendar::{Period, Unit, Zone, ZoneError};
pub use decide::{decide, decide_named, newest_by_count, newest_by_time};
pub use policy::{Count, Policy, PolicyError, Rule, TagSet, Within};

use sonae_types::{Digest, Timestamp};

/// What is known about one point of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointFacts {
    /// Its id.
    pub id: Digest,
    /// What it is.
    pub kind: Kind,
    /// When it was taken.
    pub taken: Taken,
    /// The how manieth point of its machine it is; none where nobody counted.
    pub generation: Option<u64>,
    /// Its tags.
    pub tags: Vec<String>,
    /// What is known of its state.
    pub standing: Standing,
}

/// What a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A recovery point.
    Point,
    /// A record of a proof: no point, and passed over.
    ProofRecord,
}

/// When a point was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// At this instant, by the clock of the machine that took it.
    At(Timestamp),
    /// Its time cannot be read.
    Unknown,
}

/// What is known of the state of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was looked at and is whole.
    Good,
    /// It was looked at, and something is missing or wrong.
    Damaged,
    /// Nobody looked.
    Unknown,
}

/// What is to become of one point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The point.
    pub point: Digest,
    /// Its fate.
    pub fate: Fate,
}

/// The fate of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays, for all of these reasons; there is always one.
    Keep(Vec<Reason>),
    /// It goes: nothing keeps it.
    Remove,
    /// It is a proof record, of which no rule speaks.
    PassedOver,
}

/// Why a point stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is one of the newest ones: the first, the second, and so on.
    Last(usize),
    /// It is the newest of this period.
    NewestOf(Period),
    /// It is the oldest of all, and the rule about such periods had places left.
    OldestWith(Period),
    /// It is no older than this before the newest one.
    Within(Within),
    /// It has these tags.
    Tagged(TagSet),
    /// It is the newest of those that are known to be good.
    NewestGood,
    /// It is the newest one that is not damaged, and nobody looked whether it is good.
    NewestUnknown,
    /// It is damaged: another copy may heal it, and it takes no place from a whole one.
    Damaged,
    /// Its time cannot be read, so no rule can judge it.
    UnknownTime,
    /// Its time has not come yet, so some clock is or was wrong.
    FutureTime,
    /// It was not among those that were named.
    NotNamed,
}

/// A point that was named to be removed is never removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{point} is the newest point of its machine that is not known to be damaged")]
pub struct NeverRemoved {
    /// The point.
    pub point: Digest,
}

impl Reason {
    /// The rule as programs read it: `daily`, `oldest-daily`, `newest-good`.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Last(_) => "last",
            Self::NewestOf(period) => period.unit().rule(),
            Self::OldestWith(period) => match period.unit() {
                Unit::Hour => "oldest-hourly",
                Unit::Day => "oldest-daily",
                Unit::Week => "oldest-weekly",
                Unit::Month => "oldest-monthly",
                Unit::Year => "oldest-yearly",
            },
            Self::Within(_) => "within",
            Self::Tagged(_) => "tag",
            Self::NewestGood => "newest-good",
            Self::NewestUnknown => "newest-unknown",
            Self::Damaged => "damaged",
            Self::UnknownTime => "unknown-time",
            Self::FutureTime => "future-time",
            Self::NotNamed => "not-named",
        }
    }

    /// What the rule found in the point: the period, the place from the front, the span, the tags; none where the rule
    /// says it all.
    #[must_use]
    pub fn value(&self) -> Option<String> {
        match self {
            Self::Last(place) => Some(place.to_string()),
            Self::NewestOf(period) | Self::OldestWith(period) => Some(period.to_string()),
            Self::Within(span) => Some(span.to_string()),
            Self::Tagged(tags) => Some(tags.to_string()),
            Self::NewestGood
            | Self::NewestUnknown
            | Self::Damaged
            | Self::UnknownTime
            | Self::FutureTime
            | Self::NotNamed => None,
        }
    }
}
