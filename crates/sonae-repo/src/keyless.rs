//! Checking a repository without a key: every stored file is named by the SHA-256 of its bytes, so whoever keeps a copy
//! can tell whether it is still what was brought, without being able to read it.
//!
//! What is missing cannot be seen this way: only the index, which needs a key, knows what ought to be there.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};
use sonae_types::{ByteCount, Digest};

use crate::environment::{Progress, Stop, Stopped};
use crate::hash::sha256;
use crate::reader::processors;
use crate::repository::{OpenError, missing_config};
use crate::store::{FileKind, FileName, Listed, ObjectStore, StoreError};

/// Files up to this length are read at once; longer ones piece by piece, so that memory stays bounded.
const PIECE_BYTES: u64 = 32 << 20;

/// What was looked at, and what is wrong.
#[derive(Debug, Default)]
pub struct KeylessReport {
    /// How many files of each kind there are, and their bytes; the configuration, which has a fixed name, is not among
    /// them.
    pub kinds: Vec<(FileKind, u64, ByteCount)>,
    /// Files whose bytes are not what their names say, sorted by name.
    pub damaged: Vec<KeylessDamage>,
}

/// A file whose bytes are not what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeylessDamage {
    /// The file.
    pub file: FileName,
    /// What its bytes hash to; none when it is shorter than the listing says.
    pub found: Option<Digest>,
}

/// A check without a key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeylessError {
    /// There is no repository, or its configuration is gone.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file could not be read, so nothing is known about it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Hashes every file. Errors: [`KeylessError`]; damage is in the report, not an error.
pub fn keyless_check(
    store: &dyn ObjectStore,
    stop: &Stop,
    progress: &Progress,
) -> Result<KeylessReport, KeylessError> {
    match store.size(FileName::Config) {
        Ok(_) => {}
        Err(error) if error.is_not_found() => return Err(missing_config(store).into()),
        Err(error) => return Err(error.into()),
    }
    let mut files = Vec::new();
    let mut report = KeylessReport::default();
    for kind in FileKind::ALL {
        let listed = store.list(kind)?;
        let bytes = listed.iter().map(|file| file.size).sum();
        progress.expect(bytes);
        report.kinds.push((kind, listed.len() as u64, bytes));
        files.extend(listed.into_iter().map(|Listed { id, size }| (kind, id, size)));
    }
    let next = AtomicUsize::new(0);
    let outcome = Mutex::new((Vec::new(), None));
    std::thread::scope(|scope| {
        for _ in 0..(processors() + 1).min(files.len()) {
            scope.spawn(|| {
                while let Some((kind, id, size)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let file = FileName::Hashed(*kind, *id);
                    let answer = stop.check().map_err(KeylessError::from);
                    let answer = answer.and_then(|()| hash_of(store, file, *size, stop));
                    progress.advance(*size);
                    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                    match answer {
                        Ok(Stored::As(found)) if found == *id => {}
                        Ok(Stored::As(found)) => {
                            outcome.0.push(KeylessDamage { file, found: Some(found) });
                        }
                        Ok(Stored::Shorter) => outcome.0.push(KeylessDamage { file, found: None }),
                        // Removed since the listing, as locks are all the time.
                        Ok(Stored::Gone) => {}
                        Err(error) => {
                            outcome.1.get_or_insert(error);
                            next.store(files.len(), Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let (damaged, failure) = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(failure) = failure {
        return Err(failure);
    }
    report.damaged = damaged;
    report.damaged.sort_by_key(|damage| damage.file);
    Ok(report)
}

/// What the store has of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Bytes with this hash.
    As(Digest),
    /// Fewer bytes than were asked for.
    Shorter,
    /// Nothing any more.
    Gone,
}

/// What the bytes of a file of this size hash to, read in pieces where it is long. Errors: [`KeylessError`].
pub fn hash_of(
    store: &dyn ObjectStore,
    file: FileName,
    size: ByteCount,
    stop: &Stop,
) -> Result<Stored, KeylessError> {
    if size.get() <= PIECE_BYTES {
        return Ok(match store.get(file) {
            Ok(bytes) => Stored::As(sha256(&bytes)),
            Err(error) if error.is_not_found() => Stored::Gone,
            Err(error) => return Err(error.into()),
        });
    }
    let mut hasher = Sha256::new();
    let mut piece = vec![0; usize::try_from(PIECE_BYTES).expect("32 MiB")];
    let mut at = 0;
    while at < size.get() {
        stop.check()?;
        let len = usize::try_from(PIECE_BYTES.min(size.get() - at)).expect("32 MiB");
        match store.get_range(file, at, &mut piece[..len]) {
            Ok(()) => hasher.update(&piece[..len]),
            Err(error) if error.is_not_found() => return Ok(Stored::Gone),
            Err(StoreError::Short { .. }) => return Ok(Stored::Shorter),
            Err(error) => return Err(error.into()),
        }
        at += len as u64;
    }
    Ok(Stored::As(Digest::new(hasher.finalize().into())))
}
