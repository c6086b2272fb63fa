//! Every parser of bytes that somebody else wrote, with samples of what it must understand and with what must be true
//! of its answers, whatever the bytes.

use std::num::NonZeroU32;

use sonae_types::{Digest, Timestamp};

use super::forge::{ForgedBlob, Forger};
use super::frame::{Stated, bomb, skippable, with_dictionary, with_window};
use super::whole::{LOCK, manifest};
use crate::blob::{BlobEntry, BlobKind, BlobOpener};
use crate::compress::{Compression, Expander, UNPACKED_BYTES_MAX};
use crate::config::Config;
use crate::crypto::{CipherKey, KdfCost, KeyMaterial, OVERHEAD_BYTES, Password};
use crate::hash::sha256;
use crate::index::{COPIES_MAX, Index, IndexedPack, Location, decode_index, encode_index};
use crate::json::{quote_name, to_go_json, unquote_name};
use crate::key_file::KeyFile;
use crate::lock::decode_lock;
use crate::manifest::decode_manifest;
use crate::pack::{HEADER_BYTES_MAX, header_len, plain_header, read_header};
use crate::snapshot::decode_snapshot;
use crate::store::FileKind;
use crate::testing::{CountingEntropy, environment};
use crate::time::{from_rfc3339, to_rfc3339};
use crate::tree::{Node, NodeKind, decode_tree, encode_tree};
use crate::unpacked::{decode_unpacked, encode_unpacked};

/// A parser.
#[derive(Clone, Copy, Debug)]
pub struct Parser {
    /// What it reads.
    pub name: &'static str,
    /// Reads any bytes. Panics where its answer is wrong.
    pub read: fn(&[u8]) -> Answer,
    /// Bytes that it must understand, and some that it must refuse.
    pub samples: fn() -> Vec<Vec<u8>>,
}

/// What a parser made of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Something.
    Understood,
    /// An error.
    Refused,
}

/// Every parser.
pub const PARSERS: [Parser; 17] = [
    Parser { name: "sealed text", read: read_sealed, samples: sealed_samples },
    Parser { name: "configuration", read: read_config, samples: config_samples },
    Parser { name: "key file", read: read_key_file, samples: key_file_samples },
    Parser { name: "lock", read: read_lock, samples: || vec![LOCK.to_vec()] },
    Parser { name: "unpacked file", read: read_unpacked, samples: unpacked_samples },
    Parser { name: "index", read: read_index, samples: index_samples },
    Parser { name: "tree", read: read_tree, samples: tree_samples },
    Parser { name: "snapshot", read: read_snapshot, samples: snapshot_samples },
    Parser { name: "manifest", read: read_manifest, samples: || vec![manifest(9, &[Digest::new([3; 32])])] },
    Parser { name: "pack header", read: read_pack_header, samples: || vec![plain_header(&entries())] },
    Parser { name: "sealed pack header", read: read_sealed_header, samples: sealed_samples },
    Parser { name: "pack trailer", read: read_trailer, samples: trailer_samples },
    Parser { name: "frame", read: read_frame, samples: frame_samples },
    Parser { name: "blob", read: read_blob, samples: blob_samples },
    Parser { name: "time", read: read_time, samples: time_samples },
    Parser { name: "id", read: read_id, samples: || vec!["0123456789abcdef".repeat(4).into_bytes()] },
    Parser { name: "name", read: read_name, samples: || vec![quote_name("a\"\u{3000}\n\u{e0001}").into()] },
];

/// The parser of this name. Panics where there is none.
#[must_use]
pub fn parser(name: &str) -> Parser {
    PARSERS.into_iter().find(|parser| parser.name == name).expect("the name is one of the table")
}

fn key() -> CipherKey {
    CipherKey::new(&KeyMaterial { encrypt: [1; 32], mac_k: [2; 16], mac_r: [3; 16] })
}

