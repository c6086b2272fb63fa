//! `sonae prune` on real folders, beside plain restic: writers that sleep through it, two at once, full disks, files that
//! cannot be removed, clocks that jump (requirement 001-19).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sonae_agent::system_environment;
use sonae_rig::content::Content;
use sonae_rig::disks::{self, Stretch};
use sonae_rig::host::{self, Running};
use sonae_rig::peer::{Peer, Place, Release};
use sonae_rig::small_disk::SmallDisk;
use sonae_rig::stand::{Stand, claim, number, text};
use sonae_types::ByteCount;

const VM: &str = "jumin-ap01";
const ALL: [&str; 5] = ["prune", "--grace", "0", "--max-unused", "0"];
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_micros(200);

/// A machine with points of so many days, all but the last forgotten.
fn forgotten(stand: Stand, days: u64) -> Result<Stand> {
    let mib = ByteCount::mib;
    disks::make(&stand.path("vda"), &[Stretch::Noise(1, mib(6)), Stretch::Text(2, mib(4))])?;
    for day in 1..=days {
        disks::overwrite(&stand.path("vda"), mib(1), Stretch::Noise(day << 8, mib(3)))?;
        stand.backup(VM, &[("vda", "vda")], &[])?;
    }
    stand.sonae(["forget", "--keep-last", "1"])?.good()?;
    Ok(stand)
}

fn cheap() -> Result<Stand> {
    Stand::with_cheap_key(system_environment())
}

/// Everything that is listed is whole, to us and to restic, and the newest point is the disk as it is.
fn check(stand: &Stand, restic: &Peer) -> Result<()> {
    let verified = stand.sonae(["verify", "--all"])?.good()?;
    ensure!(verified["verdict"] == "good", "{verified}");
    restic.check(&stand.place())?;
    let newest = stand.points()?.pop().context("a point")?;
    ensure!(stand.restored(&newest, "vda")? == Content::of(&stand.path("vda"))?, "another disk came back");
    Ok(())
}

fn names(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn packs(stand: &Stand) -> BTreeSet<PathBuf> {
    names(&stand.path("repository/data")).iter().flat_map(|folder| names(folder)).collect()
}

fn signal(name: &str, child: &Running) -> Result<()> {
    let ended = host::program("kill")?.args([name, &child.0.id().to_string()]).status()?;
    ensure!(ended.success(), "the signal was not sent");
    Ok(())
}

/// Starts a command and freezes it when `moment` first says so. None where it ended before.
fn frozen(command: &mut Command, mut moment: impl FnMut() -> bool) -> Result<Option<Running>> {
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let mut running = Running(host::spawn(command.stderr(std::process::Stdio::null()))?);
    let came = host::poll_every(PAUSE, LIMIT, || {
        Ok(match (running.0.try_wait()?.is_some(), moment()) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => None,
        })
    })?;
    if came != Some(true) {
        return Ok(None);
    }
    signal("-STOP", &running)?;
    Ok(Some(running))
}

/// The moments at which a writer is frozen: what is there then that was not there before.
const MOMENTS: [&str; 5] = ["locks", "data", "index", "snapshots", "tmp"];

#[test]
fn a_writer_that_slept_through_a_prune_leaves_no_point_with_missing_chunks() {
    claim(|| {
        let restic = Peer::find(Release::OfSystem)?;
        let (mut froze, mut aborted) = (BTreeSet::new(), 0);
        for round in 0..10 {
            let moment = MOMENTS[round % MOMENTS.len()];
            let stand = forgotten(cheap()?, 2)?;
            // What the writer finds in the index already and what no point needs any more.
            let point = stand.points()?.pop().context("a point")?;
            disks::make(&stand.path("other"), &[Stretch::Noise(55, ByteCount::mib(1))])?;
            stand.backup("zeimu-db01", &[("vda", "other")], &[])?;
            disks::overwrite(&stand.path("vda"), ByteCount::mib(5), Stretch::Noise(77, ByteCount::mib(2)))?;
            std::fs::remove_file(stand.path("repository/snapshots").join(&point))?;
            let seen = |folder: &str| match folder {
                "data" => packs(&stand),
                other => names(&stand.path("repository").join(other)),
            };
            let before = seen(moment);
            let args = ["backup", "--vm", VM, "--disk", &format!("vda={}", stand.at("vda"))];
            let sleeper = frozen(&mut stand.command(args), || !seen(moment).is_subset(&before))?;
            let Some(mut sleeper) = sleeper else { continue };
            for lock in names(&stand.path("repository/locks")) {
                std::fs::remove_file(lock)?;
            }
            let told = stand.sonae(ALL)?;
            ensure!([0, 13].contains(&told.code), "{}", told.document);
            let listed = stand.points()?.len();
            signal("-CONT", &sleeper)?;
            let ended = host::poll(LIMIT, || Ok(sleeper.0.try_wait()?))?.context("it wakes up")?;
            froze.insert(moment);
            aborted += u32::from(!ended.success());
            let now = stand.points()?.len();
            ensure!(now <= listed + usize::from(ended.success()), "{moment}: {listed} points, then {now}");
            if 0 < now {
                let verified = stand.sonae(["verify", "--all"])?.good().context(moment)?;
                ensure!(verified["verdict"] == "good", "{moment}: {verified}");
            }
            stand.sonae(ALL)?.good()?;
            restic.check(&stand.place()).context(moment)?;
            stand.backup(VM, &[("vda", "vda")], &[])?;
            check(&stand, &restic).context(moment)?;
        }
        println!("frozen at {froze:?}, {aborted} of them gave up");
        ensure!(4 <= froze.len() && 4 <= aborted, "frozen at {froze:?}, {aborted} gave up");
        Ok(())
    });
}

