//! What differs between two chunk lists of a disk, without reading any data.

use crate::chunk::Stretch;
use crate::ingest::Chunk;

/// The stretches of the new disk that may differ from the old one, to the grain of chunks: what lies outside is the same.
///
/// Zeros are the same however they were cut. Beyond the end of the old disk everything differs.
#[must_use]
pub fn differences(old: &[Chunk], new: &[Chunk]) -> Vec<Stretch> {
    let mut found = Vec::<Stretch>::new();
    let mut olds = old.iter().scan(0, placed).peekable();
    for (chunk, at, end) in new.iter().scan(0, placed) {
        let mut from = at;
        while from < end {
            while olds.next_if(|(_, _, old_end)| *old_end <= from).is_some() {}
            let (same, to) = match olds.peek() {
                None => (false, end),
                Some((old, old_at, old_end)) => {
                    let same = (old.id == chunk.id && *old_at == at) || (old.is_zeros() && chunk.is_zeros());
                    (same, end.min(*old_end))
                }
            };
            if !same {
                match found.last_mut().filter(|last| last.end == from) {
                    Some(last) => last.end = to,
                    None => found.push(Stretch { start: from, end: to }),
                }
            }
            from = to;
        }
    }
    found
}

/// The chunk with its place.
#[expect(clippy::unnecessary_wraps, reason = "the form that `scan` asks for")]
fn placed<'c>(at: &mut u64, chunk: &'c Chunk) -> Option<(&'c Chunk, u64, u64)> {
    let start = *at;
    *at += u64::from(chunk.len);
    Some((chunk, start, *at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::{Changed, ZERO_IDS};
    use crate::hash::sha256;

    /// Chunks of small disks: each number is a chunk of that many bytes of that kind, zero being zeros.
    fn chunks(kinds: &[(u8, u8)]) -> (Vec<Chunk>, Vec<u8>) {
        let mut bytes = Vec::new();
        let chunks = kinds.iter().map(|(kind, len)| {
            let content = vec![*kind; usize::from(*len)];
            bytes.extend(&content);
            let id = if *kind == 0 { ZERO_IDS.id(u64::from(*len)) } else { sha256(&content) };
            Chunk { id, len: u32::from(*len) }
        });
        (chunks.collect(), bytes)
    }

    proptest! {
        #[test]
        fn outside_the_differences_both_disks_are_the_same(
            old in proptest::collection::vec((0..3u8, 1..9u8), 0..12),
            new in proptest::collection::vec((0..3u8, 1..9u8), 0..12),
        ) {
            let ((old, old_bytes), (new, new_bytes)) = (chunks(&old), chunks(&new));
            let found = differences(&old, &new);
            for (at, byte) in new_bytes.iter().enumerate() {
                let told = found.iter().any(|s| s.start <= at as u64 && (at as u64) < s.end);
                prop_assert!(told || old_bytes.get(at) == Some(byte), "byte {}", at);
            }
            for pair in found.windows(2) {
                prop_assert!(pair[0].end < pair[1].start);
            }
            prop_assert!(Changed::new(new_bytes.len() as u64, found.iter().map(|s| (s.start, s.end - s.start))).is_ok());
            prop_assert_eq!(differences(&new, &new), []);
        }
    }
}
