//! A store that breaks on purpose: counts every operation, and at those a plan names does what bad storage does.
//!
//! | fault | put | get | get_range | size | list | remove |
//! |---|---|---|---|---|---|---|
//! | [`Fault::Fail`] | error | error | error | error | error | error |
//! | [`Fault::Full`] | error: full | – | – | – | – | – |
//! | [`Fault::Torn`] | half lands, error | half the bytes | half is filled, error | half | first half | – |
//! | [`Fault::TornSilently`] | half lands | as above | as above | as above | as above | – |
//! | [`Fault::Lost`] | nothing lands | error | error | error | error | nothing goes |
//! | [`Fault::Duplicated`] | twice | – | – | – | every entry twice | twice |
//! | [`Fault::BitFlip`] | lands changed | comes changed | comes changed | – | – | – |
//! | [`Fault::StaleListing`] | – | – | – | – | as it was before | – |
//!
//! `–`: the fault has no meaning there, or could not be told from none; the operation is carried out as if there were
//! no fault, and does not count as hit. The same holds where there is nothing to break: an empty file, a listing that
//! did not change, an operation that fails by itself. The time when a file was stored is treated like its size, but
//! never halved.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sonae_types::{ByteCount, Digest};

use super::wrap::{Answer, Around, Call, Target, Verb, Wrapped};
use super::{FileKind, FileName, Listed, ObjectStore, StoreError};

#[cfg(test)]
mod tests;

/// What goes wrong with one operation; the module's table says what that means for which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Nothing happens, and the answer is an error that may pass.
    Fail,
    /// Nothing happens, and the answer is that the store is full.
    Full,
    /// Half of it happens, and the answer of a put is an error.
    Torn,
    /// Half of it happens, and the answer is success wherever an answer can be.
    TornSilently,
    /// A change is answered with success and did not happen; an answer to a question does not arrive.
    Lost,
    /// It happens twice, as when a network repeats a request. The first answer is given.
    ///
    /// A listing has every entry twice: folders and pages that change while they are listed repeat entries, and nothing
    /// says how many.
    Duplicated,
    /// The bit of this number is flipped, counted from the first one and, past the last one, from the first again.
    BitFlip(u64),
    /// A listing is as it was when this kind was listed before, or at the beginning: with what was removed since, and
    /// without what was put. The next one is right.
    StaleListing,
}

/// What an operation is about, without names: to count, and to choose by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The configuration.
    Config,
    /// Files of this kind.
    Files(FileKind),
}

/// A sort of operation, such as "put an index".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation {
    /// What is asked.
    pub verb: Verb,
    /// Of what.
    pub subject: Subject,
}

/// One operation as it was asked for. All numbers begin with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which one of all operations.
    pub number: u64,
    /// Which one of those with this verb.
    pub number_of_verb: u64,
    /// Which one of those with this verb and this subject.
    pub number_of_operation: u64,
    /// What was asked.
    pub verb: Verb,
    /// What it was about.
    pub target: Target,
}

/// An operation that a fault hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The operation.
    pub seen: Seen,
    /// The fault.
    pub fault: Fault,
}

/// A store that breaks where its plan says so.
pub type FaultStore = Wrapped<Faults>;

/// The plan, and what became of it.
pub struct Faults {
    plan: Plan,
    state: Mutex<State>,
}

type Plan = Box<dyn Fn(&Seen) -> Option<Fault> + Send + Sync>;

#[derive(Default)]
struct State {
    log: Vec<Seen>,
    hits: Vec<Hit>,
    verbs: BTreeMap<Verb, u64>,
    operations: BTreeMap<Operation, u64>,
    /// What was listed of the files that changed since their kind was listed.
    before: BTreeMap<FileKind, BTreeMap<Digest, Option<Listed>>>,
}

/// How an operation ended that was chosen to break.
enum Outcome {
    /// The fault changed something.
    Broken(Result<Answer, StoreError>),
    /// The fault has no meaning here, so the operation was carried out.
    Whole(Result<Answer, StoreError>),
}

/// What a failing disk says: EIO.
const IO_ERROR: i32 = 5;
/// What a full disk says: ENOSPC.
const NO_SPACE: i32 = 28;

impl Fault {
    /// One of each, for tests that try them all.
    pub const ALL: [Self; 8] = [
        Self::Fail,
        Self::Full,
        Self::Torn,
        Self::TornSilently,
        Self::Lost,
        Self::Duplicated,
        Self::BitFlip(4_321),
        Self::StaleListing,
    ];
}

impl Subject {
    fn of(target: Target) -> Self {
        match target {
            Target::File(FileName::Config) => Self::Config,
            Target::File(FileName::Hashed(kind, _)) | Target::All(kind) => Self::Files(kind),
        }
    }
}

