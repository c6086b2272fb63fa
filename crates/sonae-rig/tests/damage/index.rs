//! Index files that are lost or damaged: what they listed is found again in the packs, by us or by plain restic, and
//! what one has rebuilt the other takes.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use sonae_repo::store::{FileKind, FileName};
use sonae_rig::damage::{Copied, Region, each};
use sonae_rig::peer::Peer;
use sonae_rig::stand::claim;

use crate::Verdict::{Damaged, Good};
use crate::known::Known;
use crate::{AT_ONCE, Depth, Ours, findings, names, peers, verdict, verdict_of};

/// What becomes of the index.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// All its files are gone.
    All,
    /// That of one run is gone.
    OneGone(usize),
    /// A bit of that of one run is flipped.
    OneFlipped(usize),
    /// That of one run is empty.
    OneEmpty(usize),
}

/// Who rebuilds it.
#[derive(Clone, Debug)]
enum By {
    Us,
    Restic(Peer),
}

#[derive(Debug)]
struct Scenario {
    loss: Loss,
    by: By,
}

impl Loss {
    fn apply(self, known: &Known, copy: &Copied<'_>) -> Result<()> {
        let is_index = |file: &&FileName| matches!(file, FileName::Hashed(FileKind::Index, _));
        let of_run = |run: usize| known.base.runs()[run].stored.iter().find(is_index).copied();
        match self {
            Self::All => copy.files(FileKind::Index)?.into_iter().try_for_each(|file| copy.remove(file)),
            Self::OneGone(run) => of_run(run).into_iter().try_for_each(|file| copy.remove(file)),
            Self::OneFlipped(run) => of_run(run).into_iter().try_for_each(|file| copy.flip(file, 70, 2)),
            Self::OneEmpty(run) => of_run(run).into_iter().try_for_each(|file| copy.change(file, Vec::clear)),
        }
    }
}

impl By {
    fn rebuild(&self, copy: &Copied<'_>) -> Result<()> {
        match self {
            Self::Us => {
                let told = copy.sonae(&["repo", "repair-index", "--dry-run"])?.good()?;
                let done = copy.sonae(&["repo", "repair-index"])?.good()?;
                ensure!(
                    (&told["mode"], &done["mode"]) == (&"dry-run".into(), &"done".into()),
                    "{told} {done}"
                );
                for same in ["blobs", "added_packs", "written_index_files", "removed_index_files"] {
                    ensure!(told[same] == done[same], "a dry run tells what is done: {told} {done}");
                }
                ensure!(done["added_packs"] != 0, "there was something to do: {done}");
            }
            Self::Restic(peer) => {
                let command = if peer.is_newer() { &["repair", "index"][..] } else { &["rebuild-index"] };
                peer.run(copy.place(), command)?;
            }
        }
        Ok(())
    }
}

#[test]
fn a_lost_or_damaged_index_is_rebuilt_by_us_or_by_restic_and_either_takes_what_the_other_made() {
    claim(|| {
        let (known, peers) = (Known::new()?, peers()?);
        let losses =
            [Loss::All, Loss::OneGone(0), Loss::OneFlipped(1), Loss::OneEmpty(2), Loss::OneFlipped(3)];
        let scenarios = losses.into_iter().flat_map(|loss| {
            let restics = peers.iter().cloned().map(By::Restic);
            [By::Us].into_iter().chain(restics).map(move |by| Scenario { loss, by })
        });
        each(AT_ONCE, &scenarios.collect::<Vec<_>>(), |Scenario { loss, by }| {
            let copy = known.base.copy()?;
            loss.apply(&known, &copy)?;
            ensure!(verdict(&copy.sonae(&["repo", "check"])?)? == Damaged, "the loss is found");
            by.rebuild(&copy)?;
            let ours = Ours::say(&known.base, &copy)?;
            ours.check_verdicts([Good; 4])?;
            known.check_lost(&BTreeSet::new(), &ours)?;
            for peer in &peers {
                ensure!(
                    verdict_of(peer, &copy, Depth::Data) == Good,
                    "restic {} finds damage",
                    peer.version()
                );
            }
            let again = copy.sonae(&["repo", "repair-index"])?.good()?;
            let changed = [&again["written_index_files"], &again["removed_index_files"]];
            ensure!(changed == [0, 0], "there is nothing left to do: {again}");
            Ok(())
        })
    });
}

#[test]
fn a_pack_whose_header_is_damaged_is_named_when_the_index_is_rebuilt_and_all_others_come_back() {
    claim(|| {
        let known = Known::new()?;
        let copy = known.base.copy()?;
        let pack = known.pack_of_chunks(1)?;
        let inside = known.spots.iter().filter(|spot| spot.file == pack).collect::<Vec<_>>();
        for spot in inside.iter().filter(|spot| spot.region == Region::Header) {
            copy.flip(pack, spot.from, 0)?;
        }
        Loss::All.apply(&known, &copy)?;
        let repaired = copy.sonae(&["repo", "repair-index"])?;
        ensure!(
            verdict(&repaired)? == Damaged && names(&repaired, "pack-damaged", pack)?,
            "{}",
            repaired.document
        );
        ensure!(findings(&repaired)?.len() == 1, "one pack is damaged: {}", repaired.document);
        let ours = Ours::say(&known.base, &copy)?;
        ours.check_verdicts([Damaged; 4])?;
        let mut lost = BTreeSet::new();
        for spot in inside {
            if let Region::Chunk(id) = spot.region {
                lost.extend(known.needs_of(id)?.iter().map(|need| (need.point, need.path.clone())));
            }
        }
        ours.check_restores(|number, disk| {
            let run = &known.base.runs()[number];
            lost.contains(&(run.point, run.path_of(disk)))
        })?;
        for peer in peers()? {
            ensure!(verdict_of(&peer, &copy, Depth::Structure) == Damaged, "restic misses the chunks, too");
        }
        Ok(())
    });
}
