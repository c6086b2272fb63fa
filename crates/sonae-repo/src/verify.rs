//! Reading everything: all packs of a repository, or all that one point needs.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sonae_types::{ByteCount, Digest};

use crate::blob::{BlobBatch, BlobEntry, BlobError, BlobKind};
use crate::check::{CheckError, CheckReport, Finding, check_point};
use crate::environment::{Progress, Stop};
use crate::fetch::{Fetch, Wanted};
use crate::hash::sha256;
use crate::index::Index;
use crate::manifest::{Manifest, merkle_root};
use crate::pack::{HeaderError, header_len, read_header};
use crate::reader::{ReadError, processors};
use crate::repository::Repository;
use crate::snapshot::Point;
use crate::store::{FileKind, FileName, StoreError};
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
        let Some(manifest) = self.manifest(point, index)? else { return Ok(()) };
        let mut files = HashMap::new();
        Walker::new(self, index).walk(point, &mut |met| {
            if let Met::File(file) = met {
                files.insert(file.path, merkle_root(&file.content));
            }
        });
        for disk in &manifest.disks {
            let path = format!("/{}/{}", manifest.vm, disk.file);
            if files.get(&path) != Some(&disk.merkle_root) {
                findings.push(Finding::Root { point: point.id, vm: manifest.vm.to_string(), path });
            }
        }
        Ok(())
    }

    /// The manifest of a point that Sonae wrote; none for points of others.
    pub fn manifest(&self, point: &Point, index: &Index) -> Result<Option<Manifest>, ReadError> {
        if !point.snapshot.is_ours() {
            return Ok(None);
        }
        let path = format!("/{}/sonae/manifest.json", point.snapshot.hostname);
        let node = self.find(index, point, &path)?;
        let bytes = self.file_bytes(index, &node)?;
        serde_json::from_slice(&bytes).map(Some).map_err(|cause| ReadError::Snapshot {
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

#[derive(Default)]
struct PackOutcome {
    read: ByteCount,
    bad: HashSet<Digest>,
    causes: Vec<ReadError>,
}

impl PackOutcome {
    fn damaged(&mut self, pack: Digest, blob: Digest, cause: BlobError) {
        self.bad.insert(blob);
        self.causes.push(ReadError::Blob { pack, cause });
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
    let bytes = match repository.store.get(FileName::Hashed(FileKind::Data, pack)) {
        Ok(bytes) => bytes,
        Err(error @ (StoreError::NotFound { .. } | StoreError::Short { .. })) => {
            outcome.bad = blobs.iter().map(|blob| blob.id).collect();
            outcome.causes.push(error.into());
            return Ok(outcome);
        }
        Err(error) => return Err(ReadError::from(error).into()),
    };
    outcome.read = ByteCount::of_len(bytes.len());
    let found = sha256(&bytes);
    if found != pack {
        outcome.causes.push(ReadError::Pack { pack, cause: PackError::Name { found } });
    }
    if let Err(cause) = compare_header(repository, blobs, &bytes) {
        outcome.causes.push(ReadError::Pack { pack, cause });
    }
    batch.clear();
    let mut pending = Vec::new();
    for blob in blobs {
        match slice(&bytes, blob).and_then(|sealed| batch.add(&repository.key, blob, sealed)) {
            Ok(()) => pending.push(blob.id),
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

fn slice<'a>(bytes: &'a [u8], blob: &BlobEntry) -> Result<&'a [u8], BlobError> {
    let start = blob.offset as usize;
    bytes
        .get(start..start + blob.length as usize)
        .ok_or(BlobError::Length { id: blob.id, length: blob.length })
}

fn compare_header(repository: &Repository, blobs: &[BlobEntry], bytes: &[u8]) -> Result<(), PackError> {
    let len = bytes.len() as u64;
    let short = PackError::Header(HeaderError::Length { claimed: 0, pack_bytes: len });
    let (rest, last_four) = bytes.split_last_chunk::<4>().ok_or(short)?;
    let header_bytes = header_len(*last_four, len).map_err(PackError::Header)?;
    let (body, header) = rest.split_at(rest.len() - header_bytes);
    let listed = read_header(&repository.key, header, body.len() as u64).map_err(PackError::Header)?;
    if listed == blobs { Ok(()) } else { Err(PackError::Disagree) }
}
