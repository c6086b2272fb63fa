//! Units: a count of bytes and a position in bytes never mix.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteCount(u64);

/// A position in a disk or file, in bytes from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteOffset(u64);

impl ByteCount {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// A count of `bytes`.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The count of bytes a buffer of this length holds.
    #[must_use]
    pub const fn of_len(len: usize) -> Self {
        Self(len as u64)
    }

    /// A count in KiB.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }

    /// A count in MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n * 1024 * 1024)
    }

    /// A count in GiB.
    #[must_use]
    pub const fn gib(n: u64) -> Self {
        Self(n * 1024 * 1024 * 1024)
    }

    /// The plain number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The count as a buffer length.
    ///
    /// Panics where memory is smaller than the count; callers bound it first.
    #[must_use]
    pub fn as_len(self) -> usize {
        usize::try_from(self.0).expect("a bounded count fits memory")
    }

    /// Sum that stays at the largest count instead of wrapping.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::Add for ByteCount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::ops::AddAssign for ByteCount {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl std::iter::Sum for ByteCount {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::ZERO, |a, b| a + b)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

impl ByteOffset {
    /// The first byte.
    pub const ZERO: Self = Self(0);

    /// The position `bytes` after the start.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The plain number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The first position that a disk of this size does not have.
    #[must_use]
    pub const fn end_of(size: ByteCount) -> Self {
        Self(size.0)
    }

    /// The distance from `start` to here; none when `start` lies behind.
    #[must_use]
    pub fn since(self, start: Self) -> Option<ByteCount> {
        self.0.checked_sub(start.0).map(ByteCount)
    }
}

impl std::ops::Add<ByteCount> for ByteOffset {
    type Output = Self;
    fn add(self, count: ByteCount) -> Self {
        Self(self.0 + count.0)
    }
}

impl std::ops::AddAssign<ByteCount> for ByteOffset {
    fn add_assign(&mut self, count: ByteCount) {
        self.0 += count.0;
    }
}

impl fmt::Display for ByteOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
