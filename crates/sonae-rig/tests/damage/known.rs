//! What is known about the sound repository, and what must therefore be said of a damaged copy of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use sonae_repo::store::FileName;
use sonae_rig::damage::{Base, Need, Region, Restored, Run, Spot};
use sonae_rig::stand::{Answer, number, text};
use sonae_types::Digest;

use crate::Verdict::{Damaged, Good};
use crate::{Ours, findings, names, of_kind, points_verified};

/// The repository, its places, and who needs its chunks.
pub(crate) struct Known {
    pub(crate) base: Base,
    pub(crate) spots: Vec<Spot>,
    needs: BTreeMap<Digest, BTreeSet<Need>>,
}

impl Known {
    pub(crate) fn new() -> Result<Self> {
        let base = Base::new()?;
        let (spots, needs) = (base.spots()?, base.needs()?);
        Ok(Self { base, spots, needs })
    }

    pub(crate) fn needs_of(&self, chunk: Digest) -> Result<&BTreeSet<Need>> {
        self.needs.get(&chunk).context("a point needs it")
    }

    /// The run that stored a file.
    pub(crate) fn run_of(&self, file: FileName) -> Result<&Run> {
        self.base.runs().iter().find(|run| run.stored.contains(&file)).context("a run stored it")
    }

    /// Whether a chunk holds nothing but zeros: such a one is known by its name and restored without being read.
    pub(crate) fn is_zero(&self, chunk: Digest) -> Result<bool> {
        let need = self.needs_of(chunk)?.first().context("a point needs it")?;
        let run = self.base.runs().iter().find(|run| run.point == need.point).context("a run")?;
        let image = run.disks.iter().find(|(disk, _)| need.path == run.path_of(disk));
        let Some((_, image)) = image else { return Ok(false) };
        let bytes = std::fs::read(image)?;
        let [from, len] = [need.offset, need.length].map(|it| usize::try_from(it).expect("a small disk"));
        Ok(bytes[from..from + len].iter().all(|byte| *byte == 0))
    }

    /// The places inside packs that a run stored.
    pub(crate) fn spots_of(&self, run: usize) -> impl Iterator<Item = &Spot> {
        let stored = &self.base.runs()[run].stored;
        self.spots.iter().filter(|spot| stored.contains(&spot.file))
    }

    /// A pack with chunks that a run stored.
    pub(crate) fn pack_of_chunks(&self, run: usize) -> Result<FileName> {
        let found = self.spots_of(run).find(|spot| matches!(spot.region, Region::Chunk(_)));
        Ok(found.context("every run stores chunks")?.file)
    }

    /// The pack with the listings that a run stored.
    pub(crate) fn pack_of_listings(&self, run: usize) -> Result<FileName> {
        let found = self.spots_of(run).find(|spot| matches!(spot.region, Region::Listing(_)));
        Ok(found.context("every run stores listings")?.file)
    }

    /// Chunks are lost: exactly the disks and files that need them are named, with the place in them; exactly the disks
    /// among them are not restored, and under their partial names only those places are not as they were.
    pub(crate) fn check_lost(&self, lost: &BTreeSet<Digest>, ours: &Ours) -> Result<()> {
        let mut needs = BTreeSet::new();
        let mut read = BTreeSet::new();
        for chunk in lost {
            needs.extend(self.needs_of(*chunk)?.iter().cloned());
            if !self.is_zero(*chunk)? {
                read.extend(self.needs_of(*chunk)?.iter());
            }
        }
        for answer in [&ours.data, &ours.verify] {
            let told = of_kind(answer, "range")?.into_iter().map(need_of).collect::<Result<BTreeSet<_>>>()?;
            ensure!(told == needs, "{told:?} instead of {needs:?}");
        }
        self.check_points(ours, |run| !needs.iter().any(|need| need.point == run.point))?;
        let of_disk = |number: usize, disk: &str| {
            let run = &self.base.runs()[number];
            let path = run.path_of(disk);
            read.iter().filter(move |need| need.point == run.point && need.path == path)
        };
        ours.check_restores(|number, disk| of_disk(number, disk).next().is_some())?;
        for ((number, disk), restored) in &ours.restores {
            let Restored::Refused(answer, differing) = restored else { continue };
            let message = text(&answer.document["error"]["message"])?;
            let vm = self.base.runs()[*number].vm;
            ensure!(message.contains(vm) && message.contains(disk), "{vm}, {disk} is not named: {message}");
            let mut expected = Vec::<(u64, u64)>::new();
            for need in of_disk(*number, disk) {
                match expected.last_mut() {
                    Some(last) if last.0 + last.1 == need.offset => last.1 += need.length,
                    _ => expected.push((need.offset, need.length)),
                }
            }
            ensure!(*differing == expected, "{differing:?} differ instead of {expected:?}");
        }
        Ok(())
    }

