//! Files as they are: each is compared with its name before it is stored, and asked for again afterwards.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use sonae_types::{ByteCount, Digest};

use crate::copying::{CopyError, Copying, Extent, KeyFiles, Tally, UNREADABLE_MAX};
use crate::points::{Needs, sizes, sizes_of};
use crate::threads::{TRANSFERS, on_threads};
use sonae_repo::blob::BlobEntry;
use sonae_repo::check::{Depth, Finding, expected_pack_size};
use sonae_repo::environment::Stop;
use sonae_repo::hash::sha256;
use sonae_repo::index::{Index, IndexedPack, encode_index};
use sonae_repo::keep::{Confirm, keep, replace};
use sonae_repo::keyless::{KeylessError, Stored, hash_of};
use sonae_repo::reader::{DamagedFile, IndexFiles, ReadError};
use sonae_repo::repair::into_files;
use sonae_repo::store::{FileKind, FileName, Listed, ObjectStore, StoreError};
use sonae_repo::stored_pack::PACK_FILE_BYTES_MAX;
use sonae_repo::unpacked::UnpackedError;
use sonae_repo::verify::PackError;

/// Files by id.
pub(crate) type Sizes = HashMap<Digest, ByteCount>;

/// Longer files than this are on their way one at a time, so that memory stays bounded.
const LONG_BYTES: ByteCount = ByteCount::mib(32);
/// The first of so many packs is read back whole from the target; of the others, name and length are asked for.
const SAMPLED: usize = 16;
/// How often a file is read whose bytes are not what its name says: a line may lose a bit, too.
const READS: usize = 2;

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was in the target.
    There,
    /// It is now.
    Copied,
    /// The source does not have it as it should be, and the target has not.
    Refused,
}

/// The target's index.
#[derive(Debug, Default)]
pub(crate) struct Trusted {
    /// As far as it may be relied upon.
    pub(crate) index: Index,
    /// The packs that it lists, with what they hold.
    listed: HashMap<Digest, Vec<BlobEntry>>,
    /// Those of them that are not what they should be.
    bad: Vec<(Digest, Finding)>,
}

impl Fate {
    pub(crate) fn is_there(self) -> bool {
        self != Self::Refused
    }
}

