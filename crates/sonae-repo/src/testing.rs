//! Stand-ins for the tests of this room and of others: entropy and time that are values.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sonae_types::{
    ByteCount, ByteOffset, Clock, DiskError, DiskRead, DiskTarget, Extent, ExtentKind, TargetState, Timestamp,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use sonae_format::testing::CountingEntropy;

use crate::blob::BlobKind;
use crate::chunk::{Changed, ChunkTarget, PAGE_BYTES, is_zero};
use crate::config::Config;
use crate::crypto::{KdfCost, Password};
use crate::environment::{Environment, Liveness, Processes, Progress, Stop, Worker};
use crate::ingest::{Audit, Base, DiskChunks, DiskInput, Ingest, IngestError, Reading};
use crate::repository::Repository;
use crate::restore::{Content, Restore, RestoreError, RestoreOutcome};
use crate::snapshot::{Point, Snapshot};
use crate::store::{FileName, MemoryStore, StoreError};
use crate::time::to_rfc3339;
use crate::tree::{Node, NodeKind, encode_tree};
use crate::trusted::TrustedIndex;

/// A clock that stands where it was put and moves only by sleeping.
#[derive(Debug, Default)]
pub struct ManualClock {
    micros: AtomicI64,
}

impl ManualClock {
    /// A clock at this instant.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { micros: AtomicI64::new(now.as_micros()) }
    }

    /// Puts the clock elsewhere, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.micros.store(now.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.micros.load(Ordering::SeqCst)).unwrap_or(0))
    }

    fn sleep(&self, span: Duration) {
        self.micros.fetch_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

/// A disk in memory, to read from and to restore to. Runs of zero pages are told as holes where `holes` says so.
#[derive(Debug)]
pub struct MemoryDisk {
    bytes: Mutex<Vec<u8>>,
    state: TargetState,
    holes: Holes,
    fails_at: Option<u64>,
    finished: AtomicU64,
}

/// Whether a disk in memory tells where its holes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holes {
    /// Every run of whole zero pages is a hole.
    Told,
    /// All is data, as on a block device.
    Untold,
}

impl MemoryDisk {
    /// A disk to read from.
    #[must_use]
    pub fn source(bytes: Vec<u8>, holes: Holes) -> Self {
        Self {
            bytes: Mutex::new(bytes),
            state: TargetState::Existing,
            holes,
            fails_at: None,
            finished: AtomicU64::new(0),
        }
    }

    /// A source that cannot be read at one byte.
    #[must_use]
    pub fn failing_at(bytes: Vec<u8>, at: u64) -> Self {
        Self { fails_at: Some(at), ..Self::source(bytes, Holes::Untold) }
    }

    /// An empty target of this size.
    #[must_use]
    pub fn fresh(size: usize) -> Self {
        Self { state: TargetState::Fresh, ..Self::source(vec![0; size], Holes::Told) }
    }

    /// What is on the disk.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often the disk was finished.
    #[must_use]
    pub fn times_finished(&self) -> u64 {
        self.finished.load(Ordering::SeqCst)
    }
}

impl DiskRead for MemoryDisk {
    fn label(&self) -> &'static str {
        "memory"
    }

    fn size(&self) -> ByteCount {
        ByteCount::of_len(self.bytes.lock().unwrap_or_else(PoisonError::into_inner).len())
    }

    fn extent_at(&self, at: ByteOffset) -> Result<Extent, DiskError> {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(at.get()).expect("inside memory");
        if self.holes == Holes::Untold {
            return Ok(Extent { kind: ExtentKind::Data, end: ByteOffset::new(bytes.len() as u64) });
        }
        let mut pages = bytes[start..].chunks(PAGE_BYTES).map(|page| (page.len(), is_zero(page)));
        let (first, zero) = pages.next().expect("`at` lies inside the disk");
        let rest = pages.take_while(|(_, next)| *next == zero).map(|(len, _)| len).sum::<usize>();
        let kind = if zero { ExtentKind::Hole } else { ExtentKind::Data };
        Ok(Extent { kind, end: ByteOffset::new((start + first + rest) as u64) })
    }

    fn read_at(&self, at: ByteOffset, into: &mut [u8]) -> Result<(), DiskError> {
        let start = usize::try_from(at.get()).expect("inside memory");
        let range = at.get()..at.get() + into.len() as u64;
        if let Some(bad) = self.fails_at.filter(|bad| range.contains(bad)) {
            let cause = std::io::Error::from_raw_os_error(5);
            return Err(DiskError::Io {
                doing: "read",
                label: "memory".to_owned(),
                at: ByteOffset::new(bad),
                cause,
            });
        }
        into.copy_from_slice(
            &self.bytes.lock().unwrap_or_else(PoisonError::into_inner)[start..start + into.len()],
        );
        Ok(())
    }

    fn confirm_unchanged(&self) -> Result<(), DiskError> {
        Ok(())
    }
}

impl DiskTarget for MemoryDisk {
    fn state(&self) -> TargetState {
        self.state
    }

