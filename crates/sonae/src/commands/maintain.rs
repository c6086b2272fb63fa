//! `sonae repo unlock`, `keyless-check` and `repair-index`

use std::time::Duration;

use sonae_agent::maintain::{RepairIndexReport, RepairMode, check_without_key, repair_index};
use sonae_agent::verify::Verdict;
use sonae_agent::{Failure, system_environment};
use sonae_repo::lock::{Fate, FoundLock, Standing, Unlock};
use sonae_text::{keys, number};
use sonae_types::Message;

use super::Context;
use super::points::time;
use super::verify::{exit_of, print_findings};
use crate::exit::Exit;
use crate::output::{Column, Output};
use crate::progress::{Phase, shown};

pub(super) fn unlock(context: &Context<'_>, which: Unlock) -> Result<Exit, Failure> {
    let report = sonae_agent::maintain::unlock(&context.open()?, which)?;
    let output = context.output;
    if report.locks.is_empty() {
        output.say(&Message::new(keys::REPO_UNLOCK_NONE));
    } else {
        let columns = [
            Column::Words(keys::HEADING_KEY_HOST),
            Column::Words(keys::HEADING_KEY_USER),
            Column::Numbers(keys::HEADING_LOCK_PID),
            Column::Words(keys::HEADING_LOCK_KIND),
            Column::Words(keys::HEADING_LOCK_TIME),
            Column::Words(keys::HEADING_KEY_STATE),
            Column::Words(keys::HEADING_LOCK_FATE),
        ];
        output.table(&columns, report.locks.iter().map(|lock| row(output, lock)).collect());
        let done = Message::new(keys::REPO_UNLOCK_DONE);
        output.say(&done.with("removed", report.removed).with("kept", report.kept));
    }
    if 0 < report.kept {
        output.say(&Message::new(keys::REPO_UNLOCK_KEPT));
    }
    output.document(&report);
    Ok(Exit::Done)
}

fn row(output: &Output, lock: &FoundLock) -> Vec<String> {
    let standing = match lock.standing {
        Standing::Held => keys::REPO_UNLOCK_HELD,
        Standing::Abandoned => keys::REPO_UNLOCK_ABANDONED,
        Standing::Stale => keys::REPO_UNLOCK_STALE,
        Standing::Unreadable => keys::REPO_UNLOCK_UNREADABLE,
    };
    let fate = match lock.fate {
        Fate::Removed => keys::REPO_UNLOCK_REMOVED,
        Fate::Kept => keys::REPO_UNLOCK_LEFT,
    };
    let dash = || "-".to_owned();
    let mut row = match &lock.holder {
        None => vec![dash(), dash(), dash(), dash(), dash()],
        Some(holder) => {
            let kind = if holder.exclusive { keys::REPO_UNLOCK_EXCLUSIVE } else { keys::REPO_UNLOCK_SHARED };
            vec![
                holder.hostname.clone(),
                holder.username.clone(),
                holder.pid.to_string(),
                output.word(kind),
                time(&holder.time),
            ]
        }
    };
    row.extend([output.word(standing), output.word(fate)]);
    row
}

pub(super) fn keyless(context: &Context<'_>) -> Result<Exit, Failure> {
    let (address, environment) = (context.address()?, system_environment());
    let report = shown(context.output, context.show(), &*environment.clock, Phase::Checking, |progress| {
        check_without_key(&address, &context.access, &environment, progress)
    })?;
    let output = context.output;
    print_findings(output, &report.findings);
    let duration = number::duration(Duration::from_millis(report.duration_ms), output.language);
    if report.verdict == Verdict::Good {
        let good = Message::new(keys::REPO_KEYLESS_CHECK_GOOD).with("files", number::grouped(report.files));
        output.say(&good.with("size", number::bytes(report.read_bytes)).with("duration", duration));
    } else {
        let damaged = Message::new(keys::REPO_KEYLESS_CHECK_DAMAGED).with("count", report.findings.len());
        output.say(&damaged.with("files", number::grouped(report.files)));
        output.remedy(&Message::new(keys::REMEDY_DAMAGE_REPOSITORY));
    }
    output.document(&report);
    Ok(exit_of(report.verdict))
}

pub(super) fn repair(context: &Context<'_>, mode: RepairMode) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let clock = &*repository.environment().clock;
    let report = shown(context.output, context.show(), clock, Phase::Checking, |progress| {
        repair_index(&repository, mode, context.stop, progress)
    })?;
    let output = context.output;
    print_findings(output, &report.replaced);
    output.say(&repaired(&report));
    if report.verdict != Verdict::Good {
        print_findings(output, &report.findings);
        output.say(&Message::new(keys::REPO_REPAIR_INDEX_LOST).with("count", report.findings.len()));
        output.remedy(&Message::new(keys::REMEDY_DAMAGE_REPOSITORY));
    }
    output.document(&report);
    Ok(exit_of(report.verdict))
}

fn repaired(report: &RepairIndexReport) -> Message {
    let key = match report.mode {
        _ if report.written_index_files == 0 && report.removed_index_files == 0 => {
            return Message::new(keys::REPO_REPAIR_INDEX_UNCHANGED);
        }
        RepairMode::Done => keys::REPO_REPAIR_INDEX_DONE,
        RepairMode::DryRun => keys::REPO_REPAIR_INDEX_DRY_RUN,
    };
    Message::new(key)
        .with("packs", report.added_packs)
        .with("written", report.written_index_files)
        .with("removed", report.removed_index_files)
}
