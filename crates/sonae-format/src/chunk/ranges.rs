//! Stretches of a disk that may have changed: sorted, apart from each other, on page borders.

use super::PAGE_BYTES;

const PAGE: u64 = PAGE_BYTES as u64;

/// A stretch of a disk: from its first byte up to `end` (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stretch {
    /// The first byte.
    pub start: u64,
    /// The first byte behind it.
    pub end: u64,
}

/// The stretches of one disk that may have changed; whatever lies outside did not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed(Vec<Stretch>);

/// A stretch does not lie on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the range of {len} bytes at {at} does not lie on a disk of {size} bytes")]
pub struct OffDisk {
    /// Its first byte.
    pub at: u64,
    /// Its length.
    pub len: u64,
    /// The disk's size.
    pub size: u64,
}

impl Changed {
    /// The pages that these ranges, as offset and length in any order, touch. Errors: [`OffDisk`].
    pub fn new(size: u64, ranges: impl IntoIterator<Item = (u64, u64)>) -> Result<Self, OffDisk> {
        let mut stretches = Vec::new();
        for (at, len) in ranges {
            let end = at.checked_add(len).filter(|end| *end <= size).ok_or(OffDisk { at, len, size })?;
            if 0 < len {
                let end = end.div_ceil(PAGE).saturating_mul(PAGE).min(size);
                stretches.push(Stretch { start: at / PAGE * PAGE, end });
            }
        }
        Ok(Self::joined(stretches))
    }

    /// These stretches and those; both lie on the same disk.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::joined(self.0.into_iter().chain(other.0).collect())
    }

    /// The stretches in order.
    #[must_use]
    pub fn stretches(&self) -> &[Stretch] {
        &self.0
    }

    /// How many bytes they have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|stretch| stretch.end - stretch.start).sum()
    }

    fn joined(mut stretches: Vec<Stretch>) -> Self {
        stretches.sort_unstable();
        let mut joined = Vec::<Stretch>::with_capacity(stretches.len());
        for stretch in stretches {
            match joined.last_mut().filter(|last| stretch.start <= last.end) {
                Some(last) => last.end = last.end.max(stretch.end),
                None => joined.push(stretch),
            }
        }
        Self(joined)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn exactly_the_touched_pages_are_covered_and_the_stretches_lie_apart(
            size in 1..200_000u64,
            ranges in proptest::collection::vec((0..200_000u64, 0..20_000u64), 0..20),
        ) {
            let ranges = ranges.into_iter().map(|(at, len)| (at.min(size), len.min(size - at.min(size)))).collect::<Vec<_>>();
            let changed = Changed::new(size, ranges.iter().copied()).unwrap();
            for pair in changed.stretches().windows(2) {
                prop_assert!(pair[0].end < pair[1].start);
            }
            for page in 0..size.div_ceil(PAGE) {
                let (start, end) = (page * PAGE, ((page + 1) * PAGE).min(size));
                let touched = ranges.iter().any(|(at, len)| 0 < *len && *at < end && start < at + len);
                let covered = changed.stretches().iter().any(|s| s.start <= start && end <= s.end);
                let overlapped = changed.stretches().iter().any(|s| s.start < end && start < s.end);
                prop_assert_eq!((touched, touched), (covered, overlapped), "page {}", page);
            }
        }

        #[test]
        fn a_range_off_the_disk_is_refused_whatever_its_numbers(at in any::<u64>(), len in any::<u64>(), size in any::<u64>()) {
            let inside = at.checked_add(len).is_some_and(|end| end <= size);
            prop_assert_eq!(Changed::new(size, [(at, len)]).is_ok(), inside);
        }
    }
}
