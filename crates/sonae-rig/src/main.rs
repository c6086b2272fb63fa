//! The command line of the rig: arguments and exit codes, nothing else.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use sonae_rig::chunking::{self, ChunkingArgs};
use sonae_rig::corpus::{self, CorpusArgs, DayArgs, MapArgs};
use sonae_rig::demo::report::{Overall, Text};
use sonae_rig::demo::say::Say;
use sonae_rig::demo::{self, Audience};
use sonae_rig::distance::{self, DistanceArgs};
use sonae_rig::golden::{self, GoldenCommand};
use sonae_rig::guest::{self, Tools};
use sonae_rig::host::{self, Interrupted};
use sonae_rig::primitives::{self, PrimitivesArgs};
use sonae_rig::runs::{self, RunsArgs};
use sonae_rig::sonae;
use sonae_rig::torture::{TortureArgs, torture};

/// Exit codes, as of every program of Sonae: not everything held, and ended by a signal.
const NOT_PROVEN: u8 = 1;
const INTERRUPTED: u8 = 130;

/// Guests, corpora and the demo of Sonae.
#[derive(Debug, Parser)]
#[command(name = "sonae-rig", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The tiny real guest.
    #[command(subcommand)]
    Guest(GuestCommand),
    /// Back up a real server, destroy it, restore it, boot it, compare its register row by row.
    Demo(DemoArgs),
    #[command(subcommand)]
    Golden(GoldenCommand),
    Corpus(CorpusArgs),
    CorpusDay(DayArgs),
    CorpusMap(MapArgs),
    Primitives(PrimitivesArgs),
    Chunking(ChunkingArgs),
    Runs(RunsArgs),
    Torture(TortureArgs),
    Distance(DistanceArgs),
}

#[derive(Debug, Subcommand)]
enum GuestCommand {
    /// Build the guest's kernel and disks from Debian's parts.
    Build(BuildArgs),
}

#[derive(Debug, Args)]
struct BuildArgs {
    /// Folder for the images.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Name of the guest.
    #[arg(long, default_value = "jumin-ap01")]
    name: String,
    #[command(flatten)]
    tools: ToolsArgs,
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// For machines: clean up, and end with 0 only if every step held and none was skipped.
    #[arg(long)]
    batch: bool,
    /// Folder to work in; one that the demo did not make itself must be empty [default: .sonae-demo, or a temporary
    /// folder with --batch].
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    #[command(flatten)]
    tools: ToolsArgs,
}

#[derive(Debug, Args)]
struct ToolsArgs {
    /// Folder in which tools/install-deps has put the guest's kernel.
    #[arg(long, env = "SONAE_TOOLS", value_name = "DIR", default_value = "target/tools")]
    tools: PathBuf,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => ExitCode::from(INTERRUPTED),
        Err(error) => {
            report(&error);
            ExitCode::from(NOT_PROVEN)
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    host::catch_interrupts()?;
    match command {
        Command::Guest(GuestCommand::Build(args)) => build(args)?,
        Command::Demo(args) => return play(args),
        Command::Golden(command) => golden::run(&command, sonae::beside(&std::env::current_exe()?)?)?,
        Command::Corpus(args) => corpus::run(&args)?,
        Command::CorpusDay(args) => corpus::day(&args)?,
        Command::CorpusMap(args) => Say::to(&mut std::io::stdout()).line(corpus::map(&args)?.trim_end())?,
        Command::Primitives(args) => primitives::run(&args)?,
        Command::Chunking(args) => chunking::run(&args)?,
        Command::Runs(args) => runs::run(&args)?,
        Command::Torture(args) => torment(&args)?,
        Command::Distance(args) => distance::run(&args, &sonae::beside(&std::env::current_exe()?)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn build(args: BuildArgs) -> Result<()> {
    std::fs::create_dir_all(&args.out)?;
    let images =
        guest::build(&Tools::at(args.tools.tools), &args.name, &args.out, &args.out.join("build.log"))?;
    let mut out = std::io::stdout();
    let mut say = Say::to(&mut out);
    say.text(Text { ja: "ゲストを組み立てました。", en: "The guest is built." })?;
    for file in [&images.kernel, &images.initrd, &images.system, &images.data] {
        say.line(&format!("    {}", file.display()))?;
    }
    Ok(())
}

fn torment(args: &TortureArgs) -> Result<()> {
    let program = sonae::beside(&std::env::current_exe()?)?;
    let mut out = std::io::stdout();
    let mut say = Say::to(&mut out);
    let tally = torture(args, &program, |line| {
        // Progress that cannot be shown is no failure of what is tortured.
        say.line(line).ok();
    })?;
    tally.ensure_met_its_danger()
}

fn play(args: DemoArgs) -> Result<ExitCode> {
    let audience = if args.batch { Audience::Machine } else { Audience::Person };
    let mut out = std::io::stdout();
    let overall = demo::run(audience, args.work, Tools::at(args.tools.tools), &mut Say::to(&mut out))?;
    Ok(match overall {
        Overall::AllHeld => ExitCode::SUCCESS,
        Overall::NotProven => ExitCode::from(NOT_PROVEN),
    })
}

#[expect(clippy::print_stderr, reason = "the one place where an error reaches the person")]
fn report(error: &anyhow::Error) {
    eprintln!("sonae-rig: {error:#}");
}
