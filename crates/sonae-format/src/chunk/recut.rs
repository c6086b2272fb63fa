//! Cutting a disk again where it changed: from the border before a change until a border falls on an old one behind it.
//!
//! Everything else keeps its chunk without being read. Pure: it says what to inherit and what to feed to a [`Cutter`],
//! and looks at that cutter to tell whether the old borders are found again.
//!
//! The pieces cover the disk without gap and without overlap, and every byte of a changed stretch is read. Where the cuts
//! of the parent came from this rule, they are those that a cutting of the whole disk would make, but for two cases that
//! cost no more than a little deduplication: where the zero chunk that plain restic looks for lies, and a run of zeros
//! that grew across the border in front of the change.

use std::ops::Range;

use super::{Changed, Cutter, Stretch, ZERO_RUN_BYTES_MIN};

/// A chunk of the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldChunk {
    /// Its length in bytes.
    pub len: u64,
    /// What it holds.
    pub content: OldContent,
}

/// What a chunk of the parent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldContent {
    /// Something.
    Data,
    /// Nothing but zeros.
    Zeros,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take these chunks of the parent as they are, the first of which begins here. The cutter has nothing under way.
    Inherit {
        /// Their numbers.
        chunks: Range<usize>,
        /// Where the first of them begins.
        at: u64,
    },
    /// Feed so many zero bytes to the cutter: there they were before, and nothing changed them. They never become part of
    /// a data chunk.
    Zeros(u64),
    /// Read this stretch of the source and feed it to the cutter.
    Read(Stretch),
    /// The run of zeros under way ends here: [`Cutter::end_zeros`].
    EndZeros,
    /// Nothing is left; the cutter is to be finished.
    End,
}

/// The walk over a disk. `old` gives the chunks of the parent by number; joined, they are as long as the disk.
#[derive(Debug)]
pub struct Recut<'a, F> {
    old: F,
    count: usize,
    changed: &'a [Stretch],
    /// The first chunk of the parent that is not dealt with, and where it begins.
    next: Place,
    /// How far into that chunk the cutter was fed: only in a zero chunk with a change inside is it between its ends.
    fed: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    chunk: usize,
    at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Looking for the next change.
    Seeking,
    /// Between the border before a change and an old border behind it.
    Cutting,
}

impl<'a, F: Fn(usize) -> OldChunk> Recut<'a, F> {
    /// A walk from the first byte.
    pub fn new(count: usize, old: F, changed: &'a Changed) -> Self {
        let next = Place { chunk: 0, at: 0 };
        Self { old, count, changed: changed.stretches(), next, fed: 0, state: State::Seeking }
    }

    /// What to do next, where `cutter` has been fed what the steps before said.
    pub fn step(&mut self, cutter: &Cutter) -> Step {
        if self.state == State::Cutting {
            if self.next.chunk == self.count {
                self.state = State::Seeking;
            } else if self.fed == 0 {
                match self.found_again(cutter) {
                    Found::No => {}
                    Found::BehindZeros => return Step::EndZeros,
                    Found::Yes => self.state = State::Seeking,
                }
            }
        }
        match self.state {
            State::Seeking => self.seek(cutter),
            State::Cutting => self.feed(cutter),
        }
    }

    fn seek(&mut self, cutter: &Cutter) -> Step {
        if self.next.chunk == self.count {
            return Step::End;
        }
        let from = self.next;
        let to = self.restart(from);
        self.next = to;
        if to.chunk < self.count {
            self.state = State::Cutting;
        }
        if from == to {
            self.feed(cutter)
        } else {
            Step::Inherit { chunks: from.chunk..to.chunk, at: from.at }
        }
    }

