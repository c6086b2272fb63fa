//! From disks that were taken in to a point: manifest, tree, snapshot.

use sonae_repo::Repository;
use sonae_repo::blob::BlobKind;
use sonae_repo::ingest::{Ingest, IngestError, IngestTotals};
use sonae_repo::manifest::{ChunkRule, Chunking, Consistency, DiskManifest, Manifest, SCHEMA, merkle_root};
use sonae_repo::snapshot::{DISK_TAG, GENERATION_TAG, Point, SONAE_TAG, Snapshot, Summary};
use sonae_repo::time::to_rfc3339;
use sonae_repo::tree::{Node, NodeKind, encode_tree};
use sonae_types::{Digest, DiskRead as _, Timestamp};

use crate::backup::{BackupRequest, DiskReport, PROGRAM, TakenDisk};
use crate::parent::disk_file;
use crate::source::SavedFile;

/// Files beside the disks are cut into parts of this length.
const FILE_PART_BYTES: usize = 1 << 20;

/// A point's tree as it was saved.
pub(crate) struct SavedTree {
    root: Digest,
    /// Sizes of all files in it. restic's `rewrite` counts them again, and saves a point anew whose count differs.
    bytes: u64,
}

/// What the machine's disks became.
pub(crate) fn manifest(
    request: &BackupRequest,
    disks: &[TakenDisk<'_>],
    reports: &[DiskReport],
    files: &[SavedFile],
    (started, ended): (Timestamp, Timestamp),
) -> Manifest {
    let disks = disks.iter().zip(reports).map(|(disk, report)| {
        let ids = disk.chunks.chunks.iter().map(|chunk| chunk.id).collect::<Vec<_>>();
        DiskManifest {
            name: report.name.clone(),
            file: disk_file(&report.name),
            size_bytes: report.size_bytes,
            chunking: Chunking { rule: ChunkRule::PageXxh3, target_bytes: disk.source.target },
            chunks: ids.len() as u64,
            merkle_root: merkle_root(&ids),
            source: disk.source.request.path.display().to_string(),
            based_on: disk.based_on(),
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

/// Saves the tree of a point, its root last.
pub(crate) fn save_tree(
    ingest: &mut Ingest<'_>,
    request: &BackupRequest,
    disks: &[TakenDisk<'_>],
    files: Vec<SavedFile>,
    manifest: &Manifest,
    at: Timestamp,
) -> Result<SavedTree, IngestError> {
    let mut nodes = Vec::new();
    for TakenDisk { source, chunks, .. } in disks {
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

/// The point itself.
pub(crate) fn snapshot(
    repository: &Repository,
    request: &BackupRequest,
    disks: &[DiskReport],
    before: Option<&Point>,
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
    let generation = format!("{GENERATION_TAG}{}", generation_after(before));
    let disk_tags = disks.iter().map(|disk| format!("{DISK_TAG}{}", disk.name));
    Snapshot {
        time: to_rfc3339(started),
        parent: before.map(|point| point.id),
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

/// The how manieth point of its machine comes after this one.
pub(crate) fn generation_after(before: Option<&Point>) -> u64 {
    before.and_then(|point| point.snapshot.generation()).map_or(1, |before| before.saturating_add(1))
}
