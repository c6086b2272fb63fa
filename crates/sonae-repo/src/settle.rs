//! A point that was saved under a lock that was lost meanwhile: either everything that it references is there, or it
//! does not stay.

use crate::lock::{Lock, LockError, LockKind};
use crate::reader::ReadError;
use crate::repository::Repository;
use crate::snapshot::Point;
use crate::store::{FileKind, FileName};

impl Repository {
    /// Makes sure that a point that was just saved may stay. Where the lock does not count any more, somebody may have
    /// removed what it references; then the point is removed again.
    ///
    /// Whoever removes packs writes its lock before it lists the points. So where nobody else's lock is seen now, it has
    /// either ended, and what it removed is missed here, or it will find this point in its list.
    ///
    /// Errors: the lock's; the point is gone then, unless the error is the store's and about the point's own file.
    pub fn settle_point(&self, point: &Point, lock: &Lock) -> Result<(), LockError> {
        let Err(lost) = lock.confirm() else { return Ok(()) };
        let unharmed = self.refuse_conflict(LockKind::Shared, None).is_ok()
            && self.is_complete_now(point).is_ok_and(|complete| complete);
        if unharmed {
            return Ok(());
        }
        match self.store.remove(FileName::Hashed(FileKind::Snapshot, point.id)) {
            Err(error) if !error.is_not_found() => Err(LockError::Store(error)),
            Ok(()) | Err(_) => Err(lost),
        }
    }

    fn is_complete_now(&self, point: &Point) -> Result<bool, ReadError> {
        let index = self.load_index_of_present(|_pack| true)?.index;
        self.is_complete(point, &index)
    }
}
