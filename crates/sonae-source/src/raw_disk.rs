//! Reading a raw image file or a block device.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, Mode, OFlags};
use sonae_types::{ByteCount, ByteOffset, DiskError, DiskRead, Extent};

#[cfg(test)]
mod tests;

use crate::disk_file::{self, DiskFile, Kind, Purpose, cannot_open, label_of};

/// A raw image file or a block device, open for reading.
#[derive(Debug)]
pub struct RawDisk {
    disk: DiskFile,
    path: PathBuf,
    seen: Seen,
}

/// What changes when the disk does; compared after the last read with how it was before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// The change time is left out: it moves with owner and mode, which management tools set on running guests.
    File { device: u64, inode: u64, size: u64, modified: (i64, i64) },
    /// None where the system does not count.
    Device(Option<SectorsChanged>),
}

/// How many sectors of a block device were ever written or discarded, by whomever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SectorsChanged(u64, u64);

impl RawDisk {
    /// Opens the disk at `path`.
    ///
    /// Errors: [`DiskError::Unusable`] for what is no file or block device, may not be read, or is evidently an image in
    /// a format of its own (qcow2, VMDK, VHDX, VDI, …), whose bytes are not those of the disk in it; [`DiskError::Io`].
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let disk = Self::open_as_is(path)?;
        disk.disk.refuse_image_format(Purpose::Read)?;
        Ok(disk)
    }

    /// As [`Self::open`], but takes the bytes as they are, whatever they look like.
    pub fn open_as_is(path: &Path) -> Result<Self, DiskError> {
        let kind = disk_file::kind_of(path, Purpose::Read)?;
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map(File::from)
            .map_err(|cause| cannot_open(path, Purpose::Read, cause))?;
        let failed =
            |cause| DiskError::Io { doing: "open", label: label_of(path), at: ByteOffset::ZERO, cause };
        if kind == Kind::Device {
            // What others have written but not yet flushed would be counted while this disk is read. Failing here
            // changes nothing about what can be read.
            file.sync_data().ok();
        }
        let seen = Seen::now(path, kind).map_err(failed)?;
        let size = disk_file::size_of(&file, kind).map_err(failed)?;
        // A wish for more read-ahead; nothing is lost where it is not granted.
        rustix::fs::fadvise(&file, 0, None, Advice::Sequential).ok();
        let disk = DiskFile { file, kind, label: label_of(path), size };
        Ok(Self { disk, path: path.to_owned(), seen })
    }
}

impl DiskRead for RawDisk {
    fn label(&self) -> &str {
        &self.disk.label
    }

    fn size(&self) -> ByteCount {
        self.disk.size
    }

    fn extent_at(&self, at: ByteOffset) -> Result<Extent, DiskError> {
        self.disk.extent_at(at)
    }

    fn read_at(&self, at: ByteOffset, into: &mut [u8]) -> Result<(), DiskError> {
        self.disk.read_at(at, into)
    }

    fn confirm_unchanged(&self) -> Result<(), DiskError> {
        match Seen::now(&self.path, self.disk.kind) {
            Ok(now) if now == self.seen => Ok(()),
            // A path that leads nowhere any more is a change too.
            Ok(_) | Err(_) => Err(DiskError::Changed { label: self.disk.label.clone() }),
        }
    }
}

impl Seen {
    fn now(path: &Path, kind: Kind) -> std::io::Result<Self> {
        let stat = fs::metadata(path)?;
        Ok(match kind {
            Kind::File => Self::File {
                device: stat.dev(),
                inode: stat.ino(),
                size: stat.size(),
                modified: (stat.mtime(), stat.mtime_nsec()),
            },
            Kind::Device => Self::Device(SectorsChanged::of(stat.rdev())),
        })
    }
}

impl SectorsChanged {
    /// Source of the fields: the kernel's `Documentation/block/stat.rst`.
    fn of(device: u64) -> Option<Self> {
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let text = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
        let field = |n| text.split_whitespace().nth(n)?.parse().ok();
        Some(Self(field(6)?, field(13).unwrap_or(0)))
    }
}
