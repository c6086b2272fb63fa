//! `cargo xtask bench`: measures the engine beside its peers. It runs programs that were built; no figure is made here
//! that a clock did not give.

mod chunking;
mod commands;
mod copies;
mod corpus;
mod days;
mod engine;
mod figures;
mod goals;
mod machine;
mod peers;
mod runs;
mod stats;
mod table;

use std::process::ExitCode;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// First full, restore, verify, the mostly empty disk: ours beside restic, rustic and borg 2.
    Engine(engine::Options),
    /// How many chunks and bytes each way of cutting leaves, on the first day and the next.
    Chunking(chunking::Options),
    /// A copy of a repository and the proof that it is equal, beside `cp` and `restic copy`.
    Copies(copies::Options),
    /// What an increment reads for runs of changes of four lengths.
    Runs(chunking::Options),
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    match &options.what {
        What::Engine(options) => engine::run(options),
        What::Chunking(options) => chunking::run(options),
        What::Copies(options) => copies::run(options),
        What::Runs(options) => runs::run(options),
    }
}
