//! Packs, blobs and index files made by somebody who has the key and means harm.

use std::num::NonZeroU32;
use std::sync::Arc;

use sonae_types::Digest;

use super::memory::within_mib;
use crate::blob::{BlobEntry, BlobError, BlobKind, BlobOpener};
use crate::check::{CheckReport, Depth, Finding};
use crate::compress::{ExpandError, Expander};
use crate::hash::sha256;
use crate::index::IndexedPack;
use crate::malice::forge::{ForgedBlob, Forger, Part};
use crate::malice::frame::{Stated, bomb, skippable, with_dictionary, with_window};
use crate::malice::whole::{lay, read_all};
use crate::pack::HeaderError;
use crate::reader::ReadError;
use crate::repository::Repository;
use crate::restore::{RestoreError, RestoreOutcome};
use crate::snapshot::Point;
use crate::store::{FileKind, MemoryStore};
use crate::testing::{MemoryDisk, restore_disk};
use crate::unpacked::UnpackedError;
use crate::verify::PackError;
use crate::{Progress, Stop};

const GIB: u64 = 1 << 30;

fn forger() -> Forger {
    Forger::over(Arc::new(MemoryStore::new()))
}

fn check(repository: &Repository) -> CheckReport {
    repository.check(Depth::Data, &Stop::default(), &Progress::default()).unwrap()
}

fn verify(repository: &Repository, point: &Point) -> Vec<Finding> {
    let index = repository.load_index_around_damage().unwrap().index;
    let points = std::slice::from_ref(point);
    repository.verify(points, &index, &Stop::default(), &Progress::default()).unwrap().findings
}

/// Restores onto a new disk; what is not whole must not be called so.
fn restore(repository: &Repository, point: &Point, size: usize) -> Result<RestoreOutcome, RestoreError> {
    let disk = MemoryDisk::fresh(size);
    let outcome = restore_disk(repository, point, &disk);
    let good = outcome.as_ref().is_ok_and(|outcome| outcome.damaged.is_empty());
    assert_eq!(disk.times_finished(), u64::from(good));
    outcome
}

/// A point whose disk is one chunk that is stored and listed so.
fn point_of(forger: &Forger, blob: &ForgedBlob) -> Point {
    forger.index(&[forger.pack(std::slice::from_ref(blob))]);
    forger.disk(blob.expanded.map_or(0, NonZeroU32::get).into(), vec![blob.id])
}

#[test]
fn a_header_that_cannot_have_its_length_is_damage_and_keeps_nothing_from_being_restored() {
    for claimed in [0, 1, 31, 32, 33, 16 << 20, (16 << 20) + 1, u32::MAX] {
        let store = MemoryStore::new();
        lay(&store, &mut |part, bytes| {
            if part == Part::Trailer { u32::to_le_bytes(claimed).to_vec() } else { bytes }
        });
        let reading = within_mib(300, || read_all(&store).unwrap());
        assert_eq!(reading.restored, 6, "{claimed}");
        assert_eq!(reading.findings, 2, "both packs are told, {claimed}");
    }
}

#[test]
fn a_bomb_takes_no_more_memory_than_its_entry_claims_and_is_damage() {
    for stated in [Stated::Nothing, Stated::Bytes(1024), Stated::Bytes(16 * GIB)] {
        for kind in [BlobKind::Data, BlobKind::Tree] {
            let forger = forger();
            let text = bomb(16 * GIB, 0, stated);
            let blob = ForgedBlob { kind, id: sha256(&[0; 1024]), text, expanded: NonZeroU32::new(1024) };
            let point = point_of(&forger, &blob);
            within_mib(200, || {
                let findings = check(forger.repository()).findings;
                let told = |finding: &Finding| matches!(finding, Finding::PackDamaged { .. });
                assert!(findings.iter().any(told), "{findings:?}");
                if kind == BlobKind::Tree {
                    let tree = Forger::snapshot(blob.id);
                    let findings = verify(forger.repository(), &forger.point(tree));
                    assert!(matches!(findings[..], [Finding::Folder { .. }]), "{findings:?}");
                }
                drop(restore(forger.repository(), &point, 1024));
            });
        }
    }
}

