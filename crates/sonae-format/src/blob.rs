//! Blobs: the pieces that packs hold and the index finds — chunks of disks and trees.

use std::num::NonZeroU32;

use sonae_types::Digest;

use crate::chunk::{ZERO_CHUNK_BYTES_MAX, ZERO_IDS, is_zero};
use crate::compress::{ExpandError, Expander};
use crate::crypto::{CipherKey, Forged, OVERHEAD_BYTES};
use crate::hash::{sha256, sha256_each};

/// Longest plaintext of a chunk that we accept: memory that a hostile repository can make every thread take.
///
/// Ours have at most 4 MiB, restic's 8 MiB; rustic can be told to make longer ones.
pub const CHUNK_BYTES_MAX: u32 = 64 << 20;

/// Longest plaintext of a tree that we accept. Beyond [`CHUNK_BYTES_MAX`], one thread at a time opens one.
///
/// The longest tree we know, of a 16 TiB disk in chunks of 1 MiB, has about 1.2 GB.
pub const TREE_BYTES_MAX: u32 = 2 << 30;

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
    /// It lies over another one.
    #[error("blob {id} lies over another one")]
    Overlap {
        /// The blob.
        id: Digest,
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

    /// Makes sure that the lengths can be those of an honest blob, before anybody takes memory for them.
    ///
    /// Errors: [`BlobError::Length`].
    pub fn check_lengths(&self) -> Result<(), BlobError> {
        let plain_max = match self.kind {
            BlobKind::Data => CHUNK_BYTES_MAX,
            BlobKind::Tree => TREE_BYTES_MAX,
        };
        // Other writers also store frames that are longer than what they expand to, by less than this.
        let sealed_max = plain_max + plain_max / 64 + OVERHEAD;
        let plain_len = self.plain_len();
        if plain_len <= plain_max && (OVERHEAD..=sealed_max).contains(&self.length) {
            Ok(())
        } else {
            Err(BlobError::Length { id: self.id, length: plain_len.max(self.length) })
        }
    }

    /// The blob's sealed form in its pack. Panics where the pack ends before.
    pub(crate) fn sealed_in<'a>(&self, pack: &'a [u8]) -> &'a [u8] {
        let start = usize::try_from(self.offset).expect("a u32 fits");
        &pack[start..start + usize::try_from(self.length).expect("a u32 fits")]
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

/// Opens many blobs and names them together, which is faster than one by one ([`crate::hash`]).
#[derive(Debug, Default)]
pub struct BlobBatch {
    opener: BlobOpener,
    opened: Vec<Opened>,
    /// How much of the opener's buffer holds opened blobs.
    filled: usize,
    found: Vec<Digest>,
}

/// A blob in a batch: opened, not yet compared with its name.
#[derive(Clone, Copy, Debug)]
struct Opened {
    id: Digest,
    start: usize,
    len: usize,
}

/// Enough plaintext for a batch: many chunks to hash at once, few enough to stay in the processor's cache.
const BATCH_BYTES: usize = 8 << 20;

impl BlobOpener {
    /// Decrypts, expands and hashes; the plaintext is valid until the next call. Errors: [`BlobError`].
    pub fn open(&mut self, key: &CipherKey, entry: &BlobEntry, sealed: &[u8]) -> Result<&[u8], BlobError> {
        let len = self.open_at(0, key, entry, sealed)?;
        let found = sha256(&self.plain[..len]);
        if found == entry.id {
            Ok(&self.plain[..len])
        } else {
            Err(BlobError::OtherContent { id: entry.id, found })
        }
    }

    /// The plaintext of `len` bytes that the last successful [`BlobOpener::open`] left.
    pub fn opened(&self, len: usize) -> &[u8] {
        &self.plain[..len]
    }

