//! `bench runs`: what an increment reads for runs of changes of four lengths, counted by the rig.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::chunking::Options;
use super::corpus;
use super::machine::{quoted, shown};
use crate::programs;

/// Counts and prints.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let target = programs::target_folder()?;
    let rig = programs::build(&target, &["sonae-rig"])?.join("sonae-rig");
    let corpus = corpus::find_or_make(options.size, options.corpus.as_deref(), &target.join("corpus"), &rig)?;
    let image = corpus.images.first().context("the corpus has no image")?;
    shown(&format!("{} runs {}", quoted(&rig), quoted(image))).context("cannot count what is read")?;
    Ok(ExitCode::SUCCESS)
}
