//! What a store can do, found out by doing it: a report for whoever chooses a place for backups, and no judgement.
//!
//! Everything is done below a new name of the probe's own, and cleared away. Nothing is repeated: what fails once is
//! part of the answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use sonae_repo::environment::Environment;
use sonae_repo::store::s3::{Kept, Promise};
use sonae_repo::store::{FileKind, FileName, LocalStore, ObjectStore, Retry, S3Store, StoreError};
use sonae_types::{ByteCount, Digest};

use crate::failure::{Failure, chain};
use crate::repository::{Access, Address, bare_store};

/// Size of the files that are put and got for their speed: about a pack.
const LARGE: usize = 8 << 20;
/// How many of them, at the same time, as a backup does.
const LARGE_FILES: u8 = 4;
const SMALL: usize = 64 << 10;
/// Requests of which the middle one is told.
const REQUESTS: usize = 9;

/// Whether a store can do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Can {
    /// It did.
    Yes,
    /// It did not, or refused.
    No,
    /// Nobody could find out; never to be taken for one of the others.
    Unknown,
}

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    /// Files can be put, and come back as they were.
    Write,
    /// A part of a file can be got.
    RangedRead,
    /// A file that was put is listed at once.
    ListedAtOnce,
    /// A file can be put over another one of its name.
    Overwrite,
    /// A file that is put under the condition that there is none is refused where there is one.
    ConditionalPut,
    /// Files can be removed.
    Delete,
    /// A file that was removed is listed no more at once.
    GoneAtOnce,
    /// The place can lock files against removal.
    ObjectLock,
    /// What is overwritten or removed is kept as an older version.
    KeepsVersions,
}

impl Ability {
    /// Every ability, in the order in which it is told.
    pub const ALL: [Self; 9] = [
        Self::Write,
        Self::RangedRead,
        Self::ListedAtOnce,
        Self::Overwrite,
        Self::ConditionalPut,
        Self::Delete,
        Self::GoneAtOnce,
        Self::ObjectLock,
        Self::KeepsVersions,
    ];
}

/// One thing that was tried.
#[derive(Debug, Serialize)]
pub struct Tried {
    /// What.
    pub ability: Ability,
    /// Whether the store can.
    pub answer: Can,
    /// What it said where it did not, for logs.
    pub detail: Option<String>,
}

/// What a probe found.
#[derive(Debug, Serialize)]
pub struct ProbeReport {
    /// The place.
    pub location: String,
    /// Everything that was tried, each once.
    pub abilities: Vec<Tried>,
    /// By how much the clock of the store is ahead of ours; below zero where it is behind, none where it does not tell.
    /// Stores tell whole seconds.
    pub clock_ahead_ms: Option<i64>,
    /// How long a small request takes; none where none succeeded.
    pub request_ms: Option<f64>,
    /// How fast four files of 8 MiB were put at the same time.
    pub put_bytes_per_second: Option<u64>,
    /// How fast they were got.
    pub get_bytes_per_second: Option<u64>,
    /// What could not be cleared away.
    pub left_behind: Vec<String>,
}

/// The place of a probe: a folder or a part of a bucket of its own.
enum Place {
    Folder { store: LocalStore, path: PathBuf },
    Bucket(Box<S3Store>),
}

struct Probe<'a> {
    place: &'a Place,
    environment: &'a Environment,
    tried: Vec<Tried>,
}

/// Tries what a store can do. Errors: there is no such place, no way in, or the stop.
pub fn probe(address: &Address, access: &Access, environment: &Environment) -> Result<ProbeReport, Failure> {
    let place = Place::make(address, access, environment)?;
    let mut probe = Probe { place: &place, environment, tried: Vec::new() };
    let mut report = probe.run(address, access);
    // Also where it was stopped, and even then: what was put is ours to clear away.
    let left_behind = place.clear();
    if let Ok(report) = &mut report {
        report.left_behind = left_behind;
    }
    report
}

