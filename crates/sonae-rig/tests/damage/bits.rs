//! One bit flips, in every kind of file and in every part of a pack.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use sonae_repo::lock::LockKind;
use sonae_repo::store::{FileKind, FileName};
use sonae_rig::damage::{Copied, Region, Spot, each, open};
use sonae_rig::peer::Release;
use sonae_rig::stand::claim;

use crate::Verdict::{Damaged, Good};
use crate::known::Known;
use crate::{AT_ONCE, By, Depth, Difference, Ours, Table, names, of_kind, peers, verdict_of};

/// One bit of one place.
#[derive(Debug)]
struct Flip {
    row: &'static str,
    spot: Spot,
    byte: u64,
    bit: u32,
}

/// Bits at the first, a middle and the last byte of a place.
fn three(row: &'static str, spot: Spot) -> [Flip; 3] {
    [(0, 0), (spot.len / 2, 3), (spot.len - 1, 7)].map(|(byte, bit)| Flip {
        row,
        spot,
        byte: spot.from + byte,
        bit,
    })
}

/// Chunks: of every set of files that need the same ones, one.
fn flips_of_chunks(known: &Known) -> Result<Vec<Flip>> {
    let mut met = BTreeSet::new();
    let mut flips = Vec::new();
    for spot in &known.spots {
        let Region::Chunk(id) = spot.region else { continue };
        let zero = known.is_zero(id)?;
        let by = known.needs_of(id)?.iter().map(|need| (need.point, need.path.clone()));
        if met.insert((by.collect::<BTreeSet<_>>(), zero)) {
            let three = three(if zero { "zero chunk" } else { "chunk" }, *spot).into_iter();
            flips.extend(three.take(if flips.is_empty() { 3 } else { 1 }));
        }
    }
    ensure!(9 <= met.len(), "{} sorts of chunks are too few", met.len());
    Ok(flips)
}

/// Headers and their lengths, of a pack with chunks and of one with listings; and the listings of a point.
fn flips_of_packs(known: &Known) -> Result<Vec<Flip>> {
    let mut flips = Vec::new();
    for pack in [known.pack_of_chunks(0)?, known.pack_of_listings(0)?] {
        for spot in known.spots.iter().filter(|spot| spot.file == pack) {
            match spot.region {
                Region::Header => flips.extend(three("pack header", *spot)),
                Region::HeaderLength => flips.extend([(0, 2), (1, 0), (2, 0), (3, 7)].map(|(byte, bit)| {
                    Flip { row: "header length", spot: *spot, byte: spot.from + byte, bit }
                })),
                Region::Chunk(_) | Region::Listing(_) | Region::Whole => {}
            }
        }
    }
    let listings = known.spots_of(2).filter(|spot| matches!(spot.region, Region::Listing(_)));
    flips.extend(listings.flat_map(|spot| three("listing", *spot)));
    Ok(flips)
}

