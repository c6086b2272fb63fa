//! The restic binaries as anybody runs them: Debian 12's own, and a newer one that `tools/install-deps` unpacks. Beside
//! them rustic, where `tools/install-peers` has built it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::host::{self, Missing};
use crate::radosgw;

/// The first release that may count as newer: `restore --sparse`, format 2 and `rewrite` are all in it.
const NEWER_SINCE: (u32, u32) = (0, 18);

/// Which restic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// The one of this machine; 0.14 on Debian 12.
    OfSystem,
    /// 0.18 or later, from the folder of tools.
    Newer,
}

/// A restic program.
#[derive(Clone, Debug)]
pub struct Peer {
    release: Release,
    program: PathBuf,
    version: String,
}

/// The rustic program.
#[derive(Clone, Debug)]
pub struct Rustic {
    program: PathBuf,
    version: String,
}

/// A repository and the file with its password.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder.
    pub repository: PathBuf,
    /// The password file.
    pub password_file: PathBuf,
}

/// The folder of tools: named by the environment, or that of this tree.
#[must_use]
pub fn tools() -> PathBuf {
    std::env::var_os("SONAE_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools"), PathBuf::from)
}

/// The folder of peers, as `cargo xtask bench` finds it: named by the environment, or that of this tree.
fn peers() -> PathBuf {
    std::env::var_os("SONAE_PEERS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers"), PathBuf::from)
}

impl Rustic {
    /// Finds the program. Errors: [`Missing`].
    pub fn find() -> Result<Self> {
        let program = peers().join("cargo/bin/rustic");
        if !program.is_file() {
            return Err(Missing { what: program.display().to_string(), remedy: "tools/install-peers" }.into());
        }
        let version = version(&program, "--version")?;
        Ok(Self { program, version })
    }

    /// Its version, as it says it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Runs it over a repository, in a folder from which relative paths are meant. Errors: it ends with a failure.
    pub fn run<A: AsRef<OsStr>>(
        &self,
        folder: &Path,
        place: &Place,
        args: impl IntoIterator<Item = A>,
    ) -> Result<()> {
        let mut command = host::command(&self.program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RUSTIC_"))
        {
            command.env_remove(name);
        }
        // Its own settings are looked for in the home of whoever runs the tests.
        command.env("HOME", folder).env("XDG_CONFIG_HOME", folder);
        command
            .args(["--no-cache", "--no-progress", "--log-level", "warn", "--repository"])
            .arg(&place.repository);
        command.arg("--password-file").arg(&place.password_file).args(args).current_dir(folder);
        let ended = command.stdin(std::process::Stdio::null()).output().context("cannot start rustic")?;
        let [said, complained] = [&ended.stdout, &ended.stderr].map(|text| String::from_utf8_lossy(text));
        ensure!(
            ended.status.success(),
            "rustic {} ended with {}: {complained}{said}",
            self.version,
            ended.status
        );
        Ok(())
    }
}

/// What a program says behind its name.
fn version(program: &Path, ask: &str) -> Result<String> {
    let said = host::command(program)
        .arg(ask)
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    Ok(said
        .split_whitespace()
        .nth(1)
        .with_context(|| format!("{} tells no version", program.display()))?
        .to_owned())
}

impl Peer {
    /// Finds the program. Errors: [`Missing`]; a newer one that is not newer.
    pub fn find(release: Release) -> Result<Self> {
        let program = match release {
            Release::OfSystem => host::find("restic")?,
            Release::Newer => host::require(&tools().join("restic-new"))?.to_owned(),
        };
        let version = version(&program, "version")?;
        let number = |part: Option<&str>| part.and_then(|part| part.parse().ok()).unwrap_or(0);
        let mut parts = version.split('.');
        let parsed: (u32, u32) = (number(parts.next()), number(parts.next()));
        if release == Release::Newer && parsed < NEWER_SINCE {
            let what = format!("a newer restic than {version} in {}", program.display());
            return Err(Missing { what, remedy: "tools/install-deps test" }.into());
        }
        Ok(Self { release, program, version })
    }

    /// Whether it is the newer one, whose commands have other names in places.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        self.release == Release::Newer
    }

    /// Which one it is.
    #[must_use]
    pub fn release(&self) -> Release {
        self.release
    }

    /// Its version, as it says it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Runs it over a repository and gives what it prints. Errors: it ends with a failure.
    pub fn run<A: AsRef<OsStr>>(&self, place: &Place, args: impl IntoIterator<Item = A>) -> Result<Vec<u8>> {
        self.run_in(Path::new("/"), place, args)
    }

    /// The same in a folder from which relative paths are meant.
    pub fn run_in<A: AsRef<OsStr>>(
        &self,
        folder: &Path,
        place: &Place,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Vec<u8>> {
        let mut command = host::command(&self.program);
        // Whatever the person has set for their own repository must not reach this one.
        for name in ["RESTIC_PASSWORD", "RESTIC_PASSWORD_COMMAND", "RESTIC_REPOSITORY"] {
            command.env_remove(name);
        }
        radosgw::give_keys(&mut command);
        command.args(["--no-cache", "--repo"]).arg(&place.repository);
        command.arg("--password-file").arg(&place.password_file).args(args);
        command.current_dir(folder);
        let ended = command.stdin(std::process::Stdio::null()).output().context("cannot start restic")?;
        if !ended.status.success() {
            let args = command.get_args().skip(5).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
            let [said, complained] = [&ended.stdout, &ended.stderr].map(|text| String::from_utf8_lossy(text));
            bail!("restic {} {args} ended with {}: {complained}{said}", self.version, ended.status);
        }
        Ok(ended.stdout)
    }

    /// Reads and checks every byte of a repository. Errors: it finds anything to say about it.
    pub fn check(&self, place: &Place) -> Result<()> {
        let said = self.run(place, ["check", "--read-data"])?;
        let said = String::from_utf8_lossy(&said);
        ensure!(said.contains("no errors were found"), "restic {} check says: {said}", self.version);
        Ok(())
    }

    /// All snapshots of a repository, as JSON.
    pub fn snapshots(&self, place: &Place) -> Result<Vec<serde_json::Value>> {
        serde_json::from_slice(&self.run(place, ["snapshots", "--json"])?)
            .context("restic snapshots --json answers in JSON")
    }
}
