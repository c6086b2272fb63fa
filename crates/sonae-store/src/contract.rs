//! What every object store must do: one suite of small claims, run by the tests of each store.
//!
//! A store that passes may still lose files in a power failure; that is tested where a store can be killed.
// A suite fails by panicking, as tests do.
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "this is test code that other crates can call"
)]

use std::sync::Barrier;
use std::thread;

use sha2::{Digest as _, Sha256};
use sonae_types::{ByteCount, Digest};

use super::{FileKind, FileName, ObjectStore, StoreError};

type Claim = fn(&dyn ObjectStore);

/// These hold only where every operation runs once: after a repetition nobody can tell what the first try did.
const EXACT_CLAIMS: &[(&str, Claim)] = &[
    ("what_was_never_put_cannot_be_removed", remove_missing),
    ("what_was_removed_cannot_be_removed_again", remove_again),
    ("the_same_config_is_not_put_twice", same_config_again),
];

const CLAIMS: &[(&str, Claim)] = &[
    ("a_file_that_was_never_put_is_not_found", missing),
    ("what_was_put_is_got", put_get),
    ("an_empty_file_is_a_file", empty),
    ("a_range_is_the_bytes_asked_for", range),
    ("a_range_behind_the_end_is_short_and_says_the_size", short_range),
    ("no_bytes_can_be_read_anywhere_inside_a_file_and_at_its_end", zero_length_range),
    ("a_listing_is_sorted_and_has_only_its_kind", listing),
    ("one_id_may_be_used_in_every_kind", same_id_in_every_kind),
    ("putting_a_hashed_name_again_changes_nothing", put_again),
    ("a_damaged_file_is_healed_by_putting_it_again", put_heals),
    ("config_is_never_replaced", config_once),
    ("of_concurrent_configs_exactly_one_wins", config_race),
    ("what_was_removed_is_gone_and_may_come_back", remove),
    ("many_threads_putting_many_files_lose_none", many_files),
    ("many_threads_putting_one_name_leave_one_whole_file", one_name),
    ("readers_see_a_whole_file_or_none_while_it_is_put", whole_or_none),
    ("a_large_file_comes_back_as_it_was", large),
];

/// Runs every claim on a new store from `make`; panics with the name of the claim that does not hold.
///
/// `make` gives an empty store each time.
pub fn check(make: &dyn Fn() -> Box<dyn ObjectStore>) {
    check_repeated(make);
    check_claims(EXACT_CLAIMS, make);
}

/// As [`check`], for stores that carry out an operation again when nobody knows what became of it: to remove what is
/// not there, and to put the configuration that is there, may succeed then.
pub fn check_repeated(make: &dyn Fn() -> Box<dyn ObjectStore>) {
    check_claims(CLAIMS, make);
}

fn check_claims(claims: &[(&str, Claim)], make: &dyn Fn() -> Box<dyn ObjectStore>) {
    for (name, claim) in claims {
        let store = make();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| claim(store.as_ref())));
        if let Err(cause) = outcome {
            let text = cause.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("see above");
            panic!("claim {name} does not hold for {store:?}: {text}");
        }
    }
}

/// The name of a file with these bytes.
#[must_use]
pub fn named(kind: FileKind, bytes: &[u8]) -> FileName {
    FileName::Hashed(kind, id_of(bytes))
}

fn id_of(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

/// Bytes that differ from page to page and for every seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut step).take(len.div_ceil(8)).flatten().collect();
    bytes.truncate(len);
    bytes
}

fn all_names(id: Digest) -> impl Iterator<Item = FileName> {
    FileKind::ALL.into_iter().map(move |kind| FileName::Hashed(kind, id)).chain([FileName::Config])
}

fn put_new(store: &dyn ObjectStore, kind: FileKind, bytes: &[u8]) -> FileName {
    let name = named(kind, bytes);
    store.put(name, bytes).unwrap();
    name
}

fn ids(store: &dyn ObjectStore, kind: FileKind) -> Vec<Digest> {
    store.list(kind).unwrap().into_iter().map(|file| file.id).collect()
}

fn expect_missing<T: std::fmt::Debug>(what: &str, name: FileName, outcome: Result<T, StoreError>) {
    match outcome {
        Err(StoreError::NotFound { name: told, .. }) if told == name => {}
        other => panic!("{what} of missing {name} gave {other:?}"),
    }
}

fn missing(store: &dyn ObjectStore) {
    for name in all_names(id_of(b"missing")) {
        expect_missing("get", name, store.get(name));
        expect_missing("get_range", name, store.get_range(name, 0, &mut [0; 1]));
        expect_missing("get_range of no bytes", name, store.get_range(name, 0, &mut []));
        expect_missing("size", name, store.size(name));
        expect_missing("stored_at", name, store.stored_at(name));
    }
    for kind in FileKind::ALL {
        assert_eq!(store.list(kind).unwrap(), [], "{kind:?}");
    }
}

