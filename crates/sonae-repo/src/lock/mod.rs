//! Locks as plain restic writes and honours them: shared for readers and writers, exclusive for whoever removes.
//!
//! Protocol: look for conflicts, write the lock, wait, look again, step back on conflict. A lock is refreshed by
//! writing a new file and then removing the old one.
//!
//! A lock whose process is gone from this machine counts for nothing and is cleared away. One that nobody refreshed for
//! [`STALE`] counts for nothing when its stamp and the clock of the store both say so: a machine whose clock is a day
//! off must not take the locks of others for old.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use sonae_types::{Digest, Timestamp};

use crate::json::to_go_json;
use crate::keep::{Confirm, keep};
use crate::reader::ReadError;
use crate::repository::Repository;
use crate::store::{FileKind, FileName, StoreError};
use crate::unpacked::{check_stored_size, decode_unpacked};

mod file;
#[cfg(test)]
mod tests;
mod unlock;

pub(crate) use file::decode_lock;
use file::{LockFile, StoreTime};

pub use file::Standing;
pub use unlock::{Fate, FoundLock, Holder, Unlock};

/// How long to wait between writing a lock and looking for others again.
pub const SETTLE: Duration = Duration::from_millis(200);
/// How often a lock is refreshed.
pub const REFRESH: Duration = Duration::from_mins(5);
/// After how long without a refresh a lock counts for nothing.
pub const STALE: Duration = Duration::from_mins(30);

/// What a lock allows others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Others may read and write, but nobody may remove.
    Shared,
    /// Nobody else may work here.
    Exclusive,
}

/// A lock could not be had, or was lost.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else holds a lock that does not allow ours.
    #[error("{location} is locked by {hostname} (user {username}, process {pid}) since {since}")]
    Held {
        /// The store.
        location: String,
        /// Whose.
        hostname: String,
        /// Which user's.
        username: String,
        /// Which process'.
        pid: u32,
        /// Since when, as its file says.
        since: String,
    },
    /// A lock file is there that cannot be read; it may be anybody's, so it counts.
    #[error("lock {id} in {location} cannot be read")]
    Unreadable {
        /// The store.
        location: String,
        /// The file.
        id: Digest,
        /// Why.
        #[source]
        cause: Box<ReadError>,
    },
    /// Our own lock could not be refreshed for so long that others may have taken it for stale.
    #[error("the lock on {location} was lost: no refresh could be confirmed in time")]
    Lost {
        /// The store.
        location: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A lock that is held, and refreshed in the background, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    shared: Arc<Held>,
    stop: Option<Sender<()>>,
    refresher: Option<std::thread::JoinHandle<()>>,
}

/// A lock that is written, and that others may still object to. Dropped, it is gone.
#[derive(Debug)]
pub struct BegunLock<'a> {
    repository: &'a Repository,
    kind: LockKind,
    /// None once it has settled.
    id: Option<Digest>,
    /// Monotonic time before it was written, which is what its stamp says.
    begun: Duration,
    /// Monotonic time after.
    written: Duration,
}

/// A lock for whoever only reads, or the reading without one of a place that takes no files.
#[derive(Debug)]
pub enum BegunReading<'a> {
    /// Others will see that somebody reads.
    Locked(BegunLock<'a>),
    /// Nobody can be told. What is removed meanwhile is missed, and never mistaken for something else.
    Unlocked,
}

/// Somebody reads, until this is dropped.
#[derive(Debug)]
pub enum Reading {
    /// Others see it.
    Locked(Lock),
    /// Nobody could be told.
    Unlocked,
}

#[derive(Debug)]
struct Held {
    repository: Repository,
    kind: LockKind,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    id: Digest,
    /// Monotonic time of the last confirmed refresh; none once somebody else removed the lock.
    confirmed: Option<Duration>,
}

/// How long without a confirmed refresh before the holder must stop: three quarters of [`STALE`].
pub const LOST: Duration = Duration::from_secs(22 * 60 + 30);

impl Repository {
    /// Takes a lock. Errors: [`LockError::Held`], [`LockError::Unreadable`], [`LockError::Store`].
    pub fn lock(&self, kind: LockKind) -> Result<Lock, LockError> {
        self.begin_lock(kind)?.settle()
    }

