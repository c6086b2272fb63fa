//! `sonae prune`

use std::time::Duration;

use sonae_agent::prune::{PruneMode, PruneReport, prune};
use sonae_agent::{Failure, Fault};
use sonae_repo::prune::{GRACE, MaxUnused, PruneBounds};
use sonae_text::{keys, number};
use sonae_types::{ByteCount, Message, MessageKey};

use super::Context;
use super::verify::print_findings;
use crate::args::PruneArgs;
use crate::exit::Exit;
use crate::output::Output;
use crate::progress::{Phase, shown};

const UNLIMITED: &str = "unlimited";

pub(super) fn run(context: &Context<'_>, args: &PruneArgs) -> Result<Exit, Failure> {
    let bounds = bounds(args)?;
    let mode = if args.dry_run { PruneMode::DryRun } else { PruneMode::Done };
    let repository = context.open()?;
    let clock = &*repository.environment().clock;
    let report = shown(context.output, context.show(), clock, Phase::Pruning, |progress| {
        prune(&repository, &bounds, mode, context.stop, progress)
    })?;
    show(context.output, &report);
    context.output.document(&report);
    Ok(match (report.findings.is_empty(), report.refused.is_empty()) {
        (false, _) => Exit::DamageFound,
        (true, false) => Exit::OurFault,
        (true, true) => Exit::Done,
    })
}

/// The bounds that were typed. Errors: one cannot be understood.
fn bounds(args: &PruneArgs) -> Result<PruneBounds, Failure> {
    let grace = option("--grace", args.grace.as_deref(), GRACE, span, keys::REMEDY_OPTION_GRACE)?;
    let [unused, repack] = [args.max_unused.as_deref(), args.max_repack.as_deref()];
    let most = ByteCount::new(u64::MAX);
    Ok(PruneBounds {
        grace,
        max_unused: option(
            "--max-unused",
            unused,
            MaxUnused::DEFAULT,
            max_unused,
            keys::REMEDY_OPTION_MAX_UNUSED,
        )?,
        max_repack: option("--max-repack", repack, most, size, keys::REMEDY_OPTION_SIZE)?,
    })
}

fn option<T>(
    option: &'static str,
    text: Option<&str>,
    default: T,
    read: impl FnOnce(&str) -> Option<T>,
    remedy: MessageKey,
) -> Result<T, Failure> {
    let Some(text) = text else { return Ok(default) };
    read(text).ok_or_else(|| {
        let message = Message::new(keys::ERROR_OPTION_VALUE).with("value", text).with("option", option);
        Failure::new(Fault::WrongUse, message).remedy(Message::new(remedy).with("option", option))
    })
}

/// A whole number with nothing around it; Rust also reads "+5" as one.
fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Reads `72h`, `3d`, `1d12h` or `0`.
fn span(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (days, hours) = match text.split_once('d') {
        None => (0, text.strip_suffix('h')?),
        Some((days, "")) => (whole(days)?, "0"),
        Some((days, hours)) => (whole(days)?, hours.strip_suffix('h')?),
    };
    let hours = days.checked_mul(24)?.checked_add(whole(hours)?)?;
    hours.checked_mul(3600).map(Duration::from_secs)
}

/// Reads `5%`, `2.5%`, a size, or `unlimited`.
fn max_unused(text: &str) -> Option<MaxUnused> {
    let Some(share) = text.strip_suffix('%') else { return size(text).map(MaxUnused::Bytes) };
    let (whole_part, rest) = share.split_once('.').unwrap_or((share, "0"));
    let thousandths = whole(&format!("{rest:0<3}")).filter(|_| rest.len() <= 3)?;
    let share = whole(whole_part)?.checked_mul(1_000)?.checked_add(thousandths)?;
    u32::try_from(share).ok().filter(|share| *share <= 100_000).map(MaxUnused::Share)
}

