//! `corpus.json`: what lies in a corpus, for whoever measures with it.

use serde::{Deserialize, Serialize};

use super::debian::Origin;

/// A corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Version of this description.
    pub(crate) version: u32,
    /// `small`, `std` or `full`.
    pub(crate) size: String,
    /// Decides every invented byte.
    pub(crate) seed: u64,
    /// Where the machines' system files come from.
    pub(crate) origin: Origin,
    /// Why they do not come from packages, if they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) origin_reason: Option<String>,
    /// Two corpora with the same digest were made from the same system files.
    pub(crate) origin_listing_sha256: String,
    /// Names of the images that are measured together.
    pub(crate) measured: Vec<String>,
    /// The machines.
    pub(crate) images: Vec<Image>,
    /// The mostly empty disk.
    pub(crate) sparse: Image,
}

/// A disk image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) name: String,
    /// Path inside the corpus.
    pub(crate) file: String,
    pub(crate) kind: Kind,
    pub(crate) logical_bytes: u64,
    pub(crate) allocated_bytes: u64,
    /// Where its partition starts.
    pub(crate) partition_bytes: u64,
    /// Bytes that its next day changes; 0 where it has none.
    pub(crate) day2_changed_bytes: u64,
    pub(crate) sha256: Option<String>,
}

/// How a machine came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Copied from the template; its system area is the others' block for block.
    Clone,
    /// Installed by itself: the same files elsewhere on the disk, shifted by 16 KiB.
    Separate,
    /// One large disk with little on it.
    Sparse,
}