impl Seen {
    /// Which sort of operation it is.
    #[must_use]
    pub fn operation(&self) -> Operation {
        Operation { verb: self.verb, subject: Subject::of(self.target) }
    }

    /// Whether it is this sort of operation.
    #[must_use]
    pub fn is(&self, verb: Verb, subject: Subject) -> bool {
        self.operation() == Operation { verb, subject }
    }
}

impl FaultStore {
    /// Counts and breaks nothing.
    #[must_use]
    pub fn calm(inner: Arc<dyn ObjectStore>) -> Self {
        Self::planned(inner, |_seen| None)
    }

    /// Breaks the operation of this number, counted from 1.
    #[must_use]
    pub fn at(inner: Arc<dyn ObjectStore>, number: u64, fault: Fault) -> Self {
        Self::planned(inner, move |seen| (seen.number == number).then_some(fault))
    }

    /// Breaks every operation for which `plan` names a fault; it is asked once for each.
    #[must_use]
    pub fn planned(
        inner: Arc<dyn ObjectStore>,
        plan: impl Fn(&Seen) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        Self::around(inner, Faults { plan: Box::new(plan), state: Mutex::default() })
    }

    /// How many operations were asked for.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.wrapper().state().log.len() as u64
    }

    /// How many of each sort.
    #[must_use]
    pub fn histogram(&self) -> BTreeMap<Operation, u64> {
        self.wrapper().state().operations.clone()
    }

    /// Every operation, in the order of their numbers.
    #[must_use]
    pub fn log(&self) -> Vec<Seen> {
        self.wrapper().state().log.clone()
    }

    /// The operations that a fault hit: not those where it had no meaning.
    #[must_use]
    pub fn hits(&self) -> Vec<Hit> {
        self.wrapper().state().hits.clone()
    }
}

impl Around for Faults {
    fn around(&self, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Result<Answer, StoreError> {
        let seen = self.note(call);
        self.remember(call, inner);
        let Some(fault) = (self.plan)(&seen) else { return self.run(call, inner) };
        match self.break_with(fault, call, inner) {
            Outcome::Broken(answer) => {
                self.state().hits.push(Hit { seen, fault });
                answer
            }
            Outcome::Whole(answer) => answer,
        }
    }
}

impl Faults {
    fn state(&self) -> MutexGuard<'_, State> {
        // What is noted is noted in one piece, so a panic elsewhere leaves nothing half-made behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, call: &Call<'_>) -> Seen {
        let (verb, target) = (call.verb(), call.target());
        let mut state = self.state();
        let next = |count: &mut u64| {
            *count += 1;
            *count
        };
        let seen = Seen {
            number: state.log.len() as u64 + 1,
            number_of_verb: next(state.verbs.entry(verb).or_default()),
            number_of_operation: next(
                state.operations.entry(Operation { verb, subject: Subject::of(target) }).or_default(),
            ),
            verb,
            target,
        };
        state.log.push(seen);
        seen
    }

    /// Keeps what a listing said of a file that is about to change, for the stale listing that may come.
    fn remember(&self, call: &Call<'_>, inner: &dyn ObjectStore) {
        let (Call::Put { name: FileName::Hashed(kind, id), .. }
        | Call::Remove { name: FileName::Hashed(kind, id) }) = call
        else {
            return;
        };
        if self.state().before.get(kind).is_some_and(|files| files.contains_key(id)) {
            return;
        }
        let listed = inner.size(FileName::Hashed(*kind, *id)).ok().map(|size| Listed { id: *id, size });
        self.state().before.entry(*kind).or_default().entry(*id).or_insert(listed);
    }

