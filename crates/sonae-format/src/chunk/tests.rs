//! Properties of the cutting, on images made of a few kinds of pages.

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use sonae_types::Digest;

use super::*;

/// An image as runs of equal or counted pages, so that shrinking stays readable.
#[derive(Clone, Debug)]
pub(super) enum Run {
    Zeros(usize),
    Text(u32, usize),
}

pub(super) fn image(runs: &[Run], tail: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for run in runs {
        match run {
            Run::Zeros(pages) => bytes.resize(bytes.len() + pages * PAGE_BYTES, 0),
            Run::Text(seed, pages) => {
                for page in 0..*pages {
                    let word = u64::from(*seed) << 32 | page as u64 | 1 << 63;
                    bytes.extend(word.to_le_bytes().repeat(PAGE_BYTES / 8));
                }
            }
        }
    }
    bytes.resize(bytes.len() + tail, 0x5a);
    bytes
}

pub(super) fn runs() -> impl Strategy<Value = Vec<Run>> {
    let run = prop_oneof![
        (1..200usize).prop_map(Run::Zeros),
        (any::<u32>(), 1..300usize).prop_map(|(s, n)| Run::Text(s, n))
    ];
    proptest::collection::vec(run, 0..8)
}

pub(super) fn cut(image: &[u8], target: ChunkTarget) -> Vec<Piece> {
    let mut cutter = Cutter::new(ChunkSeed::of_polynomial("3da3358b4dc173"), target);
    let mut pieces = Vec::new();
    for page in image.chunks(PAGE_BYTES) {
        cutter.page(page, &mut pieces);
    }
    cutter.finish(&mut pieces);
    pieces
}

pub(super) fn len(piece: Piece) -> u64 {
    match piece {
        Piece::Data(len) | Piece::Zeros(len) => len,
    }
}

pub(super) fn small() -> ChunkTarget {
    ChunkTarget::new(64 << 10).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn chunks_joined_give_the_image_and_only_zeros_are_called_zeros(runs in runs(), tail in 0..PAGE_BYTES) {
        let image = image(&runs, tail);
        let mut at = 0;
        for piece in cut(&image, small()) {
            let end = at + usize::try_from(len(piece)).unwrap();
            prop_assert!(at < end && end <= image.len());
            match piece {
                Piece::Zeros(len) => {
                    prop_assert!(is_zero(&image[at..end]));
                    prop_assert!(len <= ZERO_CHUNK_BYTES_MAX);
                }
                Piece::Data(len) => prop_assert!(len <= small().max_bytes()),
            }
            at = end;
        }
        prop_assert_eq!(at, image.len());
    }

    #[test]
    fn no_long_run_of_zero_pages_stays_inside_a_data_chunk(runs in runs()) {
        let image = image(&runs, 0);
        let mut at = 0;
        for piece in cut(&image, small()) {
            let end = at + usize::try_from(len(piece)).unwrap();
            if let Piece::Data(_) = piece {
                let zeros = image[at..end].chunks(PAGE_BYTES).map(is_zero).collect::<Vec<_>>();
                let longest = zeros.split(|zero| !zero).map(<[bool]>::len).max().unwrap_or(0);
                prop_assert!((longest * PAGE_BYTES) < 64 << 10);
            }
            at = end;
        }
    }

    /// After a long run of zeros the cutting has no memory, so the same pages are cut alike on any disk at any place.
    #[test]
    fn the_same_pages_give_the_same_cuts_wherever_they_lie(before in runs(), other in runs(), same in runs()) {
        let gap = Run::Zeros(400);
        let tail = |front: &[Run]| {
            let whole = image(&[front, &[gap.clone(), Run::Text(7, 1)], &same].concat(), 0);
            let from = whole.len() - image(&[&[Run::Text(7, 1)], same.as_slice()].concat(), 0).len();
            let mut at = 0;
            cut(&whole, small()).into_iter().filter(|piece| { let keep = from <= at; at += usize::try_from(len(*piece)).unwrap(); keep && matches!(piece, Piece::Data(_)) }).collect::<Vec<_>>()
        };
        prop_assert_eq!(tail(&before), tail(&other));
    }

    #[test]
    fn pages_known_to_be_zero_cut_like_pages_read_as_zero(runs in runs()) {
        let mut cutter = Cutter::new(ChunkSeed::of_polynomial("3da3358b4dc173"), small());
        let mut pieces = Vec::new();
        for run in &runs {
            match run {
                Run::Zeros(pages) => cutter.zeros((pages * PAGE_BYTES) as u64, &mut pieces),
                Run::Text(..) => image(std::slice::from_ref(run), 0).chunks(PAGE_BYTES).for_each(|page| cutter.page(page, &mut pieces)),
            }
        }
        cutter.finish(&mut pieces);
        prop_assert_eq!(pieces, cut(&image(&runs, 0), small()));
    }
}

#[test]
fn the_first_long_run_of_zeros_begins_with_the_chunk_that_restic_knows() {
    let pages = |bytes: u64| Run::Zeros(usize::try_from(bytes).unwrap() / PAGE_BYTES);
    let pieces = cut(
        &image(&[pages(256 << 10), Run::Text(1, 1), pages(9 << 20), Run::Text(2, 1), pages(1 << 20)], 0),
        small(),
    );
    let zeros = pieces
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Zeros(len) => Some(len >> 10),
            Piece::Data(_) => None,
        })
        .collect::<Vec<_>>();
    assert_eq!(zeros, [256, 512, 4096, 4096, 512, 1024]);
}

#[test]
fn larger_disks_get_larger_chunks() {
    let target = |gib: u64| ChunkTarget::for_disk(ByteCount::gib(gib)).bytes() >> 10;
    assert_eq!(
        [0, 1, 512, 513, 2048, 2049, 8192, 8193].map(target),
        [128, 128, 128, 256, 256, 512, 512, 1024]
    );
}

#[test]
fn ids_of_zero_chunks_are_the_hashes_of_their_zeros() {
    for len in [0, 1, 511, 512, 4095, 4096, 4097, 65536, 524_288, 1 << 20, (4 << 20) - 1, 4 << 20] {
        let zeros = vec![0; usize::try_from(len).unwrap()];
        assert_eq!(ZERO_IDS.id(len), Digest::new(Sha256::digest(zeros).into()), "{len}");
    }
}
