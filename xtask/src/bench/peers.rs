//! Finding the peers that `tools/install-peers` brought, and asking each for its version.

use std::path::{Path, PathBuf};

use super::figures::{Contender, Presence};
use super::machine::{quoted, said};

/// Another backup program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    Restic,
    Rustic,
    Borg2,
}

/// A column of the table and how its program is started.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) contender: Contender,
    pub(crate) presence: Presence,
    /// What stands at the start of its command lines.
    pub(crate) program: String,
}

/// The oldest restic that is a fair peer: older ones restore without holes and pack less well.
const OLDEST_RESTIC: (u32, u32) = (0, 18);

impl Peer {
    /// The columns that this peer fills.
    fn contenders(self) -> &'static [Contender] {
        match self {
            Self::Restic => &[Contender::Restic],
            Self::Rustic => &[Contender::Rustic, Contender::RusticFixed],
            Self::Borg2 => &[Contender::Borg2, Contender::Borg2Map],
        }
    }

    /// How it is started, if a file of it lies in one of these folders.
    fn program(self, folders: &[PathBuf]) -> Option<String> {
        let find = |path: &str| folders.iter().map(|folder| folder.join(path)).find(|path| path.exists());
        match self {
            Self::Restic => find("restic-new").map(|path| quoted(&path)),
            Self::Rustic => find("cargo/bin/rustic").map(|path| quoted(&path)),
            Self::Borg2 => find("borg2-root").and_then(|root| borg(&root)),
        }
    }

    fn version(self, program: &str) -> Presence {
        let (command, name) = match self {
            Self::Restic => (format!("{program} version"), "restic "),
            Self::Rustic => (format!("{program} --version"), "rustic "),
            Self::Borg2 => (format!("{program} --version"), "borg "),
        };
        let Some(text) = said(&command, &[]) else {
            return Presence::NotHere { reason: "it does not start on this machine".to_owned() };
        };
        let Some(version) = version_after(&text, name) else {
            return Presence::NotHere { reason: format!("it names no version: {text}") };
        };
        match self {
            Self::Restic if is_older(version, OLDEST_RESTIC) => {
                Presence::NotHere { reason: format!("{version} is older than 0.18") }
            }
            Self::Restic | Self::Rustic | Self::Borg2 => Presence::Here { version: version.to_owned() },
        }
    }
}

/// The columns of these peers, those that are not here included.
pub(crate) fn find(peers: &[Peer], folders: &[PathBuf]) -> Vec<Column> {
    let column = |peer: Peer| {
        let program = peer.program(folders);
        let presence = match &program {
            Some(program) => peer.version(program),
            None => Presence::NotHere { reason: "run tools/install-peers".to_owned() },
        };
        peer.contenders().iter().map(move |&contender| Column {
            contender,
            presence: presence.clone(),
            program: program.clone().unwrap_or_default(),
        })
    };
    peers.iter().copied().flat_map(column).collect()
}

/// borg 2 out of its own Debian, without entering it: started by that system's loader with that system's libraries, so
/// that nothing has to be mounted and nothing can be removed through a mount.
fn borg(root: &Path) -> Option<String> {
    let root = root.canonicalize().ok()?;
    let (usr, libraries) = (root.join("usr"), root.join("usr/lib/x86_64-linux-gnu"));
    let loader = root.join("usr/lib64/ld-linux-x86-64.so.2");
    let borg = root.join("usr/lib/borgbackup2");
    (loader.exists() && borg.exists()).then(|| {
        format!(
            "env PYTHONHOME={} PYTHONPATH={} OPENSSL_MODULES={} {} --inhibit-cache --library-path {} {} -m borg",
            quoted(&usr),
            quoted(&borg),
            quoted(&libraries.join("ossl-modules")),
            quoted(&loader),
            quoted(&libraries),
            quoted(&usr.join("bin/python3")),
        )
    })
}

/// The word after a program's name.
fn version_after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(name)?;
    after.split_whitespace().next()
}

fn is_older(version: &str, oldest: (u32, u32)) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < oldest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_say() {
        let text = "restic 0.19.1 compiled with go1.26.4 on linux/amd64";
        assert_eq!(version_after(text, "restic "), Some("0.19.1"));
        assert_eq!(version_after("python3 -m borg 2.0.0b25", "borg "), Some("2.0.0b25"));
        assert_eq!(version_after("nothing", "borg "), None);
    }

    #[test]
    fn an_old_restic_is_no_peer() {
        assert!(is_older("0.14.0", OLDEST_RESTIC));
        assert!(!is_older("0.18.0", OLDEST_RESTIC));
        assert!(!is_older("1.0.0", OLDEST_RESTIC));
    }

    #[test]
    fn a_peer_that_is_not_there_keeps_its_columns() {
        let columns = find(&[Peer::Rustic], &["/nowhere".into()]);
        let names: Vec<_> = columns.iter().map(|column| column.contender.name()).collect();
        assert_eq!(names, ["rustic", "rustic fixed 1 MiB"]);
        assert!(columns.iter().all(|column| matches!(column.presence, Presence::NotHere { .. })));
    }
}
