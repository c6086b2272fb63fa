//! Packs: many sealed blobs in one file, with a sealed header behind them that lists them (docs/format.md, "Pack").

mod builder;
mod header;
#[cfg(test)]
mod tests;

pub use builder::{PackBuilder, SealedPack};
#[cfg(any(test, feature = "testing"))]
pub use header::plain_header;
pub use header::{HEADER_BYTES_MAX, HeaderError, header_len, read_header};

/// The size at which a pack of chunks is closed. Larger packs mean fewer files; smaller ones waste less when rewritten.
pub const PACK_BYTES: usize = 16 << 20;

/// The largest size at which a pack may be closed: restic's own limit.
pub const PACK_BYTES_MAX: usize = 128 << 20;

/// Most blobs in one pack, so that its header stays far below [`HEADER_BYTES_MAX`].
pub const PACK_BLOBS_MAX: usize = 50_000;
