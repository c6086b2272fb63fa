//! What goes: first every word of it in the index, then the packs. Killed anywhere in between, the next run goes on.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sonae_types::Digest;

use super::PruneError;
use crate::environment::Stop;
use crate::index::{INDEX_BLOBS_MAX, IndexedPack, encode_index};
use crate::lock::Lock;
use crate::reader::ReadError;
use crate::repository::Repository;
use crate::store::{FileKind, FileName, Listed, Retry, StoreError};

/// Threads that remove packs: each removal waits for the disk, and disks do many such things at once.
const REMOVERS: usize = 8;
/// An index file with fewer blobs is small.
const SMALL_BLOBS: usize = INDEX_BLOBS_MAX / 2;
/// So many small index files are merged.
const SMALL_MANY: usize = 8;

/// A pack that the store did not remove.
#[derive(Debug)]
pub struct Refused {
    /// The pack. It stays marked, and what listed it is in the index again.
    pub pack: Listed,
    /// Why.
    pub cause: StoreError,
}

/// What becomes of small index files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SmallFiles {
    /// They are few and stay.
    Stay,
    /// They are many and are merged.
    Merge,
}

impl SmallFiles {
    pub(super) fn of(blobs_of_files: impl Iterator<Item = usize>) -> Self {
        let small = blobs_of_files.filter(|blobs| *blobs < SMALL_BLOBS).count();
        if small < SMALL_MANY { Self::Stay } else { Self::Merge }
    }
}

/// Index files that one new one takes the place of.
#[derive(Default)]
struct Group {
    files: Vec<Digest>,
    packs: Vec<IndexedPack>,
    blobs: usize,
}

impl Repository {
    /// Takes packs out of the index. File by file, so that none but the one that takes its place needs room: a new file
    /// is there before those go whose place it takes. `files` are those that were there when the index was loaded.
    pub(super) fn unlist(
        &self,
        gone: &HashSet<Digest>,
        files: &[Digest],
        small_files: SmallFiles,
        lock: &Lock,
    ) -> Result<(), PruneError> {
        let listed = self.store.list(FileKind::Index)?.into_iter().map(|file| file.id);
        let files = listed.chain(files.iter().copied()).collect::<BTreeSet<_>>();
        let (mut group, mut replaced) = (Group::default(), HashSet::new());
        for file in files {
            let mut packs = match self.index_file(file) {
                Ok(packs) => packs,
                Err(ReadError::Store(error)) if error.is_not_found() => continue,
                Err(error) => return Err(error.into()),
            };
            let blobs = |packs: &[IndexedPack]| packs.iter().map(|pack| pack.blobs.len()).sum::<usize>();
            let small = small_files == SmallFiles::Merge && blobs(&packs) < SMALL_BLOBS;
            if !small && packs.iter().all(|pack| !gone.contains(&pack.id)) {
                continue;
            }
            packs.retain(|pack| !gone.contains(&pack.id));
            let more = blobs(&packs);
            if INDEX_BLOBS_MAX < group.blobs + more {
                self.replace(std::mem::take(&mut group), lock)?;
            }
            group.files.push(file);
            group.blobs += more;
            group.packs.append(&mut packs);
            replaced.insert(file);
        }
        self.replace(group, lock)?;
        // Packs that go while an index file lists them would be missed by whoever reads it.
        let still = self.store.list(FileKind::Index)?.into_iter().find(|file| replaced.contains(&file.id));
        let still = still.map(|file| FileName::Hashed(FileKind::Index, file.id));
        still.map_or(Ok(()), |file| {
            Err(PruneError::StillListed { location: self.store.location().to_owned(), file })
        })
    }

    fn replace(&self, group: Group, lock: &Lock) -> Result<(), PruneError> {
        let Group { files, mut packs, .. } = group;
        // What two files list alike, one lists.
        packs.sort_by_key(|pack| pack.id);
        packs.dedup();
        if !packs.is_empty() {
            let (id, bytes) = self.encode_unpacked(&encode_index(&packs));
            self.keep_on_full_disk(FileName::Hashed(FileKind::Index, id), &bytes)?;
        }
        for file in files {
            lock.confirm()?;
            self.remove_if_there(FileName::Hashed(FileKind::Index, file))?;
        }
        Ok(())
    }

    /// Removes packs that no index file lists any more. Answers those that the store refuses to remove.
    ///
    /// Errors: anything else that keeps a pack from being removed; the others may be gone by then.
    pub(super) fn remove_packs(
        &self,
        packs: &[Listed],
        lock: &Lock,
        stop: &Stop,
    ) -> Result<Vec<Refused>, PruneError> {
        let next = AtomicUsize::new(0);
        let outcome = Mutex::new((Vec::new(), None));
        let remove = |pack: &Listed| {
            stop.check()?;
            lock.confirm()?;
            Ok::<_, PruneError>(self.remove_if_there(FileName::Hashed(FileKind::Data, pack.id)))
        };
        std::thread::scope(|scope| {
            for _ in 0..REMOVERS.min(packs.len()) {
                scope.spawn(|| {
                    while let Some(pack) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let removed = remove(pack);
                        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                        match removed {
                            Ok(Ok(())) => {}
                            Ok(Err(cause)) if is_refusal(&cause) => {
                                outcome.0.push(Refused { pack: *pack, cause });
                            }
                            Ok(Err(error)) => drop(outcome.1.get_or_insert(error.into())),
                            Err(error) => drop(outcome.1.get_or_insert(error)),
                        }
                        if outcome.1.is_some() {
                            next.store(packs.len(), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let (mut refused, failure) = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
        refused.sort_by_key(|refused| refused.pack.id);
        failure.map_or(Ok(refused), Err)
    }

    /// Lists packs again that were to go and did not: as long as they are there, they may be of use.
    pub(super) fn list_again(&self, packs: impl Iterator<Item = Listed>) -> Result<(), PruneError> {
        let headers = packs.filter_map(|pack| {
            let blobs = self.pack_header(&pack).ok()?;
            Some(IndexedPack { id: pack.id, blobs })
        });
        let headers = headers.collect::<Vec<_>>();
        if headers.is_empty() {
            return Ok(());
        }
        let (id, bytes) = self.encode_unpacked(&encode_index(&headers));
        Ok(self.keep_on_full_disk(FileName::Hashed(FileKind::Index, id), &bytes)?)
    }
}

/// Whether the store does not want to, as opposed to cannot just now.
fn is_refusal(error: &StoreError) -> bool {
    error.retry() == Retry::Never && !matches!(error, StoreError::Stopped { .. })
}