    fn write_at(&self, at: ByteOffset, bytes: &[u8]) -> Result<(), DiskError> {
        let start = usize::try_from(at.get()).expect("inside memory");
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)[start..start + bytes.len()]
            .copy_from_slice(bytes);
        Ok(())
    }

    fn zero_at(&self, at: ByteOffset, len: ByteCount) -> Result<(), DiskError> {
        self.write_at(at, &vec![0; len.as_len()])
    }

    fn finish(&self) -> Result<(), DiskError> {
        self.finished.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// An environment that stands still at one second after the epoch, on the machine `test`.
#[must_use]
pub fn environment() -> Environment {
    let worker =
        Worker { hostname: "test".to_owned(), username: "tester".to_owned(), pid: 1, uid: 0, gid: 0 };
    Environment {
        clock: Arc::new(ManualClock::at(Timestamp::from_micros(1_000_000))),
        entropy: Arc::new(CountingEntropy::default()),
        worker,
        processes: Arc::new(AllLive),
    }
}

/// Every process lives.
#[derive(Clone, Copy, Debug)]
pub struct AllLive;

impl Processes for AllLive {
    fn lives(&self, _pid: u32) -> Liveness {
        Liveness::Lives
    }
}

/// A repository in memory, opened by the password `secret`.
#[must_use]
pub fn memory_repository(store: &MemoryStore) -> Repository {
    let password = Password::from_file_bytes(b"secret");
    Repository::init(Arc::new(store.clone()), environment(), &password, KdfCost::FOR_TESTS)
        .expect("an empty store takes a repository")
}

/// Saves these bytes as the only file of a point of the machine `vm`: `/vm/disk-vda.raw`.
pub fn save_disk(repository: &Repository, bytes: Vec<u8>, holes: Holes) -> Result<Point, IngestError> {
    let trusted = repository.load_trusted_index().expect("the index can be read");
    save(repository, &trusted, &MemoryDisk::source(bytes, holes), Reading::Whole).map(|(point, _)| point)
}

/// The same as [`save_disk`], upon a point that it saved before.
pub fn save_increment(
    repository: &Repository,
    parent: &Point,
    disk: &MemoryDisk,
    changed: Changed,
    audit: Audit,
) -> Result<(Point, DiskChunks), IngestError> {
    let trusted = repository.load_trusted_index().expect("the index can be read");
    let node = repository.find(&trusted.index, parent, "/vm/disk-vda.raw").expect("the parent can be read");
    let NodeKind::File { content, .. } = node.kind else { panic!("the disk is a file") };
    let base = Base::new(&content, disk.size(), &trusted, changed, audit).expect("the parent is a basis");
    save(repository, &trusted, disk, Reading::Changed(&base))
}

fn save(
    repository: &Repository,
    trusted: &TrustedIndex,
    disk: &MemoryDisk,
    reading: Reading<'_>,
) -> Result<(Point, DiskChunks), IngestError> {
    let (stop, progress) = (Stop::default(), Progress::default());
    let mut ingest = Ingest::new(repository, &trusted.index, &stop, &progress);
    let size = disk.size().get();
    let target = ChunkTarget::new(64 << 10).expect("64 KiB is a target");
    let taken = ingest.disks(&[DiskInput { disk, target, reading }])?.remove(0);
    let content = taken.chunks.iter().map(|chunk| chunk.id).collect();
    let at = Timestamp::from_micros(0);
    let file = Node { name: "disk-vda.raw".to_owned(), kind: NodeKind::File { size, content } };
    let folder = ingest.blob(BlobKind::Tree, &encode_tree(vec![file], at))?;
    let root = Node { name: "vm".to_owned(), kind: NodeKind::Folder(folder) };
    let tree = ingest.blob(BlobKind::Tree, &encode_tree(vec![root], at))?;
    ingest.finish()?;
    let snapshot = Snapshot {
        time: to_rfc3339(at),
        parent: None,
        tree,
        paths: vec!["/vm".to_owned()],
        hostname: "vm".to_owned(),
        username: String::new(),
        tags: vec![],
        original: None,
        program_version: None,
        summary: None,
    };
    let id = repository.save_point(&snapshot).map_err(IngestError::Store)?;
    Ok((Point { id, snapshot }, taken))
}

/// Restores the disk that [`save_disk`] saved onto a target.
pub fn restore_disk(
    repository: &Repository,
    point: &Point,
    target: &dyn DiskTarget,
) -> Result<RestoreOutcome, RestoreError> {
    let index = repository.load_index_around_damage()?.index;
    let node = repository.find(&index, point, "/vm/disk-vda.raw")?;
    let NodeKind::File { size, content } = node.kind else { panic!("the disk is a file") };
    let (stop, progress) = (Stop::default(), Progress::default());
    Restore { repository, index: &index, stop: &stop, progress: &progress }
        .run(Content { ids: &content, size: ByteCount::new(size) }, target)
}

/// An image of a few kinds of pages from a recipe: `z` zero, `t` text, `n` noise; each letter stands for 16 pages.
#[must_use]
pub fn image(recipe: &str, tail: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, kind) in recipe.bytes().enumerate() {
        for page in 0..16u64 {
            let seed = (number as u64) << 32 | page;
            match kind {
                b't' => bytes
                    .extend(xxh3_64_with_seed(&seed.to_le_bytes(), 1).to_le_bytes().repeat(PAGE_BYTES / 8)),
                b'n' => (0..PAGE_BYTES as u64 / 8).for_each(|word| {
                    bytes.extend(xxh3_64_with_seed(&word.to_le_bytes(), seed).to_le_bytes());
                }),
                _ => bytes.resize(bytes.len() + PAGE_BYTES, 0),
            }
        }
    }
    bytes.resize(bytes.len() + tail, 7);
    bytes
}

/// Gives a repository another configuration, as only another program would: a format from before or after ours.
pub fn replace_config(repository: &Repository, config: &Config) -> Result<(), StoreError> {
    repository.store.remove(FileName::Config)?;
    repository.store.put(FileName::Config, &config.encode(&repository.key, &*repository.environment.entropy))
}
