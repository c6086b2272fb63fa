//! Copying points to another repository: as files where both have the same key, else blob by blob under the other key.
//!
//! The order is that of all writing, packs, index, points, and a point is written only when everything that it needs is
//! in the target. What is there already is passed over, so an interrupted copy goes on where it ended. What is damaged
//! in the source is told and keeps back the points that need it, and no others.

use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sonae_types::{ByteCount, Digest};

use crate::points::Needs;

use sonae_repo::check::{Depth, Finding};
use sonae_repo::environment::{Progress, Stop, Stopped};
use sonae_repo::ingest::IngestError;
use sonae_repo::lock::{Lock, LockError};
use sonae_repo::reader::{Points, ReadError};
use sonae_repo::repository::{OpenError, Repository};
use sonae_repo::reseal::{Reseal, ResealError, Resealed};
use sonae_repo::store::{FileKind, FileName, StoreError};

/// A copy to be made, under locks on both sides.
#[derive(Clone, Copy, Debug)]
pub struct Copying<'a> {
    /// From where.
    pub source: &'a Repository,
    /// To where.
    pub target: &'a Repository,
    /// The lock on the target.
    pub lock: &'a Lock,
    /// How much of the source.
    pub extent: Extent,
    /// Whether the target opens with the passwords of the source.
    pub keys: KeyFiles,
    /// How files that are in the target already are looked at.
    pub depth: Depth,
    /// Ends it.
    pub stop: &'a Stop,
    /// How far it has come.
    pub progress: &'a Progress,
}

/// How much of a repository is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All files of it, where both have the same key.
    Everything,
    /// Only what the points need that are handed in.
    ThesePoints,
}

/// Whether the key files of the source are among the files that are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFiles {
    /// Yes: the target opens with the same passwords.
    Taken,
    /// No: the target has passwords of its own.
    Left,
}

/// A number of files and their bytes as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: ByteCount,
}

/// What a copy did.
#[derive(Debug, Default)]
pub struct CopyReport {
    /// Files that were not in the target.
    pub copied: Amount,
    /// Files that were.
    pub there: Amount,
    /// Files that were there with other bytes than their name says.
    pub replaced: Amount,
    /// Blobs that were stored anew, and what they take: all where the keys differ, else what lay in damaged packs.
    pub resealed: Resealed,
    /// Points that are in the target now and were not.
    pub points_copied: usize,
    /// Points that were there.
    pub points_there: usize,
    /// Points that were kept back because something that they need is damaged in the source.
    pub withheld: Vec<Digest>,
    /// What is wrong with the source.
    pub refused: Vec<Finding>,
    /// What is wrong with the target and cannot be mended by copying.
    pub unmended: Vec<Finding>,
}

/// A copy was not made whole. Points that were written are whole.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// One of the repositories cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The target cannot be written, or the source not be read any more.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A place cannot become a copy.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Blobs could not be stored.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The lock was lost.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// After so many files that the store of the source refused to give, it is out of reach and not only damaged.
pub(crate) const UNREADABLE_MAX: usize = 16;

/// The report while it is made, by many threads.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    report: Mutex<CopyReport>,
    /// Packs of the source that were told already.
    told: Mutex<HashSet<Digest>>,
    /// Files that the store of the source refused to give.
    pub(crate) unreadable: AtomicUsize,
    /// Files stored so far.
    pub(crate) stored: AtomicUsize,
}

impl Copying<'_> {
    /// Copies these points of the source; with [`Extent::Everything`] they must be all of them.
    ///
    /// List the points before, so that the index that is read here knows all that they need. Errors: [`CopyError`];
    /// damage of the source is in the report.
    pub fn run(&self, mut points: Points) -> Result<CopyReport, CopyError> {
        let tally = Tally::default();
        // A folder that changes while it is read may name an entry twice.
        points.good.dedup_by_key(|point| point.id);
        let mut files = self.source.index_files()?;
        let damaged = std::mem::take(&mut files.damaged);
        for (kind, damaged) in [(FileKind::Snapshot, points.damaged), (FileKind::Index, damaged)] {
            damaged.into_iter().for_each(|file| tally.refuse(FileName::Hashed(kind, file.id), file.cause));
        }
        let index = files.index();
        let fresh = self.fresh(&points.good, &tally)?;
        let needs = Needs::of(self.source, &index, &fresh, self.stop)?;
        let same_key = self.source.has_key_of(self.target);
        let reach = if same_key {
            self.bring_files(&files, &index, &needs, &tally)?
        } else {
            self.trusted(&tally)?.told(&tally)
        };
        let reseal = Reseal {
            source: self.source,
            index: &index,
            target: self.target,
            lock: self.lock,
            stop: self.stop,
            progress: self.progress,
        };
        let (resealed, lost) = reseal.run(needs.without(&reach), &reach)?;
        lost.causes.into_iter().for_each(|(pack, cause)| {
            tally.refuse(FileName::Hashed(FileKind::Data, pack), cause);
        });
        tally.report().resealed = resealed;
        let whole = self.whole(&index, fresh, &needs, &lost.blobs, &tally);
        // Nobody may have removed what the points need: who lost the lock writes none.
        self.lock.confirm()?;
        self.save(&whole, &tally)?;
        Ok(tally.finish())
    }
}

impl Tally {
    pub(crate) fn report(&self) -> MutexGuard<'_, CopyReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells that a file of the source cannot be copied; each pack once.
    pub(crate) fn refuse(&self, file: FileName, cause: ReadError) {
        if let FileName::Hashed(FileKind::Data, pack) = file
            && !self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(pack)
        {
            return;
        }
        self.report().refused.push(finding(file, cause));
    }

    fn finish(self) -> CopyReport {
        self.report.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Amount {
    pub(crate) fn add(&mut self, bytes: ByteCount) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// What is wrong with a file, in the words of a check.
fn finding(file: FileName, cause: ReadError) -> Finding {
    let is_gone = matches!(&cause, ReadError::Store(error) if error.is_not_found());
    if let FileName::Hashed(FileKind::Data, pack) = file {
        return if is_gone { Finding::PackMissing { pack } } else { Finding::PackDamaged { pack, cause } };
    }
    Finding::File { file, cause }
}

impl From<ResealError> for CopyError {
    fn from(error: ResealError) -> Self {
        match error {
            ResealError::Store(error) => Self::Store(error),
            ResealError::Ingest(error) => Self::Ingest(error),
            ResealError::Lock(error) => Self::Lock(error),
            ResealError::Stopped(error) => Self::Stopped(error),
        }
    }
}
