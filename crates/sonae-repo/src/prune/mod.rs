//! Pruning: what no point needs goes, in two phases with a grace between them (docs/format.md, "Pruning").
//!
//! What a prune finds to be of no use it *marks*, and what was marked for longer than the grace it removes, after looking
//! at all points again. Marked packs stay in the index until they go, so that whoever counts on them meanwhile is served;
//! but no writer of ours begins to. Every run does what is due of both phases, and goes on where a killed one stopped.

mod mark;
mod remove;
mod repack;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use sonae_format::prune::{Bits, PackNumbers, Worth, kept, relied_upon};
use sonae_types::{ByteCount, Digest};

use crate::ballast::BALLAST_BYTES;
use crate::blob::BlobOpener;
use crate::environment::{Progress, Stop, Stopped};
use crate::index::{Index, PlaceNumber};
use crate::lock::{Lock, LockError};
use crate::mark::{Age, Clocks};
use crate::reader::{IndexFiles, Points, ReadError, processors};
use crate::repository::Repository;
use crate::store::{FileKind, FileName, Listed, StoreError};
use mark::StoredMark;
use remove::SmallFiles;
use repack::{Repacked, repack};
use usage::{Damaged, used};

pub use mark::GRACE;
pub use remove::Refused;
pub use sonae_format::prune::{Fate, Marked, MaxUnused, PackFacts, PruneBounds, Standing, decide};

/// Whether to change anything.
#[derive(Clone, Copy, Debug)]
pub enum Prune<'a> {
    /// Only say what would be done.
    DryRun,
    /// Do it, under this lock, which is exclusive.
    Write(&'a Lock),
}

/// Some packs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub packs: usize,
    /// Their bytes.
    pub bytes: ByteCount,
}

/// What was found and done, or would be.
#[derive(Debug, Default)]
pub struct PruneReport {
    /// Points that were looked at, proof records and those of others included.
    pub points: usize,
    /// Packs that were there.
    pub before: Amount,
    /// Bytes in them that some point needs.
    pub used: ByteCount,
    /// Packs of which what is used was copied into new ones.
    pub repacked: Amount,
    /// The new ones.
    pub written: Amount,
    /// Packs that are of no use and stay until the grace is over.
    pub waiting: Amount,
    /// Packs that went.
    pub removed: Amount,
    /// Unused bytes in packs that stay.
    pub unused_left: ByteCount,
    /// Packs that were to go and that the store did not remove.
    pub refused: Vec<Refused>,
    /// Packs with something in them that is used and damaged. They stay.
    pub damaged: Vec<Digest>,
}

/// Nothing that any point needs was removed.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The repository cannot be read, or is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Something of a point cannot be read, so nobody knows what it needs.
    #[error("{path} of point {point} cannot be read, so what it needs is not known")]
    Point {
        /// The point.
        point: Digest,
        /// The machine it is of.
        vm: String,
        /// What cannot be read.
        path: String,
        /// Why.
        #[source]
        cause: Box<ReadError>,
    },
    /// Points came or went although nobody else should work there.
    #[error("the points in {location} changed under an exclusive lock")]
    Changed {
        /// The store.
        location: String,
    },
    /// The store said that it removed a file and still lists it.
    #[error("{location} said that it removed {file} and still lists it")]
    StillListed {
        /// The store.
        location: String,
        /// The file.
        file: FileName,
    },
    /// The repository cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lock was lost.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// What is there, what is used of it, and what becomes of it.
struct Survey {
    points: HashSet<Digest>,
    index_files: Vec<Digest>,
    small_files: SmallFiles,
    index: Index,
    marks: Vec<StoredMark>,
    packs: Vec<PackFacts>,
    numbers: PackNumbers,
    used: Bits,
    kept: Bits,
    fates: Vec<Fate>,
}

impl Repository {
    /// Removes what no point needs, as far as it is due.
    ///
    /// Errors: [`PruneError`]; where it is about a point or a file that is damaged, nothing was changed.
    pub fn prune(
        &self,
        bounds: &PruneBounds,
        prune: Prune<'_>,
        stop: &Stop,
        progress: &Progress,
    ) -> Result<PruneReport, PruneError> {
        let mut survey = self.survey(bounds, prune, stop)?;
        let mut damaged = Damaged::new();
        loop {
            survey.decide(bounds, &damaged, self)?;
            let Prune::Write(lock) = prune else { return Ok(survey.report(bounds)) };
            // A copy goes only after the one that stays was read.
            let found = self.damaged_copies(&survey, &damaged, stop, progress)?;
            if found.is_empty() {
                return self.carry_out_prune(&survey, bounds, &damaged, lock, (stop, progress));
            }
            damaged.extend(found);
        }
    }

