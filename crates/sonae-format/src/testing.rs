//! Entropy as a value, for tests.

use std::sync::atomic::{AtomicU64, Ordering};

use sonae_types::Entropy;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Entropy that counts: every call gives other bytes, every run the same. Never for data.
#[derive(Debug, Default)]
pub struct CountingEntropy(AtomicU64);

impl CountingEntropy {
    /// Entropy that begins elsewhere than another.
    #[must_use]
    pub fn starting_at(start: u64) -> Self {
        Self(AtomicU64::new(start << 32))
    }
}

impl Entropy for CountingEntropy {
    fn fill(&self, into: &mut [u8]) {
        for part in into.chunks_mut(8) {
            let count = self.0.fetch_add(1, Ordering::Relaxed);
            part.copy_from_slice(&xxh3_64_with_seed(&count.to_le_bytes(), 7).to_le_bytes()[..part.len()]);
        }
    }
}
