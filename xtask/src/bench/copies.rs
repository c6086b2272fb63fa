//! `bench copies`: a copy of a repository and the proof that it is equal, beside a copy of its files and `restic copy`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use super::commands;
use super::corpus::{self, Size};
use super::figures::Presence;
use super::machine::{self, Cache, Machine, quoted};
use super::peers::{self, Peer};
use crate::host;
use crate::programs;

/// What to copy, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(long, value_enum, default_value = "small")]
    size: Size,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// A folder with img/vm*.raw, in place of target/corpus/SIZE
    #[arg(long, env = "SONAE_CORPUS")]
    corpus: Option<PathBuf>,
    /// Where tools/install-peers put the peers (default: target/peers)
    #[arg(long, env = "SONAE_PEERS")]
    peers_folder: Option<PathBuf>,
    /// Where the repositories go (default: target/bench)
    #[arg(long, env = "SONAE_BENCH_WORK")]
    work: Option<PathBuf>,
}

/// A command under the clock: its name, what it does, and how many times it reads or writes the repository.
struct Race {
    name: &'static str,
    command: String,
    target: Option<PathBuf>,
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let target = programs::target_folder()?;
    let binaries = programs::build(&target, &["sonae-rig", "sonae"])?;
    let corpora = target.join("corpus");
    let rig = binaries.join("sonae-rig");
    let corpus = corpus::find_or_make(options.size, options.corpus.as_deref(), &corpora, &rig)?;
    let work = options.work.clone().unwrap_or_else(|| target.join("bench"));
    std::fs::create_dir_all(&work).with_context(|| format!("cannot use the folder {}", work.display()))?;
    let work = work.canonicalize().with_context(|| format!("cannot use the folder {}", work.display()))?;
    let password = work.join("password");
    std::fs::write(&password, commands::PASSWORD).context("cannot write the password file")?;
    let machine = Machine::new(&work, Cache::Warm, commands::environment(&work))?;
    let pass = machine.fresh("pass")?;
    machine.fresh("state/home")?;
    let repo = pass.join("repo");
    let sonae = format!("{} --password-file {}", quoted(&binaries.join("sonae")), quoted(&password));
    let disks: String =
        (1..).zip(&corpus.images).map(|(n, image)| format!(" --disk d{n}={}", quoted(image))).collect();
    let (from, well) = (format!("--repo {}", quoted(&repo)), |bad: machine::Bad| anyhow::anyhow!("{bad}"));
    machine
        .run(&format!("{sonae} {from} repo init && {sonae} {from} backup --vm bench{disks} --quiet"))
        .map_err(well)?;
    let (_, bytes) = machine::size(&repo)?;
    let folders =
        [options.peers_folder.clone().unwrap_or_else(|| target.join("peers")), target.join("tools")];
    let restic = peers::find(&[Peer::Restic], &folders)
        .pop()
        .filter(|column| matches!(column.presence, Presence::Here { .. }));
    let races = races(&sonae, &from, &pass, restic.as_ref().map(|column| column.program.as_str()));
    host::say(&format!(
        "a repository of {:.3} GB, warm cache; median of {} rounds",
        bytes as f64 / 1e9,
        options.rounds
    ));
    let mut walls = vec![Vec::new(); races.len()];
    for _ in 0..options.rounds {
        for (race, walls) in races.iter().zip(&mut walls) {
            if let Some(target) = race.target.as_ref().filter(|target| target.exists()) {
                std::fs::remove_dir_all(target)
                    .with_context(|| format!("cannot empty {}", target.display()))?;
            }
            let sample = machine
                .measure(&race.command, std::slice::from_ref(&repo))
                .map_err(|bad| anyhow::anyhow!("{}: {bad}", race.name))?;
            walls.push(sample.wall_s);
        }
    }
    host::say("| what | wall s | MB/s of the repository |\n|---|---|---|");
    for (race, mut walls) in races.iter().zip(walls) {
        walls.sort_by(f64::total_cmp);
        let median = walls[walls.len() / 2];
        ensure!(0.0 < median, "a clock that stands still measures nothing");
        host::say(&format!("| {} | {median:.2} | {:.0} |", race.name, bytes as f64 / 1e6 / median));
    }
    if restic.is_none() {
        host::say("not measured: restic copy (run tools/install-peers)");
    }
    machine.fresh("pass")?;
    Ok(ExitCode::SUCCESS)
}

fn races(sonae: &str, from: &str, pass: &std::path::Path, restic: Option<&str>) -> Vec<Race> {
    let at = |name: &str| pass.join(name);
    let (files, replica, other, theirs) = (at("files"), at("replica"), at("other"), at("theirs"));
    let sync = format!("sync -f {}", quoted(pass));
    let own = format!("--repo {}", quoted(&other));
    let repo = quoted(&at("repo"));
    let mut races = vec![
        Race {
            name: "cp -r",
            command: format!("cp -r {repo} {} && {sync}", quoted(&files)),
            target: Some(files),
        },
        Race {
            name: "sonae copy, the same key",
            command: format!("{sonae} {from} copy --to {} && {sync}", quoted(&replica)),
            target: Some(replica.clone()),
        },
        Race {
            name: "sonae copy, nothing to send",
            command: format!("{sonae} {from} copy --to {}", quoted(&replica)),
            target: None,
        },
        Race {
            name: "sonae replica prove, 1 %",
            command: format!("{sonae} replica prove {repo} {}", quoted(&replica)),
            target: None,
        },
        Race {
            name: "sonae replica prove, 100 % (reads both)",
            command: format!("{sonae} replica prove {repo} {} --sample 100", quoted(&replica)),
            target: None,
        },
        Race {
            name: "sonae copy, another key",
            command: format!(
                "{sonae} {own} repo init --chunker-from {repo} && {sonae} {from} copy --to {} && {sync}",
                quoted(&other)
            ),
            target: Some(other),
        },
    ];
    if let Some(restic) = restic {
        let to = quoted(&theirs);
        races.push(Race {
            name: "restic copy",
            command: format!(
                "RESTIC_FROM_PASSWORD={0} {restic} -r {to} -q init --from-repo {repo} --copy-chunker-params && \
                 RESTIC_FROM_PASSWORD={0} {restic} -r {to} -q copy --from-repo {repo} && {sync}",
                commands::PASSWORD
            ),
            target: Some(theirs),
        });
    }
    races
}