    fn survey(&self, bounds: &PruneBounds, prune: Prune<'_>, stop: &Stop) -> Result<Survey, PruneError> {
        let clock = &*self.environment.clock;
        let begun = (clock.now(), clock.monotonic());
        // Points before the index, never after: whatever a listed point references is then in the index.
        let Points { good: points, mut damaged } = self.points()?;
        let mut files = self.index_files()?;
        if let Some(file) = damaged.pop().or_else(|| files.damaged.pop()) {
            return Err(file.cause.into());
        }
        let there = self.packs_there(&files)?;
        let there = there.into_iter().map(|pack| (pack.id, pack.size)).collect::<HashMap<_, _>>();
        let IndexFiles { good: files, .. } = files;
        let index_files = files.iter().map(|(id, _)| *id).collect();
        let blobs_of = files.iter().map(|(_, packs)| packs.iter().map(|pack| pack.blobs.len()).sum());
        let small_files = SmallFiles::of(blobs_of);
        let mut index = Index::default();
        let mut listed = HashMap::new();
        for pack in files.into_iter().flat_map(|(_, packs)| packs) {
            listed.entry(pack.id).or_insert(pack.blobs.first().map(|blob| blob.kind));
            index.add(&pack);
        }
        let used = used(self, &index, &points, stop)?;
        let store_now = match prune {
            Prune::Write(lock) => lock.stored_at()?,
            Prune::DryRun => None,
        };
        let marks = self.stored_marks(&Clocks::look(clock, begun, store_now), bounds.grace)?;
        let ids = there.keys().chain(listed.keys().filter(|pack| !there.contains_key(*pack)));
        let facts = |id: &Digest| {
            let standing = match (listed.contains_key(id), there.contains_key(id)) {
                (_, false) => Standing::Gone,
                (true, true) => Standing::Listed,
                (false, true) => Standing::Unlisted,
            };
            let (size, kind) =
                (there.get(id).copied().unwrap_or_default(), listed.get(id).copied().flatten());
            PackFacts { id: *id, standing, size, used: 0, unused: 0, kind, marked: marked(&marks, *id) }
        };
        let mut packs = ids.map(facts).collect::<Vec<_>>();
        packs.sort_unstable_by_key(|pack| pack.id);
        let by_id = packs.iter().zip(0..).map(|(pack, number)| (pack.id, number)).collect::<HashMap<_, _>>();
        let numbers = PackNumbers::of(&index, |pack| by_id[&pack]);
        let points = points.into_iter().map(|point| point.id).collect();
        let kept = Bits::of(&index);
        let fates = Vec::new();
        Ok(Survey { points, index_files, small_files, index, marks, packs, numbers, used, kept, fates })
    }