    /// Decrypts and expands to `start` of the buffer; answers the length. What the bytes hash to is not looked at.
    fn open_at(
        &mut self,
        start: usize,
        key: &CipherKey,
        entry: &BlobEntry,
        sealed: &[u8],
    ) -> Result<usize, BlobError> {
        let id = entry.id;
        entry.check_lengths()?;
        let text_len =
            sealed.len().checked_sub(OVERHEAD_BYTES).ok_or(BlobError::Length { id, length: entry.length })?;
        let forged = |cause| BlobError::Forged { id, cause };
        let Some(expanded) = entry.expanded else {
            key.open_into(sealed, &mut at_least(&mut self.plain, start + text_len)[start..])
                .map_err(forged)?;
            return Ok(text_len);
        };
        let squeezed = key.open_into(sealed, at_least(&mut self.sealed_text, text_len)).map_err(forged)?;
        let len = usize::try_from(expanded.get()).expect("a u32 fits");
        if CHUNK_BYTES_MAX < expanded.get() {
            // So long a text must first be seen before memory is taken for all of it.
            self.plain.truncate(start);
            let got = self.expander.expand_onto(squeezed, &mut self.plain, len);
            return match got.map_err(|cause| BlobError::Expand { id, cause })? {
                got if got == len => Ok(len),
                _ => Err(BlobError::Expand { id, cause: ExpandError::Length { stated: len } }),
            };
        }
        let plain = &mut at_least(&mut self.plain, start + len)[start..start + len];
        self.expander.expand_exactly(squeezed, plain).map_err(|cause| BlobError::Expand { id, cause })?;
        Ok(len)
    }
}

impl BlobBatch {
    /// Decrypts and expands one more blob. Errors: [`BlobError`]; the batch is then as it was.
    pub fn add(&mut self, key: &CipherKey, entry: &BlobEntry, sealed: &[u8]) -> Result<(), BlobError> {
        let start = self.filled;
        let len = self.opener.open_at(start, key, entry, sealed)?;
        self.opened.push(Opened { id: entry.id, start, len });
        self.filled += len;
        Ok(())
    }

    /// Whether it is time to [`BlobBatch::compare`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        BATCH_BYTES <= self.filled
    }

    /// Hashes all blobs of the batch, and gives each, in the order they were added, with the verdict on it. The batch
    /// is empty afterwards.
    pub fn compare(&mut self, mut each: impl FnMut(Result<&[u8], BlobError>)) {
        let plain = &self.opener.plain;
        let texts =
            self.opened.iter().map(|blob| &plain[blob.start..blob.start + blob.len]).collect::<Vec<_>>();
        // Zeros are told by looking at them, at a fraction of what hashing up to 4 MiB of them costs.
        let known = texts.iter().map(|text| zero_id(text)).collect::<Vec<_>>();
        let unknown = texts.iter().zip(&known).filter(|(_, id)| id.is_none()).map(|(text, _)| *text);
        sha256_each(&unknown.collect::<Vec<_>>(), &mut self.found);
        let mut hashed = self.found.iter().copied();
        for ((blob, text), known) in self.opened.iter().zip(texts).zip(known) {
            let found = known.or_else(|| hashed.next()).expect("what is not known was hashed");
            each(if blob.id == found {
                Ok(text)
            } else {
                Err(BlobError::OtherContent { id: blob.id, found })
            });
        }
        self.clear();
    }

    /// Forgets what was added since the last [`BlobBatch::compare`].
    pub fn clear(&mut self) {
        self.opened.clear();
        self.filled = 0;
    }
}

/// The id of a text that is all zeros and may be a zero chunk.
fn zero_id(text: &[u8]) -> Option<Digest> {
    let len = text.len() as u64;
    (len <= ZERO_CHUNK_BYTES_MAX && is_zero(text)).then(|| ZERO_IDS.id(len))
}

const OVERHEAD: u32 = 32;
const _: () = assert!(OVERHEAD as usize == OVERHEAD_BYTES);

fn at_least(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    buffer
}
