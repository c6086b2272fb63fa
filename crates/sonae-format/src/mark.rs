//! Marks: which packs are to go, and since when. Plain restic knows nothing of them.

use serde::{Deserialize, Serialize};
use sonae_types::{Digest, Timestamp};

use crate::time::{from_rfc3339, to_rfc3339};

/// Packs that were found to be of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When, by the clock of whoever marked them.
    pub time: Timestamp,
    /// The packs.
    pub packs: Vec<Digest>,
}

#[derive(Serialize, Deserialize)]
struct MarkJson {
    time: String,
    packs: Vec<Digest>,
}

impl Mark {
    /// The JSON of the mark.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let json = MarkJson { time: to_rfc3339(self.time), packs: self.packs.clone() };
        serde_json::to_vec(&json).expect("a mark has only texts")
    }

    /// The mark in a JSON document; none where it is none, which only delays what it was about.
    #[must_use]
    pub fn decode(json: &[u8]) -> Option<Self> {
        let MarkJson { time, packs } = serde_json::from_slice(json).ok()?;
        Some(Self { time: from_rfc3339(&time)?, packs })
    }
}
