//! Backing up one machine: its disks at one time, its files beside them, one point.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::Serialize;
use sonae_repo::chunk::ChunkTarget;
use sonae_repo::ingest::{DiskChunks, DiskInput, Ingest, IngestError, Reading};
use sonae_repo::lock::{Lock, LockKind};
use sonae_repo::manifest::BasedOn;
use sonae_repo::snapshot::Point;
use sonae_repo::store::Repeats;
use sonae_repo::{Progress, Repository, Stop};
use sonae_source::RawDisk;
use sonae_text::keys;
use sonae_types::{ByteCount, ByteOffset, Digest, DiskName, DiskRead as _, Message, VmName};

use crate::assemble::{generation_after, manifest, save_tree, snapshot};
use crate::changes::{Asking, Basis, ChangeMaps, Parents, Reason, WholeBecause, whole};
use crate::failure::{Failure, Fault, ingest_failure};
use crate::findings::FindingReport;
use crate::parent::PointDisks;
use crate::source::{read_files, unopened, unreadable};

/// Our name in points, as programs that list them show it.
pub const PROGRAM: &str = concat!("sonae ", env!("CARGO_PKG_VERSION"));

/// How a source's bytes are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A raw image or device; refused when its header says that it is another format.
    Raw,
    /// The bytes as they are, whatever they look like.
    AsIs,
}

/// One disk to back up.
#[derive(Clone, Debug)]
pub struct DiskRequest {
    /// Its name inside the machine.
    pub name: DiskName,
    /// Where it is read from.
    pub path: PathBuf,
    /// How its bytes are to be understood.
    pub format: Format,
}

/// What to back up.
#[derive(Clone, Debug)]
pub struct BackupRequest {
    /// The machine.
    pub vm: VmName,
    /// Its disks.
    pub disks: Vec<DiskRequest>,
    /// Files to save beside them, such as the machine's configuration.
    pub files: Vec<PathBuf>,
    /// What is known about changes.
    pub changes: ChangeMaps,
}

/// What a backup did.
#[derive(Debug, Serialize)]
pub struct BackupReport {
    /// The new point.
    pub point: Digest,
    /// The machine.
    pub vm: VmName,
    /// Its disks.
    pub disks: Vec<DiskReport>,
    /// What the lists of chunks take in the repository: each point has its own.
    pub listing_bytes: ByteCount,
    /// Damage met in the repository. The new point does not rest on it: what is damaged was stored again.
    pub findings: Vec<FindingReport>,
    /// Operations on the repository that failed at first and were repeated.
    pub repeated_operations: u64,
    /// How long it took.
    pub duration_ms: u64,
}

/// What became of one disk.
#[derive(Debug, Serialize)]
pub struct DiskReport {
    /// Its name.
    pub name: DiskName,
    /// Its size.
    pub size_bytes: ByteCount,
    /// Whether all of it was read or only what changed.
    pub mode: Mode,
    /// Why so.
    pub reason: Reason,
    /// What else is known about why, in English.
    pub reason_detail: Option<String>,
    /// The point of which unchanged chunks were taken over.
    pub based_on: Option<Digest>,
    /// Bytes read from the source; known holes are not read.
    pub read_bytes: ByteCount,
    /// Bytes of chunks taken over from the parent unread.
    pub inherited_bytes: ByteCount,
    /// What became of the unchanged data that was read again for proof.
    pub audit: AuditReport,
    /// Bytes in chunks that the point before does not have on this disk.
    pub changed_bytes: ByteCount,
    /// Plain bytes that the repository did not have.
    pub new_chunk_bytes: ByteCount,
    /// What they take in the repository.
    pub stored_bytes: ByteCount,
}

/// What reading unchanged data again found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// Bytes read again.
    pub read_bytes: ByteCount,
    /// Chunks that had changed although the map of changes said that they had not.
    pub untrue_chunks: u64,
    /// Where the first of them begins.
    pub first_untrue_offset: Option<ByteOffset>,
}

/// How much of a disk was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// All of it.
    Full,
    /// What was said to have changed.
    Incremental,
}

pub(crate) struct Source {
    pub(crate) request: DiskRequest,
    pub(crate) disk: RawDisk,
    pub(crate) target: ChunkTarget,
}

/// A disk as it was taken in.
pub(crate) struct TakenDisk<'a> {
    pub(crate) source: &'a Source,
    pub(crate) chunks: DiskChunks,
    basis: Basis,
    audit: AuditReport,
}

