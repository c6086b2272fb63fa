//! What is in use: the blobs that points need.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sonae_format::prune::Bits;

use super::PruneError;
use crate::blob::BlobKind;
use crate::environment::Stop;
use crate::index::{Index, PlaceNumber};
use crate::reader::{ReadError, processors};
use crate::repository::Repository;
use crate::snapshot::Point;
use crate::walk::{Met, Walker};

/// The first place of every blob that a point needs.
///
/// Errors: a folder that cannot be read, a blob that no index file lists. What cannot be read cannot be known to be of
/// no use, and what is missing may lie in a pack that would go.
pub(super) fn used(
    repository: &Repository,
    index: &Index,
    points: &[Point],
    stop: &Stop,
) -> Result<Bits, PruneError> {
    let bits = Bits::of(index);
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let fail = |error: PruneError| {
        failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        next.store(points.len(), Ordering::Relaxed);
    };
    std::thread::scope(|scope| {
        for _ in 0..processors().min(points.len()) {
            scope.spawn(|| {
                let mut walker = Walker::new(repository, index);
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(stopped) = stop.check() {
                        return fail(stopped.into());
                    }
                    walker.walk(point, &mut |met| {
                        if let Err((path, cause)) = note(index, &bits, met) {
                            let vm = point.snapshot.hostname.clone();
                            fail(PruneError::Point { point: point.id, vm, path, cause });
                        }
                    });
                }
            });
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(bits), Err)
}

fn note(index: &Index, bits: &Bits, met: Met) -> Result<(), (String, Box<ReadError>)> {
    let (path, kind, ids) = match met {
        Met::Folder(tree) => (String::new(), BlobKind::Tree, vec![tree]),
        Met::File(file) => (file.path, BlobKind::Data, file.content),
        Met::Unreadable { path, cause, .. } => return Err((path, Box::new(cause))),
    };
    for id in ids {
        match index.number(kind, id) {
            Some(number) => bits.set(number),
            None => return Err((path, Box::new(ReadError::Missing { kind, id }))),
        }
    }
    Ok(())
}

/// Places that were read and found damaged.
pub(super) type Damaged = HashSet<PlaceNumber>;
