//! `sonae verify`

use std::time::Duration;

use sonae_agent::Failure;
use sonae_agent::findings::{FindingKind, FindingReport};
use sonae_agent::select::Selector;
use sonae_agent::verify::{Selection, Verdict, VerifyReport, verify};
use sonae_text::{keys, number};
use sonae_types::Message;

use super::{Context, optional_vm};
use crate::args::OptionalPoint;
use crate::exit::Exit;
use crate::output::Output;
use crate::progress::{Phase, shown};

pub(super) fn run(context: &Context<'_>, args: &OptionalPoint) -> Result<Exit, Failure> {
    let vm = optional_vm(args.vm.as_deref())?;
    let selection =
        args.point.as_deref().map(Selector::parse).transpose()?.map_or(Selection::All, Selection::One);
    let repository = context.open()?;
    let clock = &*repository.environment().clock;
    let report = shown(context.output, context.show(), clock, Phase::Verifying, |progress| {
        verify(&repository, &selection, vm.as_ref(), context.stop, progress)
    })?;
    let output = context.output;
    for point in report.points.iter().filter(|point| point.verdict != Verdict::Good) {
        output.say(
            &Message::new(keys::VERIFY_POINT_DAMAGED)
                .with("point", point.point.short())
                .with("vm", &point.vm)
                .with("count", point.findings),
        );
    }
    print_findings(output, &report.findings);
    output.say(&summary(&report, output));
    if report.verdict == Verdict::Damaged {
        output.remedy(&Message::new(keys::REMEDY_DAMAGE_REPOSITORY));
    }
    output.document(&report);
    Ok(exit_of(report.verdict))
}

fn summary(report: &VerifyReport, output: &Output) -> Message {
    let cost = |message: Message| {
        let duration = number::duration(Duration::from_millis(report.duration_ms), output.language);
        message.with("size", number::bytes(report.read_bytes)).with("duration", duration)
    };
    match (report.verdict, &report.points[..]) {
        (Verdict::Good, [point]) => cost(
            Message::new(keys::VERIFY_POINT_GOOD).with("point", point.point.short()).with("vm", &point.vm),
        ),
        (Verdict::Good, points) => cost(Message::new(keys::VERIFY_RUN_GOOD).with("points", points.len())),
        (Verdict::Damaged, points) => {
            // A file that should be a point and cannot be read is a damaged point, too.
            let files = report.findings.iter().filter(|finding| finding.kind == FindingKind::File).count();
            let damaged = points.iter().filter(|point| point.verdict != Verdict::Good).count();
            Message::new(keys::VERIFY_RUN_DAMAGED)
                .with("points", points.len() + files)
                .with("damaged", damaged + files)
        }
        (Verdict::NotProven, _) => Message::new(keys::VERIFY_RUN_NOTHING),
    }
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
        output.line(&format!("  {}", output.text(&finding.message())));
        if let Some(cause) = finding.cause() {
            output.line(&format!("    {}", output.cause(cause)));
        }
    }
    if let Some(more) = findings.len().checked_sub(SHOWN_MAX).filter(|more| 0 < *more) {
        let more = Message::new(keys::FINDING_LIST_MORE).with("count", more);
        output.line(&format!("  {}", output.text(&more)));
    }
}
