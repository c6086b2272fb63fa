//! The chunking table: how many chunks and bytes each way of cutting leaves of the same images, on their first day and
//! the next. Counts only; nothing is encrypted or stored.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use sonae_repo::chunk::{ChunkSeed, ChunkTarget, Cutter, Piece, is_zero};

use crate::corpus::{Pages, data_ranges, day_pages};
use crate::host;

const PAGE_BYTES: u64 = 4096;
const PAGE_LEN: usize = 4096;
const LEVEL: i32 = 1;
/// Any polynomial does: another one moves the cuts, not their number.
const POLYNOMIAL: &str = "3da3358b4dc173";

/// Prints what each way of cutting leaves of some images.
#[derive(Debug, clap::Args)]
pub struct ChunkingArgs {
    /// Disk images; where `../delta/NAME.day2` lies beside an image, its next day is counted too
    #[arg(required = true)]
    images: Vec<PathBuf>,
}

/// A way of cutting.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Every so many bytes.
    Fixed(u64),
    /// At page borders that the content names, about so many bytes apart.
    Aligned(ChunkTarget),
}

/// What a way of cutting leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    chunks: u64,
    raw_bytes: u64,
    stored_bytes: u64,
}

/// An image on a day: its file, and the pages that differ from it.
struct Disk {
    file: File,
    len: u64,
    changed: Pages,
}

/// The chunks of one way so far.
struct Tally {
    known: HashSet<[u8; 32]>,
    zstd: zstd_safe::CCtx<'static>,
    packed: Vec<u8>,
    count: Count,
}

/// Counts and prints the table as Markdown.
#[expect(clippy::print_stdout, reason = "the table is what this command is for")]
pub fn run(args: &ChunkingArgs) -> Result<()> {
    let aligned = |kib: u32| ChunkTarget::new(kib << 10).map(Way::Aligned);
    let ways = [
        Way::Fixed(4 << 20),
        Way::Fixed(1 << 20),
        Way::Fixed(128 << 10),
        aligned(64)?,
        aligned(128)?,
        aligned(256)?,
    ];
    let next = Mutex::new(0..ways.len());
    let counts = Mutex::new(BTreeMap::new());
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    std::thread::scope(|scope| {
        let turn = || -> Result<()> {
            while let Some(at) = take(&next) {
                host::go_on()?;
                let days = count(ways[at], &args.images)?;
                counts.lock().expect("a thread that panics ends the run").insert(at, (ways[at], days));
            }
            Ok(())
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(turn)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a thread's panic is ours"))
    })?;
    let counts = counts.into_inner().expect("all threads ended well");
    println!("{}", table(counts.into_values()));
    Ok(())
}

fn take(next: &Mutex<Range<usize>>) -> Option<usize> {
    next.lock().expect("a thread that panics ends the run").next()
}

/// The first day of all images, then what the next day adds; none where no image has a next day.
fn count(way: Way, images: &[PathBuf]) -> Result<(Count, Option<Count>)> {
    let mut tally = Tally::new();
    for image in images {
        tally
            .take(way, &Disk::open(image, Pages::new())?)
            .with_context(|| format!("cannot read {}", image.display()))?;
    }
    let first = std::mem::take(&mut tally.count);
    let mut next = None;
    for image in images {
        if let Some(pages) = next_day(image)? {
            tally
                .take(way, &Disk::open(image, pages)?)
                .with_context(|| format!("cannot read {}", image.display()))?;
            next = Some(tally.count);
        }
    }
    Ok((first, next))
}

/// What the next day changes in an image; none where its corpus has no next day, or writes it in its own way.
fn next_day(image: &Path) -> Result<Option<Pages>> {
    let delta = day_file(image);
    match day_pages(&delta) {
        Ok(pages) => Ok(Some(pages)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", delta.display())),
    }
}

/// Where a corpus keeps the next day of an image.
fn day_file(image: &Path) -> PathBuf {
    let name = image.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let corpus = image.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    corpus.join("delta").join(format!("{name}.day2"))
}

impl Disk {
    fn open(path: &Path, changed: Pages) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let len = file.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
        Ok(Self { file, len, changed })
    }

    /// What is not a hole on this day, in whole pages, ascending and apart.
    fn data(&self) -> io::Result<Vec<Range<u64>>> {
        let mut parts = data_ranges(&self.file)?;
        parts.extend(self.changed.keys().map(|&at| at..(at + PAGE_BYTES).min(self.len)));
        parts.sort_by_key(|part| part.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for part in parts {
            let start = part.start / PAGE_BYTES * PAGE_BYTES;
            let end = part.end.next_multiple_of(PAGE_BYTES).min(self.len);
            match merged.last_mut() {
                Some(last) if start <= last.end => last.end = last.end.max(end),
                _ => merged.push(start..end),
            }
        }
        Ok(merged)
    }

    /// Reads from a page border on, as of this day.
    fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)?;
        let end = at + u64::try_from(buffer.len()).map_err(io::Error::other)?;
        for (&page, bytes) in self.changed.range(at..end) {
            let from = usize::try_from(page - at).map_err(io::Error::other)?;
            let len = PAGE_LEN.min(buffer.len() - from);
            buffer[from..from + len].copy_from_slice(&bytes[..len]);
        }
        Ok(())
    }

    /// The chunks of this disk that are not all zeros, or may not be.
    fn chunks(&self, way: Way) -> io::Result<Vec<Range<u64>>> {
        match way {
            Way::Fixed(len) => {
                let mut chunks: Vec<u64> =
                    self.data()?.iter().flat_map(|part| part.start / len..part.end.div_ceil(len)).collect();
                chunks.dedup();
                Ok(chunks
                    .into_iter()
                    .map(|number| number * len..((number + 1) * len).min(self.len))
                    .collect())
            }
            Way::Aligned(target) => self.aligned(target),
        }
    }

    fn aligned(&self, target: ChunkTarget) -> io::Result<Vec<Range<u64>>> {
        let mut cutter = Cutter::new(ChunkSeed::of_polynomial(POLYNOMIAL), target);
        let mut pieces = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        for part in self.data()? {
            cutter.zeros(part.start - at, &mut pieces);
            at = part.start;
            while at < part.end {
                let len = (part.end - at).min(1 << 20);
                let bytes = &mut buffer[..usize::try_from(len).map_err(io::Error::other)?];
                self.read(at, bytes)?;
                bytes.chunks(PAGE_LEN).for_each(|page| cutter.page(page, &mut pieces));
                at += len;
            }
        }
        cutter.zeros(self.len - at, &mut pieces);
        cutter.finish(&mut pieces);
        let mut at = 0;
        let mut chunks = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Data(len) => {
                    chunks.push(at..at + len);
                    at += len;
                }
                Piece::Zeros(len) => at += len,
            }
        }
        Ok(chunks)
    }
}

