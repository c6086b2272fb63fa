//! Looking: which points there are, and what one of them holds.

use serde::Serialize;
use sonae_repo::Repository;
use sonae_repo::manifest::Manifest;
use sonae_repo::reader::{Points, ReadError};
use sonae_repo::snapshot::Point;
use sonae_repo::walk::{Met, Walker};
use sonae_types::{ByteCount, Digest, VmName};

use crate::failure::Failure;
use crate::findings::DamagedReport;
use crate::select::{Selector, select};

/// The points of a repository, oldest first.
#[derive(Debug, Serialize)]
pub struct PointList {
    /// The points.
    pub points: Vec<PointReport>,
    /// Files that should be points and cannot be read.
    pub damaged: Vec<DamagedReport>,
}

/// One point.
#[derive(Debug, Serialize)]
pub struct PointReport {
    /// Its id.
    pub point: Digest,
    /// The machine.
    pub vm: String,
    /// When it was taken, RFC 3339.
    pub time: String,
    /// Names of its disks; none where it was not written by Sonae.
    pub disks: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
}

/// What one point holds.
#[derive(Debug, Serialize)]
pub struct ShowReport {
    /// The point itself.
    #[serde(flatten)]
    pub point: PointReport,
    /// The point before it.
    pub parent: Option<Digest>,
    /// The program that wrote it.
    pub program: Option<String>,
    /// What it says about itself; none where it was not written by Sonae.
    pub manifest: Option<Manifest>,
    /// Every file in it.
    pub files: Vec<FileReport>,
}

/// One file of a point.
#[derive(Debug, Serialize)]
pub struct FileReport {
    /// Its path.
    pub path: String,
    /// Its size.
    pub size_bytes: ByteCount,
}

/// Lists the points, of one machine or of all.
pub fn points(repository: &Repository, vm: Option<&VmName>) -> Result<PointList, Failure> {
    let Points { good, damaged } = repository.points()?;
    let wanted = |point: &&Point| {
        !point.snapshot.is_proof() && vm.is_none_or(|vm| point.snapshot.hostname == vm.as_str())
    };
    Ok(PointList {
        points: good.iter().filter(wanted).map(PointReport::of).collect(),
        damaged: damaged.iter().map(DamagedReport::snapshot).collect(),
    })
}

/// Shows one point.
pub fn show(
    repository: &Repository,
    selector: &Selector,
    vm: Option<&VmName>,
) -> Result<ShowReport, Failure> {
    let lock = repository.begin_reading()?;
    let points = repository.points()?;
    let point = select(&points, selector, vm)?;
    let index = repository.load_index_around_damage()?.index;
    let _lock = lock.settle()?;
    let mut files = Vec::new();
    let mut unreadable = None;
    Walker::new(repository, &index).walk(point, &mut |met| match met {
        Met::Folder(_) => {}
        Met::File(file) => files.push(FileReport { path: file.path, size_bytes: ByteCount::new(file.size) }),
        Met::Unreadable { cause, .. } => unreadable = Some(cause),
    });
    if let Some(cause) = unreadable {
        return Err(cause.into());
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let manifest = match repository.manifest(point, &index) {
        // Somebody took it out of the point; verifying says so, and what is left can be shown.
        Err(ReadError::NoSuchPath { .. }) => None,
        manifest => manifest?,
    };
    Ok(ShowReport {
        point: PointReport::of(point),
        parent: point.snapshot.parent,
        program: point.snapshot.program_version.clone(),
        manifest,
        files,
    })
}

impl PointReport {
    fn of(point: &Point) -> Self {
        let snapshot = &point.snapshot;
        Self {
            point: point.id,
            vm: snapshot.hostname.clone(),
            time: snapshot.time.clone(),
            disks: snapshot.disk_names().map(ToOwned::to_owned).collect(),
            tags: snapshot.tags.clone(),
        }
    }
}
