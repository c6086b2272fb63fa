//! Unpacked files: one sealed JSON document each, named by the SHA-256 of its stored bytes (index, snapshot, lock).

use std::borrow::Cow;

use sonae_types::{Digest, Entropy};

use crate::compress::{Compression, ExpandError, Expander, Squeezer, UNPACKED_BYTES_MAX};
use crate::crypto::{CipherKey, Forged, OVERHEAD_BYTES, fresh_iv};
use crate::hash::sha256;

/// The first byte of a plaintext that is compressed.
const SQUEEZED: u8 = 2;

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

/// The JSON document of a stored file; format 1 and key-less marks included. Errors: [`UnpackedError`].
pub fn decode_unpacked(key: &CipherKey, id: Digest, sealed: &[u8]) -> Result<Vec<u8>, UnpackedError> {
    let found = sha256(sealed);
    if found != id {
        return Err(UnpackedError::Name { found });
    }
    let plain = key.open(sealed).map_err(UnpackedError::Forged)?;
    match plain.first() {
        None => Err(UnpackedError::Empty),
        Some(b'{' | b'[') => Ok(plain),
        Some(&SQUEEZED) => {
            Expander::new().expand_within(&plain[1..], UNPACKED_BYTES_MAX).map_err(UnpackedError::Expand)
        }
        Some(other) => Err(UnpackedError::Mark(*other)),
    }
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
        assert_eq!(decode_unpacked(&key, id, &sealed).unwrap(), b"{\"a\":1}");
        assert!(matches!(
            decode_unpacked(&key, Digest::new([0; 32]), &sealed),
            Err(UnpackedError::Name { .. })
        ));
        for (plain, fine) in
            [(&b"{}"[..], true), (b"[]", true), (b"", false), (b"\x03x", false), (b"\x02x", false)]
        {
            let mut sealed = Vec::new();
            key.seal_onto([9; 16], plain, &mut sealed);
            let id = sha256(&sealed);
            assert_eq!(decode_unpacked(&key, id, &sealed).is_ok(), fine, "{plain:?}");
        }
    }
}
