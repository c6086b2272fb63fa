//! Copies by the program itself, judged by plain restic: whatever was wrong with the target before, killed in the middle,
//! healed from, and read and copied on by restic (requirements 000-33, 003-31, 004-23; design test 24).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sonae_repo::store::{FileKind, FileName, LocalStore, ObjectStore as _};
use sonae_rig::content::Content;
use sonae_rig::damage::{Base, Copied, create, each, link};
use sonae_rig::host::{self, Running};
use sonae_rig::peer::{Peer, Place, Release};
use sonae_rig::stand::{Answer, Stand, claim};
use sonae_types::{ByteCount, Digest};

const AT_ONCE: usize = 2;

/// What was done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Removed,
    Shortened,
    Emptied,
    Lengthened,
    /// The same name and length, other bytes.
    Altered,
}

/// What is wrong with a target.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// Half of the packs and nothing that lists them, as after an interruption.
    Interrupted,
    /// A file that the source does not have.
    Extra,
    /// Every file of a kind.
    Files(FileKind, Done),
}

/// Whose key the target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Same,
    Other,
}

/// When a copy is killed: as soon as so many files of a kind are in the target.
#[derive(Clone, Copy, Debug)]
struct Moment {
    key: Key,
    kind: FileKind,
    files: usize,
}

fn files(repository: &Path, kind: FileKind) -> Result<Vec<FileName>> {
    let listed = LocalStore::open(repository)?.list(kind)?;
    Ok(listed.into_iter().map(|file| FileName::Hashed(kind, file.id)).collect())
}

fn change(repository: &Path, file: FileName, done: Done) -> Result<()> {
    let path = repository.join(file.to_string());
    let mut bytes = std::fs::read(&path)?;
    // The file itself may also be that of the sound repository.
    std::fs::remove_file(&path)?;
    match done {
        Done::Removed => return Ok(()),
        Done::Shortened => bytes.truncate(bytes.len() / 2),
        Done::Emptied => bytes.clear(),
        Done::Lengthened => bytes.extend_from_slice(b"garbage behind the end"),
        Done::Altered => bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1)),
    }
    Ok(std::fs::write(path, bytes)?)
}

fn apply(wrong: Wrong, target: &Path) -> Result<()> {
    match wrong {
        Wrong::Interrupted => {
            for kind in [FileKind::Index, FileKind::Snapshot] {
                files(target, kind)?.into_iter().try_for_each(|file| change(target, file, Done::Removed))?;
            }
            let packs = files(target, FileKind::Data)?;
            packs.into_iter().step_by(2).try_for_each(|pack| change(target, pack, Done::Removed))
        }
        Wrong::Extra => {
            let extra = FileName::Hashed(FileKind::Data, Digest::new([0x5a; 32])).to_string();
            let path = target.join(extra);
            std::fs::create_dir_all(path.parent().context("a folder")?)?;
            Ok(std::fs::write(path, b"of somebody else")?)
        }
        Wrong::Files(kind, done) => {
            files(target, kind)?.into_iter().try_for_each(|file| change(target, file, done))
        }
    }
}

/// A folder beside a copy of the base.
fn beside(source: &Copied<'_>, name: &str) -> PathBuf {
    source.place().repository.with_extension(name)
}

fn copy_to(source: &Copied<'_>, target: &Path, more: &[&str]) -> Result<Answer> {
    let to = target.display().to_string();
    source.sonae(&[&["copy", "--to", &to], more].concat())
}

fn prove(source: &Copied<'_>, target: &Path) -> Result<Answer> {
    let places = [source.place().repository.display().to_string(), target.display().to_string()];
    source.sonae(&["replica", "prove", &places[0], &places[1], "--sample", "100"])
}

fn at(source: &Copied<'_>, target: &Path) -> Place {
    Place { repository: target.to_owned(), ..source.place().clone() }
}

#[test]
fn a_copy_is_whole_whatever_was_wrong_with_the_target_before() {
    claim(|| {
        let (base, restic) = (Base::new()?, Peer::find(Release::OfSystem)?);
        let mut cases = vec![Wrong::Interrupted, Wrong::Extra];
        for kind in [FileKind::Data, FileKind::Index, FileKind::Snapshot] {
            for done in [Done::Removed, Done::Shortened, Done::Altered] {
                cases.push(Wrong::Files(kind, done));
            }
        }
        cases.extend([Done::Emptied, Done::Lengthened].map(|done| Wrong::Files(FileKind::Data, done)));
        each(AT_ONCE, &cases, |wrong| {
            let source = base.copy()?;
            let target = beside(&source, "target");
            link(&source.place().repository, &target)?;
            prove(&source, &target)?.good().context("before")?;
            apply(*wrong, &target)?;
            let altered = matches!(wrong, Wrong::Files(_, Done::Altered));
            let before = prove(&source, &target)?;
            ensure!(before.code == if altered { 13 } else { 17 }, "before: {}", before.document);
            let more: &[&str] = if altered { &["--read-data"] } else { &[] };
            let report = copy_to(&source, &target, more)?.good()?;
            let after = prove(&source, &target)?;
            if let Wrong::Extra = wrong {
                ensure!(after.code == 17, "after: {}", after.document);
                let differences = after.document["differences"].as_array().context("differences")?;
                ensure!(differences.len() == 1 && differences[0]["first_bytes"].is_null(), "{differences:?}");
            } else {
                after.good().with_context(|| format!("after {report}"))?;
            }
            let again = copy_to(&source, &target, &[])?.good()?;
            ensure!(again["copied"]["files"] == 0 && again["replaced"]["files"] == 0, "{again}");
            restic.check(&at(&source, &target))?;
            Ok(std::fs::remove_dir_all(target)?)
        })?;
        println!("{} wrong targets copied over, restic {}", cases.len(), restic.version());
        Ok(())
    });
}

