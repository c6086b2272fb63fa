//! What every disk that is read, and every target that is restored to, must do.
// A suite fails by panicking, as tests do.
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "this is test code that other crates can call"
)]

use std::thread;

use sonae_types::{ByteCount, ByteOffset, DiskError, DiskRead, DiskTarget, ExtentKind, TargetState};

type ReadClaim = fn(&dyn DiskRead, &[u8]);
type TargetClaim = fn(&dyn DiskTarget);

const READ_CLAIMS: &[(&str, ReadClaim)] = &[
    ("a_disk_has_the_size_of_its_content", size_is_that_of_the_content),
    ("every_byte_reads_as_it_is_in_pieces_of_any_length", any_piece),
    ("no_bytes_can_be_read_anywhere", no_bytes),
    ("extents_cover_the_disk_once_and_holes_are_zeros", extents),
    ("an_extent_can_be_asked_for_from_anywhere", extents_from_anywhere),
    ("what_lies_behind_the_end_is_short", behind_the_end),
    ("many_threads_read_the_same_bytes", many_readers),
    ("reading_changes_nothing", unchanged),
];

const TARGET_CLAIMS: &[(&str, TargetClaim)] = &[
    ("a_fresh_target_reads_as_zeros", fresh_is_zero),
    ("what_is_written_is_read_and_its_neighbours_stay", write_read),
    ("zeroing_zeroes_its_range_and_nothing_else", zeroing),
    ("nothing_is_written_behind_the_end", nothing_behind_the_end),
    ("many_threads_write_and_zero_without_losing_anything", many_writers),
    ("a_target_can_be_finished_twice_and_not_written_to_after", finish_twice),
];

/// Sizes that are not all whole pages, or whole sectors of any kind.
pub const SIZES: [ByteCount; 6] = [
    ByteCount::ZERO,
    ByteCount::new(1),
    ByteCount::new(512),
    ByteCount::new(4096 * 3 + 512),
    ByteCount::kib(1024),
    ByteCount::new(1024 * 1024 * 3 + 512 * 3),
];

/// Checks that `disk` reads as `content`; panics with the name of the claim that does not hold.
pub fn check_read(disk: &dyn DiskRead, content: &[u8]) {
    for (name, claim) in READ_CLAIMS {
        named(name, disk.label(), || claim(disk, content));
    }
}

/// Checks every claim about targets at every one of [`SIZES`]; `make` gives a target of that size, a new one each time.
pub fn check_target(make: &dyn Fn(ByteCount) -> Box<dyn DiskTarget>) {
    for size in SIZES {
        for (name, claim) in TARGET_CLAIMS {
            let target = make(size);
            named(name, target.label(), || claim(target.as_ref()));
        }
    }
}

fn named(name: &str, label: &str, claim: impl FnOnce()) {
    if let Err(cause) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(claim)) {
        let text = cause.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("see above");
        panic!("claim {name} does not hold for {label}: {text}");
    }
}

/// Bytes that are hardly ever zero and differ with `seed`.
#[must_use]
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
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

fn offset(at: usize) -> ByteOffset {
    ByteOffset::new(at as u64)
}

fn at(offset: ByteOffset) -> usize {
    usize::try_from(offset.get()).unwrap()
}

fn read_all(disk: &dyn DiskRead) -> Vec<u8> {
    let mut bytes = vec![0xee; disk.size().as_len()];
    disk.read_at(ByteOffset::ZERO, &mut bytes).unwrap();
    bytes
}

fn expect_same(found: &[u8], expected: &[u8], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let differs = found.iter().zip(expected).position(|(found, expected)| found != expected);
    assert_eq!(differs, None, "first byte that differs, {what}");
}

fn size_is_that_of_the_content(disk: &dyn DiskRead, content: &[u8]) {
    assert_eq!(disk.size(), ByteCount::of_len(content.len()));
}