#[test]
fn a_length_that_no_blob_has_takes_no_memory_at_all() {
    for (kind, claimed) in [
        (BlobKind::Data, u32::MAX),
        (BlobKind::Data, (64 << 20) + 1),
        (BlobKind::Tree, u32::MAX),
        // An honest length for a listing; but there is nothing behind it.
        (BlobKind::Tree, 2 << 30),
    ] {
        let forger = forger();
        let blob = ForgedBlob { kind, ..ForgedBlob::squeezed(kind, b"tiny") }.claiming(claimed);
        let point = point_of(&forger, &blob);
        let root = forger.point(Forger::snapshot(blob.id));
        within_mib(200, || {
            assert!(!check(forger.repository()).findings.is_empty());
            assert!(!verify(forger.repository(), &root).is_empty());
            drop(restore(forger.repository(), &point, 16));
        });
    }
}

#[test]
fn a_sealed_length_beyond_its_pack_takes_no_memory_and_is_damage() {
    for (offset, length) in [(0, u32::MAX), (u32::MAX, u32::MAX), (u32::MAX, 100), (0, 64 << 20), (5, 0)] {
        let forger = forger();
        let mut pack = forger.pack(&[ForgedBlob::raw(BlobKind::Data, b"0123456789")]);
        pack.blobs[0] = BlobEntry { offset, length, ..pack.blobs[0] };
        let size = pack.blobs[0].plain_len();
        forger.index(&[pack.clone()]);
        let point = forger.disk(size.into(), vec![pack.blobs[0].id]);
        within_mib(400, || {
            let findings = check(forger.repository()).findings;
            assert!(2 <= findings.len(), "size and content of the pack, {findings:?}");
            assert!(!verify(forger.repository(), &point).is_empty());
            let outcome = restore(forger.repository(), &point, 10).unwrap();
            assert_eq!(outcome.damaged.len(), 1);
        });
    }
}

/// Three chunks of ten bytes in one pack, and what is listed of them.
fn three(forger: &Forger) -> IndexedPack {
    let texts = [&b"aaaaaaaaaa"[..], b"bbbbbbbbbb", b"cccccccccc"];
    forger.pack(&texts.map(|text| ForgedBlob::raw(BlobKind::Data, text)))
}

#[test]
fn blobs_that_lie_over_each_other_are_damage_and_the_others_are_read() {
    let forger = forger();
    let mut pack = three(&forger);
    let content = pack.blobs.iter().map(|blob| blob.id).collect::<Vec<_>>();
    // The first one is said to reach over both others, the last one to lie inside the second.
    pack.blobs[0].length = 3 * 42;
    pack.blobs[2] = BlobEntry { offset: pack.blobs[1].offset + 1, length: 35, ..pack.blobs[2] };
    forger.index(&[pack.clone()]);
    let size = pack.blobs.iter().map(|blob| u64::from(blob.plain_len())).sum();
    let point = forger.disk(size, content);
    let outcome = restore(forger.repository(), &point, usize::try_from(size).unwrap()).unwrap();
    assert_eq!(outcome.damaged.len(), 2, "the one in the middle is sound");
    assert_eq!(verify(forger.repository(), &point).len(), 2);
    let findings = check(forger.repository()).findings;
    let overlap = |finding: &Finding| {
        matches!(
            finding,
            Finding::PackDamaged { cause: ReadError::Blob { cause: BlobError::Overlap { .. }, .. }, .. }
        )
    };
    assert!(findings.iter().any(overlap), "{findings:?}");
}