fn remove_missing(store: &dyn ObjectStore) {
    for name in all_names(id_of(b"missing")) {
        expect_missing("remove", name, store.remove(name));
    }
}

fn put_get(store: &dyn ObjectStore) {
    let bytes = noise(1, 70_001);
    for name in all_names(id_of(&bytes)) {
        store.put(name, &bytes).unwrap();
        assert_eq!(store.get(name).unwrap(), bytes, "{name}");
        assert_eq!(store.size(name).unwrap(), ByteCount::new(70_001), "{name}");
    }
}

fn empty(store: &dyn ObjectStore) {
    let name = put_new(store, FileKind::Data, b"");
    assert_eq!(store.get(name).unwrap(), b"");
    assert_eq!(store.size(name).unwrap(), ByteCount::ZERO);
    store.get_range(name, 0, &mut []).unwrap();
    expect_short(store, name, 0, 1, 0);
    assert_eq!(ids(store, FileKind::Data), [id_of(b"")]);
}

fn range(store: &dyn ObjectStore) {
    let bytes = noise(2, 10_000);
    let name = put_new(store, FileKind::Data, &bytes);
    for (at, len) in [(0, 1), (0, 10_000), (9_999, 1), (4_095, 2), (1_234, 5_678)] {
        let mut got = vec![0; len];
        store.get_range(name, at as u64, &mut got).unwrap();
        assert_eq!(got, bytes[at..at + len], "{len} bytes at {at}");
    }
}

fn expect_short(store: &dyn ObjectStore, name: FileName, at: u64, len: usize, size: u64) {
    match store.get_range(name, at, &mut vec![0; len]) {
        Err(StoreError::Short { name: told, at: told_at, len: told_len, size: told_size, .. }) => {
            let told = (told, told_at, told_len, told_size);
            assert_eq!(told, (name, at, ByteCount::of_len(len).get(), ByteCount::new(size)));
        }
        other => panic!("{len} bytes at {at} of {size} gave {other:?}"),
    }
}

fn short_range(store: &dyn ObjectStore) {
    let name = put_new(store, FileKind::Index, &noise(3, 1_000));
    let beyond =
        [(0, 1_001), (999, 2), (1_000, 1), (5_000, 1), (u64::MAX, 1), (u64::MAX - 1, 2), (1 << 63, 1)];
    for (at, len) in beyond {
        expect_short(store, name, at, len, 1_000);
    }
}

fn zero_length_range(store: &dyn ObjectStore) {
    let name = put_new(store, FileKind::Snapshot, &noise(4, 1_000));
    for at in [0, 1, 999, 1_000] {
        store.get_range(name, at, &mut []).unwrap();
    }
    for at in [1_001, u64::MAX] {
        expect_short(store, name, at, 0, 1_000);
    }
}

fn listing(store: &dyn ObjectStore) {
    store.put(FileName::Config, b"config").unwrap();
    for kind in FileKind::ALL {
        let mut expected = Vec::new();
        for n in 0..40 {
            let bytes = noise(100 + n, usize::try_from(n).unwrap() + kind.folder().len() * 100);
            put_new(store, kind, &bytes);
            expected.push((id_of(&bytes), ByteCount::of_len(bytes.len())));
        }
        expected.sort();
        let listed: Vec<_> = store.list(kind).unwrap().into_iter().map(|file| (file.id, file.size)).collect();
        assert_eq!(listed, expected, "{kind:?}");
    }
}

fn same_id_in_every_kind(store: &dyn ObjectStore) {
    let id = id_of(b"one id");
    for (n, name) in all_names(id).enumerate() {
        store.put(name, &noise(5, n)).unwrap();
    }
    for (n, name) in all_names(id).enumerate() {
        assert_eq!(store.get(name).unwrap(), noise(5, n), "{name}");
    }
    store.remove(FileName::Hashed(FileKind::Lock, id)).unwrap();
    assert_eq!(ids(store, FileKind::Lock), []);
    assert_eq!(ids(store, FileKind::Key), [id]);
}

fn put_again(store: &dyn ObjectStore) {
    let bytes = noise(6, 5_000);
    for _ in 0..3 {
        let name = put_new(store, FileKind::Key, &bytes);
        assert_eq!(store.get(name).unwrap(), bytes);
        assert_eq!(ids(store, FileKind::Key), [id_of(&bytes)]);
    }
}

