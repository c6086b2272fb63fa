//! AES-256 in counter mode, 32 blocks side by side in registers of 512 bits, for processors that have VAES. It
//! holds unsafe code (docs/adr/0008): calls that the processor must support, and loads and stores of registers.
#![expect(
    unsafe_code,
    reason = "the compiler cannot know the processor, and a load into a register takes a pointer"
)]

use std::arch::x86_64::{
    __m128i, __m512i, _mm_aeskeygenassist_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_shuffle_epi32,
    _mm_slli_si128, _mm_unpackhi_epi64, _mm_xor_si128, _mm512_add_epi64, _mm512_aesenc_epi128,
    _mm512_aesenclast_epi128, _mm512_broadcast_i32x4, _mm512_loadu_si512, _mm512_mask_storeu_epi8,
    _mm512_maskz_loadu_epi8, _mm512_set_epi64, _mm512_set4_epi32, _mm512_shuffle_epi8, _mm512_storeu_si512,
    _mm512_xor_si512,
};
use std::array;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// The key of every round: ten times the first and four more.
const ROUND_KEYS: usize = 15;
const BLOCK_BYTES: usize = 16;
/// One register: four blocks.
const WIDE_BYTES: usize = 64;
/// Registers under way at once: enough to hide how long a round takes.
const WIDE: usize = 8;

/// The proof that this processor has the instructions this module is made of, and the expanded key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Vaes([[u64; 2]; ROUND_KEYS]);

/// What is changed and where it goes: the same bytes, or others of the same length.
enum Text<'a> {
    InPlace(&'a mut [u8]),
    Onto(&'a [u8], &'a mut [u8]),
}

impl Vaes {
    /// Expands the key, if this processor has the instructions.
    pub(super) fn new(key: &[u8; 32]) -> Option<Self> {
        let has = is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("vaes");
        // SAFETY: the function needs `aes` and `sse2`, nothing else, and the processor was just asked for `aes`, which
        // comes with sse2.
        // JUSTIFICATION: whether a processor has an instruction is known at run time only, so no safe call exists.
        has.then(|| Self(unsafe { expand(key) }))
    }

    /// Changes `text` under the key stream that begins at this counter. Answers whether it did: not where the lower
    /// half of the counter would overflow on the way, which happens to one IV in 2^40 or fewer.
    #[must_use]
    pub(super) fn apply(&self, iv: [u8; BLOCK_BYTES], text: &mut [u8]) -> bool {
        self.run(iv, Text::InPlace(text))
    }

    /// The same from one place to another of the same length.
    #[must_use]
    pub(super) fn apply_onto(&self, iv: [u8; BLOCK_BYTES], from: &[u8], to: &mut [u8]) -> bool {
        assert_eq!(from.len(), to.len(), "the key stream changes no length");
        self.run(iv, Text::Onto(from, to))
    }

    fn run(&self, iv: [u8; BLOCK_BYTES], text: Text<'_>) -> bool {
        let counter = u128::from_be_bytes(iv);
        let low = u64::try_from(counter & u128::from(u64::MAX)).expect("the lower half");
        if low.checked_add(text.len() as u64 / BLOCK_BYTES as u64 + 1).is_none() {
            return false;
        }
        // SAFETY: the function needs avx512f, avx512bw and vaes, nothing else; a `self` is made only by `new`, which has
        // asked the processor for all three.
        // JUSTIFICATION: as in `new`.
        unsafe { encrypt(&self.0, counter, text) };
        true
    }
}