/// All other files: the index files and the points of two runs, the key, the configuration.
fn flips_of_files(known: &Known) -> Result<Vec<Flip>> {
    let mut flips = Vec::new();
    for spot in known.spots.iter().filter(|spot| spot.region == Region::Whole) {
        let of_run = |run: usize| known.base.runs()[run].stored.contains(&spot.file);
        match spot.file {
            FileName::Config => flips.extend(three("config", *spot)),
            FileName::Hashed(FileKind::Key, _) => {
                flips.extend(three("key", *spot));
                // A letter of the name of whoever made the key: it seals nothing, and opens nothing either.
                let text = String::from_utf8(known.base.opened()?.store().get(spot.file)?)?;
                let byte = text.find(r#""username":""#).context("a key says who made it")? + 12;
                flips.push(Flip { row: "name in the key", spot: *spot, byte: byte as u64, bit: 0 });
            }
            FileName::Hashed(FileKind::Index, _) if of_run(0) || of_run(3) => {
                flips.extend(three("index", *spot));
            }
            FileName::Hashed(FileKind::Snapshot, _) if of_run(0) || of_run(3) => {
                flips.extend(three("point", *spot));
            }
            FileName::Hashed(..) => {}
        }
    }
    Ok(flips)
}

fn check(known: &Known, flip: &Flip, ours: &Ours) -> Result<()> {
    let file = flip.spot.file;
    if file != FileName::Config {
        known.check_keyless(file, &ours.keyless)?;
    }
    match (flip.spot.region, file) {
        (Region::Chunk(id), _) => {
            ours.check_verdicts([Good, Damaged, Damaged, Damaged])?;
            ensure!(names(&ours.data, "pack-damaged", file)?, "not named: {}", ours.data.document);
            known.check_lost(&BTreeSet::from([id]), ours)
        }
        (Region::Listing(_), _) => {
            ensure!(names(&ours.data, "pack-damaged", file)?, "not named: {}", ours.data.document);
            ours.check_verdicts([Damaged; 4])?;
            ensure!(of_kind(&ours.data, "folder")?.len() == 1, "one folder is lost: {}", ours.data.document);
            known.check_listing(file, ours)
        }
        (Region::Header | Region::HeaderLength, _) => {
            ours.check_verdicts([Good, Damaged, Good, Damaged])?;
            ensure!(names(&ours.data, "pack-damaged", file)?, "not named: {}", ours.data.document);
            known.check_lost(&BTreeSet::new(), ours)
        }
        (Region::Whole, FileName::Config) => {
            ours.check_verdicts([Damaged, Damaged, Damaged, Good])?;
            known.check_all_refused(ours, "The file config")
        }
        (Region::Whole, FileName::Hashed(FileKind::Key, id)) => {
            ours.check_verdicts([Damaged; 4])?;
            known.check_all_refused(ours, &id.short())
        }
        (Region::Whole, FileName::Hashed(FileKind::Index, _)) => known.check_index(file, ours),
        (Region::Whole, FileName::Hashed(..)) => known.check_snapshot(file, ours),
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_restic_finds_it_and_named_with_machine_disk_and_place() {
    claim(|| {
        let (known, peers, table) = (Known::new()?, peers()?, Table::default());
        let mut flips = flips_of_chunks(&known)?;
        flips.extend(flips_of_packs(&known)?);
        flips.extend(flips_of_files(&known)?);
        each(AT_ONCE, &flips, |flip| {
            let copy = known.base.copy()?;
            copy.flip(flip.spot.file, flip.byte, flip.bit)?;
            let ours = Ours::say(&known.base, &copy)?;
            check(&known, flip, &ours)?;
            table.compare(flip.row, (&known.base, &ours), &copy, &peers)
        })?;
        let (printed, more) = table.finish();
        println!("{} flipped bits, {printed}", flips.len());
        // What the key file says in clear about who made it is not what it is for; restic 0.14 does not look at it.
        let row = "name in the key";
        let expected = [Depth::Structure, Depth::Data].map(|depth| Difference {
            row,
            by: By::Check(depth),
            release: Release::OfSystem,
        });
        ensure!(more.iter().all(|difference| expected.contains(difference)), "we find more: {more:?}");
        Ok(())
    });
}

/// Puts a lock of a process that lives into a copy, with one bit flipped. Gives its file.
fn damaged_lock(copy: &Copied<'_>) -> Result<FileName> {
    let lock = open(&copy.place().repository)?.lock(LockKind::Shared)?;
    let file = *copy.files(FileKind::Lock)?.first().context("the lock is there")?;
    let bytes = std::fs::read(copy.path(file))?;
    drop(lock);
    std::fs::write(copy.path(file), bytes)?;
    copy.flip(file, 60, 5)?;
    Ok(file)
}

#[test]
fn a_damaged_lock_may_be_anybodys_so_it_counts_until_it_is_removed_on_demand() {
    claim(|| {
        let known = Known::new()?;
        let copy = known.base.copy()?;
        let file = damaged_lock(&copy)?;
        let run = &known.base.runs()[0];
        for args in [&["repo", "check"][..], &["verify", "--all"], &["show", &run.point.to_string()]] {
            let said = copy.sonae(args)?.refused(11)?;
            ensure!(said.contains(&file.to_string()) && said.contains("repo unlock"), "{said}");
        }
        known.check_keyless(file, &copy.sonae(&["repo", "keyless-check"])?)?;
        for peer in peers()? {
            ensure!(verdict_of(&peer, &copy, Depth::Data) == Good, "a lock is no part of what is kept");
        }
        let kept = copy.sonae(&["repo", "unlock"])?.good()?;
        ensure!(kept["kept"] == 1 && kept["locks"][0]["standing"] == "unreadable", "{kept}");
        let removed = copy.sonae(&["repo", "unlock", "--remove-all"])?.good()?;
        ensure!(removed["removed"] == 1, "{removed}");
        let ours = Ours::say(&known.base, &copy)?;
        ours.check_verdicts([Good; 4])?;
        known.check_lost(&BTreeSet::new(), &ours)
    });
}
