//! Packs and their headers: what goes in comes out, and no hostile header does harm.

use proptest::prelude::*;

use super::*;
use crate::blob::{BlobBatch, BlobError, BlobKind, BlobOpener};
use crate::compress::Squeezer;
use crate::crypto::{CipherKey, KeyMaterial};
use crate::testing::CountingEntropy;
use sha2::{Digest as _, Sha256};
use sonae_types::{Digest, Entropy as _};

fn key() -> CipherKey {
    CipherKey::new(&KeyMaterial { encrypt: [1; 32], mac_k: [2; 16], mac_r: [3; 16] })
}

fn builder(texts: &[Vec<u8>]) -> PackBuilder {
    let mut pack = PackBuilder::default();
    for text in texts {
        let id = Digest::new(Sha256::digest(text).into());
        pack.add(&key(), &CountingEntropy::default(), &mut Squeezer::new(), BlobKind::Data, id, text);
    }
    pack
}

fn seal(pack: &mut PackBuilder) -> SealedPack {
    pack.seal(&key(), &CountingEntropy::default(), &mut BlobBatch::default()).unwrap()
}

fn listed(pack: &SealedPack) -> Vec<crate::blob::BlobEntry> {
    let (rest, last) = pack.bytes.split_last_chunk::<4>().unwrap();
    let len = header_len(*last, pack.bytes.len() as u64).unwrap();
    let (body, header) = rest.split_at(rest.len() - len);
    read_header(&key(), header, body.len() as u64).unwrap()
}

proptest! {
    #[test]
    fn a_pack_lists_what_was_put_in_and_gives_it_back(texts in proptest::collection::vec(proptest::collection::vec(0..9u8, 0..3000), 1..9), split in 0..9usize) {
        let (one, two) = texts.split_at(split.min(texts.len()));
        let (mut first, mut second) = (builder(one), builder(two));
        first.append(&mut second);
        prop_assert!(second.is_empty());
        let pack = seal(&mut first);
        prop_assert_eq!(pack.id, Digest::new(Sha256::digest(&pack.bytes).into()));
        prop_assert_eq!(&listed(&pack), &pack.blobs);
        for (blob, text) in pack.blobs.iter().zip(&texts) {
            let sealed = &pack.bytes[blob.offset as usize..][..blob.length as usize];
            let mut opener = BlobOpener::default();
            prop_assert_eq!(opener.open(&key(), blob, sealed).unwrap(), text);
        }
    }

    #[test]
    fn any_header_bytes_end_in_an_answer(plain in proptest::collection::vec(any::<u8>(), 0..300), body in any::<u64>(), last: [u8; 4]) {
        let mut sealed = Vec::new();
        key().seal_onto([5; 16], &plain, &mut sealed);
        if let Ok(blobs) = read_header(&key(), &sealed, body) {
            prop_assert!(blobs.iter().all(|blob| blob.end() <= body));
        }
        if let Ok(len) = header_len(last, body) { prop_assert!(len as u64 <= body && len <= HEADER_BYTES_MAX); }
    }
}

#[test]
fn a_bit_lost_between_sealing_and_hashing_is_caught_before_the_pack_gets_a_name_in_any_index() {
    let texts = [vec![1; 70_000], (0..70_000u32).flat_map(u32::to_le_bytes).collect()];
    let mut caught = 0;
    for at in (0..builder(&texts).len()).step_by(501) {
        let mut pack = builder(&texts);
        pack.bytes_mut()[at] ^= 4;
        caught +=
            u32::from(pack.seal(&key(), &CountingEntropy::default(), &mut BlobBatch::default()).is_err());
    }
    assert_eq!(caught as usize, builder(&texts).len().div_ceil(501));
}

#[test]
fn a_bit_lost_in_the_plaintext_after_it_was_named_is_caught_when_the_pack_is_sealed() {
    let text = vec![7; 100_000];
    let id = Digest::new(Sha256::digest(&text).into());
    let mut bad = text;
    bad[5000] ^= 1;
    let mut pack = PackBuilder::default();
    pack.add(&key(), &CountingEntropy::default(), &mut Squeezer::new(), BlobKind::Data, id, &bad);
    let answer = pack.seal(&key(), &CountingEntropy::default(), &mut BlobBatch::default());
    assert!(matches!(answer, Err(BlobError::OtherContent { .. })), "{answer:?}");
}

#[test]
fn a_bit_lost_between_compressing_and_sealing_is_caught_unless_the_plaintext_is_the_same() {
    // One that compresses, and one that is stored raw.
    for (text, raw) in [((0..40_000u32).map(|n| (n / 50).to_le_bytes()[0]).collect(), false), (noise(), true)]
    {
        let texts: [Vec<u8>; 1] = [text];
        let mut caught = 0;
        let mut opened = builder(&texts);
        let plain = key().open(opened.bytes_mut()).unwrap();
        for at in (0..plain.len()).step_by(plain.len() / 97 + 1) {
            let mut plain = plain.to_vec();
            plain[at] ^= 16;
            let mut sealed = Vec::new();
            key().seal_onto([9; 16], &plain, &mut sealed);
            let mut pack = builder(&texts);
            pack.bytes_mut().copy_from_slice(&sealed);
            match pack.seal(&key(), &CountingEntropy::default(), &mut BlobBatch::default()) {
                Err(_) => caught += 1,
                Ok(pack) => {
                    let (blob, mut opener) = (&pack.blobs[0], BlobOpener::default());
                    let sealed = &pack.bytes[..blob.length as usize];
                    assert_eq!(opener.open(&key(), blob, sealed).unwrap(), texts[0], "the bit meant nothing");
                    assert!(!raw, "every bit of a raw blob means something");
                }
            }
        }
        assert!(50 < caught, "only {caught} were caught");
    }
}

fn noise() -> Vec<u8> {
    let mut bytes = vec![0; 40_000];
    CountingEntropy::default().fill(&mut bytes);
    bytes
}

#[test]
fn an_empty_blob_is_stored_raw_as_the_format_demands() {
    let pack = seal(&mut builder(&[vec![]]));
    assert_eq!((pack.blobs[0].length, pack.blobs[0].expanded), (32, None));
}
