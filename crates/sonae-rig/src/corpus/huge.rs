//! The disk that only few repositories can take: 1 TiB, of which 20 GiB are data, none of it twice.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::content::Lines;
use super::random::Random;
use super::sparse;

/// The disk and what lies on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    disk_bytes: u64,
    data_bytes: u64,
    /// One stretch of data; the rest between two of them is a hole.
    stretch_bytes: u64,
}

/// The one that is measured.
pub(crate) const HUGE: Shape = Shape { disk_bytes: 1 << 40, data_bytes: 20 << 30, stretch_bytes: 64 << 20 };

const PIECE_LEN: usize = 1 << 20;
const PIECE_BYTES: u64 = 1 << 20;
const PAGE_LEN: usize = 4096;
/// Of eight MiB, the number that does not compress.
const NOISE_OF_EIGHT: u64 = 1;

/// Writes the disk to a new file.
pub(crate) fn write(path: &Path, shape: Shape, seed: u64) -> io::Result<()> {
    let file = sparse::create(path, shape.disk_bytes)?;
    let mut random = Random::of(seed, "huge", 0);
    let text = text(&mut random);
    for start in stretches(shape, &mut random) {
        for piece in 0..shape.stretch_bytes / PIECE_BYTES {
            let bytes =
                if piece % 8 < NOISE_OF_EIGHT { noise(&mut random) } else { words(&text, &mut random) };
            file.write_all_at(&bytes, start + piece * PIECE_BYTES)?;
        }
    }
    file.sync_all()
}

/// Where the stretches start: one at a chance place of each equal part of the disk, on a page border.
fn stretches(shape: Shape, random: &mut Random) -> Vec<u64> {
    let count = shape.data_bytes / shape.stretch_bytes;
    let (part, page) = (shape.disk_bytes / count, 4096);
    (0..count)
        .map(|n| n * part / page * page + random.below((part - shape.stretch_bytes) / page) * page)
        .collect()
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
        let stretches = stretches(HUGE, &mut Random::of(1, "huge", 0));
        assert_eq!(stretches.len(), 320);
        assert!(stretches.windows(2).all(|pair| pair[0] + HUGE.stretch_bytes <= pair[1]));
        assert!(
            stretches.iter().all(|start| start % 4096 == 0 && start + HUGE.stretch_bytes <= HUGE.disk_bytes)
        );
    }

    #[test]
    fn the_disk_has_its_length_and_no_more_than_its_data() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("disk");
        let shape = Shape { disk_bytes: 1 << 30, data_bytes: 4 << 20, stretch_bytes: 2 << 20 };
        write(&path, shape, 1).expect("a disk");
        assert_eq!(path.metadata().expect("stat").len(), 1 << 30);
        let room = sparse::allocated_bytes(&path).expect("stat");
        assert!((4 << 20..5 << 20).contains(&room), "{room}");
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
