//! Golden repositories: small ones, made once by each version of ours and of restic and kept for ever, each with a text
//! that says what it holds. Every later version must still read them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sonae_types::{ByteCount, Digest};

use crate::content::Content;
use crate::disks::{self, Stretch};
use crate::peer::{Peer, Place, Release};
use crate::stand::{PASSWORD, Stand, text};

/// The text beside a golden repository.
pub const HOLDS: &str = "holds.json";
/// The repository beside that text.
pub const REPOSITORY: &str = "repository";
/// The most that a golden repository takes, since it is kept for ever.
const BYTES_MAX: ByteCount = ByteCount::kib(300);
/// The machine in the repositories that we make.
const VM: &str = "住民記録-ap01";

/// Golden repositories.
#[derive(Debug, clap::Subcommand)]
pub enum GoldenCommand {
    /// Make those of this version and of the restic programs on this machine.
    Make {
        /// The folder that takes one folder each; what is there already stays as it is.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// What a golden repository holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// The program that made it.
    pub made_by: String,
    /// Format version.
    pub format: u32,
    /// Its password.
    pub password: String,
    /// Its points, oldest first.
    pub points: Vec<HeldPoint>,
}

/// One point in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldPoint {
    /// Its id.
    pub point: Digest,
    /// Machine or host.
    pub vm: String,
    /// Every file in it.
    pub files: Vec<HeldFile>,
}

/// One file in a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFile {
    /// Its path.
    pub path: String,
    /// Its size.
    pub size_bytes: ByteCount,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

/// Does what the command line asks.
pub fn run(command: &GoldenCommand, sonae: PathBuf) -> Result<()> {
    let GoldenCommand::Make { out } = command;
    fs::create_dir_all(out)?;
    let ours = format!("sonae-{}", env!("CARGO_PKG_VERSION"));
    keep(out, &ours, || make_ours(Stand::over(sonae.clone())?))?;
    for (release, formats) in [(Release::OfSystem, &[1, 2][..]), (Release::Newer, &[2])] {
        let peer = Peer::find(release)?;
        for format in formats {
            let name = format!("restic-{}-format-{format}", peer.version());
            keep(out, &name, || make_theirs(Stand::over(sonae.clone())?, &peer, *format))?;
        }
    }
    Ok(())
}

/// Copies a repository without what belongs to no later reader: locks, temporary files, empty folders.
pub fn copy_repository(from: &Path, to: &Path) -> Result<ByteCount> {
    let mut copied = ByteCount::ZERO;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_name() == "locks" || entry.file_name() == "tmp" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copied += copy_repository(&entry.path(), &target)?;
        } else {
            fs::create_dir_all(to)?;
            copied += ByteCount::new(fs::copy(entry.path(), &target)?);
        }
    }
    Ok(copied)
}

fn keep(out: &Path, name: &str, make: impl FnOnce() -> Result<(Stand, Holds)>) -> Result<()> {
    let kept = out.join(name);
    if kept.exists() {
        return Ok(());
    }
    let (stand, holds) = make().with_context(|| format!("cannot make {name}"))?;
    let size = copy_repository(&stand.place().repository, &kept.join(REPOSITORY))?;
    ensure!(size <= BYTES_MAX, "{name} takes {size}, more than {BYTES_MAX}");
    let mut lines = serde_json::to_string_pretty(&holds)?;
    lines.push('\n');
    Ok(fs::write(kept.join(HOLDS), lines)?)
}

