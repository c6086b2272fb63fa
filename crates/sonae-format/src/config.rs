//! The configuration of a repository: sealed, uncompressed JSON in the one file with a fixed name.

use serde::{Deserialize, Serialize};
use sonae_types::{ByteCount, Digest, Entropy};

use crate::chunk::ChunkSeed;
use crate::compress::Compression;
use crate::crypto::{CipherKey, Forged, fresh_iv};
use crate::hash::sha256;
use crate::json::to_go_json;
use crate::polynomial::random_polynomial;

/// The version that we write, and the newest that we read.
pub const VERSION: u32 = 2;

/// Longest configuration that is read; one has about 200 bytes.
pub const CONFIG_BYTES_MAX: ByteCount = ByteCount::kib(64);

/// What a repository is. Fields that others added are not kept: the file is never rewritten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Format version; 1 has no compression.
    pub version: u32,
    /// The repository's own id.
    pub id: Digest,
    /// Seeds the chunking; hexadecimal.
    pub chunker_polynomial: String,
}

/// A configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Altered, or it belongs to another key.
    #[error("altered, or sealed with another key")]
    Forged(#[source] Forged),
    /// Longer than any configuration.
    #[error("{size} are too many for a configuration")]
    TooLong {
        /// Its size.
        size: ByteCount,
    },
    /// Not the JSON of a configuration.
    #[error("not a configuration")]
    Json(#[source] serde_json::Error),
    /// A version that we do not know.
    #[error("format version {found}, this program knows 1 to {VERSION}")]
    Version {
        /// The version there.
        found: u32,
    },
}

impl Config {
    /// A new repository's configuration.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut seed = [0; 64];
        entropy.fill(&mut seed);
        let id = sha256(&seed);
        Self { version: VERSION, id, chunker_polynomial: random_polynomial(entropy) }
    }

    /// The seed of the chunking.
    #[must_use]
    pub fn chunk_seed(&self) -> ChunkSeed {
        ChunkSeed::of_polynomial(&self.chunker_polynomial)
    }

    /// Whether what is written into the repository may be compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        if self.version == 1 { Compression::Forbidden } else { Compression::Zstd }
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(&self, key: &CipherKey, entropy: &dyn Entropy) -> Vec<u8> {
        let mut sealed = Vec::new();
        key.seal_onto(fresh_iv(entropy), &to_go_json(self), &mut sealed);
        sealed
    }

    /// Makes sure that a file can be a configuration, before it is read into memory. Errors: [`ConfigError::TooLong`].
    pub fn check_size(size: ByteCount) -> Result<(), ConfigError> {
        if size <= CONFIG_BYTES_MAX { Ok(()) } else { Err(ConfigError::TooLong { size }) }
    }

    /// The configuration in a file's bytes. Errors: [`ConfigError`].
    pub fn decode(key: &CipherKey, sealed: &[u8]) -> Result<Self, ConfigError> {
        let json = key.open(sealed).map_err(ConfigError::Forged)?;
        let config: Self = serde_json::from_slice(&json).map_err(ConfigError::Json)?;
        if (1..=VERSION).contains(&config.version) {
            Ok(config)
        } else {
            Err(ConfigError::Version { found: config.version })
        }
    }
}
