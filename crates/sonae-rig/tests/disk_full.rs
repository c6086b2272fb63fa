//! The disk of the repository, or of a restore, is full: at every page of room that can be left, in every phase, the
//! run says so and records nothing, what was there before is whole, and with more room the next run goes on with what
//! was stored (requirements 001-20, 002-09).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use sonae_agent::backup::BackupReport;
use sonae_agent::maintain::{RepairMode, repair_index};
use sonae_agent::verify::{Selection, Verdict, verify};
use sonae_agent::{Failure, Fault};
use sonae_repo::keyless::keyless_check;
use sonae_repo::lock::LockKind;
use sonae_repo::store::{FileKind, FileName, LocalStore, ObjectStore as _, StoreError};
use sonae_repo::{Progress, Stop};
use sonae_rig::content::Content;
use sonae_rig::damage::{back_up, create, each, files_of, open};
use sonae_rig::disks::{self, PAGE, Stretch};
use sonae_rig::golden::copy_repository;
use sonae_rig::peer::{Peer, Place, Release};
use sonae_rig::small_disk::SmallDisk;
use sonae_rig::stand::{Answer, Stand, claim};
use sonae_types::ByteCount;

const OLD: &str = "jumin-ap01";
const NEW: &str = "zeimu-db01";
/// Every thread walks over a small disk of its own.
const THREADS: usize = 2;

/// What found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Lock,
    Pack,
    Index,
    Point,
    Key,
    Config,
    Mark,
    Ballast,
}

/// A repository with a point, and the disks of another machine that are to be backed up.
struct Story {
    stand: Stand,
}

/// How often each phase found no room, and how often what was stored before a pack found none was used later.
#[derive(Debug, Default)]
struct Seen {
    phases: Mutex<BTreeMap<Phase, u64>>,
    used: AtomicU64,
}

/// A small disk with a copy of the repository, and how much room is left on it.
struct Full {
    disk: SmallDisk,
    repository: PathBuf,
}

impl Phase {
    fn of(name: FileName) -> Self {
        match name {
            FileName::Config => Self::Config,
            FileName::Hashed(FileKind::Lock, _) => Self::Lock,
            FileName::Hashed(FileKind::Data, _) => Self::Pack,
            FileName::Hashed(FileKind::Index, _) => Self::Index,
            FileName::Hashed(FileKind::Snapshot, _) => Self::Point,
            FileName::Hashed(FileKind::Key, _) => Self::Key,
            FileName::Hashed(FileKind::Mark, _) => Self::Mark,
            FileName::Hashed(FileKind::Ballast, _) => Self::Ballast,
        }
    }

    /// The phase in which a run found no room. Errors: it failed otherwise, or does not say what to do.
    fn of_failure(failure: &Failure) -> Result<Self> {
        ensure!(failure.fault == Fault::OurFault, "{failure:?}");
        ensure!(failure.message.key.as_str() == "error.repository.full", "{failure:?}");
        let remedy = failure.remedy.as_ref().context("it says what to do")?;
        ensure!(remedy.key.as_str() == "remedy.repository.full", "{failure:?}");
        let cause = failure.cause.as_ref().and_then(|cause| cause.downcast_ref::<StoreError>());
        match cause {
            Some(StoreError::Full { name, .. }) => Ok(Self::of(*name)),
            other => anyhow::bail!("another cause: {other:?}"),
        }
    }

    /// Whether what a failed run left fits: everything that is stored before, and nothing that is stored behind.
    fn fits(self, left: &BTreeSet<FileName>) -> bool {
        let has = |kind| left.iter().any(|name| matches!(name, FileName::Hashed(of, _) if *of == kind));
        let (packs, index, point) = (has(FileKind::Data), has(FileKind::Index), has(FileKind::Snapshot));
        match self {
            Self::Lock | Self::Key | Self::Config | Self::Mark | Self::Ballast => left.is_empty(),
            // Where there is room for it, an index of the packs that were stored.
            Self::Pack => !point && (packs || !index),
            Self::Index => packs && !index && !point,
            Self::Point => packs && index && !point,
        }
    }
}

impl Seen {
    /// Whether it is the first time.
    fn note(&self, phase: Phase) -> bool {
        let mut phases = self.phases.lock().expect("nobody panics with it");
        let count = phases.entry(phase).or_insert(0);
        *count += 1;
        *count == 1
    }
}