impl Place {
    fn make(address: &Address, access: &Access, environment: &Environment) -> Result<Self, Failure> {
        let mut random = [0; 8];
        environment.entropy.fill(&mut random);
        let name = format!("sonae-probe-{:016x}", u64::from_le_bytes(random));
        // Says what is wrong with the place itself, in the words of every other command.
        drop(bare_store(address, access, environment)?);
        match address {
            Address::Folder(path) => {
                let path = path.join(name);
                Ok(Self::Folder { store: LocalStore::create(&path)?, path })
            }
            Address::Bucket(place) => {
                let patience = access.patience(environment);
                let store = S3Store::create(&place.inside(&name), &access.s3, patience)?;
                Ok(Self::Bucket(Box::new(store)))
            }
        }
    }

    fn store(&self) -> &dyn ObjectStore {
        match self {
            Self::Folder { store, .. } => store,
            Self::Bucket(store) => &**store,
        }
    }

    /// Removes what was put, and names what is left.
    fn clear(&self) -> Vec<String> {
        match self {
            Self::Folder { path, .. } => match std::fs::remove_dir_all(path) {
                Ok(()) => Vec::new(),
                Err(_) => vec![path.display().to_string()],
            },
            Self::Bucket(store) => {
                let mut left = Vec::new();
                for name in names() {
                    match store.remove(name) {
                        Ok(()) => {}
                        Err(error) if error.is_not_found() => {}
                        Err(_) => left.push(format!("{name} in {}", store.location())),
                    }
                }
                left
            }
        }
    }
}

