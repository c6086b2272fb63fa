//! Filling a pack and sealing it: the bytes are hashed first and then every blob is read back from just those bytes,
//! so that a bit that memory lost on the way never gets an index entry.

use std::num::NonZeroU32;

use sonae_types::{Digest, Entropy};

use super::header::write_header;
use super::{PACK_BLOBS_MAX, PACK_BYTES};
use crate::blob::{BlobBatch, BlobEntry, BlobError, BlobKind};
use crate::compress::{Squeezed, Squeezer};
use crate::crypto::{CipherKey, Forged, IV_BYTES, MAC_BYTES, OVERHEAD_BYTES, fresh_iv};
use crate::hash::sha256;

/// A pack being filled. Its buffer is reused for one pack after another.
#[derive(Debug, Default)]
pub struct PackBuilder {
    bytes: Vec<u8>,
    /// How much of `bytes` is filled; the rest is room that is kept, so that it need not be cleared again.
    len: usize,
    blobs: Vec<BlobEntry>,
}

/// A pack that is ready for the store: every blob in it was read back.
#[derive(Debug)]
pub struct SealedPack {
    /// SHA-256 of the bytes: its name.
    pub id: Digest,
    /// The file's content.
    pub bytes: Vec<u8>,
    /// What it holds.
    pub blobs: Vec<BlobEntry>,
}

impl PackBuilder {
    /// Whether nothing was put in yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Whether it is time to seal this pack, where packs are to have `bytes`.
    #[must_use]
    pub fn is_full(&self, bytes: usize) -> bool {
        bytes <= self.len || PACK_BLOBS_MAX <= self.blobs.len()
    }

    /// Filled bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Compresses (where it pays), seals and appends a blob; answers its length in the pack.
    pub fn add(
        &mut self,
        key: &CipherKey,
        entropy: &dyn Entropy,
        squeezer: &mut Squeezer,
        kind: BlobKind,
        id: Digest,
        plain: &[u8],
    ) -> u32 {
        let start = self.len;
        let text = start + IV_BYTES;
        self.room_for(plain.len() + OVERHEAD_BYTES);
        let (text_len, expanded) = match squeezer.squeeze(plain, &mut self.bytes[text..text + plain.len()]) {
            Squeezed::To(len) => {
                (len, NonZeroU32::new(u32::try_from(plain.len()).expect("a blob is shorter than 4 GiB")))
            }
            Squeezed::NotWorthIt => {
                self.bytes[text..text + plain.len()].copy_from_slice(plain);
                (plain.len(), None)
            }
        };
        self.len = text + text_len + MAC_BYTES;
        key.seal_in_place(fresh_iv(entropy), &mut self.bytes[start..self.len]);
        let offset = u32::try_from(start).expect("a pack is far smaller than 4 GiB");
        let length = u32::try_from(self.len - start).expect("a blob is far smaller than 4 GiB");
        self.blobs.push(BlobEntry { kind, id, offset, length, expanded });
        length
    }

    /// Takes over the blobs of another pack that is not full, without opening them.
    pub fn append(&mut self, other: &mut Self) {
        let start = self.len;
        self.room_for(other.len);
        self.bytes[start..start + other.len].copy_from_slice(&other.bytes[..other.len]);
        self.len += other.len;
        let shift = u32::try_from(start).expect("a pack is far smaller than 4 GiB");
        self.blobs
            .extend(other.blobs.drain(..).map(|blob| BlobEntry { offset: blob.offset + shift, ..blob }));
        other.len = 0;
    }

    /// Takes over one blob as it lies in another pack, without opening it.
    pub fn copy(&mut self, entry: &BlobEntry, sealed: &[u8]) {
        let start = self.len;
        self.room_for(sealed.len());
        self.bytes[start..start + sealed.len()].copy_from_slice(sealed);
        self.len += sealed.len();
        let offset = u32::try_from(start).expect("a pack is far smaller than 4 GiB");
        self.blobs.push(BlobEntry { offset, ..*entry });
    }