/// Reads bytes, or `500K`, `20M`, `1G`, `2T`; or `unlimited`.
fn size(text: &str) -> Option<ByteCount> {
    if text == UNLIMITED {
        return Some(ByteCount::new(u64::MAX));
    }
    let (number, unit) = match text.char_indices().last()? {
        (at, 'K' | 'k') => (&text[..at], 1 << 10),
        (at, 'M' | 'm') => (&text[..at], 1 << 20),
        (at, 'G' | 'g') => (&text[..at], 1 << 30),
        (at, 'T' | 't') => (&text[..at], 1 << 40),
        _ => (text, 1),
    };
    whole(number)?.checked_mul(unit).map(ByteCount::new)
}

fn show(output: &Output, report: &PruneReport) {
    let amount = |packs: usize, bytes| {
        let message = Message::new(keys::PRUNE_AMOUNT_PACKS).with("packs", number::grouped(packs as u64));
        output.text(&message.with("size", number::bytes(bytes)))
    };
    output.labels(&[
        (keys::HEADING_PRUNE_POINTS, number::grouped(report.points as u64)),
        (keys::HEADING_PRUNE_BEFORE, amount(report.before_packs, report.before_bytes)),
        (keys::HEADING_PRUNE_USED, number::bytes(report.used_bytes)),
        (keys::HEADING_PRUNE_REPACKED, amount(report.repacked_packs, report.repacked_bytes)),
        (keys::HEADING_PRUNE_REMOVED, amount(report.removed_packs, report.removed_bytes)),
        (keys::HEADING_PRUNE_WAITING, amount(report.waiting_packs, report.waiting_bytes)),
        (keys::HEADING_PRUNE_LEFT, number::bytes(report.unused_left_bytes)),
        (keys::HEADING_PRUNE_AFTER, number::bytes(report.after_bytes)),
    ]);
    output.line("");
    let duration = number::duration(Duration::from_millis(report.duration_ms), output.language);
    let key = match report.mode {
        PruneMode::DryRun => keys::PRUNE_RUN_DRY_RUN,
        PruneMode::Done => keys::PRUNE_RUN_DONE,
    };
    output.say(&Message::new(key).with("duration", duration));
    if 0 < report.waiting_packs {
        let grace = number::duration(Duration::from_secs(report.grace_seconds), output.language);
        output.say(&Message::new(keys::PRUNE_RUN_WAITING).with("grace", grace));
    }
    for refused in &report.refused {
        output.say(&refused.message());
        output.line(&output.cause(&refused.detail));
    }
    if !report.refused.is_empty() {
        output.remedy(&Message::new(keys::REMEDY_PRUNE_REFUSED));
    }
    if !report.findings.is_empty() {
        print_findings(output, &report.findings);
        output.remedy(&Message::new(keys::REMEDY_DAMAGE_REPOSITORY));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_sizes_and_shares_are_read_as_they_are_written_and_nothing_else_is() {
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
        for (text, read) in [("72h", hours(72)), ("3d", hours(72)), ("1d12h", hours(36)), ("0", hours(0))] {
            assert_eq!(span(text), read, "{text}");
        }
        for text in ["", "h", "3", "3m", "-1h", "1h1d", "d", "+1h", "1.5h", "99999999999999999999d"] {
            assert_eq!(span(text), None, "{text}");
        }
        for (text, bytes) in [("0", 0), ("500", 500), ("2K", 2_048), ("3G", 3 << 30), ("1T", 1 << 40)] {
            assert_eq!(max_unused(text), Some(MaxUnused::Bytes(ByteCount::new(bytes))), "{text}");
        }
        assert_eq!(max_unused("unlimited"), Some(MaxUnused::UNLIMITED));
        for (text, share) in [("5%", 5_000), ("2.5%", 2_500), ("0%", 0), ("100%", 100_000), ("0.125%", 125)] {
            assert_eq!(max_unused(text), Some(MaxUnused::Share(share)), "{text}");
        }
        for text in ["", "%", "101%", "-5%", "5 %", "1.2345%", "G", "-1", "many", "20000000000G"] {
            assert_eq!(max_unused(text), None, "{text}");
        }
    }
}