#[test]
fn a_pack_that_two_index_files_list_in_parts_is_read_whole() {
    let forger = forger();
    let pack = three(&forger);
    let content = pack.blobs.iter().map(|blob| blob.id).collect();
    let part = |blobs: &[BlobEntry]| IndexedPack { id: pack.id, blobs: blobs.to_vec() };
    forger.index(&[part(&pack.blobs[1..])]);
    forger.index(&[part(&pack.blobs[..1]), part(&pack.blobs[2..])]);
    let point = forger.disk(30, content);
    assert!(restore(forger.repository(), &point, 30).unwrap().damaged.is_empty());
    assert!(verify(forger.repository(), &point).is_empty());
    assert!(check(forger.repository()).findings.is_empty());
}

#[test]
fn a_copy_of_another_length_never_runs_into_its_neighbour() {
    let forger = forger();
    let pack = three(&forger);
    let content = pack.blobs.iter().map(|blob| blob.id).collect();
    // Listed first, with a length that makes the sum come out; the sound copy is longer than its place on the disk.
    let short = BlobEntry { length: 32 + 4, ..pack.blobs[0] };
    forger.index(&[IndexedPack { id: Digest::new([9; 32]), blobs: vec![short] }, pack]);
    let point = forger.disk(24, content);
    let first = forger.repository().load_index().unwrap().locate(BlobKind::Data, short.id).unwrap();
    assert_eq!(first.blob.length, short.length, "the lie comes first");
    let disk = MemoryDisk::fresh(24);
    let outcome = restore_disk(forger.repository(), &point, &disk).unwrap();
    assert_eq!(outcome.damaged.len(), 1);
    assert_eq!(disk.content(), b"\0\0\0\0bbbbbbbbbbcccccccccc");
    assert_eq!(disk.times_finished(), 0);
}

