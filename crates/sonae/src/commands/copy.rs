//! `sonae copy`, `sonae replica prove`, `sonae repo heal` and `sonae repo init --chunker-from`

use std::path::Path;
use std::time::Duration;

use sonae_agent::copy::{CopyRequest, CopyRunReport, FilesReport, KeyRelation, TargetKeys, copy};
use sonae_agent::heal::{HealRequest, HealRunReport, heal};
use sonae_agent::maintain::RepairMode;
use sonae_agent::replica::{Likeness, ProveReport, prove as prove_places, sampling};
use sonae_agent::repository::{Address, init_alike, open};
use sonae_agent::verify::Verdict;
use sonae_agent::{Failure, Fault, system_environment};
use sonae_copy::replica::Percent;
use sonae_repo::check::Depth;
use sonae_text::{keys, number};
use sonae_types::{Message, MessageKey};

use super::repo::created;
use super::verify::{exit_of, print_findings};
use super::{Context, optional_vm, read_password};
use crate::args::{CopyArgs, ReplicaCommand};
use crate::exit::Exit;
use crate::output::Output;
use crate::progress::{Phase, shown};

/// Most files that are named to people; programs get them all.
const SHOWN_MAX: usize = 20;
/// How many of a hundred packs are read where nobody says.
const SAMPLE: &str = "1";

pub(super) fn run(context: &Context<'_>, args: &CopyArgs) -> Result<Exit, Failure> {
    let vm = optional_vm(args.vm.as_deref())?;
    let (to, password) = (Address::parse(&args.to)?, context.password()?);
    let own = args.to_password_file.as_deref().map(read_password).transpose()?;
    let source = context.open()?;
    let request = CopyRequest {
        to: &to,
        keys: own.as_ref().map_or(TargetKeys::OfSource(&password), TargetKeys::Own),
        vm: vm.as_ref(),
        depth: if args.read_data { Depth::Data } else { Depth::Structure },
    };
    let clock = &*source.environment().clock;
    let report = shown(context.output, context.show(), clock, Phase::Copying, |progress| {
        copy(&source, &context.access, request, progress)
    })?;
    tell_copy(context.output, &report);
    context.output.document(&report);
    Ok(exit_of(report.verdict))
}

fn tell_copy(output: &Output, report: &CopyRunReport) {
    print_findings(output, &report.refused);
    print_findings(output, &report.unmended);
    let amount = |key: MessageKey, FilesReport { files, bytes }: FilesReport| {
        Message::new(key).with("files", number::grouped(files)).with("size", number::bytes(bytes))
    };
    let duration = number::duration(Duration::from_millis(report.duration_ms), output.language);
    output.say(
        &Message::new(keys::COPY_RUN_POINTS)
            .with("target", &report.target)
            .with("copied", report.points_copied)
            .with("there", report.points_there)
            .with("duration", duration),
    );
    match report.key {
        KeyRelation::Same => output.say(&amount(keys::COPY_RUN_FILES, report.copied)),
        KeyRelation::Other => output.say(
            &Message::new(keys::COPY_RUN_RESEALED)
                .with("chunks", number::grouped(report.resealed_blobs))
                .with("size", number::bytes(report.resealed_bytes)),
        ),
    }
    if 0 < report.replaced.files {
        output.say(&amount(keys::COPY_RUN_REPLACED, report.replaced));
    }
    if 0 < report.repeated_operations {
        output.say(&Message::new(keys::BACKUP_RUN_REPEATED).with("count", report.repeated_operations));
    }
    if !report.refused.is_empty() {
        let withheld = report.points_withheld.len();
        output.say(
            &Message::new(keys::COPY_RUN_REFUSED)
                .with("count", report.refused.len())
                .with("points", withheld),
        );
        output.remedy(&Message::new(keys::REMEDY_COPY_REFUSED));
    }
    if !report.unmended.is_empty() {
        output.say(&Message::new(keys::COPY_RUN_UNMENDED).with("count", report.unmended.len()));
        output.remedy(&Message::new(keys::REMEDY_COPY_UNMENDED));
    }
}

pub(super) fn prove(context: &Context<'_>, command: &ReplicaCommand) -> Result<Exit, Failure> {
    let ReplicaCommand::Prove { first, second, sample, seed } = command;
    let places = [Address::parse(first)?, Address::parse(second)?];
    let text = sample.as_deref().unwrap_or(SAMPLE);
    let share = Percent::parse(text).ok_or_else(|| refused("--sample", text, keys::REMEDY_OPTION_PERCENT))?;
    let seed = seed.as_deref().map(|text| {
        let number = Some(text).filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()));
        let number = number.and_then(|text| text.parse().ok());
        number.ok_or_else(|| refused("--seed", text, keys::REMEDY_OPTION_SEED))
    });
    let environment = system_environment();
    let sampling = sampling(&environment, share, seed.transpose()?);
    let report = shown(context.output, context.show(), &*environment.clock, Phase::Comparing, |progress| {
        prove_places([&places[0], &places[1]], &context.access, &environment, sampling, progress)
    })?;
    tell_proof(context.output, &report);
    context.output.document(&report);
    Ok(match report.verdict {
        Likeness::Equal => Exit::Done,
        Likeness::Differs => Exit::CopyDiffers,
        Likeness::Damaged => Exit::DamageFound,
    })
}

