//! What a policy can say, and how it is written: as restic writes it.

use std::fmt;
use std::num::NonZeroU32;

use super::Unit;

/// What stays. It has at least one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// One rule of a policy; a point stays when any rule keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The newest points.
    Last(Count),
    /// The newest point of each of the newest periods that have points.
    Newest(Unit, Count),
    /// Every point that is no older than this before the newest one.
    Within(Within),
    /// Every point with all of these tags.
    Tagged(TagSet),
}

/// How many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many.
    AtMost(NonZeroU32),
    /// All there are.
    Unlimited,
}

/// A span of time by the calendar: years, months, days and hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// Years.
    pub years: u16,
    /// Months.
    pub months: u16,
    /// Days.
    pub days: u16,
    /// Hours.
    pub hours: u16,
}

/// One or several tags that a point must all have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagSet {
    tags: Vec<String>,
}

/// A policy or a part of it cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No rule was given, so nothing says what stays.
    #[error("no rule says what to keep")]
    NoRule,
    /// A text is no number of points.
    #[error("{text:?} is neither a number nor unlimited")]
    Count {
        /// The text.
        text: String,
    },
    /// A text is no span.
    #[error("{text:?} is no span of years, months, days and hours such as 1y5m7d2h")]
    Within {
        /// The text.
        text: String,
    },
    /// A text names no tags, or an empty one.
    #[error("{text:?} names an empty tag")]
    Tags {
        /// The text.
        text: String,
    },
}

impl Policy {
    /// The policy of these rules. Errors: [`PolicyError::NoRule`].
    pub fn new(rules: Vec<Rule>) -> Result<Self, PolicyError> {
        if rules.is_empty() { Err(PolicyError::NoRule) } else { Ok(Self { rules }) }
    }

    /// Its rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl Count {
    /// Reads `7`, `unlimited`, or `-1`, which means the same; none for `0`, which is no rule. Errors:
    /// [`PolicyError::Count`].
    pub fn parse(text: &str) -> Result<Option<Self>, PolicyError> {
        if text == "unlimited" || text == "-1" {
            return Ok(Some(Self::Unlimited));
        }
        let number = number::<u32>(text).ok_or_else(|| PolicyError::Count { text: shortened(text) })?;
        Ok(NonZeroU32::new(number).map(Self::AtMost))
    }

    /// Whether so many leave room for one more.
    pub(super) fn allows(self, taken: usize) -> bool {
        match self {
            Self::AtMost(count) => u32::try_from(taken).is_ok_and(|taken| taken < count.get()),
            Self::Unlimited => true,
        }
    }
}

impl Within {
    /// Reads `1y5m7d2h` and parts of it, each unit at most once; none where all numbers are zero, which is no rule.
    /// Errors: [`PolicyError::Within`].
    pub fn parse(text: &str) -> Result<Option<Self>, PolicyError> {
        let refused = || PolicyError::Within { text: shortened(text) };
        let mut span = Self::default();
        let mut seen = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let at = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
            let (digits, behind) = rest.split_at(at);
            let unit = behind.chars().next().filter(|unit| !seen.contains(unit)).ok_or_else(refused)?;
            let into = match unit {
                'y' => &mut span.years,
                'm' => &mut span.months,
                'd' => &mut span.days,
                'h' => &mut span.hours,
                _ => return Err(refused()),
            };
            *into = number(digits).ok_or_else(refused)?;
            seen.push(unit);
            rest = &behind[1..];
        }
        if seen.is_empty() { Err(refused()) } else { Ok(Some(span).filter(|span| *span != Self::default())) }
    }

    /// Years and months together.
    pub(super) fn all_months(&self) -> i64 {
        i64::from(self.years) * 12 + i64::from(self.months)
    }
}

impl TagSet {
    /// Reads `audit` or `audit,year-end`: a point must have all of them. Errors: [`PolicyError::Tags`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let tags = text.split(',').map(|tag| tag.trim().to_owned()).collect::<Vec<_>>();
        // In restic an empty tag means points without tags, of which Sonae makes none.
        if tags.iter().any(String::is_empty) {
            return Err(PolicyError::Tags { text: shortened(text) });
        }
        Ok(Self { tags })
    }

    /// Whether a point with these tags has all of ours.
    pub(super) fn within(&self, tags: &[String]) -> bool {
        self.tags.iter().all(|tag| tags.contains(tag))
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(self.years, 'y'), (self.months, 'm'), (self.days, 'd'), (self.hours, 'h')];
        parts
            .iter()
            .filter(|(number, _)| *number != 0)
            .try_for_each(|(number, unit)| write!(f, "{number}{unit}"))
    }
}

impl fmt::Display for TagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tags.join(","))
    }
}

/// A whole number in ASCII digits; Rust would also take "+5", which is rather a slip.
fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// A text of somebody else, cut to a bearable length.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
