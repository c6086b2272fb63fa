//! Unpacked files: one sealed JSON document each, named by the SHA-256 of its stored bytes (index, snapshot, lock).

use std::borrow::Cow;

use sonae_types::{ByteCount, Digest, Entropy};

use crate::compress::{Compression, ExpandError, Expander, Squeezer, UNPACKED_BYTES_MAX};
use crate::crypto::{CipherKey, Forged, OVERHEAD_BYTES, fresh_iv};
use crate::hash::sha256;
use crate::store::FileKind;

/// The first byte of a plaintext that is compressed.
const SQUEEZED: u8 = 2;

/// How many times its stored length an index file may expand to. Ids are random and make up a fifth of it at least, so
/// that an honest one stays below five; without this, a few bytes could stand for millions of entries.
const INDEX_EXPANSION_MAX: usize = 16;
/// The same for other documents, which may repeat themselves.
const EXPANSION_MAX: usize = 100;
/// What is allowed to every document, however short it is stored.
const EXPANDED_BYTES_MIN: usize = 4 << 10;

/// An unpacked file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnpackedError {
    /// Altered, or another key.
    #[error("altered, or sealed with another key")]
    Forged(#[source] Forged),
    /// It does not expand.
    #[error("cannot be expanded")]
    Expand(#[source] ExpandError),
    /// Neither JSON nor a known compression.
    #[error("begins with the unknown mark {0:#04x}")]
    Mark(u8),
    /// Nothing in it.
    #[error("is empty")]
    Empty,
    /// Longer than any document of its kind.
    #[error("has {size}, too many for what it should be")]
    TooLong {
        /// Its size as stored.
        size: ByteCount,
    },
    /// All documents of its kind together take too much memory.
    #[error("is one too many to be read with all the others")]
    TooMany,
    /// Its name is not the hash of its bytes.
    #[error("its bytes hash to {found}")]
    Name {
        /// What they hash to.
        found: Digest,
    },
}

/// The stored form of a JSON document, and its name.
pub fn encode_unpacked(
    key: &CipherKey,
    entropy: &dyn Entropy,
    compression: Compression,
    json: &[u8],
) -> (Digest, Vec<u8>) {
    let plain = match compression {
        Compression::Zstd => {
            let mut squeezed = vec![SQUEEZED];
            Squeezer::new().squeeze_onto(json, &mut squeezed);
            Cow::Owned(squeezed)
        }
        Compression::Forbidden => Cow::Borrowed(json),
    };
    let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD_BYTES);
    key.seal_onto(fresh_iv(entropy), &plain, &mut sealed);
    (sha256(&sealed), sealed)
}

/// Makes sure that a stored file can be a document, before it is read into memory. Errors: [`UnpackedError::TooLong`].
pub fn check_stored_size(size: ByteCount) -> Result<(), UnpackedError> {
    let most = ByteCount::of_len(UNPACKED_BYTES_MAX + OVERHEAD_BYTES);
    if size <= most { Ok(()) } else { Err(UnpackedError::TooLong { size }) }
}

/// The JSON document of a stored file; format 1 and key-less marks included. Errors: [`UnpackedError`].
pub fn decode_unpacked(
    key: &CipherKey,
    kind: FileKind,
    id: Digest,
    sealed: &[u8],
) -> Result<Vec<u8>, UnpackedError> {
    let found = sha256(sealed);
    if found != id {
        return Err(UnpackedError::Name { found });
    }
    let plain = key.open(sealed).map_err(UnpackedError::Forged)?;
    match plain.first() {
        None => Err(UnpackedError::Empty),
        Some(b'{' | b'[') => Ok(plain),
        Some(&SQUEEZED) => Expander::new()
            .expand_within(&plain[1..], expanded_max(kind, plain.len()))
            .map_err(UnpackedError::Expand),
        Some(other) => Err(UnpackedError::Mark(*other)),
    }
}

/// How long a document may be that is stored in so many bytes.
fn expanded_max(kind: FileKind, stored: usize) -> usize {
    let times = match kind {
        FileKind::Index => INDEX_EXPANSION_MAX,
        FileKind::Key
        | FileKind::Data
        | FileKind::Snapshot
        | FileKind::Lock
        | FileKind::Mark
        | FileKind::Ballast => EXPANSION_MAX,
    };
    stored.saturating_mul(times).clamp(EXPANDED_BYTES_MIN, UNPACKED_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::KeyMaterial;
    use crate::testing::CountingEntropy;

    #[test]
    fn a_document_reads_back_compressed_and_plain_and_under_no_other_name() {
        let key = CipherKey::new(&KeyMaterial { encrypt: [1; 32], mac_k: [2; 16], mac_r: [3; 16] });
        let entropy = CountingEntropy::default();
        let (_, plain) = encode_unpacked(&key, &entropy, Compression::Forbidden, b"{\"a\":1}");
        assert_eq!(key.open(&plain).unwrap(), b"{\"a\":1}", "format 1 has nothing around its JSON");
        let (id, sealed) = encode_unpacked(&key, &entropy, Compression::Zstd, b"{\"a\":1}");
        assert_eq!(decode_unpacked(&key, FileKind::Lock, id, &sealed).unwrap(), b"{\"a\":1}");
        assert!(matches!(
            decode_unpacked(&key, FileKind::Lock, Digest::new([0; 32]), &sealed),
            Err(UnpackedError::Name { .. })
        ));
        for (plain, fine) in
            [(&b"{}"[..], true), (b"[]", true), (b"", false), (b"\x03x", false), (b"\x02x", false)]
        {
            let mut sealed = Vec::new();
            key.seal_onto([9; 16], plain, &mut sealed);
            let id = sha256(&sealed);
            assert_eq!(decode_unpacked(&key, FileKind::Lock, id, &sealed).is_ok(), fine, "{plain:?}");
        }
    }
}