impl Probe<'_> {
    fn run(&mut self, address: &Address, access: &Access) -> Result<ProbeReport, Failure> {
        let go_on = || access.stop.check();
        let before = self.environment.clock.now();
        self.write();
        let clock_ahead_ms = self.clock_ahead_ms(before.as_micros());
        go_on()?;
        self.reading();
        self.overwriting();
        self.bucket();
        go_on()?;
        let request_ms = self.request_ms();
        go_on()?;
        let put = self.rate(|store, number, bytes| store.put(large(number), bytes).is_ok());
        go_on()?;
        let get = self.rate(|store, number, bytes| {
            store.get(large(number)).is_ok_and(|found| found.len() == bytes.len())
        });
        go_on()?;
        self.removing();
        self.tried.sort_by_key(|tried| tried.ability);
        Ok(ProbeReport {
            location: address.to_string(),
            abilities: std::mem::take(&mut self.tried),
            clock_ahead_ms,
            request_ms,
            put_bytes_per_second: put,
            // Nothing that was not put can be got.
            get_bytes_per_second: put.and(get),
            left_behind: Vec::new(),
        })
    }

    fn say(&mut self, ability: Ability, answer: Result<bool, StoreError>) {
        let (answer, detail) = match answer {
            Ok(true) => (Can::Yes, None),
            Ok(false) => (Can::No, None),
            Err(error) => match error.retry() {
                // The store refused for good; what may pass says nothing about what it can.
                Retry::Never => (Can::No, Some(chain(&error))),
                Retry::Later => (Can::Unknown, Some(chain(&error))),
            },
        };
        self.tried.push(Tried { ability, answer, detail });
    }

    fn unknown(&mut self, ability: Ability, why: &str) {
        self.tried.push(Tried { ability, answer: Can::Unknown, detail: Some(why.to_owned()) });
    }

    fn can(&self, ability: Ability) -> Can {
        self.tried.iter().find(|tried| tried.ability == ability).map_or(Can::Unknown, |tried| tried.answer)
    }

    fn write(&mut self) {
        let (store, bytes) = (self.place.store(), self.bytes(1, SMALL));
        let written = store.put(SMALL_FILE, &bytes).and_then(|()| Ok(store.get(SMALL_FILE)? == bytes));
        self.say(Ability::Write, written);
    }

    fn reading(&mut self) {
        let store = self.place.store();
        if self.can(Ability::Write) != Can::Yes {
            for ability in [Ability::RangedRead, Ability::ListedAtOnce] {
                self.unknown(ability, NOTHING_THERE);
            }
            return;
        }
        let listed = listed(store);
        self.say(Ability::ListedAtOnce, listed);
        let (bytes, mut range) = (self.bytes(1, SMALL), [0; 5_000]);
        let read = store.get_range(SMALL_FILE, 12_345, &mut range).map(|()| range == bytes[12_345..17_345]);
        self.say(Ability::RangedRead, read);
    }

    fn overwriting(&mut self) {
        let store = self.place.store();
        if self.can(Ability::Write) != Can::Yes {
            self.unknown(Ability::Overwrite, NOTHING_THERE);
            self.unknown(Ability::ConditionalPut, NOTHING_THERE);
            return;
        }
        let other = self.bytes(2, SMALL);
        let over = store.put(SMALL_FILE, &other).and_then(|()| Ok(store.get(SMALL_FILE)? == other));
        self.say(Ability::Overwrite, over);
        let first = self.put_if_absent(b"first");
        let second = self.put_if_absent(b"second");
        match (first, second) {
            (Ok(()), Err(StoreError::Exists { .. })) => self.say(Ability::ConditionalPut, Ok(true)),
            (Ok(()), Ok(())) => self.say(Ability::ConditionalPut, Ok(false)),
            (Err(error), _) | (Ok(()), Err(error)) => self.say(Ability::ConditionalPut, Err(error)),
        }
    }

    fn put_if_absent(&self, bytes: &[u8]) -> Result<(), StoreError> {
        match self.place {
            // The one file that a folder never replaces.
            Place::Folder { store, .. } => store.put(FileName::Config, bytes),
            Place::Bucket(store) => store.put_if_absent(FileName::Config, bytes),
        }
    }

    fn bucket(&mut self) {
        for (ability, promise) in
            [(Ability::ObjectLock, Promise::ObjectLock), (Ability::KeepsVersions, Promise::Versions)]
        {
            match self.place {
                Place::Folder { .. } if ability == Ability::ObjectLock => self.say(ability, Ok(false)),
                Place::Folder { .. } => self.unknown(ability, "a folder does not tell about its file system"),
                Place::Bucket(store) => match store.promises(promise) {
                    Ok(Kept::Yes) => self.say(ability, Ok(true)),
                    Ok(Kept::No) => self.say(ability, Ok(false)),
                    Ok(Kept::Unsaid) => self.unknown(ability, "the store does not answer this question"),
                    Err(error) => self.unknown(ability, &chain(&error)),
                },
            }
        }
    }

    fn removing(&mut self) {
        let store = self.place.store();
        if self.can(Ability::Write) != Can::Yes {
            self.unknown(Ability::Delete, NOTHING_THERE);
            self.unknown(Ability::GoneAtOnce, NOTHING_THERE);
            return;
        }
        let removed = store.remove(SMALL_FILE).and_then(|()| match store.get(SMALL_FILE) {
            Ok(_) => Ok(false),
            Err(error) if error.is_not_found() => Ok(true),
            Err(error) => Err(error),
        });
        self.say(Ability::Delete, removed);
        if self.can(Ability::Delete) == Can::Yes {
            let gone = listed(store).map(|listed| !listed);
            self.say(Ability::GoneAtOnce, gone);
        } else {
            self.unknown(Ability::GoneAtOnce, "nothing could be removed");
        }
    }

    /// The stamp of the file that was just written against the middle of the time in which that was done.
    fn clock_ahead_ms(&self, before_micros: i64) -> Option<i64> {
        let stored = self.place.store().stored_at(SMALL_FILE).ok()??;
        let after = self.environment.clock.now().as_micros();
        let middle = before_micros.saturating_add(after.saturating_sub(before_micros) / 2);
        Some(stored.as_micros().saturating_sub(middle) / 1_000)
    }

    fn request_ms(&self) -> Option<f64> {
        let clock = &self.environment.clock;
        let mut spans = Vec::new();
        for _ in 0..REQUESTS {
            let begun = clock.monotonic();
            if self.place.store().get_range(SMALL_FILE, 0, &mut [0]).is_ok() {
                spans.push(clock.monotonic().saturating_sub(begun));
            }
        }
        spans.sort_unstable();
        spans.get(spans.len() / 2).map(|span| (span.as_secs_f64() * 100_000.0).round() / 100.0)
    }

    /// How fast large files pass, all at once; none where one of them did not.
    fn rate(&self, pass: impl Fn(&dyn ObjectStore, u8, &[u8]) -> bool + Sync) -> Option<u64> {
        let files = (0..LARGE_FILES).map(|number| self.bytes(10 + number, LARGE)).collect::<Vec<_>>();
        let (clock, store) = (Arc::clone(&self.environment.clock), self.place.store());
        let begun = clock.monotonic();
        let all = thread::scope(|scope| {
            let pass = &pass;
            let passing = (0..LARGE_FILES).zip(&files);
            let passing = passing.map(|(number, bytes)| scope.spawn(move || pass(store, number, bytes)));
            passing.collect::<Vec<_>>().into_iter().all(|thread| thread.join().unwrap_or(false))
        });
        let span = clock.monotonic().saturating_sub(begun).max(Duration::from_micros(1));
        let bytes = ByteCount::of_len(files.iter().map(Vec::len).sum()).get();
        all.then(|| bytes.saturating_mul(1_000_000) / u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
    }

    /// Bytes that nothing on the way makes smaller; the same for the same number.
    fn bytes(&self, number: u8, len: usize) -> Vec<u8> {
        let mut state = u64::from(number) << 32 | 0x9e37_79b9;
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

const NOTHING_THERE: &str = "nothing could be written";
const SMALL_FILE: FileName = FileName::Hashed(FileKind::Data, Digest::new([0xff; 32]));

fn large(number: u8) -> FileName {
    FileName::Hashed(FileKind::Data, Digest::new([number; 32]))
}

/// Everything that a probe puts.
fn names() -> impl Iterator<Item = FileName> {
    (0..LARGE_FILES).map(large).chain([SMALL_FILE, FileName::Config])
}

fn listed(store: &dyn ObjectStore) -> Result<bool, StoreError> {
    let files = store.list(FileKind::Data)?;
    Ok(files.iter().any(|file| FileName::Hashed(FileKind::Data, file.id) == SMALL_FILE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::system_environment;

    #[test]
    fn a_folder_can_all_that_a_repository_needs_and_is_left_as_it_was() {
        let temp = tempfile::tempdir().unwrap();
        let address = Address::Folder(temp.path().to_owned());
        let report = probe(&address, &Access::default(), &system_environment()).unwrap();
        let answers = report.abilities.iter().map(|tried| (tried.ability, tried.answer)).collect::<Vec<_>>();
        assert_eq!(answers.iter().map(|(ability, _)| *ability).collect::<Vec<_>>(), Ability::ALL);
        for (ability, answer) in answers {
            let expected = match ability {
                Ability::ObjectLock => Can::No,
                Ability::KeepsVersions => Can::Unknown,
                Ability::Write
                | Ability::RangedRead
                | Ability::ListedAtOnce
                | Ability::Overwrite
                | Ability::ConditionalPut
                | Ability::Delete
                | Ability::GoneAtOnce => Can::Yes,
            };
            assert_eq!(answer, expected, "{ability:?}");
        }
        assert!(report.put_bytes_per_second.is_some() && report.get_bytes_per_second.is_some());
        assert!(report.clock_ahead_ms.is_some_and(|ahead| ahead.abs() < 60_000), "{report:?}");
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_stop_leaves_nothing_behind() {
        let temp = tempfile::tempdir().unwrap();
        let access = Access::default();
        access.stop.request();
        probe(&Address::Folder(temp.path().to_owned()), &access, &system_environment()).unwrap_err();
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_place() {
        let temp = tempfile::tempdir().unwrap();
        let address = Address::Folder(temp.path().join("gone"));
        let failure = probe(&address, &Access::default(), &system_environment()).unwrap_err();
        assert_eq!(failure.fault, crate::Fault::NoRepository);
    }
}
