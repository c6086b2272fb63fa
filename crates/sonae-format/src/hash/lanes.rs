//! Sixteen messages hashed side by side: every register of AVX-512 holds the same word of sixteen messages. Which message
//! is in which lane, and unsafe code (docs/adr/0006): a call that the processor must support, and a load.
#![expect(
    unsafe_code,
    reason = "the compiler cannot know the processor, and a load into a register takes a pointer"
)]

use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_cvtsi512_si32, _mm512_loadu_si512, _mm512_mask_mov_epi32,
    _mm512_maskz_compress_epi32, _mm512_ror_epi32, _mm512_set1_epi32, _mm512_set4_epi32, _mm512_shuffle_epi8,
    _mm512_shuffle_i32x4, _mm512_srli_epi32, _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};
use std::array;
use std::cmp::Reverse;

use sha2::block_api::compress256;
use sonae_types::Digest;

/// With fewer messages left than this, one after the other is faster than side by side.
///
/// A pass over sixteen lanes costs the same however many of them are in use. Measured: decision record 0006.
pub(super) const LANES_MIN: usize = 8;

/// Messages side by side: words of 32 bits in a register of 512.
const LANES: usize = 16;

/// Where the length of the message begins in its last block.
const LENGTH_AT: usize = 56;

/// What the standard calls a block: the bytes that are mixed in at once.
type Block = [u8; 64];

/// The proof that this processor has the instructions this module is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

/// One message on its way: the whole blocks of it that are left, then its padding.
struct Lane<'m> {
    /// Its place among the messages.
    message: usize,
    whole: &'m [Block],
    /// The end of the message as the standard pads it, in the last one or two blocks of these two.
    padded: [u8; 128],
    padded_left: usize,
}

/// The eight words of the hash of every lane.
struct States([__m512i; 8]);

impl Avx512 {
    /// The proof, if this processor gives it.
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")).then_some(Self(()))
    }

    /// The SHA-256 of each message; `out` is as long as `messages`.
    pub(super) fn sha256_each(self, messages: &[&[u8]], out: &mut [Digest]) {
        // SAFETY: the function needs avx512f and avx512bw, nothing else; a `self` is made only by `detect`, which has
        // asked the processor for both.
        // JUSTIFICATION: whether a processor has an instruction is known at run time only, so no safe call exists.
        unsafe { hash_each(messages, out) }
    }
}

impl<'m> Lane<'m> {
    fn new(message: usize, bytes: &'m [u8]) -> Self {
        let (whole, rest) = bytes.as_chunks();
        let padded_left = if rest.len() < LENGTH_AT { 1 } else { 2 };
        let begin = (2 - padded_left) * size_of::<Block>();
        let mut padded = [0; 128];
        padded[begin..begin + rest.len()].copy_from_slice(rest);
        padded[begin + rest.len()] = 0x80;
        let bits = bytes.len() as u64 * 8;
        padded[64 + LENGTH_AT..].copy_from_slice(&bits.to_be_bytes());
        Self { message, whole, padded, padded_left }
    }

    /// The blocks that come next; empty only at the end.
    fn ahead(&self) -> &[Block] {
        if self.whole.is_empty() { &self.padded.as_chunks().0[2 - self.padded_left..] } else { self.whole }
    }

    /// Steps over as many of the blocks ahead.
    fn pass(&mut self, blocks: usize) {
        if self.whole.is_empty() {
            self.padded_left -= blocks;
        } else {
            self.whole = &self.whole[blocks..];
        }
    }

    fn is_done(&self) -> bool {
        self.ahead().is_empty()
    }
}

impl States {
    #[target_feature(enable = "avx512f,avx512bw")]
    fn new() -> Self {
        Self(INITIAL.map(|word| _mm512_set1_epi32(word.cast_signed())))
    }

    /// Makes one lane ready for a new message.
    #[target_feature(enable = "avx512f,avx512bw")]
    fn begin(&mut self, lane: usize) {
        for (words, initial) in self.0.iter_mut().zip(INITIAL) {
            *words = _mm512_mask_mov_epi32(*words, 1 << lane, _mm512_set1_epi32(initial.cast_signed()));
        }
    }

    /// The hash of one lane as it stands.
    #[target_feature(enable = "avx512f,avx512bw")]
    fn of(&self, lane: usize) -> [u32; 8] {
        let mut state = [0; 8];
        for (word, words) in state.iter_mut().zip(self.0) {
            *word = _mm512_cvtsi512_si32(_mm512_maskz_compress_epi32(1 << lane, words)).cast_unsigned();
        }
        state
    }
}

