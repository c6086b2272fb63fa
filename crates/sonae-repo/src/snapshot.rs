//! Snapshots, which are Sonae's recovery points: one file each, naming the tree of what was saved.

use serde::{Deserialize, Serialize};
use sonae_types::{Digest, Timestamp};

use crate::json::to_go_json;
use crate::repository::Repository;
use crate::store::{FileKind, FileName, StoreError};
use crate::time::{from_rfc3339, to_rfc3339};

/// Tag of every point that Sonae wrote.
pub const SONAE_TAG: &str = "sonae";
/// Tag of proof records, which are no points and are passed over by listings and retention.
pub const PROOF_TAG: &str = "sonae-proof";
/// What the tag of each saved disk begins with.
pub const DISK_TAG: &str = "disk:";

/// A snapshot file. Field order is the format's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it was taken, RFC 3339.
    pub time: String,
    /// The point before it, if the writer knew one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<Digest>,
    /// Its root folder.
    pub tree: Digest,
    /// What was saved.
    #[serde(default)]
    pub paths: Vec<String>,
    /// The machine it is of.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub hostname: String,
    /// Who took it.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub username: String,
    /// Labels for listing.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tags: Vec<String>,
    /// The id it had before it was rewritten (tagged, for example).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub original: Option<Digest>,
    /// The program that wrote it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub program_version: Option<String>,
    /// What it cost.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub summary: Option<Summary>,
}

/// What a point cost, in restic's words. Without it restic's `rewrite` saves an unchanged point anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the format's own and say it")]
pub struct Summary {
    pub backup_start: String,
    pub backup_end: String,
    pub files_new: u64,
    pub files_changed: u64,
    pub files_unmodified: u64,
    pub dirs_new: u64,
    pub dirs_changed: u64,
    pub dirs_unmodified: u64,
    pub data_blobs: u64,
    pub tree_blobs: u64,
    pub data_added: u64,
    #[serde(default)]
    pub data_added_packed: u64,
    pub total_files_processed: u64,
    pub total_bytes_processed: u64,
}

/// A point: a snapshot with the id under which it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// SHA-256 of the stored file.
    pub id: Digest,
    /// Its content.
    pub snapshot: Snapshot,
}

impl Snapshot {
    /// When it was taken; none when its text is no time.
    #[must_use]
    pub fn taken_at(&self) -> Option<Timestamp> {
        from_rfc3339(&self.time)
    }

    /// Whether Sonae wrote it as a recovery point of a machine.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.tags.iter().any(|tag| tag == SONAE_TAG)
    }

    /// Whether it is a proof record instead of a point.
    #[must_use]
    pub fn is_proof(&self) -> bool {
        self.tags.iter().any(|tag| tag == PROOF_TAG)
    }

    /// The names of the saved disks, as its tags say.
    pub fn disk_names(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().filter_map(|tag| tag.strip_prefix(DISK_TAG))
    }
}

impl Summary {
    /// Start and end in the format's form.
    #[must_use]
    pub fn spanning(start: Timestamp, end: Timestamp) -> Self {
        Self { backup_start: to_rfc3339(start), backup_end: to_rfc3339(end), ..Self::default() }
    }
}

impl Repository {
    /// Saves a point: the last step of a run, after everything that it references is stored and indexed.
    pub fn save_point(&self, snapshot: &Snapshot) -> Result<Digest, StoreError> {
        let (id, bytes) = self.encode_unpacked(&to_go_json(snapshot));
        self.store.put(FileName::Hashed(FileKind::Snapshot, id), &bytes)?;
        Ok(id)
    }
}
