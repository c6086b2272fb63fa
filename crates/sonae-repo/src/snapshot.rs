//! Snapshots, which are Sonae's recovery points: one file each, naming the tree of what was saved.

use serde::{Deserialize, Serialize};
use sonae_types::{Digest, Timestamp};

use crate::json::to_go_json;
use crate::keep::{Confirm, keep};
use crate::repository::Repository;
use crate::store::{FileKind, FileName, StoreError};
use crate::time::{from_rfc3339, to_rfc3339};
use crate::walk::PATH_BYTES_MAX;

/// Tag of every point that Sonae wrote.
pub const SONAE_TAG: &str = "sonae";
/// Tag of proof records, which are no points and are passed over by listings and retention.
pub const PROOF_TAG: &str = "sonae-proof";
/// What the tag of each saved disk begins with.
pub const DISK_TAG: &str = "disk:";

/// What the tag of the generation begins with: the how manieth point of its machine this is.
pub const GENERATION_TAG: &str = "gen:";

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

/// Longest JSON of a snapshot that is accepted: a hundred thousand long paths, where ours have one.
pub const SNAPSHOT_JSON_BYTES_MAX: usize = 16 << 20;

/// Most memory that the points of a listing take together: millions of ours. What comes beyond is told as unreadable.
pub const POINTS_BYTES_MAX: u64 = 1 << 30;

/// Longest text in a snapshot, paths excepted: it is told again with everything that is found wrong.
pub const SNAPSHOT_TEXT_BYTES_MAX: usize = 4096;

/// The snapshot in a JSON document. Errors: it is none, longer than [`SNAPSHOT_JSON_BYTES_MAX`], has a text beyond
/// [`SNAPSHOT_TEXT_BYTES_MAX`] or a path beyond [`PATH_BYTES_MAX`].
pub fn decode_snapshot(json: &[u8]) -> Result<Snapshot, serde_json::Error> {
    if SNAPSHOT_JSON_BYTES_MAX < json.len() {
        return Err(serde::de::Error::custom(format_args!(
            "{} bytes are too many for a snapshot",
            json.len()
        )));
    }
    let snapshot: Snapshot = serde_json::from_slice(json)?;
    if snapshot.texts().any(|text| SNAPSHOT_TEXT_BYTES_MAX < text.len()) {
        return Err(serde::de::Error::custom("a text is too long"));
    }
    if snapshot.paths.iter().any(|path| PATH_BYTES_MAX < path.len()) {
        return Err(serde::de::Error::custom("a path is too long"));
    }
    Ok(snapshot)
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

    /// The folder of its machine in it. A machine that restic's `rewrite` renamed keeps the folder that it had.
    #[must_use]
    pub fn folder(&self) -> String {
        match &self.paths[..] {
            [folder] => folder.clone(),
            _ => format!("/{}", self.hostname),
        }
    }

    /// Whether it is a proof record instead of a point.
    #[must_use]
    pub fn is_proof(&self) -> bool {
        self.tags.iter().any(|tag| tag == PROOF_TAG)
    }

    /// The how manieth point of its machine this is, as its tags say; none where Sonae did not write it.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        self.tags.iter().find_map(|tag| tag.strip_prefix(GENERATION_TAG)?.parse().ok())
    }

    /// The names of the saved disks, as its tags say.
    pub fn disk_names(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().filter_map(|tag| tag.strip_prefix(DISK_TAG))
    }
}

impl Snapshot {
    /// About how much memory it takes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let texts = self.texts().chain(&self.paths);
        let bytes = texts.map(|text| size_of::<String>() + text.len().max(16)).sum::<usize>();
        (size_of::<Self>() + bytes) as u64
    }

    /// Its texts, paths excepted.
    fn texts(&self) -> impl Iterator<Item = &String> {
        [&self.time, &self.hostname, &self.username]
            .into_iter()
            .chain(&self.program_version)
            .chain(&self.tags)
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
    ///
    /// Errors: [`StoreError`]; then there is no such point.
    pub fn save_point(&self, snapshot: &Snapshot) -> Result<Digest, StoreError> {
        let (id, bytes) = self.encode_unpacked(&to_go_json(snapshot));
        keep(&*self.store, FileName::Hashed(FileKind::Snapshot, id), &bytes, Confirm::Bytes)?;
        Ok(id)
    }
}
