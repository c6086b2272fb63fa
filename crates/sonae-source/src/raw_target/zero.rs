//! Making a range of a target read as zeros, at the lowest cost that the target allows.

use rustix::fs::FallocateFlags;
use rustix::io::{Errno, retry_on_intr};
use sonae_types::{ByteCount, ByteOffset, DiskError};

use super::RawTarget;
use crate::disk_file::Kind;

/// Block devices zero whole blocks only, and no block is shared with a neighbouring range when it is as large as a page.
const BLOCK: u64 = 4096;

static ZEROS: [u8; 256 * 1024] = [0; 256 * 1024];

pub(super) fn zero(target: &RawTarget, at: ByteOffset, len: ByteCount) -> Result<(), DiskError> {
    let end = at + len;
    let whole = match target.disk.kind {
        Kind::File => (at, end),
        Kind::Device => (
            ByteOffset::new(at.get().next_multiple_of(BLOCK)),
            ByteOffset::new(end.get() - end.get() % BLOCK),
        ),
    };
    let blocks = whole.1.since(whole.0).filter(|blocks| ByteCount::ZERO < *blocks);
    match blocks {
        Some(blocks) if release(target, whole.0, blocks)? == Released::Yes => {
            write_zeros(target, at, whole.0)?;
            write_zeros(target, whole.1, end)
        }
        Some(_) | None => write_zeros(target, at, end),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Released {
    Yes,
    /// The file system or the device cannot do it.
    No,
}

/// Lets the system zero the range without being sent the zeros.
fn release(target: &RawTarget, at: ByteOffset, len: ByteCount) -> Result<Released, DiskError> {
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let zeros = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
    let ways: &[FallocateFlags] = match target.disk.kind {
        // Only a hole is what is wanted; zeros that take room are written as well as made.
        Kind::File => &[hole],
        // The kernel punches a device only where it then reads as zeros.
        Kind::Device => &[hole, zeros],
    };
    for way in ways {
        match retry_on_intr(|| rustix::fs::fallocate(&target.disk.file, *way, at.get(), len.get())) {
            Ok(()) => return Ok(Released::Yes),
            Err(Errno::NOTSUP | Errno::NOSYS | Errno::INVAL | Errno::NODEV) => {}
            Err(cause) => return Err(target.disk.failed("zero", at, cause)),
        }
    }
    Ok(Released::No)
}

pub(super) fn write_zeros(target: &RawTarget, from: ByteOffset, to: ByteOffset) -> Result<(), DiskError> {
    let mut at = from;
    while let Some(left) = to.since(at).filter(|left| ByteCount::ZERO < *left) {
        let zeros = &ZEROS[..left.min(ByteCount::of_len(ZEROS.len())).as_len()];
        target.write_all(at, zeros)?;
        at += ByteCount::of_len(zeros.len());
    }
    Ok(())
}