fn any_piece(disk: &dyn DiskRead, content: &[u8]) {
    expect_same(&read_all(disk), content, "read at once");
    for piece in [4096, 65_536, 12_345] {
        for (n, expected) in content.chunks(piece).enumerate() {
            let mut found = vec![0xee; expected.len()];
            disk.read_at(offset(n * piece), &mut found).unwrap();
            expect_same(&found, expected, &format!("piece {n} of {piece}"));
        }
    }
    for (n, expected) in content.iter().enumerate().skip(content.len().saturating_sub(3)) {
        let mut found = [0xee; 1];
        disk.read_at(offset(n), &mut found).unwrap();
        assert_eq!(found[0], *expected, "byte {n}");
    }
}

fn no_bytes(disk: &dyn DiskRead, content: &[u8]) {
    for n in [0, content.len() / 2, content.len()] {
        disk.read_at(offset(n), &mut []).unwrap();
    }
}

fn extents(disk: &dyn DiskRead, content: &[u8]) {
    let end = ByteOffset::end_of(disk.size());
    let mut position = ByteOffset::ZERO;
    while position < end {
        let extent = disk.extent_at(position).unwrap();
        assert!(position < extent.end && extent.end <= end, "extent at {position} ends at {}", extent.end);
        let stretch = &content[at(position)..at(extent.end)];
        match extent.kind {
            ExtentKind::Hole => {
                assert!(stretch.iter().all(|byte| *byte == 0), "data called a hole at {position}");
            }
            ExtentKind::Data => {}
        }
        position = extent.end;
    }
    assert_eq!(position, end);
}

fn extents_from_anywhere(disk: &dyn DiskRead, content: &[u8]) {
    let len = content.len();
    for n in (0..32).map(|n| len * n / 32).chain([1, 511, 4095, 4097, len.saturating_sub(1)]) {
        if n < len {
            let extent = disk.extent_at(offset(n)).unwrap();
            assert!(
                offset(n) < extent.end && extent.end <= ByteOffset::end_of(disk.size()),
                "at {n}: {extent:?}"
            );
            let hole_is_zero =
                extent.kind == ExtentKind::Data || content[n..at(extent.end)].iter().all(|b| *b == 0);
            assert!(hole_is_zero, "data called a hole at {n}");
        }
    }
}

fn expect_short<T: std::fmt::Debug>(outcome: Result<T, DiskError>) {
    assert!(matches!(outcome, Err(DiskError::Short { .. })), "{outcome:?}");
}

fn behind_the_end(disk: &dyn DiskRead, content: &[u8]) {
    let len = content.len();
    expect_short(disk.read_at(offset(len), &mut [0; 1]));
    expect_short(disk.read_at(offset(len.saturating_sub(1)), &mut [0; 2]));
    expect_short(disk.read_at(ByteOffset::ZERO, &mut vec![0; len + 1]));
    expect_short(disk.read_at(ByteOffset::new(u64::MAX), &mut [0; 2]));
    expect_short(disk.extent_at(offset(len)));
}

fn many_readers(disk: &dyn DiskRead, content: &[u8]) {
    thread::scope(|scope| {
        for reader in 0..4 {
            scope.spawn(move || {
                for n in 0..8 {
                    let from = content.len() * ((n * 3 + reader) % 8) / 8;
                    let mut found = vec![0xee; (content.len() - from).min(100_000)];
                    disk.read_at(offset(from), &mut found).unwrap();
                    expect_same(&found, &content[from..from + found.len()], "read by many");
                    if from < content.len() {
                        disk.extent_at(offset(from)).unwrap();
                    }
                }
            });
        }
    });
}

fn unchanged(disk: &dyn DiskRead, content: &[u8]) {
    expect_same(&read_all(disk), content, "read again");
    disk.confirm_unchanged().unwrap();
    disk.confirm_unchanged().unwrap();
}

fn fresh_is_zero(target: &dyn DiskTarget) {
    match target.state() {
        TargetState::Fresh => {
            let zeros = vec![0; target.size().as_len()];
            check_read(target, &zeros);
        }
        TargetState::Existing => {}
    }
}

