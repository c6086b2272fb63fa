//! The content of an image as one value, so that copies can be compared after the original is gone.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use sonae_types::ByteCount;

use crate::host;

/// Length and SHA-256 of some bytes: two contents are equal byte by byte exactly if these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// How many bytes.
    pub size: ByteCount,
    hash: [u8; 32],
}

/// Takes bytes in pieces and gives their [`Content`].
#[derive(Clone, Debug, Default)]
pub struct Reader {
    size: ByteCount,
    hasher: Sha256,
}

impl Reader {
    /// Takes the next bytes.
    pub fn take(&mut self, piece: &[u8]) {
        self.size += ByteCount::of_len(piece.len());
        self.hasher.update(piece);
    }

    /// The content of all bytes taken.
    #[must_use]
    pub fn finish(self) -> Content {
        Content { size: self.size, hash: self.hasher.finalize().into() }
    }
}

impl Content {
    /// Reads a file to its end.
    pub fn of(file: &Path) -> Result<Self> {
        let context = || format!("cannot read {}", file.display());
        let mut from = File::open(file).with_context(context)?;
        let mut reader = Reader::default();
        let mut piece = vec![0; 1 << 20];
        loop {
            host::go_on()?;
            match from.read(&mut piece).with_context(context)? {
                0 => return Ok(reader.finish()),
                n => reader.take(&piece[..n]),
            }
        }
    }

    /// The content of bytes in memory.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut reader = Reader::default();
        reader.take(bytes);
        reader.finish()
    }

    /// The SHA-256.
    #[must_use]
    pub const fn sha256(&self) -> sonae_types::Digest {
        sonae_types::Digest::new(self.hash)
    }

    /// The first digits of the hash, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.hash[..6].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changed_bit_is_another_content() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("image");
        let mut bytes = vec![7_u8; 3 << 20];
        let of = |bytes: &[u8]| {
            std::fs::write(&file, bytes).expect("written");
            Content::of(&file).expect("read")
        };
        let before = of(&bytes);
        bytes[2 << 20] ^= 1;
        let after = of(&bytes);
        assert_ne!(before, after);
        assert_eq!(before.size, after.size);
    }

    #[test]
    fn pieces_make_no_difference() {
        let mut reader = Reader::default();
        reader.take(b"so");
        reader.take(b"nae");
        let mut whole = Reader::default();
        whole.take(b"sonae");
        assert_eq!(reader.finish(), whole.finish());
    }
}
