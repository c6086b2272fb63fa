//! The ballast: a file that says nothing and is given up when a full disk has no room even for a lock, so that what is
//! to be removed can be removed.

use sonae_types::ByteCount;

use crate::hash::sha256;
use crate::keep::{Confirm, keep};
use crate::lock::{Lock, LockError, LockKind};
use crate::repository::Repository;
use crate::store::{FileKind, FileName, StoreError};

/// Room for a lock, a mark and an index file of ours.
pub const BALLAST_BYTES: ByteCount = ByteCount::mib(4);
/// A disk with less room than this has none to spare for ballast.
const PLENTY: ByteCount = ByteCount::mib(32);

impl Repository {
    /// Makes the ballast where there is none, where the store has a disk of its own that could be full, and as long as
    /// there is plenty of room.
    pub fn make_ballast(&self) -> Result<(), StoreError> {
        let plenty = self.store.room().is_some_and(|room| PLENTY <= room);
        if !plenty || !self.store.list(FileKind::Ballast)?.is_empty() {
            return Ok(());
        }
        // Random, so that no file system can make it smaller than it looks.
        let mut bytes = vec![0; BALLAST_BYTES.as_len()];
        self.environment.entropy.fill(&mut bytes);
        keep(&*self.store, FileName::Hashed(FileKind::Ballast, sha256(&bytes)), &bytes, Confirm::Length)
    }

    /// Takes an exclusive lock, where the disk is full by giving up the ballast. Errors: as [`Repository::lock`].
    pub fn lock_on_full_disk(&self) -> Result<Lock, LockError> {
        match self.lock(LockKind::Exclusive) {
            Err(LockError::Store(StoreError::Full { .. })) if self.give_up_ballast()? => {
                self.lock(LockKind::Exclusive)
            }
            other => other,
        }
    }

    /// Stores a file that was confirmed by its bytes, where the disk is full by giving up the ballast.
    pub(crate) fn keep_on_full_disk(&self, name: FileName, bytes: &[u8]) -> Result<(), StoreError> {
        match keep(&*self.store, name, bytes, Confirm::Bytes) {
            Err(StoreError::Full { .. }) if self.give_up_ballast()? => {
                keep(&*self.store, name, bytes, Confirm::Bytes)
            }
            other => other,
        }
    }

    /// Removes the ballast; answers whether there was any.
    fn give_up_ballast(&self) -> Result<bool, StoreError> {
        let ballast = self.store.list(FileKind::Ballast)?;
        for file in &ballast {
            match self.store.remove(FileName::Hashed(FileKind::Ballast, file.id)) {
                Err(error) if !error.is_not_found() => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(!ballast.is_empty())
    }
}
