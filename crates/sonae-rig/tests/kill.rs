//! The program killed in every phase of its work: a short torture, `cargo xtask torture` is the long one (requirements
//! 001-20, 002-18).

use std::path::PathBuf;

use anyhow::Context as _;
use sonae_rig::stand::claim;
use sonae_rig::torture::{TortureArgs, torture};

#[test]
fn a_killed_run_harms_nothing_whatever_it_was_doing() {
    claim(|| {
        let test = std::env::current_exe()?;
        let program = match std::env::var_os("SONAE_BIN") {
            Some(named) => PathBuf::from(named),
            None => {
                test.ancestors().nth(2).context("a test lies in a folder of the target folder")?.join("sonae")
            }
        };
        let tally = torture(&TortureArgs { rounds: 12, seed: 1 }, &program, |line| println!("{line}"))?;
        tally.ensure_met_its_danger()
    });
}