    /// Takes out the blobs whose authentication code does not match. Answers what became of each, in order.
    pub fn take_out_forged(&mut self, key: &CipherKey) -> Vec<Result<(), Forged>> {
        let bytes = std::mem::take(&mut self.bytes);
        self.len = 0;
        let blobs = std::mem::take(&mut self.blobs);
        let sort_out = |blob: &BlobEntry| {
            let sealed = blob.sealed_in(&bytes);
            key.check(sealed).map(|()| self.copy(blob, sealed))
        };
        blobs.iter().map(sort_out).collect()
    }

    /// Closes a pack of blobs that were copied: header, hash, and then the authentication code of every blob in the
    /// hashed bytes. They are not opened: who could forge the code could forge all else.
    ///
    /// Errors: [`Forged`]; the pack is then as it was before.
    pub fn seal_copied(&mut self, key: &CipherKey, entropy: &dyn Entropy) -> Result<SealedPack, Forged> {
        let body = self.len;
        let mut pack = self.close(key, entropy);
        match pack.blobs.iter().try_for_each(|blob| key.check(blob.sealed_in(&pack.bytes))) {
            Ok(()) => Ok(pack),
            Err(forged) => {
                pack.bytes.truncate(body);
                *self = Self { bytes: pack.bytes, len: body, blobs: pack.blobs };
                Err(forged)
            }
        }
    }

    /// Closes the pack: header, hash, and every blob read back from the hashed bytes.
    ///
    /// Errors: [`BlobError`] when a blob does not read back as what it was named; the pack must then be thrown away.
    pub fn seal(
        &mut self,
        key: &CipherKey,
        entropy: &dyn Entropy,
        batch: &mut BlobBatch,
    ) -> Result<SealedPack, BlobError> {
        let pack = self.close(key, entropy);
        pack.read_back(key, batch)?;
        Ok(pack)
    }

    fn close(&mut self, key: &CipherKey, entropy: &dyn Entropy) -> SealedPack {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.truncate(std::mem::take(&mut self.len));
        let blobs = std::mem::take(&mut self.blobs);
        let mut header = Vec::with_capacity(blobs.len() * 41);
        write_header(&blobs, &mut header);
        let before = bytes.len();
        key.seal_onto(fresh_iv(entropy), &header, &mut bytes);
        let header_len = u32::try_from(bytes.len() - before).expect("the number of blobs is bounded");
        bytes.extend_from_slice(&header_len.to_le_bytes());
        SealedPack { id: sha256(&bytes), bytes, blobs }
    }

    /// Gives a used buffer back, so that the next pack need not take new memory.
    pub fn reuse(&mut self, buffer: Vec<u8>) {
        if self.bytes.capacity() == 0 {
            self.bytes = buffer;
        }
    }

    #[cfg(test)]
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    fn room_for(&mut self, more: usize) {
        let needed = self.len + more;
        if self.bytes.len() < needed {
            // Grows in few large steps; the bytes behind `len` are scratch.
            self.bytes.resize(needed.max(PACK_BYTES + PACK_BYTES / 8).max(self.bytes.len()), 0);
        }
    }
}

impl SealedPack {
    /// Opens every blob from the pack's bytes. Errors: the first [`BlobError`].
    pub fn read_back(&self, key: &CipherKey, batch: &mut BlobBatch) -> Result<(), BlobError> {
        batch.clear();
        let mut verdict = Ok(());
        for blob in &self.blobs {
            batch.add(key, blob, blob.sealed_in(&self.bytes))?;
            if batch.is_full() {
                batch.compare(|answer| verdict = verdict.clone().and(answer.map(|_plain| ())));
            }
        }
        batch.compare(|answer| verdict = verdict.clone().and(answer.map(|_plain| ())));
        verdict
    }
}
