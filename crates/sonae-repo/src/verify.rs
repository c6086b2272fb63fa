//! Reading everything: all packs of a repository, or all that one point needs.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sonae_types::{ByteCount, Digest};

use crate::blob::{BlobBatch, BlobEntry, BlobError, BlobKind, BlobOpener, CHUNK_BYTES_MAX};
use crate::check::{CheckError, CheckReport, Finding, check_point};
use crate::environment::{Progress, Stop};
use crate::fetch::{Fetch, Wanted};
use crate::index::Index;
use crate::manifest::{DiskManifest, MANIFEST_BYTES_MAX, Manifest, decode_manifest, merkle_root};
use crate::pack::{HeaderError, header_len, read_header};
use crate::reader::{ReadError, processors};
use crate::repository::Repository;
use crate::snapshot::Point;
use crate::store::{FileKind, FileName, StoreError};
use crate::stored_pack::{PACK_FILE_BYTES_MAX, StoredPack};
use crate::walk::{Met, Walker};

/// What verifying points found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Points that were verified.
    pub points: usize,
    /// Different chunks that were read back.
    pub chunks: usize,
    /// Plain bytes of them.
    pub read: ByteCount,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Why a pack is damaged, beyond a blob that does not open.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Its bytes hash to something else than its name.
    #[error("its bytes hash to {found}")]
    Name {
        /// What they hash to.
        found: Digest,
    },
    /// It is longer than any pack.
    #[error("has {size}, too many for a pack")]
    TooLong {
        /// Its size.
        size: ByteCount,
    },
    /// Its header cannot be read.
    #[error("its header cannot be read")]
    Header(#[source] HeaderError),
    /// Its header lists other blobs than the index.
    #[error("its header and the index disagree")]
    Disagree,
}

