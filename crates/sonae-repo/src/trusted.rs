//! The index as far as a writer may rely on it: only what is listed *and* there keeps a chunk from being stored again.

use std::collections::HashMap;

use sonae_types::{ByteCount, Digest};

use crate::blob::BlobEntry;
use crate::check::Finding;
use crate::index::{Index, IndexedPack};
use crate::reader::{DamagedFile, IndexFiles, ReadError};
use crate::repository::Repository;
use crate::store::{FileKind, FileName};

/// An index to build on, and what was left out of it.
#[derive(Debug, Default)]
pub struct TrustedIndex {
    /// Every blob in it lies in a pack that is there and is not marked to go.
    pub index: Index,
    /// Index files that cannot be read, packs that are gone or too short: damage to be repaired, which a backup heals
    /// for itself by storing those chunks again.
    pub findings: Vec<Finding>,
    /// Lengths of the chunks in packs that are gone, too short or marked.
    lost: HashMap<Digest, u32>,
}

impl TrustedIndex {
    /// The length of a chunk that was lost with its pack, or may soon be.
    #[must_use]
    pub fn lost_len(&self, chunk: Digest) -> Option<u32> {
        self.lost.get(&chunk).copied()
    }
}

impl Repository {
    /// Reads the index for a writer. List the points before, never after: a point listed later may need a newer index.
    ///
    /// A writer must not fail because something is damaged: that is the night on which a new point is worth most.
    /// Errors: the store cannot be read at all.
    pub fn load_trusted_index(&self) -> Result<TrustedIndex, ReadError> {
        // What is marked may go while this writer is at work: what it needs of that is stored again. So whoever removes
        // marked packs after the grace meets no writer that counts on them.
        let marked = self.marked_packs()?;
        self.load_index_of_present(|pack| !marked.contains(&pack.id))
    }

    /// What is listed and there, of packs that `count`.
    pub(crate) fn load_index_of_present(
        &self,
        count: impl Fn(&IndexedPack) -> bool,
    ) -> Result<TrustedIndex, ReadError> {
        let IndexFiles { good, damaged } = self.index_files()?;
        // The packs after the index: whatever an index file lists was stored before it.
        let there = self.store.list(FileKind::Data)?;
        let sizes = there.into_iter().map(|file| (file.id, file.size)).collect::<HashMap<_, _>>();
        let mut trusted = TrustedIndex::default();
        let mut distrusted = HashMap::new();
        for pack in good.iter().flat_map(|(_, packs)| packs) {
            let finding = match sizes.get(&pack.id) {
                _ if !count(pack) => None,
                Some(size) if needed(pack) <= *size => {
                    trusted.index.add(pack);
                    continue;
                }
                Some(size) => Some(too_short(pack, *size)),
                None => Some(Finding::PackMissing { pack: pack.id }),
            };
            trusted.lost.extend(pack.blobs.iter().map(|blob| (blob.id, blob.plain_len())));
            distrusted.extend(finding.map(|finding| (pack.id, finding)));
        }
        let mut distrusted = distrusted.into_iter().collect::<Vec<_>>();
        distrusted.sort_by_key(|(pack, _)| *pack);
        trusted.findings = damaged
            .into_iter()
            .map(|DamagedFile { id, cause }| {
                let file = FileName::Hashed(FileKind::Index, id);
                Finding::File { file, cause }
            })
            .chain(distrusted.into_iter().map(|(_, finding)| finding))
            .collect();
        Ok(trusted)
    }
}

/// The length up to which a pack must be there.
fn needed(pack: &IndexedPack) -> ByteCount {
    ByteCount::new(pack.blobs.iter().map(BlobEntry::end).max().unwrap_or(0))
}

fn too_short(pack: &IndexedPack, found: ByteCount) -> Finding {
    let mut blobs = pack.blobs.clone();
    blobs.sort_unstable_by_key(|blob| blob.offset);
    Finding::PackSize { pack: pack.id, expected: crate::check::expected_pack_size(&blobs), found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Listed, MemoryStore, ObjectStore as _};
    use crate::testing::{Holes, MemoryDisk, image, memory_repository, restore_disk, save_disk};

    #[test]
    fn what_a_lost_or_shortened_pack_held_is_stored_again_and_the_loss_is_told() {
        for shortened in [false, true] {
            let store = MemoryStore::new();
            let repository = memory_repository(&store);
            save_disk(&repository, image("tnzt", 9), Holes::Told).unwrap();
            for Listed { id, .. } in store.list(FileKind::Data).unwrap() {
                let pack = FileName::Hashed(FileKind::Data, id);
                let bytes = store.get(pack).unwrap();
                store.remove(pack).unwrap();
                if shortened {
                    store.put(pack, &bytes[..bytes.len() / 3]).unwrap();
                }
            }
            let trusted = repository.load_trusted_index().unwrap();
            assert!(trusted.index.is_empty());
            let told = trusted.findings.iter().all(|finding| {
                let missing = matches!(finding, Finding::PackMissing { .. });
                let short = matches!(finding, Finding::PackSize { .. });
                (missing && !shortened) || (short && shortened)
            });
            assert!(told && !trusted.findings.is_empty(), "{:?}", trusted.findings);
            let again = save_disk(&repository, image("tnzt", 9), Holes::Told).unwrap();
            let target = MemoryDisk::fresh(image("tnzt", 9).len());
            let outcome = restore_disk(&repository, &again, &target).unwrap();
            assert!(outcome.damaged.is_empty());
            assert_eq!(target.content(), image("tnzt", 9));
        }
    }

    #[test]
    fn a_damaged_index_file_keeps_nobody_from_saving() {
        let store = MemoryStore::new();
        let repository = memory_repository(&store);
        save_disk(&repository, image("tn", 0), Holes::Told).unwrap();
        let Listed { id, .. } = store.list(FileKind::Index).unwrap()[0];
        store.put(FileName::Hashed(FileKind::Index, id), b"no index at all").unwrap();
        let trusted = repository.load_trusted_index().unwrap();
        assert!(matches!(trusted.findings[..], [Finding::File { .. }]), "{:?}", trusted.findings);
        save_disk(&repository, image("tn", 0), Holes::Told).unwrap();
    }
}