impl Story {
    fn new() -> Result<Self> {
        let story = Self { stand: Stand::new()? };
        let kib = ByteCount::kib;
        // Zeros end a chunk, so that none is longer than a few pages.
        let old = (10..16).flat_map(|seed| [Stretch::Noise(seed, kib(50)), Stretch::Hole(kib(64))]);
        disks::make(&story.path("old"), &old.collect::<Vec<_>>())?;
        // One pack, whichever worker is faster; and several.
        let small = [Stretch::Noise(3, kib(40)), Stretch::Hole(kib(64)), Stretch::Noise(4, kib(14))];
        disks::make(&story.path("small"), &small)?;
        disks::make(&story.path("large"), &[Stretch::Noise(5, kib(1600))])?;
        let repository = create(&story.stand.place().repository)?;
        back_up(&repository, OLD, &[("vda", story.path("old"))])?;
        Ok(story)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.stand.path(name)
    }

    /// The repository on a disk with room for this and for more.
    fn on_small_disk(&self) -> Result<Full> {
        let disk = SmallDisk::mount(ByteCount::mib(4))?;
        let repository = disk.path("repository");
        copy_repository(&self.stand.place().repository, &repository)?;
        // The folders in which every file is on its way.
        std::fs::create_dir_all(repository.join("tmp"))?;
        std::fs::create_dir_all(repository.join("locks"))?;
        Ok(Full { disk, repository })
    }
}

impl Full {
    fn place(&self, story: &Story) -> Place {
        Place { repository: self.repository.clone(), ..story.stand.place() }
    }

    /// Nothing that looks whole is not, no lock and no part of a file is left, and these points are good: on the disk
    /// as full as it is.
    fn check(&self, points: usize) -> Result<()> {
        let (stop, progress) = (Stop::default(), Progress::default());
        let store = LocalStore::open(&self.repository)?;
        let keyless = keyless_check(&store, &stop, &progress)?;
        ensure!(keyless.damaged.is_empty(), "half a file has a final name: {:?}", keyless.damaged);
        for folder in ["tmp", "locks"] {
            let left = std::fs::read_dir(self.repository.join(folder))?.count();
            ensure!(left == 0, "{left} files are left in {folder}");
        }
        let report = verify(&open(&self.repository)?, &Selection::All, None, &stop, &progress)?;
        ensure!(report.verdict == Verdict::Good, "{:?}", report.findings);
        ensure!(report.points.len() == points, "{} points instead of {points}", report.points.len());
        Ok(())
    }

    fn back_up(&self, story: &Story, disk: &str) -> Result<BackupReport> {
        back_up(&open(&self.repository)?, NEW, &[("vda", story.path(disk))])
    }
}

/// Pages that files of a repository take.
fn pages_of(repository: &Path, files: &BTreeSet<FileName>) -> Result<u64> {
    let sizes = files.iter().map(|file| Ok(std::fs::metadata(repository.join(file.to_string()))?.len()));
    Ok(sizes.collect::<Result<Vec<_>>>()?.into_iter().map(|len| len.div_ceil(PAGE.get())).sum())
}

fn pages(number: u64) -> ByteCount {
    ByteCount::new(PAGE.get() * number)
}

/// One backup of a disk with so many pages of room, and the next one with enough.
fn back_up_with(story: &Story, (disk, room): (&str, u64), seen: &Seen, restic: &Peer) -> Result<()> {
    let full = story.on_small_disk()?;
    let before = files_of(&full.repository)?;
    let filler = full.disk.leave(pages(room))?;
    let failure = full.back_up(story, disk).err().context("a run with too little room fails")?;
    let failure =
        failure.downcast_ref::<Failure>().with_context(|| format!("no failure of ours: {failure:#}"))?;
    let phase = Phase::of_failure(failure)?;
    let left = files_of(&full.repository)?.difference(&before).copied().collect::<BTreeSet<_>>();
    ensure!(phase.fits(&left), "no room for {phase:?}, and there are {left:?}");
    let taken = pages_of(&full.repository, &left)?;
    ensure!(full.disk.free()? == pages(room - taken), "{} are free of {room} pages", full.disk.free()?);
    full.check(1).with_context(|| format!("after {phase:?}"))?;
    let first = seen.note(phase);
    if first {
        restic.run(&full.place(story), ["check", "--read-data", "--no-lock"])?;
    }
    drop(filler);
    let again = full.back_up(story, disk)?;
    full.check(2)?;
    let report = &again.disks[0];
    if left.iter().any(|file| matches!(file, FileName::Hashed(FileKind::Index, _))) {
        ensure!(report.new_chunk_bytes < report.size_bytes, "what is listed is used: {again:?}");
        seen.used.fetch_add(1, Ordering::Relaxed);
    }
    ensure!(phase != Phase::Point || report.new_chunk_bytes == ByteCount::ZERO, "all is used: {again:?}");
    if first {
        let (to, point) = (full.disk.path("restored"), again.point.to_string());
        let args = ["restore", &point, "--disk", "vda", "--to", &to.display().to_string()];
        story.stand.sonae_at(&full.place(story), args)?.good()?;
        ensure!(Content::of(&to)? == Content::of(&story.path(disk))?, "another disk came back");
        restic.check(&full.place(story))?;
    }
    Ok(())
}

