//! Folders, snapshots and manifests made by somebody who has the key and means harm.

use std::sync::Arc;

use sonae_types::{Digest, Timestamp};

use super::memory::within_mib;
use crate::blob::{BlobKind, BlobOpener};
use crate::check::{Depth, Finding};
use crate::config::{CONFIG_BYTES_MAX, ConfigError};
use crate::crypto::Password;
use crate::index::Index;
use crate::key_file::{KEY_FILE_BYTES_MAX, KeyFileError};
use crate::malice::forge::{ForgedBlob, Forger, PASSWORD, Part};
use crate::malice::whole::{lay, read_all};
use crate::reader::ReadError;
use crate::repository::{OpenError, Repository};
use crate::restore::RestoreError;
use crate::snapshot::Point;
use crate::store::{FileKind, FileName, MemoryStore, ObjectStore as _};
use crate::testing::{MemoryDisk, environment, restore_disk};
use crate::tree::{NODE_NAME_BYTES_MAX, Node, NodeKind, TreeError, encode_tree};
use crate::walk::{DEPTH_MAX, Met, Walker};
use crate::{Progress, Stop};

fn forger() -> Forger {
    Forger::over(Arc::new(MemoryStore::new()))
}

fn index(forger: &Forger) -> Index {
    forger.repository().load_index_around_damage().unwrap().index
}

fn verify(forger: &Forger, point: &Point) -> Vec<Finding> {
    let points = std::slice::from_ref(point);
    let (stop, progress) = (Stop::default(), Progress::default());
    forger.repository().verify(points, &index(forger), &stop, &progress).unwrap().findings
}

fn folder(name: impl Into<String>, tree: Digest) -> Node {
    Node { name: name.into(), kind: NodeKind::Folder(tree) }
}

fn file(name: &str, size: u64, content: Vec<Digest>) -> Node {
    Node { name: name.to_owned(), kind: NodeKind::File { size, content } }
}

