//! `bench chunking`: the table of what each way of cutting leaves, counted by the rig.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::corpus::{self, Size};
use super::machine::{quoted, shown};
use crate::programs;

/// Of which images.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(long, value_enum, default_value = "small")]
    pub(super) size: Size,
    /// A folder with img/vm*.raw, in place of target/corpus/SIZE
    #[arg(long, env = "SONAE_CORPUS")]
    pub(super) corpus: Option<PathBuf>,
}

/// Counts and prints.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let target = programs::target_folder()?;
    let rig = programs::build(&target, &["sonae-rig"])?.join("sonae-rig");
    let corpus = corpus::find_or_make(options.size, options.corpus.as_deref(), &target.join("corpus"), &rig)?;
    let images: String = corpus.images.iter().map(|image| format!(" {}", quoted(image))).collect();
    shown(&format!("{} chunking{images}", quoted(&rig))).context("cannot count the chunks")?;
    Ok(ExitCode::SUCCESS)
}
