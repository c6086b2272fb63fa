//! The index finds what was added, all of it and nothing else, in the memory it promises.

use std::num::NonZeroU32;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use sonae_types::Digest;

use super::*;

fn id(n: u64) -> Digest {
    Digest::new(Sha256::digest(n.to_le_bytes()).into())
}

fn blob(n: u64, kind: BlobKind, offset: u32) -> BlobEntry {
    BlobEntry {
        kind,
        id: id(n),
        offset,
        length: 100,
        expanded: NonZeroU32::new(u32::try_from(n % 3).unwrap()),
    }
}

proptest! {
    #[test]
    fn every_place_of_a_blob_is_found_and_no_other(adds in proptest::collection::vec((0..40u64, any::<bool>(), 0..6u64, 0..1000u32), 0..200)) {
        let mut index = Index::default();
        let mut model: Vec<Location> = Vec::new();
        for (n, tree, pack, offset) in adds {
            let kind = if tree { BlobKind::Tree } else { BlobKind::Data };
            let place = Location { pack: id(1000 + pack), blob: blob(n, kind, offset) };
            index.add(&IndexedPack { id: place.pack, blobs: vec![place.blob] });
            if !model.contains(&place) { model.push(place); }
        }
        prop_assert_eq!(index.len(), model.len());
        prop_assert_eq!(&index.iter().collect::<Vec<_>>(), &model);
        for n in 0..41 {
            for kind in [BlobKind::Data, BlobKind::Tree] {
                let expected = model.iter().filter(|place| place.blob.id == id(n) && place.blob.kind == kind).copied().collect::<Vec<_>>();
                prop_assert_eq!(index.locations(kind, id(n)).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn an_index_file_reads_back_as_written(blobs in proptest::collection::vec((any::<u64>(), any::<bool>(), any::<u32>()), 0..9)) {
        let blobs = blobs.into_iter().map(|(n, tree, at)| blob(n, if tree { BlobKind::Tree } else { BlobKind::Data }, at)).collect();
        let packs = vec![IndexedPack { id: id(1), blobs }, IndexedPack { id: id(2), blobs: vec![] }];
        prop_assert_eq!(decode_index(&encode_index(&packs)).unwrap(), packs);
    }

    #[test]
    fn any_bytes_end_in_an_answer(json in "\\PC{0,200}") {
        let _answer = decode_index(json.as_bytes());
    }
}

#[test]
fn a_blob_takes_at_most_64_bytes_at_every_size_from_ten_thousand_on() {
    let mut index = Index::default();
    for n in 0..200_000u64 {
        let pack = id(u64::MAX - n / 100);
        index.add(&IndexedPack {
            id: pack,
            blobs: vec![blob(n, BlobKind::Data, u32::try_from(n % 100).unwrap())],
        });
        if 10_000 <= n {
            let blob_bytes = index.table.memory_bytes();
            assert!(blob_bytes <= 64 * index.len(), "{blob_bytes} bytes for {n} blobs");
        }
    }
}

#[test]
fn a_pack_that_lists_a_blob_twice_keeps_both_places() {
    let mut index = Index::default();
    let blobs = [0, 100].map(|offset| blob(1, BlobKind::Data, offset)).to_vec();
    index.add(&IndexedPack { id: id(7), blobs: blobs.clone() });
    assert_eq!(index.locations(BlobKind::Data, id(1)).map(|place| place.blob).collect::<Vec<_>>(), blobs);
}

#[test]
fn of_a_blob_that_lies_everywhere_a_thousand_places_are_kept() {
    let mut index = Index::default();
    let blobs = (0..100_000).map(|offset| blob(1, BlobKind::Data, offset)).collect();
    index.add(&IndexedPack { id: id(7), blobs });
    assert_eq!(index.locations(BlobKind::Data, id(1)).count(), COPIES_MAX);
}

#[test]
fn ids_that_begin_alike_are_found_as_fast_as_others() {
    // Were they sorted by their first bytes alone, this would go through a billion entries.
    let alike = |n: u32| {
        let mut bytes = [0; 32];
        bytes[28..].copy_from_slice(&n.to_le_bytes());
        Digest::new(bytes)
    };
    let entry = |n: u32| BlobEntry { id: alike(n), ..blob(1, BlobKind::Data, n) };
    let mut index = Index::default();
    index.add(&IndexedPack { id: id(7), blobs: (0..50_000).map(entry).collect() });
    assert!(index.table.longest_search() < 1_000);
    assert!((0..50_000).all(|n| index.has(BlobKind::Data, alike(n))));
}
