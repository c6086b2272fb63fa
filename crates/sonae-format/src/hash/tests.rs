//! Vectors that NIST published, and the comparison of every way with one message after the other.

use proptest::prelude::*;

use super::*;

/// Every way this machine has, with its name; says so if one is missing.
fn ways() -> Vec<(&'static str, Way)> {
    let mut ways = vec![("one by one", Way::OneByOne)];
    #[cfg(target_arch = "x86_64")]
    ways.extend(lanes::Avx512::detect().map(|processor| ("lanes", Way::Lanes(processor))));
    if ways.len() < 2 {
        println!("skipped: no AVX-512 here");
    }
    ways
}

/// Hashes the messages every way and compares with `sha2`, message by message.
fn check(messages: &[Vec<u8>]) {
    let expected: Vec<_> = messages.iter().map(|message| sha256(message)).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let mut found = vec![sha256(b"left over from the last call")];
    sha256_each(&messages, &mut found);
    assert_eq!(found, expected, "as chosen");
    for (name, way) in ways() {
        sha256_each_by(way, &messages, &mut found);
        assert_eq!(found, expected, "{name}");
    }
}

/// Bytes without a period that a block could hide.
fn message(seed: usize, len: usize) -> Vec<u8> {
    let mut x = seed as u64;
    let mut next = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        x.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn the_published_vectors_come_out_in_every_lane() {
    let vectors = [
        (String::new(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc".to_owned(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".to_owned(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (
            "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs\
             mnopqrstnopqrstu"
                .to_owned(),
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
        ),
        ("a".repeat(1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ];
    for (text, id) in vectors {
        assert_eq!(sha256(text.as_bytes()).to_string(), id);
        let messages = [text.as_bytes(); 16];
        let mut found = Vec::new();
        for (name, way) in ways() {
            sha256_each_by(way, &messages, &mut found);
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, [id; 16], "{name}");
        }
    }
}

#[test]
fn long_messages_of_uneven_lengths_get_their_own_hashes_in_order() {
    let messages: Vec<_> = (0..37).map(|i| message(i, 1024 + i * 7919 % 37 * 8191)).collect();
    check(&messages);
}

#[test]
fn one_long_message_among_short_ones_is_finished_alone() {
    let messages: Vec<_> = (0..20).map(|i| message(i, if i == 11 { 300_000 } else { i })).collect();
    check(&messages);
}

#[test]
fn every_length_of_the_last_block_is_padded_right() {
    let messages: Vec<_> = (0..200).map(|len| message(len, len)).collect();
    check(&messages);
}

#[test]
fn any_number_of_messages_is_hashed_and_none_at_all_too() {
    for count in 0..40 {
        let messages: Vec<_> = (0..count).map(|i| message(i, 100 + i)).collect();
        check(&messages);
    }
}

proptest! {
    #[test]
    fn many_at_once_always_equal_one_by_one(
        lens in proptest::collection::vec(
            prop_oneof![
                0..2000_usize,
                proptest::sample::select(vec![0, 1, 55, 56, 63, 64, 65, 119, 120, 127, 128]),
            ],
            0..40,
        ),
        seed in 0..1000_usize,
    ) {
        let messages: Vec<_> = lens.iter().enumerate().map(|(i, len)| message(seed + i, *len)).collect();
        check(&messages);
    }
}
