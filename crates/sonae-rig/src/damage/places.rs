//! Where in a repository each kind of place lies, and who needs its chunks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use sonae_repo::blob::BlobKind;
use sonae_repo::index::Location;
use sonae_repo::store::{FileKind, FileName};
use sonae_repo::walk::{Met, Walker};
use sonae_types::Digest;

use super::{files_of, open};

/// A kind of place in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Region {
    /// A sealed chunk in a pack.
    Chunk(Digest),
    /// A sealed folder listing in a pack.
    Listing(Digest),
    /// A pack's sealed header.
    Header,
    /// The four bytes behind it.
    HeaderLength,
    /// A file that is no pack.
    Whole,
}

/// A stretch of bytes in one file of a repository.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// What lies there.
    pub region: Region,
    /// The file.
    pub file: FileName,
    /// Its first byte.
    pub from: u64,
    /// How many bytes it has.
    pub len: u64,
}

/// Where a chunk is needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The point.
    pub point: Digest,
    /// Its machine.
    pub vm: String,
    /// The file in it.
    pub path: String,
    /// Where in the file.
    pub offset: u64,
    /// How long the chunk is.
    pub length: u64,
}

pub(super) fn spots_in(folder: &Path) -> Result<Vec<Spot>> {
    let repository = open(folder)?;
    let mut packs = BTreeMap::<Digest, Vec<Location>>::new();
    for place in repository.load_index()?.iter() {
        packs.entry(place.pack).or_default().push(place);
    }
    let mut spots = Vec::new();
    for file in files_of(folder)? {
        let len = repository.store().size(file)?.get();
        let FileName::Hashed(FileKind::Data, pack) = file else {
            spots.push(Spot { region: Region::Whole, file, from: 0, len });
            continue;
        };
        let blobs = packs.get(&pack).context("every pack is in the index")?;
        spots.extend(blobs.iter().map(|place| {
            let id = place.blob.id;
            let region = match place.blob.kind {
                BlobKind::Data => Region::Chunk(id),
                BlobKind::Tree => Region::Listing(id),
            };
            Spot { region, file, from: place.blob.offset.into(), len: place.blob.length.into() }
        }));
        let end = blobs.iter().map(|place| place.blob.end()).max().unwrap_or(0);
        spots.push(Spot { region: Region::Header, file, from: end, len: len - 4 - end });
        spots.push(Spot { region: Region::HeaderLength, file, from: len - 4, len: 4 });
    }
    Ok(spots)
}

pub(super) fn needs_in(folder: &Path) -> Result<BTreeMap<Digest, BTreeSet<Need>>> {
    let repository = open(folder)?;
    let points = repository.points()?.good;
    let index = repository.load_index()?;
    let mut needs = BTreeMap::<Digest, BTreeSet<Need>>::new();
    for point in &points {
        Walker::new(&repository, &index).walk(point, &mut |met| {
            let Met::File(file) = met else { return };
            let mut offset = 0;
            for chunk in file.content {
                let length = u64::from(index.plain_len(BlobKind::Data, chunk).unwrap_or(0));
                let (vm, path) = (point.snapshot.hostname.clone(), file.path.clone());
                needs.entry(chunk).or_default().insert(Need { point: point.id, vm, path, offset, length });
                offset += length;
            }
        });
    }
    Ok(needs)
}
