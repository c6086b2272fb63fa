//! Healing a repository from a copy of it: what is damaged or missing here comes back, by name where the copy has the
//! same key, else chunk by chunk.
//!
//! Nothing that can still be read goes before its replacement was stored and asked for again. What neither place has
//! any more is told and stays as it is.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use sonae_types::{ByteCount, Digest};

use crate::copying::{Amount, CopyError};
use crate::files::{by_pack, holds, read_named};
use crate::points::{BlobSet, Needs};
use crate::threads::{TRANSFERS, on_threads};
use sonae_repo::blob::{BlobEntry, BlobKind};
use sonae_repo::check::{CheckError, Depth, Finding, expected_pack_size};
use sonae_repo::environment::{Progress, Stop};
use sonae_repo::index::{Index, IndexedPack};
use sonae_repo::keep::{Confirm, keep, replace};
use sonae_repo::lock::Lock;
use sonae_repo::reader::Points;
use sonae_repo::repair::{Repair, RepairError};
use sonae_repo::repository::Repository;
use sonae_repo::reseal::{Reseal, Resealed};
use sonae_repo::snapshot::Point;
use sonae_repo::store::{FileKind, FileName, Listed};

/// Where to heal, from what.
#[derive(Clone, Copy, Debug)]
pub struct Healing<'a> {
    /// What is to be healed.
    pub here: &'a Repository,
    /// The copy.
    pub from: &'a Repository,
    /// Whether to find what is damaged by names, sizes and references, or by reading all packs.
    pub depth: Depth,
    /// Ends it.
    pub stop: &'a Stop,
    /// How far it has come.
    pub progress: &'a Progress,
}

/// What was wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wrong {
    /// It is not there.
    Missing,
    /// It is not what its name says.
    Damaged,
}

/// What became of it; in a dry run, what would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cure {
    /// It came back from the copy as it was.
    Fetched,
    /// Nothing needs it any more: what was in it lies elsewhere now.
    TakenOut,
    /// Nothing: the copy does not have it either.
    None,
}

/// A file that was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Healed {
    /// The file.
    pub file: FileName,
    /// What was wrong.
    pub wrong: Wrong,
    /// What became of it.
    pub cure: Cure,
}

/// What healing found and did.
#[derive(Debug, Default)]
pub struct HealReport {
    /// Files that were wrong, sorted by name.
    pub files: Vec<Healed>,
    /// What was fetched as it was.
    pub fetched: Amount,
    /// Blobs that came from the copy into new packs.
    pub copied: Resealed,
    /// Blobs that were still sound in damaged packs and came into new ones.
    pub salvaged: Resealed,
    /// Points that the copy has and this place has not: forgotten here or lost, which nobody can tell.
    pub only_in_copy: usize,
    /// What is wrong afterwards; in a dry run, before.
    pub findings: Vec<Finding>,
}

type BadPacks = BTreeMap<Digest, Wrong>;

/// The packs that the index lists.
struct Packs {
    listed: HashMap<Digest, Vec<BlobEntry>>,
    /// Those that are wrong and could not be fetched.
    bad: BadPacks,
}