    /// Whether `verify --all` has exactly these runs' points for good, and knows all of them.
    pub(crate) fn check_points(&self, ours: &Ours, good: impl Fn(&Run) -> bool) -> Result<()> {
        for (run, verified) in self.base.runs().iter().zip(points_verified(&self.base, &ours.verify)?) {
            let expected = if good(run) { Good } else { Damaged };
            ensure!(verified == Some(expected), "{expected:?} is {}: {}", run.point, ours.verify.document);
        }
        Ok(())
    }

    /// Listings are lost: point and machine are named, and no other point is hit.
    pub(crate) fn check_listing(&self, file: FileName, ours: &Ours) -> Result<()> {
        let run = self.run_of(file)?;
        let mut lost = BTreeSet::new();
        for answer in [&ours.check, &ours.data, &ours.verify] {
            let folders = of_kind(answer, "folder")?;
            ensure!(!folders.is_empty(), "no folder is lost: {}", answer.document);
            for folder in folders {
                ensure!(folder["point"] == run.point.to_string() && folder["vm"] == run.vm, "{folder}");
                lost.insert(text(&folder["path"])?);
            }
        }
        self.check_points(ours, |other| other.point != run.point)?;
        // The folder with the manifest lies beside the disks.
        let beside = lost == BTreeSet::from([format!("/{}/sonae", run.vm).as_str()]);
        ours.check_restores(|number, _| !beside && self.base.runs()[number].point == run.point)
    }

    /// An index file is lost: what only it lists is lost for now, all of one machine.
    pub(crate) fn check_index(&self, file: FileName, ours: &Ours) -> Result<()> {
        ours.check_verdicts([Damaged; 4])?;
        let run = self.run_of(file)?;
        for answer in [&ours.check, &ours.data] {
            ensure!(names(answer, "file", file)?, "not named: {}", answer.document);
        }
        for answer in [&ours.check, &ours.data, &ours.verify] {
            let hit = findings(answer)?.iter().filter_map(|finding| finding["vm"].as_str());
            let hit = hit.collect::<BTreeSet<_>>();
            ensure!(hit == BTreeSet::from([run.vm]), "{hit:?} are hit: {}", answer.document);
        }
        let lost = self.spots.iter().filter(|spot| run.stored.contains(&spot.file));
        let lost = lost.filter_map(|spot| match spot.region {
            Region::Chunk(id) => self.needs.get(&id),
            Region::Listing(_) | Region::Header | Region::HeaderLength | Region::Whole => None,
        });
        let lost = lost.flatten().collect::<Vec<_>>();
        ours.check_restores(|number, disk| {
            let (other, path) = (&self.base.runs()[number], self.base.runs()[number].path_of(disk));
            other.point == run.point || lost.iter().any(|need| need.point == other.point && need.path == path)
        })
    }

    /// A point's own file is lost: that point is gone, and every other one is whole.
    pub(crate) fn check_snapshot(&self, file: FileName, ours: &Ours) -> Result<()> {
        ours.check_verdicts([Damaged; 4])?;
        let run = self.run_of(file)?;
        for answer in [&ours.check, &ours.data, &ours.verify] {
            ensure!(names(answer, "file", file)?, "not named: {}", answer.document);
            ensure!(findings(answer)?.len() == 1, "more is damaged: {}", answer.document);
        }
        for (other, verified) in self.base.runs().iter().zip(points_verified(&self.base, &ours.verify)?) {
            let expected = (other.point != run.point).then_some(Good);
            ensure!(verified == expected, "{}", ours.verify.document);
        }
        ours.check_restores(|number, _| self.base.runs()[number].point == run.point)
    }

    /// Without a key or a configuration nobody reads anything; the file is named.
    pub(crate) fn check_all_refused(&self, ours: &Ours, named: &str) -> Result<()> {
        ours.check_restores(|_, _| true)?;
        for answer in [&ours.check, &ours.data, &ours.verify] {
            let said = answer.clone().refused(13)?;
            ensure!(said.contains(named), "{named} is not named: {said}");
        }
        Ok(())
    }

    /// A check without a key names this file and no other.
    pub(crate) fn check_keyless(&self, file: FileName, keyless: &Answer) -> Result<()> {
        ensure!(names(keyless, "file", file)?, "not named: {}", keyless.document);
        ensure!(findings(keyless)?.len() == 1, "more than one file: {}", keyless.document);
        Ok(())
    }
}

/// The place that a finding of a lost stretch names.
fn need_of(range: &serde_json::Value) -> Result<Need> {
    let (vm, path) = (text(&range["vm"])?.to_owned(), text(&range["path"])?.to_owned());
    let disk = range["disk"].as_str().map(|disk| format!("/{vm}/disk-{disk}.raw"));
    ensure!(disk.is_none_or(|of_disk| of_disk == path), "{range}");
    ensure!(range["disk"].is_string() == path.contains("/disk-"), "{range}");
    Ok(Need {
        point: text(&range["point"])?.parse().ok().context("an id")?,
        vm,
        path,
        offset: number(&range["offset"])?,
        length: number(&range["length_bytes"])?,
    })
}
