//! The calendar of a zone: which hour, day, week, month or year an instant lies in.

use std::fmt;

use jiff::civil::{Date, DateTime, ISOWeekDate};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span};
use sonae_types::Timestamp;

use super::Within;

/// A zone of the IANA table, which is compiled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

/// A name is no zone of the IANA table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no time zone")]
pub struct ZoneError {
    /// The name.
    pub name: String,
}

/// What a rule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Hours of a day.
    Hour,
    /// Days.
    Day,
    /// Weeks of ISO 8601, which begin on Monday.
    Week,
    /// Months.
    Month,
    /// Years.
    Year,
}

/// One hour, day, week, month or year of a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// An hour: `2026-11-22T03`.
    Hour(Date, i8),
    /// A day: `2026-11-22`.
    Day(Date),
    /// A week by its year and number: `2026-W47`. Its year is that of its Thursday.
    Week(i16, i8),
    /// A month: `2026-11`.
    Month(i16, i8),
    /// A year: `2026`.
    Year(i16),
}

impl Zone {
    /// The zone of this name. Errors: there is none.
    pub fn parse(name: &str) -> Result<Self, ZoneError> {
        let unknown = |_error| ZoneError { name: name.chars().take(80).collect() };
        let zone = TimeZone::get(name).map_err(unknown)?;
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Ok(Self { name, zone })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Date and time of day there; none for an instant beyond the calendar.
    pub(super) fn local(&self, at: Timestamp) -> Option<DateTime> {
        let instant = jiff::Timestamp::from_microsecond(at.as_micros()).ok()?;
        Some(self.zone.to_datetime(instant))
    }

    /// The instant that lies this long before another one; none where it lies before the calendar begins.
    ///
    /// As restic counts: years and months first, then days, by the calendar; a day that the month before does not have
    /// runs on into the next one, as 31 March less a month is 3 March. Hours last, by the clock.
    pub(super) fn before(&self, at: Timestamp, within: &Within) -> Option<Timestamp> {
        let local = self.local(at)?;
        let date = local.date();
        let month =
            date.first_of_month().checked_sub(Span::new().try_months(within.all_months()).ok()?).ok()?;
        let days = i64::from(date.day()) - 1 - i64::from(within.days);
        let day = month.checked_add(Span::new().try_days(days).ok()?).ok()?;
        let instant = self.zone.to_timestamp(day.to_datetime(local.time())).ok()?;
        let instant = instant.checked_sub(SignedDuration::from_hours(i64::from(within.hours))).ok()?;
        Some(Timestamp::from_micros(instant.as_microsecond()))
    }
}

impl Default for Zone {
    /// Japan.
    fn default() -> Self {
        Self::parse("Asia/Tokyo").expect("the zone table that is compiled in holds Asia/Tokyo")
    }
}

impl Unit {
    /// Every unit, from the shortest.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// The rule about it, as programs read it.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// The period of this length that a time lies in.
    pub(super) fn of(self, local: DateTime) -> Period {
        let date = local.date();
        match self {
            Self::Hour => Period::Hour(date, local.hour()),
            Self::Day => Period::Day(date),
            Self::Week => {
                let week = ISOWeekDate::from_date(date);
                Period::Week(week.year(), week.week())
            }
            Self::Month => Period::Month(date.year(), date.month()),
            Self::Year => Period::Year(date.year()),
        }
    }
}

impl Period {
    /// How long it is.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match self {
            Self::Hour(..) => Unit::Hour,
            Self::Day(_) => Unit::Day,
            Self::Week(..) => Unit::Week,
            Self::Month(..) => Unit::Month,
            Self::Year(_) => Unit::Year,
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hour(date, hour) => write!(f, "{date}T{hour:02}"),
            Self::Day(date) => write!(f, "{date}"),
            Self::Week(year, week) => write!(f, "{year:04}-W{week:02}"),
            Self::Month(year, month) => write!(f, "{year:04}-{month:02}"),
            Self::Year(year) => write!(f, "{year:04}"),
        }
    }
}