    /// Where to begin cutting for the next change, at or behind `from`; the end where nothing changes any more.
    fn restart(&self, from: Place) -> Place {
        let mut place = from;
        // The beginning of the run of zeros that `place` lies in or right behind, and of the data chunk in front of it.
        let mut zeros = None::<Place>;
        let mut data = None::<Place>;
        let change = self.changed.first().map(|stretch| stretch.start);
        while place.chunk < self.count {
            let chunk = (self.old)(place.chunk);
            let end = place.at + chunk.len;
            let hit = change.is_some_and(|change| change < end);
            match chunk.content {
                OldContent::Data if hit => return zeros.unwrap_or(place),
                OldContent::Data => (data, zeros) = (Some(place), None),
                OldContent::Zeros => {
                    let run = *zeros.get_or_insert(place);
                    if let Some(change) = change.filter(|_| hit) {
                        // What ends the data in front is that so many zeros follow.
                        let kept = change.saturating_sub(run.at);
                        return if kept < ZERO_RUN_BYTES_MIN { data.unwrap_or(run) } else { run };
                    }
                }
            }
            place = Place { chunk: place.chunk + 1, at: end };
        }
        place
    }

    /// Whether the cutter stands on a border of the parent with nothing under way, so that the old cuts hold from here.
    fn found_again(&self, cutter: &Cutter) -> Found {
        let behind_zeros = match self.next.chunk.checked_sub(1).map(|before| (self.old)(before).content) {
            Some(OldContent::Zeros) => (self.old)(self.next.chunk).content == OldContent::Data,
            Some(OldContent::Data) | None => false,
        };
        // A change close behind would reach back over this border.
        let clear = match (self.old)(self.next.chunk) {
            OldChunk { len, content: OldContent::Data } if behind_zeros => self.next.at + len,
            OldChunk { content: OldContent::Data, .. } => self.next.at,
            OldChunk { content: OldContent::Zeros, .. } => self.next.at + ZERO_RUN_BYTES_MIN,
        };
        let reached_back = self.changed.first().is_some_and(|stretch| stretch.start < clear);
        match cutter.under_way() {
            _ if reached_back => Found::No,
            UnderWay::Nothing => Found::Yes,
            // Behind a run of zeros of the parent comes a page that is not zero.
            UnderWay::LongZeros if behind_zeros => Found::BehindZeros,
            UnderWay::LongZeros | UnderWay::Data => Found::No,
        }
    }

    /// Feeds the next part of the chunk that `next` stands at, and forgets the changes that were read with it.
    fn feed(&mut self, cutter: &Cutter) -> Step {
        let chunk = (self.old)(self.next.chunk);
        let (from, end) = (self.next.at + self.fed, self.next.at + chunk.len);
        let (step, to) = match chunk.content {
            OldContent::Data => (Step::Read(Stretch { start: from, end }), end),
            OldContent::Zeros => match self.changed.first().filter(|stretch| stretch.start < end) {
                None => (zeros(cutter, from, end), end),
                Some(stretch) if from < stretch.start => (zeros(cutter, from, stretch.start), stretch.start),
                Some(stretch) => {
                    let to = stretch.end.min(end);
                    (Step::Read(Stretch { start: from, end: to }), to)
                }
            },
        };
        while self.changed.first().is_some_and(|stretch| stretch.end <= to) {
            self.changed = &self.changed[1..];
        }
        if to == end {
            self.next = Place { chunk: self.next.chunk + 1, at: end };
            self.fed = 0;
        } else {
            self.fed = to - self.next.at;
        }
        step
    }
}

/// Zeros that may become part of a data chunk are read, since the chunk needs their bytes.
fn zeros(cutter: &Cutter, start: u64, end: u64) -> Step {
    if ZERO_RUN_BYTES_MIN <= end - start || cutter.under_way() == UnderWay::LongZeros {
        Step::Zeros(end - start)
    } else {
        Step::Read(Stretch { start, end })
    }
}

enum Found {
    Yes,
    BehindZeros,
    No,
}

/// What a cutter has taken and given no piece for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnderWay {
    /// Nothing.
    Nothing,
    /// Only a run of zeros long enough to be cut out.
    LongZeros,
    /// Data, or zeros that may become part of it.
    Data,
}