impl Tally {
    fn new() -> Self {
        let zstd = zstd_safe::CCtx::create();
        Self { known: HashSet::new(), zstd, packed: Vec::new(), count: Count::default() }
    }

    /// Counts the chunks of a disk that are not known yet.
    fn take(&mut self, way: Way, disk: &Disk) -> Result<()> {
        let mut buffer = Vec::new();
        for chunk in disk.chunks(way)? {
            let len = chunk.end - chunk.start;
            buffer.resize(usize::try_from(len)?, 0);
            disk.read(chunk.start, &mut buffer)?;
            if is_zero(&buffer) || !self.known.insert(Sha256::digest(&buffer).into()) {
                continue;
            }
            self.packed.resize(zstd_safe::compress_bound(buffer.len()), 0);
            let failed = |code| anyhow::anyhow!("zstd: {}", zstd_safe::get_error_name(code));
            let packed = self.zstd.compress(&mut self.packed[..], &buffer, LEVEL).map_err(failed)?;
            self.count.chunks += 1;
            self.count.raw_bytes += len;
            self.count.stored_bytes += u64::try_from(packed)?.min(len);
        }
        Ok(())
    }
}

impl Way {
    fn name(self) -> String {
        match self {
            Self::Fixed(len) if len < 1 << 20 => format!("fixed {} KiB", len >> 10),
            Self::Fixed(len) => format!("fixed {} MiB", len >> 20),
            Self::Aligned(target) => format!("page-aligned {} KiB", target.bytes() >> 10),
        }
    }
}

fn table(rows: impl Iterator<Item = (Way, (Count, Option<Count>))>) -> String {
    let mut text = String::from(
        "| chunking | day 1 unique, raw MB | day 1 stored, zstd 1, MB | day 2 stored, MB | chunks on day 1 |\n\
         |---|---|---|---|---|\n",
    );
    let mb = |bytes: u64| bytes / 1_000_000;
    for (way, (first, next)) in rows {
        let next = next.map_or_else(|| "-".to_owned(), |next| mb(next.stored_bytes).to_string());
        let (raw, stored) = (mb(first.raw_bytes), mb(first.stored_bytes));
        writeln!(text, "| {} | {raw} | {stored} | {next} | {} |", way.name(), first.chunks)
            .expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn disk(folder: &Path, changed: Pages) -> Disk {
        let path = folder.join("disk");
        let file = File::create(&path).expect("a disk");
        file.set_len(8 * MIB).expect("its length");
        file.write_all_at(&[1; 3 << 20], MIB).expect("write");
        Disk::open(&path, changed).expect("open")
    }

    fn counted(way: Way, disk: &Disk) -> Count {
        let mut tally = Tally::new();
        tally.take(way, disk).expect("it counts");
        tally.count
    }

    #[test]
    fn equal_chunks_and_zeros_are_counted_once_and_never() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let count = counted(Way::Fixed(MIB), &disk(folder.path(), Pages::new()));
        assert_eq!((count.chunks, count.raw_bytes), (1, MIB));
        assert!(count.stored_bytes < 4096);
    }

    #[test]
    fn the_next_day_adds_what_changed_in_data_and_in_holes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let page = Box::new([7; PAGE_LEN]);
        let changed = Pages::from([(2 * MIB, page.clone()), (6 * MIB, page)]);
        let count = counted(Way::Fixed(MIB), &disk(folder.path(), changed));
        assert_eq!((count.chunks, count.raw_bytes), (3, 3 * MIB));
    }

    #[test]
    fn page_aligned_chunks_cover_the_data_and_leave_out_the_holes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = disk(folder.path(), Pages::new());
        let target = ChunkTarget::new(128 << 10).expect("a target");
        let chunks = disk.chunks(Way::Aligned(target)).expect("it cuts");
        assert_eq!(chunks.first().map(|chunk| chunk.start), Some(MIB));
        assert_eq!(chunks.last().map(|chunk| chunk.end), Some(4 * MIB));
        assert!(chunks.windows(2).all(|pair| pair[0].end == pair[1].start));
    }

    #[test]
    fn the_table_is_markdown() {
        let first = Count { chunks: 7, raw_bytes: 3_000_000, stored_bytes: 2_000_000 };
        let text = table([(Way::Fixed(4 * MIB), (first, None))].into_iter());
        assert!(text.ends_with("| fixed 4 MiB | 3 | 2 | - | 7 |\n"), "{text}");
    }
}
