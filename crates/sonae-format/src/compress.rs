//! zstd as the format wants it: one frame, content size present, no dictionary, no checksum; and expansion that never
//! takes more memory than its caller allows.

use zstd_safe::{CCtx, CParameter, DCtx, InBuffer, OutBuffer};

/// The level at which chunks are compressed; higher ones cost more time than the space they save is worth
/// (`cargo xtask bench engine`).
pub const LEVEL: i32 = 1;

/// Largest expansion of an unpacked file (index, snapshot, lock) that is accepted.
///
/// An index file of ours has at most 10 MB and restic's at most 30 MB. Every processor expands one at a time.
pub const UNPACKED_BYTES_MAX: usize = 128 << 20;

/// Compressed bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// zstd refused them.
    #[error("not a valid zstd frame: {0}")]
    Invalid(&'static str),
    /// They expand to another length than was stated, or beyond the limit.
    #[error("expands to another length than the stated {stated}")]
    Length {
        /// The stated length or the limit.
        stated: usize,
    },
}

/// Whether what is written may be compressed; the format's version decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Where it pays.
    Zstd,
    /// Never: readers of format 1 know no compression.
    Forbidden,
}

/// A compressor to be reused, one a thread; none inside where compression is forbidden.
pub struct Squeezer(Option<CCtx<'static>>);

/// An expander to be reused, one a thread.
pub struct Expander(DCtx<'static>);

/// What compression made of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Squeezed {
    /// So many bytes, and it was worth it.
    To(usize),
    /// Not smaller by enough: store the text as it is.
    NotWorthIt,
}

impl Squeezer {
    /// A compressor at [`LEVEL`], or one that finds nothing worth compressing.
    #[must_use]
    pub fn under(compression: Compression) -> Self {
        match compression {
            Compression::Zstd => Self::new(),
            Compression::Forbidden => Self(None),
        }
    }

    /// A compressor at [`LEVEL`].
    #[must_use]
    pub fn new() -> Self {
        let mut context = CCtx::create();
        for parameter in [
            CParameter::CompressionLevel(LEVEL),
            CParameter::ContentSizeFlag(true),
            CParameter::ChecksumFlag(false),
        ] {
            context
                .set_parameter(parameter)
                .map_err(zstd_safe::get_error_name)
                .expect("zstd knows its own parameters");
        }
        Self(Some(context))
    }

    /// Compresses `plain` into the front of `into`, which has room for the plain text at least.
    ///
    /// Saving less than one part in 64 is not worth the time that every later reader spends on expanding.
    pub fn squeeze(&mut self, plain: &[u8], into: &mut [u8]) -> Squeezed {
        let Some(context) = &mut self.0 else { return Squeezed::NotWorthIt };
        let most = plain.len() - plain.len() / 64;
        let most = most.min(into.len());
        // zstd answers with an error where the result would not fit, which is just the case "not worth it".
        match context.compress2(&mut into[..most], plain) {
            Ok(len) if len < most => Squeezed::To(len),
            Ok(_) | Err(_) => Squeezed::NotWorthIt,
        }
    }

    /// Appends a frame of `plain`, however large it gets. Panics where compression is forbidden.
    pub fn squeeze_onto(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let context = self.0.as_mut().expect("frames are asked for only where the format knows them");
        let start = out.len();
        out.resize(start + zstd_safe::compress_bound(plain.len()), 0);
        let len = context
            .compress2(&mut out[start..], plain)
            .map_err(zstd_safe::get_error_name)
            .expect("compression into a buffer of the bound's length cannot fail");
        out.truncate(start + len);
    }
}

impl Expander {
    /// An expander.
    #[must_use]
    pub fn new() -> Self {
        Self(DCtx::create())
    }

    /// Expands one frame into exactly `into`. Errors: [`ExpandError`].
    pub fn expand_exactly(&mut self, squeezed: &[u8], into: &mut [u8]) -> Result<(), ExpandError> {
        let stated = into.len();
        let len = self
            .0
            .decompress(into, squeezed)
            .map_err(|code| ExpandError::Invalid(zstd_safe::get_error_name(code)))?;
        if len == stated { Ok(()) } else { Err(ExpandError::Length { stated }) }
    }

    /// Expands frames of unknown length, at most `limit` bytes. Errors: [`ExpandError`].
    pub fn expand_within(&mut self, squeezed: &[u8], limit: usize) -> Result<Vec<u8>, ExpandError> {
        let mut plain = Vec::new();
        self.expand_onto(squeezed, &mut plain, limit)?;
        Ok(plain)
    }

    /// Appends what frames of unknown length expand to, at most `limit` bytes; answers how many. Memory is taken as they
    /// come, whatever is stated. Errors: [`ExpandError`]; a part may then have been appended.
    pub fn expand_onto(
        &mut self,
        squeezed: &[u8],
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<usize, ExpandError> {
        let invalid = |code| ExpandError::Invalid(zstd_safe::get_error_name(code));
        self.0.init().map_err(invalid)?;
        let mut source = InBuffer::around(squeezed);
        let mut part = vec![0; DCtx::out_size()];
        let start = out.len();
        loop {
            let mut sink = OutBuffer::around(&mut part[..]);
            let hint = self.0.decompress_stream(&mut sink, &mut source).map_err(invalid)?;
            let got = sink.as_slice();
            let left = limit - (out.len() - start);
            if left < got.len() {
                return Err(ExpandError::Length { stated: limit });
            }
            if out.capacity() - out.len() < got.len() {
                // Twice as much each time, but never more than may come.
                out.reserve_exact(out.len().max(got.len()).min(left));
            }
            out.extend_from_slice(got);
            let all_read = source.pos() == squeezed.len();
            if hint == 0 && all_read {
                return Ok(out.len() - start);
            }
            if all_read && got.is_empty() {
                return Err(ExpandError::Invalid("the frame ends early"));
            }
        }
    }
}

impl Default for Squeezer {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Expander {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Squeezer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Squeezer")
    }
}

impl std::fmt::Debug for Expander {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Expander")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_squeezed_expands_to_the_same(plain in proptest::collection::vec(0..4u8, 0..5000)) {
            let mut squeezed = Vec::new();
            Squeezer::new().squeeze_onto(&plain, &mut squeezed);
            prop_assert_eq!(Expander::new().expand_within(&squeezed, plain.len()), Ok(plain.clone()));
            let mut exact = vec![1; plain.len()];
            prop_assert_eq!(Expander::new().expand_exactly(&squeezed, &mut exact), Ok(()));
            prop_assert_eq!(exact, plain);
        }

        #[test]
        fn any_bytes_end_in_an_answer_within_the_limit(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0..400usize) {
            let mut frame = Vec::new();
            Squeezer::new().squeeze_onto(&bytes, &mut frame);
            frame.truncate(cut);
            for input in [&bytes, &frame] {
                if let Ok(plain) = Expander::new().expand_within(input, 1000) { prop_assert!(plain.len() <= 1000); }
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let mut bomb = Vec::new();
        Squeezer::new().squeeze_onto(&vec![0; 64 << 20], &mut bomb);
        assert!(bomb.len() < 16 << 10);
        assert_eq!(
            Expander::new().expand_within(&bomb, 1 << 20),
            Err(ExpandError::Length { stated: 1 << 20 })
        );
        assert!(Expander::new().expand_exactly(&bomb, &mut [0; 1024]).is_err());
    }

    #[test]
    fn noise_is_not_worth_compressing() {
        let mut noise = 1u64;
        let noise = (0..4096)
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                noise.to_be_bytes()[0]
            })
            .collect::<Vec<_>>();
        assert_eq!(Squeezer::new().squeeze(&noise, &mut [0; 8192]), Squeezed::NotWorthIt);
        assert_eq!(Squeezer::new().squeeze(&[], &mut [0; 64]), Squeezed::NotWorthIt);
    }
}