/// The longest messages come first, so that the lanes end close together; the few that are left over then are finished
/// one by one.
#[target_feature(enable = "avx512f,avx512bw")]
fn hash_each(messages: &[&[u8]], out: &mut [Digest]) {
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_unstable_by_key(|message| Reverse(messages[*message].len()));
    let mut waiting = order.into_iter();
    let mut lanes: [Option<Lane<'_>>; LANES] = array::from_fn(|_| None);
    let mut states = States::new();
    loop {
        for (at, lane) in lanes.iter_mut().enumerate().filter(|(_, lane)| lane.is_none()) {
            if let Some(message) = waiting.next() {
                *lane = Some(Lane::new(message, messages[message]));
                states.begin(at);
            }
        }
        if lanes.iter().flatten().count() < LANES_MIN {
            break;
        }
        run(&mut states, &mut lanes);
        for (at, lane) in lanes.iter_mut().enumerate() {
            if let Some(done) = lane.take_if(|lane| lane.is_done()) {
                out[done.message] = digest(states.of(at));
            }
        }
    }
    for (at, lane) in lanes.iter_mut().enumerate() {
        if let Some(mut lane) = lane.take() {
            let mut state = states.of(at);
            while !lane.is_done() {
                compress256(&mut state, lane.ahead());
                lane.pass(lane.ahead().len());
            }
            out[lane.message] = digest(state);
        }
    }
}

/// Goes on in all lanes until the first of them has no blocks ahead.
#[target_feature(enable = "avx512f,avx512bw")]
fn run(states: &mut States, lanes: &mut [Option<Lane<'_>>; LANES]) {
    let Some(shortest) = lanes.iter().flatten().map(Lane::ahead).min_by_key(|blocks| blocks.len()) else {
        return;
    };
    let count = shortest.len();
    // An empty lane hashes what another one hashes; nobody asks for its result.
    let blocks = array::from_fn(|at| lanes[at].as_ref().map_or(shortest, |lane| &lane.ahead()[..count]));
    compress(states, &blocks, count);
    for lane in lanes.iter_mut().flatten() {
        lane.pass(count);
    }
}

/// Mixes `count` blocks into the hash of every lane.
#[target_feature(enable = "avx512f,avx512bw")]
fn compress(states: &mut States, blocks: &[&[Block]; LANES], count: usize) {
    let mut state = states.0;
    for at in 0..count {
        let mixed = rounds(state, transpose(rows(blocks, at)));
        for (words, mixed) in state.iter_mut().zip(mixed) {
            *words = _mm512_add_epi32(*words, mixed);
        }
    }
    states.0 = state;
}

/// One round of the standard; the caller turns the letters instead of moving the words.
macro_rules! round {
    ($k:expr, $w:expr; $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
        let known = _mm512_add_epi32(_mm512_add_epi32($h, $w), _mm512_set1_epi32($k.cast_signed()));
        let chosen = _mm512_ternarylogic_epi32::<0xca>($e, $f, $g);
        let big_1 = xor(_mm512_ror_epi32::<6>($e), _mm512_ror_epi32::<11>($e), _mm512_ror_epi32::<25>($e));
        let first = _mm512_add_epi32(_mm512_add_epi32(known, chosen), big_1);
        let majority = _mm512_ternarylogic_epi32::<0xe8>($a, $b, $c);
        let big_0 = xor(_mm512_ror_epi32::<2>($a), _mm512_ror_epi32::<13>($a), _mm512_ror_epi32::<22>($a));
        $d = _mm512_add_epi32($d, first);
        $h = _mm512_add_epi32(_mm512_add_epi32(first, majority), big_0);
    };
}

/// Eight rounds from `$t` on, after which every letter is its own again. `$word` gives the word of the message for round
/// `$t`, and may make it first.
macro_rules! eight_rounds {
    ($k:ident, $word:ident, $t:literal; $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
        round!($k[$t], $word!($t); $a $b $c $d $e $f $g $h);
        round!($k[$t + 1], $word!($t + 1); $h $a $b $c $d $e $f $g);
        round!($k[$t + 2], $word!($t + 2); $g $h $a $b $c $d $e $f);
        round!($k[$t + 3], $word!($t + 3); $f $g $h $a $b $c $d $e);
        round!($k[$t + 4], $word!($t + 4); $e $f $g $h $a $b $c $d);
        round!($k[$t + 5], $word!($t + 5); $d $e $f $g $h $a $b $c);
        round!($k[$t + 6], $word!($t + 6); $c $d $e $f $g $h $a $b);
        round!($k[$t + 7], $word!($t + 7); $b $c $d $e $f $g $h $a);
    };
}

/// The 64 rounds over one block of every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rounds(state: [__m512i; 8], mut w: [__m512i; 16]) -> [__m512i; 8] {
    macro_rules! given {
        ($t:expr) => {
            w[$t]
        };
    }
    macro_rules! expanded {
        ($t:expr) => {{
            w[$t] = _mm512_add_epi32(
                _mm512_add_epi32(w[$t], w[($t + 9) % 16]),
                _mm512_add_epi32(small_0(w[($t + 1) % 16]), small_1(w[($t + 14) % 16])),
            );
            w[$t]
        }};
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
    let (first, later) = (&ROUND[0], &ROUND[1..]);
    eight_rounds!(first, given, 0; a b c d e f g h);
    eight_rounds!(first, given, 8; a b c d e f g h);
    for k in later {
        eight_rounds!(k, expanded, 0; a b c d e f g h);
        eight_rounds!(k, expanded, 8; a b c d e f g h);
    }
    [a, b, c, d, e, f, g, h]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn small_0(word: __m512i) -> __m512i {
    xor(_mm512_ror_epi32::<7>(word), _mm512_ror_epi32::<18>(word), _mm512_srli_epi32::<3>(word))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn small_1(word: __m512i) -> __m512i {
    xor(_mm512_ror_epi32::<17>(word), _mm512_ror_epi32::<19>(word), _mm512_srli_epi32::<10>(word))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn xor(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0x96>(a, b, c)
}

/// One block of every lane. Written out because the compiler leaves a loop over the lanes a loop, through memory.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rows(blocks: &[&[Block]; LANES], at: usize) -> [__m512i; LANES] {
    let row = |lane: usize| load(&blocks[lane][at]);
    [
        row(0),
        row(1),
        row(2),
        row(3),
        row(4),
        row(5),
        row(6),
        row(7),
        row(8),
        row(9),
        row(10),
        row(11),
        row(12),
        row(13),
        row(14),
        row(15),
    ]
}

/// The sixteen words of a block, most significant byte first as the standard reads them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(block: &Block) -> __m512i {
    // SAFETY: the load reads 64 bytes from the pointer on and asks for no alignment; a block is 64 bytes, borrowed here.
    // JUSTIFICATION: std has no load into such a register that takes a reference instead of a pointer.
    let bytes = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
    let swap = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    _mm512_shuffle_epi8(bytes, swap)
}

/// From one register per lane to one register per word.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
    let mut pairs = rows;
    for i in (0..16).step_by(2) {
        pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    let mut fours = pairs;
    for i in (0..16).step_by(4) {
        fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    // Quarter q of fours[4 * g + j] now holds word 4 * q + j of the lanes 4 * g to 4 * g + 3.
    let mut words = fours;
    for j in 0..4 {
        let even_low = _mm512_shuffle_i32x4::<0x88>(fours[j], fours[4 + j]);
        let even_high = _mm512_shuffle_i32x4::<0x88>(fours[8 + j], fours[12 + j]);
        let odd_low = _mm512_shuffle_i32x4::<0xdd>(fours[j], fours[4 + j]);
        let odd_high = _mm512_shuffle_i32x4::<0xdd>(fours[8 + j], fours[12 + j]);
        words[j] = _mm512_shuffle_i32x4::<0x88>(even_low, even_high);
        words[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd_low, odd_high);
        words[8 + j] = _mm512_shuffle_i32x4::<0xdd>(even_low, even_high);
        words[12 + j] = _mm512_shuffle_i32x4::<0xdd>(odd_low, odd_high);
    }
    words
}

fn digest(state: [u32; 8]) -> Digest {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    Digest::new(bytes)
}

/// FIPS 180-4, 5.3.3: the hash before the first block.
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// FIPS 180-4, 4.2.2: the constants of the rounds, sixteen to a row.
#[rustfmt::skip]
const ROUND: [[u32; 16]; 4] = [
    [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    ],
    [
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    ],
    [
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    ],
    [
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
    ],
];
