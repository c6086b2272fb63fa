//! Disks and targets together: the contract on every kind of place, and that what is written is what is read.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use sonae_types::{ByteCount, ByteOffset, DiskError, DiskRead, DiskTarget, ExtentKind, TargetState};

use crate::contract::{check_read, check_target, noise};
use crate::testing::{Fault, FaultyDisk};
use crate::{RawDisk, RawTarget};

pub(crate) mod support;

use support::{Loop, folders, sparse_file};

const KIB: usize = 1024;

/// Where the data lies in a file of holes.
type Pieces = Vec<(usize, Vec<u8>)>;

#[test]
fn files_with_holes_anywhere_keep_the_contract_of_disks() {
    let data = |at: usize, len: usize| (at, noise(at as u64 + 1, len));
    let cases: [(&str, usize, Pieces); 9] = [
        ("empty", 0, vec![]),
        ("one sector", 512, vec![data(0, 512)]),
        ("one sector that is a hole", 512, vec![]),
        ("all hole", 3072 * KIB, vec![]),
        ("all data", 1000 * KIB + 512, vec![data(0, 1000 * KIB + 512)]),
        ("hole at the start", 512 * KIB, vec![data(256 * KIB, 256 * KIB)]),
        ("hole in the middle", 768 * KIB, vec![data(0, 256 * KIB), data(512 * KIB, 256 * KIB)]),
        ("hole at the end", 512 * KIB + 1536, vec![data(0, 256 * KIB)]),
        ("bytes of data in holes", 512 * KIB + 7, vec![data(70 * KIB + 1, 1), data(300 * KIB, 4 * KIB + 1)]),
    ];
    for folder in folders() {
        for (name, size, pieces) in &cases {
            let path = folder.path().join(name);
            let content = sparse_file(&path, *size, pieces);
            check_read(&RawDisk::open(&path).unwrap(), &content);
        }
    }
}

#[test]
fn holes_are_found_where_the_file_system_has_them() {
    for folder in folders() {
        let path = folder.path().join("disk");
        sparse_file(&path, 3072 * KIB, &[(1024 * KIB, noise(1, 1024 * KIB))]);
        let disk = RawDisk::open(&path).unwrap();
        for (at, kind, end) in [(0, ExtentKind::Hole, 1), (1, ExtentKind::Data, 2), (2, ExtentKind::Hole, 3)]
        {
            let extent = disk.extent_at(ByteOffset::new(at * 1024 * 1024)).unwrap();
            assert_eq!((extent.kind, extent.end), (kind, ByteOffset::new(end * 1024 * 1024)), "{path:?}");
        }
    }
}

#[test]
fn new_files_keep_the_contract_of_targets() {
    for folder in folders() {
        let count = AtomicU32::new(0);
        check_target(&|size| {
            let path = folder.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
            let target = RawTarget::create(&path, size).unwrap();
            assert_eq!(target.state(), TargetState::Fresh);
            Box::new(target)
        });
    }
}

#[test]
fn existing_files_keep_the_contract_of_targets() {
    for folder in folders() {
        let path = folder.path().join("disk");
        check_target(&|size| {
            fs::write(&path, noise(99, size.as_len())).unwrap();
            Box::new(RawTarget::update(&path, size).unwrap())
        });
    }
}

#[test]
fn block_devices_keep_both_contracts() {
    let device = match Loop::new(ByteCount::mib(8)) {
        Ok(device) => device,
        Err(reason) => return println!("skipped: {reason}"),
    };
    check_target(&|size| Box::new(RawTarget::update(&device.device, size).unwrap()));
    let content = noise(1, 8192 * KIB);
    let target = RawTarget::update(&device.device, ByteCount::mib(8)).unwrap();
    target.write_at(ByteOffset::ZERO, &content).unwrap();
    target.finish().unwrap();
    drop(target);
    check_read(&RawDisk::open(&device.device).unwrap(), &content);
}