    /// Writes a lock, so that whoever only reads at first can do so while it settles.
    ///
    /// Until [`BegunLock::settle`] nothing may be written or relied upon. Errors: as [`Repository::lock`].
    pub fn begin_lock(&self, kind: LockKind) -> Result<BegunLock<'_>, LockError> {
        self.refuse_conflict(kind, None)?;
        let begun = self.environment.clock.monotonic();
        let id = self.write_lock(kind)?;
        let written = self.environment.clock.monotonic();
        Ok(BegunLock { repository: self, kind, id: Some(id), begun, written })
    }

    /// Begins a shared lock for whoever only reads. A place that is full or takes no writes is read without one: when
    /// its disk is full or its medium sealed, what lies there must still come back.
    ///
    /// Errors: as [`Repository::lock`].
    pub fn begin_reading(&self) -> Result<BegunReading<'_>, LockError> {
        match self.begin_lock(LockKind::Shared) {
            Ok(lock) => Ok(BegunReading::Locked(lock)),
            Err(LockError::Store(error)) if takes_no_files(&error) => Ok(BegunReading::Unlocked),
            Err(error) => Err(error),
        }
    }

    fn write_lock(&self, kind: LockKind) -> Result<Digest, StoreError> {
        let file = LockFile::of(&self.environment.worker, kind, self.environment.clock.now());
        let (id, bytes) = self.encode_unpacked(&to_go_json(&file));
        keep(&*self.store, lock_name(id), &bytes, Confirm::Length)?;
        Ok(id)
    }

    pub(crate) fn refuse_conflict(&self, kind: LockKind, own: Option<Digest>) -> Result<(), LockError> {
        let location = || self.store.location().to_owned();
        let files = self.store.list(FileKind::Lock)?;
        if own.is_some_and(|own| files.iter().all(|file| file.id != own)) {
            // Others cannot see our lock, so it keeps nobody from anything.
            return Err(LockError::Lost { location: location() });
        }
        for file in files.into_iter().filter(|file| Some(file.id) != own) {
            let lock = match self.lock_file(file.id) {
                Ok(lock) => lock,
                Err(ReadError::Store(error)) if error.is_not_found() => continue,
                Err(ReadError::Store(error)) => return Err(error.into()),
                Err(cause) => {
                    let cause = Box::new(cause);
                    return Err(LockError::Unreadable { location: location(), id: file.id, cause });
                }
            };
            if lock.is_abandoned(&self.environment.worker, &*self.environment.processes) {
                // Only tidiness: it would keep other machines, which cannot know, waiting for half an hour.
                drop(self.store.remove(lock_name(file.id)));
            } else if !lock.allows(kind) {
                if !self.is_stale(file.id, &lock, own)? {
                    let LockFile { hostname, username, pid, time, .. } = lock;
                    return Err(LockError::Held {
                        location: location(),
                        hostname,
                        username,
                        pid,
                        since: time,
                    });
                }
                if own.is_some() {
                    // Its holder may only sleep, in a machine whose clocks were stopped with it: it must find its lock
                    // gone when it wakes. Where it cannot be removed, its holder has only its clocks to go by.
                    drop(self.store.remove(lock_name(file.id)));
                }
            }
        }
        Ok(())
    }

    fn lock_file(&self, id: Digest) -> Result<LockFile, ReadError> {
        let file = lock_name(id);
        check_stored_size(self.store.size(file)?).map_err(|cause| ReadError::Unpacked { file, cause })?;
        let sealed = self.store.get(file)?;
        let json = decode_unpacked(&self.key, FileKind::Lock, id, &sealed)
            .map_err(|cause| ReadError::Unpacked { file, cause })?;
        decode_lock(&json).map_err(|cause| ReadError::Snapshot { file, cause })
    }

    /// Whether nobody refreshed the lock for [`STALE`]. Our own, once it is there, tells the time of the store.
    fn is_stale(&self, id: Digest, lock: &LockFile, own: Option<Digest>) -> Result<bool, StoreError> {
        if !lock.is_old(self.environment.clock.now()) {
            return Ok(false);
        }
        let Some(own) = own else { return Ok(true) };
        let now = self.store.stored_at(lock_name(own))?;
        match self.store.stored_at(lock_name(id)) {
            Ok(stored_at) => Ok(StoreTime { stored_at, now }.agrees()),
            Err(error) if error.is_not_found() => Ok(true),
            Err(error) => Err(error),
        }
    }
}

