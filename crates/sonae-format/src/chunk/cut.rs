//! The cutter: pages in, pieces out. Pure; it sees each page once and keeps no bytes.

use xxhash_rust::const_xxh3::const_custom_default_secret;
use xxhash_rust::xxh3::xxh3_64_with_secret;

use super::recut::UnderWay;
use super::{
    ChunkSeed, ChunkTarget, PAGE_BYTES, RESTIC_ZERO_BYTES, ZERO_CHUNK_BYTES_MAX, ZERO_RUN_BYTES_MIN, is_zero,
};

/// One piece of a disk, in the order of the disk; the pieces of a disk cover it without gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// This many bytes that become one data chunk.
    Data(u64),
    /// This many zero bytes that become one zero chunk.
    Zeros(u64),
}

/// Cuts one disk, from its first page to its last.
#[derive(Clone)]
pub struct Cutter {
    secret: [u8; 192],
    target: ChunkTarget,
    zero_page_cuts: Cut,
    /// Bytes of the data chunk under way.
    data: u64,
    /// Bytes of zeros behind it that may still turn out to be part of it.
    zeros: u64,
    sparse_mark: SparseMark,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Here,
    NotHere,
}

/// Whether the 512 KiB zero chunk that plain restic looks for has been given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SparseMark {
    Owed,
    Given,
}

impl Cutter {
    /// A cutter at the start of a disk.
    #[must_use]
    pub fn new(seed: ChunkSeed, target: ChunkTarget) -> Self {
        let mut cutter = Self {
            secret: const_custom_default_secret(seed.0),
            target,
            zero_page_cuts: Cut::NotHere,
            data: 0,
            zeros: 0,
            sparse_mark: SparseMark::Owed,
        };
        cutter.zero_page_cuts = cutter.border_behind(&[0; PAGE_BYTES]);
        cutter
    }

    /// Takes the next page and appends the pieces that are now certain to `out`.
    ///
    /// Only the last page of a disk may be shorter than [`PAGE_BYTES`].
    pub fn page(&mut self, page: &[u8], out: &mut Vec<Piece>) {
        if is_zero(page) {
            self.zeros(page.len() as u64, out);
            return;
        }
        self.settle_zeros(out);
        self.data += page.len() as u64;
        // Short of the minimum no border counts, so the hash is not even computed.
        let border =
            if self.data < self.target.min_bytes() { Cut::NotHere } else { self.border_behind(page) };
        self.cut_if(border, out);
    }

    /// Takes `len` bytes known to be zero, whole pages but at the end of a disk.
    pub fn zeros(&mut self, len: u64, out: &mut Vec<Piece>) {
        self.zeros += len;
        if ZERO_RUN_BYTES_MIN <= self.zeros && 0 < self.data {
            self.cut(out);
        }
    }

    /// Ends the disk.
    pub fn finish(mut self, out: &mut Vec<Piece>) {
        self.settle_zeros(out);
        self.cut(out);
    }

    /// Ends the run of zeros under way, since the next page is known not to be zero.
    pub fn end_zeros(&mut self, out: &mut Vec<Piece>) {
        self.settle_zeros(out);
    }

    /// What has been taken and no piece given for.
    pub(super) fn under_way(&self) -> UnderWay {
        match (self.data, self.zeros) {
            (0, 0) => UnderWay::Nothing,
            (0, ZERO_RUN_BYTES_MIN..) => UnderWay::LongZeros,
            (_, _) => UnderWay::Data,
        }
    }

    /// Bytes taken that no piece has been given for yet and whose content the caller must still hold.
    ///
    /// At most the longest data chunk and a run of zeros too short to be cut out; a long run counts nothing.
    #[must_use]
    pub fn held(&self) -> u64 {
        if ZERO_RUN_BYTES_MIN <= self.zeros { 0 } else { self.data + self.zeros }
    }

    /// The run of zeros under way ends here: a long one becomes zero chunks, a short one belongs to the data.
    fn settle_zeros(&mut self, out: &mut Vec<Piece>) {
        if self.zeros == 0 {
            return;
        }
        let mut left = std::mem::take(&mut self.zeros);
        if left < ZERO_RUN_BYTES_MIN {
            while 0 < left {
                let page = left.min(PAGE_BYTES as u64);
                left -= page;
                self.data += page;
                let border =
                    if self.data < self.target.min_bytes() { Cut::NotHere } else { self.zero_page_cuts };
                self.cut_if(border, out);
            }
            return;
        }
        if self.sparse_mark == SparseMark::Owed && RESTIC_ZERO_BYTES <= left {
            self.sparse_mark = SparseMark::Given;
            out.push(Piece::Zeros(RESTIC_ZERO_BYTES));
            left -= RESTIC_ZERO_BYTES;
        }
        while 0 < left {
            let piece = left.min(ZERO_CHUNK_BYTES_MAX);
            out.push(Piece::Zeros(piece));
            left -= piece;
        }
    }

    fn cut_if(&mut self, border: Cut, out: &mut Vec<Piece>) {
        if border == Cut::Here || self.target.max_bytes() <= self.data {
            self.cut(out);
        }
    }

    fn cut(&mut self, out: &mut Vec<Piece>) {
        if 0 < self.data {
            out.push(Piece::Data(std::mem::take(&mut self.data)));
        }
    }

    fn border_behind(&self, page: &[u8]) -> Cut {
        if xxh3_64_with_secret(page, &self.secret) & self.target.mask() == 0 {
            Cut::Here
        } else {
            Cut::NotHere
        }
    }
}

impl std::fmt::Debug for Cutter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cutter")
            .field("target", &self.target)
            .field("data", &self.data)
            .field("zeros", &self.zeros)
            .finish_non_exhaustive()
    }
}