#[test]
fn only_the_size_of_the_disk_is_written_to_a_larger_device() {
    let device = match Loop::new(ByteCount::mib(4)) {
        Ok(device) => device,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let mut content = noise(1, 4096 * KIB);
    fs::write(&device.device, &content).unwrap();
    let size = 1024 * KIB + 512;
    let target = RawTarget::update(&device.device, ByteCount::of_len(size)).unwrap();
    target.zero_at(ByteOffset::ZERO, target.size()).unwrap();
    target.finish().unwrap();
    drop(target);
    content[..size].fill(0);
    check_read(&RawDisk::open(&device.device).unwrap(), &content);
}

#[test]
fn a_faulty_disk_does_what_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let content = sparse_file(&path, 64 * KIB, &[(0, noise(1, KIB))]);
    let faulty = |fault| FaultyDisk::new(RawDisk::open(&path).unwrap(), fault);
    let at = ByteOffset::new(40_000);
    let read = |disk: &dyn DiskRead, from, len| disk.read_at(ByteOffset::new(from), &mut vec![0; len]);

    let broken = faulty(Fault::Unreadable(at));
    read(&broken, 0, 40_000).unwrap();
    read(&broken, 40_001, 1_000).unwrap();
    assert!(matches!(read(&broken, 39_999, 2), Err(DiskError::Io { at: told, .. }) if told == at));
    assert_eq!(broken.extent_at(ByteOffset::new(20_000)).unwrap().kind, ExtentKind::Data);
    let short = faulty(Fault::Short(at));
    read(&short, 0, 40_000).unwrap();
    assert!(matches!(read(&short, 40_000, 1), Err(DiskError::Short { at: told, .. }) if told == at));
    assert_eq!(short.extent_at(ByteOffset::new(20_000)).unwrap().kind, ExtentKind::Data);
    let changed = faulty(Fault::Changed);
    read(&changed, 0, content.len()).unwrap();
    assert!(matches!(changed.confirm_unchanged(), Err(DiskError::Changed { .. })));
    broken.confirm_unchanged().unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize, Vec<u8>),
    Zero(usize, usize),
}

const SIZE_MAX: usize = 300 * KIB;

fn step() -> impl Strategy<Value = Step> {
    // Whole pages are what restores write; anything else must be right all the same.
    let place = || prop_oneof![(0..SIZE_MAX / 4096).prop_map(|page| page * 4096), 0..SIZE_MAX];
    let len = || prop_oneof![Just(4096_usize), Just(65_536), 0..SIZE_MAX];
    prop_oneof![
        (place(), len(), any::<u64>()).prop_map(|(at, len, seed)| Step::Write(at, noise(seed, len))),
        (place(), len()).prop_map(|(at, len)| Step::Write(at, vec![0; len])),
        (place(), len()).prop_map(|(at, len)| Step::Zero(at, len)),
    ]
}

/// Carries the steps out, cut to the disk, on the target and on bytes in memory.
fn carry_out(target: &dyn DiskTarget, steps: &[Step], content: &mut [u8]) {
    let size = content.len();
    for step in steps {
        let (from, len) = match step {
            Step::Write(from, bytes) => (*from.min(&size), bytes.len()),
            Step::Zero(from, len) => (*from.min(&size), *len),
        };
        let len = len.min(size - from);
        let at = ByteOffset::new(from as u64);
        match step {
            Step::Write(_, bytes) => {
                target.write_at(at, &bytes[..len]).unwrap();
                content[from..from + len].copy_from_slice(&bytes[..len]);
            }
            Step::Zero(..) => {
                target.zero_at(at, ByteCount::of_len(len)).unwrap();
                content[from..from + len].fill(0);
            }
        }
    }
}

fn written_is_read_below(folder: &Path, size: usize, first: &[Step], second: &[Step]) {
    let path = folder.join("disk");
    let mut content = vec![0; size];
    let target = RawTarget::create(&path, ByteCount::of_len(size)).unwrap();
    carry_out(&target, first, &mut content);
    let touched = !first.is_empty();
    drop(target);
    // Interrupted and resumed.
    let target = RawTarget::create(&path, ByteCount::of_len(size)).unwrap();
    assert_eq!(target.state() == TargetState::Existing, touched);
    carry_out(&target, second, &mut content);
    target.finish().unwrap();
    drop(target);
    check_read(&RawDisk::open(&path).unwrap(), &content);
    // Written over.
    let target = RawTarget::update(&path, ByteCount::of_len(size)).unwrap();
    carry_out(&target, first, &mut content);
    target.finish().unwrap();
    drop(target);
    check_read(&RawDisk::open(&path).unwrap(), &content);
    fs::remove_file(&path).unwrap();
    assert!(support::names(folder).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_written_to_a_target_is_read_from_the_disk(
        size in prop_oneof![Just(0), Just(512), 0..SIZE_MAX],
        first in prop::collection::vec(step(), 0..6),
        second in prop::collection::vec(step(), 0..6),
    ) {
        for folder in folders() {
            written_is_read_below(folder.path(), size, &first, &second);
        }
    }
}
