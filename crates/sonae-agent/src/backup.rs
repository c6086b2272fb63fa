//! Backing up one machine: its disks at one time, its files beside them, one point.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::Serialize;
use sonae_repo::blob::BlobKind;
use sonae_repo::chunk::ChunkTarget;
use sonae_repo::index::Index;
use sonae_repo::ingest::{DiskChunks, DiskInput, Ingest, IngestError, IngestTotals};
use sonae_repo::lock::{Lock, LockKind};
use sonae_repo::manifest::{ChunkRule, Chunking, Consistency, DiskManifest, Manifest, SCHEMA, merkle_root};
use sonae_repo::reader::ReadError;
use sonae_repo::snapshot::{DISK_TAG, GENERATION_TAG, Point, SONAE_TAG, Snapshot, Summary};
use sonae_repo::store::Repeats;
use sonae_repo::time::to_rfc3339;
use sonae_repo::tree::{Node, NodeKind, encode_tree};
use sonae_repo::trusted::TrustedIndex;
use sonae_repo::{Progress, Repository, Stop};
use sonae_source::RawDisk;
use sonae_text::keys;
use sonae_types::{ByteCount, Digest, DiskName, DiskRead as _, Message, Timestamp, VmName};

use crate::failure::{Failure, Fault, ingest_failure};
use crate::findings::FindingReport;
use crate::source::{SavedFile, read_files, unopened, unreadable};

/// Files beside the disks are cut into parts of this length.
const FILE_PART_BYTES: usize = 1 << 20;
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
    /// Bytes read from the source; known holes are not read.
    pub read_bytes: ByteCount,
    /// Bytes in chunks that the point before does not have on this disk.
    pub changed_bytes: ByteCount,
    /// Plain bytes that the repository did not have.
    pub new_chunk_bytes: ByteCount,
    /// What they take in the repository.
    pub stored_bytes: ByteCount,
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

/// Why a disk was read in its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// There is no point before it.
    FirstPoint,
    /// Nothing says what changed since the point before.
    NoChangeInformation,
}

struct Source {
    request: DiskRequest,
    disk: RawDisk,
    target: ChunkTarget,
}

/// A point's tree as it was saved.
struct SavedTree {
    root: Digest,
    /// Sizes of all files in it. restic's `rewrite` counts them again, and saves a point anew whose count differs.
    bytes: u64,
}