/// Pages that a backup of a disk takes while it runs: what it stores, and the lock, which is there until the end.
fn pages_needed(story: &Story, disk: &str) -> Result<u64> {
    let full = story.on_small_disk()?;
    let before = files_of(&full.repository)?;
    full.back_up(story, disk)?;
    let stored = files_of(&full.repository)?.difference(&before).copied().collect();
    Ok(pages_of(&full.repository, &stored)? + 1)
}

#[test]
fn at_every_page_of_room_a_backup_says_that_the_disk_is_full_and_the_next_one_goes_on() {
    claim(|| {
        let (story, restic, seen) = (Story::new()?, Peer::find(Release::OfSystem)?, Seen::default());
        let needed = pages_needed(&story, "small")?;
        let rooms = (0..needed).collect::<Vec<_>>();
        each(THREADS, &rooms, |room| back_up_with(&story, ("small", *room), &seen, &restic))?;
        let filler = story.on_small_disk()?;
        let _filled = filler.disk.leave(pages(needed))?;
        filler.back_up(&story, "small").context("with all the room it needs")?;
        let phases = seen.phases.into_inner().expect("nobody panics with it");
        println!("{needed} pages needed; no room for: {phases:?}");
        for phase in [Phase::Lock, Phase::Pack, Phase::Index, Phase::Point] {
            ensure!(phases.contains_key(&phase), "{phase:?} always had room");
        }
        Ok(())
    });
}

#[test]
fn at_every_number_of_files_that_may_be_made_it_is_the_same() {
    claim(|| {
        let (story, mut phases) = (Story::new()?, BTreeMap::<_, u64>::new());
        for names in 0.. {
            let full = story.on_small_disk()?;
            full.disk.leave_names(names)?;
            let Err(failure) = full.back_up(&story, "small") else {
                full.check(2)?;
                break;
            };
            let failure = failure.downcast_ref::<Failure>().context("a failure of ours")?;
            *phases.entry(Phase::of_failure(failure)?).or_default() += 1;
            full.check(1)?;
            full.disk.leave_names(1_000)?;
            full.back_up(&story, "small")?;
            full.check(2)?;
        }
        println!("no name for: {phases:?}");
        for phase in [Phase::Lock, Phase::Pack, Phase::Index, Phase::Point] {
            ensure!(phases.contains_key(&phase), "{phase:?} always had a name");
        }
        Ok(())
    });
}

#[test]
fn packs_that_found_room_before_the_disk_was_full_are_used_by_the_next_run() {
    claim(|| {
        let (story, restic, seen) = (Story::new()?, Peer::find(Release::OfSystem)?, Seen::default());
        // Which worker was faster decides how many packs there are, and so on a few pages.
        let rooms = (0..pages_needed(&story, "large")? - 10).step_by(37).collect::<Vec<_>>();
        each(THREADS, &rooms, |room| back_up_with(&story, ("large", *room), &seen, &restic))?;
        let (phases, used) =
            (seen.phases.into_inner().expect("nobody panics with it"), seen.used.into_inner());
        println!("{} rooms; no room for: {phases:?}; what found room was used {used} times", rooms.len());
        ensure!(0 < used, "no pack was listed after another one found no room");
        Ok(())
    });
}

/// What a run says that found no room in the repository.
fn refused_for_room(answer: Answer) -> Result<()> {
    let said = answer.refused(2)?;
    ensure!(said.contains("No space is left in the repository"), "{said}");
    ensure!(said.contains("Give the storage more room and run again."), "{said}");
    Ok(())
}

