//! Disks that fail, for the tests of those who read disks.

use std::io;

use rustix::io::Errno;
use sonae_types::{ByteCount, ByteOffset, DiskError, DiskRead, Extent, ExtentKind};

/// What a disk does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The byte at this position cannot be read: `EIO`, as a broken sector or a lost connection gives it.
    Unreadable(ByteOffset),
    /// The disk ends here, before its stated size.
    Short(ByteOffset),
    /// The disk was written to while it was read.
    Changed,
}

/// A disk that does one thing wrong and is otherwise the disk inside.
#[derive(Debug)]
pub struct FaultyDisk<D> {
    disk: D,
    fault: Fault,
}

impl<D: DiskRead> FaultyDisk<D> {
    /// The disk with this fault.
    pub fn new(disk: D, fault: Fault) -> Self {
        Self { disk, fault }
    }

    fn label(&self) -> String {
        self.disk.label().to_owned()
    }
}

impl<D: DiskRead> DiskRead for FaultyDisk<D> {
    fn label(&self) -> &str {
        self.disk.label()
    }

    fn size(&self) -> ByteCount {
        self.disk.size()
    }

    /// As the disk inside, but what cannot be read is never called a hole, so that every reader meets the fault.
    fn extent_at(&self, at: ByteOffset) -> Result<Extent, DiskError> {
        let extent = self.disk.extent_at(at)?;
        let met = match self.fault {
            Fault::Unreadable(broken) => at <= broken && broken < extent.end,
            Fault::Short(end) => end < extent.end,
            Fault::Changed => false,
        };
        Ok(if met { Extent { kind: ExtentKind::Data, ..extent } } else { extent })
    }

    fn read_at(&self, at: ByteOffset, into: &mut [u8]) -> Result<(), DiskError> {
        let end = at + ByteCount::of_len(into.len());
        match self.fault {
            Fault::Unreadable(broken) if at <= broken && broken < end => Err(DiskError::Io {
                doing: "read",
                label: self.label(),
                at: broken,
                cause: io::Error::from(Errno::IO),
            }),
            Fault::Short(short) if short < end => {
                Err(DiskError::Short { label: self.label(), at: short, size: self.size() })
            }
            Fault::Unreadable(_) | Fault::Short(_) | Fault::Changed => self.disk.read_at(at, into),
        }
    }

    fn confirm_unchanged(&self) -> Result<(), DiskError> {
        match self.fault {
            Fault::Changed => Err(DiskError::Changed { label: self.label() }),
            Fault::Unreadable(_) | Fault::Short(_) => self.disk.confirm_unchanged(),
        }
    }
}
