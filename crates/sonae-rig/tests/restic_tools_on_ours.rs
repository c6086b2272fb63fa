//! What plain restic's own tools do to a repository of ours: they tag, rewrite, rebuild, copy, prune, repair, recover and
//! migrate, and afterwards everything is still whole for restic and for us, every disk restores to the same bytes, and
//! our next backup goes on where the last one ended.
//!
//! restic 0.14 has neither `rewrite` nor `repair packs` and `repair snapshots`; there it is `rebuild-index`, `copy`,
//! `prune`, `forget`, `tag`, `recover` and `migrate`.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sonae_agent::system_environment;
use sonae_rig::content::Content;
use sonae_rig::disks::{self, PAGE, Stretch};
use sonae_rig::peer::{Peer, Place, Release};
use sonae_rig::stand::{Stand, claim, number, say, text};
use sonae_types::ByteCount;

const AP: &str = "住民 ap01";
const DB: &str = "jumin-db01";
const MACHINES: [&str; 2] = [AP, DB];
const DISKS: [&str; 2] = ["vda", "vdb"];
/// What two points take of which every chunk is there already: their trees and manifests.
const POINTS_BYTES_MAX: ByteCount = ByteCount::kib(128);

/// How many programs are started at once.
const AT_ONCE: usize = 8;

/// What a point holds. restic gives points new ids; machine and time stay.
#[derive(Clone, Debug)]
struct Held {
    vm: String,
    time: String,
    /// Disks by path, with what is in them, and the machine's configuration where it is looked at.
    files: Vec<(String, Content)>,
}

/// A repository of ours with points of two machines, and what they hold.
struct Base {
    stand: Stand,
    held: Vec<Held>,
}

/// A copy of it that a tool may change.
struct Trial<'a> {
    base: &'a Base,
    peer: &'a Peer,
    stand: Stand,
}

/// Whether our next backup finds its chunks in the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cuts {
    /// All of them: the repository cuts as the one in which they were made.
    AsBefore,
    /// None: it has another polynomial, so that disks are cut elsewhere.
    Elsewhere,
}

/// Two disks of two machines, of odd sizes and with zeros, of which some are equal; three points and two points.
fn base() -> Result<Base> {
    use Stretch::{Hole, Noise, Text, Zeros};
    let (kib, mib, bytes) = (ByteCount::kib, ByteCount::mib, ByteCount::new);
    let stand = Stand::with_cheap_key(system_environment())?;
    let common = [Text(1, mib(1)), Noise(2, mib(11)), Zeros(kib(700)), Hole(mib(5))];
    let (tail, zeros) = ([Noise(3, mib(3)), Hole(mib(2)), Noise(4, bytes(513))], [Hole(bytes(4_196_864))]);
    let second = [Noise(5, mib(2)), Zeros(mib(1)), Text(6, mib(1)), Text(7, bytes(77))];
    let whole = [&common[..], &tail[..]].concat();
    for (vm, vda, vdb) in [(AP, &whole[..], &second[..]), (DB, &common[..], &zeros[..])] {
        disks::make(&stand.path(&format!("{vm}-vda")), vda)?;
        disks::make(&stand.path(&format!("{vm}-vdb")), vdb)?;
    }
    disks::write(&stand.path("domain.xml"), "<domain><name>住民</name></domain>\n".as_bytes())?;
    let mut base = Base { stand, held: Vec::new() };
    for (day, vm) in [(1, AP), (1, DB), (2, AP), (2, DB), (3, AP)] {
        if 1 < day {
            let vda = base.stand.path(&format!("{vm}-vda"));
            disks::overwrite(&vda, mib(2 * day), Noise(90 + day, kib(900)))?;
            disks::overwrite(&vda, mib(12 + day), Text(95 + day, PAGE))?;
        }
        base.take_point(vm)?;
    }
    let packs = base.stand.packs()?.len();
    ensure!(5 < packs, "{packs} packs are too few to show anything");
    Ok(base)
}