impl Text<'_> {
    fn len(&self) -> usize {
        match self {
            Self::InPlace(text) => text.len(),
            Self::Onto(from, _) => from.len(),
        }
    }

    /// Where it is read and where it is written; the pointers are good for [`Text::len`] bytes while `self` is borrowed.
    fn pointers(&mut self) -> (*const u8, *mut u8) {
        match self {
            Self::InPlace(text) => {
                let to = text.as_mut_ptr();
                (to.cast_const(), to)
            }
            Self::Onto(from, to) => (from.as_ptr(), to.as_mut_ptr()),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn encrypt(keys: &[[u64; 2]; ROUND_KEYS], counter: u128, mut text: Text<'_>) {
    let keys: [__m512i; ROUND_KEYS] =
        array::from_fn(|round| _mm512_broadcast_i32x4(block(keys[round][0], keys[round][1])));
    let mut counters = first_counters(counter);
    let len = text.len();
    let (from, to) = text.pointers();
    let mut at = 0;
    while WIDE * WIDE_BYTES <= len - at {
        let stream = key_stream::<WIDE>(&keys, &mut counters);
        for (number, stream) in stream.into_iter().enumerate() {
            let at = at + number * WIDE_BYTES;
            // SAFETY: at most `len` bytes of both are touched, as the loop's condition says, and both hold `len` bytes,
            // borrowed in `text`; neither access asks for an alignment. Where both are the same bytes, they are read
            // before they are written.
            // JUSTIFICATION: std has no load or store of such a register that takes a reference.
            unsafe {
                let plain = _mm512_loadu_si512(from.add(at).cast());
                _mm512_storeu_si512(to.add(at).cast(), _mm512_xor_si512(plain, stream));
            }
        }
        at += WIDE * WIDE_BYTES;
    }
    while at < len {
        let [stream] = key_stream::<1>(&keys, &mut counters);
        let mask = u64::MAX >> (WIDE_BYTES - (len - at).min(WIDE_BYTES));
        // SAFETY: as above; the mask lets through no byte behind `len`.
        // JUSTIFICATION: as above.
        unsafe {
            let plain = _mm512_maskz_loadu_epi8(mask, from.add(at).cast());
            _mm512_mask_storeu_epi8(to.add(at).cast(), mask, _mm512_xor_si512(plain, stream));
        }
        at += WIDE_BYTES;
    }
}

/// The next blocks of the key stream; the counters move on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn key_stream<const N: usize>(keys: &[__m512i; ROUND_KEYS], counters: &mut __m512i) -> [__m512i; N] {
    let big_endian = _mm512_set4_epi32(0x0001_0203, 0x0405_0607, 0x0809_0a0b, 0x0c0d_0e0f);
    let four = _mm512_set_epi64(0, 4, 0, 4, 0, 4, 0, 4);
    let mut blocks: [__m512i; N] = array::from_fn(|_| {
        let block = _mm512_xor_si512(_mm512_shuffle_epi8(*counters, big_endian), keys[0]);
        *counters = _mm512_add_epi64(*counters, four);
        block
    });
    for key in &keys[1..ROUND_KEYS - 1] {
        for block in &mut blocks {
            *block = _mm512_aesenc_epi128(*block, *key);
        }
    }
    for block in &mut blocks {
        *block = _mm512_aesenclast_epi128(*block, keys[ROUND_KEYS - 1]);
    }
    blocks
}

/// The first four counters, each with its lower half first.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn first_counters(counter: u128) -> __m512i {
    let [high, low] = halves(counter);
    let next = |by: i64| low.wrapping_add(by);
    _mm512_set_epi64(high, next(3), high, next(2), high, next(1), high, low)
}

fn halves(counter: u128) -> [i64; 2] {
    let [high, low] = [counter >> 64, counter & u128::from(u64::MAX)];
    [high, low].map(|half| u64::try_from(half).expect("a half has 64 bits").cast_signed())
}

/// The key schedule of FIPS 197 for keys of 256 bits.
#[target_feature(enable = "aes,sse2")]
fn expand(key: &[u8; 32]) -> [[u64; 2]; ROUND_KEYS] {
    let half = |at: usize| u64::from_le_bytes(key[at..at + 8].try_into().expect("eight bytes"));
    let first = [block(half(0), half(8)), block(half(16), half(24))];
    // The instruction takes its constant from the code, so the seven steps cannot be a loop.
    let second = next_keys(first, _mm_aeskeygenassist_si128::<0x01>(first[1]));
    let third = next_keys(second, _mm_aeskeygenassist_si128::<0x02>(second[1]));
    let fourth = next_keys(third, _mm_aeskeygenassist_si128::<0x04>(third[1]));
    let fifth = next_keys(fourth, _mm_aeskeygenassist_si128::<0x08>(fourth[1]));
    let sixth = next_keys(fifth, _mm_aeskeygenassist_si128::<0x10>(fifth[1]));
    let seventh = next_keys(sixth, _mm_aeskeygenassist_si128::<0x20>(sixth[1]));
    let eighth = next_keys(seventh, _mm_aeskeygenassist_si128::<0x40>(seventh[1]));
    let all = [first, second, third, fourth, fifth, sixth, seventh, eighth];
    array::from_fn(|round| words(all[round / 2][round % 2]))
}

/// The two keys behind two keys; `assist` is what the instruction makes of the second one.
#[inline]
#[target_feature(enable = "aes,sse2")]
fn next_keys([even, odd]: [__m128i; 2], assist: __m128i) -> [__m128i; 2] {
    let even = _mm_xor_si128(spread(even), _mm_shuffle_epi32::<0xff>(assist));
    let assist = _mm_aeskeygenassist_si128::<0>(even);
    [even, _mm_xor_si128(spread(odd), _mm_shuffle_epi32::<0xaa>(assist))]
}

/// Every word mixed with those before it.
#[inline]
#[target_feature(enable = "sse2")]
fn spread(key: __m128i) -> __m128i {
    let key = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
    _mm_xor_si128(key, _mm_slli_si128::<8>(key))
}

#[inline]
#[target_feature(enable = "sse2")]
fn block(low: u64, high: u64) -> __m128i {
    _mm_set_epi64x(high.cast_signed(), low.cast_signed())
}

#[inline]
#[target_feature(enable = "sse2")]
fn words(block: __m128i) -> [u64; 2] {
    let high = _mm_unpackhi_epi64(block, block);
    [_mm_cvtsi128_si64(block), _mm_cvtsi128_si64(high)].map(i64::cast_unsigned)
}
