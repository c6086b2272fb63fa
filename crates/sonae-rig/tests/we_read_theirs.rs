//! Repositories that plain restic and rustic made, with what restic cuts by its own rule, in formats 1 and 2: we check,
//! list, verify and restore them, back up into them, and their makers go on in them.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sonae_agent::system_environment;
use sonae_repo::Repository;
use sonae_repo::crypto::Password;
use sonae_repo::store::LocalStore;
use sonae_rig::content::Content;
use sonae_rig::disks::{self, PAGE, Stretch};
use sonae_rig::peer::{Peer, Place, Release, Rustic};
use sonae_rig::stand::{PASSWORD, Stand, claim, number, say, text};
use sonae_types::ByteCount;

const VM: &str = "jumin-ap01";
/// Names of files that have been somebody's trouble: for shells, for JSON, for Go's quoting, for normal forms.
const NAMES: [&str; 18] = [
    "a b",
    " ",
    "-rf",
    "quo\"te",
    "single'quote",
    "back\\slash",
    "\\x93\\u3000",
    "new\nline",
    "tab\tbell\u{7}del\u{7f}",
    "台帳 <&>.txt",
    "が と か\u{3099}",
    "全角\u{3000}空白",
    "絵文字🏯",
    "zero\u{200b}width",
    "\u{feff}mark",
    "line\u{2028}break",
    "private\u{e000}",
    "unassigned\u{378}",
];
/// A name as an old file server gave it: 日本 in Shift-JIS. We show it as restic quotes it.
const LEGACY: (&[u8], &str) = (b"\x93\xfa\x96{", "\\x93\\xfa\\x96{");
/// What a backup of what is there already may take: its trees, its snapshot, its index.
const POINT_BYTES_MAX: u64 = 64 << 10;

/// Who makes a repository and goes on in it.
enum Maker {
    Restic(Peer),
    Rustic(Rustic),
}

/// A repository of somebody else, with one snapshot of a folder, and what is in that.
struct Theirs {
    stand: Stand,
    maker: Maker,
    /// Path in the snapshot, as we show it, and content.
    files: Vec<(String, Content)>,
}

/// A folder as file servers have them: a disk image with holes, hard names, links, empty and long things.
fn make_tree(stand: &Stand) -> Result<Vec<(String, Content)>> {
    use Stretch::{Hole, Noise, Text, Zeros};
    let (kib, mib) = (ByteCount::kib, ByteCount::mib);
    let long = "d".repeat(255);
    let tree = stand.path("tree");
    fs::create_dir_all(tree.join("内").join(&long))?;
    fs::create_dir(tree.join("empty folder"))?;
    let image = [Text(1, mib(3)), Noise(2, mib(10)), Hole(mib(40)), Zeros(mib(2)), Noise(3, mib(4))];
    disks::make(&tree.join("disk.raw"), &[&image[..], &[Text(4, ByteCount::new(777))]].concat())?;
    disks::make(&tree.join("内").join(&long).join("あ".repeat(85)), &[Noise(5, kib(100))])?;
    disks::write(&tree.join("empty"), b"")?;
    for (seed, name) in (10..).zip(NAMES) {
        disks::make(&tree.join(name), &[Text(seed, ByteCount::new(100 * seed))])?;
    }
    disks::write(&tree.join(std::ffi::OsStr::from_bytes(LEGACY.0)), b"legacy")?;
    fs::hard_link(tree.join("a b"), tree.join("hard link"))?;
    std::os::unix::fs::symlink("disk.raw", tree.join("link"))?;
    std::os::unix::fs::symlink("../no such thing", tree.join("broken link"))?;
    let note = disks::set_attribute(&tree.join("a b"), "user.note", "覚え書き".as_bytes());
    if let Err(error) = note {
        say(&format!("skipped: extended attributes, which this file system does not keep ({error})"));
    }
    let long = format!("内/{long}/{}", "あ".repeat(85));
    let plain = NAMES.into_iter().chain(["disk.raw", "empty", "hard link", &long]);
    let mut files = vec![(LEGACY.1.to_owned(), Content::of_bytes(b"legacy"))];
    for name in plain {
        files.push((name.to_owned(), Content::of(&tree.join(name))?));
    }
    Ok(files.into_iter().map(|(name, content)| (format!("/tree/{name}"), content)).collect())
}

impl Maker {
    fn init(&self, place: &Place, args: &[&str]) -> Result<()> {
        let args = [&["init"], args].concat();
        match self {
            Self::Restic(peer) => peer.run(place, args).map(drop),
            Self::Rustic(rustic) => rustic.run(Path::new("/"), place, args),
        }
    }