    /// Reads the copies that stay of what lies in packs that go, and answers those that are damaged.
    fn damaged_copies(
        &self,
        survey: &Survey,
        known: &Damaged,
        stop: &Stop,
        progress: &Progress,
    ) -> Result<Damaged, PruneError> {
        let goes = |number| matches!(survey.fate(number), Fate::Remove | Fate::Repack);
        let places = relied_upon(&survey.index, &survey.kept, goes);
        let len = |place: PlaceNumber| ByteCount::new(u64::from(survey.index.place(place).blob.length));
        progress.expect(places.iter().map(|place| len(*place)).sum());
        let next = AtomicUsize::new(0);
        let outcome = Mutex::new((Damaged::new(), None));
        std::thread::scope(|scope| {
            for _ in 0..processors().min(places.len()) {
                scope.spawn(|| {
                    let mut opener = BlobOpener::default();
                    while let Some(number) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let answer = stop
                            .check()
                            .map_err(PruneError::from)
                            .and_then(|()| Ok(self.copy_is_sound(&survey.index, *number, &mut opener)?));
                        progress.advance(len(*number));
                        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                        match answer {
                            Ok(true) => {}
                            Ok(false) => drop(outcome.0.insert(*number)),
                            Err(error) => {
                                outcome.1.get_or_insert(error);
                                next.store(places.len(), Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        let (mut damaged, failure) = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
        damaged.retain(|number| !known.contains(number));
        failure.map_or(Ok(damaged), Err)
    }

    fn copy_is_sound(
        &self,
        index: &Index,
        number: PlaceNumber,
        opener: &mut BlobOpener,
    ) -> Result<bool, ReadError> {
        let place = index.place(number);
        match self.sealed_blob(&place) {
            Ok(sealed) => Ok(opener.open(&self.key, &place.blob, &sealed).is_ok()),
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn carry_out_prune(
        &self,
        survey: &Survey,
        bounds: &PruneBounds,
        damaged: &Damaged,
        lock: &Lock,
        (stop, progress): (&Stop, &Progress),
    ) -> Result<PruneReport, PruneError> {
        let places = survey.to_copy();
        let lengths = places.iter().map(|place| u64::from(survey.index.place(*place).blob.length));
        progress.expect(ByteCount::new(lengths.sum()));
        let repacked = repack(self, &survey.index, &places, lock, (stop, progress))?;
        let mut report = survey.report_of(bounds, |pack| repacked.done.contains(&pack.id));
        report.written = Amount { packs: repacked.new_packs, bytes: repacked.new_bytes };
        let bad = damaged.iter().map(|number| survey.index.place(*number).pack);
        report.damaged =
            bad.chain(repacked.damaged.iter().copied()).collect::<HashSet<_>>().into_iter().collect();
        report.damaged.sort_unstable();
        let (mut waiting, unlisted, removed) = survey.ends(bounds, &repacked);
        stop.check()?;
        if !unlisted.is_empty() || survey.small_files == SmallFiles::Merge {
            self.refuse_changed_points(survey)?;
            self.unlist(&unlisted, &survey.index_files, survey.small_files, lock)?;
        }
        report.refused = self.remove_packs(&removed, lock, stop)?;
        let refused = report.refused.iter().map(|refused| refused.pack).collect::<Vec<_>>();
        self.list_again(refused.iter().filter(|pack| survey.lists(pack.id)).copied())?;
        waiting.extend(refused.iter().map(|pack| pack.id));
        for pack in refused {
            report.removed.take(pack.size);
            report.waiting.add(pack.size);
        }
        self.renew_marks(&survey.marks, &waiting, &survey.nowhere(&removed), lock)?;
        // Without it all is well until the disk is full.
        drop(self.make_ballast());
        Ok(report)
    }

    /// Errors: a point came or went since the points were read. Nobody may do that now, and whoever did it, awake after
    /// its lock was lost, may count on what would go.
    fn refuse_changed_points(&self, survey: &Survey) -> Result<(), PruneError> {
        let now =
            self.store.list(FileKind::Snapshot)?.into_iter().map(|file| file.id).collect::<HashSet<_>>();
        if now == survey.points {
            return Ok(());
        }
        Err(PruneError::Changed { location: self.store.location().to_owned() })
    }
}

impl Amount {
    fn add(&mut self, size: ByteCount) {
        self.packs += 1;
        self.bytes += size;
    }

    fn take(&mut self, size: ByteCount) {
        self.packs -= 1;
        self.bytes = ByteCount::new(self.bytes.get() - size.get());
    }
}

fn marked(marks: &[StoredMark], pack: Digest) -> Marked {
    let ages = marks.iter().filter(|mark| mark.packs.contains(&pack)).map(|mark| mark.age);
    // Where several name it, the youngest decides.
    ages.fold(Marked::No, |marked, age| match (marked, age) {
        (Marked::No | Marked::Ripe, Age::Ripe) => Marked::Ripe,
        (_, Age::Ripe | Age::Waiting | Age::Unknown) => Marked::Waiting,
    })
}

impl Survey {
    fn fate(&self, number: PlaceNumber) -> Fate {
        self.fates[self.numbers.get(&self.index, number)]
    }

    /// Chooses the copies that stay, counts, and decides.
    fn decide(
        &mut self,
        bounds: &PruneBounds,
        damaged: &Damaged,
        repository: &Repository,
    ) -> Result<(), PruneError> {
        let Self { index, numbers, packs, .. } = self;
        self.kept = kept(index, &self.used, |number| {
            let (pack, blob) = (&packs[numbers.get(index, number)], index.place(number).blob);
            if pack.standing == Standing::Gone || pack.size.get() < blob.end() {
                Worth::Gone
            } else if damaged.contains(&number) {
                Worth::Damaged
            } else if pack.marked == Marked::No {
                Worth::Good
            } else {
                Worth::Marked
            }
        })
        .map_err(|(kind, id)| ReadError::Missing { kind, id })?;
        packs.iter_mut().for_each(|pack| (pack.used, pack.unused) = (0, 0));
        for (number, place) in index.numbered() {
            let pack = &mut packs[numbers.get(index, number)];
            let bytes = if self.kept.has(number) { &mut pack.used } else { &mut pack.unused };
            *bytes += u64::from(place.blob.length);
        }
        let reserve = 2 * BALLAST_BYTES.get();
        let room = repository.store.room().map(|room| ByteCount::new(room.get().saturating_sub(reserve)));
        self.fates = decide(packs, bounds, repository.pack_bytes, room);
        Ok(())
    }

    /// What is to be copied, as it lies in the repository.
    fn to_copy(&self) -> Vec<PlaceNumber> {
        let numbers = self.index.numbered().map(|(number, _)| number);
        let mut places = numbers
            .filter(|number| self.kept.has(*number) && self.fate(*number) == Fate::Repack)
            .collect::<Vec<_>>();
        places.sort_unstable_by_key(|number| self.index.storage_order(*number));
        places
    }

    /// Which packs wait, which are named by no index file any more, and which of these are to be removed.
    fn ends(
        &self,
        bounds: &PruneBounds,
        repacked: &Repacked,
    ) -> (HashSet<Digest>, HashSet<Digest>, Vec<Listed>) {
        let (mut waiting, mut unlisted, mut removed) = (HashSet::new(), HashSet::new(), Vec::new());
        for (pack, fate) in self.packs.iter().zip(&self.fates) {
            match (fate, repacked.done.contains(&pack.id), bounds.grace.is_zero()) {
                (Fate::Keep, ..) | (Fate::Repack, false, _) => {}
                (Fate::Mark, ..) | (Fate::Repack, true, false) => drop(waiting.insert(pack.id)),
                (Fate::Unlist, ..) => drop(unlisted.insert(pack.id)),
                (Fate::Remove, ..) | (Fate::Repack, true, true) => {
                    unlisted.insert(pack.id);
                    removed.push(Listed { id: pack.id, size: pack.size });
                }
            }
        }
        (waiting, unlisted, removed)
    }

    fn lists(&self, pack: Digest) -> bool {
        self.standing(pack) == Some(Standing::Listed)
    }

    fn standing(&self, pack: Digest) -> Option<Standing> {
        let at = self.packs.binary_search_by_key(&pack, |facts| facts.id);
        at.ok().map(|at| self.packs[at].standing)
    }

    /// Packs that marks name and that are not there, or no longer so.
    fn nowhere(&self, removed: &[Listed]) -> HashSet<Digest> {
        let named = self.marks.iter().flat_map(|mark| &mark.packs).copied();
        let gone = named.filter(|pack| matches!(self.standing(*pack), None | Some(Standing::Gone)));
        removed.iter().map(|pack| pack.id).chain(gone).collect()
    }

    /// What would be done.
    fn report(&self, bounds: &PruneBounds) -> PruneReport {
        let mut report = self.report_of(bounds, |_pack| true);
        let new = self.packs.iter().zip(&self.fates).filter(|(_, fate)| **fate == Fate::Repack);
        report.written.bytes = ByteCount::new(new.map(|(pack, _)| pack.used).sum());
        report
    }

    fn report_of(&self, bounds: &PruneBounds, repacked: impl Fn(&PackFacts) -> bool) -> PruneReport {
        let mut report = PruneReport { points: self.points.len(), ..PruneReport::default() };
        for (pack, fate) in self.packs.iter().zip(&self.fates) {
            report.used += ByteCount::new(pack.used);
            if pack.standing != Standing::Gone {
                report.before.add(pack.size);
            }
            match fate {
                Fate::Repack if repacked(pack) => {
                    report.repacked.add(pack.size);
                    let end = if bounds.grace.is_zero() { &mut report.removed } else { &mut report.waiting };
                    end.add(pack.size);
                }
                Fate::Keep | Fate::Repack => report.unused_left += ByteCount::new(pack.unused),
                Fate::Mark => report.waiting.add(pack.size),
                Fate::Remove => report.removed.add(pack.size),
                Fate::Unlist => {}
            }
        }
        report
    }
}
