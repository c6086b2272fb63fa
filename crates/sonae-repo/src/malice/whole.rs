//! A whole repository with any of its parts bent, and a reader that goes through all of it.

use std::sync::Arc;

use sonae_types::{ByteCount, Digest, Timestamp};

use super::forge::{Bend, ForgedBlob, Forger, PASSWORD, Part};
use crate::blob::BlobKind;
use crate::check::Depth;
use crate::chunk::ChunkTarget;
use crate::crypto::Password;
use crate::hash::sha256;
use crate::index::{Index, IndexedPack, encode_index};
use crate::json::to_go_json;
use crate::keyless::keyless_check;
use crate::lock::LockKind;
use crate::manifest::merkle_root;
use crate::repair::Repair;
use crate::repository::{OpenError, Repository};
use crate::restore::{Content, Restore};
use crate::snapshot::{DISK_TAG, Point, SONAE_TAG};
use crate::store::{FileKind, MemoryStore};
use crate::testing::{Holes, MemoryDisk, environment, image};
use crate::tree::{Node, NodeKind, encode_tree};
use crate::walk::{Met, WalkedFile, Walker};
use crate::{Progress, Stop};

/// Longest file that is restored: targets lie in memory here.
const RESTORED_BYTES_MAX: u64 = 16 << 20;

/// Lays a repository of one point with one disk and a manifest, each of its parts bent before it is sealed. What names a
/// bent part names it truly, so that a reader gets there.
pub fn lay(store: &MemoryStore, bend: Bend<'_>) {
    let forger = Forger::over(Arc::new(store.clone()));
    let chunks = [image("t", 5000), image("n", 3), image("zz", 0), b"short".to_vec()];
    let size = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    let mut data = chunks.iter().map(|chunk| ForgedBlob::squeezed(BlobKind::Data, chunk)).collect::<Vec<_>>();
    data.push(ForgedBlob::raw(BlobKind::Data, b"raw"));
    let content = data[..chunks.len()].iter().map(|blob| blob.id).collect::<Vec<_>>();
    let manifest = bend(Part::Manifest, manifest(size, &content));
    data.push(ForgedBlob::squeezed(BlobKind::Data, &manifest));
    let file = |name: &str, size, content| {
        let kind = NodeKind::File { size, content };
        Node { name: name.to_owned(), kind }
    };
    let mut trees = Vec::new();
    let mut folder = |name: &str, nodes, bend: Bend<'_>| {
        let json = bend(Part::Tree, encode_tree(nodes, Timestamp::from_micros(0)));
        let blob = ForgedBlob::squeezed(BlobKind::Tree, &json);
        trees.push(blob.clone());
        Node { name: name.to_owned(), kind: NodeKind::Folder(blob.id) }
    };
    let manifest = file("manifest.json", manifest.len() as u64, vec![data[data.len() - 1].id]);
    let ours = folder("sonae", vec![manifest], bend);
    let raw = file("domain.xml", 3, vec![data[chunks.len()].id]);
    let vm = folder("vm", vec![file("disk-vda.raw", size, content), raw, ours], bend);
    let root = folder("", vec![vm], bend);
    let packs = [forger.pack_bent(&data, bend), forger.pack_bent(&trees, bend)];
    lay_documents(&forger, &packs, &root, bend);
}

fn lay_documents(forger: &Forger, packs: &[IndexedPack], root: &Node, bend: Bend<'_>) {
    let json = bend(Part::Index, encode_index(packs));
    forger.put_bent(FileKind::Index, &json, bend);
    let NodeKind::Folder(root) = root.kind else { return };
    let mut snapshot = Forger::snapshot(root);
    snapshot.tags = vec![SONAE_TAG.to_owned(), format!("{DISK_TAG}vda")];
    let json = bend(Part::Snapshot, to_go_json(&snapshot));
    forger.put_bent(FileKind::Snapshot, &json, bend);
    let json = bend(Part::Lock, LOCK.to_vec());
    forger.put_bent(FileKind::Lock, &json, bend);
    forger.put_config(&bend(Part::Config, to_go_json(forger.repository().config())));
}

/// A shared lock of somebody else.
pub(super) const LOCK: &[u8] =
    br#"{"time":"1970-01-01T00:00:00Z","exclusive":false,"hostname":"other","username":"u","pid":7,"uid":1000}"#;

/// What a point of one disk says about itself.
pub(super) fn manifest(size: u64, content: &[Digest]) -> Vec<u8> {
    let target = ChunkTarget::new(64 << 10).expect("64 KiB is a target");
    let disk = serde_json::json!({
        "name": "vda", "file": "disk-vda.raw", "size_bytes": size,
        "chunking": { "rule": "page-xxh3", "target_bytes": target },
        "chunks": content.len(), "merkle_root": merkle_root(content), "source": "/images/vda",
        "read_bytes": size, "changed_bytes": 0, "new_chunk_bytes": 0, "stored_bytes": 0,
    });
    let document = serde_json::json!({
        "schema": 1, "tool": "sonae", "vm": "vm", "started": "1970-01-01T00:00:00Z",
        "ended": "1970-01-01T00:00:01Z", "consistency": "unchanged-while-read", "disks": [disk], "files": [],
    });
    to_go_json(&document)
}

