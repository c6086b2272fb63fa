//! Ten years on, with neither Sonae nor restic at hand: a short Python program restores what we wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use sonae_agent::system_environment;
use sonae_rig::content::Content;
use sonae_rig::disks::{self, PAGE, Stretch};
use sonae_rig::host::{self, Missing};
use sonae_rig::peer::{Peer, Release};
use sonae_rig::stand::{Stand, claim, say, text};
use sonae_types::ByteCount;

const VM: &str = "住民\u{3000}\"ap01\"";
const DISKS: [&str; 2] = ["vda", "vdb"];
/// A reader that is longer is no reader that somebody writes again in an emergency.
const LINES_MAX: usize = 150;

/// The program, which Debian's own Python runs with two of Debian's packages.
struct Script {
    path: PathBuf,
}

impl Script {
    fn find() -> Result<Self> {
        let python = host::require(Path::new("/usr/bin/python3"))?;
        let imports =
            "import cryptography, sys, zstandard; print(sys.version.split()[0], cryptography.__version__)";
        let said = host::command(python).args(["-c", imports]).output()?;
        if !said.status.success() {
            let what = "python3-cryptography or python3-zstandard".to_owned();
            return Err(Missing { what, remedy: "tools/install-deps test" }.into());
        }
        say(&format!("python and cryptography {}", String::from_utf8_lossy(&said.stdout).trim()));
        Ok(Self { path: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/restore.py") })
    }

    fn run(&self, stand: &Stand, password: &Path, args: &[&str]) -> Result<Output> {
        let mut command = host::command(&self.path);
        command.arg(stand.place().repository).arg(password).args(args);
        command.output().context("cannot start the script")
    }

    /// What it prints. Errors: it fails.
    fn says(&self, stand: &Stand, args: &[&str]) -> Result<String> {
        let ended = self.run(stand, &stand.place().password_file, args)?;
        ensure!(ended.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ended.stderr));
        Ok(String::from_utf8(ended.stdout)?)
    }

    /// Restores a disk to a new file and gives its path.
    fn restored(&self, stand: &Stand, point: &str, disk: &str) -> Result<PathBuf> {
        let to = stand.path(&format!("{point}-{disk}"));
        self.says(stand, &[point, &format!("/{VM}/disk-{disk}.raw"), &to.display().to_string()])?;
        Ok(to)
    }

    /// The exit code of a restore that must not succeed, and what it says; the target is not there.
    fn refuses(&self, stand: &Stand, password: &Path, point: &str) -> Result<(Option<i32>, String)> {
        let to = stand.path("refused");
        let args = [point, &format!("/{VM}/disk-vda.raw"), &to.display().to_string()];
        let ended = self.run(stand, password, &args)?;
        ensure!(!to.exists(), "a restore that failed left {}", to.display());
        let said = String::from_utf8(ended.stderr)?;
        ensure!(!said.contains("Traceback"), "{said}");
        Ok((ended.status.code(), said))
    }
}

/// Disks of odd sizes, with data, holes and zeros, of more than one pack.
fn make_disks(stand: &Stand) -> Result<()> {
    use Stretch::{Hole, Noise, Text, Zeros};
    let (kib, mib, bytes) = (ByteCount::kib, ByteCount::mib, ByteCount::new);
    let first = [Text(1, mib(2)), Noise(2, mib(17)), Zeros(kib(700)), Hole(mib(20))];
    let last = [Noise(3, mib(1)), Hole(mib(6)), Noise(4, bytes(513)), Hole(bytes(4_095))];
    disks::make(&stand.path("vda"), &[first, last].concat())?;
    disks::make(&stand.path("vdb"), &[Noise(5, kib(300)), Text(6, bytes(77))])
}

fn backup(stand: &Stand) -> Result<String> {
    Ok(text(&stand.backup(VM, &[("vda", "vda"), ("vdb", "vdb")], &[])?["point"])?.to_owned())
}

fn is_restored(script: &Script, stand: &Stand, point: &str) -> Result<()> {
    for disk in DISKS {
        let restored = script.restored(stand, point, disk)?;
        assert_eq!(Content::of(&restored)?, Content::of(&stand.path(disk))?, "{disk} of {point}");
        let (before, after) = (disks::allocated(&stand.path(disk))?, disks::allocated(&restored)?);
        assert!(after < before + ByteCount::mib(1), "{disk} took {before} and takes {after}");
        fs::remove_file(restored)?;
    }
    Ok(())
}

#[test]
fn the_reader_in_python_is_short() {
    let lines = include_str!("../../../tools/restore.py").lines().count();
    assert!(lines < LINES_MAX, "it has {lines} lines");
}

#[test]
fn a_short_python_program_lists_and_restores_every_point_of_ours() {
    claim(|| {
        let script = Script::find()?;
        let stand = Stand::with_repository()?;
        make_disks(&stand)?;
        let first = backup(&stand)?;
        is_restored(&script, &stand, &first)?;
        disks::overwrite(&stand.path("vda"), ByteCount::mib(5), Stretch::Noise(7, PAGE))?;
        disks::overwrite(&stand.path("vdb"), ByteCount::ZERO, Stretch::Zeros(ByteCount::kib(100)))?;
        let second = backup(&stand)?;
        is_restored(&script, &stand, &second)?;
        let listed = script.says(&stand, &[])?;
        let ids = listed.lines().filter_map(|line| line.split(' ').next()).collect::<Vec<_>>();
        assert_eq!(ids, [&first[..16], &second[..16]], "oldest first");
        let files = script.says(&stand, &[&second])?;
        for disk in DISKS {
            let line = format!("{} /{VM}/disk-{disk}.raw", fs::metadata(stand.path(disk))?.len());
            assert!(files.lines().any(|it| it == line), "{line} is not in {files}");
        }
        Ok(())
    });
}

#[test]
fn a_short_python_program_restores_what_we_wrote_in_format_1() {
    claim(|| {
        let (script, peer) = (Script::find()?, Peer::find(Release::OfSystem)?);
        say(&format!("restic {}", peer.version()));
        let stand = Stand::new()?;
        peer.run(&stand.place(), ["init", "--repository-version", "1"])?;
        make_disks(&stand)?;
        let point = backup(&stand)?;
        is_restored(&script, &stand, &point)
    });
}

#[test]
fn the_python_program_refuses_a_wrong_password_an_unknown_point_and_a_place_without_a_repository() {
    claim(|| {
        let script = Script::find()?;
        let stand = Stand::with_cheap_key(system_environment())?;
        make_disks(&stand)?;
        let point = backup(&stand)?;
        let (wrong, right) = (stand.path("wrong"), stand.place().password_file);
        fs::write(&wrong, "another password\n")?;
        let (code, said) = script.refuses(&stand, &wrong, &point)?;
        assert!(code == Some(12) && said.contains("password"), "{code:?} {said}");
        let (code, said) = script.refuses(&stand, &right, "0000000")?;
        assert!(code == Some(1) && said.contains("0000000"), "{code:?} {said}");
        let (code, said) = script.refuses(&Stand::new()?, &right, &point)?;
        assert!(code == Some(10) && said.contains("repository"), "{code:?} {said}");
        fs::write(stand.path("there"), "somebody's")?;
        let there = stand.at("there");
        let ended = script.run(&stand, &right, &[&point, &format!("/{VM}/disk-vda.raw"), &there])?;
        assert_eq!((ended.status.code(), fs::read(&there)?), (Some(1), b"somebody's".to_vec()));
        Ok(())
    });
}

#[test]
fn whichever_bit_is_flipped_the_python_program_restores_the_same_bytes_or_says_what_is_damaged() {
    claim(|| {
        let script = Script::find()?;
        let stand = Stand::with_cheap_key(system_environment())?;
        make_disks(&stand)?;
        let point = backup(&stand)?;
        let (mut files, mut found) = (0, 0);
        for (path, content) in stand.listing()?.into_iter().filter(|(_, content)| content.is_some()) {
            let middle = content.map_or(0, |content| content.size.as_len() / 2);
            let before = fs::read(&path)?;
            let mut bytes = before.clone();
            bytes[middle] ^= 16;
            replace(&path, &bytes)?;
            files += 1;
            let to = stand.path("restored");
            let args = [point.as_str(), &format!("/{VM}/disk-vda.raw"), &to.display().to_string()];
            let ended = script.run(&stand, &stand.place().password_file, &args)?;
            let said = String::from_utf8(ended.stderr)?;
            match ended.status.code() {
                Some(0) => {
                    assert_eq!(Content::of(&to)?, Content::of(&stand.path("vda"))?, "{}", path.display());
                }
                Some(13) => {
                    assert!(!to.exists() && said.contains("damaged"), "{}: {said}", path.display());
                    found += 1;
                }
                other => panic!("{}: {other:?} {said}", path.display()),
            }
            fs::remove_file(&to).or_else(|error| if to.exists() { Err(error) } else { Ok(()) })?;
            replace(&path, &before)?;
        }
        // A pack that holds nothing of this disk does not keep it from being restored.
        ensure!(6 <= files && files - 1 <= found, "{found} of {files} were found damaged");
        is_restored(&script, &stand, &point)
    });
}

/// Writes a file that may be written by nobody.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::remove_file(path)?;
    Ok(fs::write(path, bytes)?)
}