#[test]
fn the_program_ends_with_code_2_and_says_what_to_do_wherever_room_ends() {
    claim(|| {
        let story = Story::new()?;
        let full = story.on_small_disk()?;
        let place = full.place(&story);
        let disk = format!("vda={}", story.path("small").display());
        let backup = ["backup", "--vm", NEW, "--disk", &disk];
        let before = files_of(&full.repository)?;
        story.stand.sonae_at(&place, backup)?.good()?;
        let stored = files_of(&full.repository)?.difference(&before).copied().collect::<BTreeSet<_>>();
        let needed = pages_of(&full.repository, &stored)? + 1;
        for file in &stored {
            std::fs::remove_file(full.repository.join(file.to_string()))?;
        }
        // The lock, the pack, the index, and the point, which is one page; then it fits.
        for room in [0, 1, needed - 2, needed - 1] {
            let filler = full.disk.leave(pages(room))?;
            refused_for_room(story.stand.sonae_at(&place, backup)?)?;
            full.check(1)?;
            drop(filler);
            for file in files_of(&full.repository)?.difference(&before) {
                std::fs::remove_file(full.repository.join(file.to_string()))?;
            }
        }
        let _filler = full.disk.leave(pages(needed))?;
        story.stand.sonae_at(&place, backup)?.good()?;
        full.check(2)
    });
}

#[test]
fn a_repository_or_a_key_for_which_there_is_no_room_is_not_made_by_halves() {
    claim(|| {
        let story = Story::new()?;
        let disk = SmallDisk::mount(ByteCount::mib(1))?;
        let place = Place { repository: disk.path("repository"), ..story.stand.place() };
        let mut phases = BTreeSet::new();
        // No names for all of its folders; then no room for a key and a configuration, of one page each.
        disk.leave_names(20)?;
        refused_for_room(story.stand.sonae_at(&place, ["repo", "init"])?)?;
        disk.leave_names(1_000)?;
        for room in [0, 1] {
            let filler = disk.leave(pages(room))?;
            let answer = story.stand.sonae_at(&place, ["repo", "init"])?;
            phases.insert(if answer.document.to_string().contains("/keys/") {
                Phase::Key
            } else {
                Phase::Config
            });
            refused_for_room(answer)?;
            ensure!(disk.free()? == pages(room), "something is left");
            drop(filler);
        }
        let filler = disk.leave(pages(2))?;
        story.stand.sonae_at(&place, ["repo", "init"])?.good()?;
        let new = ["key", "add", "--new-password-file", &story.path("second").display().to_string()]
            .map(str::to_owned);
        std::fs::write(story.path("second"), "二つ目\n")?;
        drop(filler);
        let before = files_of(&place.repository)?;
        // A lock and a key.
        for room in [0, 1] {
            let _filler = disk.leave(pages(room))?;
            let answer = story.stand.sonae_at(&place, &new)?;
            phases.insert(if answer.document.to_string().contains("keys/") {
                Phase::Key
            } else {
                Phase::Lock
            });
            refused_for_room(answer)?;
            ensure!(files_of(&place.repository)? == before, "half a key is left");
            let list = story.stand.sonae_at(&place, ["key", "list"])?.good()?;
            ensure!(list["keys"].as_array().is_some_and(|keys| keys.len() == 1), "{list}");
        }
        println!("no room for: {phases:?}");
        ensure!(phases == BTreeSet::from([Phase::Lock, Phase::Key, Phase::Config]), "{phases:?}");
        let _filler = disk.leave(pages(2))?;
        story.stand.sonae_at(&place, &new)?.good()?;
        Peer::find(Release::OfSystem)?.check(&place)
    });
}

#[test]
fn an_index_for_which_there_is_no_room_is_not_rebuilt_and_nothing_of_the_old_one_goes() {
    claim(|| {
        let story = Story::new()?;
        let full = story.on_small_disk()?;
        full.back_up(&story, "small")?;
        let (stop, progress) = (Stop::default(), Progress::default());
        let indexes = LocalStore::open(&full.repository)?.list(FileKind::Index)?;
        ensure!(indexes.len() == 2, "two backups made {indexes:?}");
        let damaged = full.repository.join(FileName::Hashed(FileKind::Index, indexes[0].id).to_string());
        std::fs::write(&damaged, b"no index")?;
        let before = files_of(&full.repository)?;
        let repository = open(&full.repository)?;
        let mut phases = Vec::new();
        for room in [0, 1] {
            let _filler = full.disk.leave(pages(room))?;
            let failure = repair_index(&repository, RepairMode::Done, &stop, &progress).err();
            phases.push(Phase::of_failure(&failure.context("a repair without room fails")?)?);
            ensure!(files_of(&full.repository)? == before, "something was changed");
        }
        ensure!(phases == [Phase::Lock, Phase::Index], "no room for {phases:?}");
        println!("no room for: {phases:?}");
        let filler = full.disk.leave(pages(2))?;
        repair_index(&repository, RepairMode::Done, &stop, &progress)?;
        full.check(2)?;
        drop(filler);
        Peer::find(Release::OfSystem)?.check(&full.place(&story))
    });
}

