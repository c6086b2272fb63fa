//! Unpacked files: one sealed JSON document each, named by the SHA-256 of its stored bytes (index, snapshot, lock).

use sha2::{Digest as _, Sha256};
use sonae_types::{Digest, Entropy};

use crate::compress::{ExpandError, Expander, Squeezer, UNPACKED_BYTES_MAX};
use crate::crypto::{CipherKey, Forged, fresh_iv};

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
pub fn encode_unpacked(key: &CipherKey, entropy: &dyn Entropy, json: &[u8]) -> (Digest, Vec<u8>) {
    let mut plain = vec![SQUEEZED];
    Squeezer::new().squeeze_onto(json, &mut plain);
    let mut sealed = Vec::with_capacity(plain.len() + 32);
    key.seal_onto(fresh_iv(entropy), &plain, &mut sealed);
    (Digest::new(Sha256::digest(&sealed).into()), sealed)
}

/// The JSON document of a stored file; format 1 and key-less marks included. Errors: [`UnpackedError`].
pub fn decode_unpacked(key: &CipherKey, id: Digest, sealed: &[u8]) -> Result<Vec<u8>, UnpackedError> {
    let found = Digest::new(Sha256::digest(sealed).into());
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
        let (id, sealed) = encode_unpacked(&key, &CountingEntropy::default(), b"{\"a\":1}");
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
            let id = Digest::new(Sha256::digest(&sealed).into());
            assert_eq!(decode_unpacked(&key, id, &sealed).is_ok(), fine, "{plain:?}");
        }
    }
}