/// Brings the target to known content, zeros included.
fn filled(target: &dyn DiskTarget, seed: u64) -> Vec<u8> {
    let content = noise(seed, target.size().as_len());
    target.write_at(ByteOffset::ZERO, &content).unwrap();
    content
}

fn write_read(target: &dyn DiskTarget) {
    let mut content = filled(target, 1);
    let len = content.len();
    for (n, (from, to)) in
        [(0, 1), (len / 3, len / 2), (len / 7, len / 7 + 4097), (len.saturating_sub(1), len)]
            .into_iter()
            .enumerate()
    {
        let (from, to) = (from.min(len), to.min(len));
        let bytes = noise(2 + n as u64, to - from);
        target.write_at(offset(from), &bytes).unwrap();
        content[from..to].copy_from_slice(&bytes);
        expect_same(&read_all(target), &content, "after a write");
    }
    check_read(target, &content);
}

fn zeroing(target: &dyn DiskTarget) {
    let mut content = filled(target, 3);
    let len = content.len();
    let ranges = [
        (0, 1),
        (1, 1),
        (len / 2, len / 2 + 1),
        (4095, 4097),
        (4096, 8192),
        (511, len / 4),
        (len / 4, len),
        (0, len),
    ];
    for (from, to) in ranges {
        let (from, to) = (from.min(len), to.min(len));
        target.zero_at(offset(from), ByteCount::of_len(to.saturating_sub(from))).unwrap();
        if from < to {
            content[from..to].fill(0);
        }
        expect_same(&read_all(target), &content, &format!("after zeroing {from}..{to}"));
        extents(target, &content);
    }
    assert_eq!(target.size(), ByteCount::of_len(len));
    expect_same(&filled(target, 4), &read_all(target), "written over zeros");
}

fn nothing_behind_the_end(target: &dyn DiskTarget) {
    let content = filled(target, 5);
    let len = content.len();
    expect_short(target.write_at(offset(len), &[1]));
    expect_short(target.write_at(offset(len.saturating_sub(1)), &[1, 1]));
    expect_short(target.write_at(ByteOffset::new(u64::MAX), &[1, 1]));
    expect_short(target.zero_at(offset(len), ByteCount::new(1)));
    expect_short(target.zero_at(ByteOffset::ZERO, ByteCount::of_len(len + 1)));
    expect_short(target.zero_at(ByteOffset::new(1), ByteCount::new(u64::MAX)));
    check_read(target, &content);
}

fn many_writers(target: &dyn DiskTarget) {
    const PIECE: usize = 10_000;
    let mut content = filled(target, 6);
    thread::scope(|scope| {
        for writer in 0..4 {
            let len = content.len();
            scope.spawn(move || {
                for n in (writer..len.div_ceil(PIECE)).step_by(4) {
                    let piece = PIECE.min(len - n * PIECE);
                    if n % 3 == 0 {
                        target.zero_at(offset(n * PIECE), ByteCount::of_len(piece)).unwrap();
                    } else {
                        target.write_at(offset(n * PIECE), &noise(n as u64, piece)).unwrap();
                    }
                }
            });
        }
    });
    for (n, piece) in content.chunks_mut(PIECE).enumerate() {
        let bytes = if n % 3 == 0 { vec![0; piece.len()] } else { noise(n as u64, piece.len()) };
        piece.copy_from_slice(&bytes);
    }
    check_read(target, &content);
}

fn finish_twice(target: &dyn DiskTarget) {
    let content = filled(target, 7);
    target.finish().unwrap();
    target.finish().unwrap();
    for outcome in [target.write_at(ByteOffset::ZERO, &[]), target.zero_at(ByteOffset::ZERO, ByteCount::ZERO)]
    {
        assert!(matches!(outcome, Err(DiskError::Unusable { .. })), "{outcome:?}");
    }
    check_read(target, &content);
}
