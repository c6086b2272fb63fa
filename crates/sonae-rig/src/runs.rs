//! What an increment reads: separate runs of changes of one length, scattered over an image, and the bytes that have to be
//! read from the source for them. Counts only; nothing is stored.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sonae_repo::chunk::{Changed, ChunkSeed, ChunkTarget, Cutter, OldChunk, OldContent, Piece, Recut, Step};

use crate::corpus::random::Random;
use crate::host;

const PAGE_BYTES: u64 = 4096;
const PAGE_LEN: usize = 4096;
/// Any polynomial does: another one moves the cuts, not their number.
const POLYNOMIAL: &str = "3da3358b4dc173";
/// The lengths of runs that are shown.
pub const LENGTHS: [u64; 4] = [4 << 10, 64 << 10, 512 << 10, 2 << 20];
/// From one run to the next, at least: closer ones would share the chunks around them, which only helps.
const APART: u64 = 8 << 20;
/// Most target chunks that a run may cost beside itself.
pub const CHUNKS_A_RUN_MAX: u64 = 3;

/// Prints what increments read of an image.
#[derive(Debug, clap::Args)]
pub struct RunsArgs {
    /// A disk image
    image: PathBuf,
}

/// What one kind of runs costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Length of each run.
    pub run_bytes: u64,
    /// How many there were.
    pub runs: u64,
    /// Bytes that changed.
    pub dirty_bytes: u64,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Target length of chunks.
    pub target_bytes: u64,
}

impl Cost {
    /// What is read at most.
    #[must_use]
    pub const fn limit_bytes(&self) -> u64 {
        self.dirty_bytes + self.runs * CHUNKS_A_RUN_MAX * self.target_bytes
    }
}

/// An image whose pages inside the changed stretches are others.
struct Image {
    file: File,
    len: u64,
}

/// Counts and prints the table as Markdown.
#[expect(clippy::print_stdout, reason = "the table is what this command is for")]
pub fn run(args: &RunsArgs) -> Result<()> {
    let mut text = "| run | runs | changed MiB | read MiB | allowed MiB | target chunks a run |\n".to_owned();
    text += "|---|---|---|---|---|---|\n";
    for cost in costs(&args.image)? {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let beside =
            (cost.read_bytes - cost.dirty_bytes) as f64 / (cost.runs * cost.target_bytes).max(1) as f64;
        writeln!(
            text,
            "| {} KiB | {} | {:.1} | {:.1} | {:.1} | {beside:.2} |",
            cost.run_bytes >> 10,
            cost.runs,
            mib(cost.dirty_bytes),
            mib(cost.read_bytes),
            mib(cost.limit_bytes()),
        )?;
    }
    println!("{}", text.trim_end());
    Ok(())
}

/// What runs of each length cost on an image.
pub fn costs(image: &Path) -> Result<Vec<Cost>> {
    let file = File::open(image).with_context(|| format!("cannot open {}", image.display()))?;
    let len = file.metadata()?.len();
    let image = Image { file, len };
    let target = ChunkTarget::for_disk(sonae_types::ByteCount::new(len));
    let cutter = Cutter::new(ChunkSeed::of_polynomial(POLYNOMIAL), target);
    let old = image.cut(cutter.clone())?;
    LENGTHS.into_iter().map(|run| image.cost(run, &old, cutter.clone(), target)).collect()
}

impl Image {
    fn cut(&self, mut cutter: Cutter) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut at = 0;
        for part in crate::corpus::data_ranges(&self.file)? {
            let start = part.start / PAGE_BYTES * PAGE_BYTES;
            cutter.zeros(start.saturating_sub(at), &mut pieces);
            let end = part.end.next_multiple_of(PAGE_BYTES).min(self.len);
            self.pages(start.max(at), end, |_at, page| cutter.page(page, &mut pieces))?;
            at = end;
        }
        cutter.zeros(self.len - at, &mut pieces);
        cutter.finish(&mut pieces);
        Ok(pieces)
    }

    /// Runs of this length at places that chance decides, one in each part of the disk that holds data.
    fn cost(&self, run: u64, old: &[Piece], mut cutter: Cutter, target: ChunkTarget) -> Result<Cost> {
        let mut random = Random::of(run, "runs", 0);
        let mut ranges = Vec::new();
        for data in crate::corpus::data_ranges(&self.file)? {
            let mut at =
                data.start.next_multiple_of(PAGE_BYTES) + random.below(APART) / PAGE_BYTES * PAGE_BYTES;
            while at + run <= data.end {
                ranges.push((at, run));
                at += run + APART + random.below(APART) / PAGE_BYTES * PAGE_BYTES;
            }
        }
        let changed = Changed::new(self.len, ranges.iter().copied())?;
        let content = |number: usize| match old[number] {
            Piece::Data(len) => OldChunk { len, content: OldContent::Data },
            Piece::Zeros(len) => OldChunk { len, content: OldContent::Zeros },
        };
        let mut recut = Recut::new(old.len(), content, &changed);
        let (mut pieces, mut read_bytes, mut new) = (Vec::new(), 0, [0; PAGE_LEN]);
        loop {
            host::go_on()?;
            match recut.step(&cutter) {
                Step::Inherit { .. } => {}
                Step::Zeros(len) => cutter.zeros(len, &mut pieces),
                Step::Read(stretch) => {
                    self.pages(stretch.start, stretch.end, |at, page| {
                        let inside = changed.stretches().iter().any(|s| s.start <= at && at < s.end);
                        if inside {
                            random.fill(&mut new);
                            cutter.page(&new[..page.len()], &mut pieces);
                        } else {
                            cutter.page(page, &mut pieces);
                        }
                    })?;
                    read_bytes += stretch.end - stretch.start;
                }
                Step::EndZeros => cutter.end_zeros(&mut pieces),
                Step::End => break,
            }
        }
        let (runs, dirty_bytes) = (ranges.len() as u64, changed.bytes());
        Ok(Cost { run_bytes: run, runs, dirty_bytes, read_bytes, target_bytes: u64::from(target.bytes()) })
    }

    fn pages(&self, start: u64, end: u64, mut take: impl FnMut(u64, &[u8])) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        let mut at = start;
        while at < end {
            let len = usize::try_from((end - at).min(1 << 20)).map_err(io::Error::other)?;
            self.file.read_exact_at(&mut buffer[..len], at)?;
            for (page, bytes) in (at..).step_by(PAGE_LEN).zip(buffer[..len].chunks(PAGE_LEN)) {
                take(page, bytes);
            }
            at += len as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_increment_reads_what_changed_and_at_most_three_target_chunks_a_run() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let image = folder.path().join("image");
        let mut bytes = vec![0; 192 << 20];
        Random::of(1, "image", 0).fill(&mut bytes);
        std::fs::write(&image, bytes).expect("an image");
        let costs = costs(&image).expect("the image can be read");
        assert_eq!(costs.len(), LENGTHS.len());
        for cost in costs {
            assert!(10 < cost.runs, "{cost:?}");
            assert!(cost.dirty_bytes <= cost.read_bytes && cost.read_bytes <= cost.limit_bytes(), "{cost:?}");
        }
    }
}
