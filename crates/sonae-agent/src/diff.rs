//! Comparing two points: which stretches of which disks differ, as maps of changes.

use serde::Serialize;
use sonae_repo::Repository;
use sonae_repo::blob::BlobKind;
use sonae_repo::diff::differences;
use sonae_repo::index::Index;
use sonae_repo::ingest::Chunk;
use sonae_repo::manifest::merkle_root;
use sonae_repo::reader::ReadError;
use sonae_types::{ByteCount, Digest, DiskName, VmName};

use crate::changes::ChangeMap;
use crate::failure::Failure;
use crate::parent::{PointDisk, PointDisks};
use crate::select::{Selector, select};

/// What differs between two points.
#[derive(Debug, Serialize)]
pub struct DiffReport {
    /// The older side.
    pub from: Digest,
    /// The newer side.
    pub to: Digest,
    /// The machine of the newer side.
    pub vm: String,
    /// The disks of both.
    pub disks: Vec<DiskDiff>,
}

/// What became of one disk.
#[derive(Debug, Serialize)]
pub struct DiskDiff {
    /// Its name.
    pub name: DiskName,
    /// What became of it.
    pub state: DiskChange,
    /// Its size on the older side.
    pub old_size_bytes: Option<ByteCount>,
    /// Its size on the newer side.
    pub new_size_bytes: Option<ByteCount>,
    /// Bytes in the stretches that differ; of a disk that is only on one side, all of it.
    pub changed_bytes: ByteCount,
    /// The stretches that differ, in the form that `sonae backup --changed` reads; none where a side has no such disk.
    pub map: Option<ChangeMap>,
}

/// What became of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskChange {
    /// Both sides are the same.
    Same,
    /// Something differs.
    Changed,
    /// Only the newer side has it.
    Added,
    /// Only the older side has it.
    Removed,
}

/// Compares two points. The stretches are to the grain of chunks: what lies outside them is the same, byte for byte.
///
/// Errors: a point that is not there, or damaged.
pub fn diff(
    repository: &Repository,
    (from, to): (&Selector, &Selector),
    vm: Option<&VmName>,
) -> Result<DiffReport, Failure> {
    let lock = repository.begin_reading()?;
    let points = repository.points()?;
    let (from, to) = (select(&points, from, vm)?, select(&points, to, vm)?);
    let index = repository.load_index_around_damage()?.index;
    let _lock = lock.settle()?;
    let olds = PointDisks::load_all(repository, &index, from)?;
    let news = PointDisks::load_all(repository, &index, to)?;
    let mut disks = Vec::new();
    for new in &news {
        let old = olds.iter().find(|old| old.name == new.name);
        disks.push(match old {
            Some(old) => compared(from.id, old, new, &index)?,
            None => one_sided(DiskChange::Added, new),
        });
    }
    let removed = olds.iter().filter(|old| news.iter().all(|new| new.name != old.name));
    disks.extend(removed.map(|old| one_sided(DiskChange::Removed, old)));
    Ok(DiffReport { from: from.id, to: to.id, vm: to.snapshot.hostname.clone(), disks })
}

fn compared(from: Digest, old: &PointDisk, new: &PointDisk, index: &Index) -> Result<DiskDiff, Failure> {
    let found = differences(&with_lengths(&old.chunks, index)?, &with_lengths(&new.chunks, index)?);
    let ranges = found.iter().map(|stretch| (stretch.start, stretch.end - stretch.start)).collect::<Vec<_>>();
    let same = ranges.is_empty() && old.size == new.size;
    Ok(DiskDiff {
        name: new.name.clone(),
        state: if same { DiskChange::Same } else { DiskChange::Changed },
        old_size_bytes: Some(old.size),
        new_size_bytes: Some(new.size),
        changed_bytes: ByteCount::new(ranges.iter().map(|(_, len)| len).sum()),
        map: Some(ChangeMap {
            parent: from.to_string(),
            size_bytes: new.size,
            ranges,
            merkle_root: Some(merkle_root(&old.chunks)),
        }),
    })
}

fn one_sided(state: DiskChange, disk: &PointDisk) -> DiskDiff {
    let (old, new) = match state {
        DiskChange::Removed => (Some(disk.size), None),
        DiskChange::Added | DiskChange::Same | DiskChange::Changed => (None, Some(disk.size)),
    };
    DiskDiff {
        name: disk.name.clone(),
        state,
        old_size_bytes: old,
        new_size_bytes: new,
        changed_bytes: disk.size,
        map: None,
    }
}

fn with_lengths(ids: &[Digest], index: &Index) -> Result<Vec<Chunk>, Failure> {
    let chunks = ids.iter().map(|id| {
        let len = index.plain_len(BlobKind::Data, *id);
        let len = len.ok_or(ReadError::Missing { kind: BlobKind::Data, id: *id })?;
        Ok(Chunk { id: *id, len })
    });
    chunks.collect()
}
