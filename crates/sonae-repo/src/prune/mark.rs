//! Marks in a repository: read, judged by the clocks, renewed.

use std::collections::HashSet;
use std::time::Duration;

use sonae_types::Digest;

use super::PruneError;
use crate::lock::Lock;
use crate::mark::{Age, Clocks, Mark};
use crate::reader::ReadError;
use crate::repository::Repository;
use crate::store::{FileKind, FileName, Listed, StoreError};

/// How long packs stay after they were marked, unless somebody says otherwise: longer than the longest backup.
pub const GRACE: Duration = Duration::from_hours(72);

/// A mark that is there.
#[derive(Debug)]
pub(super) struct StoredMark {
    pub(super) id: Digest,
    /// Empty where it cannot be read.
    pub(super) packs: HashSet<Digest>,
    pub(super) age: Age,
}

impl Repository {
    /// The packs that some mark names. A mark that cannot be read names none.
    pub(crate) fn marked_packs(&self) -> Result<HashSet<Digest>, StoreError> {
        let mut marked = HashSet::new();
        for file in self.store.list(FileKind::Mark)? {
            marked.extend(self.mark(&file)?.into_iter().flat_map(|mark| mark.packs));
        }
        Ok(marked)
    }

    fn mark(&self, file: &Listed) -> Result<Option<Mark>, StoreError> {
        match self.unpacked(FileKind::Mark, file) {
            Ok(json) => Ok(Mark::decode(&json)),
            Err(ReadError::Store(error)) if !error.is_not_found() => Err(error),
            // To lose a mark only delays what it was about.
            Err(_) => Ok(None),
        }
    }

    /// Every mark with what the clocks say about it.
    pub(super) fn stored_marks(
        &self,
        clocks: &Clocks,
        grace: Duration,
    ) -> Result<Vec<StoredMark>, StoreError> {
        let files = self.store.list(FileKind::Mark)?;
        let marks = files.iter().map(|file| {
            let name = FileName::Hashed(FileKind::Mark, file.id);
            let Some(mark) = self.mark(file)? else {
                return Ok(StoredMark { id: file.id, packs: HashSet::new(), age: Age::Unknown });
            };
            let stored_at = if clocks.know_store_time() { self.store.stored_at(name)? } else { None };
            let age = clocks.age(mark.time, stored_at, grace);
            Ok(StoredMark { id: file.id, packs: mark.packs.into_iter().collect(), age })
        });
        marks.collect()
    }

    /// Leaves marks of these packs and of no others. Marks that say nothing else stay as they are; what others say of
    /// packs that still wait goes on in a new one, by which their grace begins anew.
    pub(super) fn renew_marks(
        &self,
        old: &[StoredMark],
        waiting: &HashSet<Digest>,
        gone: &HashSet<Digest>,
        lock: &Lock,
    ) -> Result<(), PruneError> {
        let says_more = |mark: &StoredMark| {
            let others = mark.packs.iter().any(|pack| !waiting.contains(pack) && !gone.contains(pack));
            others || mark.age == Age::Unknown || mark.packs.is_disjoint(waiting)
        };
        let (outdated, standing): (Vec<_>, Vec<_>) = old.iter().partition(|mark| says_more(mark));
        let told = standing.iter().flat_map(|mark| &mark.packs).copied().collect::<HashSet<_>>();
        let mut packs = waiting.difference(&told).copied().collect::<Vec<_>>();
        packs.sort_unstable();
        if !packs.is_empty() {
            let time = self.environment.clock.now();
            let (id, bytes) = self.encode_unpacked(&Mark { time, packs }.encode());
            self.keep_on_full_disk(FileName::Hashed(FileKind::Mark, id), &bytes)?;
        }
        for mark in outdated {
            lock.confirm()?;
            self.remove_if_there(FileName::Hashed(FileKind::Mark, mark.id))?;
        }
        Ok(())
    }

    pub(super) fn remove_if_there(&self, name: FileName) -> Result<(), StoreError> {
        match self.store.remove(name) {
            Err(error) if !error.is_not_found() => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
