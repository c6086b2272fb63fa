//! Progress of long work: a line that is rewritten on a terminal, JSON lines for programs, nothing where nobody looks.

use std::io::IsTerminal as _;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use sonae_repo::Progress;
use sonae_text::{keys, number};
use sonae_types::{ByteCount, Clock, Message, MessageKey};

use crate::output::{Form, Output, complain};

const TERMINAL_INTERVAL: Duration = Duration::from_millis(200);
const JSON_INTERVAL: Duration = Duration::from_secs(1);

/// What kind of work it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    Reading,
    Restoring,
    Verifying,
    Checking,
    Copying,
    Comparing,
    Healing,
    Pruning,
}

/// What the command line asks about progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    Progress,
    Nothing,
}

/// How fast the work goes and how long it still takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Forecast {
    rate: ByteCount,
    remaining: Option<Duration>,
}

/// Does `work` while showing how far it has come.
pub(crate) fn shown<T>(
    output: &Output,
    show: Show,
    clock: &dyn Clock,
    phase: Phase,
    work: impl FnOnce(&Progress) -> T,
) -> T {
    let progress = Progress::default();
    let wanted = show == Show::Progress && (output.form == Form::Json || std::io::stderr().is_terminal());
    if !wanted {
        return work(&progress);
    }
    std::thread::scope(|scope| {
        // Dropping the sender is the sign that the work is done, whether it succeeded or panicked.
        let (alive, ended) = crossbeam_channel::bounded::<()>(0);
        let progress = &progress;
        scope.spawn(move || match output.form {
            Form::Json => json_lines(progress, clock, phase, &ended),
            Form::Text => terminal_line(output, progress, clock, phase, &ended),
        });
        let answer = work(progress);
        drop(alive);
        answer
    })
}

fn json_lines(progress: &Progress, clock: &dyn Clock, phase: Phase, ended: &Receiver<()>) {
    let begun = clock.monotonic();
    let mut going_on = true;
    // A last line after the work has ended, so that even the shortest run says how far it came.
    while going_on {
        going_on = ended.recv_timeout(JSON_INTERVAL) == Err(RecvTimeoutError::Timeout);
        let (done, total) = (progress.done(), progress.total());
        if total == ByteCount::ZERO {
            continue;
        }
        let forecast = forecast(done, total, clock.monotonic() - begun);
        let line = json!({ "progress": {
            "phase": phase.name(), "done_bytes": done, "total_bytes": total, "stored_bytes": progress.stored(),
            "rate_bytes_per_second": forecast.rate, "remaining_seconds": forecast.remaining.map(|span| span.as_secs()),
        }});
        complain(&line.to_string());
    }
}

fn terminal_line(
    output: &Output,
    progress: &Progress,
    clock: &dyn Clock,
    phase: Phase,
    ended: &Receiver<()>,
) {
    let begun = clock.monotonic();
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
    bar.set_style(
        ProgressStyle::with_template("{bar:20} {percent:>3} %  {msg}").expect("the template is valid"),
    );
    while ended.recv_timeout(TERMINAL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let (done, total) = (progress.done(), progress.total());
        let forecast = forecast(done, total, clock.monotonic() - begun);
        let remaining = forecast.remaining.map_or_else(
            || output.word(keys::PROGRESS_TIME_UNKNOWN),
            |span| {
                output.text(
                    &Message::new(keys::PROGRESS_TIME_REMAINING)
                        .with("time", number::duration(span, output.language)),
                )
            },
        );
        let line = Message::new(keys::PROGRESS_LINE_FULL)
            .with("phase", output.word(phase.key()))
            .with("done", number::bytes(done));
        let line = line
            .with("total", number::bytes(total))
            .with("rate", format!("{}/s", number::bytes(forecast.rate)));
        bar.set_length(total.get().max(1));
        bar.set_position(done.get());
        bar.set_message(format!("{}  {remaining}", output.text(&line)));
    }
    bar.finish_and_clear();
}

/// Rate and remaining time from what was done so far; no remaining time before there is a rate.
fn forecast(done: ByteCount, total: ByteCount, elapsed: Duration) -> Forecast {
    let millis = u128::max(elapsed.as_millis(), 1);
    let rate = u64::try_from(u128::from(done.get()) * 1000 / millis).unwrap_or(u64::MAX);
    let left = total.get().saturating_sub(done.get());
    Forecast { rate: ByteCount::new(rate), remaining: left.checked_div(rate).map(Duration::from_secs) }
}

impl Phase {
    fn key(self) -> MessageKey {
        match self {
            Self::Reading => keys::PROGRESS_PHASE_READING,
            Self::Restoring => keys::PROGRESS_PHASE_RESTORING,
            Self::Verifying => keys::PROGRESS_PHASE_VERIFYING,
            Self::Checking => keys::PROGRESS_PHASE_CHECKING,
            Self::Copying => keys::PROGRESS_PHASE_COPYING,
            Self::Comparing => keys::PROGRESS_PHASE_COMPARING,
            Self::Healing => keys::PROGRESS_PHASE_HEALING,
            Self::Pruning => keys::PROGRESS_PHASE_PRUNING,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Restoring => "restoring",
            Self::Verifying => "verifying",
            Self::Checking => "checking",
            Self::Copying => "copying",
            Self::Comparing => "comparing",
            Self::Healing => "healing",
            Self::Pruning => "pruning",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_time_follows_from_the_rate_and_is_unknown_before_there_is_one() {
        let at =
            |done, seconds| forecast(ByteCount::mib(done), ByteCount::mib(100), Duration::from_secs(seconds));
        assert_eq!(at(20, 2), Forecast { rate: ByteCount::mib(10), remaining: Some(Duration::from_secs(8)) });
        assert_eq!(at(0, 5).remaining, None);
        assert_eq!(at(100, 5).remaining, Some(Duration::ZERO));
        assert_eq!(at(120, 5).remaining, Some(Duration::ZERO));
    }
}
