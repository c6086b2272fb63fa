//! Files with holes: finding what is data, copying only that, and giving room back.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

/// The parts of a file that are not holes, as positions in bytes, ascending and apart.
pub(crate) fn data_ranges(file: &File) -> io::Result<Vec<Range<u64>>> {
    let len = file.metadata()?.len();
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < len {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        at = rustix::fs::seek(file, SeekFrom::Hole(start))?;
        ranges.push(start..at);
    }
    Ok(ranges)
}

/// Copies a file to a new one that has the same holes.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    let target = create(to, source.metadata()?.len())?;
    for_each_piece(&source, |at, bytes| target.write_all_at(bytes, at))
}

/// Makes an empty file of a length that is one hole, in place of any older one.
pub(crate) fn create(path: &Path, len_bytes: u64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    file.set_len(len_bytes)?;
    Ok(file)
}

/// Hands over everything that is not a hole, in pieces of at most a MiB that end on MiB borders.
pub(crate) fn for_each_piece(
    file: &File,
    mut take: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    const PIECE_BYTES: u64 = 1 << 20;
    let mut buffer = vec![0; 1 << 20];
    for range in data_ranges(file)? {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min((at / PIECE_BYTES + 1) * PIECE_BYTES);
            let piece = &mut buffer[..usize::try_from(end - at).map_err(io::Error::other)?];
            file.read_exact_at(piece, at)?;
            take(at, piece)?;
            at = end;
        }
    }
    Ok(())
}

/// Gives the room of a range back, which then reads as zeros.
pub(crate) fn punch(file: &File, range: Range<u64>) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(file, flags, range.start, range.end - range.start) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP) => {
            let zeros = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
            file.write_all_at(&zeros, range.start)
        }
        Err(error) => Err(error.into()),
    }
}

/// Bytes that a file takes on its file system.
pub(crate) fn allocated_bytes(path: &Path) -> io::Result<u64> {
    Ok(path.metadata()?.blocks() * 512)
}

#[cfg(test)]
mod tests {
    use super::super::digest::of_file;
    use super::*;

    const MIB: u64 = 1 << 20;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[test]
    fn a_copy_has_the_same_bytes_and_the_same_holes() {
        let folder = folder();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let file = create(&a, 8 * MIB + 512).expect("a file");
        file.write_all_at(&[7; 5000], 3 * MIB).expect("write");
        file.write_all_at(&[9; 100], 8 * MIB + 412).expect("write");
        copy(&a, &b).expect("copy");
        assert_eq!(of_file(&a).expect("read"), of_file(&b).expect("read"));
        let ranges = |path: &Path| data_ranges(&File::open(path).expect("open")).expect("ranges");
        assert_eq!(ranges(&a), ranges(&b));
        assert!(allocated_bytes(&b).expect("stat") < MIB);
    }

    #[test]
    fn a_punched_range_reads_as_zeros() {
        let folder = folder();
        let path = folder.path().join("a");
        let file = create(&path, MIB).expect("a file");
        file.write_all_at(&[7; 65_536], 0).expect("write");
        punch(&file, 4096..8192).expect("punch");
        let mut bytes = [1; 4096];
        file.read_exact_at(&mut bytes, 4096).expect("read");
        assert_eq!(bytes, [0; 4096]);
        file.read_exact_at(&mut bytes, 8192).expect("read");
        assert_eq!(bytes, [7; 4096]);
    }

    #[test]
    fn an_empty_file_has_no_data() {
        let folder = folder();
        let file = create(&folder.path().join("a"), 5 * MIB).expect("a file");
        assert_eq!(data_ranges(&file).expect("ranges"), []);
    }
}
