//! Blobs from one repository into new packs of another: opened, compared with their names, and sealed under its key.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sonae_types::{ByteCount, Digest};

use crate::blob::BlobKind;
use crate::environment::{Progress, Stop, Stopped};
use crate::fetch::{Fetch, Wanted};
use crate::index::Index;
use crate::ingest::{Ingest, IngestError, Resealer};
use crate::lock::{Lock, LockError};
use crate::reader::ReadError;
use crate::repository::Repository;
use crate::store::StoreError;

/// From where blobs are read and to where they go.
#[derive(Clone, Copy, Debug)]
pub struct Reseal<'a> {
    /// From where.
    pub source: &'a Repository,
    /// Its index.
    pub index: &'a Index,
    /// To where.
    pub target: &'a Repository,
    /// The lock on the target.
    pub lock: &'a Lock,
    /// Ends it.
    pub stop: &'a Stop,
    /// How far it has come.
    pub progress: &'a Progress,
}

/// Blobs that were stored anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// How many.
    pub blobs: u64,
    /// What they take in the repository.
    pub stored: ByteCount,
}

/// What could not be had.
#[derive(Debug, Default)]
pub struct Lost {
    /// Which blobs.
    pub blobs: HashSet<(BlobKind, Digest)>,
    /// The packs of the source in which they should be, and what is wrong there.
    pub causes: Vec<(Digest, ReadError)>,
}

/// Blobs were not stored. What was stored is listed where possible, and the next run uses it.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// The source was asked to stop waiting.
    #[error(transparent)]
    Store(StoreError),
    /// The target cannot be written.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The lock on the target was lost.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Resealed {
    /// Counts more.
    pub fn add(&mut self, more: Self) {
        self.blobs += more.blobs;
        self.stored += more.stored;
    }
}

impl Reseal<'_> {
    /// Stores these blobs in the target, whose index is `reach`, and lists them there.
    pub fn run(
        &self,
        blobs: Vec<(BlobKind, Digest)>,
        reach: &Index,
    ) -> Result<(Resealed, Lost), ResealError> {
        if blobs.is_empty() {
            return Ok(Default::default());
        }
        let lost = Mutex::new(Lost::default());
        let mut wanted = Vec::new();
        for (tag, (kind, id)) in (0..).zip(&blobs) {
            match self.index.number(*kind, *id) {
                Some(place) => wanted.push(Wanted { place, tag }),
                None => drop(lost.lock().unwrap_or_else(PoisonError::into_inner).blobs.insert((*kind, *id))),
            }
        }
        let plain = |wanted: &Wanted| u64::from(self.index.place(wanted.place).blob.plain_len());
        self.progress.expect(ByteCount::new(wanted.iter().map(plain).sum()));
        let resealer = Resealer::new(Ingest::new(self.target, reach, self.stop, self.progress));
        let Self { source: repository, index, stop, progress, .. } = *self;
        let ran = Fetch { repository, index, stop, progress }.run(wanted, |tag, answer| {
            let (kind, id) = blobs[usize::try_from(tag).expect("a number of ours")];
            match answer {
                Ok(plain) => Ok(resealer.take(kind, id, plain)?),
                Err(ReadError::Store(stopped @ StoreError::Stopped { .. })) => {
                    Err(ResealError::Store(stopped))
                }
                Err(cause) => {
                    let mut lost = lost.lock().unwrap_or_else(PoisonError::into_inner);
                    lost.blobs.insert((kind, id));
                    lost.causes.extend(index.locate(kind, id).map(|place| (place.pack, cause)));
                    Ok(())
                }
            }
        });
        if let Err(error) = ran {
            if self.lock.confirm().is_ok() {
                resealer.give_up();
            }
            return Err(error);
        }
        self.lock.confirm()?;
        let totals = resealer.finish()?;
        let resealed = Resealed { blobs: totals.data_blobs + totals.tree_blobs, stored: totals.stored };
        Ok((resealed, lost.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }
}