    /// Saves the folder `tree`.
    fn backup(&self, stand: &Stand, args: &[&str]) -> Result<()> {
        let args = [&["backup", "--host", "file-server"], args, &["tree"]].concat();
        match self {
            Self::Restic(peer) => peer.run_in(&stand.path("."), &stand.place(), args).map(drop),
            Self::Rustic(rustic) => rustic.run(&stand.path("."), &stand.place(), args),
        }
    }

    fn check(&self, place: &Place) -> Result<()> {
        match self {
            Self::Restic(peer) => peer.check(place),
            Self::Rustic(rustic) => rustic.run(Path::new("/"), place, ["check", "--read-data"]),
        }
    }
}

impl Theirs {
    fn made_by(maker: Maker, init: &[&str], backup: &[&str]) -> Result<Self> {
        let stand = Stand::new()?;
        maker.init(&stand.place(), init)?;
        let files = make_tree(&stand)?;
        maker.backup(&stand, backup)?;
        Ok(Self { stand, maker, files })
    }

    /// The points of a machine or host.
    fn points_of(&self, vm: &str) -> Result<Vec<Value>> {
        let list = self.stand.sonae(["points", "--vm", vm])?.good()?;
        ensure!(list["damaged"].as_array().is_some_and(Vec::is_empty), "{list}");
        Ok(list["points"].as_array().context("points lists points")?.clone())
    }

    fn is_good(&self) -> Result<()> {
        for args in [&["repo", "check", "--read-data"][..], &["verify", "--all"]] {
            let said = self.stand.sonae(args)?.good()?;
            ensure!(said["verdict"] == "good", "{said}");
        }
        Ok(())
    }

    /// Their point is listed, shown and restored to the last byte, whatever its files are called.
    fn is_read(&self) -> Result<()> {
        self.is_good()?;
        let points = self.points_of("file-server")?;
        ensure!(points.len() == 1 && points[0]["disks"] == serde_json::json!([]), "{points:?}");
        let point = text(&points[0]["point"])?;
        let shown = self.stand.sonae(["show", point])?.good()?;
        let listed = shown["files"].as_array().context("show lists files")?;
        assert_eq!(listed.len(), self.files.len(), "{shown}");
        for (path, content) in &self.files {
            let listed = listed.iter().find(|file| file["path"] == **path);
            let size = number(&listed.with_context(|| format!("{path:?} is not shown"))?["size_bytes"])?;
            assert_eq!(size, content.size.get(), "{path:?}");
        }
        std::thread::scope(|scope| {
            let restores = self.files.iter().map(|(path, content)| {
                scope.spawn(move || -> Result<()> {
                    let restored = self.stand.restored_path(&self.stand.place(), point, path)?;
                    ensure!(restored == *content, "{path:?} is another file");
                    Ok(())
                })
            });
            let restores = restores.collect::<Vec<_>>();
            restores.into_iter().try_for_each(|it| it.join().expect("a restore does not panic"))
        })
    }

    /// Both passwords of a repository open it for us.
    fn opens_with_a_second_password(&self) -> Result<()> {
        fs::write(self.stand.path("second"), "二つ目の鍵 \r\n")?;
        let second = Place { password_file: self.stand.path("second"), ..self.stand.place() };
        let added = ["key", "add", "--new-password-file", &self.stand.at("second")];
        match &self.maker {
            Maker::Restic(peer) => peer.run(&self.stand.place(), added)?,
            Maker::Rustic(_) => {
                self.stand.sonae(added)?.good()?;
                Vec::new()
            }
        };
        for place in [&second, &self.stand.place()] {
            let points = self.stand.sonae_at(place, ["points"])?.good()?;
            assert_eq!(points["points"].as_array().map(Vec::len), Some(1), "{points}");
        }
        let keys = self.stand.sonae(["key", "list"])?.good()?;
        assert_eq!(keys["keys"].as_array().map(Vec::len), Some(2), "{keys}");
        Ok(())
    }

