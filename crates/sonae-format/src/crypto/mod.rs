//! The authenticated encryption of the repository format: AES-256 in counter mode, then Poly1305-AES over the
//! ciphertext (docs/format.md, "AEAD").
//!
//! A sealed text is `IV(16) || ciphertext || MAC(16)`. Nothing here knows files or packs.

mod kdf;
mod keystream;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vaes;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use poly1305::Poly1305;
use sonae_types::Entropy;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

use keystream::Keystream;

pub use kdf::{KdfCost, KdfError, LANES_MAX, MEMORY_BYTES_MAX, Password, SALT_BYTES, WORK_BYTES_MAX, derive};

/// Bytes of the initialisation vector in front of the ciphertext.
pub const IV_BYTES: usize = 16;
/// Bytes of the authentication code behind the ciphertext.
pub const MAC_BYTES: usize = 16;
/// How much longer a sealed text is than its plaintext.
pub const OVERHEAD_BYTES: usize = IV_BYTES + MAC_BYTES;

/// 64 bytes of key material as the format lays them out: AES-256 key, then `k` and `r` of Poly1305-AES.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct KeyMaterial {
    /// The AES-256 key.
    pub encrypt: [u8; 32],
    /// The AES-128 key that turns an IV into a one-time pad for the MAC.
    pub mac_k: [u8; 16],
    /// The multiplier of the MAC; clamped by whoever computes with it.
    pub mac_r: [u8; 16],
}

/// A key ready for use: expanded once, shared by all threads.
#[derive(Clone)]
pub struct CipherKey {
    stream: Keystream,
    pad: Aes128,
    r: [u8; 16],
}

/// A sealed text was not made with this key, or was altered afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the authentication code does not match: altered, or sealed with another key")]
pub struct Forged;

impl KeyMaterial {
    /// New random key material.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 64];
        entropy.fill(&mut bytes);
        let material = Self::from_bytes(&bytes);
        bytes.zeroize();
        material
    }

    /// The material in 64 bytes as key derivation yields them.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let mut material = Self { encrypt: [0; 32], mac_k: [0; 16], mac_r: [0; 16] };
        material.encrypt.copy_from_slice(&bytes[..32]);
        material.mac_k.copy_from_slice(&bytes[32..48]);
        material.mac_r.copy_from_slice(&bytes[48..]);
        material
    }
}

impl std::fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyMaterial(secret)")
    }
}

impl std::fmt::Debug for CipherKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CipherKey(secret)")
    }
}

impl CipherKey {
    /// Expands key material.
    #[must_use]
    pub fn new(material: &KeyMaterial) -> Self {
        Self {
            stream: Keystream::new(&material.encrypt),
            pad: Aes128::new(&material.mac_k.into()),
            r: material.mac_r,
        }
    }

    /// Appends the sealed form of `plaintext` to `out`.
    pub fn seal_onto(&self, iv: [u8; IV_BYTES], plaintext: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&iv);
        out.extend_from_slice(plaintext);
        out.extend_from_slice(&[0; MAC_BYTES]);
        self.seal_in_place(iv, &mut out[start..]);
    }

    /// Seals in place: `framed` holds the plaintext between room for the IV in front and for the MAC behind.
    pub fn seal_in_place(&self, iv: [u8; IV_BYTES], framed: &mut [u8]) {
        let text_end = framed.len() - MAC_BYTES;
        framed[..IV_BYTES].copy_from_slice(&iv);
        self.stream.apply(iv, &mut framed[IV_BYTES..text_end]);
        let mac = self.mac(iv, &framed[IV_BYTES..text_end]);
        framed[text_end..].copy_from_slice(&mac);
    }

    /// Checks and decrypts `sealed` into the front of `into`, and returns that part of it.
    ///
    /// Errors: [`Forged`] when the code does not match or the text is too short to carry one; `into` is then
    /// untouched. Panics if `into` is shorter than the plaintext.
    pub fn open_into<'a>(&self, sealed: &[u8], into: &'a mut [u8]) -> Result<&'a mut [u8], Forged> {
        self.check(sealed)?;
        let (iv, text, _mac) = split(sealed)?;
        let into = &mut into[..text.len()];
        self.stream.apply_onto(iv, text, into);
        Ok(into)
    }

    /// Checks `sealed` without decrypting it. Errors: [`Forged`].
    pub fn check(&self, sealed: &[u8]) -> Result<(), Forged> {
        let (iv, text, mac) = split(sealed)?;
        if bool::from(self.mac(iv, text).ct_eq(mac)) { Ok(()) } else { Err(Forged) }
    }

    /// Checks and decrypts `sealed` into a new buffer. Errors: [`Forged`].
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Forged> {
        let mut plaintext = vec![0; sealed.len().saturating_sub(OVERHEAD_BYTES)];
        self.open_into(sealed, &mut plaintext)?;
        Ok(plaintext)
    }

    fn mac(&self, iv: [u8; IV_BYTES], ciphertext: &[u8]) -> [u8; MAC_BYTES] {
        let mut pad = iv.into();
        self.pad.encrypt_block(&mut pad);
        let mut one_time_key = [0; 32];
        one_time_key[..16].copy_from_slice(&self.r);
        one_time_key[16..].copy_from_slice(&pad);
        let tag = Poly1305::new(&one_time_key.into()).compute_unpadded(ciphertext);
        tag.into()
    }
}

/// A fresh IV: random, and never all zero, which readers of the format refuse.
pub fn fresh_iv(entropy: &dyn Entropy) -> [u8; IV_BYTES] {
    let mut iv = [0; IV_BYTES];
    // A generator that keeps answering zeros is broken; saying so beats encrypting under a known pad.
    for _ in 0..8 {
        entropy.fill(&mut iv);
        if iv != [0; IV_BYTES] {
            return iv;
        }
    }
    panic!("the random source answers only zeros");
}

/// IV, ciphertext and code.
type Parts<'a> = ([u8; IV_BYTES], &'a [u8], &'a [u8]);

fn split(sealed: &[u8]) -> Result<Parts<'_>, Forged> {
    let (iv, rest) = sealed.split_first_chunk::<IV_BYTES>().ok_or(Forged)?;
    let (text, mac) = rest.split_last_chunk::<MAC_BYTES>().ok_or(Forged)?;
    Ok((*iv, text, mac))
}
