//! The template: the files of a Debian server, unpacked and never configured, so that no machine's own keys, caches or
//! times come into the corpus.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::tree::Tree;
use crate::host;

/// The Debian release whose files fill the images.
const RELEASE: &str = "bookworm";
/// What a package manager keeps for itself, and what is no file.
const LEFT_OUT: [&str; 8] =
    ["/dev", "/proc", "/sys", "/run", "/tmp", "/var/lib/apt", "/var/cache", "/var/log"];

/// Where the files of the images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Origin {
    /// Packages of a Debian release, the same on every machine on the same day.
    DebianPackages,
    /// This machine's own `/usr`, because packages could not be had: figures compare only on this machine.
    ThisMachine,
}

/// The template's files, and why they are not from packages if they are not.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) tree: Tree,
    pub(crate) origin: Origin,
    pub(crate) reason: Option<String>,
}

/// Unpacks packages into `folder`; where that fails, takes this machine's own files up to `fallback_bytes`.
pub(crate) fn template(packages: &str, folder: &Path, fallback_bytes: u64, log: &Path) -> Result<Template> {
    match unpack(packages, folder, log) {
        Ok(()) => {
            let tree = Tree::scan(folder, "").context("cannot read the template")?.without(&LEFT_OUT);
            Ok(Template { tree, origin: Origin::DebianPackages, reason: None })
        }
        Err(error) => {
            host::go_on()?;
            let tree = Tree::scan(Path::new("/usr"), "/usr").context("cannot read /usr")?;
            let tree = tree.without(&["/usr/local", "/usr/src"]).up_to(fallback_bytes);
            Ok(Template { tree, origin: Origin::ThisMachine, reason: Some(format!("{error:#}")) })
        }
    }
}

fn unpack(packages: &str, folder: &Path, log: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let mut command = host::program("mmdebstrap")?;
    command.args(["--variant=extract", "--include=?essential", &format!("--include={packages}")]);
    command.args([
        "--aptopt=Apt::Install-Recommends false",
        "--aptopt=Acquire::Check-Valid-Until \"false\"",
        RELEASE,
    ]);
    host::run(command.arg(folder), log)
}
