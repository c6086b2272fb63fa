//! `cargo xtask`: checks and measures this tree. It runs what was built and never ships.

use std::process::ExitCode;

use clap::Parser;

mod bench;
mod ci;
mod host;
mod programs;
mod tidy;
mod torture;

/// Checks and measures this tree.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Runs everything that must hold, in order, and says how long each part took.
    Ci,
    /// Checks the rules of the tree that no compiler knows.
    Tidy,
    /// Measures the engine beside its peers.
    Bench(bench::Options),
    /// Kills backups, restores and repairs in the middle of their work, and judges what they leave.
    Torture(torture::Options),
}

fn main() -> anyhow::Result<ExitCode> {
    match Task::parse() {
        Task::Ci => ci::run(),
        Task::Tidy => tidy::run(),
        Task::Bench(options) => bench::run(&options),
        Task::Torture(options) => torture::run(&options),
    }
}
