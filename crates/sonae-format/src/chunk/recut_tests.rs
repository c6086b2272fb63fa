//! Cutting again where a disk changed gives what cutting it whole gives.

use proptest::prelude::*;

use super::tests::{Run, cut, image, len, runs, small};
use super::*;

/// A stretch of pages that is overwritten, as parts of a thousand of the disk.
#[derive(Clone, Debug)]
struct Change {
    at: usize,
    pages: usize,
    with: With,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum With {
    Text(u32),
    Zeros,
    /// Said to have changed, and did not.
    Same,
}

fn changes(with: impl Strategy<Value = With> + 'static) -> impl Strategy<Value = Vec<Change>> {
    let change = (0..1000usize, prop_oneof![1..4usize, 1..120usize], with)
        .prop_map(|(at, pages, with)| Change { at, pages, with });
    proptest::collection::vec(change, 0..6)
}

fn apply(old: &[u8], changes: &[Change]) -> (Vec<u8>, Changed) {
    let mut new = old.to_vec();
    let mut ranges = Vec::new();
    for change in changes.iter().filter(|_| !old.is_empty()) {
        let at = old.len() * change.at / 1000;
        let end = (at + change.pages * PAGE_BYTES - change.at % PAGE_BYTES).min(old.len());
        match change.with {
            With::Zeros => new[at..end].fill(0),
            With::Text(seed) => new[at..end].iter_mut().enumerate().for_each(|(n, byte)| {
                *byte = seed.to_le_bytes()[n % 4] | 1;
            }),
            With::Same => {}
        }
        ranges.push((at as u64, (end - at) as u64));
    }
    (new, Changed::new(old.len() as u64, ranges).unwrap())
}

/// What a walk gave: the pieces of the whole disk, and what was read.
#[derive(Default)]
struct Walked {
    pieces: Vec<Piece>,
    read: Vec<Stretch>,
    inherited: Vec<Stretch>,
    made_of_data: Vec<Stretch>,
}

fn walk(old_pieces: &[Piece], new: &[u8], changed: &Changed) -> Walked {
    let old = |number: usize| match old_pieces[number] {
        Piece::Data(len) => OldChunk { len, content: OldContent::Data },
        Piece::Zeros(len) => OldChunk { len, content: OldContent::Zeros },
    };
    let mut recut = Recut::new(old_pieces.len(), old, changed);
    let mut cutter = cutter();
    let mut walked = Walked::default();
    let mut at = 0;
    loop {
        match recut.step(&cutter) {
            Step::Inherit { chunks, at: from } => {
                assert_eq!((from, cutter.under_way()), (at, recut::UnderWay::Nothing));
                assert!(!chunks.is_empty());
                let bytes = old_pieces[chunks.clone()].iter().map(|piece| len(*piece)).sum::<u64>();
                walked.pieces.extend(&old_pieces[chunks]);
                walked.inherited.push(Stretch { start: at, end: at + bytes });
                at += bytes;
            }
            Step::Zeros(bytes) => {
                cutter.zeros(bytes, &mut walked.pieces);
                at += bytes;
            }
            Step::Read(Stretch { start, end }) => {
                assert_eq!(start, at);
                new[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]
                    .chunks(PAGE_BYTES)
                    .for_each(|page| cutter.page(page, &mut walked.pieces));
                walked.read.push(Stretch { start, end });
                at = end;
            }
            Step::EndZeros => cutter.end_zeros(&mut walked.pieces),
            Step::End => break,
        }
    }
    cutter.finish(&mut walked.pieces);
    assert_eq!(at, new.len() as u64);
    let mut start = 0;
    for piece in &walked.pieces {
        let end = start + len(*piece);
        let inherited = walked.inherited.iter().any(|from| from.start <= start && end <= from.end);
        if matches!(piece, Piece::Data(_)) && !inherited {
            walked.made_of_data.push(Stretch { start, end });
        }
        start = end;
    }
    walked
}

fn cutter() -> Cutter {
    Cutter::new(ChunkSeed::of_polynomial("3da3358b4dc173"), small())
}

/// Neighbouring zero chunks as one, since where a run of zeros is cut says nothing.
fn joined_zeros(pieces: &[Piece]) -> Vec<Piece> {
    let mut joined = Vec::new();
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Piece::Zeros(run)), Piece::Zeros(more)) => *run += more,
            _ => joined.push(*piece),
        }
    }
    joined
}

