//! `bench engine`: rounds in which everybody does the same work, one after another.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::commands::{self, Commands, Places};
use super::corpus::{self, Corpus, Size};
use super::figures::{Contender, Failure, Figures, Presence, Sample, Setting, Step};
use super::goals::{self, Huge, State};
use super::machine::{self, Cache, Machine, quoted};
use super::peers::{self, Column, Peer};
use super::table;
use crate::host;
use crate::programs;

/// How often `--help` is started; the median counts.
const HELP_RUNS: usize = 21;

/// What to measure, and against whom.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Options {
    #[arg(long, value_enum, default_value = "small")]
    size: Size,
    /// Rounds of everybody
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[arg(long, value_enum, value_delimiter = ',', default_value = "restic,rustic,borg2")]
    peers: Vec<Peer>,
    /// Ends with an error if one of the peers is not here
    #[arg(long)]
    require_peers: bool,
    /// Measures only these (default: everybody)
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// Lets the peers take the mostly empty disk too, which some need a minute for
    #[arg(long)]
    sparse_peers: bool,
    /// Backs up the 1 TiB disk too (writes 20 GiB once)
    #[arg(long)]
    huge: bool,
    /// Ends with an error if a goal is not held
    #[arg(long)]
    strict: bool,
    #[arg(long, value_enum, default_value = "warm")]
    cache: Cache,
    /// Writes every measurement to a file
    #[arg(long)]
    json: Option<PathBuf>,
    /// A folder with img/vm*.raw, in place of target/corpus/SIZE
    #[arg(long, env = "SONAE_CORPUS")]
    corpus: Option<PathBuf>,
    /// Where tools/install-peers put the peers (default: target/peers)
    #[arg(long, env = "SONAE_PEERS")]
    peers_folder: Option<PathBuf>,
    /// Where repositories and restored images go, on one file system (default: target/bench)
    #[arg(long, env = "SONAE_BENCH_WORK")]
    work: Option<PathBuf>,
}

/// Some columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Group {
    Ours,
    Peers,
    Limits,
}

/// What a bench run works with.
pub(super) struct Bench<'a> {
    pub(super) options: &'a Options,
    pub(super) rig: PathBuf,
    pub(super) corpus: Corpus,
    pub(super) columns: Vec<Column>,
    pub(super) machine: Machine,
    /// Counts chunks in everything that has restic's format.
    pub(super) restic: Option<String>,
    pub(super) password: PathBuf,
    pub(super) figures: Figures,
}

/// Measures, prints, judges.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let target = programs::target_folder()?;
    let packages: &[&str] =
        if wants(options, Group::Ours) { &["sonae-rig", "sonae"] } else { &["sonae-rig"] };
    let binaries = programs::build(&target, packages)?;
    let rig = binaries.join("sonae-rig");
    let corpora = target.join("corpus");
    let corpus = corpus::find_or_make(options.size, options.corpus.as_deref(), &corpora, &rig)?;
    let columns = columns(options, &target, &binaries);
    let work = options.work.clone().unwrap_or_else(|| target.join("bench"));
    std::fs::create_dir_all(&work).with_context(|| format!("cannot use the folder {}", work.display()))?;
    let work = work.canonicalize().with_context(|| format!("cannot use the folder {}", work.display()))?;
    let password = work.join("password");
    std::fs::write(&password, commands::PASSWORD).context("cannot write the password file")?;
    let mut bench = Bench {
        figures: Figures { setting: setting(options, &corpus)?, ..Figures::default() },
        restic: peers::find(&[Peer::Restic], &folders(options, &target))
            .pop()
            .filter(|column| matches!(column.presence, Presence::Here { .. }))
            .map(|column| column.program),
        machine: Machine::new(&work, options.cache, commands::environment(&work))?,
        options,
        rig,
        corpus,
        columns,
        password,
    };
    bench.figures.columns =
        bench.columns.iter().map(|column| (column.contender, column.presence.clone())).collect();
    // A run that was ended early may have left the second day.
    bench.day(1)?;
    for round in 1..=options.rounds {
        bench.round(round)?;
    }
    bench.once(&binaries, &corpora)?;
    bench.machine.fresh("pass")?;
    bench.machine.fresh("state")?;
    conclude(options, &bench.figures)
}

