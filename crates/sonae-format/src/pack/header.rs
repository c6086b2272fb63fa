//! The pack header: `type u8 || sealed length u32le || [expanded length u32le] || id` for each blob, in order.

use std::num::NonZeroU32;

use sonae_types::Digest;

use crate::blob::{BlobEntry, BlobKind};
use crate::crypto::{CipherKey, Forged, OVERHEAD_BYTES};

/// Longest header that readers of the format accept.
pub const HEADER_BYTES_MAX: usize = 16 << 20;

const RAW_ENTRY_BYTES: usize = 37;
const SQUEEZED_ENTRY_BYTES: usize = 41;

/// A pack's header cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The length behind it does not fit the pack.
    #[error("the header claims {claimed} bytes in a pack of {pack_bytes}")]
    Length {
        /// As claimed.
        claimed: u64,
        /// Size of the pack.
        pack_bytes: u64,
    },
    /// Altered, or another key.
    #[error("the header was altered or sealed with another key")]
    Forged(#[source] Forged),
    /// Its entries are no entries, or claim more than the pack has.
    #[error("entry {at} of the header is invalid")]
    Entry {
        /// Which one, from zero.
        at: usize,
    },
}

/// Appends the header of these blobs, in plaintext.
pub(super) fn write_header(blobs: &[BlobEntry], out: &mut Vec<u8>) {
    for blob in blobs {
        let base = match blob.kind {
            BlobKind::Data => 0,
            BlobKind::Tree => 1,
        };
        out.push(if blob.expanded.is_some() { base + 2 } else { base });
        out.extend_from_slice(&blob.length.to_le_bytes());
        if let Some(expanded) = blob.expanded {
            out.extend_from_slice(&expanded.get().to_le_bytes());
        }
        out.extend_from_slice(blob.id.as_bytes());
    }
}

/// The header of these blobs, in plaintext, for whoever forges one.
#[cfg(any(test, feature = "testing"))]
pub fn plain_header(blobs: &[BlobEntry]) -> Vec<u8> {
    let mut plain = Vec::new();
    write_header(blobs, &mut plain);
    plain
}

/// The length of the sealed header, from the last four bytes of a pack of `pack_bytes`.
///
/// Errors: [`HeaderError::Length`] where it cannot be.
pub fn header_len(last_four: [u8; 4], pack_bytes: u64) -> Result<usize, HeaderError> {
    let claimed = u64::from(u32::from_le_bytes(last_four));
    let error = HeaderError::Length { claimed, pack_bytes };
    let len = usize::try_from(claimed).map_err(|_too_long| error.clone())?;
    let fits = claimed + 4 <= pack_bytes && OVERHEAD_BYTES < len && len <= HEADER_BYTES_MAX;
    if fits { Ok(len) } else { Err(error) }
}

/// Opens a sealed header and lists the blobs, whose places follow from their order.
///
/// `body_bytes` is what the pack has in front of the header. Errors: [`HeaderError`].
pub fn read_header(key: &CipherKey, sealed: &[u8], body_bytes: u64) -> Result<Vec<BlobEntry>, HeaderError> {
    let plain = key.open(sealed).map_err(HeaderError::Forged)?;
    let mut blobs = Vec::with_capacity(plain.len() / RAW_ENTRY_BYTES + 1);
    let mut rest = plain.as_slice();
    let mut offset = 0u32;
    while !rest.is_empty() {
        let error = HeaderError::Entry { at: blobs.len() };
        let (blob, len) = read_entry(rest, offset).ok_or_else(|| error.clone())?;
        offset = u32::try_from(blob.end()).ok().filter(|end| u64::from(*end) <= body_bytes).ok_or(error)?;
        blobs.push(blob);
        rest = &rest[len..];
    }
    Ok(blobs)
}

fn read_entry(bytes: &[u8], offset: u32) -> Option<(BlobEntry, usize)> {
    let (kind, squeezed) = match bytes.first()? {
        0 => (BlobKind::Data, None),
        1 => (BlobKind::Tree, None),
        2 => (BlobKind::Data, Some(())),
        3 => (BlobKind::Tree, Some(())),
        _ => return None,
    };
    let number = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let length = number(1)?;
    let (expanded, len) = match squeezed {
        None => (None, RAW_ENTRY_BYTES),
        Some(()) => (NonZeroU32::new(number(5)?), SQUEEZED_ENTRY_BYTES),
    };
    let id = bytes.get(len - 32..len)?.try_into().ok().map(Digest::new)?;
    Some((BlobEntry { kind, id, offset, length, expanded }, len))
}