fn any_change() -> impl Strategy<Value = With> {
    prop_oneof![any::<u32>().prop_map(With::Text), Just(With::Zeros), Just(With::Same)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn the_pieces_cover_the_changed_disk_and_what_is_inherited_did_not_change(
        runs in runs(), tail in 0..PAGE_BYTES, changes in changes(any_change()),
    ) {
        let old = image(&runs, tail);
        let (new, changed) = apply(&old, &changes);
        let walked = walk(&cut(&old, small()), &new, &changed);
        let mut at = 0;
        for piece in &walked.pieces {
            let end = at + usize::try_from(len(*piece)).unwrap();
            match piece {
                Piece::Zeros(_) => prop_assert!(is_zero(&new[at..end]), "zeros at {}", at),
                Piece::Data(len) => prop_assert!(*len <= small().max_bytes()),
            }
            at = end;
        }
        prop_assert_eq!(at, new.len());
        for Stretch { start, end } in &walked.made_of_data {
            let had = walked.read.iter().map(|r| r.end.min(*end).saturating_sub(r.start.max(*start))).sum::<u64>();
            prop_assert_eq!(had, end - start, "the bytes of a new chunk at {} were read", start);
        }
        for Stretch { start, end } in &walked.inherited {
            let range = usize::try_from(*start).unwrap()..usize::try_from(*end).unwrap();
            prop_assert!(old[range.clone()] == new[range], "{}..{}", start, end);
        }
        for stretch in changed.stretches() {
            let read = walked.read.iter().map(|r| r.end.min(stretch.end).saturating_sub(r.start.max(stretch.start))).sum::<u64>();
            prop_assert_eq!(read, stretch.end - stretch.start, "{:?} is read, once", stretch);
        }
    }

    #[test]
    fn where_no_zeros_are_written_the_cuts_are_those_of_the_whole_disk(
        runs in runs(), tail in 0..PAGE_BYTES, changes in changes(prop_oneof![any::<u32>().prop_map(With::Text), Just(With::Same)]),
    ) {
        let old = image(&runs, tail);
        let (new, changed) = apply(&old, &changes);
        let walked = walk(&cut(&old, small()), &new, &changed);
        prop_assert_eq!(joined_zeros(&walked.pieces), joined_zeros(&cut(&new, small())));
    }

    /// A chain of increments must not drift away from what a backup of the whole disk would store.
    #[test]
    fn ten_days_of_changes_still_cover_the_disk(runs in runs(), days in proptest::collection::vec(changes(any_change()), 1..10)) {
        let mut image = image(&runs, 0);
        let mut pieces = cut(&image, small());
        for day in &days {
            let (new, changed) = apply(&image, day);
            pieces = walk(&pieces, &new, &changed).pieces;
            image = new;
            let mut at = 0;
            for piece in &pieces {
                let end = at + usize::try_from(len(*piece)).unwrap();
                prop_assert!(matches!(piece, Piece::Data(_)) || is_zero(&image[at..end]));
                at = end;
            }
            prop_assert_eq!(at, image.len());
        }
    }
}

#[test]
fn nothing_changed_is_nothing_read() {
    let old = image(&[Run::Text(1, 200), Run::Zeros(100), Run::Text(2, 50)], 100);
    let pieces = cut(&old, small());
    let walked = walk(&pieces, &old, &Changed::default());
    assert_eq!((walked.read.len(), walked.pieces), (0, pieces));
}

#[test]
fn an_empty_disk_has_no_steps_but_the_end() {
    let mut recut = Recut::new(0, |_| unreachable!(), &DEFAULT);
    static DEFAULT: std::sync::LazyLock<Changed> = std::sync::LazyLock::new(Changed::default);
    assert_eq!(recut.step(&cutter()), Step::End);
}

#[test]
fn a_change_far_inside_a_run_of_zeros_reads_only_itself() {
    let old = image(&[Run::Text(1, 200), Run::Zeros(4000), Run::Text(2, 50)], 0);
    let at = (200 + 2000) * PAGE_BYTES as u64 + 5;
    let changed = Changed::new(old.len() as u64, [(at, 10)]).unwrap();
    let mut new = old.clone();
    new[usize::try_from(at).unwrap()] = 9;
    let walked = walk(&cut(&old, small()), &new, &changed);
    let page = at / PAGE_BYTES as u64 * PAGE_BYTES as u64;
    assert_eq!(walked.read, [Stretch { start: page, end: page + PAGE_BYTES as u64 }]);
}