/// What the point before had on its disks.
#[derive(Default)]
struct Before {
    point: Option<Digest>,
    generation: Option<u64>,
    disks: Vec<(DiskName, HashSet<Digest>)>,
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
    let sources = open_sources(&request.disks)?;
    let files = read_files(&request.files)?;
    progress.expect(sources.iter().map(|source| source.disk.size()).sum());
    let lock = repository.begin_lock(LockKind::Shared)?;
    // Points before the index, never after: whatever a listed point references is then in the index.
    let points = repository.points()?;
    let TrustedIndex { index, findings } = repository.load_trusted_index()?;
    let before = points.newest(|point| is_of(point, &request.vm));
    let before =
        before.map_or_else(|| Ok(Before::default()), |point| Before::load(repository, &index, point))?;
    let lock = lock.settle()?;
    let mut ingest = Ingest::new(repository, &index, stop, progress);
    let inputs = sources
        .iter()
        .map(|source| DiskInput { disk: &source.disk, target: source.target })
        .collect::<Vec<_>>();
    let chunks = match ingest.disks(&inputs) {
        Ok(chunks) => chunks,
        Err(error) => {
            give_up(ingest, &lock);
            return Err(name_source(error, &sources));
        }
    };
    let ended = clock.now();
    let disks = sources
        .iter()
        .zip(&chunks)
        .map(|(source, chunks)| DiskReport::of(source, chunks, &before))
        .collect::<Vec<_>>();
    let manifest = manifest(request, &sources, &chunks, &disks, &files, (started, ended));
    let saved = match save_tree(&mut ingest, request, &sources, &chunks, files, &manifest, started) {
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
    let snapshot = snapshot(repository, request, &disks, &before, saved, totals, (started, ended));
    let point = repository.save_point(&snapshot)?;
    let duration_ms = u64::try_from((clock.monotonic() - begun).as_millis()).unwrap_or(u64::MAX);
    let findings = findings.iter().map(FindingReport::from).collect();
    // Its removal is the last operation that may have to be repeated.
    drop(lock);
    let repeated_operations = repeats.operations();
    Ok(BackupReport { point, vm: request.vm.clone(), disks, findings, repeated_operations, duration_ms })
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

fn open_sources(requests: &[DiskRequest]) -> Result<Vec<Source>, Failure> {
    if requests.is_empty() {
        return Err(Failure::new(Fault::WrongUse, Message::new(keys::ERROR_DISK_NONE))
            .remedy(Message::new(keys::REMEDY_DISK_NONE)));
    }
    let mut names = HashSet::new();
    let sources = requests.iter().map(|request| {
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

fn name_source(error: IngestError, sources: &[Source]) -> Failure {
    match error {
        IngestError::Source { disk, cause } => unreadable(&sources[disk].request, cause),
        other @ (IngestError::Memory(_) | IngestError::Store(_) | IngestError::Stopped(_)) => {
            ingest_failure(other)
        }
    }
}

impl Before {
    fn load(repository: &Repository, index: &Index, point: &Point) -> Result<Self, Failure> {
        let folder = point.snapshot.folder();
        let names = point.snapshot.disk_names().filter_map(|name| DiskName::parse(name).ok());
        let disks = names.map(|name| {
            match repository.find(index, point, &format!("{folder}/{}", disk_file(&name))) {
                Ok(Node { kind: NodeKind::File { content, .. }, .. }) => {
                    Ok((name, content.into_iter().collect()))
                }
                // A point that somebody changed or that is damaged is no basis to compare with; the backup goes on.
                Ok(_) | Err(ReadError::NoSuchPath { .. }) => Ok((name, HashSet::new())),
                Err(error) if error.is_damage() => Ok((name, HashSet::new())),
                Err(error) => Err(error.into()),
            }
        });
        let generation = point.snapshot.generation();
        Ok(Self { point: Some(point.id), generation, disks: disks.collect::<Result<_, Failure>>()? })
    }

    fn of(&self, name: &DiskName) -> Option<&HashSet<Digest>> {
        self.disks.iter().find(|(disk, _)| disk == name).map(|(_, ids)| ids)
    }
}

impl DiskReport {
    fn of(source: &Source, chunks: &DiskChunks, before: &Before) -> Self {
        let old = before.of(&source.request.name);
        let changed = match old {
            // Against nothing, everything but the zeros is new.
            None => source.disk.size().get().saturating_sub(chunks.zeros.get()),
            Some(old) => chunks
                .chunks
                .iter()
                .filter(|chunk| !old.contains(&chunk.id))
                .map(|chunk| u64::from(chunk.len))
                .sum(),
        };
        Self {
            name: source.request.name.clone(),
            size_bytes: source.disk.size(),
            mode: Mode::Full,
            reason: if old.is_some() { Reason::NoChangeInformation } else { Reason::FirstPoint },
            read_bytes: chunks.read,
            changed_bytes: ByteCount::new(changed),
            new_chunk_bytes: chunks.new_chunks,
            stored_bytes: chunks.stored,
        }
    }
}

fn manifest(
    request: &BackupRequest,
    sources: &[Source],
    chunks: &[DiskChunks],
    reports: &[DiskReport],
    files: &[SavedFile],
    (started, ended): (Timestamp, Timestamp),
) -> Manifest {
    let disks = sources.iter().zip(chunks).zip(reports).map(|((source, chunks), report)| {
        let ids = chunks.chunks.iter().map(|chunk| chunk.id).collect::<Vec<_>>();
        DiskManifest {
            name: report.name.clone(),
            file: disk_file(&report.name),
            size_bytes: report.size_bytes,
            chunking: Chunking { rule: ChunkRule::PageXxh3, target_bytes: source.target },
            chunks: ids.len() as u64,
            merkle_root: merkle_root(&ids),
            source: source.request.path.display().to_string(),
            read_bytes: report.read_bytes,
            changed_bytes: report.changed_bytes,
            new_chunk_bytes: report.new_chunk_bytes,
            stored_bytes: report.stored_bytes,
        }
    });
    Manifest {
        schema: SCHEMA,
        tool: PROGRAM.to_owned(),
        vm: request.vm.clone(),
        started: to_rfc3339(started),
        ended: to_rfc3339(ended),
        consistency: Consistency::UnchangedWhileRead,
        disks: disks.collect(),
        files: files.iter().map(|file| file.name.clone()).collect(),
    }
}

/// The file in a point that holds a disk.
#[must_use]
pub fn disk_file(name: &DiskName) -> String {
    format!("disk-{name}.raw")
}

/// The disk of the machine that a path in a point holds; none for other files.
#[must_use]
pub fn disk_in<'a>(vm: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix('/')?.strip_prefix(vm)?.strip_prefix("/disk-")?.strip_suffix(".raw")
}

fn save_tree(
    ingest: &mut Ingest<'_>,
    request: &BackupRequest,
    sources: &[Source],
    chunks: &[DiskChunks],
    files: Vec<SavedFile>,
    manifest: &Manifest,
    at: Timestamp,
) -> Result<SavedTree, IngestError> {
    let mut nodes = Vec::new();
    for (source, chunks) in sources.iter().zip(chunks) {
        let content = chunks.chunks.iter().map(|chunk| chunk.id).collect();
        nodes.push(Node {
            name: disk_file(&source.request.name),
            kind: NodeKind::File { size: source.disk.size().get(), content },
        });
    }
    for file in files {
        nodes.push(save_file(ingest, file)?);
    }
    let bytes = serde_json::to_vec_pretty(manifest).expect("a manifest has only texts and numbers");
    let manifest = save_file(ingest, SavedFile { name: "manifest.json".to_owned(), bytes })?;
    let bytes = nodes.iter().chain([&manifest]).map(size_of).sum();
    nodes.push(save_folder(ingest, "sonae", vec![manifest], at)?);
    let vm = save_folder(ingest, request.vm.as_str(), nodes, at)?;
    let root = ingest.blob(BlobKind::Tree, &encode_tree(vec![vm], at))?;
    Ok(SavedTree { root, bytes })
}

fn size_of(node: &Node) -> u64 {
    match &node.kind {
        NodeKind::File { size, .. } => *size,
        NodeKind::Folder(_) | NodeKind::Other(_) => 0,
    }
}

fn save_folder(
    ingest: &mut Ingest<'_>,
    name: &str,
    nodes: Vec<Node>,
    at: Timestamp,
) -> Result<Node, IngestError> {
    let tree = ingest.blob(BlobKind::Tree, &encode_tree(nodes, at))?;
    Ok(Node { name: name.to_owned(), kind: NodeKind::Folder(tree) })
}

fn save_file(ingest: &mut Ingest<'_>, file: SavedFile) -> Result<Node, IngestError> {
    let content = file
        .bytes
        .chunks(FILE_PART_BYTES)
        .map(|part| ingest.blob(BlobKind::Data, part))
        .collect::<Result<_, _>>()?;
    Ok(Node { name: file.name, kind: NodeKind::File { size: file.bytes.len() as u64, content } })
}

fn snapshot(
    repository: &Repository,
    request: &BackupRequest,
    disks: &[DiskReport],
    before: &Before,
    saved: SavedTree,
    totals: IngestTotals,
    (started, ended): (Timestamp, Timestamp),
) -> Snapshot {
    let files = (disks.len() + request.files.len() + 1) as u64;
    let summary = Summary {
        files_new: files,
        dirs_new: 3,
        data_blobs: totals.data_blobs,
        tree_blobs: totals.tree_blobs,
        data_added: totals.plain.get(),
        data_added_packed: totals.stored.get(),
        total_files_processed: files,
        total_bytes_processed: saved.bytes,
        ..Summary::spanning(started, ended)
    };
    let generation =
        format!("{GENERATION_TAG}{}", before.generation.map_or(1, |before| before.saturating_add(1)));
    let disk_tags = disks.iter().map(|disk| format!("{DISK_TAG}{}", disk.name));
    Snapshot {
        time: to_rfc3339(started),
        parent: before.point,
        tree: saved.root,
        paths: vec![format!("/{}", request.vm)],
        hostname: request.vm.to_string(),
        username: repository.environment().worker.username.clone(),
        tags: [SONAE_TAG.to_owned(), generation].into_iter().chain(disk_tags).collect(),
        original: None,
        program_version: Some(PROGRAM.to_owned()),
        summary: Some(summary),
    }
}