impl Copying<'_> {
    /// Copies packs, then index files. Answers what the target has of the source's index then.
    pub(crate) fn bring_files(
        &self,
        files: &IndexFiles,
        index: &Index,
        needs: &Needs,
        tally: &Tally,
    ) -> Result<Index, CopyError> {
        if self.keys == KeyFiles::Taken {
            self.transfer_all(FileKind::Key, &self.source.store().list(FileKind::Key)?, tally)?;
        }
        let packs = self.source.store().list(FileKind::Data)?;
        match self.extent {
            Extent::Everything => self.bring_everything(&files.good, packs, tally),
            Extent::ThesePoints => self.bring_needed(&files.good, &packs, index, needs, tally),
        }
    }

    fn bring_everything(
        &self,
        files: &[(Digest, Vec<IndexedPack>)],
        mut packs: Vec<Listed>,
        tally: &Tally,
    ) -> Result<Index, CopyError> {
        // What the source lost the target may have: it is asked for, and named where it has not.
        let listed = packs.iter().map(|pack| pack.id).collect::<HashSet<_>>();
        let named = files.iter().flat_map(|(_, packs)| packs).filter(|pack| !listed.contains(&pack.id));
        let lost = named.map(|pack| (pack.id, expected(pack))).collect::<HashMap<_, _>>();
        packs.extend(lost.into_iter().map(|(id, size)| Listed { id, size }));
        let there = self.transfer_all(FileKind::Data, &packs, tally)?;
        self.lock.confirm()?;
        let sizes = sizes(&self.source.store().list(FileKind::Index)?);
        let is_whole = |packs: &[IndexedPack]| packs.iter().all(|pack| there.contains(&pack.id));
        let whole = files.iter().filter(|(_, packs)| is_whole(packs));
        let whole = whole.filter_map(|(id, _)| Some(Listed { id: *id, size: *sizes.get(id)? }));
        let copied = self.transfer_all(FileKind::Index, &whole.collect::<Vec<_>>(), tally)?;
        // An index file that lists a pack which is not there would be damage; what is there of it is listed anew.
        let (as_they_are, others): (Vec<_>, Vec<_>) = files.iter().partition(|(id, _)| copied.contains(id));
        let of = |files: Vec<&'_ (Digest, Vec<IndexedPack>)>| {
            let packs = files.into_iter().flat_map(|(_, packs)| packs);
            packs.filter(|pack| there.contains(&pack.id)).cloned().collect::<Vec<_>>()
        };
        let (listed, rest) = (of(as_they_are), of(others));
        let mut reach = Index::default();
        if there.len() < packs.len() || !rest.is_empty() {
            // What the source cannot give may be there from an earlier copy.
            let mut trusted = self.trusted(tally)?;
            trusted.listed.extend(by_pack(listed.iter().cloned()));
            self.list_anew(rest.iter(), &trusted.listed)?;
            reach = trusted.told(tally);
        }
        listed.iter().chain(&rest).for_each(|pack| reach.add(pack));
        Ok(reach)
    }

    /// Copies the packs of which something is needed that the target does not have.
    fn bring_needed(
        &self,
        files: &[(Digest, Vec<IndexedPack>)],
        packs: &[Listed],
        index: &Index,
        needs: &Needs,
        tally: &Tally,
    ) -> Result<Index, CopyError> {
        let mut trusted = self.trusted(tally)?;
        let sizes = sizes(packs);
        let mut chosen = HashSet::new();
        for (kind, id) in needs.without(&trusted.index) {
            let places = || index.locations(kind, id).filter(|place| sizes.contains_key(&place.pack));
            if !places().any(|place| chosen.contains(&place.pack)) {
                chosen.extend(places().next().map(|place| place.pack));
            }
        }
        let packs = packs.iter().filter(|pack| chosen.contains(&pack.id)).copied().collect::<Vec<_>>();
        let there = self.transfer_all(FileKind::Data, &packs, tally)?;
        self.lock.confirm()?;
        let brought = files.iter().flat_map(|(_, packs)| packs).filter(|pack| there.contains(&pack.id));
        let brought = brought.collect::<Vec<_>>();
        self.list_anew(brought.iter().copied(), &trusted.listed)?;
        brought.into_iter().for_each(|pack| trusted.index.add(pack));
        // What was replaced is damaged no more.
        trusted.bad.retain(|(pack, _)| !there.contains(pack));
        Ok(trusted.told(tally))
    }

    /// Lists packs in new index files of the target, except those that are listed there as they are.
    fn list_anew<'p>(
        &self,
        packs: impl Iterator<Item = &'p IndexedPack>,
        listed: &HashMap<Digest, Vec<BlobEntry>>,
    ) -> Result<(), CopyError> {
        let mut new = by_pack(packs.cloned());
        new.retain(|pack, blobs| listed.get(pack) != Some(blobs));
        let mut new = new.into_iter().map(|(id, blobs)| IndexedPack { id, blobs }).collect::<Vec<_>>();
        new.sort_by_key(|pack| pack.id);
        for packs in into_files(&new) {
            let (id, bytes) = self.target.encode_unpacked(&encode_index(packs));
            keep(self.target.store(), FileName::Hashed(FileKind::Index, id), &bytes, Confirm::Bytes)?;
        }
        Ok(())
    }

    /// Reads the target's index; packs that are gone, of another size or, where all data is to be read, of other bytes
    /// are not relied upon.
    pub(crate) fn trusted(&self, tally: &Tally) -> Result<Trusted, CopyError> {
        let IndexFiles { good, damaged } = self.target.index_files()?;
        let sizes = sizes_of(self.target, FileKind::Data)?;
        let listed = by_pack(good.into_iter().flat_map(|(_, packs)| packs));
        let packs = listed.iter().map(|(id, blobs)| Listed { id: *id, size: expected_pack_size(blobs) });
        let packs = packs.collect::<Vec<_>>();
        let looked_at = on_threads(TRANSFERS, &packs, |Listed { id: pack, size }| {
            let (pack, expected) = (*pack, *size);
            let found = match sizes.get(&pack) {
                None => return Ok(Some(Finding::PackMissing { pack })),
                Some(found) if *found != expected => {
                    return Ok(Some(Finding::PackSize { pack, expected, found: *found }));
                }
                Some(found) => *found,
            };
            let sound = self.is_sound(FileName::Hashed(FileKind::Data, pack), found)?;
            Ok::<_, CopyError>((!sound).then(|| {
                let cause = StoreError::Altered {
                    name: FileName::Hashed(FileKind::Data, pack),
                    location: self.target.store().location().to_owned(),
                };
                Finding::PackDamaged { pack, cause: cause.into() }
            }))
        })?;
        let bad = packs.iter().zip(looked_at).filter_map(|(pack, bad)| Some((pack.id, bad?)));
        let mut trusted = Trusted { index: Index::default(), bad: bad.collect(), listed };
        trusted.bad.sort_by_key(|(pack, _)| *pack);
        let bad = trusted.bad.iter().map(|(pack, _)| *pack).collect::<HashSet<_>>();
        for (id, blobs) in trusted.listed.iter().filter(|(pack, _)| !bad.contains(*pack)) {
            trusted.index.add(&IndexedPack { id: *id, blobs: blobs.clone() });
        }
        let damaged = damaged.into_iter().map(|DamagedFile { id, cause }| {
            let file = FileName::Hashed(FileKind::Index, id);
            Finding::File { file, cause }
        });
        tally.report().unmended.extend(damaged);
        Ok(trusted)
    }

    /// Whether a file of the target that has the right size may be relied upon.
    pub(crate) fn is_sound(&self, file: FileName, size: ByteCount) -> Result<bool, CopyError> {
        match self.depth {
            Depth::Structure => Ok(true),
            Depth::Data => holds(self.target.store(), file, size, self.stop),
        }
    }

    /// Copies files of one kind. Answers which of them the target has then.
    fn transfer_all(
        &self,
        kind: FileKind,
        files: &[Listed],
        tally: &Tally,
    ) -> Result<HashSet<Digest>, CopyError> {
        let there = sizes_of(self.target, kind)?;
        let mut files = files.to_vec();
        files.sort_unstable();
        files.dedup_by_key(|file| file.id);
        let missing = files.iter().filter(|file| there.get(&file.id) != Some(&file.size));
        self.progress.expect(missing.map(|file| file.size).sum());
        let fates = on_threads(TRANSFERS, &files, |file| {
            self.transfer(kind, file, there.get(&file.id).copied(), tally)
        })?;
        Ok(files.iter().zip(fates).filter(|(_, fate)| fate.is_there()).map(|(file, _)| file.id).collect())
    }

    /// Copies one file. `there` is its size in the target, where there is one of its name.
    pub(crate) fn transfer(
        &self,
        kind: FileKind,
        file: &Listed,
        there: Option<ByteCount>,
        tally: &Tally,
    ) -> Result<Fate, CopyError> {
        static ALONE: Mutex<()> = Mutex::new(());
        self.stop.check()?;
        let name = FileName::Hashed(kind, file.id);
        let target = self.target.store();
        let sound = match there {
            None => false,
            Some(size) if size == file.size => self.is_sound(name, size)?,
            // One of the two is wrong, and the name tells which.
            Some(size) => holds(target, name, size, self.stop)?,
        };
        if sound {
            tally.report().there.add(file.size);
            return Ok(Fate::There);
        }
        let _alone = (LONG_BYTES < file.size).then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner));
        let bytes = match read_named(self.source.store(), name) {
            Ok(bytes) => bytes,
            Err(ReadError::Store(stopped @ StoreError::Stopped { .. })) => return Err(stopped.into()),
            Err(cause) => {
                if !cause.is_damage() && UNREADABLE_MAX < 1 + tally.unreadable.fetch_add(1, Ordering::Relaxed)
                {
                    return Err(cause.into());
                }
                tally.refuse(name, cause);
                return Ok(Fate::Refused);
            }
        };
        let sampled = tally.stored.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLED);
        let confirm = if kind == FileKind::Data && !sampled { Confirm::Length } else { Confirm::Bytes };
        match there {
            Some(_) => replace(target, name, &bytes)?,
            None => keep(target, name, &bytes, confirm)?,
        }
        let len = ByteCount::of_len(bytes.len());
        self.progress.store(len);
        self.progress.advance(len);
        let mut report = tally.report();
        if there.is_some() {
            report.replaced.add(len);
        } else {
            report.copied.add(len);
        }
        Ok(Fate::Copied)
    }
}