fn sealed(plain: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    key().seal_onto([9; 16], plain, &mut sealed);
    sealed
}

fn sealed_samples() -> Vec<Vec<u8>> {
    vec![sealed(&plain_header(&entries())), sealed(b"{}"), sealed(b"")]
}

fn read_sealed(bytes: &[u8]) -> Answer {
    let Ok(plain) = key().open(bytes) else { return Answer::Refused };
    assert_eq!(plain.len() + OVERHEAD_BYTES, bytes.len());
    Answer::Understood
}

fn read_config(json: &[u8]) -> Answer {
    drop(Config::decode(&key(), json));
    let Ok(config) = Config::decode(&key(), &sealed(json)) else { return Answer::Refused };
    let _seed = config.chunk_seed();
    let again = Config::decode(&key(), &config.encode(&key(), &CountingEntropy::default()));
    assert_eq!(again.expect("our own encoding is read"), config);
    Answer::Understood
}

fn config_samples() -> Vec<Vec<u8>> {
    let ours = to_go_json(&Config::generate(&CountingEntropy::default()));
    let id = "0a".repeat(32);
    let other = format!(
        r#"{{"version":1,"id":"{id}","chunker_polynomial":"3","chunk_size":1,"append_only":null,"compression":-7}}"#
    );
    vec![ours, other.into_bytes()]
}

/// The most that a guess of the password may cost here: thousands of files are read.
const GUESS_BYTES_MAX: u64 = 1 << 20;

fn read_key_file(json: &[u8]) -> Answer {
    drop(KeyFile::decode(Digest::new([0; 32]), json));
    let Ok(file) = KeyFile::decode(sha256(json), json) else { return Answer::Refused };
    let (id, bytes) = file.encode();
    assert_eq!(KeyFile::decode(id, &bytes).expect("our own encoding is read"), file);
    let _told = (file.created(), file.username(), file.hostname());
    let password = Password::from_file_bytes(b"secret");
    match file.cost() {
        Ok(cost) if GUESS_BYTES_MAX < cost.work_bytes() => Answer::Understood,
        Ok(_) => file.open(&password).map_or(Answer::Refused, |_master| Answer::Understood),
        Err(_) => {
            assert!(file.open(&password).is_err(), "what costs too much is not tried");
            Answer::Refused
        }
    }
}

fn key_file_samples() -> Vec<Vec<u8>> {
    let master = KeyMaterial { encrypt: [1; 32], mac_k: [2; 16], mac_r: [3; 16] };
    let password = Password::from_file_bytes(b"secret");
    vec![KeyFile::create(&environment(), &master, &password, KdfCost::FOR_TESTS).encode().1]
}

fn read_lock(json: &[u8]) -> Answer {
    let Ok(lock) = decode_lock(json) else { return Answer::Refused };
    assert_eq!(decode_lock(&to_go_json(&lock)).expect("our own encoding is read"), lock);
    Answer::Understood
}

fn read_unpacked(plain: &[u8]) -> Answer {
    drop(decode_unpacked(&key(), FileKind::Index, sha256(plain), plain));
    let sealed = sealed(plain);
    let mut answer = Answer::Refused;
    for kind in [FileKind::Index, FileKind::Snapshot, FileKind::Lock] {
        let Ok(json) = decode_unpacked(&key(), kind, sha256(&sealed), &sealed) else { continue };
        answer = Answer::Understood;
        assert!(json.len() <= (100 * sealed.len()).clamp(4 << 10, UNPACKED_BYTES_MAX));
        let (id, again) = encode_unpacked(&key(), &CountingEntropy::default(), Compression::Forbidden, &json);
        if json.starts_with(b"{") || json.starts_with(b"[") {
            assert_eq!(decode_unpacked(&key(), kind, id, &again), Ok(json));
        }
    }
    answer
}