    /// We back up into it, again at next to no cost, and whoever made it finds all of it sound and goes on.
    fn goes_on(&self, witness: &Peer) -> Result<()> {
        let (kib, mib) = (ByteCount::kib, ByteCount::mib);
        let disk = [Stretch::Text(50, mib(2)), Stretch::Noise(51, mib(4)), Stretch::Hole(mib(6))];
        disks::make(&self.stand.path("vda"), &[&disk[..], &[Stretch::Text(52, kib(301))]].concat())?;
        let backup = || self.stand.backup(VM, &[("vda", "vda")], &[]);
        backup()?;
        let before = self.stand.pack_bytes()?.get();
        let again = backup()?;
        let (disk, grown) = (&again["disks"][0], self.stand.pack_bytes()?.get() - before);
        ensure!(disk["new_chunk_bytes"] == 0 && grown < POINT_BYTES_MAX, "{grown} bytes: {again}");
        disks::overwrite(&self.stand.path("vda"), ByteCount::mib(3), Stretch::Noise(60, PAGE))?;
        let third = backup()?;
        let new = number(&third["disks"][0]["new_chunk_bytes"])?;
        ensure!(0 < new && new < ByteCount::mib(2).get(), "one page changed: {third}");
        self.maker.check(&self.stand.place())?;

        let before = self.stand.pack_bytes()?.get();
        self.maker.backup(&self.stand, &["--force"])?;
        let grown = self.stand.pack_bytes()?.get() - before;
        ensure!(grown < POINT_BYTES_MAX, "what its maker has there already took {grown} bytes again");
        assert_eq!(self.points_of("file-server")?.len(), 2);
        assert_eq!(self.points_of(VM)?.len(), 3);
        self.is_good()?;
        let restored = self.stand.restored(text(&third["point"])?, "vda")?;
        assert_eq!(restored, Content::of(&self.stand.path("vda"))?);
        witness.check(&self.stand.place())
    }

    /// No pack has a compressed blob. restic builds the index from the headers of all packs, and refuses compressed ones.
    fn has_nothing_compressed(&self, witness: &Peer) -> Result<()> {
        assert_eq!(self.stand.sonae(["repo", "info"])?.good()?["version"], 1);
        witness.run(&self.stand.place(), ["rebuild-index", "--read-all-packs"])?;
        witness.check(&self.stand.place())?;
        let store = std::sync::Arc::new(LocalStore::open(&self.stand.place().repository)?);
        let password = Password::from_file_bytes(PASSWORD.as_bytes());
        let index = Repository::open(store, system_environment(), &password)?.load_index()?;
        ensure!(index.iter().count() != 0 && index.iter().all(|place| place.blob.expanded.is_none()));
        Ok(())
    }
}

/// The whole story of one repository of restic's.
fn restics(release: Release, format: &str, options: &[&str]) {
    claim(|| {
        let (maker, witness) = (Peer::find(release)?, Peer::find(Release::OfSystem)?);
        say(&format!(
            "restic {} in format {format}, restic {} beside us",
            maker.version(),
            witness.version()
        ));
        let init = ["--repository-version", format];
        let theirs = Theirs::made_by(Maker::Restic(maker), &init, options)?;
        is_ours_too(&theirs, &witness)?;
        if format == "1" { theirs.has_nothing_compressed(&witness) } else { Ok(()) }
    });
}

/// The whole story of one repository of rustic's.
fn rustics(options: &[&str]) {
    claim(|| {
        let (maker, witness) = (Rustic::find()?, Peer::find(Release::OfSystem)?);
        say(&format!("rustic {}, restic {} beside us", maker.version(), witness.version()));
        let theirs = Theirs::made_by(Maker::Rustic(maker), options, &[])?;
        is_ours_too(&theirs, &witness)
    });
}

fn is_ours_too(theirs: &Theirs, witness: &Peer) -> Result<()> {
    theirs.opens_with_a_second_password()?;
    theirs.stand.cheapen_key(system_environment())?;
    theirs.is_read()?;
    theirs.goes_on(witness)
}

#[test]
fn format_1_of_restic_of_this_system_is_read_and_gone_on_with_and_nothing_in_it_is_compressed() {
    restics(Release::OfSystem, "1", &[]);
}

#[test]
fn format_2_of_restic_of_this_system_is_read_and_gone_on_with() {
    restics(Release::OfSystem, "2", &[]);
}

#[test]
fn format_1_of_a_newer_restic_is_read_and_gone_on_with_and_nothing_in_it_is_compressed() {
    restics(Release::Newer, "1", &[]);
}

#[test]
fn format_2_of_a_newer_restic_with_most_compression_and_large_packs_is_read_and_gone_on_with() {
    restics(Release::Newer, "2", &["--compression", "max", "--pack-size", "64"]);
}

#[test]
fn format_2_of_a_newer_restic_with_no_compression_and_small_packs_is_read_and_gone_on_with() {
    restics(Release::Newer, "2", &["--compression", "off", "--pack-size", "4"]);
}

#[test]
fn what_rustic_makes_is_read_and_gone_on_with() {
    rustics(&[]);
}

#[test]
fn what_rustic_cuts_at_fixed_places_is_read_and_gone_on_with() {
    rustics(&["--set-chunker", "fixed_size", "--set-chunk-size", "1MiB"]);
}
