//! Removing locks that nobody works under.

use serde::Serialize;
use sonae_types::{Digest, Timestamp};

use super::file::{LockFile, Standing, StoreTime};
use super::{LockKind, lock_name};
use crate::reader::ReadError;
use crate::repository::Repository;
use crate::store::{FileKind, StoreError};

/// Which locks to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlock {
    /// Those that count for nothing: abandoned or stale.
    Worthless,
    /// All; for when the holder is known to be gone.
    All,
}

/// One lock that was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundLock {
    /// Its file.
    pub id: Digest,
    /// What it is worth.
    pub standing: Standing,
    /// Who holds it; none when it cannot be read.
    pub holder: Option<Holder>,
    /// What became of it.
    pub fate: Fate,
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Whether it keeps everybody else out.
    pub exclusive: bool,
    /// On which machine.
    pub hostname: String,
    /// As which user.
    pub username: String,
    /// In which process.
    pub pid: u32,
    /// When it was last refreshed, as its file says.
    pub time: String,
}

/// What became of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It was removed.
    Removed,
    /// It was left alone.
    Kept,
}

impl Repository {
    /// Removes locks and tells of all that were there. Errors: the store's; locks removed so far stay removed.
    pub fn unlock(&self, which: Unlock) -> Result<Vec<FoundLock>, StoreError> {
        let mut found = Vec::new();
        let mut store_now = None;
        for file in self.store.list(FileKind::Lock)? {
            let lock = match self.lock_file(file.id) {
                Ok(lock) => Some(lock),
                Err(ReadError::Store(error)) if error.is_not_found() => continue,
                Err(ReadError::Store(error)) => return Err(error),
                Err(_unreadable) => None,
            };
            let standing = match &lock {
                None => Standing::Unreadable,
                Some(lock) => self.standing(file.id, lock, &mut store_now)?,
            };
            let remove = match (which, standing) {
                (Unlock::All, _) | (Unlock::Worthless, Standing::Abandoned | Standing::Stale) => true,
                (Unlock::Worthless, Standing::Held | Standing::Unreadable) => false,
            };
            if remove {
                match self.store.remove(lock_name(file.id)) {
                    Ok(()) => {}
                    // Its holder was faster.
                    Err(error) if error.is_not_found() => continue,
                    Err(error) => return Err(error),
                }
            }
            let fate = if remove { Fate::Removed } else { Fate::Kept };
            found.push(FoundLock { id: file.id, standing, holder: lock.map(Holder::from), fate });
        }
        Ok(found)
    }

    fn standing(
        &self,
        id: Digest,
        lock: &LockFile,
        store_now: &mut Option<StoreNow>,
    ) -> Result<Standing, StoreError> {
        let environment = &self.environment;
        if lock.is_abandoned(&environment.worker, &*environment.processes) {
            return Ok(Standing::Abandoned);
        }
        if !lock.is_old(environment.clock.now()) {
            return Ok(Standing::Held);
        }
        let now = store_now.get_or_insert_with(|| self.store_now()).0;
        let time = StoreTime { stored_at: self.store.stored_at(lock_name(id))?, now };
        Ok(if time.agrees() { Standing::Stale } else { Standing::Held })
    }

    /// What time it is by the clock of the store, found out by storing a lock; none where nothing can be stored, since
    /// a full store must not keep its locks for ever.
    fn store_now(&self) -> StoreNow {
        let Ok(id) = self.write_lock(LockKind::Shared) else { return StoreNow(None) };
        let now = self.store.stored_at(lock_name(id)).ok().flatten();
        drop(self.store.remove(lock_name(id)));
        StoreNow(now)
    }
}

struct StoreNow(Option<Timestamp>);

impl From<LockFile> for Holder {
    fn from(lock: LockFile) -> Self {
        let LockFile { time, exclusive, hostname, username, pid, .. } = lock;
        Self { exclusive, hostname, username, pid, time }
    }
}
