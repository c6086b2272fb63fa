//! Forgetting points: their files go, and nothing else. What only they referenced stays until it is pruned.

use std::collections::HashSet;

use sonae_types::Digest;

use crate::check::check_point;
use crate::environment::{Stop, Stopped};
use crate::index::Index;
use crate::lock::{Lock, LockError};
use crate::manifest::merkle_root;
use crate::reader::ReadError;
use crate::repository::Repository;
use crate::snapshot::Point;
use crate::store::{FileKind, FileName, StoreError};
use crate::tree::NodeKind;
use crate::walk::Walker;

/// What became of points that were to be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// They were there and are gone.
    pub removed: Vec<Digest>,
    /// Somebody had removed them before.
    pub gone_before: Vec<Digest>,
}

/// Not all points could be forgotten. Whatever was not removed is there as before.
#[derive(Debug, thiserror::Error)]
#[error("{} of {asked} points were removed, then the work stopped", .done.removed.len())]
pub struct ForgetError {
    /// What became of the points before.
    pub done: Forgotten,
    /// How many were to be forgotten.
    pub asked: usize,
    /// What stopped it.
    #[source]
    pub cause: Box<ForgetCause>,
}

/// Why points are not removed any further.
#[derive(Debug, thiserror::Error)]
pub enum ForgetCause {
    /// The lock does not count any more, or nobody can tell.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store said that it removed a file and still lists it.
    #[error("{location} said that it removed {file} and still lists it")]
    StillListed {
        /// The store.
        location: String,
        /// The file.
        file: FileName,
    },
    /// Asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Repository {
    /// Removes points, in this order, under a lock that is exclusive. One that is gone already is as good as removed.
    ///
    /// Errors: [`ForgetError`] at the first point that cannot be removed.
    pub fn forget(&self, points: &[Digest], lock: &Lock, stop: &Stop) -> Result<Forgotten, ForgetError> {
        let mut done = Forgotten::default();
        let ended = points
            .iter()
            .try_for_each(|point| self.forget_one(*point, lock, stop, &mut done))
            .and_then(|()| self.refuse_still_listed(&mut done));
        match ended {
            Ok(()) => Ok(done),
            Err(cause) => Err(ForgetError { done, asked: points.len(), cause: Box::new(cause) }),
        }
    }

