//! The disk that only few repositories can take: 1 TiB, of which 20 GiB are data, none of it twice.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::content::Lines;
use super::random::Random;
use super::sparse;

const DISK_BYTES: u64 = 1 << 40;
const DATA_BYTES: u64 = 20 << 30;
/// One stretch of data; the rest between two of them is a hole.
const STRETCH_BYTES: u64 = 64 << 20;
const PIECE_LEN: usize = 1 << 20;
const PIECE_BYTES: u64 = 1 << 20;
const PAGE_LEN: usize = 4096;
/// Of eight MiB, the number that does not compress.
const NOISE_OF_EIGHT: u64 = 1;

/// Writes the disk to a new file.
pub(crate) fn write(path: &Path, seed: u64) -> io::Result<()> {
    let file = sparse::create(path, DISK_BYTES)?;
    let mut random = Random::of(seed, "huge", 0);
    let text = text(&mut random);
    for start in stretches(&mut random) {
        for piece in 0..STRETCH_BYTES / PIECE_BYTES {
            let bytes =
                if piece % 8 < NOISE_OF_EIGHT { noise(&mut random) } else { words(&text, &mut random) };
            file.write_all_at(&bytes, start + piece * PIECE_BYTES)?;
        }
    }
    file.sync_all()
}

/// Where the stretches start: one at a chance place of each equal part of the disk, on a page border.
fn stretches(random: &mut Random) -> Vec<u64> {
    let count = DATA_BYTES / STRETCH_BYTES;
    let (part, page) = (DISK_BYTES / count, 4096);
    (0..count).map(|n| n * part / page * page + random.below((part - STRETCH_BYTES) / page) * page).collect()
}

/// Two pieces of log text, from which every piece takes another window.
fn text(random: &mut Random) -> Vec<u8> {
    let mut text = Vec::with_capacity(2 * PIECE_LEN + PAGE_LEN);
    let mut lines = Lines::new(random);
    while text.len() < 2 * PIECE_LEN {
        text.extend(lines.next_line().as_bytes());
    }
    text
}

/// A piece that does not compress.
fn noise(random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![0; PIECE_LEN];
    random.fill(&mut bytes);
    bytes
}

/// A piece of text with a mark of its own on every page.
fn words(text: &[u8], random: &mut Random) -> Vec<u8> {
    let from = usize::try_from(random.below(PIECE_BYTES)).expect("an index fits memory");
    let mut bytes = text[from..from + PIECE_LEN].to_vec();
    for page in bytes.chunks_mut(PAGE_LEN) {
        random.fill(&mut page[..16]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_apart_and_inside_the_disk() {
        let stretches = stretches(&mut Random::of(1, "huge", 0));
        assert_eq!(stretches.len(), 320);
        assert!(stretches.windows(2).all(|pair| pair[0] + STRETCH_BYTES <= pair[1]));
        assert!(stretches.iter().all(|start| start % 4096 == 0 && start + STRETCH_BYTES <= DISK_BYTES));
    }

    #[test]
    fn no_two_pages_are_alike() {
        let mut random = Random::of(1, "huge", 0);
        let text = text(&mut random);
        let mut bytes = noise(&mut random);
        (0..3).for_each(|_| bytes.extend(words(&text, &mut random)));
        let mut pages: Vec<&[u8]> = bytes.chunks(PAGE_LEN).collect();
        let all = pages.len();
        pages.sort_unstable();
        pages.dedup();
        assert_eq!(pages.len(), all);
    }
}
