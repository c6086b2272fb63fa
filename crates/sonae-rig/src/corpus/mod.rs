//! The corpus: server disks made of real Debian files and invented data, the same bytes for the same seed and packages.
//!
//! Image files only: nothing is mounted, nothing is booted, no figure is taken here.

mod content;
mod debian;
mod delta;
mod digest;
mod gpt;
mod huge;
mod image;
mod make;
mod manifest;
mod map;
mod profile;
pub(crate) mod random;
mod register;
mod sparse;
mod tree;

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::host::Stopwatch;
pub(crate) use delta::{Pages, pages as day_pages};
pub use map::{MapArgs, map};
use profile::Size;
pub(crate) use sparse::data_ranges;

/// The day of the outage that this project answers; the seed of everything invented.
const SEED: u64 = 20_191_204;

/// Makes a corpus of disk images.
#[derive(Debug, clap::Args)]
pub struct CorpusArgs {
    /// small: less than 1 GiB, a minute; std: the measured one; full: eight machines; huge: only the 1 TiB disk
    size: Size,
    /// An empty folder, or one of an earlier corpus
    folder: PathBuf,
}

/// Puts every image of a corpus into the state of a day.
#[derive(Debug, clap::Args)]
pub struct DayArgs {
    /// The folder of a corpus
    folder: PathBuf,
    /// 1: as made; 2: the next evening
    #[arg(value_parser = clap::value_parser!(u8).range(1..=2))]
    day: u8,
}

/// Makes the corpus that the arguments ask for.
pub fn run(args: &CorpusArgs) -> Result<()> {
    let watch = Stopwatch::start();
    std::fs::create_dir_all(&args.folder)
        .and_then(|()| args.folder.canonicalize())
        .with_context(|| format!("cannot use the folder {}", args.folder.display()))
        .and_then(|folder| match args.size.profile() {
            Some(profile) => make::corpus(args.size, &profile, &folder, watch),
            None => make::huge(&folder, watch),
        })
}

/// Moves a corpus to a day; the images must be in the other day's state or already in this one.
pub fn day(args: &DayArgs) -> Result<()> {
    let folder = args.folder.join("delta");
    let suffix = format!("day{}", args.day);
    for entry in
        std::fs::read_dir(&folder).with_context(|| format!("no corpus in {}", args.folder.display()))?
    {
        let delta = entry?.path();
        if delta.extension().is_some_and(|found| found == suffix.as_str()) {
            let name = delta.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let image = args.folder.join("img").join(format!("{name}.raw"));
            delta::apply(&delta, &image).with_context(|| format!("cannot change {}", image.display()))?;
        }
    }
    Ok(())
}