/// Everything that only reads works.
fn read_all(story: &Story, place: &Place, point: &str, to: &Path) -> Result<()> {
    for args in [
        &["points"][..],
        &["show", point],
        &["verify", "--all"],
        &["repo", "check", "--read-data"],
        &["repo", "keyless-check"],
        &["repo", "repair-index", "--dry-run"],
        &["restore", point, "--disk", "vda", "--to", &to.display().to_string()],
    ] {
        story.stand.sonae_at(place, args)?.good().with_context(|| format!("{args:?}"))?;
    }
    ensure!(Content::of(to)? == Content::of(&story.path("old"))?, "another disk came back");
    Ok(std::fs::remove_file(to)?)
}

#[test]
fn a_disk_without_any_room_or_that_takes_no_writes_gives_back_what_is_on_it_and_gives_up_its_locks() {
    claim(|| {
        let story = Story::new()?;
        let full = story.on_small_disk()?;
        let (place, to) = (full.place(&story), story.path("restored"));
        let repository = open(&full.repository)?;
        let point = repository.points()?.good.first().context("a point")?.id.to_string();
        // What a process leaves behind that was killed: its lock, and half of what it was writing.
        let lock = repository.lock(LockKind::Exclusive)?;
        let locks = full.repository.join("locks");
        let name = std::fs::read_dir(&locks)?.next().context("a lock")??.file_name();
        let bytes = std::fs::read(locks.join(&name))?;
        drop(lock);
        std::fs::write(locks.join(&name), bytes)?;
        std::fs::write(full.repository.join("tmp/half"), [1; 9_000])?;
        let filler = full.disk.leave(ByteCount::ZERO)?;
        story.stand.sonae_at(&place, ["verify", "--all"])?.refused(11)?;
        let unlocked = story.stand.sonae_at(&place, ["repo", "unlock", "--remove-all"])?.good()?;
        ensure!(unlocked["removed"] == 1, "{unlocked}");
        let filler = (filler, full.disk.leave(ByteCount::ZERO)?);
        read_all(&story, &place, &point, &to)?;
        drop(filler);
        full.disk.take_no_writes()?;
        read_all(&story, &place, &point, &to)?;
        let disk = format!("vda={}", story.path("small").display());
        let said = story.stand.sonae_at(&place, ["backup", "--vm", NEW, "--disk", &disk])?.refused(2)?;
        ensure!(said.contains("Read-only file system"), "{said}");
        Ok(())
    });
}

#[test]
fn a_restore_that_finds_no_room_keeps_its_partial_name_and_goes_on_when_there_is_some() {
    claim(|| {
        let story = Story::new()?;
        let place = story.stand.place();
        let point = open(&place.repository)?.points()?.good.first().context("a point")?.id.to_string();
        let disk = SmallDisk::mount(ByteCount::mib(2))?;
        let (to, partial) = (disk.path("vda.raw"), disk.path("vda.raw.sonae-partial"));
        let restore =
            ["restore", &point, "--disk", "vda", "--to", &to.display().to_string()].map(str::to_owned);
        for room in [0, 1, 20, 40] {
            let _filler = disk.leave(pages(room))?;
            let said = story.stand.sonae_at(&place, &restore)?.refused(2)?;
            ensure!(said.contains("No space is left for the target"), "{said}");
            ensure!(!to.exists(), "half a disk has a final name");
        }
        ensure!(partial.exists(), "what was restored is kept");
        let done = story.stand.sonae_at(&place, &restore)?.good()?;
        ensure!(done["begun"] == "resumed" && done["in_place_bytes"] != 0, "{done}");
        ensure!(
            Content::of(&to)? == Content::of(&story.path("old"))? && !partial.exists(),
            "it is another disk"
        );
        Ok(())
    });
}
