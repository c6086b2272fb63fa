//! The manifest: what a point says about itself, inside the point, as `/<vm>/sonae/manifest.json` (requirement 002-09).

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sonae_types::{ByteCount, Digest, DiskName, VmName};

use crate::chunk::ChunkTarget;

/// The version of this document that we write.
pub const SCHEMA: u32 = 1;

/// Longest manifest that is read; ours have a few hundred bytes a disk.
pub const MANIFEST_BYTES_MAX: usize = 16 << 20;

/// Most disks of one machine.
pub const DISKS_MAX: usize = 1_000;

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this document's shape.
    pub schema: u32,
    /// The program that wrote it.
    pub tool: String,
    /// The machine.
    pub vm: VmName,
    /// When reading began, RFC 3339.
    pub started: String,
    /// When reading ended, RFC 3339.
    pub ended: String,
    /// In what state the machine was read.
    pub consistency: Consistency,
    /// Its disks.
    pub disks: Vec<DiskManifest>,
    /// Names of the files saved beside them.
    pub files: Vec<String>,
}

/// The manifest in a JSON document. Errors: it is none, longer than [`MANIFEST_BYTES_MAX`], or has
/// more than [`DISKS_MAX`] disks.
pub fn decode_manifest(json: &[u8]) -> Result<Manifest, serde_json::Error> {
    if MANIFEST_BYTES_MAX < json.len() {
        return Err(serde::de::Error::custom("too long for a manifest"));
    }
    let manifest: Manifest = serde_json::from_slice(json)?;
    if DISKS_MAX < manifest.disks.len() {
        return Err(serde::de::Error::custom("too many disks"));
    }
    Ok(manifest)
}

/// In what state a machine was read; never better than what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// The disk images did not change from the first to the last byte read: as after a shutdown, or as after a power
    /// failure where the machine was running idle.
    UnchangedWhileRead,
}

/// What the manifest says about one disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskManifest {
    /// The disk's name.
    pub name: DiskName,
    /// The file in the point that is its content.
    pub file: String,
    /// Its size.
    pub size_bytes: ByteCount,
    /// How it was cut.
    pub chunking: Chunking,
    /// Number of chunks.
    pub chunks: u64,
    /// [`merkle_root`] of the chunk ids in order.
    pub merkle_root: Digest,
    /// Where it was read from, as the operator wrote it.
    pub source: String,
    /// Bytes read from the source; holes are not read.
    pub read_bytes: ByteCount,
    /// Bytes that differ from the point before.
    pub changed_bytes: ByteCount,
    /// Plain bytes that the repository did not have.
    pub new_chunk_bytes: ByteCount,
    /// What they took in the repository.
    pub stored_bytes: ByteCount,
    /// The chunk list from which unread chunks were taken over; none where all of the disk was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub based_on: Option<BasedOn>,
}

/// The parent of which a disk took over what had not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasedOn {
    /// The point.
    pub point: Digest,
    /// [`merkle_root`] of the disk's chunk ids in it.
    pub merkle_root: Digest,
}

/// How a disk was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunking {
    /// The rule.
    pub rule: ChunkRule,
    /// Its target length.
    pub target_bytes: ChunkTarget,
}

/// The rules of cutting that points may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChunkRule {
    /// Page-aligned, content-defined by XXH3 (docs/format.md, "Chunking").
    PageXxh3,
}

/// The root of a binary hash tree over ids in order (as in RFC 6962: leaves and inner nodes are told apart, and a left
/// subtree is the largest power of two). The root of nothing is the hash of nothing.
#[must_use]
pub fn merkle_root(ids: &[Digest]) -> Digest {
    let mut level = ids.iter().map(|id| hash(&[&[0], id.as_bytes()])).collect::<Vec<_>>();
    while 1 < level.len() {
        level = level
            .chunks(2)
            .map(|pair| {
                if let [left, right] = pair {
                    hash(&[&[1], left.as_bytes(), right.as_bytes()])
                } else {
                    pair[0]
                }
            })
            .collect();
    }
    level.first().copied().unwrap_or_else(|| hash(&[]))
}

fn hash(parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    Digest::new(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_change_of_the_list_changes_the_root(ids in proptest::collection::vec(any::<[u8; 32]>(), 1..20), at: prop::sample::Index, kind in 0..3u8) {
            let ids = ids.into_iter().map(Digest::new).collect::<Vec<_>>();
            let mut other = ids.clone();
            let at = at.index(ids.len());
            match kind {
                0 => { other.remove(at); }
                1 => other.insert(at, ids[at]),
                _ => other[at] = Digest::new(other[at].as_bytes().map(|byte| !byte)),
            }
            prop_assert_ne!(merkle_root(&ids), merkle_root(&other));
        }
    }

    #[test]
    fn the_root_of_three_is_built_as_rfc_6962_says() {
        let ids = [1, 2, 3].map(|n| Digest::new([n; 32]));
        let leaf = |n: usize| hash(&[&[0], ids[n].as_bytes()]);
        let left = hash(&[&[1], leaf(0).as_bytes(), leaf(1).as_bytes()]);
        assert_eq!(merkle_root(&ids), hash(&[&[1], left.as_bytes(), leaf(2).as_bytes()]));
        assert_eq!(merkle_root(&[]), hash(&[]));
    }
}