impl Repository {
    /// Reads back every chunk that these points need, and compares chunk lists with their manifests.
    pub fn verify(
        &self,
        points: &[Point],
        index: &Index,
        stop: &Stop,
        progress: &Progress,
    ) -> Result<VerifyReport, CheckError> {
        let mut report = VerifyReport { points: points.len(), ..VerifyReport::default() };
        let wanted = self.wanted_by(points, index);
        report.chunks = wanted.len();
        let total = wanted.iter().map(|wanted| u64::from(index.place(wanted.place).blob.plain_len())).sum();
        progress.expect(ByteCount::new(total));
        let bad = Mutex::new(HashSet::new());
        let read = AtomicU64::new(0);
        let ids = wanted
            .iter()
            .map(|wanted| (wanted.tag, index.place(wanted.place).blob.id))
            .collect::<HashMap<_, _>>();
        let fetch = Fetch { repository: self, index, stop, progress };
        fetch.run(wanted, |tag, answer| -> Result<(), CheckError> {
            match answer {
                Ok(bytes) => {
                    read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
                Err(cause) if cause.is_damage() => {
                    bad.lock().unwrap_or_else(PoisonError::into_inner).extend(ids.get(&tag));
                }
                Err(cause) => return Err(cause.into()),
            }
            Ok(())
        })?;
        report.read = ByteCount::new(read.into_inner());
        let bad = bad.into_inner().unwrap_or_else(PoisonError::into_inner);
        for point in points {
            // A walker for each point: damage is told for every point that it hits.
            check_point(&mut Walker::new(self, index), index, point, &bad, &mut report.findings);
            if bad.is_empty() {
                self.check_roots(point, index, &mut report.findings)?;
            }
        }
        Ok(report)
    }

    fn wanted_by(&self, points: &[Point], index: &Index) -> Vec<Wanted> {
        let mut walker = Walker::new(self, index);
        let mut seen = HashSet::new();
        let mut wanted = Vec::new();
        for point in points {
            walker.walk(point, &mut |met| {
                // Folders were read by walking; what cannot be read or is missing is found by the walk that follows.
                let Met::File(file) = met else { return };
                for id in file.content {
                    if seen.insert(id)
                        && let Some(place) = index.number(BlobKind::Data, id)
                    {
                        wanted.push(Wanted { place, tag: wanted.len() as u64 });
                    }
                }
            });
        }
        wanted
    }

    /// Compares the chunk list of every disk with the root in the manifest, where a point has one.
    fn check_roots(
        &self,
        point: &Point,
        index: &Index,
        findings: &mut Vec<Finding>,
    ) -> Result<(), CheckError> {
        let manifest = match self.manifest(point, index) {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return Ok(()),
            Err(ReadError::NoSuchPath { path, .. }) => {
                findings.push(Finding::Gone { point: point.id, vm: point.snapshot.hostname.clone(), path });
                return Ok(());
            }
            Err(cause @ ReadError::Snapshot { file, .. }) => {
                findings.push(Finding::File { file, cause });
                return Ok(());
            }
            // The walk has found it, with its place.
            Err(cause) if cause.is_damage() => return Ok(()),
            Err(cause) => return Err(cause.into()),
        };
        let path_of = |disk: &DiskManifest| format!("{}/{}", point.snapshot.folder(), disk.file);
        // Only these: a foreign folder beside them may hold millions of files.
        let wanted = manifest.disks.iter().map(path_of).collect::<HashSet<_>>();
        let mut files = HashMap::new();
        Walker::new(self, index).walk(point, &mut |met| {
            if let Met::File(file) = met
                && wanted.contains(&file.path)
            {
                files.insert(file.path, (file.size, merkle_root(&file.content)));
            }
        });
        for disk in &manifest.disks {
            let path = path_of(disk);
            let (point, vm, stated) = (point.id, point.snapshot.hostname.clone(), disk.size_bytes.get());
            match files.get(&path) {
                Some((_, root)) if *root != disk.merkle_root => {
                    findings.push(Finding::Root { point, vm, path });
                }
                Some((size, _)) if *size != stated => {
                    findings.push(Finding::Size { point, vm, path, stated, sum: *size });
                }
                Some(_) => {}
                None => findings.push(Finding::Gone { point, vm, path }),
            }
        }
        Ok(())
    }

    /// The manifest of a point that Sonae wrote; none for points of others. A point that lost our tags is still ours.
    pub fn manifest(&self, point: &Point, index: &Index) -> Result<Option<Manifest>, ReadError> {
        let path = format!("{}/sonae/manifest.json", point.snapshot.folder());
        let node = match self.find(index, point, &path) {
            Err(ReadError::NoSuchPath { .. }) if !point.snapshot.is_ours() => return Ok(None),
            found => found?,
        };
        let bytes = self.file_bytes(index, &node, MANIFEST_BYTES_MAX)?;
        decode_manifest(&bytes).map(Some).map_err(|cause| ReadError::Snapshot {
            file: FileName::Hashed(FileKind::Snapshot, point.id),
            cause,
        })
    }
}

/// Reads every byte of these packs: name, header, blobs. Answers the blobs that are damaged in every place.
pub(crate) fn verify_packs(
    repository: &Repository,
    packs: HashMap<Digest, Vec<BlobEntry>>,
    stop: &Stop,
    progress: &Progress,
    report: &mut CheckReport,
) -> Result<HashSet<Digest>, CheckError> {
    let mut packs = packs.into_iter().collect::<Vec<_>>();
    packs.sort_by_key(|(id, _)| *id);
    progress
        .expect(ByteCount::new(packs.iter().flat_map(|(_, blobs)| blobs.last()).map(BlobEntry::end).sum()));
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..(processors() + 1).min(packs.len()) {
            scope.spawn(|| {
                let mut batch = BlobBatch::default();
                while let Some((id, blobs)) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if stop.check().is_err() {
                        return;
                    }
                    let outcome = verify_pack(repository, *id, blobs, &mut batch, progress);
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((*id, outcome));
                }
            });
        }
    });
    stop.check()?;
    let (mut good, mut bad) = (HashSet::new(), HashSet::new());
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(id, _)| *id);
    let blobs = packs.iter().map(|(id, blobs)| (*id, blobs)).collect::<HashMap<_, _>>();
    for (pack, outcome) in outcomes {
        let outcome = outcome?;
        report.read += outcome.read;
        for blob in blobs.get(&pack).into_iter().copied().flatten() {
            if outcome.bad.contains(&blob.id) {
                bad.insert(blob.id)
            } else {
                good.insert(blob.id)
            };
        }
        report.findings.extend(outcome.causes.into_iter().map(|cause| Finding::PackDamaged { pack, cause }));
    }
    Ok(bad.difference(&good).copied().collect())
}

/// Most causes that are told of one pack.
const CAUSES_MAX: usize = 1_000;

#[derive(Default)]
struct PackOutcome {
    read: ByteCount,
    bad: HashSet<Digest>,
    causes: Vec<ReadError>,
}

impl PackOutcome {
    fn damaged(&mut self, pack: Digest, blob: Digest, cause: BlobError) {
        self.bad.insert(blob);
        if self.causes.len() < CAUSES_MAX {
            self.causes.push(ReadError::Blob { pack, cause });
        }
    }

    fn compare(&mut self, pack: Digest, batch: &mut BlobBatch, pending: &mut Vec<Digest>) {
        let mut blobs = pending.drain(..);
        batch.compare(|answer| {
            let blob = blobs.next().expect("an answer for each blob");
            if let Err(cause) = answer {
                self.damaged(pack, blob, cause);
            }
        });
    }
}

