//! SHA-256 of one message or of many. How many at once are hashed, and by which instructions, is decided here and changes
//! no answer; what an id is an id of is decided by the callers.

use sha2::{Digest as _, Sha256};
use sonae_types::Digest;

#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(test)]
mod tests;

/// The way to the hashes. Every way gives the same ones.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// One message after the other; the `sha2` crate finds the instructions of the processor for that.
    OneByOne,
    /// Sixteen messages side by side in the registers of AVX-512.
    #[cfg(target_arch = "x86_64")]
    Lanes(lanes::Avx512),
}

/// The SHA-256 of each message, in order.
///
/// What `out` held before is gone. Messages of any length may come together; the more there are, the less each byte costs,
/// where the processor has AVX-512.
pub fn sha256_each(messages: &[&[u8]], out: &mut Vec<Digest>) {
    sha256_each_by(Way::choose(messages.len()), messages, out);
}

/// The SHA-256 of one message.
#[must_use]
pub fn sha256(message: &[u8]) -> Digest {
    Digest::new(Sha256::digest(message).into())
}

impl Way {
    /// The fastest way for this many messages on this processor.
    fn choose(messages: usize) -> Self {
        #[cfg(target_arch = "x86_64")]
        if lanes::LANES_MIN <= messages
            && let Some(processor) = lanes::Avx512::detect()
        {
            return Self::Lanes(processor);
        }
        let _ = messages;
        Self::OneByOne
    }
}

fn sha256_each_by(way: Way, messages: &[&[u8]], out: &mut Vec<Digest>) {
    out.clear();
    match way {
        Way::OneByOne => out.extend(messages.iter().map(|message| sha256(message))),
        #[cfg(target_arch = "x86_64")]
        Way::Lanes(processor) => {
            out.resize(messages.len(), Digest::new([0; 32]));
            processor.sha256_each(messages, out);
        }
    }
}