#[test]
fn an_entry_that_leads_to_another_blob_is_refused_by_its_hash() {
    // This is also how a tree could hold itself, were ids not hashes.
    let forger = forger();
    let tree = ForgedBlob::squeezed(BlobKind::Tree, br#"{"nodes":[]}"#);
    let mut pack = forger.pack(std::slice::from_ref(&tree));
    pack.blobs[0].id = Digest::new([5; 32]);
    forger.index(&[pack]);
    let point = forger.point(Forger::snapshot(Digest::new([5; 32])));
    let findings = verify(forger.repository(), &point);
    let [
        Finding::Folder {
            cause: ReadError::Blob { cause: BlobError::OtherContent { found, .. }, .. }, ..
        },
    ] = &findings[..]
    else {
        panic!("{findings:?}")
    };
    assert_eq!(*found, tree.id);
}

#[test]
fn a_snapshot_whose_tree_is_a_chunk_is_damage() {
    let forger = forger();
    let chunk = ForgedBlob::squeezed(BlobKind::Data, br#"{"nodes":[]}"#);
    forger.index(&[forger.pack(std::slice::from_ref(&chunk))]);
    let point = forger.point(Forger::snapshot(chunk.id));
    let findings = verify(forger.repository(), &point);
    assert!(
        matches!(findings[..], [Finding::Folder { cause: ReadError::Missing { .. }, .. }]),
        "{findings:?}"
    );
}

#[test]
fn a_pack_whose_header_lists_other_blobs_than_the_index_is_damage() {
    let forger = forger();
    let blobs = [ForgedBlob::raw(BlobKind::Data, b"one"), ForgedBlob::raw(BlobKind::Data, b"two")];
    let pack = forger.pack_bent(&blobs, &mut |part, mut bytes| {
        if part == Part::Header {
            bytes.rotate_left(37);
        }
        bytes
    });
    forger.index(&[pack]);
    let findings = check(forger.repository()).findings;
    let disagree = ReadError::Pack { pack: Digest::new([0; 32]), cause: PackError::Disagree }.is_damage();
    assert!(disagree && matches!(findings[..], [Finding::PackDamaged { .. }]), "{findings:?}");
}

#[test]
fn a_header_whose_entries_exceed_the_pack_is_damage_with_the_number_of_the_entry() {
    let forger = forger();
    let pack = forger.pack_bent(&[ForgedBlob::raw(BlobKind::Data, b"one")], &mut |part, mut bytes| {
        if part == Part::Header {
            bytes[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
        }
        bytes
    });
    forger.index(&[pack]);
    let findings = check(forger.repository()).findings;
    let [Finding::PackDamaged { cause: ReadError::Pack { cause: PackError::Header(cause), .. }, .. }] =
        &findings[..]
    else {
        panic!("{findings:?}")
    };
    assert_eq!(*cause, HeaderError::Entry { at: 0 });
}

#[test]
fn an_index_file_of_ten_million_entries_in_two_megabytes_is_refused() {
    let forger = forger();
    let id = "0a".repeat(32);
    let entry = format!(r#"{{"id":"{id}","type":"data","offset":0,"length":99}},"#);
    let squeezed = |text: &str| ForgedBlob::squeezed(BlobKind::Data, text.as_bytes()).text;
    let mut plain = vec![2];
    plain.extend(squeezed(&format!(r#"{{"packs":[{{"id":"{id}","blobs":["#)));
    plain.extend(squeezed(&entry.repeat(1000)).repeat(10_000));
    plain.extend(squeezed(&format!("{}]}}]}}", entry.trim_end_matches(','))));
    assert!(plain.len() < 2 << 20);
    let file = forger.put_sealed(FileKind::Index, &plain);
    let loaded = within_mib(300, || forger.repository().load_index_around_damage().unwrap());
    assert!(loaded.index.is_empty());
    let [damaged] = &loaded.damaged[..] else { panic!("{:?}", loaded.damaged) };
    assert_eq!(damaged.id, file);
    let too_long = |cause: &ReadError| {
        matches!(cause, ReadError::Unpacked { cause: UnpackedError::Expand(ExpandError::Length { .. }), .. })
    };
    assert!(too_long(&damaged.cause), "{:?}", damaged.cause);
}

#[test]
fn a_thousand_index_files_that_would_expand_a_thousandfold_are_all_refused() {
    let forger = forger();
    for n in 0..1000u32 {
        let plain = [vec![2], bomb(GIB, b' ', Stated::Nothing), n.to_le_bytes().to_vec()].concat();
        // One of them is enough where the repository lies in memory: it is 32 KiB long, and all would be 1 TiB.
        if n.is_multiple_of(100) {
            forger.put_sealed(FileKind::Index, &plain);
            forger.put_sealed(FileKind::Snapshot, &plain);
        }
    }
    within_mib(300, || {
        assert_eq!(forger.repository().load_index_around_damage().unwrap().damaged.len(), 10);
        assert_eq!(forger.repository().points().unwrap().damaged.len(), 10);
    });
}

#[test]
fn frames_that_want_a_giant_window_or_a_dictionary_are_refused_and_empty_ones_passed_over() {
    let expand = |frame: &[u8]| within_mib(200, || Expander::new().expand_within(frame, 100));
    assert_eq!(expand(&with_window(20)).unwrap(), b"{");
    for frame in [with_window(28), with_window(41), with_dictionary(7), skippable(u32::MAX, 9)] {
        assert!(expand(&frame).is_err());
    }
    assert_eq!(expand(&[skippable(3, 3).repeat(10_000), with_window(20)].concat()).unwrap(), b"{");
    assert!(expand(&with_window(20).repeat(101)).is_err(), "many frames are no way around the limit");
    let mut opener = BlobOpener::default();
    let repository = forger();
    let blob = ForgedBlob { text: with_dictionary(7), ..ForgedBlob::squeezed(BlobKind::Data, b"{") };
    let pack = repository.pack(std::slice::from_ref(&blob));
    repository.index(&[pack]);
    let index = repository.repository().load_index().unwrap();
    assert!(repository.repository().blob(&index, BlobKind::Data, blob.id, &mut opener).is_err());
}