    fn run(&self, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Result<Answer, StoreError> {
        let answer = call.run(inner);
        if let (Call::List { kind }, Ok(_)) = (&call, &answer) {
            self.state().before.remove(kind);
        }
        answer
    }

    fn break_with(&self, fault: Fault, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Outcome {
        match fault {
            Fault::Fail => {
                let cause = io::Error::from_raw_os_error(IO_ERROR);
                Outcome::Broken(Err(call.failed(inner.location(), cause)))
            }
            Fault::Full => self.full(call, inner),
            Fault::Torn | Fault::TornSilently => self.torn(fault, call, inner),
            Fault::Lost => self.lost(call, inner),
            Fault::Duplicated => self.duplicated(call, inner),
            Fault::BitFlip(bit) => self.flipped(bit, call, inner),
            Fault::StaleListing => self.stale(call, inner),
        }
    }

    fn full(&self, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Outcome {
        let Call::Put { name, .. } = call else { return Outcome::Whole(self.run(call, inner)) };
        let cause = io::Error::from_raw_os_error(NO_SPACE);
        let location = inner.location().to_owned();
        Outcome::Broken(Err(StoreError::Full { name: *name, location, cause }))
    }

    fn torn(&self, fault: Fault, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Outcome {
        let torn = |call: &Call<'_>| {
            let cause = io::Error::new(io::ErrorKind::UnexpectedEof, "torn on purpose");
            Outcome::Broken(Err(call.failed(inner.location(), cause)))
        };
        match call {
            Call::Put { name, bytes } if !bytes.is_empty() => {
                match inner.put(*name, &bytes[..bytes.len() / 2]) {
                    Ok(()) if fault == Fault::TornSilently => Outcome::Broken(Ok(Answer::Done)),
                    Ok(()) => torn(call),
                    Err(error) => Outcome::Whole(Err(error)),
                }
            }
            Call::GetRange { name, at, into } if !into.is_empty() => {
                let half = into.len() / 2;
                match inner.get_range(*name, *at, &mut into[..half]) {
                    Ok(()) => torn(call),
                    Err(error) => Outcome::Whole(Err(error)),
                }
            }
            Call::Put { .. }
            | Call::Get { .. }
            | Call::GetRange { .. }
            | Call::Size { .. }
            | Call::StoredAt { .. }
            | Call::List { .. }
            | Call::Remove { .. } => changed(self.run(call, inner), |answer| match answer {
                Answer::Bytes(bytes) => bytes.truncate(bytes.len() / 2),
                Answer::Size(size) => *size = ByteCount::new(size.get() / 2),
                Answer::Listing(files) => files.truncate(files.len() / 2),
                Answer::Done | Answer::StoredAt(_) => {}
            }),
        }
    }

    fn lost(&self, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Outcome {
        if matches!(call.verb(), Verb::Put | Verb::Remove) {
            return Outcome::Broken(Ok(Answer::Done));
        }
        match self.run(call, inner) {
            Ok(_) => {
                let cause = io::Error::new(io::ErrorKind::TimedOut, "the answer was lost on purpose");
                Outcome::Broken(Err(call.failed(inner.location(), cause)))
            }
            failed @ Err(_) => Outcome::Whole(failed),
        }
    }

    fn duplicated(&self, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Outcome {
        let first = self.run(call, inner);
        match (call.verb(), first) {
            (Verb::Put | Verb::Remove, Ok(first)) => {
                // Nobody waits for the answer to the second one.
                drop(call.run(inner));
                Outcome::Broken(Ok(first))
            }
            (_, first) => changed(first, |answer| {
                if let Answer::Listing(files) = answer {
                    *files = files.iter().flat_map(|file| [*file; 2]).collect();
                }
            }),
        }
    }

    fn flipped(&self, bit: u64, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Outcome {
        if let Call::Put { name, bytes } = call {
            let mut bytes = bytes.to_vec();
            flip(&mut bytes, bit);
            let put = inner.put(*name, &bytes).map(|()| Answer::Done);
            return if put.is_ok() && !bytes.is_empty() { Outcome::Broken(put) } else { Outcome::Whole(put) };
        }
        let answer = self.run(call, inner);
        if let (Call::GetRange { into, .. }, Ok(_)) = (&mut *call, &answer) {
            flip(into, bit);
            return if into.is_empty() { Outcome::Whole(answer) } else { Outcome::Broken(answer) };
        }
        changed(answer, |answer| {
            if let Answer::Bytes(bytes) = answer {
                flip(bytes, bit);
            }
        })
    }

    fn stale(&self, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Outcome {
        let before = match call {
            Call::List { kind } => self.state().before.get(kind).cloned().unwrap_or_default(),
            Call::Put { .. }
            | Call::Get { .. }
            | Call::GetRange { .. }
            | Call::Size { .. }
            | Call::StoredAt { .. }
            | Call::Remove { .. } => BTreeMap::new(),
        };
        changed(self.run(call, inner), |answer| {
            if let Answer::Listing(files) = answer {
                files.retain(|file| !before.contains_key(&file.id));
                files.extend(before.into_values().flatten());
                files.sort_unstable();
            }
        })
    }
}

/// The answer after `change`; broken where that made a difference.
fn changed(answer: Result<Answer, StoreError>, change: impl FnOnce(&mut Answer)) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        failed @ Err(_) => return Outcome::Whole(failed),
    };
    let mut other = answer.clone();
    change(&mut other);
    if other == answer { Outcome::Whole(Ok(answer)) } else { Outcome::Broken(Ok(other)) }
}

fn flip(bytes: &mut [u8], bit: u64) {
    let bits = bytes.len() as u64 * 8;
    let Some(bit) = bit.checked_rem(bits) else { return };
    let at = usize::try_from(bit / 8).expect("a position inside a buffer");
    bytes[at] ^= 1 << (bit % 8);
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Faults")
            .field("operations", &state.log.len())
            .field("hits", &state.hits)
            .finish_non_exhaustive()
    }
}