fn verify_pack(
    repository: &Repository,
    pack: Digest,
    blobs: &[BlobEntry],
    batch: &mut BlobBatch,
    progress: &Progress,
) -> Result<PackOutcome, CheckError> {
    let mut outcome = PackOutcome::default();
    let stored = match StoredPack::open(&*repository.store, pack) {
        Ok(stored) => stored,
        Err(error @ (StoreError::NotFound { .. } | StoreError::Short { .. })) => {
            outcome.bad = blobs.iter().map(|blob| blob.id).collect();
            outcome.causes.push(error.into());
            return Ok(outcome);
        }
        Err(error) => return Err(ReadError::from(error).into()),
    };
    if PACK_FILE_BYTES_MAX < stored.size() {
        outcome.bad = blobs.iter().map(|blob| blob.id).collect();
        outcome.causes.push(ReadError::Pack { pack, cause: PackError::TooLong { size: stored.size() } });
        return Ok(outcome);
    }
    outcome.read = stored.size();
    let found = stored.sha256().map_err(ReadError::from)?;
    if found != pack {
        outcome.causes.push(ReadError::Pack { pack, cause: PackError::Name { found } });
    }
    if let Err(cause) = compare_header(repository, blobs, &stored)? {
        outcome.causes.push(ReadError::Pack { pack, cause });
    }
    batch.clear();
    let mut pending = Vec::new();
    let mut end = 0;
    for blob in blobs {
        // In a pack, one blob follows the other; else each byte of it could be read a million times.
        let overlaps = u64::from(blob.offset) < end;
        end = end.max(blob.end());
        let answer = if overlaps {
            Err(BlobError::Overlap { id: blob.id })
        } else {
            add(repository, &stored, blob, batch)?
        };
        match answer {
            Ok(InBatch::Yes) => pending.push(blob.id),
            Ok(InBatch::Sound) => {}
            Err(cause) => outcome.damaged(pack, blob.id, cause),
        }
        if batch.is_full() {
            outcome.compare(pack, batch, &mut pending);
        }
        progress.advance(ByteCount::new(u64::from(blob.length)));
    }
    outcome.compare(pack, batch, &mut pending);
    Ok(outcome)
}

/// Whether a blob was added to the batch.
enum InBatch {
    Yes,
    /// It was too long for it, was opened alone, and is what it should be.
    Sound,
}

/// Adds a blob to the batch, or opens one that is too long for it: one at a time, whatever the number of threads.
fn add(
    repository: &Repository,
    stored: &StoredPack<'_>,
    blob: &BlobEntry,
    batch: &mut BlobBatch,
) -> Result<Result<InBatch, BlobError>, CheckError> {
    static ALONE: Mutex<()> = Mutex::new(());
    if let Err(cause) = blob.check_lengths() {
        return Ok(Err(cause));
    }
    let long = CHUNK_BYTES_MAX < blob.plain_len();
    let _alone = long.then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner));
    let sealed = stored.range(u64::from(blob.offset), blob.length as usize).map_err(ReadError::from)?;
    let Some(sealed) = sealed else {
        return Ok(Err(BlobError::Length { id: blob.id, length: blob.length }));
    };
    Ok(if long {
        BlobOpener::default().open(&repository.key, blob, &sealed).map(|_plain| InBatch::Sound)
    } else {
        batch.add(&repository.key, blob, &sealed).map(|()| InBatch::Yes)
    })
}

/// Compares what the pack says about itself with what the index says about it.
fn compare_header(
    repository: &Repository,
    blobs: &[BlobEntry],
    stored: &StoredPack<'_>,
) -> Result<Result<(), PackError>, CheckError> {
    let size = stored.size().get();
    let range = |at: Option<u64>, len| match at {
        Some(at) => stored.range(at, len).map_err(ReadError::from),
        None => Ok(None),
    };
    let last_four = range(size.checked_sub(4), 4)?.and_then(|bytes| bytes.first_chunk::<4>().copied());
    let short = HeaderError::Length { claimed: 0, pack_bytes: size };
    let Some(last_four) = last_four else { return Ok(Err(PackError::Header(short))) };
    let header_bytes = match header_len(last_four, size) {
        Ok(len) => len,
        Err(cause) => return Ok(Err(PackError::Header(cause))),
    };
    let body_bytes = size - 4 - header_bytes as u64;
    let Some(header) = range(Some(body_bytes), header_bytes)? else {
        return Ok(Err(PackError::Header(short)));
    };
    Ok(match read_header(&repository.key, &header, body_bytes) {
        Ok(listed) if listed == blobs => Ok(()),
        Ok(_) => Err(PackError::Disagree),
        Err(cause) => Err(PackError::Header(cause)),
    })
}
