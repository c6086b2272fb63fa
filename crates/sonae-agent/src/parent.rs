//! What a point has of its machine's disks, for a backup that builds on it or is compared with it.

use sonae_repo::Repository;
use sonae_repo::blob::BlobOpener;
use sonae_repo::index::Index;
use sonae_repo::manifest::{DiskManifest, Manifest};
use sonae_repo::reader::ReadError;
use sonae_repo::snapshot::Point;
use sonae_repo::tree::NodeKind;
use sonae_types::{ByteCount, Digest, DiskName};

use crate::failure::Failure;

/// The file in a point that holds a disk.
#[must_use]
pub(crate) fn disk_file(name: &DiskName) -> String {
    format!("disk-{name}.raw")
}

/// The disk of the machine that a path in a point holds; none for other files.
#[must_use]
pub(crate) fn disk_in<'a>(vm: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix('/')?.strip_prefix(vm)?.strip_prefix('/').and_then(disk_of_file)
}

fn disk_of_file(file: &str) -> Option<&str> {
    file.strip_prefix("disk-")?.strip_suffix(".raw")
}

/// The disks of a point.
#[derive(Debug)]
pub(crate) struct PointDisks {
    pub(crate) point: Digest,
    pub(crate) disks: Vec<PointDisk>,
    /// What the point says about itself; none where it is of another program, damaged or was tampered with.
    pub(crate) manifest: Option<Manifest>,
}

/// One disk of a point.
#[derive(Debug)]
pub(crate) struct PointDisk {
    pub(crate) name: DiskName,
    pub(crate) size: ByteCount,
    pub(crate) chunks: Vec<Digest>,
}

impl PointDisks {
    /// Reads the folder of the machine once. What is damaged, or was changed by somebody, is not there.
    ///
    /// Errors: the repository cannot be read at all.
    pub(crate) fn load(repository: &Repository, index: &Index, point: &Point) -> Result<Self, Failure> {
        let disks = sound(disks_of(repository, index, point))?.unwrap_or_default();
        let manifest = sound(repository.manifest(point, index))?.flatten();
        Ok(Self { point: point.id, disks, manifest })
    }

    /// The disks of a point. Errors: anything of it that cannot be read.
    pub(crate) fn load_all(
        repository: &Repository,
        index: &Index,
        point: &Point,
    ) -> Result<Vec<PointDisk>, Failure> {
        Ok(disks_of(repository, index, point)?)
    }

    pub(crate) fn disk(&self, name: &DiskName) -> Option<&PointDisk> {
        self.disks.iter().find(|disk| disk.name == *name)
    }

    pub(crate) fn described(&self, name: &DiskName) -> Option<&DiskManifest> {
        self.manifest.as_ref()?.disks.iter().find(|disk| disk.name == *name)
    }
}

fn disks_of(repository: &Repository, index: &Index, point: &Point) -> Result<Vec<PointDisk>, ReadError> {
    let folder = repository.find(index, point, &point.snapshot.folder())?;
    let NodeKind::Folder(tree) = folder.kind else { return Ok(Vec::new()) };
    let nodes = repository.tree(index, tree, &mut BlobOpener::default())?;
    let disks = nodes.into_iter().filter_map(|node| {
        let name = DiskName::parse(disk_of_file(&node.name)?).ok()?;
        let NodeKind::File { size, content } = node.kind else { return None };
        Some(PointDisk { name, size: ByteCount::new(size), chunks: content })
    });
    Ok(disks.collect())
}

/// None for what is damaged or not there.
fn sound<T>(read: Result<T, ReadError>) -> Result<Option<T>, Failure> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(ReadError::NoSuchPath { .. }) => Ok(None),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