fn refused(option: &'static str, text: &str, remedy: MessageKey) -> Failure {
    let message = Message::new(keys::ERROR_OPTION_VALUE).with("value", text).with("option", option);
    Failure::new(Fault::WrongUse, message).remedy(Message::new(remedy).with("option", option))
}

fn tell_proof(output: &Output, report: &ProveReport) {
    for bad in report.damaged.iter().take(SHOWN_MAX) {
        output.line(&format!("  {}", output.text(&bad.message())));
        output.line(&format!("    {}", output.cause(&bad.detail)));
    }
    let differences = report.differences.iter().map(sonae_agent::replica::DifferenceReport::message);
    name_some(output, report.differences.len(), differences);
    for place in [&report.first, &report.second] {
        output.say(
            &Message::new(keys::REPLICA_PROVE_PLACE)
                .with("location", &place.location)
                .with("root", place.root)
                .with("files", number::grouped(place.files))
                .with("size", number::bytes(place.bytes)),
        );
    }
    let read = Message::new(keys::REPLICA_PROVE_READ)
        .with("packs", number::grouped(report.packs))
        .with("read", number::grouped(report.packs_read));
    output.say(&read.with("size", number::bytes(report.read.bytes)).with("seed", report.seed));
    match report.verdict {
        Likeness::Equal => output.say(&Message::new(keys::REPLICA_PROVE_EQUAL)),
        Likeness::Differs => {
            output.say(&Message::new(keys::REPLICA_PROVE_DIFFERS).with("count", report.differences.len()));
            output.remedy(&Message::new(keys::REMEDY_REPLICA_DIFFERS));
        }
        Likeness::Damaged => {
            output.say(&Message::new(keys::REPLICA_PROVE_DAMAGED).with("count", report.damaged.len()));
            output.remedy(&Message::new(keys::REMEDY_REPLICA_DAMAGED));
        }
    }
}

/// Names the first files of many.
fn name_some(output: &Output, count: usize, messages: impl Iterator<Item = Message>) {
    messages.take(SHOWN_MAX).for_each(|message| output.line(&format!("  {}", output.text(&message))));
    if let Some(more) = count.checked_sub(SHOWN_MAX).filter(|more| 0 < *more) {
        output
            .line(&format!("  {}", output.text(&Message::new(keys::FINDING_LIST_MORE).with("count", more))));
    }
}

pub(super) fn heal_from(
    context: &Context<'_>,
    from: &str,
    from_password_file: Option<&Path>,
    depth: Depth,
    mode: RepairMode,
) -> Result<Exit, Failure> {
    let (here, from) = (context.address()?, Address::parse(from)?);
    let password = context.password()?;
    let from_password = from_password_file.map(read_password).transpose()?;
    let request = HealRequest {
        here: &here,
        password: &password,
        from: &from,
        from_password: from_password.as_ref().unwrap_or(&password),
        depth,
        mode,
    };
    let environment = system_environment();
    let report = shown(context.output, context.show(), &*environment.clock, Phase::Healing, |progress| {
        heal(request, &context.access, &environment, progress)
    })?;
    tell_heal(context.output, &report);
    context.output.document(&report);
    Ok(exit_of(report.verdict))
}

fn tell_heal(output: &Output, report: &HealRunReport) {
    name_some(output, report.files.len(), report.files.iter().map(sonae_agent::heal::HealedReport::message));
    print_findings(output, &report.findings);
    let key = match report.mode {
        _ if report.files.is_empty() && report.findings.is_empty() => keys::REPO_HEAL_NOTHING,
        RepairMode::DryRun => keys::REPO_HEAL_DRY_RUN,
        RepairMode::Done => keys::REPO_HEAL_DONE,
    };
    output.say(
        &Message::new(key)
            .with("files", number::grouped(report.fetched.files))
            .with("size", number::bytes(report.fetched.bytes))
            .with("copied", number::grouped(report.copied_blobs))
            .with("salvaged", number::grouped(report.salvaged_blobs))
            .with("count", report.files.len()),
    );
    if 0 < report.points_only_in_copy {
        output.say(&Message::new(keys::REPO_HEAL_ONLY_IN_COPY).with("points", report.points_only_in_copy));
    }
    if report.mode == RepairMode::Done && report.verdict != Verdict::Good {
        output.say(&Message::new(keys::REPO_HEAL_NOT_ALL));
        output.remedy(&Message::new(keys::REMEDY_REPO_HEAL_NOT_ALL));
    }
}

pub(super) fn create_alike(
    context: &Context<'_>,
    from: &str,
    from_password_file: Option<&Path>,
) -> Result<Exit, Failure> {
    let (address, from) = (context.address()?, Address::parse(from)?);
    let password = context.password()?;
    let from_password = from_password_file.map(read_password).transpose()?;
    let like =
        open(&from, &context.access, system_environment(), from_password.as_ref().unwrap_or(&password))?;
    Ok(created(context.output, &init_alike(&address, &context.access, &like, &password)?))
}
