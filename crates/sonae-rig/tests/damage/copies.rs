//! All chunks and listings lie twice in a repository, and one of the copies is damaged: whatever was listed first, the
//! sound one is used, and the damaged one is still told.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use sonae_repo::store::{FileKind, FileName};
use sonae_rig::content::Content;
use sonae_rig::damage::{Copied, Region, Run, each, open};
use sonae_rig::peer::Peer;
use sonae_rig::stand::claim;

use crate::Verdict::{Damaged, Good};
use crate::known::Known;
use crate::{AT_ONCE, Ours, Table, Verdict, findings, names, peers};

/// Which copy is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Earlier,
    Later,
}

/// How all packs of it are damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// A bit of every chunk is flipped.
    Chunks,
    /// A bit of every listing is flipped.
    Listings,
    /// Every pack lost its second half.
    Half,
    /// Every pack is gone.
    Gone,
}

/// Who made the index that lists both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listed {
    /// Every backup its own part.
    ByBackups,
    /// The repair, all of it.
    ByRepair,
}

#[derive(Clone, Copy, Debug)]
struct Scenario {
    which: Which,
    damage: Damage,
    listed: Listed,
}

/// Blobs that a scenario damaged: those of which the damaged copy is listed first, and those of which the sound one is.
#[derive(Default)]
struct Orders {
    damaged_first: AtomicU64,
    sound_first: AtomicU64,
}

impl Scenario {
    fn row(self) -> &'static str {
        match self.damage {
            Damage::Chunks => "chunks of one copy",
            Damage::Listings => "listings of one copy",
            Damage::Half => "half of every pack of one copy",
            Damage::Gone => "all packs of one copy",
        }
    }

    /// Damages the copy. Gives the packs that were hit.
    fn apply(self, copy: &Copied<'_>, packs: &BTreeSet<FileName>) -> Result<BTreeSet<FileName>> {
        let mut hit = BTreeSet::new();
        let spots = copy.spots()?;
        for spot in spots.iter().filter(|spot| packs.contains(&spot.file)) {
            match (spot.region, self.damage) {
                (Region::Chunk(_), Damage::Chunks) | (Region::Listing(_), Damage::Listings) => {
                    copy.flip(spot.file, spot.from + spot.len / 2, 4)?;
                }
                (Region::Header, Damage::Half) => {
                    copy.change(spot.file, |bytes| bytes.truncate(bytes.len() / 2))?;
                }
                (Region::Header, Damage::Gone) => copy.remove(spot.file)?,
                (
                    Region::Chunk(_)
                    | Region::Listing(_)
                    | Region::Header
                    | Region::HeaderLength
                    | Region::Whole,
                    _,
                ) => continue,
            }
            hit.insert(spot.file);
        }
        Ok(hit)
    }

    fn tell(self, known: &Known, peers: &[Peer], table: &Table, orders: &Orders) -> Result<()> {
        let copy = known.base.copy()?;
        let later = known.base.store_twice(&copy)?;
        if self.listed == Listed::ByRepair {
            copy.files(FileKind::Index)?.into_iter().try_for_each(|file| copy.remove(file))?;
            copy.sonae(&["repo", "repair-index"])?.good()?;
        }
        let damaged = match self.which {
            Which::Earlier => {
                copy.files(FileKind::Data)?.into_iter().filter(|pack| !later.contains(pack)).collect()
            }
            Which::Later => later,
        };
        orders.count(&copy, &damaged)?;
        let hit = self.apply(&copy, &damaged)?;
        let ours = Ours::say(&known.base, &copy)?;
        let (kind, expected) = match self.damage {
            Damage::Chunks | Damage::Listings => ("pack-damaged", [Good, Damaged, Good, Damaged]),
            Damage::Half => ("pack-size", [Damaged, Damaged, Good, Damaged]),
            Damage::Gone => ("pack-missing", [Damaged, Damaged, Good, Good]),
        };
        ours.check_verdicts(expected)?;
        known.check_lost(&BTreeSet::new(), &ours)?;
        for file in &hit {
            ensure!(names(&ours.data, kind, *file)?, "{file} is not named: {}", ours.data.document);
        }
        let hits = findings(&ours.data)?.iter().filter(|finding| !finding["point"].is_null()).count();
        ensure!(hits == 0, "no point is hit: {}", ours.data.document);
        // restic 0.14 tries for minutes to read what is not there.
        let patient = matches!(self.damage, Damage::Half | Damage::Gone);
        let asked = peers.iter().filter(|peer| peer.is_newer() || !patient).cloned().collect::<Vec<_>>();
        table.compare(self.row(), (&known.base, &ours), &copy, &asked)?;
        for peer in &asked {
            let they = restored_by(peer, &copy, &known.base.runs()[0], "vda")?;
            table.count(self.row(), &format!("restic {} restore", peer.version()), they);
        }
        Ok(())
    }
}

/// What a restic restores of a disk: good is the disk as it was.
fn restored_by(peer: &Peer, copy: &Copied<'_>, run: &Run, disk: &str) -> Result<Verdict> {
    let to = copy.place().repository.with_extension("theirs");
    let (point, target) = (run.point.to_string(), to.display().to_string());
    let said = peer.run(copy.place(), ["restore", "--no-lock", &point, "--target", &target]);
    let (_, image) = run.disks.iter().find(|(name, _)| *name == disk).context("a disk of the run")?;
    let restored = to.join(run.path_of(disk).trim_start_matches('/'));
    let same = said.is_ok() && Content::of(&restored)? == Content::of(image)?;
    std::fs::remove_dir_all(to)?;
    Ok(if same { Good } else { Damaged })
}

impl Orders {
    fn count(&self, copy: &Copied<'_>, damaged: &BTreeSet<FileName>) -> Result<()> {
        let index = open(&copy.place().repository)?.load_index()?;
        for place in index.iter() {
            let first = index.locate(place.blob.kind, place.blob.id).context("it is listed")?;
            let is_damaged = damaged.contains(&FileName::Hashed(FileKind::Data, first.pack));
            let count = if is_damaged { &self.damaged_first } else { &self.sound_first };
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[test]
fn the_sound_one_of_two_copies_is_used_whichever_is_listed_first_and_the_damaged_one_is_told() {
    claim(|| {
        let (known, peers) = (Known::new()?, peers()?);
        let (table, orders) = (Table::default(), Orders::default());
        let mut scenarios = Vec::new();
        for which in [Which::Earlier, Which::Later] {
            for damage in [Damage::Chunks, Damage::Listings, Damage::Half, Damage::Gone] {
                for listed in [Listed::ByBackups, Listed::ByRepair] {
                    scenarios.push(Scenario { which, damage, listed });
                }
            }
        }
        each(AT_ONCE, &scenarios, |scenario| scenario.tell(&known, &peers, &table, &orders))?;
        let (damaged, sound) = (orders.damaged_first.into_inner(), orders.sound_first.into_inner());
        let (printed, more) = table.finish();
        println!("{damaged} damaged copies listed first, {sound} sound ones; {printed}");
        println!("{more:?}");
        ensure!(0 < damaged && 0 < sound, "both orders are tried");
        Ok(())
    });
}