/// Starts a copy and kills it at its moment. Answers whether it was killed.
fn kill_copy(moment: Moment, source: &Copied<'_>, target: &Path) -> Result<bool> {
    let program = Stand::new()?.command([""; 0]).get_program().to_owned();
    let (place, mut copy) = (source.place(), host::command(Path::new(&program)));
    copy.env_remove("SONAE_REPO").env_remove("SONAE_PASSWORD_FILE");
    copy.arg("--repo").arg(&place.repository).arg("--password-file").arg(&place.password_file);
    // Slow enough to be met on its way.
    copy.args(["--quiet", "--limit-upload", "2M", "copy", "--to"]).arg(target);
    copy.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(host::spawn(&mut copy)?);
    let killed = host::poll_every(Duration::from_micros(200), Duration::from_secs(60), || {
        if running.0.try_wait()?.is_some() {
            return Ok(Some(false));
        }
        let reached = LocalStore::open(target).and_then(|store| store.list(moment.kind));
        if reached.is_ok_and(|files| moment.files <= files.len()) {
            running.0.kill()?;
            running.0.wait()?;
            return Ok(Some(true));
        }
        Ok(None)
    })?;
    killed.context("neither the moment nor the end came")
}

#[test]
fn a_killed_copy_leaves_whole_points_only_and_the_next_one_completes_it() {
    claim(|| {
        let (base, restic) = (Base::new()?, Peer::find(Release::OfSystem)?);
        let mut moments = Vec::new();
        for key in [Key::Same, Key::Other] {
            let of = |kind, files: &[usize]| {
                files.iter().map(|files| Moment { key, kind, files: *files }).collect::<Vec<_>>()
            };
            moments.extend(of(FileKind::Lock, &[1]));
            // Under another key there are fewer packs, and longer ones.
            let packs: &[usize] = if key == Key::Same { &[1, 4, 12, 24] } else { &[1, 2] };
            moments.extend(of(FileKind::Data, packs));
            moments.extend(of(FileKind::Index, &[1]));
            moments.extend(of(FileKind::Snapshot, &[1, 3]));
        }
        let killed = std::sync::atomic::AtomicUsize::new(0);
        each(AT_ONCE, &moments, |moment| {
            let source = base.copy()?;
            let target = beside(&source, "target");
            if moment.key == Key::Other {
                drop(create(&target)?);
            }
            if kill_copy(*moment, &source, &target)? {
                killed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            if target.join("config").exists() {
                let verified = Stand::new()?.sonae_at(&at(&source, &target), ["verify", "--all"])?;
                // Without any point, nothing is proven: 15.
                ensure!([0, 15].contains(&verified.code), "after the kill: {}", verified.document);
            }
            let report = copy_to(&source, &target, &[])?.good()?;
            let points = base.runs().len() as u64;
            let count = |name: &str| report[name].as_u64().unwrap_or(0);
            ensure!(count("points_copied") + count("points_there") == points, "{report}");
            if moment.key == Key::Same {
                prove(&source, &target)?.good()?;
            }
            restic.check(&at(&source, &target))?;
            restic.check(source.place())?;
            Ok(std::fs::remove_dir_all(target)?)
        })?;
        let killed = killed.into_inner();
        println!("{killed} of {} copies killed, restic {}", moments.len(), restic.version());
        ensure!(moments.len() <= killed * 2, "only {killed} of {} copies were killed", moments.len());
        Ok(())
    });
}

#[test]
fn restic_reads_both_kinds_of_copies_and_neither_program_copies_again_what_the_other_one_copied() {
    claim(|| {
        let base = Base::new()?;
        for release in [Release::OfSystem, Release::Newer] {
            let (source, peer) = (base.copy()?, Peer::find(release)?);
            for key in [Key::Same, Key::Other] {
                let target = beside(&source, "target");
                if key == Key::Other {
                    drop(create(&target)?);
                }
                copy_to(&source, &target, &[])?.good()?;
                let place = at(&source, &target);
                peer.check(&place)?;
                let run = &base.runs()[3];
                let (disk, image) = &run.disks[0];
                let snapshots = peer.snapshots(&place)?;
                ensure!(snapshots.len() == base.runs().len(), "{} snapshots", snapshots.len());
                let restored = beside(&source, "restored");
                let to = restored.display().to_string();
                peer.run(&place, ["restore", "latest", "--host", run.vm, "--target", &to])?;
                let found = restored.join(run.path_of(disk).trim_start_matches('/'));
                ensure!(Content::of(&found)? == Content::of(image)?, "{disk} came back as another disk");
                std::fs::remove_dir_all(restored)?;
                // restic recognises what we have copied.
                copy_by(&peer, source.place(), &place)?;
                ensure!(peer.snapshots(&place)?.len() == snapshots.len(), "restic copied again");
                std::fs::remove_dir_all(target)?;
            }
            // And we recognise what restic has copied into a repository of its own.
            let theirs = at(&source, &beside(&source, "theirs"));
            peer.run(&theirs, ["init"])?;
            copy_by(&peer, source.place(), &theirs)?;
            peer.check(&theirs)?;
            let report = copy_to(&source, &theirs.repository, &[])?.good()?;
            ensure!(report["points_copied"] == 0 && report["key"] == "other", "{report}");
            std::fs::remove_dir_all(&theirs.repository)?;
            println!("copies read and copied on by restic {}", peer.version());
        }
        Ok(())
    });
}

/// restic's own copy; what the options are called depends on the release.
fn copy_by(peer: &Peer, from: &Place, to: &Place) -> Result<()> {
    let (repository, password) =
        (from.repository.display().to_string(), from.password_file.display().to_string());
    peer.run(to, ["copy", "--from-repo", &repository, "--from-password-file", &password]).map(drop)
}

#[test]
fn a_damaged_repository_is_healed_from_a_copy_and_restic_agrees() {
    claim(|| {
        let (base, restic) = (Base::new()?, Peer::find(Release::OfSystem)?);
        let mut cases = Vec::new();
        for key in [Key::Same, Key::Other] {
            cases.extend([Done::Removed, Done::Altered].map(|done| (key, FileKind::Data, done)));
            cases.push((key, FileKind::Index, Done::Altered));
        }
        cases.extend([Done::Shortened, Done::Emptied].map(|done| (Key::Other, FileKind::Data, done)));
        cases.push((Key::Same, FileKind::Data, Done::Lengthened));
        cases.push((Key::Same, FileKind::Index, Done::Removed));
        for kind in [FileKind::Key, FileKind::Snapshot] {
            cases.extend([Done::Shortened, Done::Altered].map(|done| (Key::Same, kind, done)));
        }
        cases.push((Key::Same, FileKind::Key, Done::Removed));
        each(AT_ONCE, &cases, |(key, kind, done)| {
            let here = base.copy()?;
            let from = beside(&here, "copy");
            match key {
                Key::Same => link(&here.place().repository, &from)?,
                Key::Other => {
                    drop(create(&from)?);
                    copy_to(&here, &from, &[])?.good()?;
                }
            }
            for file in here.files(*kind)? {
                change(&here.place().repository, file, *done)?;
            }
            if *kind == FileKind::Key {
                change(&here.place().repository, FileName::Config, Done::Altered)?;
            }
            let address = from.display().to_string();
            let heal = ["repo", "heal", "--from", &address, "--read-data"];
            let told = here.sonae(&[&heal[..], &["--dry-run"]].concat())?;
            ensure!(told.code == 13, "a dry run says {}", told.document);
            let report = here.sonae(&heal)?.good()?;
            ensure!(report["verdict"] == "good", "{report}");
            restic.check(here.place())?;
            if *key == Key::Same && *kind != FileKind::Index {
                prove(&here, &from)?.good()?;
            }
            let again = here.sonae(&heal)?.good()?;
            ensure!(again["files"].as_array().is_some_and(Vec::is_empty), "{again}");
            Ok(std::fs::remove_dir_all(from)?)
        })?;
        println!("{} damaged repositories healed, restic {}", cases.len(), restic.version());
        Ok(())
    });
}

#[test]
fn only_what_is_missing_is_sent_to_a_copy() {
    claim(|| {
        let base = Base::new()?;
        let source = base.copy()?;
        let target = beside(&source, "target");
        let whole = copy_to(&source, &target, &["--vm", sonae_rig::damage::AP])?.good()?;
        let bytes =
            |report: &serde_json::Value| ByteCount::new(report["copied"]["bytes"].as_u64().unwrap_or(0));
        ensure!(whole["points_copied"] == 2, "{whole}");
        let rest = copy_to(&source, &target, &[])?.good()?;
        ensure!(rest["points_copied"] == 2 && rest["points_there"] == 2, "{rest}");
        let total = files(&source.place().repository, FileKind::Data)?.len();
        let there = rest["there"]["files"].as_u64().context("files")?;
        ensure!(0 < there && bytes(&rest) < bytes(&whole) + bytes(&rest), "{rest}");
        let packs = files(&target, FileKind::Data)?.len();
        ensure!(packs == total, "{packs} packs instead of {total}");
        copy_to(&source, &target, &["--vm", "nobody"])?.refused(1)?;
        Ok(std::fs::remove_dir_all(target)?)
    });
}
