//! `sonae repo`

use std::time::Duration;

use sonae_agent::maintain::RepairMode;
use sonae_agent::repository::{InitReport, info, init};
use sonae_agent::verify::{Verdict, check};
use sonae_agent::{Failure, system_environment};
use sonae_repo::check::Depth;
use sonae_repo::lock::Unlock;
use sonae_text::{keys, number};
use sonae_types::Message;

use super::verify::{exit_of, print_findings};
use super::{Context, copy, maintain};
use crate::args::RepoCommand;
use crate::exit::Exit;
use crate::output::Output;
use crate::progress::{Phase, shown};

pub(super) fn run(context: &Context<'_>, command: &RepoCommand) -> Result<Exit, Failure> {
    match command {
        RepoCommand::Init { chunker_from: None, .. } => create(context),
        RepoCommand::Init { chunker_from: Some(from), from_password_file } => {
            copy::create_alike(context, from, from_password_file.as_deref())
        }
        RepoCommand::Info => describe(context),
        RepoCommand::Check { read_data: false } => check_all(context, Depth::Structure),
        RepoCommand::Check { read_data: true } => check_all(context, Depth::Data),
        RepoCommand::KeylessCheck => maintain::keyless(context),
        RepoCommand::RepairIndex { dry_run: true } => maintain::repair(context, RepairMode::DryRun),
        RepoCommand::RepairIndex { dry_run: false } => maintain::repair(context, RepairMode::Done),
        RepoCommand::Heal { from, from_password_file, read_data, dry_run } => {
            let depth = if *read_data { Depth::Data } else { Depth::Structure };
            let mode = if *dry_run { RepairMode::DryRun } else { RepairMode::Done };
            copy::heal_from(context, from, from_password_file.as_deref(), depth, mode)
        }
        RepoCommand::Unlock { remove_all: true } => maintain::unlock(context, Unlock::All),
        RepoCommand::Unlock { remove_all: false } => maintain::unlock(context, Unlock::Worthless),
    }
}

fn create(context: &Context<'_>) -> Result<Exit, Failure> {
    // The password first: a wrong file must not leave an empty repository behind.
    let (address, password) = (context.address()?, context.password()?);
    let report = init(&address, &context.access, system_environment(), &password)?;
    Ok(created(context.output, &report))
}

/// Says that a repository was made.
pub(super) fn created(output: &Output, report: &InitReport) -> Exit {
    output.say(&Message::new(keys::REPO_INIT_DONE).with("location", &report.location).with("id", report.id));
    output.say(&Message::new(keys::REPO_INIT_PASSWORD_ADVICE));
    output.document(report);
    Exit::Done
}

fn describe(context: &Context<'_>) -> Result<Exit, Failure> {
    let report = info(&context.open()?)?;
    context.output.labels(&[
        (keys::HEADING_REPOSITORY_LOCATION, report.location.clone()),
        (keys::HEADING_REPOSITORY_ID, report.id.to_string()),
        (keys::HEADING_REPOSITORY_FORMAT, report.version.to_string()),
        (keys::HEADING_REPOSITORY_KEYS, report.keys.to_string()),
        (keys::HEADING_REPOSITORY_POINTS, number::grouped(report.points as u64)),
        (keys::HEADING_REPOSITORY_PACKS, number::grouped(report.packs as u64)),
        (keys::HEADING_REPOSITORY_CHUNKS, number::grouped(report.chunks as u64)),
        (keys::HEADING_REPOSITORY_STORED, number::bytes(report.stored_bytes)),
        (keys::HEADING_REPOSITORY_CONTENT, number::bytes(report.plain_bytes)),
    ]);
    context.output.document(&report);
    Ok(Exit::Done)
}

fn check_all(context: &Context<'_>, depth: Depth) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let clock = &*repository.environment().clock;
    let report = shown(context.output, context.show(), clock, Phase::Checking, |progress| {
        check(&repository, depth, context.stop, progress)
    })?;
    let output = context.output;
    print_findings(output, &report.findings);
    let message = match (report.verdict, depth) {
        (Verdict::Good, Depth::Structure) => Message::new(keys::REPO_CHECK_STRUCTURE_GOOD)
            .with("points", report.points)
            .with("packs", report.packs),
        (Verdict::Good, Depth::Data) => {
            let duration = number::duration(Duration::from_millis(report.duration_ms), output.language);
            Message::new(keys::REPO_CHECK_DATA_GOOD)
                .with("points", report.points)
                .with("size", number::bytes(report.read_bytes))
                .with("duration", duration)
        }
        (Verdict::Damaged | Verdict::NotProven, _) => {
            Message::new(keys::REPO_CHECK_DAMAGED).with("count", report.findings.len())
        }
    };
    output.say(&message);
    if report.verdict == Verdict::Damaged {
        output.remedy(&Message::new(keys::REMEDY_DAMAGE_REPOSITORY));
    }
    // Where something is damaged, nobody can say that a pack is not in use.
    if report.verdict == Verdict::Good && 0 < report.unreferenced_packs {
        let size = number::bytes(report.unreferenced_bytes);
        output.say(
            &Message::new(keys::REPO_CHECK_UNREFERENCED)
                .with("packs", report.unreferenced_packs)
                .with("size", size),
        );
    }
    output.document(&report);
    Ok(exit_of(report.verdict))
}
