//! The points of a copy: which are new to the target, what they need, which may be written, and writing them.

use std::collections::{HashMap, HashSet};

use sonae_types::Digest;

use crate::copying::{CopyError, Copying, Tally};
use crate::files;
use crate::threads::{TRANSFERS, on_threads};
use sonae_repo::blob::BlobKind;
use sonae_repo::check::{Finding, check_point};
use sonae_repo::environment::{Stop, Stopped};
use sonae_repo::index::Index;
use sonae_repo::json::to_go_json;
use sonae_repo::keep::{Confirm, keep};
use sonae_repo::reader::ReadError;
use sonae_repo::repository::Repository;
use sonae_repo::snapshot::{Point, Snapshot};
use sonae_repo::store::{FileKind, FileName, Listed};
use sonae_repo::walk::{Met, Walker};

/// Blobs by what they are.
pub(crate) type BlobSet = HashSet<(BlobKind, Digest)>;

/// What points need.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Every listing and every chunk.
    pub(crate) blobs: BlobSet,
    /// Listings that cannot be read, so that nobody knows what lies below them.
    pub(crate) unreadable: HashSet<Digest>,
}

impl Needs {
    /// What these points of a repository need.
    pub(crate) fn of(
        repository: &Repository,
        index: &Index,
        points: &[Point],
        stop: &Stop,
    ) -> Result<Self, Stopped> {
        let mut needs = Self::default();
        let mut walker = Walker::new(repository, index);
        for point in points {
            stop.check()?;
            walker.walk(point, &mut |met| match met {
                Met::Folder(tree) => drop(needs.blobs.insert((BlobKind::Tree, tree))),
                Met::Unreadable { tree, .. } => drop(needs.unreadable.insert(tree)),
                Met::File(file) => {
                    needs.blobs.extend(file.content.into_iter().map(|id| (BlobKind::Data, id)));
                }
            });
        }
        Ok(needs)
    }

    /// What the index does not have of it.
    pub(crate) fn without(&self, index: &Index) -> Vec<(BlobKind, Digest)> {
        self.blobs.iter().filter(|(kind, id)| !index.has(*kind, *id)).copied().collect()
    }
}