impl Base {
    fn take_point(&mut self, vm: &str) -> Result<()> {
        let point = backup(&self.stand, self, vm)?["point"].clone();
        let list = self.stand.sonae(["points"])?.good()?;
        let listed = list["points"].as_array().into_iter().flatten().find(|it| it["point"] == point);
        let time = text(&listed.context("the new point is listed")?["time"])?.to_owned();
        let mut files = Vec::new();
        for disk in DISKS {
            let content = Content::of(&self.stand.path(&format!("{vm}-{disk}")))?;
            files.push((format!("/{vm}/disk-{disk}.raw"), content));
        }
        if self.held.len() < MACHINES.len() {
            files.push((format!("/{vm}/domain.xml"), Content::of(&self.stand.path("domain.xml"))?));
        }
        self.held.push(Held { vm: vm.to_owned(), time, files });
        Ok(())
    }

    /// A copy of the repository, which the tool may change.
    fn trial<'a>(&'a self, peer: &'a Peer) -> Result<Trial<'a>> {
        Ok(Trial { base: self, peer, stand: self.stand.copied()? })
    }

    /// A repository that restic made and copied all points into.
    fn copied_by<'a>(&'a self, peer: &'a Peer, init: &[&str]) -> Result<Trial<'a>> {
        let trial = Trial { base: self, peer, stand: Stand::new()? };
        let from = self.stand.place();
        let (repository, password) = (from.repository.display(), from.password_file.display());
        let from = ["--from-repo", &repository.to_string(), "--from-password-file", &password.to_string()];
        let init = init.iter().flat_map(|arg| if *arg == "FROM" { from.to_vec() } else { vec![*arg] });
        trial.run(&["init"].into_iter().chain(init).collect::<Vec<_>>())?;
        trial.stand.cheapen_key(system_environment())?;
        trial.run(&[&["copy"], &from[..]].concat())?;
        Ok(trial)
    }
}

/// Backs up a machine as its disks are now.
fn backup(stand: &Stand, base: &Base, vm: &str) -> Result<Value> {
    let [vda, vdb] = DISKS.map(|disk| base.stand.at(&format!("{vm}-{disk}")));
    stand.backup(vm, &[("vda", &vda), ("vdb", &vdb)], &[&base.stand.at("domain.xml")])
}

