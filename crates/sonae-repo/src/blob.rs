//! Blobs: the pieces that packs hold and the index finds — chunks of disks and trees.

use std::num::NonZeroU32;

use sha2::{Digest as _, Sha256};
use sonae_types::Digest;

use crate::compress::{ExpandError, Expander};
use crate::crypto::{CipherKey, Forged, OVERHEAD_BYTES};

/// Longest plaintext of a blob that we accept: memory a hostile repository can make us take.
///
/// The longest tree we know, of a 16 TiB disk in chunks of 1 MiB, has about 1.2 GB; chunks have at most 8 MiB.
pub const BLOB_BYTES_MAX: u32 = 2 << 30;

/// What a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobKind {
    /// A part of a file.
    Data,
    /// A folder listing.
    Tree,
}

/// One blob as a pack holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobEntry {
    /// What it is.
    pub kind: BlobKind,
    /// SHA-256 of its plaintext.
    pub id: Digest,
    /// Where its sealed form begins in the pack.
    pub offset: u32,
    /// Length of its sealed form.
    pub length: u32,
    /// Length of its plaintext when it is compressed; none when it is stored raw.
    pub expanded: Option<NonZeroU32>,
}

/// A blob's bytes are not what its entry says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Altered, or another key.
    #[error("blob {id} was altered or sealed with another key")]
    Forged {
        /// The blob.
        id: Digest,
        /// The cause.
        #[source]
        cause: Forged,
    },
    /// It does not expand to its stated length.
    #[error("blob {id} cannot be expanded")]
    Expand {
        /// The blob.
        id: Digest,
        /// The cause.
        #[source]
        cause: ExpandError,
    },
    /// It is another content than its name says.
    #[error("blob {id} has the content of {found}")]
    OtherContent {
        /// The blob.
        id: Digest,
        /// What the content hashes to.
        found: Digest,
    },
    /// Its stated lengths cannot be.
    #[error("blob {id} states an impossible length of {length} bytes")]
    Length {
        /// The blob.
        id: Digest,
        /// The stated length.
        length: u32,
    },
}

impl BlobEntry {
    /// Length of the plaintext.
    #[must_use]
    pub fn plain_len(&self) -> u32 {
        self.expanded.map_or(self.length.saturating_sub(OVERHEAD), NonZeroU32::get)
    }

    /// The first byte of the pack behind this blob.
    #[must_use]
    pub fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.length)
    }
}

/// Opens sealed blobs with buffers that are reused, one opener a thread.
#[derive(Debug, Default)]
pub struct BlobOpener {
    expander: Expander,
    sealed_text: Vec<u8>,
    plain: Vec<u8>,
}

impl BlobOpener {
    /// Decrypts, expands and hashes; the plaintext is valid until the next call. Errors: [`BlobError`].
    pub fn open(&mut self, key: &CipherKey, entry: &BlobEntry, sealed: &[u8]) -> Result<&[u8], BlobError> {
        let id = entry.id;
        let plain_len = entry.plain_len();
        if sealed.len() < OVERHEAD_BYTES || BLOB_BYTES_MAX < plain_len {
            return Err(BlobError::Length { id, length: plain_len.max(entry.length) });
        }
        let text_len = sealed.len() - OVERHEAD_BYTES;
        let forged = |cause| BlobError::Forged { id, cause };
        let plain = match entry.expanded {
            None => {
                let buffer = at_least(&mut self.plain, text_len);
                key.open_into(sealed, buffer).map_err(forged)?;
                &self.plain[..text_len]
            }
            Some(_) => {
                let squeezed =
                    key.open_into(sealed, at_least(&mut self.sealed_text, text_len)).map_err(forged)?;
                let len = usize::try_from(plain_len).expect("a u32 fits");
                let plain = &mut at_least(&mut self.plain, len)[..len];
                self.expander
                    .expand_exactly(squeezed, plain)
                    .map_err(|cause| BlobError::Expand { id, cause })?;
                &self.plain[..len]
            }
        };
        let found = Digest::new(Sha256::digest(plain).into());
        if found == id { Ok(plain) } else { Err(BlobError::OtherContent { id, found }) }
    }
}

impl BlobOpener {
    /// The plaintext of `len` bytes that the last successful [`BlobOpener::open`] left.
    pub(crate) fn opened(&self, len: usize) -> &[u8] {
        &self.plain[..len]
    }
}

const OVERHEAD: u32 = 32;
const _: () = assert!(OVERHEAD as usize == OVERHEAD_BYTES);

fn at_least(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    buffer
}
