//! Odd disks: images put together from the few kinds of pages that make a difference, the same for the same recipe.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use sonae_types::ByteCount;

use crate::corpus::random::Random;

/// A page.
pub const PAGE: ByteCount = ByteCount::kib(4);

/// What lies in one stretch of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// A hole: zeros that are nowhere stored.
    Hole(ByteCount),
    /// Zeros that are stored.
    Zeros(ByteCount),
    /// Bytes that no compressor shrinks; the number makes them different from others.
    Noise(u64, ByteCount),
    /// Lines that compress well; the number makes them different from others.
    Text(u64, ByteCount),
}

impl Stretch {
    fn len(self) -> ByteCount {
        match self {
            Self::Hole(len) | Self::Zeros(len) | Self::Noise(_, len) | Self::Text(_, len) => len,
        }
    }

    fn bytes(self) -> Vec<u8> {
        let len = self.len().as_len();
        match self {
            Self::Hole(_) | Self::Zeros(_) => vec![0; len],
            Self::Noise(seed, _) => {
                let mut bytes = vec![0; len];
                Random::of(seed, "odd disk", 0).fill(&mut bytes);
                bytes
            }
            Self::Text(seed, _) => {
                let mut random = Random::of(seed, "odd text", 0);
                let mut bytes = Vec::with_capacity(len + 64);
                while bytes.len() < len {
                    let (number, ward) = (random.below(1 << 40), random.below(23));
                    bytes.extend_from_slice(
                        format!("{number:013}; 区 {ward:02}; moved in; 届出済\n").as_bytes(),
                    );
                }
                bytes.truncate(len);
                bytes
            }
        }
    }
}

/// Makes an image of these stretches, one after another, in place of any older one.
pub fn make(path: &Path, stretches: &[Stretch]) -> Result<()> {
    let context = || format!("cannot make {}", path.display());
    let file = File::create(path).with_context(context)?;
    let size: ByteCount = stretches.iter().map(|stretch| stretch.len()).sum();
    file.set_len(size.get()).with_context(context)?;
    let mut at = 0;
    for stretch in stretches {
        if !matches!(stretch, Stretch::Hole(_)) {
            file.write_all_at(&stretch.bytes(), at).with_context(context)?;
        }
        at += stretch.len().get();
    }
    // Delayed allocation would make the file look smaller than it is.
    file.sync_all().with_context(context)
}

/// Writes a stretch over what is there.
pub fn overwrite(path: &Path, at: ByteCount, stretch: Stretch) -> Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&stretch.bytes(), at.get())
        .with_context(|| format!("cannot write to {}", path.display()))
}

/// Makes a file of these bytes.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    File::create(path)?.write_all(bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// What a file takes of its file system, once that has decided.
pub fn allocated(path: &Path) -> Result<ByteCount> {
    let file = File::open(path)?;
    file.sync_all()?;
    Ok(ByteCount::new(file.metadata()?.blocks() * 512))
}

/// Gives a file an extended attribute. Errors: the file system keeps none.
pub fn set_attribute(path: &Path, name: &str, value: &[u8]) -> std::io::Result<()> {
    Ok(rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty())?)
}

/// What a file takes of its file system right now; none where there is no file.
#[must_use]
pub fn taken_now(path: &Path) -> Option<ByteCount> {
    std::fs::metadata(path).ok().map(|file| ByteCount::new(file.blocks() * 512))
}

/// A disk with everything: text, noise, holes, written zeros, long and short runs of both.
#[must_use]
pub fn mixed() -> Vec<Stretch> {
    use Stretch::{Hole, Noise, Text, Zeros};
    let (kib, mib) = (ByteCount::kib, ByteCount::mib);
    vec![
        Text(1, kib(300)),
        Noise(2, mib(3)),
        Zeros(kib(32)),
        Text(3, mib(2)),
        Hole(mib(6)),
        Noise(4, kib(4)),
        Zeros(mib(5)),
        Text(5, mib(1)),
        Hole(kib(512)),
        Noise(6, mib(2)),
        Zeros(kib(64)),
        Noise(2, mib(1)),
        Hole(kib(64)),
        Text(3, mib(2)),
        Zeros(mib(1)),
    ]
}

/// A disk of an odd size that is nearly only a hole, with data at its very end.
#[must_use]
pub fn sparse_and_odd() -> Vec<Stretch> {
    use Stretch::{Hole, Noise, Text};
    vec![
        Noise(7, PAGE),
        Hole(ByteCount::mib(150)),
        Text(8, ByteCount::mib(1)),
        Hole(ByteCount::mib(149)),
        Noise(9, ByteCount::kib(66)),
        Text(10, ByteCount::new(512)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Content;

    #[test]
    fn the_same_recipe_gives_the_same_disk_and_holes_take_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        make(&one, &sparse_and_odd()).unwrap();
        make(&two, &sparse_and_odd()).unwrap();
        assert_eq!(Content::of(&one).unwrap(), Content::of(&two).unwrap());
        assert_eq!(
            std::fs::metadata(&one).unwrap().len(),
            ByteCount::mib(300).get() + ByteCount::kib(70).get() + 512
        );
        assert!(allocated(&one).unwrap() < ByteCount::mib(2));
        overwrite(&two, ByteCount::ZERO, Stretch::Zeros(PAGE)).unwrap();
        assert_ne!(Content::of(&one).unwrap(), Content::of(&two).unwrap());
    }
}
