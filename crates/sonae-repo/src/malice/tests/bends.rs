//! How bytes are bent: as bad memory does, as a careless writer does, and as somebody does who knows the format.

use proptest::prelude::*;
use proptest::sample::Index;

/// One change.
#[derive(Clone, Debug)]
pub(super) enum BendOf {
    Flip {
        at: Index,
        bit: u8,
    },
    Set {
        at: Index,
        to: u8,
    },
    Insert {
        at: Index,
        bytes: Vec<u8>,
    },
    Remove {
        at: Index,
        len: usize,
    },
    Duplicate {
        at: Index,
        len: usize,
        times: usize,
    },
    Truncate {
        at: Index,
    },
    /// The front of these bytes, and the back of another sample.
    Splice {
        other: Index,
        at: Index,
        from: Index,
    },
    /// A number in the text, replaced.
    Number {
        which: Index,
        by: &'static str,
    },
    /// A number of four bytes, replaced.
    Word {
        at: Index,
        by: u32,
    },
    /// A text in the text, replaced.
    Text {
        which: Index,
        by: &'static str,
    },
    /// An object, a list or a text, many times over.
    Repeat {
        which: Index,
        times: usize,
    },
}

const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1.5",
    "1e999",
    "31",
    "32",
    "33",
    "2147483648",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "\"7\"",
];

const TEXTS: [&str; 16] = [
    "\"\"",
    "\".\"",
    "\"..\"",
    "\"a/b\"",
    "\"a\\u0000b\"",
    "\"\\u001b[2J\"",
    "\"\\\\\\\\x00\"",
    "\"dir\"",
    "\"file\"",
    "\"data\"",
    "\"tree\"",
    "\"0000000000000000000000000000000000000000000000000000000000000000\"",
    "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"",
    "null",
    "[]",
    "{}",
];

const WORDS: [u32; 9] = [0, 1, 31, 32, 33, 1 << 26, 1 << 31, u32::MAX - 1, u32::MAX];

/// Any one change.
pub(super) fn any_bend() -> impl Strategy<Value = BendOf> {
    use BendOf::{Duplicate, Flip, Insert, Number, Remove, Repeat, Set, Splice, Text, Truncate, Word};
    prop_oneof![
        (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Flip { at, bit }),
        (any::<Index>(), any::<u8>()).prop_map(|(at, to)| Set { at, to }),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Insert { at, bytes }),
        (any::<Index>(), 1..70usize).prop_map(|(at, len)| Remove { at, len }),
        (any::<Index>(), 1..200usize, 1..20usize).prop_map(|(at, len, times)| Duplicate { at, len, times }),
        any::<Index>().prop_map(|at| Truncate { at }),
        any::<[Index; 3]>().prop_map(|[other, at, from]| Splice { other, at, from }),
        (any::<Index>(), prop::sample::select(&NUMBERS[..])).prop_map(|(which, by)| Number { which, by }),
        (any::<Index>(), prop::sample::select(&WORDS[..])).prop_map(|(at, by)| Word { at, by }),
        (any::<Index>(), prop::sample::select(&TEXTS[..])).prop_map(|(which, by)| Text { which, by }),
        (any::<Index>(), 1..300usize).prop_map(|(which, times)| Repeat { which, times }),
    ]
}

impl BendOf {
    /// The bytes with this change; `samples` are what may be spliced in.
    pub(super) fn of(&self, mut bytes: Vec<u8>, samples: &[Vec<u8>]) -> Vec<u8> {
        let place = |at: &Index, len: usize| at.index(len + 1);
        match self {
            Self::Flip { at, bit } if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Self::Set { at, to } if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = *to;
            }
            Self::Flip { .. } | Self::Set { .. } => {}
            Self::Insert { at, bytes: more } => {
                let at = place(at, bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Remove { at, len } => {
                let at = place(at, bytes.len());
                bytes.drain(at..(at + len).min(bytes.len()));
            }
            Self::Duplicate { at, len, times } => {
                let at = place(at, bytes.len());
                let part = bytes[at..(at + len).min(bytes.len())].repeat(*times);
                bytes.splice(at..at, part);
            }
            Self::Truncate { at } => bytes.truncate(at.index(bytes.len() + 1)),
            Self::Splice { other, at, from } if !samples.is_empty() => {
                let other = other.get(samples);
                bytes.truncate(place(at, bytes.len()));
                bytes.extend_from_slice(&other[place(from, other.len())..]);
            }
            Self::Splice { .. } => {}
            Self::Number { which, by } => replace(&mut bytes, &numbers, which, by.as_bytes()),
            Self::Word { at, by } => {
                let at = place(at, bytes.len().saturating_sub(4));
                let end = (at + 4).min(bytes.len());
                bytes.splice(at..end, by.to_le_bytes());
            }
            Self::Text { which, by } => replace(&mut bytes, &texts, which, by.as_bytes()),
            Self::Repeat { which, times } => {
                let found = elements(&bytes);
                if let Some((start, end)) = (!found.is_empty()).then(|| *which.get(&found)) {
                    let more = [b",", &bytes[start..end]].concat().repeat(*times);
                    bytes.splice(end..end, more);
                }
            }
        }
        bytes
    }
}

type Spans = Vec<(usize, usize)>;

fn replace(bytes: &mut Vec<u8>, find: &dyn Fn(&[u8]) -> Spans, which: &Index, by: &[u8]) {
    let found = find(bytes);
    if !found.is_empty() {
        let (start, end) = *which.get(&found);
        bytes.splice(start..end, by.iter().copied());
    }
}

/// Every run of digits.
fn numbers(bytes: &[u8]) -> Spans {
    let mut spans = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let len = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if 0 < len {
            spans.push((at, at + len));
        }
        at += len.max(1);
    }
    spans
}

/// Everything between two quotes, with them.
fn texts(bytes: &[u8]) -> Spans {
    let quotes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'"').map(|(at, _)| at);
    let quotes = quotes.collect::<Vec<_>>();
    quotes.chunks_exact(2).map(|pair| (pair[0], pair[1] + 1)).collect()
}

/// Every object and list that is closed, and every text.
fn elements(bytes: &[u8]) -> Spans {
    let mut spans = texts(bytes);
    let mut open = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' | b'[' => open.push(at),
            b'}' | b']' => spans.extend(open.pop().map(|start| (start, at + 1))),
            _ => {}
        }
    }
    spans
}
