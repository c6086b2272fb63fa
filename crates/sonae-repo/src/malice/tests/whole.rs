//! Whole repositories of which one part is bent and everything else is sealed around it as if nothing were wrong.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::bends::{BendOf, any_bend};
use super::parsers::cases;
use crate::malice::forge::Part;
use crate::malice::whole::{Reading, lay, read_all};
use crate::store::MemoryStore;

const SOUND: Reading = Reading { points: 1, restored: 6, findings: 0 };

#[test]
fn what_is_not_bent_is_read_whole() {
    let store = MemoryStore::new();
    lay(&store, &mut |_, bytes| bytes);
    // Three files, each to a new disk and over an old one.
    assert_eq!(read_all(&store).unwrap(), SOUND);
}

/// Bends one part, the `which`-th of its kind, and reads everything. Errors: the repository does not open.
fn bent(part: Part, which: usize, bends: &[BendOf]) -> Option<Reading> {
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
    read_all(&store).ok()
}

#[test]
fn a_repository_with_any_part_bent_is_read_to_an_answer() {
    let [closed, sound, found, hidden, saved] = [const { Cell::new(0) }; 5];
    let count = |of: &Cell<u32>| of.set(of.get() + 1);
    let bends = prop::collection::vec(any_bend(), 1..4);
    let parts = (prop::sample::select(&Part::ALL[..]), 0..8usize, bends);
    let answer = TestRunner::new(cases(400)).run(&parts, |(part, which, bends)| {
        match bent(part, which, &bends) {
            None => count(&closed),
            Some(SOUND) => count(&sound),
            Some(Reading { points: 0, .. }) => count(&hidden),
            Some(Reading { restored: 1.., findings: 1.., .. }) => count(&saved),
            Some(_) => count(&found),
        }
        Ok(())
    });
    assert!(answer.is_ok(), "{}", answer.expect_err("just seen"));
    for (danger, times) in [
        ("a repository that does not open", closed.get()),
        ("a harmless change", sound.get()),
        ("a point that cannot be read", hidden.get()),
        ("damage around which something is restored", saved.get()),
        ("damage with which nothing is restored", found.get()),
    ] {
        assert!(0 < times, "{danger} was never met");
    }
}