/// Backs up a machine; `repeats` is what was given for the repository when it was opened.
///
/// Errors: nothing of a failed backup is visible as a point.
pub fn backup(
    repository: &Repository,
    request: &BackupRequest,
    repeats: &Repeats,
    stop: &Stop,
    progress: &Progress,
) -> Result<BackupReport, Failure> {
    let clock = &repository.environment().clock;
    let (started, begun) = (clock.now(), clock.monotonic());
    let sources = open_sources(request)?;
    let files = read_files(&request.files)?;
    progress.expect(sources.iter().map(|source| source.disk.size()).sum());
    let lock = repository.begin_lock(LockKind::Shared)?;
    // Points before the index, never after: whatever a listed point references is then in the index.
    let points = repository.points()?;
    let trusted = repository.load_trusted_index()?;
    let newest = points.newest(|point| is_of(point, &request.vm));
    let mut parents = Parents::new(repository, &points, &trusted);
    let bases = sources
        .iter()
        .map(|source| basis(source, request, newest, &mut parents))
        .collect::<Result<Vec<_>, Failure>>()?;
    let lock = lock.settle()?;
    let mut ingest = Ingest::new(repository, &trusted.index, stop, progress);
    let disks = match take_in(&mut ingest, &sources, bases) {
        Ok(disks) => disks,
        Err(error) => {
            give_up(ingest, &lock);
            return Err(name_source(error, &sources));
        }
    };
    let ended = clock.now();
    let before = newest.map(|point| parents.load(point)).transpose()?;
    let reports = disks.iter().map(|disk| DiskReport::of(disk, before)).collect::<Vec<_>>();
    let manifest = manifest(request, &disks, &reports, &files, (started, ended));
    let saved = match save_tree(&mut ingest, request, &disks, files, &manifest, started) {
        Ok(saved) => saved,
        Err(error) => {
            give_up(ingest, &lock);
            return Err(ingest_failure(error));
        }
    };
    // Under a lost lock packs may be gone that the index written next would list.
    lock.confirm()?;
    let totals = ingest.finish().map_err(ingest_failure)?;
    stop.check()?;
    lock.confirm()?;
    let snapshot = snapshot(repository, request, &reports, newest, saved, totals, (started, ended));
    let point = Point { id: repository.save_point(&snapshot)?, snapshot };
    repository.settle_point(&point, &lock)?;
    let point = point.id;
    let duration_ms = u64::try_from((clock.monotonic() - begun).as_millis()).unwrap_or(u64::MAX);
    let findings = trusted.findings.iter().map(FindingReport::from).collect();
    // Its removal is the last operation that may have to be repeated.
    drop(lock);
    let repeated_operations = repeats.operations();
    let (vm, disks, listing_bytes) = (request.vm.clone(), reports, totals.listings);
    Ok(BackupReport { point, vm, disks, listing_bytes, findings, repeated_operations, duration_ms })
}

/// What a failed run stored is there for the next one. Under a lost lock it may be gone by now and is not listed.
fn give_up(ingest: Ingest<'_>, lock: &Lock) {
    if lock.confirm().is_ok() {
        ingest.give_up();
    }
}

fn is_of(point: &Point, vm: &VmName) -> bool {
    point.snapshot.is_ours() && !point.snapshot.is_proof() && point.snapshot.hostname == vm.as_str()
}

fn open_sources(request: &BackupRequest) -> Result<Vec<Source>, Failure> {
    if request.disks.is_empty() {
        return Err(Failure::new(Fault::WrongUse, Message::new(keys::ERROR_DISK_NONE))
            .remedy(Message::new(keys::REMEDY_DISK_NONE)));
    }
    request.changes.refuse_strangers(request.disks.iter().map(|disk| &disk.name))?;
    let mut names = HashSet::new();
    let sources = request.disks.iter().map(|request| {
        if !names.insert(&request.name) {
            return Err(Failure::new(
                Fault::WrongUse,
                Message::new(keys::ERROR_DISK_DUPLICATE).with("disk", &request.name),
            )
            .remedy(Message::new(keys::REMEDY_DISK_DUPLICATE)));
        }
        let disk = match request.format {
            Format::Raw => RawDisk::open(&request.path),
            Format::AsIs => RawDisk::open_as_is(&request.path),
        };
        let disk = disk.map_err(|error| unopened(request, error))?;
        let target = ChunkTarget::for_disk(disk.size());
        Ok(Source { request: request.clone(), disk, target })
    });
    sources.collect()
}

