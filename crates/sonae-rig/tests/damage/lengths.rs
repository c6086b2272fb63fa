//! Files that became shorter or longer, or are gone: a look at the sizes shows it, without reading any data.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use sonae_repo::store::{FileKind, FileName};
use sonae_rig::damage::{Region, each};
use sonae_rig::stand::claim;

use crate::Verdict::{Damaged, Good};
use crate::known::Known;
use crate::{AT_ONCE, Ours, Table, names, of_kind, peers};

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Its last byte is gone.
    OneLess,
    /// Its second half is gone.
    Half,
    /// It has no byte.
    Empty,
    /// It has one more.
    OneMore,
    /// It has a page more.
    PageMore,
    /// It is not there.
    Gone,
}

const CHANGES: [Change; 6] =
    [Change::OneLess, Change::Half, Change::Empty, Change::OneMore, Change::PageMore, Change::Gone];

/// The row of packs that hold listings.
const LISTINGS: &str = "pack of listings";

/// One file, and what becomes of it.
#[derive(Debug)]
struct Scenario {
    row: &'static str,
    file: FileName,
    change: Change,
}

impl Change {
    fn apply(self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        match self {
            Self::OneLess => bytes.truncate(len - 1),
            Self::Half => bytes.truncate(len / 2),
            Self::Empty | Self::Gone => bytes.clear(),
            Self::OneMore => bytes.push(0x5a),
            Self::PageMore => bytes.resize(len + 4096, 0x5a),
        }
    }
}

fn scenarios(known: &Known) -> Result<Vec<Scenario>> {
    let mut files = vec![("pack", known.pack_of_chunks(0)?), (LISTINGS, known.pack_of_listings(2)?)];
    for file in &known.base.runs()[3].stored {
        match file {
            FileName::Hashed(FileKind::Index, _) => files.push(("index", *file)),
            FileName::Hashed(FileKind::Snapshot, _) => files.push(("point", *file)),
            FileName::Config | FileName::Hashed(..) => {}
        }
    }
    files.push(("config", FileName::Config));
    let keys = known.spots.iter().filter(|spot| matches!(spot.file, FileName::Hashed(FileKind::Key, _)));
    files.extend(keys.map(|spot| ("key", spot.file)));
    let all = files.iter().flat_map(|(row, file)| {
        // Of a lost index file or point nothing is left that could tell; what they held is looked at elsewhere.
        let gone_is_seen = !["index", "point"].contains(row);
        let changes = CHANGES.into_iter().filter(move |change| *change != Change::Gone || gone_is_seen);
        changes.map(|change| Scenario { row, file: *file, change })
    });
    Ok(all.collect())
}

fn check(known: &Known, scenario: &Scenario, left: u64, ours: &Ours) -> Result<()> {
    let Scenario { file, change, .. } = *scenario;
    ensure!(ours.check.code == 13, "a look at the sizes does not show it: {}", ours.check.document);
    if file != FileName::Config && change != Change::Gone {
        known.check_keyless(file, &ours.keyless)?;
    }
    match file {
        FileName::Config => known.check_all_refused(ours, "config"),
        FileName::Hashed(FileKind::Key, _) if change == Change::Gone => {
            known.check_all_refused(ours, "key file")
        }
        FileName::Hashed(FileKind::Key, id) => known.check_all_refused(ours, &id.short()),
        FileName::Hashed(FileKind::Index, _) => known.check_index(file, ours),
        FileName::Hashed(FileKind::Snapshot, _) => known.check_snapshot(file, ours),
        FileName::Hashed(..) => {
            let kind = if change == Change::Gone { "pack-missing" } else { "pack-size" };
            for answer in [&ours.check, &ours.data] {
                ensure!(names(answer, kind, file)?, "not named: {}", answer.document);
            }
            let inside = known.spots.iter().filter(|spot| spot.file == file);
            let lost = inside.filter(|spot| left < spot.from + spot.len);
            let (mut chunks, mut listings) = (BTreeSet::new(), 0);
            for spot in lost {
                match spot.region {
                    Region::Chunk(id) => drop(chunks.insert(id)),
                    Region::Listing(_) => listings += 1,
                    Region::Header | Region::HeaderLength | Region::Whole => {}
                }
            }
            let verify = if chunks.is_empty() && listings == 0 { Good } else { Damaged };
            let keyless = if change == Change::Gone { Good } else { Damaged };
            ours.check_verdicts([Damaged, Damaged, verify, keyless])?;
            let ranges = |answer| Ok::<_, anyhow::Error>(of_kind(answer, "range")?.len());
            ensure!(ranges(&ours.check)? == ranges(&ours.data)?, "sizes tell all: {}", ours.check.document);
            if 0 < listings { known.check_listing(file, ours) } else { known.check_lost(&chunks, ours) }
        }
    }
}

#[test]
fn a_file_of_another_length_is_seen_without_reading_data_and_what_is_whole_in_it_comes_back() {
    claim(|| {
        let (known, peers, table) = (Known::new()?, peers()?, Table::default());
        let scenarios = scenarios(&known)?;
        each(AT_ONCE, &scenarios, |scenario| {
            let copy = known.base.copy()?;
            let mut left = 0;
            copy.change(scenario.file, |bytes| {
                scenario.change.apply(bytes);
                left = bytes.len() as u64;
            })?;
            if scenario.change == Change::Gone {
                copy.remove(scenario.file)?;
            }
            let ours = Ours::say(&known.base, &copy)?;
            check(&known, scenario, left, &ours)?;
            // restic 0.14 tries for minutes to read listings that are not there.
            let asked = peers.iter().filter(|peer| peer.is_newer() || scenario.row != LISTINGS);
            let asked = asked.cloned().collect::<Vec<_>>();
            table.compare(scenario.row, (&known.base, &ours), &copy, &asked)
        })?;
        let (printed, more) = table.finish();
        println!("{} files changed, {printed}", scenarios.len());
        ensure!(more.is_empty(), "we find more: {more:?}");
        Ok(())
    });
}
