//! Index files: JSON, as restic writes and reads them.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use sonae_types::Digest;

use crate::blob::{BlobEntry, BlobKind};

/// One pack and what it holds, as an index file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedPack {
    /// The pack.
    pub id: Digest,
    /// Its blobs.
    pub blobs: Vec<BlobEntry>,
}

/// An index file's content is none.
#[derive(Debug, thiserror::Error)]
#[error("not an index")]
pub struct IndexError(#[source] serde_json::Error);

#[derive(Serialize, Deserialize)]
struct FileJson {
    packs: Vec<PackJson>,
}

#[derive(Serialize, Deserialize)]
struct PackJson {
    id: Digest,
    blobs: Vec<BlobJson>,
}

#[derive(Serialize, Deserialize)]
struct BlobJson {
    id: Digest,
    #[serde(rename = "type")]
    kind: KindJson,
    offset: u32,
    length: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    uncompressed_length: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindJson {
    Data,
    Tree,
}

/// The JSON of an index file that lists these packs.
#[must_use]
pub fn encode_index(packs: &[IndexedPack]) -> Vec<u8> {
    let packs = packs
        .iter()
        .map(|pack| PackJson { id: pack.id, blobs: pack.blobs.iter().map(BlobJson::of).collect() });
    serde_json::to_vec(&FileJson { packs: packs.collect() }).expect("an index has only texts and numbers")
}

/// The packs that an index file lists. Errors: [`IndexError`].
pub fn decode_index(json: &[u8]) -> Result<Vec<IndexedPack>, IndexError> {
    let file: FileJson = serde_json::from_slice(json).map_err(IndexError)?;
    Ok(file
        .packs
        .into_iter()
        .map(|pack| IndexedPack { id: pack.id, blobs: pack.blobs.iter().map(BlobJson::out).collect() })
        .collect())
}

impl BlobJson {
    fn of(blob: &BlobEntry) -> Self {
        Self {
            id: blob.id,
            kind: match blob.kind {
                BlobKind::Data => KindJson::Data,
                BlobKind::Tree => KindJson::Tree,
            },
            offset: blob.offset,
            length: blob.length,
            uncompressed_length: blob.expanded.map(NonZeroU32::get),
        }
    }

    fn out(&self) -> BlobEntry {
        BlobEntry {
            kind: match self.kind {
                KindJson::Data => BlobKind::Data,
                KindJson::Tree => BlobKind::Tree,
            },
            id: self.id,
            offset: self.offset,
            length: self.length,
            expanded: self.uncompressed_length.and_then(NonZeroU32::new),
        }
    }
}