impl Trusted {
    /// The index alone, after what is wrong was told.
    pub(crate) fn told(self, tally: &Tally) -> Index {
        tally.report().unmended.extend(self.bad.into_iter().map(|(_, finding)| finding));
        self.index
    }
}

/// A file of this name, compared with it. Errors: the store cannot give it, or it has other bytes.
pub(crate) fn read_named(store: &dyn ObjectStore, name: FileName) -> Result<Vec<u8>, ReadError> {
    let FileName::Hashed(kind, id) = name else { return Ok(store.get(name)?) };
    let size = store.size(name)?;
    if PACK_FILE_BYTES_MAX < size {
        let cause = PackError::TooLong { size };
        return Err(ReadError::Pack { pack: id, cause });
    }
    let mut found = id;
    for _ in 0..READS {
        let bytes = store.get(name)?;
        found = sha256(&bytes);
        if found == id {
            return Ok(bytes);
        }
    }
    Err(if kind == FileKind::Data {
        ReadError::Pack { pack: id, cause: PackError::Name { found } }
    } else {
        ReadError::Unpacked { file: name, cause: UnpackedError::Name { found } }
    })
}

/// Whether the store has the file with the bytes that its name says. What cannot be read it does not have.
pub(crate) fn holds(
    store: &dyn ObjectStore,
    name: FileName,
    size: ByteCount,
    stop: &Stop,
) -> Result<bool, CopyError> {
    let FileName::Hashed(_, id) = name else { return Ok(store.size(name).is_ok()) };
    match hash_of(store, name, size, stop) {
        Ok(Stored::As(found)) => Ok(found == id),
        Ok(Stored::Shorter | Stored::Gone) => Ok(false),
        Err(KeylessError::Stopped(stopped)) => Err(stopped.into()),
        Err(KeylessError::Store(stopped @ StoreError::Stopped { .. })) => Err(stopped.into()),
        Err(KeylessError::Open(_) | KeylessError::Store(_)) => Ok(false),
    }
}

/// What packs hold, as they hold it; the same pack in several index files is one.
pub(crate) fn by_pack(packs: impl Iterator<Item = IndexedPack>) -> HashMap<Digest, Vec<BlobEntry>> {
    let mut all = HashMap::<_, Vec<BlobEntry>>::new();
    for pack in packs {
        all.entry(pack.id).or_default().extend(pack.blobs);
    }
    for blobs in all.values_mut() {
        blobs.sort_unstable_by_key(|blob| (blob.offset, blob.id));
        blobs.dedup();
    }
    all
}

/// The size that a pack must have.
fn expected(pack: &IndexedPack) -> ByteCount {
    let mut blobs = pack.blobs.clone();
    blobs.sort_unstable_by_key(|blob| blob.offset);
    expected_pack_size(&blobs)
}
