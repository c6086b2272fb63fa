//! Keeping a repository in order: its locks, its index, and whether its files are what their names say.

use serde::Serialize;
use sonae_repo::environment::Environment;
use sonae_repo::keyless::{KeylessError, KeylessReport, keyless_check};
use sonae_repo::lock::{Fate, FoundLock, LockKind, Unlock};
use sonae_repo::repair::{Repair, RepairError, RepairReport};
use sonae_repo::{Progress, Repository, Stop};
use sonae_types::ByteCount;

use crate::failure::Failure;
use crate::findings::FindingReport;
use crate::repository::{Access, Address, open_store};
use crate::verify::Verdict;

/// What became of the locks.
#[derive(Debug, Serialize)]
pub struct UnlockReport {
    /// Every lock that was there.
    pub locks: Vec<FoundLock>,
    /// How many were removed.
    pub removed: usize,
    /// How many were left.
    pub kept: usize,
}

/// What hashing every file found.
#[derive(Debug, Serialize)]
pub struct KeylessCheckReport {
    /// The verdict on the files that are there; a missing one cannot be seen without a key.
    pub verdict: Verdict,
    /// Files hashed.
    pub files: u64,
    /// Their bytes.
    pub read_bytes: ByteCount,
    /// The same by kind.
    pub kinds: Vec<KindReport>,
    /// What is wrong.
    pub findings: Vec<FindingReport>,
    /// How long it took.
    pub duration_ms: u64,
}

/// The files of one kind.
#[derive(Debug, Serialize)]
pub struct KindReport {
    /// The folder they lie in.
    pub kind: &'static str,
    /// How many there are.
    pub files: u64,
    /// Their bytes.
    pub bytes: ByteCount,
}

/// Whether a repair is carried out or only told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepairMode {
    /// Only told.
    DryRun,
    /// Carried out.
    Done,
}

/// What rebuilding the index did.
#[derive(Debug, Serialize)]
pub struct RepairIndexReport {
    /// The verdict on what is left: damaged where packs are missing or cannot be read.
    pub verdict: Verdict,
    /// Whether it was carried out.
    pub mode: RepairMode,
    /// Packs that are there.
    pub packs: usize,
    /// Blobs that the index lists now.
    pub blobs: usize,
    /// Packs that no index file listed as they are.
    pub added_packs: usize,
    /// Index files written.
    pub written_index_files: usize,
    /// Index files removed.
    pub removed_index_files: usize,
    /// Index files that could not be read and are replaced.
    pub replaced: Vec<FindingReport>,
    /// What is wrong and cannot be mended here.
    pub findings: Vec<FindingReport>,
    /// How long it took.
    pub duration_ms: u64,
}

/// Removes locks. Errors: the repository cannot be read or written.
pub fn unlock(repository: &Repository, which: Unlock) -> Result<UnlockReport, Failure> {
    let locks = repository.unlock(which)?;
    let removed = locks.iter().filter(|lock| lock.fate == Fate::Removed).count();
    Ok(UnlockReport { kept: locks.len() - removed, removed, locks })
}

/// Hashes every file of a repository without opening it. Errors: no repository there, a file that cannot be read.
pub fn check_without_key(
    address: &Address,
    access: &Access,
    environment: &Environment,
    progress: &Progress,
) -> Result<KeylessCheckReport, Failure> {
    let clock = &environment.clock;
    let begun = clock.monotonic();
    let store = open_store(address, access, environment)?;
    let KeylessReport { kinds, damaged } = keyless_check(&*store, &access.stop, progress)?;
    let kinds =
        kinds.into_iter().map(|(kind, files, bytes)| KindReport { kind: kind.folder(), files, bytes });
    let kinds = kinds.collect::<Vec<_>>();
    let findings = damaged.iter().map(FindingReport::from).collect::<Vec<_>>();
    Ok(KeylessCheckReport {
        verdict: if findings.is_empty() { Verdict::Good } else { Verdict::Damaged },
        files: kinds.iter().map(|kind| kind.files).sum(),
        read_bytes: kinds.iter().map(|kind| kind.bytes).sum(),
        kinds,
        findings,
        duration_ms: u64::try_from((clock.monotonic() - begun).as_millis()).unwrap_or(u64::MAX),
    })
}

/// Rebuilds the index from the packs. Errors: locked, out of reach; damage is in the report, not an error.
pub fn repair_index(
    repository: &Repository,
    mode: RepairMode,
    stop: &Stop,
    progress: &Progress,
) -> Result<RepairIndexReport, Failure> {
    let clock = &repository.environment().clock;
    let begun = clock.monotonic();
    let report = match mode {
        RepairMode::DryRun => {
            let _reading = repository.begin_reading()?.settle()?;
            repository.repair_index(Repair::DryRun, stop, progress)?
        }
        RepairMode::Done => {
            let lock = repository.lock(LockKind::Exclusive)?;
            repository.repair_index(Repair::Write(&lock), stop, progress)?
        }
    };
    let RepairReport { packs, blobs, added, missing, damaged, damaged_index, written, removed } = report;
    let missing = missing.iter().map(FindingReport::missing_pack);
    let findings = missing.chain(damaged.iter().map(FindingReport::damaged_pack)).collect::<Vec<_>>();
    Ok(RepairIndexReport {
        verdict: if findings.is_empty() { Verdict::Good } else { Verdict::Damaged },
        mode,
        packs,
        blobs,
        added_packs: added.len(),
        written_index_files: written,
        removed_index_files: removed,
        replaced: damaged_index.iter().map(FindingReport::damaged_index).collect(),
        findings,
        duration_ms: u64::try_from((clock.monotonic() - begun).as_millis()).unwrap_or(u64::MAX),
    })
}

impl From<KeylessError> for Failure {
    fn from(error: KeylessError) -> Self {
        match error {
            KeylessError::Open(error) => error.into(),
            KeylessError::Store(error) => error.into(),
            KeylessError::Stopped(stopped) => stopped.into(),
        }
    }
}

impl From<RepairError> for Failure {
    fn from(error: RepairError) -> Self {
        match error {
            RepairError::Read(error) => error.into(),
            RepairError::Store(error) => error.into(),
            RepairError::Lock(error) => error.into(),
            RepairError::Stopped(stopped) => stopped.into(),
        }
    }
}
