//! `sonae forget`

use std::cmp::Reverse;

use sonae_agent::forget::{ForgetMode, ForgetReport, ForgetRequest, MachineReport, Which, forget, no_rule};
use sonae_agent::select::Selector;
use sonae_agent::{Failure, Fault};
use sonae_core::retention::{Count, Policy, Rule, TagSet, Unit, Within, Zone};
use sonae_repo::time::from_rfc3339;
use sonae_text::keys;
use sonae_types::{Message, MessageKey};

use super::points::time;
use super::{Context, optional_vm};
use crate::args::{ForgetArgs, KeepArgs};
use crate::exit::Exit;
use crate::output::{Column, Output};

pub(super) fn run(context: &Context<'_>, args: &ForgetArgs) -> Result<Exit, Failure> {
    let request = ForgetRequest {
        vm: optional_vm(args.vm.as_deref())?,
        which: which(args)?,
        mode: if args.dry_run { ForgetMode::DryRun } else { ForgetMode::Done },
    };
    let report = forget(&context.open()?, &request, context.stop)?;
    let output = context.output;
    report.machines.iter().for_each(|machine| show(output, machine));
    tell(output, &report);
    output.document(&report);
    Ok(if report.damaged.is_empty() { Exit::Done } else { Exit::DamageFound })
}

/// What the arguments say is to be forgotten. Errors: nothing, or a rule that cannot be understood.
fn which(args: &ForgetArgs) -> Result<Which, Failure> {
    if args.points.is_empty() {
        return ruled(&args.keep);
    }
    args.points.iter().map(|point| Selector::parse(point)).collect::<Result<_, _>>().map(Which::Named)
}

fn ruled(keep: &KeepArgs) -> Result<Which, Failure> {
    let newest = |unit| move |count| Rule::Newest(unit, count);
    let counts = [
        count("--keep-last", keep.keep_last.as_deref(), Rule::Last)?,
        count("--keep-hourly", keep.keep_hourly.as_deref(), newest(Unit::Hour))?,
        count("--keep-daily", keep.keep_daily.as_deref(), newest(Unit::Day))?,
        count("--keep-weekly", keep.keep_weekly.as_deref(), newest(Unit::Week))?,
        count("--keep-monthly", keep.keep_monthly.as_deref(), newest(Unit::Month))?,
        count("--keep-yearly", keep.keep_yearly.as_deref(), newest(Unit::Year))?,
    ];
    let mut rules = counts.into_iter().flatten().collect::<Vec<_>>();
    if let Some(text) = &keep.keep_within {
        let within = Within::parse(text).map_err(refused("--keep-within", text, keys::REMEDY_OPTION_SPAN))?;
        rules.extend(within.map(Rule::Within));
    }
    for text in &keep.keep_tags {
        let tags = TagSet::parse(text).map_err(refused("--keep-tag", text, keys::REMEDY_OPTION_TAG))?;
        rules.push(Rule::Tagged(tags));
    }
    let zone = keep.zone.as_deref().map_or_else(
        || Ok(Zone::default()),
        |text| Zone::parse(text).map_err(|error| refused("--zone", text, keys::REMEDY_OPTION_ZONE)(error)),
    )?;
    let Ok(policy) = Policy::new(rules) else { return Err(no_rule()) };
    Ok(Which::Ruled { policy, zone })
}

/// The rule of an option that was given a number of points; none where it was not, or where the number is zero.
fn count(
    option: &'static str,
    text: Option<&str>,
    rule: impl FnOnce(Count) -> Rule,
) -> Result<Option<Rule>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let count = Count::parse(text).map_err(refused(option, text, keys::REMEDY_OPTION_COUNT))?;
    Ok(count.map(rule))
}

fn refused<E>(option: &'static str, text: &str, remedy: MessageKey) -> impl FnOnce(E) -> Failure {
    move |_error| {
        let message = Message::new(keys::ERROR_OPTION_VALUE).with("value", text).with("option", option);
        Failure::new(Fault::WrongUse, message).remedy(Message::new(remedy).with("option", option))
    }
}

/// Every point of a machine with what is decided about it and why, newest first.
fn show(output: &Output, machine: &MachineReport) {
    let summary = Message::new(keys::FORGET_MACHINE_SUMMARY).with("vm", &machine.vm);
    output.say(&summary.with("keep", machine.keep.len()).with("remove", machine.remove.len()));
    let columns = [
        Column::Words(keys::HEADING_POINT_ID),
        Column::Words(keys::HEADING_POINT_TIME),
        Column::Words(keys::HEADING_FORGET_FATE),
        Column::Words(keys::HEADING_FORGET_REASONS),
    ];
    let kept = machine.keep.iter().map(|point| {
        let reasons = point.reasons.iter().map(|reason| output.text(&reason.message)).collect::<Vec<_>>();
        (point.point, &point.time, keys::FORGET_POINT_KEEP, reasons.join(", "))
    });
    let removed = machine
        .remove
        .iter()
        .map(|point| (point.point, &point.time, keys::FORGET_POINT_REMOVE, String::new()));
    let mut rows = kept.chain(removed).collect::<Vec<_>>();
    rows.sort_by_key(|(_, taken, ..)| Reverse(from_rfc3339(taken)));
    let rows = rows
        .into_iter()
        .map(|(point, taken, fate, reasons)| vec![point.short(), time(taken), output.word(fate), reasons]);
    output.table(&columns, rows.collect());
    output.line("");
}

/// What was done, and what was not.
fn tell(output: &Output, report: &ForgetReport) {
    let sum = |of: fn(&MachineReport) -> usize| report.machines.iter().map(of).sum::<usize>();
    let (kept, removed) = (sum(|machine| machine.keep.len()), sum(|machine| machine.remove.len()));
    if let Some(zone) = &report.zone {
        output.say(&Message::new(keys::FORGET_RUN_CALENDAR).with("zone", zone));
    }
    let key = match report.mode {
        _ if removed == 0 => keys::FORGET_RUN_NOTHING,
        ForgetMode::DryRun => keys::FORGET_RUN_DRY_RUN,
        ForgetMode::Done => keys::FORGET_RUN_DONE,
    };
    output.say(&Message::new(key).with("removed", removed).with("kept", kept));
    if 0 < report.left_alone {
        output.say(&Message::new(keys::FORGET_RUN_LEFT_ALONE).with("count", report.left_alone));
    }
    for file in &report.damaged {
        output.say(&file.message());
        output.line(&output.cause(&file.detail));
    }
    if !report.damaged.is_empty() {
        output.remedy(&Message::new(keys::REMEDY_DAMAGE_REPOSITORY));
    }
}