#[test]
fn of_two_prunes_at_once_one_waits_or_both_succeed_and_nothing_is_lost() {
    claim(|| {
        let restic = Peer::find(Release::OfSystem)?;
        let stand = forgotten(cheap()?, 3)?;
        let both = [0, 1].map(|_| stand.command(ALL).stdout(std::process::Stdio::null()).spawn());
        let mut codes = Vec::new();
        for child in both {
            codes.push(Running(child?).wait()?.code());
        }
        ensure!(codes.iter().all(|code| [Some(0), Some(11)].contains(code)), "{codes:?}");
        let last = stand.sonae(ALL)?.good()?;
        ensure!(last["unused_left_bytes"] == 0, "{last}");
        check(&stand, &restic)
    });
}

#[test]
fn plain_restic_goes_on_in_a_repository_with_marks_and_with_pruned_packs() {
    claim(|| {
        for release in [Release::OfSystem, Release::Newer] {
            let restic = Peer::find(release)?;
            let stand = forgotten(cheap()?, 3)?;
            let marked = stand.sonae(["prune", "--max-unused", "0"])?.good()?;
            ensure!(0 < number(&marked["waiting_packs"])?, "{marked}");
            check(&stand, &restic)?;
            restic.run(&stand.place(), ["tag", "--add", "audit", "latest"])?;
            let copy = cheap()?;
            let from = stand.place().repository.display().to_string();
            let password = stand.at("password");
            restic.run(&copy.place(), ["copy", "--from-repo", &from, "--from-password-file", &password])?;
            restic.check(&copy.place())?;
            // restic removes packs that we marked; our marks of them say nothing then.
            restic.run(&stand.place(), ["prune", "--max-unused", "0"])?;
            check(&stand, &restic)?;
            let last = stand.sonae(ALL)?.good()?;
            ensure!(last["unused_left_bytes"] == 0 && last["waiting_packs"] == 0, "{last}");
            ensure!(names(&stand.path("repository/sonae/marks")).is_empty(), "marks are left");
            check(&stand, &restic)?;
            stand.backup(VM, &[("vda", "vda")], &[])?;
            check(&stand, &restic)?;
        }
        Ok(())
    });
}