fn make_ours(stand: Stand) -> Result<(Stand, Holds)> {
    let kib = ByteCount::kib;
    stand.sonae(["repo", "init"])?.good()?;
    disks::make(
        &stand.path("vda"),
        &[
            Stretch::Text(1, kib(200)),
            Stretch::Noise(2, kib(40)),
            Stretch::Hole(kib(2_048)),
            Stretch::Zeros(kib(100)),
            Stretch::Text(3, kib(90)),
            Stretch::Text(4, ByteCount::new(512)),
        ],
    )?;
    disks::make(&stand.path("vdb"), &[Stretch::Hole(ByteCount::new(512))])?;
    disks::write(&stand.path("domain.xml"), "<domain><name>住民記録-ap01</name></domain>\n".as_bytes())?;
    let mut points = Vec::new();
    for seed in [5, 6] {
        disks::overwrite(&stand.path("vda"), kib(64), Stretch::Noise(seed, kib(4)))?;
        let report = stand.backup(VM, &[("vda", "vda"), ("vdb", "vdb")], &["domain.xml"])?;
        let point = text(&report["point"])?.to_owned();
        let mut files = Vec::new();
        for (path, source) in [("disk-vda.raw", "vda"), ("disk-vdb.raw", "vdb"), ("domain.xml", "domain.xml")]
        {
            files.push(HeldFile::of(format!("/{VM}/{path}"), &Content::of(&stand.path(source))?));
        }
        let manifest = format!("/{VM}/sonae/manifest.json");
        let content = stand.restored_path(&stand.place(), &point, &manifest)?;
        files.push(HeldFile::of(manifest, &content));
        points.push(HeldPoint { point: digest(&report["point"])?, vm: VM.to_owned(), files });
    }
    let made_by = format!("sonae {}", env!("CARGO_PKG_VERSION"));
    Ok((stand, Holds { made_by, format: 2, password: PASSWORD.to_owned(), points }))
}

fn make_theirs(stand: Stand, peer: &Peer, format: u32) -> Result<(Stand, Holds)> {
    let kib = ByteCount::kib;
    let place = stand.place();
    peer.run(&place, ["init", "--repository-version", &format.to_string()])?;
    fs::create_dir_all(stand.path("tree/内"))?;
    let disk = [Stretch::Text(1, kib(60)), Stretch::Noise(2, kib(20)), Stretch::Hole(kib(32))];
    disks::make(&stand.path("tree/disk.raw"), &disk)?;
    disks::write(&stand.path("tree/empty"), b"")?;
    disks::write(&stand.path("tree/内/台帳 \"<&>\".txt"), "住民記録\n".as_bytes())?;
    std::os::unix::fs::symlink("disk.raw", stand.path("tree/link"))?;
    let names = ["disk.raw", "empty", "内/台帳 \"<&>\".txt"];
    let mut points = Vec::new();
    for seed in [5, 6] {
        disks::overwrite(&stand.path("tree/disk.raw"), kib(8), Stretch::Noise(seed, kib(4)))?;
        let point = backup_tree(&stand, peer, &place)?;
        let held = |name: &&str| -> Result<HeldFile> {
            Ok(HeldFile::of(format!("/tree/{name}"), &Content::of(&stand.path(&format!("tree/{name}")))?))
        };
        let files = names.iter().map(held).collect::<Result<_>>()?;
        points.push(HeldPoint { point, vm: "file-server".to_owned(), files });
    }
    let made_by = format!("restic {}", peer.version());
    Ok((stand, Holds { made_by, format, password: PASSWORD.to_owned(), points }))
}

/// Lets restic save the folder `tree` of a stand, and gives the id of the snapshot.
pub fn backup_tree(stand: &Stand, peer: &Peer, place: &Place) -> Result<Digest> {
    let before = peer.snapshots(place)?;
    peer.run_in(&stand.path("."), place, ["backup", "--host", "file-server", "tree"])?;
    let after = peer.snapshots(place)?;
    let new = after.iter().find(|snapshot| !before.iter().any(|old| old["id"] == snapshot["id"]));
    digest(&new.context("restic saved a snapshot")?["id"])
}

fn digest(value: &Value) -> Result<Digest> {
    text(value)?.parse().ok().with_context(|| format!("{value} is no id"))
}

impl HeldFile {
    fn of(path: String, content: &Content) -> Self {
        Self { path, size_bytes: content.size, sha256: content.sha256() }
    }
}