fn unpacked_samples() -> Vec<Vec<u8>> {
    let marked = |frame: Vec<u8>| [vec![2], frame].concat();
    let mut samples = frame_samples().into_iter().map(marked).collect::<Vec<_>>();
    samples.extend([b"{}".to_vec(), b"[1,2,[3]]".to_vec()]);
    samples
}

/// Two raw and two compressed blobs of both kinds, one behind the other.
fn entries() -> Vec<BlobEntry> {
    let kinds = [BlobKind::Data, BlobKind::Tree, BlobKind::Data, BlobKind::Tree];
    let entry = |(at, kind): (u32, BlobKind)| BlobEntry {
        kind,
        id: Digest::new([7; 32]),
        offset: 100 * at,
        length: 100,
        expanded: NonZeroU32::new(at / 2 * 500),
    };
    (0..4u32).zip(kinds).map(entry).collect()
}

fn read_index(json: &[u8]) -> Answer {
    let Ok(packs) = decode_index(json) else { return Answer::Refused };
    assert_eq!(decode_index(&encode_index(&packs)).expect("our own encoding is read"), packs);
    let mut index = Index::default();
    packs.iter().for_each(|pack| index.add(pack));
    for (pack, blob) in packs.iter().flat_map(|pack| pack.blobs.iter().map(move |blob| (pack, blob))) {
        let known = |place: Location| place.pack == pack.id && place.blob.offset == blob.offset;
        let kept = || index.locations(blob.kind, blob.id);
        assert!(kept().any(known) || kept().count() == COPIES_MAX, "{blob:?} is lost");
    }
    Answer::Understood
}

fn index_samples() -> Vec<Vec<u8>> {
    let pack = |byte| IndexedPack { id: Digest::new([byte; 32]), blobs: entries() };
    let id = "0a".repeat(32);
    let restics = format!(
        r#"{{"supersedes":["{id}"],"packs":[{{"id":"{id}","blobs":[{{"id":"{id}","type":"tree","offset":4294967295,"length":4294967295,"uncompressed_length":0}}]}}]}}"#
    );
    vec![encode_index(&[pack(1), pack(2)]), restics.into_bytes(), encode_index(&[])]
}

fn read_tree(json: &[u8]) -> Answer {
    let Ok(nodes) = decode_tree(json) else { return Answer::Refused };
    for pair in nodes.windows(2) {
        assert!(pair[0].name.as_bytes() < pair[1].name.as_bytes());
    }
    for Node { name, .. } in &nodes {
        let whole = !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
        assert!(whole, "{name:?} leaves its folder");
    }
    let again = encode_tree(nodes.clone(), Timestamp::from_micros(0));
    assert_eq!(decode_tree(&again).expect("our own encoding is read"), nodes);
    Answer::Understood
}

fn tree_samples() -> Vec<Vec<u8>> {
    let node = |name: &str, kind| Node { name: name.to_owned(), kind };
    let content = vec![Digest::new([7; 32]), Digest::new([8; 32])];
    let ours = vec![
        node("a<b", NodeKind::Folder(Digest::new([1; 32]))),
        node("disk-vda.raw", NodeKind::File { size: 10, content }),
        node("z\"\u{3000}", NodeKind::Other("symlink".to_owned())),
    ];
    let id = "0a".repeat(32);
    let restics = format!(
        r#"{{"nodes":[{{"name":"f","type":"file","mode":420,"mtime":"2019-12-04T02:00:00.12+09:00","atime":"0000-01-01T00:00:00Z","ctime":"x","uid":1000,"gid":1000,"user":"u","inode":18446744073709551615,"links":1,"size":3,"extended_attributes":[{{"name":"a","value":"AAAA"}}],"content":["{id}"]}},{{"name":"l","type":"symlink","linktarget":"../../etc/passwd","content":null}}]}}"#
    );
    vec![encode_tree(ours, Timestamp::from_micros(0)), restics.into_bytes()]
}

