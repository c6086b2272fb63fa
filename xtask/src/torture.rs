//! `cargo xtask torture`: kills the program in the middle of its work, as often as is asked.

use std::process::ExitCode;

use crate::{host, programs};

/// How long to go on.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Kills of a backup.
    #[arg(long, default_value_t = 200)]
    rounds: u32,
    /// Decides what is aimed at and the bytes of the disks.
    #[arg(long, default_value_t = 4)]
    seed: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    programs::build(&programs::target_folder()?, &["sonae", "sonae-rig"])?;
    let (rounds, seed) = (options.rounds.to_string(), options.seed.to_string());
    let rig = ["run", "--quiet", "--release", "-p", "sonae-rig", "--"];
    let arguments = [&rig[..], &["torture", "--rounds", &rounds, "--seed", &seed]].concat();
    let ran = host::cargo_shown(&arguments, |_line| true)?;
    Ok(if ran.good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