fn lock_name(id: Digest) -> FileName {
    FileName::Hashed(FileKind::Lock, id)
}

fn takes_no_files(error: &StoreError) -> bool {
    match error {
        StoreError::Full { .. } => true,
        StoreError::Io { cause, .. } => cause.kind() == std::io::ErrorKind::ReadOnlyFilesystem,
        StoreError::NotFound { .. }
        | StoreError::Exists { .. }
        | StoreError::Short { .. }
        | StoreError::NotKept { .. }
        | StoreError::Altered { .. }
        | StoreError::Stopped { .. }
        | StoreError::Unusable { .. } => false,
    }
}

impl BegunReading<'_> {
    /// As [`BegunLock::settle`], where there is a lock.
    pub fn settle(self) -> Result<Reading, LockError> {
        match self {
            Self::Locked(lock) => lock.settle().map(Reading::Locked),
            Self::Unlocked => Ok(Reading::Unlocked),
        }
    }
}

impl BegunLock<'_> {
    /// Waits until everybody else must have seen the lock, and looks whether anybody objects. Errors: as
    /// [`Repository::lock`].
    pub fn settle(mut self) -> Result<Lock, LockError> {
        let Self { repository, kind, begun, written, .. } = self;
        let clock = &repository.environment.clock;
        let left = SETTLE.saturating_sub(clock.monotonic().saturating_sub(written));
        if left != Duration::ZERO {
            clock.sleep(left);
        }
        repository.refuse_conflict(kind, self.id)?;
        let id = self.id.take().expect("only settling takes it");
        let state = Mutex::new(State { id, confirmed: Some(begun) });
        let shared = Arc::new(Held { repository: repository.clone(), kind, state });
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let held = Arc::clone(&shared);
        let refresher = std::thread::spawn(move || held.keep_fresh(&stopped));
        Ok(Lock { shared, stop: Some(stop), refresher: Some(refresher) })
    }
}

impl Drop for BegunLock<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // One that cannot be removed goes stale by itself.
            drop(self.repository.store.remove(lock_name(id)));
        }
    }
}

impl Lock {
    /// Makes sure that the lock still counts. Whatever still removes or references anything must ask right before.
    ///
    /// Errors: [`LockError::Lost`] once it may have been taken for stale, or was removed; [`LockError::Store`] when the
    /// store cannot tell.
    pub fn confirm(&self) -> Result<(), LockError> {
        let Held { repository, state, .. } = &*self.shared;
        let lost = || LockError::Lost { location: repository.store.location().to_owned() };
        let now = repository.environment.clock.monotonic();
        // Held while the store is asked, so that a refresh does not remove the file meanwhile.
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.confirmed.is_none_or(|confirmed| LOST <= now.saturating_sub(confirmed)) {
            return Err(lost());
        }
        match repository.store.size(lock_name(state.id)) {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Err(lost()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Lock {
    /// When the lock was last written, by the clock of the store; none where the store does not say.
    pub fn stored_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.repository.store.stored_at(lock_name(state.id))
    }
}

impl Held {
    fn keep_fresh(&self, stopped: &Receiver<()>) {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(REFRESH) {
            self.refresh();
        }
    }

    /// A refresh that fails is tried again after the next interval; [`Lock::confirm`] tells when it is too late.
    fn refresh(&self) {
        let old = self.state.lock().unwrap_or_else(PoisonError::into_inner).id;
        let store = &*self.repository.store;
        match store.size(lock_name(old)) {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {
                // Somebody removed our lock: to write a new one and go on as if nothing had been would be a lie.
                self.state.lock().unwrap_or_else(PoisonError::into_inner).confirmed = None;
                return;
            }
            Err(_) => return,
        }
        // From before the writing, since that is what the file's stamp says.
        let begun = self.repository.environment.clock.monotonic();
        if let Ok(id) = self.repository.write_lock(self.kind) {
            *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State { id, confirmed: Some(begun) };
            // One that stays goes stale by itself.
            drop(store.remove(lock_name(old)));
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(refresher) = self.refresher.take() {
            // A refresher that panicked has nothing more to say; the lock is removed either way.
            drop(refresher.join());
        }
        let id = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).id;
        // A lock that cannot be removed goes stale by itself, since our process ends.
        drop(self.shared.repository.store.remove(lock_name(id)));
    }
}