    fn forget_one(
        &self,
        point: Digest,
        lock: &Lock,
        stop: &Stop,
        done: &mut Forgotten,
    ) -> Result<(), ForgetCause> {
        stop.check()?;
        // Before every single one: who sleeps past the lock could wake up and remove what others decided to keep.
        lock.confirm()?;
        match self.store.remove(FileName::Hashed(FileKind::Snapshot, point)) {
            Ok(()) => done.removed.push(point),
            Err(error) if error.is_not_found() => done.gone_before.push(point),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Makes sure that the points that were removed are; one that is not does not count as removed.
    fn refuse_still_listed(&self, done: &mut Forgotten) -> Result<(), ForgetCause> {
        if done.removed.is_empty() {
            return Ok(());
        }
        let listed =
            self.store.list(FileKind::Snapshot)?.into_iter().map(|file| file.id).collect::<HashSet<_>>();
        let still = done.removed.extract_if(.., |point| listed.contains(point)).collect::<Vec<_>>();
        match still.first() {
            None => Ok(()),
            Some(point) => Err(ForgetCause::StillListed {
                location: self.store.location().to_owned(),
                file: FileName::Hashed(FileKind::Snapshot, *point),
            }),
        }
    }

    /// Whether nothing of a point is missing, as far as can be told without reading the data: its folders can be read,
    /// the index has every chunk in the right number and length, and its disks are those of its manifest.
    ///
    /// With an index of [`Repository::load_trusted_index`], the packs are there, too. Errors: the store cannot be read.
    pub fn is_complete(&self, point: &Point, index: &Index) -> Result<bool, ReadError> {
        let mut findings = Vec::new();
        check_point(&mut Walker::new(self, index), index, point, &HashSet::new(), &mut findings);
        if !findings.is_empty() {
            return Ok(false);
        }
        let manifest = match self.manifest(point, index) {
            Ok(None) => return Ok(true),
            Ok(Some(manifest)) => manifest,
            Err(error) => return missing(error),
        };
        for disk in &manifest.disks {
            let path = format!("{}/{}", point.snapshot.folder(), disk.file);
            let node = match self.find(index, point, &path) {
                Ok(node) => node.kind,
                Err(error) => return missing(error),
            };
            let NodeKind::File { size, content } = node else { return Ok(false) };
            if size != disk.size_bytes.get() || merkle_root(&content) != disk.merkle_root {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What is damaged or not in the point is missing; a store that cannot be read is another matter.
fn missing(error: ReadError) -> Result<bool, ReadError> {
    if error.is_damage() || matches!(error, ReadError::NoSuchPath { .. }) { Ok(false) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use sonae_types::{Clock as _, Timestamp};

    use super::*;
    use crate::crypto::Password;
    use crate::lock::{LOST, LockKind};
    use crate::store::fault::{Fault, FaultStore};
    use crate::store::wrap::{Target, Verb};
    use crate::store::{MemoryStore, ObjectStore};
    use crate::testing::{
        CountingEntropy, Holes, ManualClock, environment, image, memory_repository, save_disk,
    };

    /// A repository with this many points of one disk, each of another second.
    fn with_points(store: &MemoryStore, count: i64) -> (Repository, Vec<Point>) {
        let repository = memory_repository(store);
        let first = save_disk(&repository, image("tnz", 0), Holes::Told).unwrap();
        let others = (1..count).map(|second| {
            let time = crate::time::to_rfc3339(Timestamp::from_micros(second * 1_000_000));
            let snapshot = crate::snapshot::Snapshot { time, ..first.snapshot.clone() };
            Point { id: repository.save_point(&snapshot).unwrap(), snapshot }
        });
        let points = [first.clone()].into_iter().chain(others).collect();
        (repository, points)
    }

    /// The same repository over a store of which the n-th removal of a point has this fault.
    fn breaking(store: &MemoryStore, nth: u64, fault: Fault) -> Repository {
        let planned = FaultStore::planned(Arc::new(store.clone()), move |seen| {
            let point = matches!(seen.target, Target::File(FileName::Hashed(FileKind::Snapshot, _)));
            (seen.verb == Verb::Remove && point && seen.number_of_operation == nth).then_some(fault)
        });
        reopened(Arc::new(planned))
    }

    fn reopened(store: Arc<dyn ObjectStore>) -> Repository {
        let mut environment = environment();
        environment.entropy = Arc::new(CountingEntropy::starting_at(77));
        Repository::open(store, environment, &Password::from_file_bytes(b"secret")).unwrap()
    }

    fn ids(points: &[Point]) -> Vec<Digest> {
        points.iter().map(|point| point.id).collect()
    }

    fn left(repository: &Repository) -> Vec<Digest> {
        ids(&repository.points().unwrap().good)
    }

    #[test]
    fn the_named_points_go_and_nothing_else_and_a_second_time_changes_nothing() {
        let store = MemoryStore::new();
        let (repository, points) = with_points(&store, 5);
        let ids = ids(&points);
        let others = |kind| store.list(kind).unwrap();
        let before = [FileKind::Data, FileKind::Index, FileKind::Key].map(others);
        let lock = repository.lock(LockKind::Exclusive).unwrap();
        let done = repository.forget(&ids[1..4], &lock, &Stop::default()).unwrap();
        assert_eq!(done, Forgotten { removed: ids[1..4].to_vec(), gone_before: vec![] });
        assert_eq!(left(&repository), [ids[0], ids[4]]);
        let again = repository.forget(&ids[1..4], &lock, &Stop::default()).unwrap();
        assert_eq!(again, Forgotten { removed: vec![], gone_before: ids[1..4].to_vec() });
        assert_eq!([FileKind::Data, FileKind::Index, FileKind::Key].map(others), before);
    }

    #[test]
    fn the_first_point_that_cannot_be_removed_ends_it_and_what_was_removed_is_told() {
        let store = MemoryStore::new();
        let (_, points) = with_points(&store, 4);
        let ids = ids(&points);
        let repository = breaking(&store, 2, Fault::Fail);
        let lock = repository.lock(LockKind::Exclusive).unwrap();
        let error = repository.forget(&ids[..3], &lock, &Stop::default()).unwrap_err();
        assert_eq!((error.done.removed.clone(), error.asked), (vec![ids[0]], 3));
        assert!(matches!(*error.cause, ForgetCause::Store(_)), "{error:?}");
        assert_eq!(error.to_string(), "1 of 3 points were removed, then the work stopped");
        assert_eq!(left(&repository), ids[1..]);
        let rest = repository.forget(&ids[..3], &lock, &Stop::default()).unwrap();
        assert_eq!(rest, Forgotten { removed: ids[1..3].to_vec(), gone_before: vec![ids[0]] });
    }

    #[test]
    fn a_removal_that_did_not_happen_or_happened_twice_is_told_as_it_is() {
        let store = MemoryStore::new();
        let (_, points) = with_points(&store, 4);
        let ids = ids(&points);
        let repository = breaking(&store, 2, Fault::Lost);
        let lock = repository.lock(LockKind::Exclusive).unwrap();
        let error = repository.forget(&ids[..3], &lock, &Stop::default()).unwrap_err();
        assert!(matches!(*error.cause, ForgetCause::StillListed { .. }), "{error:?}");
        assert_eq!(error.done.removed, [ids[0], ids[2]]);
        drop(lock);
        let repository = breaking(&store, 1, Fault::Duplicated);
        let lock = repository.lock(LockKind::Exclusive).unwrap();
        assert_eq!(repository.forget(&ids[..3], &lock, &Stop::default()).unwrap().removed, [ids[1]]);
    }

    #[test]
    fn who_lost_the_lock_removes_nothing_more() {
        let store = MemoryStore::new();
        let (_, points) = with_points(&store, 2);
        let ids = ids(&points);
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_000_000)));
        let mut slept = environment();
        slept.clock = Arc::clone(&clock) as Arc<dyn sonae_types::Clock>;
        slept.entropy = Arc::new(CountingEntropy::starting_at(77));
        let password = Password::from_file_bytes(b"secret");
        let repository = Repository::open(Arc::new(store.clone()), slept, &password).unwrap();
        let lock = repository.lock(LockKind::Exclusive).unwrap();
        clock.sleep(LOST + Duration::from_secs(1));
        let error = repository.forget(&ids[..1], &lock, &Stop::default()).unwrap_err();
        assert!(matches!(*error.cause, ForgetCause::Lock(LockError::Lost { .. })), "{error:?}");
        assert_eq!(left(&repository), ids);
    }

    #[test]
    fn a_stop_is_heeded_between_two_points() {
        let store = MemoryStore::new();
        let (repository, points) = with_points(&store, 2);
        let stop = Stop::default();
        stop.request();
        let lock = repository.lock(LockKind::Exclusive).unwrap();
        let error = repository.forget(&ids(&points)[..1], &lock, &stop).unwrap_err();
        assert!(matches!(*error.cause, ForgetCause::Stopped(_)), "{error:?}");
        assert_eq!(left(&repository).len(), 2);
    }

    #[test]
    fn a_point_is_complete_until_a_pack_or_an_index_file_of_it_is_gone() {
        let store = MemoryStore::new();
        let (repository, points) = with_points(&store, 1);
        let complete = || {
            let index = repository.load_trusted_index().unwrap().index;
            repository.is_complete(&points[0], &index).unwrap()
        };
        assert!(complete());
        for kind in [FileKind::Data, FileKind::Index] {
            for file in store.list(kind).unwrap() {
                let name = FileName::Hashed(kind, file.id);
                let bytes = store.get(name).unwrap();
                store.remove(name).unwrap();
                assert!(!complete(), "{name}");
                store.put(name, &bytes).unwrap();
            }
        }
        assert!(complete());
    }
}
