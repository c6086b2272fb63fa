//! The chunker polynomial of a repository: irreducible over GF(2), of degree 53.
//!
//! Our own cutting only takes its text as a seed, but plain restic cuts by it, and its `backup` refuses to start with a
//! polynomial that is not irreducible.

use sonae_types::Entropy;

/// The degree restic's `init` chooses.
const DEGREE: u32 = 53;

/// A random irreducible polynomial as restic writes it: hexadecimal, no leading zeros.
pub fn random_polynomial(entropy: &dyn Entropy) -> String {
    loop {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes);
        // The highest coefficient fixes the degree; without the lowest one it would be divisible by x.
        let candidate = u64::from_le_bytes(bytes) & ((1 << DEGREE) - 1) | 1 << DEGREE | 1;
        if is_irreducible(candidate) {
            return format!("{candidate:x}");
        }
    }
}

/// Ben-Or's test: no common factor with x^(2^i) - x for i up to half the degree.
fn is_irreducible(polynomial: u64) -> bool {
    let Some(degree) = polynomial.checked_ilog2() else { return false };
    let mut power = 2;
    for _ in 1..=degree / 2 {
        power = multiply(power, power, polynomial);
        if gcd(polynomial, power ^ 2) != 1 {
            return false;
        }
    }
    0 < degree
}

/// The product of two polynomials, modulo a third.
fn multiply(a: u64, mut b: u64, modulus: u64) -> u64 {
    let mut product = 0;
    let mut a = remainder(a, modulus);
    let top = 1 << modulus.ilog2();
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        b >>= 1;
        a <<= 1;
        if a & top != 0 {
            a ^= modulus;
        }
    }
    product
}

fn remainder(mut a: u64, modulus: u64) -> u64 {
    let degree = modulus.ilog2();
    while let Some(high) = a.checked_ilog2().filter(|high| degree <= *high) {
        a ^= modulus << (high - degree);
    }
    a
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, remainder(a, b));
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::CountingEntropy;

    #[test]
    fn the_test_agrees_with_trial_division_on_every_small_polynomial() {
        for polynomial in 2..2048u64 {
            let divisible =
                (2..polynomial).any(|d| d.ilog2() * 2 <= polynomial.ilog2() && remainder(polynomial, d) == 0);
            assert_eq!(is_irreducible(polynomial), !divisible, "{polynomial:b}");
        }
        // A polynomial that restic's own documentation shows.
        assert!(is_irreducible(0x25_b468_838d_cb75));
    }

    #[test]
    fn new_polynomials_have_degree_53_and_differ() {
        let entropy = CountingEntropy::default();
        let (one, two) = (random_polynomial(&entropy), random_polynomial(&entropy));
        assert_ne!(one, two);
        assert_eq!(u64::from_str_radix(&one, 16).unwrap().ilog2(), DEGREE);
    }
}