#[test]
fn a_full_disk_is_made_roomy_by_forgetting_and_pruning() {
    claim(|| {
        let restic = Peer::find(Release::OfSystem)?;
        let stand = Stand::new()?;
        let disk = SmallDisk::mount(ByteCount::mib(96))?;
        let place = Place { repository: disk.path("repository"), ..stand.place() };
        stand.sonae_at(&place, ["repo", "init"])?.good()?;
        ensure!(names(&disk.path("repository/sonae/ballast")).len() == 1, "there is ballast");
        let noise = |seed, mib| Stretch::Noise(seed, ByteCount::mib(mib));
        disks::make(&stand.path("vda"), &[noise(9, 8)])?;
        let vda = format!("vda={}", stand.at("vda"));
        stand.sonae_at(&place, ["backup", "--vm", "zeimu-db01", "--disk", &vda])?.good()?;
        for day in 1..=2 {
            disks::make(&stand.path("vda"), &[noise(day, 12), noise(9, 8)])?;
            let vda = format!("vda={}", stand.at("vda"));
            stand.sonae_at(&place, ["backup", "--vm", VM, "--disk", &vda])?.good()?;
        }
        let filler = disk.leave(ByteCount::ZERO)?;
        stand.sonae_at(&place, ["forget", "--keep-last", "1"])?.good()?;
        // What forgetting left of the ballast is gone, too.
        let second = disk.leave(ByteCount::ZERO)?;
        let said = stand.sonae_at(&place, ALL)?.refused(2)?;
        ensure!(
            said.contains("not even for what removing needs") && said.contains("Free 8.00 MiB"),
            "{said}"
        );
        drop(second);
        let pruned = stand.sonae_at(&place, ALL)?.good()?;
        ensure!(0 < number(&pruned["removed_packs"])?, "{pruned}");
        ensure!(ByteCount::mib(8) < disk.free()?, "{} are free", disk.free()?);
        let again = stand.sonae_at(&place, ALL)?.good()?;
        drop(filler);
        let last = stand.sonae_at(&place, ALL)?.good()?;
        ensure!(last["unused_left_bytes"] == 0, "{again} {last}");
        ensure!(names(&disk.path("repository/sonae/ballast")).len() == 1, "there is ballast again");
        restic.check(&place)?;
        ensure!(stand.sonae_at(&place, ["verify", "--all"])?.good()?["verdict"] == "good", "it is whole");
        // A prune finds its way with ballast alone.
        disks::make(&stand.path("vda"), &[noise(3, 12), noise(9, 8)])?;
        let vda = format!("vda={}", stand.at("vda"));
        stand.sonae_at(&place, ["backup", "--vm", VM, "--disk", &vda])?.good()?;
        let oldest = text(&stand.sonae_at(&place, ["points"])?.good()?["points"][1]["point"])?.to_owned();
        std::fs::remove_file(place.repository.join("snapshots").join(oldest))?;
        let _filler = disk.leave(ByteCount::ZERO)?;
        let pruned = stand.sonae_at(&place, ALL)?.good()?;
        ensure!(0 < number(&pruned["removed_packs"])?, "{pruned}");
        restic.check(&place)?;
        let key = ["key", "remove", "ffff"];
        let _second = disk.leave(ByteCount::ZERO)?;
        stand.sonae_at(&place, key)?.refused(2)?;
        Ok(())
    });
}

#[test]
fn packs_that_cannot_be_removed_are_told_with_code_2_and_go_later() {
    claim(|| {
        let restic = Peer::find(Release::OfSystem)?;
        let stand = forgotten(cheap()?, 2)?;
        let attribute = |sign: &str, files: &BTreeSet<PathBuf>| -> Result<bool> {
            Ok(host::program("chattr")?.arg(format!("{sign}i")).args(files).output()?.status.success())
        };
        let old = packs(&stand);
        if !attribute("+", &old)? {
            println!(
                "skipped: no file can be made unremovable here (needs root and a file system that knows it)"
            );
            return Ok(());
        }
        let answer = stand.sonae(ALL);
        let marked = stand.sonae(["repo", "check"]);
        ensure!(attribute("-", &old)?, "the packs are free again");
        let (answer, marked) = (answer?, marked?);
        ensure!(answer.code == 2, "{}", answer.document);
        let refused = answer.document["refused"].as_array().context("a list")?.len();
        ensure!(0 < refused && answer.document["waiting_packs"] == refused, "{}", answer.document);
        ensure!(
            text(&answer.document["refused"][0]["detail"])?.contains("not permitted"),
            "{}",
            answer.document
        );
        ensure!(marked.code == 0, "{}", marked.document);
        check(&stand, &restic)?;
        let later = stand.sonae(ALL)?.good()?;
        ensure!(later["removed_packs"].as_u64() >= Some(refused as u64), "{later}");
        check(&stand, &restic)
    });
}

#[test]
fn a_grace_is_over_only_when_the_clock_of_the_storage_says_so_too() {
    claim(|| {
        let restic = Peer::find(Release::OfSystem)?;
        let stand = forgotten(cheap()?, 2)?;
        stand.sonae(["prune", "--max-unused", "0"])?.good()?;
        let marks = names(&stand.path("repository/sonae/marks"));
        let mark = marks.first().context("a mark")?;
        let put_back = |hours: &str| -> Result<()> {
            let ended =
                host::program("touch")?.args(["-d", &format!("{hours} hours ago")]).arg(mark).status()?;
            ensure!(ended.success(), "the time of the mark is put");
            Ok(())
        };
        // The stamp in the mark is of now: only the storage says that it is old.
        for hours in ["71", "100", "10000"] {
            put_back(hours)?;
            let told = stand.sonae(["prune"])?.good()?;
            ensure!(told["removed_packs"] == 0 && 0 < number(&told["waiting_packs"])?, "{hours}: {told}");
        }
        check(&stand, &restic)
    });
}
