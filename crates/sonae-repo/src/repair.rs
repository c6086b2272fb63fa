//! Rebuilding the index from the packs: what lies in a pack is told by its own header, so every index file may be lost.

use std::collections::{BTreeSet, HashMap, HashSet};

use sonae_types::{ByteCount, Digest};

use crate::blob::BlobEntry;
use crate::environment::{Progress, Stop, Stopped};
use crate::index::{INDEX_BLOBS_MAX, IndexedPack, encode_index};
use crate::keep::{Confirm, keep};
use crate::lock::{Lock, LockError};
use crate::pack::{HeaderError, header_len, read_header};
use crate::reader::{DamagedFile, IndexFiles, ReadError, in_parallel};
use crate::repository::Repository;
use crate::store::{FileKind, FileName, Listed, StoreError};
use crate::verify::PackError;

/// How much of a pack's end is read at first; headers of our packs fit in.
const TAIL_BYTES: u64 = 32 << 10;

/// Whether to change anything.
#[derive(Clone, Copy, Debug)]
pub enum Repair<'a> {
    /// Only say what would be done.
    DryRun,
    /// Do it, under this lock, which is exclusive.
    Write(&'a Lock),
}

/// What was found and done.
#[derive(Debug, Default)]
pub struct RepairReport {
    /// Packs whose headers were read.
    pub packs: usize,
    /// Blobs that the index lists afterwards.
    pub blobs: usize,
    /// Packs that no readable index file listed as they are.
    pub added: Vec<Digest>,
    /// Packs that an index file lists and that are gone. What only they held is lost unless another copy has them.
    pub missing: Vec<Digest>,
    /// Packs whose headers cannot be read. What an index file says about them stays in the index, since their blobs may
    /// still be sound.
    pub damaged: Vec<DamagedFile>,
    /// Index files that could not be read.
    pub damaged_index: Vec<DamagedFile>,
    /// Index files written.
    pub written: usize,
    /// Index files removed: damaged, or wrong about a pack.
    pub removed: usize,
}

/// The index could not be rebuilt; every index file that was there is still there, or what it listed is in a new one.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The repository cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The repository cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lock was lost.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// What is to be done, so that the index says what the packs say.
struct Plan {
    report: RepairReport,
    write: Vec<IndexedPack>,
    remove: Vec<Digest>,
}

impl Repository {
    /// Makes the index say what the packs say. New index files are written before any old one is removed, so that a
    /// crash in between leaves nothing worse than a pack that is listed twice.
    ///
    /// Errors: [`RepairError`]; damage is in the report.
    pub fn repair_index(
        &self,
        repair: Repair<'_>,
        stop: &Stop,
        progress: &Progress,
    ) -> Result<RepairReport, RepairError> {
        let files = self.index_files()?;
        let packs = self.packs_there(&files)?;
        progress.expect(packs.iter().map(|pack| pack.size).sum());
        let headers = in_parallel(&packs, |pack, ahead| {
            let _turn = ahead.turn();
            stop.check().map_err(RepairError::from)?;
            let answer = self.pack_header(pack);
            progress.advance(pack.size);
            match answer {
                Ok(blobs) => Ok(Ok(blobs)),
                Err(cause) if cause.is_damage() => Ok(Err(cause)),
                Err(error) => Err(RepairError::from(error)),
            }
        });
        let sizes = packs.iter().map(|pack| (pack.id, pack.size)).collect::<HashMap<_, _>>();
        let mut truth = HashMap::new();
        let mut damaged = Vec::new();
        for (id, header) in headers {
            match header? {
                Ok(blobs) => drop(truth.insert(id, blobs)),
                Err(cause) => {
                    let size = sizes.get(&id).copied().unwrap_or(ByteCount::ZERO);
                    truth.insert(id, listed_within(&files, id, size));
                    damaged.push(DamagedFile { id, cause });
                }
            }
        }
        let mut plan = Plan::of(files, &truth);
        plan.report.packs = packs.len();
        plan.report.damaged = damaged;
        if let Repair::Write(lock) = repair {
            self.carry_out(&plan, lock, stop)?;
        }
        Ok(plan.report)
    }