/// Prints the report and turns it into an exit code.
fn conclude(options: &Options, figures: &Figures) -> Result<ExitCode> {
    let huge = if options.huge { Huge::Asked } else { Huge::NotAsked };
    let verdicts = if wants(options, Group::Ours) { goals::judge(figures, huge) } else { Vec::new() };
    host::say("");
    host::say(&table::report(figures, &verdicts));
    if options.size == Size::Small && options.corpus.is_none() {
        host::say("The goals are set for --size std; on the small corpus they are for orientation.");
    }
    write_json(options, figures)?;
    let absent = figures.columns.iter().any(|(_, presence)| matches!(presence, Presence::NotHere { .. }));
    let lost = options.strict && verdicts.iter().any(|verdict| verdict.state != State::Held);
    let red = lost || (options.require_peers && absent) || !figures.failures.is_empty();
    Ok(if red { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Keeps the figures so far, so that a run that is ended early was not for nothing.
fn write_json(options: &Options, figures: &Figures) -> Result<()> {
    let Some(path) = &options.json else { return Ok(()) };
    let text = serde_json::to_string_pretty(&figures.to_json())? + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

impl Bench<'_> {
    fn round(&mut self, round: u32) -> Result<()> {
        for column in self.columns.clone() {
            if let Presence::Here { .. } = column.presence {
                self.figures.setting.loads.extend(machine::load());
                let title = format!("round {round}/{}  {:<18}", self.options.rounds, column.contender.name());
                self.pass(&column, &title, round)?;
                write_json(self.options, &self.figures)?;
            }
        }
        Ok(())
    }

    /// One contender's turn in a round: a fresh repository, every step once.
    fn pass(&mut self, column: &Column, title: &str, round: u32) -> Result<()> {
        let of = column.contender;
        let places = self.places(self.corpus.images.clone())?;
        let commands = commands::of(of, &column.program, &places);
        self.maps_before(of, &places)?;
        if !self.full(of, &commands, &places, Step::Full, title) {
            return Ok(());
        }
        self.count(of, &places, Step::Full, round)?;
        let repo = [places.repo.clone()];
        self.step(of, Step::Open, commands.open.as_deref(), &repo, title);
        self.restore(of, &commands, &places, title)?;
        self.step(of, Step::Verify, commands.verify.as_deref(), &repo, title);
        self.step(of, Step::VerifyPoints, commands.verify_points.as_deref(), &repo, title);
        self.second_day(of, column, &commands, &places, title, round)?;
        match &self.corpus.sparse {
            Some(sparse) if !of.is_peer() || self.options.sparse_peers => {
                let places = self.places(vec![sparse.clone()])?;
                let commands = commands::of(of, &column.program, &places);
                self.full(of, &commands, &places, Step::Sparse, title);
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Empty folders for one repository.
    fn places(&self, images: Vec<PathBuf>) -> Result<Places> {
        let pass = self.machine.fresh("pass")?;
        self.machine.fresh("state/home")?;
        let out = self.machine.fresh("pass/out")?;
        let maps = self.machine.fresh("pass/maps")?;
        Ok(Places { repo: pass.join("repo"), out, password: self.password.clone(), images, maps })
    }

    /// Makes a repository and measures the first full into it.
    fn full(&mut self, of: Contender, commands: &Commands, places: &Places, step: Step, title: &str) -> bool {
        if let Err(bad) = self.machine.run(&commands.init) {
            self.fail(of, step, format!("no repository: {bad}"));
            return false;
        }
        self.step(of, step, Some(&commands.full), &places.images, title)
    }

    /// Measures a restore, and compares what arrived.
    fn restore(&mut self, of: Contender, commands: &Commands, places: &Places, title: &str) -> Result<()> {
        let Some(restore) = &commands.restore else { return Ok(()) };
        let repo = [places.repo.clone()];
        if self.step(of, Step::Restore, Some(&restore.command), &repo, title)
            && !machine::same(&restore.arrives, &places.images[0])?
        {
            self.fail(of, Step::Restore, "the restored image differs".to_owned());
        }
        self.machine.fresh("pass/out").map(drop)
    }

    /// Measures one command; whether it ended well.
    pub(super) fn step(
        &mut self,
        of: Contender,
        step: Step,
        command: Option<&str>,
        reads: &[PathBuf],
        title: &str,
    ) -> bool {
        let Some(command) = command else { return true };
        match self.machine.measure(command, reads) {
            Ok(sample) => {
                host::say(&format!(
                    "{title}  {:<13} {:8.2} s  {:8.2} CPU s  {:6.0} MiB",
                    step.name(),
                    sample.wall_s,
                    sample.cpu_s,
                    sample.peak_mib
                ));
                self.figures.samples.entry((of, step)).or_default().push(sample);
                true
            }
            Err(bad) => {
                self.fail(of, step, bad.to_string());
                false
            }
        }
    }

    pub(super) fn fail(&mut self, of: Contender, step: Step, what: String) {
        host::say(&format!("failed: {} {}: {what}", of.name(), step.name()));
        self.figures.failures.push(Failure { of, step, what });
    }

    /// Chunks in a repository, as plain restic counts them.
    pub(super) fn chunks(&self, of: Contender, repo: &Path) -> Option<u64> {
        match of {
            Contender::Ours | Contender::Restic | Contender::Rustic | Contender::RusticFixed => {}
            Contender::Borg2 | Contender::Borg2Map | Contender::Copy | Contender::Primitives => return None,
        }
        let restic = self.restic.as_ref()?;
        let command =
            format!("{restic} -r {} --no-cache --no-lock -q stats --mode raw-data --json", quoted(repo));
        let password = [("RESTIC_PASSWORD".to_owned(), commands::PASSWORD.to_owned())];
        let text = machine::said(&command, &password)?;
        serde_json::from_str::<serde_json::Value>(&text).ok()?.get("total_blob_count")?.as_u64()
    }

    /// What is measured of ours only, and not in rounds.
    fn once(&mut self, binaries: &Path, corpora: &Path) -> Result<()> {
        let Some(column) = self.columns.iter().find(|column| column.contender == Contender::Ours).cloned()
        else {
            return Ok(());
        };
        let Presence::Here { .. } = column.presence else { return Ok(()) };
        for _ in 0..HELP_RUNS {
            let wall_s = machine::seconds_of(&binaries.join("sonae"), "--help")?;
            let sample = Sample { wall_s, cpu_s: 0.0, peak_mib: 0.0 };
            self.figures.samples.entry((Contender::Ours, Step::Help)).or_default().push(sample);
        }
        if self.options.huge {
            let image = corpus::huge(corpora, &binaries.join("sonae-rig"))?;
            let places = self.places(vec![image])?;
            let commands = commands::of(Contender::Ours, &column.program, &places);
            self.full(Contender::Ours, &commands, &places, Step::Huge, "once");
        }
        Ok(())
    }
}

/// The columns of this run, in the order of the table.
fn columns(options: &Options, target: &Path, binaries: &Path) -> Vec<Column> {
    let own = |contender, program: PathBuf| {
        let program = quoted(&program);
        let version = machine::said(&format!("{program} --version"), &[]);
        let presence = match version {
            Some(text) => Presence::Here { version: text.split(' ').nth(1).unwrap_or_default().to_owned() },
            None => Presence::NotHere { reason: "it does not start".to_owned() },
        };
        Column { contender, presence, program }
    };
    let yardstick = |contender, program: String| {
        let presence = Presence::Here { version: String::new() };
        Column { contender, presence, program }
    };
    let mut columns = Vec::new();
    if wants(options, Group::Ours) {
        columns.push(own(Contender::Ours, binaries.join("sonae")));
    }
    if wants(options, Group::Peers) {
        columns.extend(peers::find(&options.peers, &folders(options, target)));
    }
    if wants(options, Group::Limits) {
        columns.push(yardstick(Contender::Copy, String::new()));
        columns.push(yardstick(Contender::Primitives, quoted(&binaries.join("sonae-rig"))));
    }
    columns
}

/// Where peers may lie.
fn folders(options: &Options, target: &Path) -> Vec<PathBuf> {
    let own = options.peers_folder.clone().unwrap_or_else(|| target.join("peers"));
    vec![own, target.join("tools")]
}

fn wants(options: &Options, group: Group) -> bool {
    options.only.is_empty() || options.only.contains(&group)
}

fn setting(options: &Options, corpus: &Corpus) -> Result<Setting> {
    let (logical_bytes, allocated_bytes) = corpus::sizes(&corpus.images)?;
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Setting {
        corpus: corpus.name.clone(),
        images: corpus.images.iter().map(name).collect(),
        logical_bytes,
        allocated_bytes,
        cache: options.cache.name().to_owned(),
        rounds: options.rounds,
        cores: std::thread::available_parallelism().map_or(1, Into::into),
        loads: Vec::new(),
    })
}
