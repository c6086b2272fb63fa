//! `sonae verify`

use std::time::Duration;

use sonae_agent::Failure;
use sonae_agent::verify::{FindingReport, Selection, Verdict, verify};
use sonae_text::{keys, number};
use sonae_types::Message;

use super::{Context, optional_vm, selector};
use crate::args::OptionalPoint;
use crate::exit::Exit;
use crate::output::Output;
use crate::progress::{Phase, shown};

pub(super) fn run(context: &Context<'_>, args: &OptionalPoint) -> Result<Exit, Failure> {
    let vm = optional_vm(args.vm.as_deref())?;
    let selection = args.point.as_deref().map(selector).transpose()?.map_or(Selection::All, Selection::One);
    let repository = context.open()?;
    let clock = &*repository.environment().clock;
    let report = shown(context.output, context.show(), clock, Phase::Verifying, |progress| {
        verify(&repository, &selection, vm.as_ref(), context.stop, progress)
    })?;
    let output = context.output;
    for point in &report.points {
        let message = match point.verdict {
            Verdict::Good => {
                Message::new(keys::VERIFY_POINT_GOOD).with("size", number::bytes(report.read_bytes))
            }
            Verdict::Damaged | Verdict::NotProven => {
                Message::new(keys::VERIFY_POINT_DAMAGED).with("count", point.findings)
            }
        };
        // The bytes belong to all points together, so with several the sentence about them comes at the end alone.
        if report.points.len() == 1 || point.verdict != Verdict::Good {
            output.say(&message.with("point", point.point.short()).with("vm", &point.vm));
        }
    }
    print_findings(output, &report.findings);
    let duration = number::duration(Duration::from_millis(report.duration_ms), output.language);
    let damaged = report.points.iter().filter(|point| point.verdict != Verdict::Good).count();
    match report.verdict {
        Verdict::Good => output.say(
            &Message::new(keys::VERIFY_RUN_GOOD)
                .with("points", report.points.len())
                .with("duration", duration),
        ),
        Verdict::Damaged => output.say(
            &Message::new(keys::VERIFY_RUN_DAMAGED)
                .with("points", report.points.len())
                .with("damaged", damaged),
        ),
        Verdict::NotProven => output.say(&Message::new(keys::VERIFY_RUN_NOTHING)),
    }
    output.document(&report);
    Ok(exit_of(report.verdict))
}

pub(super) fn exit_of(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Good => Exit::Done,
        Verdict::Damaged => Exit::DamageFound,
        Verdict::NotProven => Exit::NotProven,
    }
}

/// Most findings that are shown to people; programs get them all.
const SHOWN_MAX: usize = 20;

pub(super) fn print_findings(output: &Output, findings: &[FindingReport]) {
    for finding in findings.iter().take(SHOWN_MAX) {
        let place = [
            finding.vm.clone(),
            finding.point.map(|point| point.short()),
            finding.path.clone(),
            finding.offset.map(|at| at.to_string()),
        ];
        let place = place.into_iter().flatten().collect::<Vec<_>>().join("  ");
        output.line(&format!("  {place}  {}", finding.detail));
    }
    if SHOWN_MAX < findings.len() {
        output.line(&format!("  … (+{})", findings.len() - SHOWN_MAX));
    }
}
