//! Increments: joined with their parent they are the disk, whatever changed, whatever was lost, whoever lied.

use proptest::prelude::*;
use sonae_types::ByteCount;

use super::*;
use crate::chunk::{Changed, PAGE_BYTES, ZERO_RUN_BYTES_MIN};
use crate::snapshot::Point;
use crate::store::{FileKind, FileName, MemoryStore};
use crate::testing::{Holes, MemoryDisk, image, memory_repository, restore_disk, save_disk, save_increment};

const NO_AUDIT: u8 = 0;

/// What becomes of a stretch, as parts of a thousand of the disk and a number of bytes.
#[derive(Clone, Debug)]
struct Write {
    at: usize,
    len: usize,
    byte: u8,
    told: Told,
}

/// Whether the map of changes tells of a write.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Yes,
    No,
}

fn write() -> impl Strategy<Value = Write> {
    let len = prop_oneof![1..5_000usize, 1..400_000usize];
    (0..1000usize, len, prop_oneof![Just(0u8), any::<u8>()]).prop_map(|(at, len, byte)| Write {
        at,
        len,
        byte,
        told: Told::Yes,
    })
}

/// The disk after the writes, and the map of those that it tells.
fn written(old: &[u8], writes: &[Write]) -> (Vec<u8>, Changed) {
    let mut new = old.to_vec();
    let mut ranges = Vec::new();
    for write in writes.iter().filter(|_| !old.is_empty()) {
        let at = old.len() * write.at / 1000;
        let end = (at + write.len).min(old.len());
        new[at..end].fill(write.byte);
        if write.told == Told::Yes {
            ranges.push((at as u64, (end - at) as u64));
        }
    }
    (new, Changed::new(old.len() as u64, ranges).unwrap())
}