/// What came of reading everything.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Points that could be listed.
    pub points: usize,
    /// Files that were restored whole.
    pub restored: usize,
    /// What a check of everything, and a verification of every point, found wrong.
    pub findings: usize,
}

/// Opens, lists, checks, verifies, walks, and restores every file of every point into memory.
///
/// Errors: the repository does not open. Panics where a reader does, or where it calls something restored that is not
/// what its chunks are.
pub fn read_all(store: &MemoryStore) -> Result<Reading, OpenError> {
    let password = Password::from_file_bytes(PASSWORD);
    let repository = Repository::open(Arc::new(store.clone()), environment(), &password)?;
    let mut reading = Reading::default();
    // Whether somebody else's lock can be read is no matter here; it must only come to an answer.
    drop(repository.lock(LockKind::Shared));
    drop(repository.keys());
    drop(repository.load_trusted_index());
    let (stop, progress) = (Stop::default(), Progress::default());
    for depth in [Depth::Structure, Depth::Data] {
        if let Ok(report) = repository.check(depth, &stop, &progress) {
            reading.findings += report.findings.len();
        }
    }
    drop(repository.repair_index(Repair::DryRun, &stop, &progress));
    drop(keyless_check(store, &stop, &progress));
    let Ok(points) = repository.points() else { return Ok(reading) };
    reading.points = points.good.len();
    let Ok(loaded) = repository.load_index_around_damage() else { return Ok(reading) };
    let index = &loaded.index;
    if let Ok(report) = repository.verify(&points.good, index, &stop, &progress) {
        reading.findings += report.findings.len();
    }
    for point in &points.good {
        drop(repository.manifest(point, index));
        for file in files(&repository, index, point) {
            drop(repository.find(index, point, &file.path));
            reading.restored += restored(&repository, index, &file);
        }
    }
    Ok(reading)
}

fn files(repository: &Repository, index: &Index, point: &Point) -> Vec<WalkedFile> {
    let mut files = Vec::new();
    Walker::new(repository, index).walk(point, &mut |met| {
        if let Met::File(file) = met {
            files.push(file);
        }
    });
    files
}

/// Restores a file to a new disk and over an old one; counts the disks that were called whole, and makes sure of them.
fn restored(repository: &Repository, index: &Index, file: &WalkedFile) -> usize {
    let Some(size) = usize::try_from(file.size).ok().filter(|_| file.size <= RESTORED_BYTES_MAX) else {
        return 0;
    };
    let targets = [MemoryDisk::fresh(size), MemoryDisk::source(vec![0xa5; size], Holes::Untold)];
    let mut whole = 0;
    for target in targets {
        let (stop, progress) = (Stop::default(), Progress::default());
        let restore = Restore { repository, index, stop: &stop, progress: &progress };
        let content = Content { ids: &file.content, size: ByteCount::of_len(size) };
        let outcome = restore.run(content, &target);
        let good = outcome.is_ok_and(|outcome| outcome.damaged.is_empty());
        assert_eq!(target.times_finished(), u64::from(good), "{}", file.path);
        if good {
            assert!(holds(&target.content(), index, &file.content), "{} is something else", file.path);
            whole += 1;
        }
    }
    whole
}

/// Whether the bytes are these chunks, one behind the other: each is where it belongs and hashes to its id.
fn holds(bytes: &[u8], index: &Index, content: &[Digest]) -> bool {
    let mut rest = bytes;
    content.iter().all(|id| {
        let len = index.plain_len(BlobKind::Data, *id).and_then(|len| usize::try_from(len).ok());
        let Some((chunk, behind)) = len.and_then(|len| rest.split_at_checked(len)) else { return false };
        rest = behind;
        sha256(chunk) == *id
    }) && rest.is_empty()
}

/// Lays a repository in which the rest of these bytes stands in the place of one part, and reads all of it: the first
/// byte says which kind of part, the second which of its kind. Panics where [`read_all`] does.
pub fn read_replaced(bytes: &[u8]) {
    let [part, which, by @ ..] = bytes else { return };
    let part = Part::ALL[usize::from(*part) % Part::ALL.len()];
    let store = MemoryStore::new();
    let mut met = 0;
    lay(&store, &mut |at, bytes| {
        if at != part {
            return bytes;
        }
        met += 1;
        if met == usize::from(which % 8) + 1 { by.to_vec() } else { bytes }
    });
    drop(read_all(&store));
}

/// What a fuzzer begins with: every part of a sound repository, in the form of [`read_replaced`].
#[must_use]
pub fn parts() -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let mut met = [0u8; Part::ALL.len()];
    lay(&MemoryStore::new(), &mut |at, bytes| {
        let kind = Part::ALL.iter().position(|part| *part == at).unwrap_or_default();
        let first = u8::try_from(kind).expect("there are few kinds of parts");
        parts.push([&[first, met[kind]], bytes.as_slice()].concat());
        met[kind] += 1;
        bytes
    });
    parts
}
