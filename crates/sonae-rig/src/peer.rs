//! The restic binaries as anybody runs them: Debian 12's own, and a newer one that `tools/install-deps` unpacks.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::host::{self, Missing};

/// The first release that may count as newer: `restore --sparse`, format 2 and `rewrite` are all in it.
const NEWER_SINCE: (u32, u32) = (0, 18);

/// Which restic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Peer {
    /// Finds the program. Errors: [`Missing`]; a newer one that is not newer.
    pub fn find(release: Release) -> Result<Self> {
        let program = match release {
            Release::OfSystem => host::find("restic")?,
            Release::Newer => host::require(&tools().join("restic-new"))?.to_owned(),
        };
        let said = host::command(&program).arg("version").output().context("cannot start restic")?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let version = said.split_whitespace().nth(1).context("restic tells no version")?.to_owned();
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
