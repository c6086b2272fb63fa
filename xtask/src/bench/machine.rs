//! The machine under measurement: runs commands under the clock, fills or empties its cache, counts bytes on its disk.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::figures::Sample;
use crate::host;

/// GNU time: the one that knows the memory of the largest process.
const TIME: &str = "/usr/bin/time";

/// What is in the page cache before a command is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Cache {
    /// Everything the command will read, as far as memory goes
    Warm,
    /// Nothing (asks for root)
    Cold,
    /// Whatever the command before left there
    None,
}

/// A folder to measure in, and the environment of every command.
#[derive(Debug)]
pub(crate) struct Machine {
    work: PathBuf,
    /// Held as long as this run uses the work folder.
    _lock: fs::File,
    cache: Cache,
    environment: Vec<(String, String)>,
}

/// How a command ended that did not end well.
#[derive(Debug)]
pub(crate) struct Bad(pub(crate) String);

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Cache {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
            Self::None => "none",
        }
    }
}

impl Machine {
    pub(crate) fn new(work: &Path, cache: Cache, environment: Vec<(String, String)>) -> Result<Self> {
        ensure!(Path::new(TIME).exists(), "{TIME} is not on this machine: run tools/install-deps bench");
        fs::create_dir_all(work).with_context(|| format!("cannot use the folder {}", work.display()))?;
        let work =
            work.canonicalize().with_context(|| format!("cannot use the folder {}", work.display()))?;
        let lock = fs::File::create(work.join("lock")).context("cannot make the lock of the work folder")?;
        ensure!(lock.try_lock().is_ok(), "another bench is at work in {}", work.display());
        Ok(Self { work, _lock: lock, cache, environment })
    }

    /// Empties a folder inside the work folder and gives its path.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.work.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("cannot empty {}", path.display()))?;
        }
        fs::create_dir_all(&path).with_context(|| format!("cannot use the folder {}", path.display()))?;
        Ok(path)
    }

    /// Runs a command outside the clock.
    pub(crate) fn run(&self, command: &str) -> Result<(), Bad> {
        self.shell(&["sh"], command)
    }

    /// Runs a command under the clock, after everything before it has reached the disk and `reads` the cache.
    pub(crate) fn measure(&self, command: &str, reads: &[PathBuf]) -> Result<Sample, Bad> {
        self.settle(reads).map_err(|error| Bad(format!("{error:#}")))?;
        let times = self.work.join("times");
        let times_text = times.display().to_string();
        let (ended, wall) =
            host::timed(|| self.shell(&[TIME, "-q", "-o", &times_text, "-f", "%U %S %M", "sh"], command));
        ended?;
        let text = fs::read_to_string(&times).map_err(|error| Bad(format!("no times: {error}")))?;
        let (cpu_s, peak_mib) = parse_times(&text).ok_or_else(|| Bad(format!("strange times: {text:?}")))?;
        Ok(Sample { wall_s: wall.as_secs_f64(), cpu_s, peak_mib })
    }

    /// What the last command printed.
    pub(crate) fn last_said(&self) -> Result<String> {
        fs::read_to_string(self.work.join("log")).context("cannot read the log")
    }

    fn shell(&self, before: &[&str], command: &str) -> Result<(), Bad> {
        let log = self.work.join("log");
        let bad = |what: &str, error: &dyn fmt::Display| Bad(format!("{what}: {error}"));
        let out = fs::File::create(&log).map_err(|error| bad("cannot write the log", &error))?;
        let both = out.try_clone().map_err(|error| bad("cannot write the log", &error))?;
        let status = program(before[0])
            .args(&before[1..])
            .arg("-c")
            .arg(command)
            .env_remove("PYTHONDONTWRITEBYTECODE")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(both)
            .status()
            .map_err(|error| bad("cannot start", &error))?;
        if status.success() {
            return Ok(());
        }
        let said = fs::read_to_string(&log).unwrap_or_default();
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        Err(Bad(format!("{status}: {last}")))
    }

    fn settle(&self, reads: &[PathBuf]) -> Result<()> {
        let ended = program("sync").arg("-f").arg(&self.work).status().context("cannot start sync")?;
        ensure!(ended.success(), "sync failed");
        match self.cache {
            Cache::None => Ok(()),
            Cache::Cold => fs::write("/proc/sys/vm/drop_caches", "3")
                .context("the cache can be emptied by root only: use --cache warm or none"),
            Cache::Warm => reads.iter().try_for_each(|path| read_all(path)),
        }
    }
}

/// What a command prints; none where it cannot be run or fails.
pub(crate) fn said(command: &str, environment: &[(String, String)]) -> Option<String> {
    let output = program("sh")
        .arg("-c")
        .arg(command)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a command that talks to the terminal itself.
pub(crate) fn shown(command: &str) -> Result<()> {
    let status =
        program("sh").arg("-c").arg(command).stdin(Stdio::null()).status().context("cannot start sh")?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

/// Starts a program with one argument, waits for its end, and gives the seconds that took.
pub(crate) fn seconds_of(path: &Path, argument: &str) -> Result<f64> {
    let (ended, wall) =
        host::timed(|| program(path).arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).status());
    let status = ended.with_context(|| format!("cannot start {}", path.display()))?;
    ensure!(status.success(), "{} {argument} ended with {status}", path.display());
    Ok(wall.as_secs_f64())
}

/// Whether two files hold the same bytes.
pub(crate) fn same(a: &Path, b: &Path) -> Result<bool> {
    let status = program("cmp").arg("-s").arg(a).arg(b).status().context("cannot start cmp")?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        Some(_) | None => bail!("{} and {} cannot be compared", a.display(), b.display()),
    }
}

/// Blocks and lengths of all files under a folder, in bytes.
pub(crate) fn size(folder: &Path) -> io::Result<(u64, u64)> {
    let (mut allocated, mut apparent) = (0, 0);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        allocated += metadata.blocks() * 512;
        if metadata.is_dir() {
            let (blocks, lengths) = size(&entry.path())?;
            allocated += blocks;
            apparent += lengths;
        } else {
            apparent += metadata.len();
        }
    }
    Ok((allocated, apparent))
}

/// Load average of the last minute; none where the machine does not tell.
pub(crate) fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// A path in quotes that every shell understands.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// Reads files, or the files of folders, so that they are in the cache; `cp` to nowhere skips the holes.
fn read_all(path: &Path) -> Result<()> {
    let command = format!("find {} -type f -exec cp --sparse=always {{}} /dev/null \\; ", quoted(path));
    let ended =
        program("sh").arg("-c").arg(command).stderr(Stdio::null()).status().context("cannot start sh")?;
    ensure!(ended.success(), "cannot read {}", path.display());
    Ok(())
}

/// Seconds of CPU and MiB of memory from the line that time writes.
fn parse_times(text: &str) -> Option<(f64, f64)> {
    let mut fields = text.lines().last()?.split(' ').map(str::parse::<f64>);
    let (user, system, peak_kib) = (fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?);
    Some((user + system, peak_kib / 1024.0))
}

#[expect(clippy::disallowed_methods, reason = "the bench runs the programs it measures")]
fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_from_the_last_line() {
        assert_eq!(parse_times("1.50 0.25 2048\n"), Some((1.75, 2.0)));
        assert_eq!(parse_times("a warning\n0.00 0.01 1024\n"), Some((0.01, 1.0)));
        assert_eq!(parse_times("Command terminated by signal 9\n"), None);
        assert_eq!(parse_times(""), None);
    }

    #[test]
    fn a_quote_in_a_path_ends_no_quoting() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
