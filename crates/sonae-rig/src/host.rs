//! The machine this runs on: its clock, its programs, the interrupt key. The one place of the rig that starts programs
//! and waits; nothing here knows guests, repositories or the demo.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// How often a condition is looked at again.
const POLL_PAUSE: Duration = Duration::from_millis(5);
/// How much of a failed program's log stands in the error.
const LOG_TAIL_BYTES: usize = 400;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Something that is not on this machine: what needs it is skipped, and skipped is never good.
#[derive(Debug, thiserror::Error)]
#[error("{what} is not on this machine ({remedy})")]
pub struct Missing {
    /// A program or file.
    pub what: String,
    /// What a person does about it.
    pub remedy: &'static str,
}

/// The person at the terminal, or the machine, wants us to stop.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Measures a span with the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the rig is an edge: this is its clock")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Makes Ctrl-C, SIGTERM and SIGHUP end every wait with [`Interrupted`], so that guests are stopped and folders removed.
pub fn catch_interrupts() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst)).context("cannot catch the interrupt key")
}

/// Ends with [`Interrupted`] once somebody wants us to stop.
pub fn go_on() -> Result<(), Interrupted> {
    if INTERRUPTED.load(Ordering::SeqCst) { Err(Interrupted) } else { Ok(()) }
}

/// Looks at a condition until it gives a value or the limit is over; none when it is over.
pub fn poll<T>(limit: Duration, look: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    poll_every(POLL_PAUSE, limit, look)
}

/// The same with another pause between two looks, for a condition that costs something to look at.
pub fn poll_every<T>(
    gap: Duration,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let watch = Stopwatch::start();
    loop {
        go_on()?;
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if watch.elapsed() >= limit {
            return Ok(None);
        }
        take_time(gap);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the rig is an edge: between two looks at a condition it lets others work, and it plays slow lines"
)]
pub(crate) fn take_time(span: Duration) {
    std::thread::sleep(span);
}

/// Finds a program on the path or where Debian keeps the administrator's programs.
pub fn find(program: &str) -> Result<PathBuf, Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| Missing { what: program.to_owned(), remedy: "tools/install-deps test" })
}

/// A command for a program found on this machine.
pub fn program(name: &str) -> Result<Command, Missing> {
    find(name).map(|path| command(&path))
}

/// A command for a program at a known place.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the rig is an edge: it starts guests and tools")]
pub fn command(path: &Path) -> Command {
    Command::new(path)
}

/// A file that must be there.
pub fn require(file: &Path) -> Result<&Path, Missing> {
    if file.exists() {
        Ok(file)
    } else {
        Err(Missing { what: file.display().to_string(), remedy: "tools/install-deps test" })
    }
}

/// Runs a command to its end; what it says goes to the log.
pub fn run(command: &mut Command, log: &Path) -> Result<()> {
    let both = append(log)?;
    let child = spawn(command.stdin(Stdio::null()).stdout(both.try_clone()?).stderr(both))?;
    good_end(&named(command), Running(child).wait()?, log)
}

/// Runs a command to its end and gives its exit code; what it says goes to the log.
pub fn exit_code(command: &mut Command, log: &Path) -> Result<Option<i32>> {
    let both = append(log)?;
    let child = spawn(command.stdin(Stdio::null()).stdout(both.try_clone()?).stderr(both))?;
    Ok(Running(child).wait()?.code())
}

/// Runs a command to its end and gives what it prints; what it complains about goes to the log.
pub fn output(command: &mut Command, log: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream(command, log, |piece| bytes.extend_from_slice(piece))?;
    Ok(bytes)
}

/// Runs a command to its end and hands over what it prints piece by piece.
pub fn stream(command: &mut Command, log: &Path, mut take: impl FnMut(&[u8])) -> Result<()> {
    let mut running =
        Running(spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(append(log)?))?);
    let mut from = running.0.stdout.take().context("a piped program has an output")?;
    let mut piece = vec![0; 1 << 18];
    loop {
        go_on()?;
        match from.read(&mut piece).with_context(|| format!("cannot read from {}", named(command)))? {
            0 => break,
            n => take(&piece[..n]),
        }
    }
    good_end(&named(command), running.wait()?, log)
}

/// Starts a command.
pub fn spawn(command: &mut Command) -> Result<Child> {
    command.spawn().with_context(|| format!("cannot start {}", named(command)))
}

/// A child that never outlives us: dropped before its end, it is killed.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    /// Waits for the end, however long it takes; an interrupt ends the waiting and the child.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        poll(Duration::MAX, || Ok(self.0.try_wait()?))?.context("waiting without a limit ends with a value")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            // Both fail only when the child is gone already, and then there is nothing left to do.
            self.0.kill().ok();
            self.0.wait().ok();
        }
    }
}

/// Opens a log so that several programs write one after another.
pub fn append(log: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot open {}", log.display()))
}

/// The last lines of a log, for an error.
#[must_use]
pub fn tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let from = bytes.len().saturating_sub(LOG_TAIL_BYTES);
    String::from_utf8_lossy(&bytes[from..]).trim().replace('\n', " / ")
}

fn good_end(name: &str, status: ExitStatus, log: &Path) -> Result<()> {
    go_on()?;
    if !status.success() {
        bail!("{name} ended with {status}; log {}: {}", log.display(), tail(log));
    }
    Ok(())
}

fn named(command: &Command) -> String {
    let first = command.get_args().next().unwrap_or_default().to_string_lossy().into_owned();
    let program =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    if first.starts_with(['-', '/']) { program } else { format!("{program} {first}").trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("log");
        (folder, log)
    }

    #[test]
    fn a_program_that_is_not_there_is_missing_and_not_an_error_of_ours() {
        assert_eq!(find("no-such-program").expect_err("not there").what, "no-such-program");
    }

    #[test]
    fn a_failed_program_names_its_log_and_its_last_words() {
        let (_folder, log) = log();
        let error = run(program("sh").expect("a shell").args(["-c", "echo no disk >&2; exit 3"]), &log);
        let text = format!("{:#}", error.expect_err("it failed"));
        assert!(text.contains("no disk") && text.contains(&log.display().to_string()), "{text}");
    }

    #[test]
    fn what_a_program_prints_is_taken_and_what_it_complains_about_is_not() {
        let (_folder, log) = log();
        let said = output(program("sh").expect("a shell").args(["-c", "echo yes; echo hm >&2"]), &log);
        assert_eq!(said.expect("it ran"), b"yes\n");
        assert_eq!(tail(&log), "hm");
    }

    #[test]
    fn a_child_that_is_dropped_is_gone() {
        let child = spawn(program("sleep").expect("sleep").arg("1000")).expect("it starts");
        let proc = PathBuf::from(format!("/proc/{}", child.id()));
        assert!(proc.exists());
        drop(Running(child));
        assert!(!proc.exists());
    }

    #[test]
    fn a_condition_that_never_comes_ends_with_its_limit() {
        assert_eq!(poll(Duration::from_millis(20), || Ok(None::<()>)).expect("no error"), None);
    }
}