    /// The packs that are there: those that are listed, and those that an index file names and that the store gives
    /// although it does not list them. A listing that lags must not make us forget a pack.
    pub(crate) fn packs_there(&self, files: &IndexFiles) -> Result<Vec<Listed>, StoreError> {
        let mut packs = self.store.list(FileKind::Data)?;
        let listed = packs.iter().map(|pack| pack.id).collect::<HashSet<_>>();
        let named = files.good.iter().flat_map(|(_, packs)| packs).map(|pack| pack.id);
        for id in named.filter(|id| !listed.contains(id)).collect::<BTreeSet<_>>() {
            match self.store.size(FileName::Hashed(FileKind::Data, id)) {
                Ok(size) => packs.push(Listed { id, size }),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(packs)
    }

    /// What a pack's own header lists. Errors: damage where there is no readable header.
    pub(crate) fn pack_header(&self, pack: &Listed) -> Result<Vec<BlobEntry>, ReadError> {
        let name = FileName::Hashed(FileKind::Data, pack.id);
        let size = pack.size.get();
        let refused = |cause| ReadError::Pack { pack: pack.id, cause: PackError::Header(cause) };
        let tail = |len: u64| {
            let mut bytes = vec![0; usize::try_from(len).expect("a header is at most 16 MiB")];
            self.store.get_range(name, size - len, &mut bytes).map(|()| bytes)
        };
        let mut end = tail(TAIL_BYTES.min(size))?;
        let too_short = HeaderError::Length { claimed: 0, pack_bytes: size };
        let last_four = *end.last_chunk::<4>().ok_or_else(|| refused(too_short))?;
        let header_bytes = header_len(last_four, size).map_err(refused)?;
        if end.len() < header_bytes + 4 {
            end = tail(header_bytes as u64 + 4)?;
        }
        let header = &end[end.len() - header_bytes - 4..end.len() - 4];
        let body_bytes = size - header_bytes as u64 - 4;
        let blobs = read_header(&self.key, header, body_bytes).map_err(refused)?;
        // A header that accounts for less than the pack has is the end of another pack, or the body was exchanged.
        match blobs.last().map_or(0, BlobEntry::end) {
            end if end == body_bytes => Ok(blobs),
            _ => Err(ReadError::Pack { pack: pack.id, cause: PackError::Disagree }),
        }
    }

    fn carry_out(&self, plan: &Plan, lock: &Lock, stop: &Stop) -> Result<(), RepairError> {
        stop.check()?;
        self.replace_index(&plan.write, &plan.remove, lock)
    }

    /// Lists packs in new index files, and only then removes old ones, under a lock that is exclusive. Errors:
    /// [`RepairError`].
    pub fn replace_index(
        &self,
        write: &[IndexedPack],
        remove: &[Digest],
        lock: &Lock,
    ) -> Result<(), RepairError> {
        for packs in into_files(write) {
            let (id, bytes) = self.encode_unpacked(&encode_index(packs));
            keep(&*self.store, FileName::Hashed(FileKind::Index, id), &bytes, Confirm::Bytes)?;
        }
        // Removing is the only harm that can be done here, so the lock must hold right now.
        lock.confirm()?;
        for id in remove {
            match self.store.remove(FileName::Hashed(FileKind::Index, *id)) {
                Ok(()) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Plan {
    fn of(files: IndexFiles, truth: &HashMap<Digest, Vec<BlobEntry>>) -> Self {
        let mut plan = Self { report: RepairReport::default(), write: vec![], remove: vec![] };
        let mut listed = HashSet::new();
        let mut missing = HashSet::new();
        for (id, mut packs) in files.good {
            packs.iter_mut().for_each(|pack| pack.blobs.sort_unstable_by_key(|blob| blob.offset));
            missing.extend(packs.iter().map(|pack| pack.id).filter(|pack| !truth.contains_key(pack)));
            let right = packs.iter().all(|pack| truth.get(&pack.id) == Some(&pack.blobs));
            if right {
                listed.extend(packs.iter().map(|pack| pack.id));
            } else {
                plan.remove.push(id);
            }
        }
        plan.remove.extend(files.damaged.iter().map(|file| file.id));
        plan.report.damaged_index = files.damaged;
        plan.write = truth
            .iter()
            .filter(|(id, blobs)| !listed.contains(*id) && !blobs.is_empty())
            .map(|(id, blobs)| IndexedPack { id: *id, blobs: blobs.clone() })
            .collect();
        plan.write.sort_by_key(|pack| pack.id);
        plan.report.blobs = truth.values().map(Vec::len).sum();
        plan.report.added = plan.write.iter().map(|pack| pack.id).collect();
        plan.report.missing = missing.into_iter().collect();
        plan.report.missing.sort_unstable();
        plan.report.written = into_files(&plan.write).count();
        plan.report.removed = plan.remove.len();
        plan
    }
}

/// What index files list of a pack whose header is lost, as far as the pack reaches.
fn listed_within(files: &IndexFiles, pack: Digest, size: ByteCount) -> Vec<BlobEntry> {
    let listed = files.good.iter().flat_map(|(_, packs)| packs).find(|listed| listed.id == pack);
    let mut blobs = listed.map(|pack| pack.blobs.clone()).unwrap_or_default();
    blobs.retain(|blob| blob.end() <= size.get());
    blobs.sort_unstable_by_key(|blob| blob.offset);
    blobs
}

/// The packs in groups of at most [`INDEX_BLOBS_MAX`] blobs; one pack is never divided.
pub fn into_files(packs: &[IndexedPack]) -> impl Iterator<Item = &[IndexedPack]> {
    let mut rest = packs;
    std::iter::from_fn(move || {
        let mut blobs = 0;
        let within = rest.iter().take_while(|pack| {
            blobs += pack.blobs.len();
            blobs <= INDEX_BLOBS_MAX
        });
        let (file, behind) = rest.split_at(within.count().max(1).min(rest.len()));
        rest = behind;
        Some(file).filter(|file| !file.is_empty())
    })
}
