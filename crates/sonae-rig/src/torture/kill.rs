//! Starting a program and killing it at a chosen moment.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;

use crate::host::{self, Running, Stopwatch};

/// How a program ended that was to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Killed {
    /// By itself, before the moment came.
    EndedBefore,
    /// By the kill; so long after it began.
    After(Duration),
}

/// Longest time in which the moment must come.
const LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_micros(200);

/// Starts the program and kills it with SIGKILL `grace` after `moment` first says so. The moment is asked with the time
/// since the start.
pub(super) fn kill_when(
    command: &mut Command,
    grace: Duration,
    mut moment: impl FnMut(Duration) -> Result<bool>,
) -> Result<Killed> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let watch = Stopwatch::start();
    let mut running = Running(host::spawn(command)?);
    let mut came = None;
    let end = host::poll_every(PAUSE, LIMIT, || {
        if running.0.try_wait()?.is_some() {
            return Ok(Some(Killed::EndedBefore));
        }
        let now = watch.elapsed();
        if came.is_none() && moment(now)? {
            came = Some(now);
        }
        if came.is_some_and(|came| grace <= watch.elapsed().saturating_sub(came)) {
            running.0.kill()?;
            running.0.wait()?;
            return Ok(Some(Killed::After(watch.elapsed())));
        }
        Ok(None)
    })?;
    end.ok_or_else(|| anyhow::anyhow!("the moment to kill did not come within {LIMIT:?}"))
}
