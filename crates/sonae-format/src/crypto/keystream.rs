//! AES-256 in counter mode as the format has it: the IV is the first counter, a number of 128 bits, big-endian.

use aes::Aes256;
use aes::cipher::{InnerIvInit as _, KeyInit as _, StreamCipher as _, StreamCipherCoreWrapper};
use ctr::{CtrCore, flavors::Ctr128BE};

use super::IV_BYTES;
#[cfg(target_arch = "x86_64")]
use super::vaes::Vaes;

/// A key, expanded for each way in which this processor can use it.
#[derive(Clone)]
pub(super) struct Keystream {
    aes: Aes256,
    /// Several times as fast, where the processor has the instructions (docs/adr/0008).
    #[cfg(target_arch = "x86_64")]
    vaes: Option<Vaes>,
}

impl Keystream {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self {
            aes: Aes256::new(&(*key).into()),
            #[cfg(target_arch = "x86_64")]
            vaes: Vaes::new(key),
        }
    }

    /// Encrypts or decrypts in place.
    pub(super) fn apply(&self, iv: [u8; IV_BYTES], text: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if self.vaes.as_ref().is_some_and(|vaes| vaes.apply(iv, text)) {
            return;
        }
        self.portable(iv).apply_keystream(text);
    }

    /// Encrypts or decrypts onto another place of the same length.
    pub(super) fn apply_onto(&self, iv: [u8; IV_BYTES], from: &[u8], to: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if self.vaes.as_ref().is_some_and(|vaes| vaes.apply_onto(iv, from, to)) {
            return;
        }
        self.portable(iv).apply_keystream_b2b(from, to);
    }

    fn portable(&self, iv: [u8; IV_BYTES]) -> StreamCipherCoreWrapper<CtrCore<Aes256, Ctr128BE>> {
        StreamCipherCoreWrapper::from_core(CtrCore::inner_iv_init(self.aes.clone(), &iv.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn portable(key: &[u8; 32], iv: [u8; 16], text: &[u8]) -> Vec<u8> {
        let mut changed = text.to_vec();
        Keystream::new(key).portable(iv).apply_keystream(&mut changed);
        changed
    }

    fn check(key: &[u8; 32], iv: [u8; 16], text: &[u8]) {
        let stream = Keystream::new(key);
        let expected = portable(key, iv, text);
        let mut in_place = text.to_vec();
        stream.apply(iv, &mut in_place);
        assert_eq!(in_place, expected, "{} bytes in place", text.len());
        let mut onto = vec![0xee; text.len()];
        stream.apply_onto(iv, text, &mut onto);
        assert_eq!(onto, expected, "{} bytes onto others", text.len());
    }

    proptest! {
        #[test]
        fn every_way_gives_the_same_stream(key: [u8; 32], iv: [u8; 16], text in proptest::collection::vec(any::<u8>(), 0..2000)) {
            check(&key, iv, &text);
        }
    }

    #[test]
    fn every_length_around_a_register_is_changed_to_its_last_byte_and_no_further() {
        let text = (0..1200u32).map(|n| n.to_le_bytes()[0]).collect::<Vec<_>>();
        for len in (0..200).chain(500..530).chain(1010..1040) {
            check(&[7; 32], [9; 16], &text[..len]);
            let mut framed = text.clone();
            Keystream::new(&[7; 32]).apply([9; 16], &mut framed[..len]);
            assert_eq!(framed[len..], text[len..], "{len}");
        }
    }

    #[test]
    fn a_counter_that_overflows_half_or_whole_goes_on_as_the_format_says() {
        let text = [3; 600];
        for low in [u64::MAX, u64::MAX - 3, u64::MAX - 36, u64::MAX - 37, u64::MAX - 38] {
            for high in [0, 5, u64::MAX] {
                let iv = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
                check(&[1; 32], iv, &text);
            }
        }
    }

    #[test]
    fn the_fast_way_is_taken_where_the_processor_has_it() {
        #[cfg(target_arch = "x86_64")]
        match Vaes::new(&[1; 32]) {
            Some(vaes) => assert!(vaes.apply([0; 16], &mut [0; 100])),
            None => println!("skipped: this processor has no VAES with AVX-512"),
        }
        #[cfg(not(target_arch = "x86_64"))]
        println!("skipped: this is no x86-64 processor");
    }
}