fn restored(repository: &Repository, point: &Point, size: usize) -> Vec<u8> {
    let target = MemoryDisk::fresh(size);
    let outcome = restore_disk(repository, point, &target).unwrap();
    assert!(outcome.damaged.is_empty());
    target.content()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_increment_upon_its_parent_is_the_disk_whatever_changed_and_however_it_is_told(
        recipe in "[ztn]{0,60}",
        tail in 0..9000usize,
        days in proptest::collection::vec(proptest::collection::vec(write(), 0..6), 1..4),
        told: bool,
        audit in prop_oneof![Just(NO_AUDIT), 1..=100u8],
    ) {
        let repository = memory_repository(&MemoryStore::new());
        let holes = if told { Holes::Told } else { Holes::Untold };
        let mut bytes = image(&recipe, tail);
        let mut point = save_disk(&repository, bytes.clone(), holes).unwrap();
        for (turn, writes) in days.iter().enumerate() {
            let (new, changed) = written(&bytes, writes);
            let disk = MemoryDisk::source(new.clone(), holes);
            let (next, taken) = save_increment(&repository, &point, &disk, changed, Audit::of(audit, turn as u64)).unwrap();
            prop_assert_eq!(&taken.untrue, &[]);
            let total = taken.chunks.iter().map(|chunk| u64::from(chunk.len)).sum::<u64>();
            prop_assert_eq!(total, new.len() as u64);
            prop_assert!(restored(&repository, &next, new.len()) == new);
            (bytes, point) = (new, next);
        }
    }

    #[test]
    fn what_was_trimmed_is_zeros_whatever_the_map_says(recipe in "[tn]{20,60}", writes in proptest::collection::vec(write(), 0..4), at in 0..60usize, pages in 16..200usize) {
        let repository = memory_repository(&MemoryStore::new());
        let bytes = image(&recipe, 0);
        let parent = save_disk(&repository, bytes.clone(), Holes::Told).unwrap();
        let (mut new, changed) = written(&bytes, &writes);
        let start = (bytes.len() / 60 * at).next_multiple_of(PAGE_BYTES);
        let end = (start + pages * PAGE_BYTES).min(new.len());
        prop_assume!(ZERO_RUN_BYTES_MIN <= (end.saturating_sub(start)) as u64);
        new[start..end].fill(0);
        let disk = MemoryDisk::source(new.clone(), Holes::Told);
        let (point, _) = save_increment(&repository, &parent, &disk, changed, Audit::of(NO_AUDIT, 0)).unwrap();
        prop_assert!(restored(&repository, &point, new.len()) == new);
    }

    #[test]
    fn what_the_repository_lost_is_read_again(recipe in "[tn]{20,60}", writes in proptest::collection::vec(write(), 0..4), lost in 0..20usize) {
        let store = MemoryStore::new();
        let repository = memory_repository(&store).with_packs_of(ByteCount::kib(256));
        let bytes = image(&recipe, 0);
        let parent = save_disk(&repository, bytes.clone(), Holes::Told).unwrap();
        let index = repository.load_index().unwrap();
        // Packs of data only: without its folders the parent is no parent.
        let mut packs = index.iter().filter(|place| place.blob.kind == BlobKind::Data).map(|place| place.pack).collect::<Vec<_>>();
        packs.dedup();
        let gone = packs[lost % packs.len()];
        repository.store().remove(FileName::Hashed(FileKind::Data, gone)).unwrap();
        let (new, changed) = written(&bytes, &writes);
        let disk = MemoryDisk::source(new.clone(), Holes::Told);
        let (point, taken) = save_increment(&repository, &parent, &disk, changed, Audit::of(NO_AUDIT, 0)).unwrap();
        prop_assert!(taken.read > ByteCount::ZERO);
        prop_assert!(restored(&repository, &point, new.len()) == new);
    }

    /// The sum of all audits of a round finds every lie; one that finds none was told none.
    #[test]
    fn a_map_that_lies_is_found_within_a_round_of_audits(recipe in "[tn]{30,60}", lie in write(), percent in 10..=100u8) {
        let repository = memory_repository(&MemoryStore::new());
        let bytes = image(&recipe, 0);
        let parent = save_disk(&repository, bytes.clone(), Holes::Untold).unwrap();
        let (new, changed) = written(&bytes, &[Write { told: Told::No, ..lie }]);
        let disk = MemoryDisk::source(new.clone(), Holes::Untold);
        let found = (0..100).any(|turn| {
            let (_, taken) = save_increment(&repository, &parent, &disk, changed.clone(), Audit::of(percent, turn)).unwrap();
            assert!(taken.audited > ByteCount::ZERO || percent < 100);
            !taken.untrue.is_empty()
        });
        prop_assert_eq!(found, new != bytes);
    }
}

#[test]
fn what_did_not_change_is_not_read() {
    let repository = memory_repository(&MemoryStore::new());
    let bytes = image("tnztnztn", 100);
    let parent = save_disk(&repository, bytes.clone(), Holes::Told).unwrap();
    let disk = MemoryDisk::failing_at(bytes.clone(), 0);
    let (_, taken) =
        save_increment(&repository, &parent, &disk, Changed::default(), Audit::of(NO_AUDIT, 0)).unwrap();
    assert_eq!((taken.read, taken.inherited), (ByteCount::ZERO, ByteCount::of_len(bytes.len())));
}

#[test]
fn a_list_that_does_not_add_up_to_the_disk_is_no_basis() {
    let repository = memory_repository(&MemoryStore::new());
    let parent = save_disk(&repository, image("tn", 0), Holes::Told).unwrap();
    let trusted = repository.load_trusted_index().unwrap();
    let node = repository.find(&trusted.index, &parent, "/vm/disk-vda.raw").unwrap();
    let crate::tree::NodeKind::File { size, content } = node.kind else { panic!("the disk is a file") };
    let base = |ids: &[Digest], size| {
        Base::new(ids, ByteCount::new(size), &trusted, Changed::default(), Audit::of(NO_AUDIT, 0)).err()
    };
    assert_eq!(base(&content, size), None);
    assert_eq!(
        base(&content, size + 1),
        Some(NoBase::Size { found: ByteCount::new(size), size: ByteCount::new(size + 1) })
    );
    assert_eq!(base(&[Digest::new([7; 32])], 1), Some(NoBase::Unknown(Digest::new([7; 32]))));
}
