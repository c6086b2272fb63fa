//! The disk of the repository, or of a restore, is full: at every page of room that can be left, in every phase, the
//! run says so and records nothing, what was there before is whole, and with more room the next run goes on with what
//! was stored (requirements 001-20, 002-09).

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use sonae_agent::backup::BackupReport;
use sonae_agent::maintain::{RepairMode, repair_index};
use sonae_agent::verify::{Selection, Verdict, verify};
use sonae_agent::{Failure, Fault};
use sonae_repo::crypto::KdfCost;
use sonae_repo::keyless::keyless_check;
use sonae_repo::lock::LockKind;
use sonae_repo::store::{FileKind, FileName, LocalStore, ObjectStore as _, StoreError};
use sonae_repo::{Progress, Repository, Stop};
use sonae_rig::content::Content;
use sonae_rig::damage::{back_up, create, each, files_of, hasty_environment, open, password};
use sonae_rig::disks::{self, PAGE, Stretch};
use sonae_rig::golden::copy_repository;
use sonae_rig::peer::{Peer, Place, Release};
use sonae_rig::small_disk::SmallDisk;
use sonae_rig::stand::{Answer, Stand, claim, text};
use sonae_text::keys;
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
}

/// A repository with a point, and the disks of another machine that are to be backed up.
struct Story {
    stand: Stand,
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
        }
    }

    /// The phase in which a run found no room. Errors: it failed otherwise, or does not say what to do.
    fn of_failure(failure: &Failure) -> Result<Self> {
        ensure!(failure.fault == Fault::OurFault, "{failure:?}");
        ensure!(failure.message.key == keys::ERROR_REPOSITORY_FULL, "{failure:?}");
        let remedy = failure.remedy.as_ref().context("it says what to do")?;
        ensure!(remedy.key == keys::REMEDY_REPOSITORY_FULL, "{failure:?}");
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
            Self::Lock | Self::Key | Self::Config => left.is_empty(),
            // Where there is room for it, an index of the packs that were stored.
            Self::Pack => !point && (packs || !index),
            Self::Index => packs && !index && !point,
            Self::Point => packs && index && !point,
        }
    }
}

impl Story {
    fn new() -> Result<Self> {
        let story = Self { stand: Stand::new()? };
        let kib = ByteCount::kib;
        disks::make(&story.path("old"), &[Stretch::Noise(1, kib(200)), Stretch::Text(2, kib(100))])?;
        disks::make(&story.path("new"), &[Stretch::Noise(3, kib(130)), Stretch::Hole(kib(64)), Stretch::Noise(4, kib(30))])?;
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

    fn back_up(&self, story: &Story) -> Result<BackupReport> {
        back_up(&open(&self.repository)?, NEW, &[("vda", story.path("new"))])
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

/// One backup with so many pages of room. Gives the phase in which it failed, and whether restic still has to look.
fn back_up_with(story: &Story, room: u64, seen: &Mutex<BTreeMap<Phase, u64>>, restic: &Peer) -> Result<()> {
    let full = story.on_small_disk()?;
    let before = files_of(&full.repository)?;
    let filler = full.disk.leave(pages(room))?;
    let failure = full.back_up(story).err().context("a run with too little room fails")?;
    let failure = failure.downcast_ref::<Failure>().with_context(|| format!("no failure of ours: {failure:#}"))?;
    let phase = Phase::of_failure(failure)?;
    let left = files_of(&full.repository)?.difference(&before).copied().collect::<BTreeSet<_>>();
    ensure!(phase.fits(&left), "no room for {phase:?}, and there are {left:?}");
    let taken = pages_of(&full.repository, &left)?;
    ensure!(full.disk.free()? == pages(room - taken), "{} are free, {taken} of {room} pages taken", full.disk.free()?);
    full.check(1).with_context(|| format!("after {phase:?}"))?;
    let first = {
        let mut seen = seen.lock().expect("nobody panics with it");
        let count = seen.entry(phase).or_insert(0);
        *count += 1;
        *count == 1
    };
    if first {
        restic.run(&full.place(story), ["check", "--read-data", "--no-lock"])?;
    }
    drop(filler);
    let stored = |files: &BTreeSet<FileName>| {
        files.iter().filter(|file| matches!(file, FileName::Hashed(FileKind::Data, _))).count()
    };
    let again = full.back_up(story)?;
    full.check(2)?;
    if phase == Phase::Point {
        ensure!(again.disks[0].new_chunk_bytes == ByteCount::ZERO, "what was stored is used: {again:?}");
    }
    if phase == Phase::Pack && left.iter().any(|file| matches!(file, FileName::Hashed(FileKind::Index, _))) {
        let size = again.disks[0].size_bytes;
        ensure!(again.disks[0].new_chunk_bytes < size, "{} packs are used: {again:?}", stored(&left));
    }
    let to = full.disk.path("restored");
    let point = again.point.to_string();
    let args = ["restore", &point, "--disk", "vda", "--to", &to.display().to_string()];
    if first {
        story.stand.sonae_at(&full.place(story), args)?.good()?;
        ensure!(Content::of(&to)? == Content::of(&story.path("new"))?, "another disk came back");
        restic.check(&full.place(story))?;
    }
    Ok(())
}

#[test]
fn at_every_page_of_room_a_backup_says_that_the_disk_is_full_and_the_next_one_goes_on() {
    claim(|| {
        let (story, restic) = (Story::new()?, Peer::find(Release::OfSystem)?);
        let roomy = story.on_small_disk()?;
        let before = files_of(&roomy.repository)?;
        roomy.back_up(&story)?;
        let stored = files_of(&roomy.repository)?.difference(&before).copied().collect();
        // The lock is there until the end.
        let needed = pages_of(&roomy.repository, &stored)? + 1;
        let (seen, rooms) = (Mutex::default(), (0..needed).collect::<Vec<_>>());
        each(THREADS, &rooms, |room| back_up_with(&story, *room, &seen, &restic))?;
        let seen = seen.into_inner().expect("nobody panics with it");
        println!("{needed} pages needed, {} files stored; no room for: {seen:?}", stored.len());
        for phase in [Phase::Lock, Phase::Pack, Phase::Index, Phase::Point] {
            ensure!(seen.contains_key(&phase), "{phase:?} always had room");
        }
        Ok(())
    });
}
