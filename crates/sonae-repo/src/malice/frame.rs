//! zstd frames put together by hand: valid ones that expand to whatever is wanted, and those that readers must survive.

/// What begins every frame.
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// What begins a frame that is to be skipped.
const SKIPPABLE: [u8; 4] = 0x184d_2a50_u32.to_le_bytes();
/// Longest content of one block.
const BLOCK_BYTES_MAX: u64 = 128 << 10;
/// A window of 1 MiB: exponent 10 over the smallest window of 1 KiB.
const WINDOW_1_MIB: u8 = 10 << 3;

/// What the header of a frame says about the length of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stated {
    /// Nothing.
    Nothing,
    /// This, true or not.
    Bytes(u64),
}

/// A frame that expands to `len` times the byte `value`, in about three parts in 100,000 of that length.
#[must_use]
pub fn bomb(len: u64, value: u8, stated: Stated) -> Vec<u8> {
    let mut frame = MAGIC.to_vec();
    match stated {
        Stated::Nothing => frame.extend([0, WINDOW_1_MIB]),
        Stated::Bytes(stated) => {
            frame.extend([3 << 6, WINDOW_1_MIB]);
            frame.extend(stated.to_le_bytes());
        }
    }
    let mut left = len;
    while 0 < left {
        let part = left.min(BLOCK_BYTES_MAX);
        left -= part;
        block(&mut frame, part, value, Place::Between);
    }
    block(&mut frame, 0, value, Place::Last);
    frame
}

/// A frame of one byte whose header demands a window of 2^`log` bytes.
#[must_use]
pub fn with_window(log: u8) -> Vec<u8> {
    let mut frame = MAGIC.to_vec();
    frame.extend([0, log.saturating_sub(10) << 3]);
    block(&mut frame, 1, b'{', Place::Last);
    frame
}

/// A frame of one byte that needs the dictionary with this number.
#[must_use]
pub fn with_dictionary(number: u32) -> Vec<u8> {
    let mut frame = MAGIC.to_vec();
    frame.extend([3, WINDOW_1_MIB]);
    frame.extend(number.to_le_bytes());
    block(&mut frame, 1, b'{', Place::Last);
    frame
}

/// A frame without content that says that `claimed` bytes are to be skipped, and has `len` of them.
#[must_use]
pub fn skippable(claimed: u32, len: usize) -> Vec<u8> {
    let mut frame = SKIPPABLE.to_vec();
    frame.extend(claimed.to_le_bytes());
    frame.resize(frame.len() + len, 7);
    frame
}

/// A block of `len` times `value`; `place` tells whether it is the last one.
fn block(frame: &mut Vec<u8>, len: u64, value: u8, place: Place) {
    let len = u32::try_from(len).expect("a block is short");
    let last = match place {
        Place::Last => 1,
        Place::Between => 0,
    };
    let header = len << 3 | 1 << 1 | last;
    frame.extend(&header.to_le_bytes()[..3]);
    frame.push(value);
}

enum Place {
    Between,
    Last,
}