impl Trial<'_> {
    fn place(&self) -> Place {
        self.stand.place()
    }

    /// Runs restic, from a folder into which it may put what it saves of a pack that it repairs.
    fn run(&self, args: &[&str]) -> Result<String> {
        let said = self.peer.run_in(&self.stand.path("."), &self.place(), args)?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// Our listing, oldest first.
    fn points(&self) -> Result<Vec<Value>> {
        let list = self.stand.sonae(["points"])?.good()?;
        ensure!(list["damaged"].as_array().is_some_and(Vec::is_empty), "{list}");
        Ok(list["points"].as_array().context("points lists points")?.clone())
    }

    /// The only point of this machine and time.
    fn point_of(&self, held: &Held) -> Result<String> {
        let points = self.points()?;
        let mut found = points.iter().filter(|it| it["vm"] == held.vm.as_str() && it["time"] == *held.time);
        let point = text(&found.next().context("the point is listed")?["point"])?.to_owned();
        ensure!(found.next().is_none(), "{held:?} is listed twice");
        Ok(point)
    }

    /// restic finds nothing damaged. Every story ends with this, for what its tool left and what we added.
    fn restic_agrees(&self) -> Result<()> {
        self.peer.check(&self.place())
    }

    /// We find nothing damaged, and these points are there and restore to what they held.
    fn restores(&self, held: &[Held]) -> Result<()> {
        let looks: [Job<'_>; 2] = [
            Box::new(|| self.is_good(&["repo", "check", "--read-data"])),
            Box::new(|| self.is_good(&["verify", "--all"])),
        ];
        together(looks.into_iter().chain(self.restores_of(held)?).collect())
    }

    /// The same, and these points are listed with their disks and no others.
    fn holds(&self, held: &[Held]) -> Result<()> {
        let points = self.points()?;
        assert_eq!(points.len(), held.len(), "{points:?}");
        for point in &points {
            assert_eq!(point["disks"], serde_json::json!(DISKS), "{point}");
        }
        self.restores(held)
    }

    /// One restore for each disk and file of these points; the same point may be there twice.
    fn restores_of<'a>(&'a self, held: &'a [Held]) -> Result<Vec<Job<'a>>> {
        let points = self.points()?;
        let mut jobs: Vec<Job<'_>> = Vec::new();
        for held in held {
            let same = points.iter().filter(|it| it["vm"] == *held.vm && it["time"] == *held.time);
            let same = same.map(|point| Ok(text(&point["point"])?.to_owned())).collect::<Result<Vec<_>>>()?;
            ensure!(!same.is_empty(), "{held:?} is not among {points:?}");
            for point in same {
                for (path, content) in &held.files {
                    let point = point.clone();
                    jobs.push(Box::new(move || {
                        assert_eq!(self.restored(&point, path)?, *content, "{path} of {point}");
                        Ok(())
                    }));
                }
            }
        }
        Ok(jobs)
    }

    fn is_good(&self, args: &[&str]) -> Result<()> {
        let said = self.stand.sonae(args)?.good()?;
        ensure!(said["verdict"] == "good", "{said}");
        Ok(())
    }

    fn restored(&self, point: &str, path: &str) -> Result<Content> {
        match DISKS.into_iter().find(|disk| path.ends_with(&format!("/disk-{disk}.raw"))) {
            Some(disk) => self.stand.restored(point, disk),
            None => self.stand.restored_path(&self.place(), point, path),
        }
    }

    /// Both machines are backed up again: what they hold is there already, so that next to nothing is added.
    fn goes_on(&self, cuts: Cuts) -> Result<()> {
        let both = |job: &(dyn Fn(&'static str) -> Result<()> + Send + Sync)| {
            together(MACHINES.into_iter().map(|vm| -> Job<'_> { Box::new(move || job(vm)) }).collect())
        };
        if cuts == Cuts::Elsewhere {
            both(&|vm| {
                let report = backup(&self.stand, self.base, vm)?;
                ensure!(0 < number(&report["disks"][0]["new_chunk_bytes"])?, "{report}");
                Ok(())
            })?;
        }
        let before = self.stand.pack_bytes()?.get();
        both(&|vm| {
            let report = backup(&self.stand, self.base, vm)?;
            for disk in report["disks"].as_array().context("a backup reports its disks")? {
                let facts = [&disk["new_chunk_bytes"], &disk["stored_bytes"], &disk["changed_bytes"]];
                ensure!(facts.iter().all(|it| **it == 0), "{report}");
                ensure!(disk["mode"] == "full" && disk["reason"] == "no-change-information", "{report}");
            }
            Ok(())
        })?;
        let grown = self.stand.pack_bytes()?.get() - before;
        ensure!(grown < POINTS_BYTES_MAX.get(), "unchanged machines took {grown} bytes");
        self.is_good(&["verify", "--all"])?;
        self.restic_agrees()
    }

    fn index_files(&self) -> Result<Vec<std::path::PathBuf>> {
        let mut files = Vec::new();
        for file in fs::read_dir(self.place().repository.join("index"))? {
            files.push(file?.path());
        }
        files.sort();
        Ok(files)
    }
}

/// One of several things that are done at once.
type Job<'a> = Box<dyn Fn() -> Result<()> + Send + Sync + 'a>;

/// Does all of it, several at once: everybody waits for locks most of the time.
fn together(jobs: Vec<Job<'_>>) -> Result<()> {
    for some in jobs.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let running = some.iter().map(|job| scope.spawn(job)).collect::<Vec<_>>();
            running.into_iter().try_for_each(|job| match job.join() {
                Ok(answer) => answer,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
    }
    Ok(())
}

/// Runs a story with one restic over one repository.
fn with(release: Release, story: impl FnOnce(&Base, &Peer) -> Result<()>) {
    claim(|| {
        let peer = Peer::find(release)?;
        say(&format!("restic {}", peer.version()));
        story(&base()?, &peer)
    });
}

fn are_tagged(base: &Base, peer: &Peer) -> Result<()> {
    let trial = base.trial(peer)?;
    trial.run(&["tag", "--add", "保存,2026", "--host", AP])?;
    trial.run(&["tag", "--add", "保存", "--host", DB])?;
    trial.run(&["tag", "--remove", "保存"])?;
    trial.holds(&base.held)?;
    for point in trial.points()?.iter().filter(|point| point["vm"] == AP) {
        let tags = point["tags"].as_array().context("a point has tags")?;
        ensure!(tags.contains(&"2026".into()) && tags.contains(&"sonae".into()), "{point}");
    }
    trial.goes_on(Cuts::AsBefore)?;
    // Whoever sets tags takes ours away. The disks are still there under their names, and so are their chunks.
    trial.run(&["tag", "--set", "other", "--host", DB])?;
    trial.restores(&base.held)?;
    let report = backup(&trial.stand, base, DB)?;
    ensure!(
        report["disks"].as_array().into_iter().flatten().all(|it| it["new_chunk_bytes"] == 0),
        "{report}"
    );
    trial.is_good(&["verify", "--all"])?;
    trial.restic_agrees()
}

#[test]
fn points_that_restic_of_this_system_tagged_stay_whole_even_without_our_tags() {
    with(Release::OfSystem, are_tagged);
}

#[test]
fn points_that_a_newer_restic_tagged_stay_whole_even_without_our_tags() {
    with(Release::Newer, are_tagged);
}

fn is_indexed_anew(base: &Base, peer: &Peer) -> Result<()> {
    let rebuild = if peer.is_newer() { &["repair", "index"][..] } else { &["rebuild-index"] };
    let undamaged = || {
        let trial = base.trial(peer)?;
        trial.run(rebuild)?;
        trial.holds(&base.held)?;
        trial.restic_agrees()
    };
    let none_left = || {
        let trial = base.trial(peer)?;
        trial.index_files()?.iter().try_for_each(fs::remove_file)?;
        let lost = trial.stand.sonae(["repo", "check"])?;
        ensure!(lost.code == 13 && lost.document["verdict"] == "damaged", "{}", lost.document);
        trial.run(rebuild)?;
        trial.holds(&base.held)?;
        trial.goes_on(Cuts::AsBefore)
    };
    let one_gone = || {
        let trial = base.trial(peer)?;
        let files = trial.index_files()?;
        ensure!(1 < files.len(), "every backup leaves an index file");
        fs::remove_file(&files[0])?;
        trial.run(rebuild)?;
        trial.holds(&base.held)?;
        trial.restic_agrees()
    };
    // A run that died before it removed the old files leaves two that list every pack.
    let doubled = || {
        let trial = base.trial(peer)?;
        let old = trial.index_files()?.into_iter().map(|file| Ok((fs::read(&file)?, file)));
        let old = old.collect::<Result<Vec<_>>>()?;
        trial.run(&[rebuild, &["--read-all-packs"]].concat())?;
        let new = trial.index_files()?.len();
        old.iter().try_for_each(|(bytes, file)| fs::write(file, bytes))?;
        ensure!(trial.index_files()?.len() == new + old.len(), "the new index has files of its own");
        trial.holds(&base.held)?;
        trial.goes_on(Cuts::AsBefore)
    };
    together(vec![Box::new(undamaged), Box::new(none_left), Box::new(one_gone), Box::new(doubled)])
}

#[test]
fn an_index_that_restic_of_this_system_built_anew_finds_everything() {
    with(Release::OfSystem, is_indexed_anew);
}

#[test]
fn an_index_that_a_newer_restic_built_anew_finds_everything() {
    with(Release::Newer, is_indexed_anew);
}

fn is_copied(base: &Base, peer: &Peer) -> Result<()> {
    let alike = || {
        let trial = base.copied_by(peer, &["FROM", "--copy-chunker-params"])?;
        trial.holds(&base.held)?;
        trial.goes_on(Cuts::AsBefore)
    };
    let other = || {
        let trial = base.copied_by(peer, &[])?;
        trial.holds(&base.held)?;
        trial.goes_on(Cuts::Elsewhere)
    };
    together(vec![Box::new(alike), Box::new(other)])
}

#[test]
fn a_copy_by_restic_of_this_system_is_whole_and_goes_on() {
    with(Release::OfSystem, is_copied);
}

#[test]
fn a_copy_by_a_newer_restic_is_whole_and_goes_on() {
    with(Release::Newer, is_copied);
}

fn is_migrated(base: &Base, peer: &Peer) -> Result<()> {
    let trial = base.copied_by(peer, &["--repository-version", "1", "FROM", "--copy-chunker-params"])?;
    assert_eq!(trial.stand.sonae(["repo", "info"])?.good()?["version"], 1);
    trial.holds(&base.held)?;
    trial.goes_on(Cuts::AsBefore)?;
    let plain = trial.stand.pack_bytes()?;
    trial.run(&["migrate", "upgrade_repo_v2"])?;
    assert_eq!(trial.stand.sonae(["repo", "info"])?.good()?["version"], 2);
    trial.run(&["prune", "--repack-uncompressed", "--max-unused", "0"])?;
    ensure!(trial.stand.pack_bytes()? < plain, "what can be compressed is now");
    trial.restores(&base.held)?;
    trial.goes_on(Cuts::AsBefore)
}

#[test]
fn our_points_in_format_1_stay_whole_when_restic_of_this_system_migrates_and_compresses_them() {
    with(Release::OfSystem, is_migrated);
}

#[test]
fn our_points_in_format_1_stay_whole_when_a_newer_restic_migrates_and_compresses_them() {
    with(Release::Newer, is_migrated);
}

fn is_pruned(base: &Base, peer: &Peer) -> Result<()> {
    let one_less = || {
        let trial = base.trial(peer)?;
        trial.run(&["forget", &trial.point_of(&base.held[0])?])?;
        trial.run(&["prune", "--max-unused", "0"])?;
        trial.holds(&base.held[1..])?;
        let checked = trial.stand.sonae(["repo", "check"])?.good()?;
        assert_eq!(checked["unreferenced_packs"], 0, "{checked}");
        trial.goes_on(Cuts::AsBefore)
    };
    let newest = || {
        let trial = base.trial(peer)?;
        trial.run(&["forget", "--keep-last", "1", "--group-by", "host,paths"])?;
        trial.run(&["prune", "--repack-small", "--pack-size", "64", "--max-unused", "0"])?;
        let held = MACHINES.iter().filter_map(|vm| base.held.iter().rfind(|held| held.vm == *vm).cloned());
        trial.holds(&held.collect::<Vec<_>>())?;
        trial.goes_on(Cuts::AsBefore)
    };
    let squeezed = || {
        let trial = base.trial(peer)?;
        trial.run(&["prune", "--repack-uncompressed", "--compression", "max"])?;
        trial.holds(&base.held)?;
        trial.restic_agrees()
    };
    together(vec![Box::new(one_less), Box::new(newest), Box::new(squeezed)])
}

#[test]
fn what_restic_of_this_system_left_when_it_pruned_is_whole_and_goes_on() {
    with(Release::OfSystem, is_pruned);
}

#[test]
fn what_a_newer_restic_left_when_it_pruned_is_whole_and_goes_on() {
    with(Release::Newer, is_pruned);
}

fn is_recovered(base: &Base, peer: &Peer) -> Result<()> {
    let trial = base.trial(peer)?;
    trial.run(&["recover"])?;
    trial.holds(&base.held)?;
    let forgotten = trial.point_of(&base.held[0])?;
    trial.run(&["forget", &forgotten])?;
    trial.run(&["recover"])?;
    trial.restores(&base.held[1..])?;
    // restic puts what no snapshot names into a snapshot of its own, below a folder with the beginning of the tree's id.
    let points = trial.points()?;
    let found = points.iter().find(|point| point["tags"] == serde_json::json!(["recovered"]));
    let recovered = text(&found.with_context(|| format!("nothing is recovered: {points:?}"))?["point"])?;
    let shown = trial.stand.sonae(["show", recovered])?.good()?;
    for (path, content) in &base.held[0].files {
        let paths = shown["files"].as_array().into_iter().flatten().filter_map(|file| file["path"].as_str());
        let below = paths.into_iter().find(|it| it.ends_with(path.as_str()));
        let below = below.with_context(|| format!("{path} is not in {shown}"))?;
        assert_eq!(trial.stand.restored_path(&trial.place(), recovered, below)?, *content, "{below}");
    }
    trial.goes_on(Cuts::AsBefore)
}

#[test]
fn a_point_that_restic_of_this_system_recovered_restores_by_its_paths() {
    with(Release::OfSystem, is_recovered);
}

#[test]
fn a_point_that_a_newer_restic_recovered_restores_by_its_paths() {
    with(Release::Newer, is_recovered);
}

#[test]
fn points_that_a_newer_restic_rewrote_stay_whole_beside_those_that_they_were() {
    with(Release::Newer, |base, peer| {
        let without = |held: &Held| {
            let files =
                held.files.iter().filter(|(path, _)| !path.ends_with("/domain.xml")).cloned().collect();
            Held { files, ..held.clone() }
        };
        let rewritten = base.held.iter().map(without).collect::<Vec<_>>();
        let both = || {
            let trial = base.trial(peer)?;
            trial.run(&["rewrite", "--exclude", "domain.xml"])?;
            assert_eq!(trial.points()?.len(), 2 * base.held.len(), "the old points are still there");
            trial.restores(&rewritten)?;
            trial.goes_on(Cuts::AsBefore)
        };
        let only = || {
            let trial = base.trial(peer)?;
            trial.run(&["rewrite", "--forget", "--exclude", "domain.xml"])?;
            trial.run(&["prune", "--max-unused", "0"])?;
            trial.holds(&rewritten)?;
            trial.goes_on(Cuts::AsBefore)
        };
        together(vec![Box::new(both), Box::new(only)])
    });
}

#[test]
fn a_machine_that_a_newer_restic_renamed_restores_under_its_new_name() {
    with(Release::Newer, |base, peer| {
        let trial = base.trial(peer)?;
        trial.run(&["rewrite", "--forget", "--host", DB, "--new-host", "jumin-db02"])?;
        let renamed = |held: &Held| match held.vm.as_str() {
            DB => Held { vm: "jumin-db02".to_owned(), ..held.clone() },
            _ => held.clone(),
        };
        trial.holds(&base.held.iter().map(renamed).collect::<Vec<_>>())?;
        for point in trial.points()?.iter().filter(|point| point["vm"] == "jumin-db02") {
            let shown = trial.stand.sonae(["show", text(&point["point"])?])?.good()?;
            assert_eq!(shown["manifest"]["vm"], DB, "the manifest says what it was");
        }
        let report = backup(&trial.stand, base, DB)?;
        ensure!(
            report["disks"].as_array().into_iter().flatten().all(|it| it["new_chunk_bytes"] == 0),
            "{report}"
        );
        trial.is_good(&["verify", "--all"])?;
        trial.restic_agrees()
    });
}

#[test]
fn a_disk_or_manifest_that_a_newer_restic_took_out_of_a_point_is_found_missing_and_hides_nothing_else() {
    with(Release::Newer, |base, peer| {
        for (excluded, disk) in [("disk-vdb.raw", "vdb"), ("manifest.json", "")] {
            let trial = base.trial(peer)?;
            let point = trial.point_of(&base.held[0])?;
            trial.run(&["rewrite", "--forget", "--exclude", excluded, &point])?;
            trial.restic_agrees()?;
            let rewritten = trial.point_of(&base.held[0])?;
            let verified = trial.stand.sonae(["verify", "--all"])?;
            ensure!(verified.code == 13, "{}", verified.document);
            let findings = verified.document["findings"].as_array().context("verify lists findings")?;
            ensure!(findings.len() == 1, "{findings:?}");
            assert_eq!((&findings[0]["point"], &findings[0]["vm"]), (&rewritten.as_str().into(), &AP.into()));
            assert_eq!(findings[0]["disk"].as_str().unwrap_or_default(), disk);
            ensure!(text(&findings[0]["path"])?.ends_with(excluded), "{findings:?}");
            together(trial.restores_of(&base.held[1..])?)?;
            assert_eq!(trial.stand.restored(&rewritten, "vda")?, base.held[0].files[0].1);
            trial.stand.sonae(["show", &rewritten])?.good()?;
            let report = backup(&trial.stand, base, AP)?;
            ensure!(report["disks"].as_array().into_iter().flatten().all(|it| it["new_chunk_bytes"] == 0));
        }
        Ok(())
    });
}

#[test]
fn what_is_whole_a_newer_restic_repairs_without_harm() {
    with(Release::Newer, |base, peer| {
        let trial = base.trial(peer)?;
        let packs = trial.stand.packs()?;
        let packs = packs.iter().map(|(name, _)| name.as_str());
        trial.run(&["repair", "packs"].into_iter().chain(packs).collect::<Vec<_>>())?;
        trial.run(&["repair", "snapshots", "--forget"])?;
        trial.holds(&base.held)?;
        trial.goes_on(Cuts::AsBefore)
    });
}