impl Healing<'_> {
    /// Heals. Errors: [`CopyError`]; what cannot be healed is in the report.
    pub fn run(&self, repair: Repair<'_>) -> Result<HealReport, CopyError> {
        let mut report = HealReport::default();
        if self.here.has_key_of(self.from) {
            self.heal_opening(repair, &mut report)?;
        }
        self.heal_listings(repair, &mut report)?;
        if let Repair::Write(_) = repair
            && report.files.iter().any(|healed| healed.is_lost(FileKind::Index))
        {
            // What the lost index files listed, the packs themselves tell.
            self.here.repair_index(repair, self.stop, self.progress)?;
            report.files.iter_mut().filter(|healed| healed.is_lost(FileKind::Index)).for_each(|healed| {
                healed.cure = Cure::TakenOut;
            });
        }
        let points = self.here.points()?;
        report.only_in_copy = self.only_in_copy(&points.good)?;
        let mut packs = Packs { listed: self.listed()?, bad: BadPacks::new() };
        self.find_bad_packs(&mut packs, repair, &mut report)?;
        let missing = self.rescue(&points.good, &mut packs, repair, &mut report)?;
        self.take_out(&packs, &missing, &points, repair, &mut report)?;
        report.files.sort_by_key(|healed| healed.file);
        let checked = self.here.check(Depth::Structure, self.stop, self.progress);
        report.findings = checked?.findings;
        Ok(report)
    }

    /// What is needed to open the repository at all: its configuration, and a key file that is sound.
    fn heal_opening(&self, repair: Repair<'_>, report: &mut HealReport) -> Result<(), CopyError> {
        let store = self.here.store();
        let wrong = match store.get(FileName::Config) {
            Ok(sealed) => self.here.decode_config(&sealed).is_err().then_some(Wrong::Damaged),
            Err(error) if error.is_not_found() => Some(Wrong::Missing),
            Err(error) => return Err(error.into()),
        };
        if let Some(wrong) = wrong {
            self.put_back(FileName::Config, wrong, repair, report)?;
        }
        let mut sound = false;
        let listed = store.list(FileKind::Key)?;
        for Listed { id, size } in &listed {
            let file = FileName::Hashed(FileKind::Key, *id);
            if holds(store, file, *size, self.stop)? {
                sound = true;
            } else {
                sound |= self.put_back(file, Wrong::Damaged, repair, report)?;
            }
        }
        if !sound {
            // Otherwise a password that was taken away would come back.
            let known = listed.into_iter().map(|file| file.id).collect::<HashSet<_>>();
            for key in
                self.from.store().list(FileKind::Key)?.into_iter().filter(|key| !known.contains(&key.id))
            {
                self.put_back(FileName::Hashed(FileKind::Key, key.id), Wrong::Missing, repair, report)?;
            }
        }
        Ok(())
    }

    /// Index files and points that are there and cannot be read.
    fn heal_listings(&self, repair: Repair<'_>, report: &mut HealReport) -> Result<(), CopyError> {
        let (index, points) = (self.here.index_files()?.damaged, self.here.points()?.damaged);
        for (kind, damaged) in [(FileKind::Index, index), (FileKind::Snapshot, points)] {
            for file in damaged {
                self.put_back(FileName::Hashed(kind, file.id), Wrong::Damaged, repair, report)?;
            }
        }
        Ok(())
    }

    /// Points of the copy that are not here under any id.
    fn only_in_copy(&self, points: &[Point]) -> Result<usize, CopyError> {
        let ids = |point: &Point| [Some(point.id), point.snapshot.original];
        let known = points.iter().flat_map(ids).flatten().collect::<HashSet<_>>();
        let theirs = self.from.points()?.good;
        let is_new = |point: &&Point| !ids(point).into_iter().flatten().any(|id| known.contains(&id));
        Ok(theirs.iter().filter(is_new).count())
    }

    fn listed(&self) -> Result<HashMap<Digest, Vec<BlobEntry>>, CopyError> {
        Ok(by_pack(self.here.index_files()?.good.into_iter().flat_map(|(_, packs)| packs)))
    }

    /// Looks at every pack that the index lists, and fetches those that are wrong by their names.
    fn find_bad_packs(
        &self,
        packs: &mut Packs,
        repair: Repair<'_>,
        report: &mut HealReport,
    ) -> Result<(), CopyError> {
        let sizes = self.here.store().list(FileKind::Data)?;
        let sizes = sizes.into_iter().map(|file| (file.id, file.size)).collect::<HashMap<_, _>>();
        let mut listed = packs.listed.iter().collect::<Vec<_>>();
        listed.sort_unstable_by_key(|(pack, _)| **pack);
        if self.depth == Depth::Data {
            self.progress.expect(listed.iter().map(|(_, blobs)| expected_pack_size(blobs)).sum());
        }
        let wrong = on_threads(TRANSFERS, &listed, |(pack, blobs)| {
            self.stop.check()?;
            let (size, expected) = (sizes.get(*pack), expected_pack_size(blobs));
            let file = FileName::Hashed(FileKind::Data, **pack);
            Ok::<_, CopyError>(match (size, self.depth) {
                (None, _) => Some((**pack, Wrong::Missing)),
                (Some(size), _) if *size != expected => Some((**pack, Wrong::Damaged)),
                (Some(_), Depth::Structure) => None,
                (Some(size), Depth::Data) => {
                    let sound = holds(self.here.store(), file, *size, self.stop)?;
                    self.progress.advance(expected);
                    (!sound).then_some((**pack, Wrong::Damaged))
                }
            })
        })?;
        for (pack, wrong) in wrong.into_iter().flatten() {
            self.fetch_pack(pack, wrong, packs, repair, report)?;
        }
        Ok(())
    }

    /// Fetches a pack by its name; where the copy does not have it, it is left out of everything from now on.
    fn fetch_pack(
        &self,
        pack: Digest,
        wrong: Wrong,
        packs: &mut Packs,
        repair: Repair<'_>,
        report: &mut HealReport,
    ) -> Result<(), CopyError> {
        if !self.put_back(FileName::Hashed(FileKind::Data, pack), wrong, repair, report)? {
            packs.bad.insert(pack, wrong);
        }
        Ok(())
    }

    /// Stores in new packs what points need and no sound pack has, from the sound parts of damaged packs and from the
    /// copy. Answers what neither has.
    fn rescue(
        &self,
        points: &[Point],
        packs: &mut Packs,
        repair: Repair<'_>,
        report: &mut HealReport,
    ) -> Result<BlobSet, CopyError> {
        let theirs = self.from.load_index_around_damage()?.index;
        let mut rebuilt = false;
        loop {
            let trusted = packs.index(|pack, bad| !bad.contains_key(pack));
            let needs = Needs::of(self.here, &trusted, points, self.stop)?;
            if self.doubt_listings(&needs, &trusted, packs, repair, report)? {
                continue;
            }
            let mut missing = needs.without(&trusted).into_iter().collect::<BlobSet>();
            missing.extend(needs.unreadable.iter().map(|tree| (BlobKind::Tree, *tree)));
            let Repair::Write(lock) = repair else {
                missing.retain(|(kind, id)| !theirs.has(*kind, *id));
                return Ok(missing);
            };
            if !missing.is_empty() && !std::mem::replace(&mut rebuilt, true) && self.has_unlisted(packs)? {
                self.here.repair_index(repair, self.stop, self.progress)?;
                packs.listed = self.listed()?;
                continue;
            }
            let there = packs.index(|pack, bad| bad.get(pack) == Some(&Wrong::Damaged));
            let places = [(self.here, &there), (self.from, &theirs)];
            if self.reseal(&missing, &trusted, places, lock, report)? == 0 {
                return Ok(missing);
            }
            packs.listed = self.listed()?;
        }
    }

    /// Whether packs are there that no index file lists: they may hold what seems to be missing.
    fn has_unlisted(&self, packs: &Packs) -> Result<bool, CopyError> {
        let there = self.here.store().list(FileKind::Data)?;
        Ok(there.iter().any(|pack| !packs.listed.contains_key(&pack.id)))
    }

    /// Looks at the packs of listings that should be readable and are not: they are damaged, though names and sizes
    /// are right. Answers whether anything is different now.
    fn doubt_listings(
        &self,
        needs: &Needs,
        trusted: &Index,
        packs: &mut Packs,
        repair: Repair<'_>,
        report: &mut HealReport,
    ) -> Result<bool, CopyError> {
        let places = needs.unreadable.iter().flat_map(|tree| trusted.locations(BlobKind::Tree, *tree));
        let mut different = false;
        for pack in places.map(|place| place.pack).collect::<HashSet<_>>() {
            let file = FileName::Hashed(FileKind::Data, pack);
            // In a dry run, what would be fetched is not here yet.
            if report.files.iter().any(|healed| healed.file == file) {
                continue;
            }
            let sound = match self.here.store().size(file) {
                Ok(size) => holds(self.here.store(), file, size, self.stop)?,
                Err(error) if error.is_not_found() => false,
                Err(error) => return Err(error.into()),
            };
            if !sound {
                self.fetch_pack(pack, Wrong::Damaged, packs, repair, report)?;
                different |= packs.bad.contains_key(&pack) || matches!(repair, Repair::Write(_));
            }
        }
        Ok(different)
    }

    /// Reads blobs from the first of these places that has them. Answers how many were stored.
    fn reseal(
        &self,
        missing: &BlobSet,
        trusted: &Index,
        [here, from]: [(&Repository, &Index); 2],
        lock: &Lock,
        report: &mut HealReport,
    ) -> Result<u64, CopyError> {
        let reseal = |(source, index): (&Repository, &Index), blobs: Vec<_>| {
            let Self { here: target, stop, progress, .. } = *self;
            Reseal { source, index, target, lock, stop, progress }.run(blobs, trusted)
        };
        let (salvaged, lost) = reseal(here, missing.iter().copied().collect())?;
        let (copied, _) = reseal(from, lost.blobs.into_iter().collect())?;
        report.salvaged.add(salvaged);
        report.copied.add(copied);
        Ok(salvaged.blobs + copied.blobs)
    }

    /// Takes packs out of the index and away that no point needs any more.
    fn take_out(
        &self,
        packs: &Packs,
        missing: &BlobSet,
        points: &Points,
        repair: Repair<'_>,
        report: &mut HealReport,
    ) -> Result<(), CopyError> {
        // What a point needs that cannot be read nobody knows, so nothing goes then.
        let goes = |pack: &Digest| {
            let listed = packs.listed.get(pack);
            let needed =
                listed.is_some_and(|blobs| blobs.iter().any(|blob| missing.contains(&(blob.kind, blob.id))));
            points.damaged.is_empty() && !needed
        };
        let out = packs.bad.keys().filter(|pack| goes(pack)).copied().collect::<HashSet<_>>();
        for healed in &mut report.files {
            if let FileName::Hashed(FileKind::Data, pack) = healed.file
                && out.contains(&pack)
            {
                healed.cure = Cure::TakenOut;
            }
        }
        let Repair::Write(lock) = repair else { return Ok(()) };
        let (wrong, right): (Vec<_>, Vec<_>) = (self.here.index_files()?.good.into_iter())
            .partition(|(_, packs)| packs.iter().any(|pack| out.contains(&pack.id)));
        if wrong.is_empty() {
            return Ok(());
        }
        let listed = by_pack(right.into_iter().flat_map(|(_, packs)| packs));
        let mut rest = by_pack(wrong.iter().flat_map(|(_, packs)| packs).cloned());
        rest.retain(|pack, blobs| !out.contains(pack) && listed.get(pack) != Some(blobs));
        let mut rest = rest.into_iter().map(|(id, blobs)| IndexedPack { id, blobs }).collect::<Vec<_>>();
        rest.sort_by_key(|pack| pack.id);
        let wrong = wrong.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        self.here.replace_index(&rest, &wrong, lock)?;
        for pack in out {
            match self.here.store().remove(FileName::Hashed(FileKind::Data, pack)) {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Fetches a file by its name. Answers whether the copy has it; only where it is written is it here then.
    fn put_back(
        &self,
        file: FileName,
        wrong: Wrong,
        repair: Repair<'_>,
        report: &mut HealReport,
    ) -> Result<bool, CopyError> {
        self.stop.check()?;
        let bytes = match read_named(self.from.store(), file) {
            Ok(bytes) if self.here.has_key_of(self.from) => Some(bytes),
            Ok(_) => None,
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error.into()),
        };
        let cure = if bytes.is_some() { Cure::Fetched } else { Cure::None };
        report.files.retain(|healed| healed.file != file);
        report.files.push(Healed { file, wrong, cure });
        if let (Some(bytes), Repair::Write(lock)) = (&bytes, repair) {
            let store = self.here.store();
            lock.confirm()?;
            match (file, wrong) {
                // The one file that no store replaces; it could not be opened, so nothing is lost with it.
                (FileName::Config, Wrong::Damaged) => {
                    store.remove(file)?;
                    keep(store, file, bytes, Confirm::Bytes)?;
                }
                (FileName::Config, Wrong::Missing) => keep(store, file, bytes, Confirm::Bytes)?,
                (FileName::Hashed(..), _) => replace(store, file, bytes)?,
            }
            report.fetched.add(ByteCount::of_len(bytes.len()));
        }
        Ok(bytes.is_some())
    }
}

impl Packs {
    /// The index of some of the packs.
    fn index(&self, of: impl Fn(&Digest, &BadPacks) -> bool) -> Index {
        let mut index = Index::default();
        for (id, blobs) in self.listed.iter().filter(|(pack, _)| of(pack, &self.bad)) {
            index.add(&IndexedPack { id: *id, blobs: blobs.clone() });
        }
        index
    }
}

impl Healed {
    /// Whether it is a file of this kind for which nothing could be done.
    fn is_lost(&self, kind: FileKind) -> bool {
        self.cure == Cure::None && matches!(self.file, FileName::Hashed(of, _) if of == kind)
    }
}

impl From<CheckError> for CopyError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Read(error) => Self::Read(error),
            CheckError::Stopped(error) => Self::Stopped(error),
        }
    }
}

impl From<RepairError> for CopyError {
    fn from(error: RepairError) -> Self {
        match error {
            RepairError::Read(error) => Self::Read(error),
            RepairError::Store(error) => Self::Store(error),
            RepairError::Lock(error) => Self::Lock(error),
            RepairError::Stopped(error) => Self::Stopped(error),
        }
    }
}
