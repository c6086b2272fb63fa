//! The corpus's only source of chance: xoshiro256**, seeded through splitmix64.
//!
//! Own code, because the bytes of a corpus must stay the same for as long as its seed does, whatever a library
//! decides about its stream. Not for secrets.

/// A stream of pseudo-random numbers that its seed decides.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of one purpose and number under a seed; streams of different purposes are independent.
    pub(crate) fn of(seed: u64, purpose: &str, number: u64) -> Self {
        let name = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut spread = seed ^ name.rotate_left(17) ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self { state: std::array::from_fn(|_| splitmix(&mut spread)) }
    }

    /// The next 64 bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `limit`, which is not zero.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        let wide = (u128::from(self.next_u64()) * u128::from(limit)) >> 64;
        u64::try_from(wide).expect("the upper half of a 128-bit product fits 64 bits")
    }

    /// One of several things.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        let at = self.below(u64::try_from(from.len()).expect("a length fits 64 bits"));
        from[usize::try_from(at).expect("an index fits memory")]
    }

    /// Fills a buffer with bytes that no compressor shrinks.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            part.copy_from_slice(&bytes[..part.len()]);
        }
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_gives_the_published_numbers() {
        let mut state = 1_234_567;
        assert_eq!(
            [splitmix(&mut state), splitmix(&mut state), splitmix(&mut state)],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn xoshiro_gives_the_published_numbers() {
        let mut random = Random { state: [1, 2, 3, 4] };
        let first: Vec<u64> = (0..4).map(|_| random.next_u64()).collect();
        assert_eq!(first, [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
    }

    #[test]
    fn the_same_seed_gives_the_same_stream_and_another_purpose_another() {
        let take = |purpose, number| {
            let mut random = Random::of(20_191_204, purpose, number);
            std::array::from_fn::<u64, 4, _>(|_| random.next_u64())
        };
        assert_eq!(take("register", 1), take("register", 1));
        assert_ne!(take("register", 1), take("register", 2));
        assert_ne!(take("register", 1), take("scan", 1));
    }

    #[test]
    fn numbers_stay_below_their_limit_and_reach_all_of_it() {
        let mut random = Random::of(1, "limit", 0);
        let mut seen = [0_u32; 5];
        for _ in 0..500 {
            seen[usize::try_from(random.below(5)).expect("small")] += 1;
        }
        assert!(seen.iter().all(|&times| 50 < times), "{seen:?}");
    }

    #[test]
    fn a_short_buffer_is_the_start_of_a_long_one() {
        let (mut short, mut long) = ([0_u8; 13], [0_u8; 64]);
        Random::of(7, "fill", 0).fill(&mut short);
        Random::of(7, "fill", 0).fill(&mut long);
        assert_eq!(short[..8], long[..8]);
        assert_eq!(short[8..13], long[8..13]);
    }
}
