//! The one place of `ci` and `tidy` that starts programs, takes the time and prints.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context;

/// A program that ran to its end.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Whether it ended with 0.
    pub(crate) good: bool,
    /// What it printed, standard output and standard error together.
    pub(crate) lines: Vec<String>,
}

/// The root of this tree.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the root of the tree").to_owned()
}

/// Prints one line.
#[expect(clippy::print_stdout, reason = "talking to the person at the terminal is what this function is for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Runs `work` and measures how long it took.
#[expect(clippy::disallowed_methods, reason = "how long the parts take is what `ci` reports")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Runs `cargo` in the root and shows each line that `worth_showing` lets through as it comes.
///
/// Errors: cargo cannot be started.
pub(crate) fn cargo_shown(args: &[&str], worth_showing: fn(&str) -> bool) -> anyhow::Result<Ran> {
    let mut child = cargo(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let lines = Mutex::new(Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        scope.spawn(|| collect(out, &lines, worth_showing));
        collect(err, &lines, worth_showing);
    });
    let good = child.wait().context("cannot wait for cargo")?.success();
    Ok(Ran { good, lines: lines.into_inner().expect("no thread panics while it holds the lines") })
}

/// What `cargo` prints on standard output. Errors: cargo cannot be started or fails.
pub(crate) fn cargo_output(args: &[&str]) -> anyhow::Result<String> {
    let output = cargo(args).output().context("cannot start cargo")?;
    anyhow::ensure!(
        output.status.success(),
        "cargo {} failed: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).context("cargo printed something that is not UTF-8")
}

/// Whether `cargo <subcommand>` is installed.
pub(crate) fn has_subcommand(subcommand: &str) -> bool {
    cargo(&[subcommand, "--version"]).output().is_ok_and(|output| output.status.success())
}

#[expect(clippy::disallowed_methods, reason = "running cargo is what xtask is for")]
fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(args).current_dir(root());
    command.env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never");
    command
}

fn collect(from: Option<impl Read>, into: &Mutex<Vec<String>>, worth_showing: fn(&str) -> bool) {
    let Some(from) = from else { return };
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    // A program may print bytes that are no UTF-8; they must not end the reading, or it would block on a full pipe.
    while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        if worth_showing(&text) {
            say(&text);
        }
        into.lock().expect("no thread panics while it holds the lines").push(text);
    }
}