fn read_snapshot(json: &[u8]) -> Answer {
    let Ok(snapshot) = decode_snapshot(json) else { return Answer::Refused };
    let _told = (snapshot.taken_at(), snapshot.is_ours(), snapshot.is_proof(), snapshot.disk_names().count());
    let again = decode_snapshot(&to_go_json(&snapshot));
    assert_eq!(again.expect("our own encoding is read"), snapshot);
    Answer::Understood
}

fn snapshot_samples() -> Vec<Vec<u8>> {
    let id = "0a".repeat(32);
    let restics = format!(
        r#"{{"time":"2026-11-22T03:10:05.123456789+09:00","parent":"{id}","tree":"{id}","paths":["/srv","/home"],"hostname":"h","username":"root","uid":0,"excludes":["*.tmp"],"tags":["sonae","disk:vda","sonae-proof"],"original":"{id}","program_version":"restic 0.18.0","summary":{{"backup_start":"2026-11-22T03:10:05Z","backup_end":"2026-11-22T03:10:06Z","files_new":1,"files_changed":0,"files_unmodified":0,"dirs_new":0,"dirs_changed":0,"dirs_unmodified":0,"data_blobs":1,"tree_blobs":1,"data_added":2,"data_added_packed":1,"total_files_processed":1,"total_bytes_processed":18446744073709551615}}}}"#
    );
    vec![to_go_json(&Forger::snapshot(Digest::new([1; 32]))), restics.into_bytes()]
}

fn read_manifest(json: &[u8]) -> Answer {
    let Ok(manifest) = decode_manifest(json) else { return Answer::Refused };
    let again = decode_manifest(&to_go_json(&manifest));
    assert_eq!(again.expect("our own encoding is read"), manifest);
    Answer::Understood
}

fn read_pack_header(plain: &[u8]) -> Answer {
    let mut answer = Answer::Refused;
    for body in [0, 400, u64::from(u32::MAX), u64::MAX] {
        let Ok(blobs) = read_header(&key(), &sealed(plain), body) else { continue };
        answer = Answer::Understood;
        let mut end = 0;
        for blob in &blobs {
            assert_eq!(u64::from(blob.offset), end, "blobs lie one behind the other");
            end = blob.end();
        }
        assert!(end <= body.min(u64::from(u32::MAX)));
        let again = read_header(&key(), &sealed(&plain_header(&blobs)), body);
        assert_eq!(again.expect("our own encoding is read"), blobs);
    }
    answer
}

fn read_sealed_header(bytes: &[u8]) -> Answer {
    read_header(&key(), bytes, 400).map_or(Answer::Refused, |_blobs| Answer::Understood)
}

fn read_trailer(bytes: &[u8]) -> Answer {
    let Some((pack_bytes, rest)) = bytes.split_first_chunk::<8>() else { return Answer::Refused };
    let Some(last) = rest.first_chunk::<4>() else { return Answer::Refused };
    let pack_bytes = u64::from_le_bytes(*pack_bytes);
    let Ok(len) = header_len(*last, pack_bytes) else { return Answer::Refused };
    assert!(OVERHEAD_BYTES < len && len <= HEADER_BYTES_MAX && len as u64 + 4 <= pack_bytes);
    Answer::Understood
}

fn trailer_samples() -> Vec<Vec<u8>> {
    [(1000u64, 69u32), (u64::MAX, u32::MAX), (0, 0), (16 << 20, 16 << 20)]
        .map(|(pack, header)| [pack.to_le_bytes().as_slice(), &header.to_le_bytes()].concat())
        .to_vec()
}

/// Lengths that a frame is expanded to: those of the samples, and others.
const EXPANDED: [usize; 4] = [0, 1, 4096, 100_000];

