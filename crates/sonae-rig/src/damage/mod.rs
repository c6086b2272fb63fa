//! A repository to damage: two machines on two days in small packs, copies of it that may be changed, and where in it
//! each kind of place lies. What the programs must then say stands with the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sonae_agent::backup::{BackupReport, BackupRequest, DiskRequest, Format, backup};
use sonae_agent::changes::ChangeMaps;
use sonae_agent::system_environment;
use sonae_repo::crypto::{KdfCost, Password};
use sonae_repo::environment::Environment;
use sonae_repo::store::{FileKind, FileName, LocalStore, ObjectStore, Repeats};
use sonae_repo::{Progress, Repository, Stop};
use sonae_types::{ByteCount, Clock, Digest, DiskName, Timestamp, VmName};

use crate::content::Content;
use crate::disks::{self, Stretch};
use crate::peer::Place;
use crate::stand::{Answer, PASSWORD, Stand};

mod places;

pub use places::{Need, Region, Spot};
use places::{needs_in, spots_in};

/// The first machine.
pub const AP: &str = "jumin-ap01";
/// The second one, which shares no chunk with the first.
pub const DB: &str = "zeimu-db01";
/// Small packs, so that small disks fill several.
pub const PACK: ByteCount = ByteCount::kib(96);

/// A machine before its first backup.
struct Machine {
    name: &'static str,
    disks: &'static [(&'static str, &'static [Stretch])],
}

const MACHINES: [Machine; 2] = [
    Machine {
        name: AP,
        disks: &[
            (
                "vda",
                &[
                    Stretch::Noise(1, ByteCount::kib(700)),
                    Stretch::Hole(ByteCount::kib(600)),
                    Stretch::Text(2, ByteCount::kib(300)),
                ],
            ),
            ("vdb", &[Stretch::Noise(3, ByteCount::kib(500)), Stretch::Noise(4, ByteCount::new(72_192))]),
        ],
    },
    Machine {
        name: DB,
        disks: &[(
            "vda",
            &[
                Stretch::Noise(5, ByteCount::kib(600)),
                Stretch::Zeros(ByteCount::kib(128)),
                Stretch::Text(6, ByteCount::kib(200)),
            ],
        )],
    },
];

/// A clock that never waits: the pause after writing a lock is long beside everything else in a test.
struct Hasty(Arc<dyn Clock>);

/// A clock that stands: the same backups under it give the same listings, down to the last time in them.
struct Standing(Timestamp);

/// When the first backup of a [`Base`] is made: 2026-04-01, 00:00 UTC. Each one is a day after the one before.
const FIRST_RUN: Timestamp = Timestamp::from_micros(1_775_001_600_000_000);
const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

/// A repository that is sound, the images that it holds, and the program.
#[derive(Debug)]
pub struct Base {
    stand: Stand,
    folder: tempfile::TempDir,
    runs: Vec<Run>,
    copies: AtomicUsize,
}

/// One backup of the base.
#[derive(Clone, Debug)]
pub struct Run {
    /// The machine.
    pub vm: &'static str,
    /// Its point.
    pub point: Digest,
    /// The files that it stored.
    pub stored: Vec<FileName>,
    /// The disks as they were: names and images.
    pub disks: Vec<(&'static str, PathBuf)>,
}

/// A copy of the repository that may be changed; gone when dropped.
#[derive(Debug)]
pub struct Copied<'a> {
    base: &'a Base,
    place: Place,
}

/// What became of a restored disk.
#[derive(Debug)]
pub enum Restored {
    /// It is byte by byte what it was.
    Same,
    /// It was refused, with this answer. Where something was restored nevertheless, it lies under a partial name and
    /// differs from the image only in these stretches: offset and length, rounded to whole pages.
    Refused(Answer, Vec<(u64, u64)>),
}

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, _span: Duration) {}
}

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _span: Duration) {}
}

/// The system, with a clock that never waits.
#[must_use]
pub fn hasty_environment() -> Environment {
    let mut environment = system_environment();
    environment.clock = Arc::new(Hasty(environment.clock));
    environment
}