/// What a disk is read on.
fn basis(
    source: &Source,
    request: &BackupRequest,
    newest: Option<&Point>,
    parents: &mut Parents<'_>,
) -> Result<Basis, Failure> {
    let disk = &source.request.name;
    let Some(map) = request.changes.of(disk) else {
        let known = newest.map(|point| parents.load(point)).transpose()?;
        let known = known.is_some_and(|point| point.disk(disk).is_some());
        return Ok(whole(if known { Reason::NoChangeInformation } else { Reason::FirstPoint }, None));
    };
    let (size, target) = (source.disk.size(), source.target);
    let audit = request.changes.audit(generation_after(newest));
    let newest = newest.map(|point| point.id);
    let source = &source.request.path;
    parents.basis(Asking { vm: &request.vm, disk, source, newest, size, target, audit }, map)
}

/// Takes in all disks together, and those again, whole, whose maps turned out to be untrue.
fn take_in<'a>(
    ingest: &mut Ingest<'_>,
    sources: &'a [Source],
    bases: Vec<Basis>,
) -> Result<Vec<TakenDisk<'a>>, IngestError> {
    let inputs = sources.iter().zip(&bases).map(|(source, basis)| {
        let reading = match basis {
            Basis::Whole(_) => Reading::Whole,
            Basis::Changed { base, .. } => Reading::Changed(base),
        };
        DiskInput { disk: &source.disk, target: source.target, reading }
    });
    let chunks = ingest.disks(&inputs.collect::<Vec<_>>())?;
    let mut disks = Vec::with_capacity(sources.len());
    for ((source, chunks), basis) in sources.iter().zip(chunks).zip(bases) {
        let audit = AuditReport::of(&chunks);
        disks.push(if audit.untrue_chunks == 0 {
            TakenDisk { source, chunks, basis, audit }
        } else {
            let read = chunks.read;
            drop(chunks);
            let input = DiskInput { disk: &source.disk, target: source.target, reading: Reading::Whole };
            let mut chunks = ingest.disks(&[input])?.remove(0);
            chunks.read += read;
            TakenDisk { source, chunks, basis: whole(Reason::MapUntrue, None), audit }
        });
    }
    Ok(disks)
}

fn name_source(error: IngestError, sources: &[Source]) -> Failure {
    match error {
        IngestError::Source { disk, cause } => unreadable(&sources[disk].request, cause),
        other @ (IngestError::Memory(_) | IngestError::Store(_) | IngestError::Stopped(_)) => {
            ingest_failure(other)
        }
    }
}

impl AuditReport {
    fn of(chunks: &DiskChunks) -> Self {
        Self {
            read_bytes: chunks.audited,
            untrue_chunks: chunks.untrue.len() as u64,
            first_untrue_offset: chunks.untrue.first().copied(),
        }
    }
}

impl TakenDisk<'_> {
    /// The point, and the chunk list in it, of which chunks were taken over.
    pub(crate) fn based_on(&self) -> Option<BasedOn> {
        match &self.basis {
            Basis::Whole(_) => None,
            Basis::Changed { on, .. } => Some(*on),
        }
    }
}

impl DiskReport {
    fn of(disk: &TakenDisk<'_>, before: Option<&PointDisks>) -> Self {
        let TakenDisk { source, chunks, basis, audit } = disk;
        let changed = match before.and_then(|before| before.disk(&source.request.name)) {
            // Against nothing, everything but the zeros is new.
            None => source.disk.size().get().saturating_sub(chunks.zeros.get()),
            Some(old) => {
                let old = old.chunks.iter().collect::<HashSet<_>>();
                let changed = chunks.chunks.iter().filter(|chunk| !old.contains(&chunk.id));
                changed.map(|chunk| u64::from(chunk.len)).sum()
            }
        };
        let (mode, reason, reason_detail) = match basis {
            Basis::Whole(WholeBecause { reason, detail }) => (Mode::Full, *reason, detail.clone()),
            Basis::Changed { .. } => (Mode::Incremental, Reason::MapOfChanges, None),
        };
        Self {
            name: source.request.name.clone(),
            size_bytes: source.disk.size(),
            mode,
            reason,
            reason_detail,
            based_on: disk.based_on().map(|on| on.point),
            read_bytes: chunks.read,
            inherited_bytes: chunks.inherited,
            audit: *audit,
            changed_bytes: ByteCount::new(changed),
            new_chunk_bytes: chunks.new_chunks,
            stored_bytes: chunks.stored,
        }
    }
}