fn read_frame(frame: &[u8]) -> Answer {
    let mut answer = Answer::Refused;
    for len in EXPANDED {
        let mut into = vec![0; len];
        let exact = Expander::new().expand_exactly(frame, &mut into);
        if let Ok(plain) = Expander::new().expand_within(frame, len) {
            assert!(plain.len() <= len);
            // Both ways of expanding agree, where both come to an answer.
            assert!(exact.is_err() || plain == into);
            answer = Answer::Understood;
        }
    }
    answer
}

fn frame_samples() -> Vec<Vec<u8>> {
    let text = "{\"packs\":[]}".repeat(400);
    let ours = ForgedBlob::squeezed(BlobKind::Data, text.as_bytes()).text;
    let empty = ForgedBlob::squeezed(BlobKind::Data, b"").text;
    vec![
        [skippable(5, 5), ours.clone()].concat(),
        [ours.clone(), ours.clone()].concat(),
        [empty.clone(), empty, ours.clone()].concat(),
        ours,
        bomb(100_000, b'[', Stated::Nothing),
        bomb(4096, b'[', Stated::Bytes(1 << 40)),
        bomb(1 << 20, 0, Stated::Bytes(4096)),
        with_window(31),
        with_window(27),
        with_dictionary(7),
        skippable(u32::MAX, 3),
        vec![],
    ]
}

fn blob_samples() -> Vec<Vec<u8>> {
    let lengths = |length: u32, expanded: u32| [length.to_le_bytes(), expanded.to_le_bytes()].concat();
    let raw = [lengths(5 + 32, 0), b"plain".to_vec()].concat();
    let frames = frame_samples().into_iter();
    frames.map(|frame| [lengths(1000, 4800), frame].concat()).chain([raw]).collect()
}

/// The first eight bytes say how long a blob is in its pack and expanded, the rest is its sealed form.
fn read_blob(bytes: &[u8]) -> Answer {
    let number = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let (Some(length), Some(expanded)) = (number(0), number(4)) else { return Answer::Refused };
    // Short, the longest that a tree may have, and longer.
    let expanded = NonZeroU32::new(match expanded % 4 {
        0 | 1 => expanded % 100_000,
        2 => 1 << 31,
        _ => expanded | 1 << 31,
    });
    let mut answer = Answer::Refused;
    for (kind, text) in [(BlobKind::Data, &bytes[8..]), (BlobKind::Tree, &sealed(&bytes[8..])[..])] {
        let entry = BlobEntry { kind, id: sha256(&bytes[8..]), offset: 0, length, expanded };
        if let Ok(plain) = BlobOpener::default().open(&key(), &entry, text) {
            assert_eq!(sha256(plain), entry.id);
            answer = Answer::Understood;
        }
    }
    answer
}

fn read_time(bytes: &[u8]) -> Answer {
    let Some(at) = std::str::from_utf8(bytes).ok().and_then(from_rfc3339) else { return Answer::Refused };
    assert_eq!(from_rfc3339(&to_rfc3339(at)), Some(at));
    Answer::Understood
}

fn time_samples() -> Vec<Vec<u8>> {
    [
        "2026-11-22T03:10:05.123456789+09:00",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:60Z",
        "9999-12-31T23:59:59.999999999-23:59",
        "-009999-01-02T01:59:59Z",
        "1969-12-31T23:59:59.5Z",
        "2026-02-30T24:00:00Z",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn read_id(bytes: &[u8]) -> Answer {
    let Ok(text) = std::str::from_utf8(bytes) else { return Answer::Refused };
    match text.parse::<Digest>() {
        Ok(id) => {
            assert_eq!(id.to_string(), text);
            Answer::Understood
        }
        Err(error) => {
            assert!(error.text.chars().count() <= 80);
            Answer::Refused
        }
    }
}

fn read_name(bytes: &[u8]) -> Answer {
    let Some(name) = std::str::from_utf8(bytes).ok().and_then(unquote_name) else { return Answer::Refused };
    assert_eq!(unquote_name(&quote_name(&name)), Some(name));
    Answer::Understood
}
