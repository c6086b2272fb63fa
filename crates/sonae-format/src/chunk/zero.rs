//! Zeros: recognising them, and the ids of zero chunks without hashing them again and again.

use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};
use sonae_types::Digest;

use super::{PAGE_BYTES, ZERO_CHUNK_BYTES_MAX};

/// Whether every byte is zero. Stops at the first few bytes of nearly all pages that hold data.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<64>();
    blocks.iter().all(|block| block.iter().fold(0, |seen, byte| seen | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

/// The ids of zero chunks, for everybody who meets one.
pub static ZERO_IDS: ZeroIds = ZeroIds { by_pages: OnceLock::new() };

/// The ids of zero chunks by length: one pass over the longest chunk yields those of all whole pages.
#[derive(Debug)]
pub struct ZeroIds {
    by_pages: OnceLock<Vec<Digest>>,
}

impl ZeroIds {
    /// The id of a chunk of `len` zero bytes, at most [`ZERO_CHUNK_BYTES_MAX`].
    #[must_use]
    pub fn id(&self, len: u64) -> Digest {
        assert!(len <= ZERO_CHUNK_BYTES_MAX, "a zero chunk of {len} bytes is longer than the format allows");
        let whole_pages = self.by_pages.get_or_init(ids_of_whole_pages);
        let page = PAGE_BYTES as u64;
        if len.is_multiple_of(page) {
            return whole_pages[usize::try_from(len / page).expect("at most 1024 pages")];
        }
        // Only the odd tail of a disk comes here, once a disk.
        let mut hash = Sha256::new();
        let mut left = usize::try_from(len).expect("at most 4 MiB");
        while 0 < left {
            let part = left.min(PAGE_BYTES);
            hash.update(&[0; PAGE_BYTES][..part]);
            left -= part;
        }
        Digest::new(hash.finalize().into())
    }
}

fn ids_of_whole_pages() -> Vec<Digest> {
    let pages = usize::try_from(ZERO_CHUNK_BYTES_MAX).expect("4 MiB") / PAGE_BYTES;
    let mut hash = Sha256::new();
    let mut ids = vec![Digest::new(hash.clone().finalize().into())];
    for _ in 0..pages {
        hash.update([0; PAGE_BYTES]);
        ids.push(Digest::new(hash.clone().finalize().into()));
    }
    ids
}
