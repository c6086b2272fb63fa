//! Keeping a target to oneself.

use rustix::fs::{FlockOperation, FsWord};
use rustix::io::Errno;
use sonae_types::{ByteOffset, DiskError, Unfit};

use crate::disk_file::DiskFile;

/// Magic numbers of network file systems, as `statfs` gives them (`linux/magic.h`): NFS, CIFS, SMB 2.
const REMOTE: [FsWord; 3] = [0x6969, 0xff53_4d42, 0xfe53_4d42];

/// Takes every lock that others look at; all go when the file is closed.
///
/// `flock` keeps other restores away, also those of this process. A record lock over the whole file collides with the
/// locks that QEMU holds on bytes 100 to 103 and 200 to 203 of the images it has open, and keeps it from opening this
/// one. Network file systems turn `flock` into just such a record lock, and a second one would collide with it
/// (flock(2), "NFS details").
///
/// The record lock also goes when this process opens the same path once more and closes it; that is why restores are
/// kept apart by `flock`. Errors: [`DiskError::Unusable`] where somebody else has the file, [`DiskError::Io`].
pub(super) fn take(disk: &DiskFile) -> Result<(), DiskError> {
    let failed = |cause: Errno| disk.failed("lock", ByteOffset::ZERO, cause);
    let exclusive = FlockOperation::NonBlockingLockExclusive;
    match rustix::fs::flock(&disk.file, exclusive) {
        Ok(()) | Err(Errno::NOTSUP | Errno::NOSYS) => {}
        Err(Errno::WOULDBLOCK) => {
            return Err(disk.unusable(Unfit::InUse {
                by: "another restore or another program has it locked; wait until that ends, or choose another path",
            }));
        }
        Err(cause) => return Err(failed(cause)),
    }
    let magic = rustix::fs::fstatfs(&disk.file).map_err(failed)?.f_type;
    if REMOTE.contains(&magic) {
        return Ok(());
    }
    match rustix::fs::fcntl_lock(&disk.file, exclusive) {
        Ok(()) | Err(Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(Errno::AGAIN | Errno::ACCESS) => {
            let by = "a running guest or another program has it open; shut it down first";
            Err(disk.unusable(Unfit::InUse { by }))
        }
        Err(cause) => Err(failed(cause)),
    }
}
