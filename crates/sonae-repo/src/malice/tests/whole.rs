//! Whole repositories of which one part is bent and everything else is sealed around it as if nothing were wrong.

use proptest::prelude::*;

use super::bends::any_bend;
use super::parsers::cases;
use crate::malice::forge::Part;
use crate::malice::whole::{Reading, lay, read_all};
use crate::store::MemoryStore;

#[test]
fn what_is_not_bent_is_read_whole() {
    let store = MemoryStore::new();
    lay(&store, &mut |_, bytes| bytes);
    // Three files, each to a new disk and over an old one.
    assert_eq!(read_all(&store).unwrap(), Reading { points: 1, restored: 6, findings: 0 });
}

proptest! {
    #![proptest_config(cases(500))]
    #[test]
    fn a_repository_with_any_part_bent_is_read_to_an_answer(
        part in prop::sample::select(&Part::ALL[..]), which in 0..8usize, bends in prop::collection::vec(any_bend(), 1..4),
    ) {
        let store = MemoryStore::new();
        let mut met = 0;
        lay(&store, &mut |at, mut bytes| {
            if at == part {
                if met == which {
                    let samples = [bytes.clone()];
                    bytes = bends.iter().fold(bytes, |bytes, bend| bend.of(bytes, &samples));
                }
                met += 1;
            }
            bytes
        });
        drop(read_all(&store));
    }
}
