//! Locks as plain restic writes and honours them: shared for readers and writers, exclusive for whoever removes.
//!
//! Protocol: look for conflicts, write the lock, wait, look again, step back on conflict. A lock is refreshed by
//! writing a new file and then removing the old one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use serde::{Deserialize, Serialize};
use sonae_types::{Digest, Timestamp};

use crate::environment::Liveness;
use crate::json::to_go_json;
use crate::reader::ReadError;
use crate::repository::Repository;
use crate::store::{FileKind, FileName, StoreError};
use crate::time::{from_rfc3339, to_rfc3339};
use crate::unpacked::decode_unpacked;

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

/// The content of a lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockFile {
    time: String,
    exclusive: bool,
    hostname: String,
    #[serde(default)]
    username: String,
    pid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    uid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    gid: u32,
}

/// A lock that is held, and refreshed in the background, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    shared: Arc<Held>,
    stop: Option<Sender<()>>,
    refresher: Option<std::thread::JoinHandle<()>>,
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
    /// Monotonic time of the last confirmed refresh.
    confirmed: Duration,
}

/// How long without a confirmed refresh before the holder must stop: three quarters of [`STALE`].
pub const LOST: Duration = Duration::from_secs(22 * 60 + 30);

impl Repository {
    /// Takes a lock. Errors: [`LockError::Held`], [`LockError::Unreadable`], [`LockError::Store`].
    pub fn lock(&self, kind: LockKind) -> Result<Lock, LockError> {
        self.refuse_conflict(kind, None)?;
        let id = self.write_lock(kind)?;
        self.environment.clock.sleep(SETTLE);
        if let Err(conflict) = self.refuse_conflict(kind, Some(id)) {
            self.store.remove(FileName::Hashed(FileKind::Lock, id))?;
            return Err(conflict);
        }
        let state = Mutex::new(State { id, confirmed: self.environment.clock.monotonic() });
        let shared = Arc::new(Held { repository: self.clone(), kind, state });
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let held = Arc::clone(&shared);
        let refresher = std::thread::spawn(move || held.keep_fresh(&stopped));
        Ok(Lock { shared, stop: Some(stop), refresher: Some(refresher) })
    }

    fn write_lock(&self, kind: LockKind) -> Result<Digest, StoreError> {
        let worker = &self.environment.worker;
        let file = LockFile {
            time: to_rfc3339(self.environment.clock.now()),
            exclusive: kind == LockKind::Exclusive,
            hostname: worker.hostname.clone(),
            username: worker.username.clone(),
            pid: worker.pid,
            uid: worker.uid,
            gid: worker.gid,
        };
        let (id, bytes) = self.encode_unpacked(&to_go_json(&file));
        self.store.put(FileName::Hashed(FileKind::Lock, id), &bytes)?;
        Ok(id)
    }

    fn refuse_conflict(&self, kind: LockKind, own: Option<Digest>) -> Result<(), LockError> {
        let location = || self.store.location().to_owned();
        for file in self.store.list(FileKind::Lock)?.into_iter().filter(|file| Some(file.id) != own) {
            let lock = match self.lock_file(file.id) {
                Ok(lock) => lock,
                Err(ReadError::Store(error)) if error.is_not_found() => continue,
                Err(cause) => {
                    return Err(LockError::Unreadable {
                        location: location(),
                        id: file.id,
                        cause: Box::new(cause),
                    });
                }
            };
            let compatible = kind == LockKind::Shared && !lock.exclusive;
            if !compatible && !self.is_stale(&lock) {
                let LockFile { hostname, username, pid, time, .. } = lock;
                return Err(LockError::Held { location: location(), hostname, username, pid, since: time });
            }
        }
        Ok(())
    }

    fn lock_file(&self, id: Digest) -> Result<LockFile, ReadError> {
        let file = FileName::Hashed(FileKind::Lock, id);
        let sealed = self.store.get(file)?;
        let json =
            decode_unpacked(&self.key, id, &sealed).map_err(|cause| ReadError::Unpacked { file, cause })?;
        serde_json::from_slice(&json).map_err(|cause| ReadError::Snapshot { file, cause })
    }

    fn is_stale(&self, lock: &LockFile) -> bool {
        let worker = &self.environment.worker;
        let dead =
            lock.hostname == worker.hostname && self.environment.processes.lives(lock.pid) == Liveness::Gone;
        dead || stale_by_age(from_rfc3339(&lock.time), self.environment.clock.now())
    }
}

/// Whether a lock last refreshed at `stamp` is stale; one whose stamp is no time is not, and must be removed by hand.
fn stale_by_age(stamp: Option<Timestamp>, now: Timestamp) -> bool {
    stamp.is_some_and(|stamp| STALE < now.since(stamp))
}

impl Lock {
    /// Errors: [`LockError::Lost`] once the lock may have been taken for stale; whatever still removes or references
    /// anything must stop then.
    pub fn confirm(&self) -> Result<(), LockError> {
        let held = &self.shared;
        let state = held.state.lock().unwrap_or_else(PoisonError::into_inner);
        if held.repository.environment.clock.monotonic().saturating_sub(state.confirmed) < LOST {
            Ok(())
        } else {
            Err(LockError::Lost { location: held.repository.store.location().to_owned() })
        }
    }
}

impl Held {
    fn keep_fresh(&self, stopped: &Receiver<()>) {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(REFRESH) {
            // A refresh that fails is tried again after the next interval; `confirm` tells when it is too late.
            if self.refresh().is_ok() {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.confirmed = self.repository.environment.clock.monotonic();
            }
        }
    }

    fn refresh(&self) -> Result<(), StoreError> {
        let old = self.state.lock().unwrap_or_else(PoisonError::into_inner).id;
        // Somebody removed our lock: it is not ours to write a new one and go on as if nothing had been.
        self.repository.store.size(FileName::Hashed(FileKind::Lock, old))?;
        let new = self.repository.write_lock(self.kind)?;
        self.state.lock().unwrap_or_else(PoisonError::into_inner).id = new;
        self.repository.store.remove(FileName::Hashed(FileKind::Lock, old))
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
        drop(self.shared.repository.store.remove(FileName::Hashed(FileKind::Lock, id)));
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