#[test]
fn a_name_that_leaves_its_folder_hides_that_folder_and_nothing_else() {
    let long = "x".repeat(NODE_NAME_BYTES_MAX + 1);
    for name in ["..", ".", "", "../../etc/passwd", "/etc/passwd", "a\\u0000b", "\\\\x00", "\\\\x2f", &long] {
        let forger = forger();
        let bad = forger.tree(format!(r#"{{"nodes":[{{"name":"{name}","type":"file"}}]}}"#).as_bytes());
        let missing = Digest::new([7; 32]);
        let good = forger.folder(vec![file("f", 1, vec![missing])]);
        let point =
            forger.point(Forger::snapshot(forger.folder(vec![folder("bad", bad), folder("good", good)])));
        let findings = verify(&forger, &point);
        let told = |finding: &Finding| {
            let bad =
                |cause: &ReadError| matches!(cause, ReadError::Tree { cause: TreeError::Name { .. }, .. });
            matches!(finding, Finding::Folder { path, cause, .. } if path == "/bad" && bad(cause))
                || matches!(finding, Finding::Range { path, chunk, .. } if path == "/good/f" && *chunk == missing)
        };
        assert_eq!(findings.iter().filter(|finding| told(finding)).count(), 2, "{name:.20} {findings:?}");
    }
}

#[test]
fn names_that_stand_twice_or_in_no_order_are_damage() {
    for names in [["a", "a"], ["b", "a"], ["a", "\\\\x61"]] {
        let forger = forger();
        let nodes = names.map(|name| format!(r#"{{"name":"{name}","type":"file"}}"#)).join(",");
        let point =
            forger.point(Forger::snapshot(forger.tree(format!(r#"{{"nodes":[{nodes}]}}"#).as_bytes())));
        let findings = verify(&forger, &point);
        let [Finding::Folder { cause: ReadError::Tree { cause, .. }, .. }] = &findings[..] else {
            panic!("{findings:?}")
        };
        assert!(matches!(cause, TreeError::Order { .. }), "{cause:?}");
    }
}

#[test]
fn numbers_that_no_file_has_are_damage() {
    for field in [r#""size":-1"#, r#""size":1e99"#, r#""size":18446744073709551616"#, r#""content":[1]"#] {
        let forger = forger();
        let json = format!(r#"{{"nodes":[{{"name":"f","type":"file",{field}}}]}}"#);
        let findings = verify(&forger, &forger.point(Forger::snapshot(forger.tree(json.as_bytes()))));
        assert!(matches!(findings[..], [Finding::Folder { .. }]), "{field} {findings:?}");
    }
    // Times are nothing that we read.
    let forger = forger();
    let json = br#"{"nodes":[{"name":"f","type":"file","mtime":"-9999-99-99","atime":"","ctime":"1e9"}]}"#;
    let tree = forger.tree(json);
    let mut snapshot = Forger::snapshot(tree);
    snapshot.time = "-999999-01-01T00:00:00Z".to_owned();
    assert!(verify(&forger, &forger.point(snapshot)).is_empty());
    assert_eq!(forger.repository().points().unwrap().good[0].snapshot.taken_at(), None);
}

#[test]
fn a_disk_whose_chunks_do_not_add_up_is_not_begun() {
    let forger = forger();
    let chunk = ForgedBlob::raw(BlobKind::Data, b"0123456789");
    forger.index(&[forger.pack(std::slice::from_ref(&chunk))]);
    for size in [0, 9, 11, u64::MAX] {
        let point = forger.disk(size, vec![chunk.id]);
        let disk = MemoryDisk::fresh(10);
        let error = restore_disk(forger.repository(), &point, &disk).unwrap_err();
        assert!(matches!(error, RestoreError::Size { sum: 10, .. }), "{error:?}");
        assert_eq!((disk.content(), disk.times_finished()), (vec![0; 10], 0));
        let findings = verify(&forger, &point);
        assert!(matches!(findings[..], [Finding::Size { sum: 10, .. }]), "{findings:?}");
    }
}

#[test]
fn a_chunk_of_nothing_does_no_harm_wherever_it_stands() {
    let forger = forger();
    let [chunk, nothing] = [&b"0123456789"[..], b""].map(|text| ForgedBlob::raw(BlobKind::Data, text));
    forger.index(&[forger.pack(&[chunk.clone(), nothing.clone()])]);
    let point = forger.disk(10, vec![nothing.id, chunk.id, nothing.id, nothing.id]);
    for disk in [MemoryDisk::fresh(10), MemoryDisk::source(vec![1; 10], crate::testing::Holes::Told)] {
        assert!(restore_disk(forger.repository(), &point, &disk).unwrap().damaged.is_empty());
        assert_eq!(disk.content(), b"0123456789");
    }
}

#[test]
fn a_disk_of_which_every_chunk_is_missing_tells_of_a_thousand_and_is_damaged() {
    let forger = forger();
    let point = forger.disk(1, vec![Digest::new([7; 32]); 200_000]);
    let findings = within_mib(300, || verify(&forger, &point));
    assert_eq!(findings.len(), 1000);
    let report = forger.repository().check(Depth::Data, &Stop::default(), &Progress::default()).unwrap();
    assert!(report.findings.iter().all(|finding| matches!(finding, Finding::Range { .. })));
    assert_eq!(report.findings.len(), 1000);
}

#[test]
fn every_damaged_point_is_told_however_many_there_are() {
    let forger = forger();
    let tree = forger.folder(vec![file("f", 1, vec![Digest::new([7; 32]); 500])]);
    let points = (0..40)
        .map(|n| {
            let mut snapshot = Forger::snapshot(tree);
            snapshot.username = format!("u{n}");
            forger.point(snapshot)
        })
        .collect::<Vec<_>>();
    let (stop, progress) = (Stop::default(), Progress::default());
    let findings = forger.repository().verify(&points, &index(&forger), &stop, &progress).unwrap().findings;
    for point in &points {
        let hits = findings
            .iter()
            .filter(|finding| matches!(finding, Finding::Range { point: hit, .. } if *hit == point.id));
        assert!(0 < hits.count(), "a point without a finding would count as good");
    }
    assert!(findings.len() <= 10_040, "{}", findings.len());
}

#[test]
fn folders_too_deep_to_be_followed_are_told_and_what_lies_there_is_read_elsewhere() {
    let forger = forger();
    let missing = Digest::new([7; 32]);
    let deep = forger.folder(vec![file("f", 1, vec![missing])]);
    let mut tree = deep;
    for _ in 0..=DEPTH_MAX {
        tree = forger.folder(vec![folder("d", tree)]);
    }
    let point = forger.point(Forger::snapshot(forger.folder(vec![folder("a", tree)])));
    let findings = verify(&forger, &point);
    let too_deep = |finding: &Finding| {
        matches!(finding, Finding::Folder { cause: ReadError::Tree { cause: TreeError::TooDeep, .. }, .. })
    };
    assert!(matches!(&findings[..], [finding] if too_deep(finding)), "{findings:?}");
    let nodes = vec![folder("a", tree), folder("shallow", deep), folder("z", tree)];
    let findings = verify(&forger, &forger.point(Forger::snapshot(forger.folder(nodes))));
    let read = |finding: &Finding| matches!(finding, Finding::Range { path, .. } if path == "/shallow/f");
    assert!(findings.iter().any(read), "{findings:?}");
}

#[test]
fn folders_with_long_names_in_each_other_take_the_memory_of_their_names_once() {
    let forger = forger();
    // Were every folder to hold the path to it, 1,000 of them under 28 KiB of path would take 28 MiB for each of seven
    // levels, and with the widest listings a thousand times that.
    let name = |n: usize| format!("{n:0>NODE_NAME_BYTES_MAX$}");
    let mut tree = forger.folder(vec![file("f", 0, vec![])]);
    let mut nodes = 0;
    for level in 0..7 {
        let other = |n: usize| Digest::new([u8::try_from(n % 250).unwrap() + 1; 32]);
        let mut wide = (1..1000).map(|n| folder(name(n), other(n * (level + 1)))).collect::<Vec<_>>();
        wide.push(folder(name(0), tree));
        nodes += wide.len();
        tree = forger.folder(wide);
    }
    let point = forger.point(Forger::snapshot(tree));
    let index = index(&forger);
    let met = within_mib(200, || {
        let mut met = 0;
        Walker::new(forger.repository(), &index).walk(&point, &mut |_: Met| met += 1);
        met
    });
    assert!(7 <= met && met <= nodes + 2, "{met}");
}

#[test]
fn a_tree_with_more_entries_than_a_folder_may_have_is_refused_in_time() {
    // Entries without names are refused at the first one, so they must have some; short ones make the most of them.
    let entries =
        (0..300_000).map(|n| format!(r#"{{"name":"{n:06}","type":""}}"#)).collect::<Vec<_>>().join(",");
    let json = format!(r#"{{"nodes":[{entries}]}}"#);
    let nodes = within_mib(200, || crate::tree::decode_tree(json.as_bytes()).unwrap());
    assert_eq!(nodes.len(), 300_000);
    let bytes = size_of::<Node>() + 32;
    assert!(bytes * crate::tree::NODES_MAX <= 1 << 30, "the most entries take at most 1 GiB");
}

#[test]
fn snapshots_with_giant_texts_are_damaged_points_and_hide_no_other() {
    let forger = forger();
    let tree = forger.folder(vec![]);
    let good = forger.point(Forger::snapshot(tree));
    let mut long_path = Forger::snapshot(tree);
    long_path.paths = vec!["p".repeat(1 << 20)];
    let mut long_name = Forger::snapshot(tree);
    long_name.hostname = "h".repeat(1 << 20);
    let mut many = Forger::snapshot(tree);
    many.tags = vec![String::new(); 1 << 20];
    for snapshot in [long_path, long_name, many] {
        forger.point(snapshot);
    }
    let points = within_mib(300, || forger.repository().points().unwrap());
    assert_eq!(points.good, [good]);
    assert_eq!(points.damaged.len(), 3);
}

#[test]
fn a_manifest_that_lies_about_a_disk_is_found_out() {
    for (from, to) in [
        (r#""size_bytes":"#, r#""size_bytes":1"#),
        (r#""merkle_root":""#, r#""merkle_root":"00"#),
        (r#""file":"disk-vda.raw""#, r#""file":"disk-vdb.raw""#),
        (r#""schema""#, r#""schema_""#),
    ] {
        let store = MemoryStore::new();
        lay(&store, &mut |part, bytes| {
            if part != Part::Manifest {
                return bytes;
            }
            let mut text = String::from_utf8(bytes).unwrap().replacen(from, to, 1);
            if from.contains("merkle_root") {
                // As many digits as before.
                let at = text.find(to).unwrap() + to.len();
                text.replace_range(at + 62..at + 64, "");
            }
            text.into_bytes()
        });
        assert_eq!(read_all(&store).unwrap().findings, 1, "{to}");
    }
}

#[test]
fn a_manifest_of_a_giant_list_of_chunks_is_not_read_to_its_end() {
    let forger = forger();
    let chunk = ForgedBlob::squeezed(BlobKind::Data, &vec![b' '; 4 << 20]);
    forger.index(&[forger.pack(std::slice::from_ref(&chunk))]);
    let manifest = file("manifest.json", 1, vec![chunk.id; 10_000]);
    let sonae = forger.folder(vec![manifest]);
    let vm = forger.folder(vec![folder("sonae", sonae)]);
    let mut snapshot = Forger::snapshot(forger.folder(vec![folder("vm", vm)]));
    snapshot.tags = vec!["sonae".to_owned()];
    let point = forger.point(snapshot);
    let error = within_mib(300, || forger.repository().manifest(&point, &index(&forger)).unwrap_err());
    assert!(matches!(error, ReadError::Snapshot { .. }), "{error:?}");
}

#[test]
fn a_configuration_and_a_key_file_of_giant_length_are_not_read() {
    let store = MemoryStore::new();
    let forger = Forger::over(Arc::new(store.clone()));
    let open =
        || Repository::open(Arc::new(store.clone()), environment(), &Password::from_file_bytes(PASSWORD));
    let giant = vec![b'{'; KEY_FILE_BYTES_MAX.as_len() + 1];
    let key = forger.put(FileKind::Key, &giant);
    assert!(open().is_ok(), "another key opens it");
    let slots = forger.repository().keys().unwrap();
    assert!(slots.iter().any(|slot| slot.id == key && slot.file.is_none()));
    for slot in slots.into_iter().filter(|slot| slot.id != key) {
        store.remove(FileName::Hashed(FileKind::Key, slot.id)).unwrap();
    }
    let error = open().unwrap_err();
    assert!(matches!(error, OpenError::KeyDamaged { cause: KeyFileError::TooLong { .. }, .. }), "{error:?}");
    store.remove(FileName::Config).unwrap();
    store.put(FileName::Config, &vec![7; CONFIG_BYTES_MAX.as_len() + 1]).unwrap();
    let error = open().unwrap_err();
    assert!(matches!(error, OpenError::Config { cause: ConfigError::TooLong { .. }, .. }), "{error:?}");
}

#[test]
fn a_listing_longer_than_a_chunk_may_be_is_read() {
    let forger = forger();
    let nodes = vec![file("f", 0, vec![])];
    let mut json = encode_tree(nodes.clone(), Timestamp::from_micros(0));
    json.resize(70 << 20, b' ');
    let point = forger.point(Forger::snapshot(forger.tree(&json)));
    within_mib(400, || {
        let mut opener = BlobOpener::default();
        let read = forger.repository().tree(&index(&forger), point.snapshot.tree, &mut opener).unwrap();
        assert_eq!(read, nodes);
        assert!(verify(&forger, &point).is_empty());
        let report = forger.repository().check(Depth::Data, &Stop::default(), &Progress::default()).unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    });
}