fn put_heals(store: &dyn ObjectStore) {
    let bytes = noise(7, 5_000);
    let name = named(FileKind::Data, &bytes);
    store.put(name, &bytes[..100]).unwrap();
    store.put(name, &bytes).unwrap();
    assert_eq!(store.get(name).unwrap(), bytes);
}

fn config_once(store: &dyn ObjectStore) {
    store.put(FileName::Config, b"first").unwrap();
    expect_exists(store.put(FileName::Config, b"other"));
    assert_eq!(store.get(FileName::Config).unwrap(), b"first");
    store.remove(FileName::Config).unwrap();
    store.put(FileName::Config, b"after removal").unwrap();
}

fn expect_exists(outcome: Result<(), StoreError>) {
    match outcome {
        Err(StoreError::Exists { name: FileName::Config, .. }) => {}
        other => panic!("a second config gave {other:?}"),
    }
}

fn same_config_again(store: &dyn ObjectStore) {
    store.put(FileName::Config, b"first").unwrap();
    for again in [b"first".as_slice(), b"", b"first and more"] {
        expect_exists(store.put(FileName::Config, again));
        assert_eq!(store.get(FileName::Config).unwrap(), b"first");
    }
}

fn config_race(store: &dyn ObjectStore) {
    let start = Barrier::new(8);
    let race = |n: u64| {
        start.wait();
        store.put(FileName::Config, &noise(n, 3_000)).map(|()| n)
    };
    let outcomes = thread::scope(|scope| {
        let racers: Vec<_> = (0..8).map(|n| scope.spawn(move || race(n))).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect::<Vec<_>>()
    });
    let winners: Vec<u64> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    for outcome in &outcomes {
        assert!(matches!(outcome, Ok(_) | Err(StoreError::Exists { .. })), "{outcome:?}");
    }
    assert_eq!(store.get(FileName::Config).unwrap(), noise(winners[0], 3_000));
}

fn remove(store: &dyn ObjectStore) {
    let (kept, gone) = (noise(8, 100), noise(9, 100));
    put_new(store, FileKind::Snapshot, &kept);
    let name = put_new(store, FileKind::Snapshot, &gone);
    store.remove(name).unwrap();
    expect_missing("get", name, store.get(name));
    assert_eq!(ids(store, FileKind::Snapshot), [id_of(&kept)]);
    put_new(store, FileKind::Snapshot, &gone);
    assert_eq!(store.get(name).unwrap(), gone);
}

fn remove_again(store: &dyn ObjectStore) {
    let name = put_new(store, FileKind::Index, b"gone");
    store.remove(name).unwrap();
    expect_missing("second remove", name, store.remove(name));
}

fn many_files(store: &dyn ObjectStore) {
    thread::scope(|scope| {
        for writer in 0..8 {
            scope.spawn(move || {
                for (n, kind) in (0..).zip([FileKind::ALL; 5].concat()) {
                    put_new(store, kind, &noise(writer * 1_000 + n, 2_000));
                }
            });
        }
    });
    for kind in FileKind::ALL {
        let listed = ids(store, kind);
        assert_eq!(listed.len(), 40, "{kind:?}");
        for id in listed {
            assert_eq!(id_of(&store.get(FileName::Hashed(kind, id)).unwrap()), id);
        }
    }
}

fn one_name(store: &dyn ObjectStore) {
    let bytes = noise(10, 100_000);
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                put_new(store, FileKind::Data, &bytes);
            });
        }
    });
    assert_eq!(store.get(named(FileKind::Data, &bytes)).unwrap(), bytes);
    assert_eq!(ids(store, FileKind::Data), [id_of(&bytes)]);
}

fn whole_or_none(store: &dyn ObjectStore) {
    let bytes = noise(11, 300_000);
    let name = named(FileKind::Data, &bytes);
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            start.wait();
            for _ in 0..10 {
                store.put(name, &bytes).unwrap();
            }
        });
        start.wait();
        while !writer.is_finished() {
            match store.get(name) {
                Ok(got) => assert!(got == bytes, "a reader saw {} of {} bytes", got.len(), bytes.len()),
                Err(error) => assert!(error.is_not_found(), "{error:?}"),
            }
            for file in store.list(FileKind::Data).unwrap() {
                assert_eq!(file.size, ByteCount::of_len(bytes.len()), "a listing saw a half-written file");
            }
        }
    });
}

fn large(store: &dyn ObjectStore) {
    let bytes = noise(12, 40 * 1024 * 1024 + 1);
    let name = put_new(store, FileKind::Data, &bytes);
    assert!(store.get(name).unwrap() == bytes, "40 MiB came back changed");
    let mut tail = [0; 3];
    store.get_range(name, 40 * 1024 * 1024 - 2, &mut tail).unwrap();
    assert_eq!(tail, bytes[bytes.len() - 3..]);
}