impl Copying<'_> {
    /// The points that the target does not have, oldest first.
    pub(crate) fn fresh(&self, points: &[Point], tally: &Tally) -> Result<Vec<Point>, CopyError> {
        let fresh = if self.source.has_key_of(self.target) {
            let sizes = sizes(&self.source.store().list(FileKind::Snapshot)?);
            let there = sizes_of(self.target, FileKind::Snapshot)?;
            let same = on_threads(TRANSFERS, points, |point| {
                let file = FileName::Hashed(FileKind::Snapshot, point.id);
                let size = sizes.get(&point.id);
                let listed = there.get(&point.id).filter(|found| Some(*found) == size);
                match listed {
                    None => Ok::<_, CopyError>(false),
                    Some(size) => self.is_sound(file, *size),
                }
            })?;
            points.iter().zip(same).filter(|(_, same)| !same).map(|(point, _)| point.clone()).collect()
        } else {
            let there = self.target.points()?.good;
            points.iter().filter(|point| !there.iter().any(|other| is_copy(other, point))).cloned().collect()
        };
        tally.report().points_there = points.len() - Vec::len(&fresh);
        Ok(fresh)
    }

    /// Those of these points of which everything is in the target; of the others it is told what is damaged.
    pub(crate) fn whole(
        &self,
        index: &Index,
        points: Vec<Point>,
        needs: &Needs,
        lost: &BlobSet,
        tally: &Tally,
    ) -> Vec<Point> {
        if lost.is_empty() && needs.unreadable.is_empty() {
            return points;
        }
        let chunks = lost.iter().filter(|(kind, _)| *kind == BlobKind::Data).map(|(_, id)| *id).collect();
        let is_whole = |point: &Point| {
            let mut findings = Vec::new();
            check_point(&mut Walker::new(self.source, index), index, point, &chunks, &mut findings);
            // What could not be read at first and can be now was not copied with the rest.
            let is_there =
                |kind, id: &Digest| needs.blobs.contains(&(kind, *id)) && !lost.contains(&(kind, *id));
            Walker::new(self.source, index).walk(point, &mut |met| {
                let missing = match met {
                    Met::Folder(id) => Some((BlobKind::Tree, id)).filter(|_| !is_there(BlobKind::Tree, &id)),
                    Met::File(file) => {
                        let missing = file.content.iter().find(|id| !is_there(BlobKind::Data, id));
                        missing.map(|id| (BlobKind::Data, *id))
                    }
                    Met::Unreadable { .. } => None,
                };
                if let Some((kind, id)) = missing.filter(|_| findings.is_empty()) {
                    let (point, vm) = (point.id, point.snapshot.hostname.clone());
                    let cause = ReadError::Missing { kind, id };
                    findings.push(Finding::Folder { point, vm, path: "/".to_owned(), cause });
                }
            });
            let whole = findings.is_empty();
            let mut report = tally.report();
            report.refused.append(&mut findings);
            report.withheld.extend((!whole).then_some(point.id));
            whole
        };
        points.into_iter().filter(is_whole).collect()
    }

    /// Writes points, oldest first.
    pub(crate) fn save(&self, points: &[Point], tally: &Tally) -> Result<(), CopyError> {
        let there = sizes_of(self.target, FileKind::Snapshot)?;
        let same_key = self.source.has_key_of(self.target);
        let saved = on_threads(TRANSFERS, points, |point| {
            self.stop.check()?;
            if same_key {
                let size = self.source.store().size(FileName::Hashed(FileKind::Snapshot, point.id))?;
                let file = Listed { id: point.id, size };
                let there = self.transfer(FileKind::Snapshot, &file, there.get(&point.id).copied(), tally)?;
                self.target.settle_point(point, self.lock)?;
                return Ok(there.is_there());
            }
            let json = to_go_json(&self.rewritten(point)?);
            let (id, bytes) = self.target.encode_unpacked(&json);
            keep(self.target.store(), FileName::Hashed(FileKind::Snapshot, id), &bytes, Confirm::Bytes)?;
            // Somebody may have removed what it needs since the lock was asked for.
            self.target.settle_point(&Point { id, snapshot: point.snapshot.clone() }, self.lock)?;
            Ok::<_, CopyError>(true)
        })?;
        tally.report().points_copied = saved.into_iter().filter(|saved| *saved).count();
        Ok(())
    }

    /// The point as the target gets it, as restic's `copy` writes it: every field that anybody wrote, the id that it had
    /// first, and no point before it, since that one has another id there.
    fn rewritten(&self, point: &Point) -> Result<serde_json::Value, CopyError> {
        let file = FileName::Hashed(FileKind::Snapshot, point.id);
        let size = self.source.store().size(file)?;
        let json = self.source.unpacked(FileKind::Snapshot, &Listed { id: point.id, size })?;
        let mut value: serde_json::Value =
            serde_json::from_slice(&json).map_err(|cause| ReadError::Snapshot { file, cause })?;
        if let Some(fields) = value.as_object_mut() {
            fields.remove("parent");
            fields.insert("original".to_owned(), first_id(point).to_string().into());
        }
        Ok(value)
    }
}

/// The id that the point had when it was made.
fn first_id(point: &Point) -> Digest {
    point.snapshot.original.unwrap_or(point.id)
}

/// Whether a point of the target is the copy of one of the source, by the same marks as restic's `copy`: it goes back to
/// the same point, and says the same.
fn is_copy(there: &Point, point: &Point) -> bool {
    let says = |snapshot: &Snapshot| {
        let Snapshot { tree, paths, hostname, username, tags, .. } = snapshot.clone();
        (snapshot.taken_at(), tree, paths, hostname, username, tags)
    };
    [there.snapshot.original, Some(there.id)].contains(&Some(first_id(point)))
        && says(&there.snapshot) == says(&point.snapshot)
}

pub(crate) fn sizes(files: &[Listed]) -> files::Sizes {
    files.iter().map(|file| (file.id, file.size)).collect::<HashMap<_, _>>()
}

pub(crate) fn sizes_of(repository: &Repository, kind: FileKind) -> Result<files::Sizes, CopyError> {
    Ok(sizes(&repository.store().list(kind)?))
}
