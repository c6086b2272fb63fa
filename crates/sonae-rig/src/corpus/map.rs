//! Maps of changes of the second day, as hypervisors hand them over: for `sonae backup --changed` and for borg 2.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{delta, sparse};

const PAGE_BYTES: u64 = 4096;

/// Write what changes on the second day of an image, or what is data on the first
#[derive(Debug, clap::Args)]
pub struct MapArgs {
    /// The folder of a corpus
    folder: PathBuf,
    /// The name of an image
    image: String,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Form {
    /// For `sonae backup --changed`, since this point
    #[arg(long, value_name = "POINT")]
    sonae: Option<String>,
    /// What changes, for borg 2, in blocks of so many bytes
    #[arg(long, value_name = "BYTES")]
    borg_changes: Option<u64>,
    /// What is data, for borg 2, in blocks of so many bytes
    #[arg(long, value_name = "BYTES")]
    borg_data: Option<u64>,
}

/// The map that the arguments ask for.
pub fn map(args: &MapArgs) -> Result<String> {
    let image = args.folder.join("img").join(format!("{}.raw", args.image));
    let delta = args.folder.join("delta").join(format!("{}.day2", args.image));
    let size = image.metadata().with_context(|| format!("cannot read {}", image.display()))?.len();
    let changes = || changed(&delta).with_context(|| format!("cannot read {}", delta.display()));
    Ok(match &args.form {
        Form { sonae: Some(parent), .. } => for_sonae(parent, size, &changes()?),
        Form { borg_changes: Some(grain), .. } => for_borg(size, &blocks(&changes()?, *grain, size), "same"),
        Form { borg_data, .. } => {
            let data = File::open(&image).and_then(|file| sparse::data_ranges(&file));
            let data = data.with_context(|| format!("cannot read {}", image.display()))?;
            for_borg(size, &blocks(&data, borg_data.unwrap_or(PAGE_BYTES), size), "zero")
        }
    })
}

fn changed(delta: &Path) -> io::Result<Vec<Range<u64>>> {
    Ok(delta::pages(delta)?.keys().map(|at| *at..at + PAGE_BYTES).collect())
}

/// The blocks of this length that the ranges touch, joined.
fn blocks(ranges: &[Range<u64>], grain: u64, size: u64) -> Vec<Range<u64>> {
    let mut blocks = Vec::<Range<u64>>::new();
    for range in ranges {
        let block = range.start / grain * grain..range.end.next_multiple_of(grain).min(size);
        match blocks.last_mut().filter(|last| block.start <= last.end) {
            Some(last) => last.end = last.end.max(block.end),
            None => blocks.push(block),
        }
    }
    blocks
}

fn for_sonae(parent: &str, size: u64, ranges: &[Range<u64>]) -> String {
    let ranges = blocks(ranges, PAGE_BYTES, size);
    let ranges = ranges.iter().map(|range| (range.start, range.end - range.start)).collect::<Vec<_>>();
    serde_json::json!({ "parent": parent, "size_bytes": size, "ranges": ranges }).to_string()
}

/// Lines of start, length and state, over the whole image.
fn for_borg(size: u64, data: &[Range<u64>], rest: &str) -> String {
    let mut text = String::new();
    let mut line = |range: Range<u64>, state: &str| {
        if !range.is_empty() {
            writeln!(text, "{} {} {state}", range.start, range.end - range.start).expect("memory takes it");
        }
    };
    let mut at = 0;
    for range in data {
        line(at..range.start, rest);
        line(range.clone(), "data");
        at = range.end;
    }
    line(at..size, rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGES: [Range<u64>; 3] = [4096..8192, 8192..12_288, 200_704..204_800];

    #[test]
    fn neighbours_are_joined_and_the_parent_is_named() {
        let map = for_sonae("ab", 300_000, &RANGES);
        assert_eq!(map, r#"{"parent":"ab","ranges":[[4096,8192],[200704,4096]],"size_bytes":300000}"#);
    }

    #[test]
    fn borg_is_told_of_every_byte() {
        let map = for_borg(300_000, &blocks(&RANGES, 65_536, 300_000), "same");
        assert_eq!(map, "0 65536 data\n65536 131072 same\n196608 65536 data\n262144 37856 same\n");
    }
}