/// A folder in memory, where this machine has room there: every file stored is waited for, and there the waiting is
/// short.
pub fn folder_in_memory() -> Result<tempfile::TempDir> {
    const ROOM: u64 = 2 << 30;
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    let folder = if ROOM <= room { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.context("cannot make a temporary folder")
}

/// The password of every repository here.
#[must_use]
pub fn password() -> Password {
    Password::from_file_bytes(PASSWORD.as_bytes())
}

/// Opens a repository in a store. Costs nearly nothing where its key is cheap.
pub fn open_in(store: Arc<dyn ObjectStore>) -> Result<Repository> {
    Ok(Repository::open(store, hasty_environment(), &password())?)
}

/// Opens a repository in a folder.
pub fn open(repository: &Path) -> Result<Repository> {
    open_in(Arc::new(LocalStore::open(repository)?))
}

/// Makes an empty repository that opens at nearly no cost.
pub fn create(repository: &Path) -> Result<Repository> {
    let store = Arc::new(LocalStore::create(repository)?);
    Ok(Repository::init(store, hasty_environment(), &password(), KdfCost::FOR_TESTS)?)
}

/// Backs up disks into small packs.
pub fn back_up(repository: &Repository, vm: &str, disks: &[(&str, PathBuf)]) -> Result<BackupReport> {
    let disks = disks.iter().map(|(name, path)| {
        Ok(DiskRequest { name: DiskName::parse(name)?, path: path.clone(), format: Format::Raw })
    });
    let request = BackupRequest {
        vm: VmName::parse(vm)?,
        disks: disks.collect::<Result<_>>()?,
        files: Vec::new(),
        changes: ChangeMaps::default(),
    };
    let repository = repository.clone().with_packs_of(PACK);
    Ok(backup(&repository, &request, &Repeats::default(), &Stop::default(), &Progress::default())?)
}

/// Another folder with the same files: they are never written twice, so both may have the same ones. Whoever changes
/// one removes it first.
pub fn link(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link(&entry.path(), &target)?;
        } else {
            std::fs::hard_link(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Does the same with every item, `threads` at a time. Errors: every item for which it did not hold.
pub fn each<I: Sync + std::fmt::Debug>(
    threads: usize,
    items: &[I],
    work: impl Fn(&I) -> Result<()> + Sync,
) -> Result<()> {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = work(item) {
                        let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
                        wrong.push(format!("{item:?}: {error:#}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(wrong.is_empty(), "{} of {} did not hold:\n{}", wrong.len(), items.len(), wrong.join("\n"));
    Ok(())
}

impl Run {
    /// The path of a disk in the point.
    #[must_use]
    pub fn path_of(&self, disk: &str) -> String {
        format!("/{}/disk-{disk}.raw", self.vm)
    }
}

impl Base {
    /// Both machines on both days, one point each.
    pub fn new() -> Result<Self> {
        let folder = folder_in_memory()?;
        let mut base = Self { stand: Stand::new()?, folder, runs: Vec::new(), copies: AtomicUsize::new(0) };
        create(&base.sound())?;
        for day in [1, 2] {
            for (number, Machine { name: vm, disks: contents }) in (90..).zip(MACHINES) {
                let mut disks = Vec::new();
                for (name, stretches) in contents {
                    let image = base.folder.path().join(format!("{vm}-{name}-{day}"));
                    disks::make(&image, stretches)?;
                    disks.push((*name, image));
                }
                if day == 2 {
                    let noise = Stretch::Noise(number, ByteCount::kib(64));
                    disks::overwrite(&disks[0].1, ByteCount::kib(128), noise)?;
                }
                let before = files_of(&base.sound())?;
                let point = run(&base.sound(), base.runs.len(), vm, &disks)?.point;
                let stored = files_of(&base.sound())?.difference(&before).copied().collect();
                base.runs.push(Run { vm, point, stored, disks });
            }
        }
        Ok(base)
    }

    /// Stores all chunks and listings of the repository once more in a copy of it, in packs of their own. Gives these
    /// packs. So does a backup that runs beside another one, or without the index.
    pub fn store_twice(&self, copy: &Copied<'_>) -> Result<BTreeSet<FileName>> {
        let twin = copy.place.repository.with_extension("twin");
        std::fs::create_dir(&twin)?;
        std::fs::hard_link(self.sound().join("config"), twin.join("config"))?;
        link(&self.sound().join("keys"), &twin.join("keys"))?;
        for (number, made) in self.runs.iter().enumerate() {
            run(&twin, number, made.vm, &made.disks)?;
        }
        let packs = files_of(&twin)?;
        for file in &packs {
            if let FileName::Hashed(FileKind::Data | FileKind::Index, _) = file {
                std::fs::hard_link(twin.join(file.to_string()), copy.path(*file))?;
            }
        }
        std::fs::remove_dir_all(twin)?;
        Ok(packs.into_iter().filter(|file| matches!(file, FileName::Hashed(FileKind::Data, _))).collect())
    }

    fn sound(&self) -> PathBuf {
        self.folder.path().join("sound")
    }

    /// A path beside the repository, for whatever a test makes.
    #[must_use]
    pub fn place_for(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// All backups, in the order in which they were made.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The repository itself.
    pub fn opened(&self) -> Result<Repository> {
        open(&self.sound())
    }

    /// A copy that may be changed.
    pub fn copy(&self) -> Result<Copied<'_>> {
        let number = self.copies.fetch_add(1, Ordering::Relaxed);
        let repository = self.folder.path().join(format!("copy-{number}"));
        link(&self.sound(), &repository)?;
        Ok(Copied { base: self, place: Place { repository, ..self.stand.place() } })
    }

    /// Every place of the repository.
    pub fn spots(&self) -> Result<Vec<Spot>> {
        spots_in(&self.sound())
    }

    /// Where every chunk is needed.
    pub fn needs(&self) -> Result<BTreeMap<Digest, BTreeSet<Need>>> {
        needs_in(&self.sound())
    }
}

impl Copied<'_> {
    /// Its folder and password file.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A file of it.
    #[must_use]
    pub fn path(&self, file: FileName) -> PathBuf {
        self.place.repository.join(file.to_string())
    }

    /// Changes the bytes of a file.
    pub fn change(&self, file: FileName, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let path = self.path(file);
        let mut bytes = std::fs::read(&path)?;
        change(&mut bytes);
        // The file itself is also that of the sound repository.
        std::fs::remove_file(&path)?;
        Ok(std::fs::write(path, bytes)?)
    }

    /// Flips a bit.
    pub fn flip(&self, file: FileName, byte: u64, bit: u32) -> Result<()> {
        let at = usize::try_from(byte)?;
        self.change(file, |bytes| bytes[at] ^= 1 << (bit % 8))
    }

    /// Removes a file.
    pub fn remove(&self, file: FileName) -> Result<()> {
        Ok(std::fs::remove_file(self.path(file))?)
    }

    /// The files of one kind.
    pub fn files(&self, kind: FileKind) -> Result<Vec<FileName>> {
        let files = LocalStore::open(&self.place.repository)?.list(kind)?;
        Ok(files.into_iter().map(|file| FileName::Hashed(kind, file.id)).collect())
    }

    /// Every place of it, as its index says.
    pub fn spots(&self) -> Result<Vec<Spot>> {
        spots_in(&self.place.repository)
    }

    /// Runs our program.
    pub fn sonae(&self, args: &[&str]) -> Result<Answer> {
        self.base.stand.sonae_at(&self.place, args)
    }

    /// Restores a disk of a run to a new file. Errors: what lies there then is another disk, or a refused restore left
    /// something under the final name.
    pub fn restore(&self, run: &Run, disk: &str) -> Result<Restored> {
        let (_, image) = run.disks.iter().find(|(name, _)| *name == disk).context("a disk of the machine")?;
        let to = self.place.repository.with_extension(format!("{}-{disk}", run.point));
        let point = run.point.to_string();
        let answer = self.sonae(&["restore", &point, "--disk", disk, "--to", &to.display().to_string()])?;
        let partial = PathBuf::from(format!("{}.sonae-partial", to.display()));
        if answer.code == 0 {
            ensure!(Content::of(&to)? == Content::of(image)?, "{disk} of {point} came back as another disk");
            std::fs::remove_file(to)?;
            return Ok(Restored::Same);
        }
        ensure!(!to.exists(), "a refused restore left {}", to.display());
        let differing = if partial.exists() { differing(&partial, image)? } else { Vec::new() };
        if partial.exists() {
            std::fs::remove_file(partial)?;
        }
        Ok(Restored::Refused(answer, differing))
    }
}

impl Drop for Copied<'_> {
    fn drop(&mut self) {
        // The folder above goes anyway.
        std::fs::remove_dir_all(&self.place.repository).ok();
    }
}

/// Makes the backup with this number under a clock that stands.
fn run(folder: &Path, number: usize, vm: &str, disks: &[(&str, PathBuf)]) -> Result<BackupReport> {
    let now = Timestamp::from_micros(FIRST_RUN.as_micros() + DAY_MICROS * i64::try_from(number)?);
    let environment = Environment { clock: Arc::new(Standing(now)), ..system_environment() };
    let repository = Repository::open(Arc::new(LocalStore::open(folder)?), environment, &password())?;
    back_up(&repository, vm, disks)
}

/// Every file of a repository but its locks.
pub fn files_of(repository: &Path) -> Result<BTreeSet<FileName>> {
    let store = LocalStore::open(repository)?;
    let mut files = BTreeSet::from([FileName::Config]);
    for kind in [FileKind::Key, FileKind::Data, FileKind::Index, FileKind::Snapshot] {
        files.extend(store.list(kind)?.into_iter().map(|file| FileName::Hashed(kind, file.id)));
    }
    Ok(files)
}

/// Runs of pages in which two files differ.
fn differing(one: &Path, other: &Path) -> Result<Vec<(u64, u64)>> {
    let [one, other] = [std::fs::read(one)?, std::fs::read(other)?];
    ensure!(one.len() == other.len(), "{} bytes instead of {}", one.len(), other.len());
    let page = disks::PAGE.as_len();
    let mut runs = Vec::<(u64, u64)>::new();
    for (number, (one, other)) in one.chunks(page).zip(other.chunks(page)).enumerate() {
        if one == other {
            continue;
        }
        let (at, len) = ((number * page) as u64, one.len() as u64);
        match runs.last_mut() {
            Some(last) if last.0 + last.1 == at => last.1 += len,
            _ => runs.push((at, len)),
        }
    }
    Ok(runs)
}
