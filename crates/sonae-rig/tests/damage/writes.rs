//! A store that alters what it is given, and one whose listings lag: the run fails, or what went wrong is found by us
//! as soon as plain restic finds it (the operations that fail or get lost are in `every_n.rs`).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use sonae_agent::maintain::{RepairMode, repair_index};
use sonae_agent::verify::{self, Selection};
use sonae_agent::{Failure, Fault as Class};
use sonae_repo::check::Depth;
use sonae_repo::store::fault::{Fault, FaultStore, Seen, Subject};
use sonae_repo::store::wrap::Verb;
use sonae_repo::store::{FileKind, LocalStore};
use sonae_repo::{Progress, Repository, Stop};
use sonae_rig::damage::{AP, Base, Copied, back_up, each, open, open_in};
use sonae_rig::disks::{self, Stretch};
use sonae_rig::peer::Peer;
use sonae_rig::stand::claim;
use sonae_types::ByteCount;

use crate::Verdict::{Damaged, Good};
use crate::{Verdict, peers, verdict_of};

/// These are told in our own process, so that no more at once than there are processors.
const THREADS: usize = 2;

/// The number of the put that is altered, and the number of the bit.
#[derive(Clone, Copy, Debug)]
struct Altered {
    put: u64,
    bit: u64,
}

/// How the runs ended whose put was altered.
#[derive(Debug, Default)]
struct Ends {
    refused: AtomicU64,
    unharmed: AtomicU64,
    found_later: AtomicU64,
}

/// The first machine's disks on a third day.
fn third_day(base: &Base) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut disks = base.runs()[2].disks.clone();
    let day = base.place_for("third-day");
    std::fs::copy(&disks[0].1, &day)?;
    disks::overwrite(&day, ByteCount::kib(64), Stretch::Noise(33, ByteCount::kib(1200)))?;
    disks[0].1 = day;
    Ok(disks)
}

fn store_of(
    copy: &Copied<'_>,
    plan: impl Fn(&Seen) -> Option<Fault> + Send + Sync + 'static,
) -> Result<Arc<FaultStore>> {
    let store = LocalStore::open(&copy.place().repository)?;
    Ok(Arc::new(FaultStore::planned(Arc::new(store), plan)))
}

/// What we say of a repository when every byte of it is read.
fn checked(repository: &Repository) -> Result<Verdict, Failure> {
    let report = verify::check(repository, Depth::Data, &Stop::default(), &Progress::default())?;
    Ok(if report.verdict == verify::Verdict::Good { Good } else { Damaged })
}

/// Every point that is listed is whole.
fn all_points_are_whole(repository: &Repository, points: usize) -> Result<()> {
    let report = verify::verify(repository, &Selection::All, None, &Stop::default(), &Progress::default())?;
    ensure!(report.verdict == verify::Verdict::Good, "a listed point is not whole: {:?}", report.findings);
    ensure!(report.points.len() == points, "{} points instead of {points}", report.points.len());
    Ok(())
}

fn alter(
    base: &Base,
    disks: &[(&str, PathBuf)],
    altered: Altered,
    peers: &[Peer],
    ends: &Ends,
) -> Result<()> {
    let copy = base.copy()?;
    let store = store_of(&copy, move |seen| {
        (seen.verb == Verb::Put && seen.number_of_verb == altered.put).then_some(Fault::BitFlip(altered.bit))
    })?;
    let run = back_up(&open_in(store.clone())?, AP, disks);
    if store.hits().is_empty() {
        return Ok(());
    }
    drop(store);
    let repository = open(&copy.place().repository)?;
    let we = checked(&repository)?;
    for peer in peers {
        let they = verdict_of(peer, &copy, crate::Depth::Data);
        ensure!(they == we, "restic {} says {they:?}, we say {we:?}", peer.version());
    }
    match (&run, we) {
        // What the run had stored before is what it was.
        (Err(_), Good) => all_points_are_whole(&repository, base.runs().len())?,
        (Ok(_), Good) => all_points_are_whole(&repository, base.runs().len() + 1)?,
        (Ok(run), Damaged) => {
            let report =
                verify::verify(&repository, &Selection::All, None, &Stop::default(), &Progress::default())?;
            let hit = report.points.iter().filter(|point| point.verdict != verify::Verdict::Good);
            let hit = hit.map(|point| point.point).collect::<Vec<_>>();
            // The header serves the repair of the index alone.
            ensure!(hit.is_empty() || hit == [run.point], "only the new point may be hit: {hit:?}");
        }
        (Err(error), Damaged) => anyhow::bail!("a refused run left damage: {error:#}"),
    }
    let end = match (run, we) {
        (Err(_), _) => &ends.refused,
        (Ok(_), Good) => &ends.unharmed,
        (Ok(_), Damaged) => &ends.found_later,
    };
    end.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

#[test]
fn a_bit_that_the_store_flips_in_a_file_fails_the_run_or_is_found_by_us_and_by_restic() {
    claim(|| {
        let (base, peers, ends) = (Base::new()?, peers()?, Ends::default());
        let disks = third_day(&base)?;
        let copy = base.copy()?;
        let calm = store_of(&copy, |_seen| None)?;
        back_up(&open_in(calm.clone())?, AP, &disks)?;
        let puts = calm.log().iter().filter(|seen| seen.verb == Verb::Put).count() as u64;
        ensure!(8 <= puts, "{puts} puts are too few");
        // One more than were counted: which worker was faster decides how many packs there are.
        let altered = (1..=puts + 1).flat_map(|put| [5, 400_003, u64::MAX].map(|bit| Altered { put, bit }));
        let altered = altered.collect::<Vec<_>>();
        each(THREADS, &altered, |altered| alter(&base, &disks, *altered, &peers, &ends))?;
        println!("{puts} puts, {} altered: {ends:?}", altered.len());
        ensure!(0 < ends.refused.into_inner(), "no altered file was noticed by its run");
        Ok(())
    });
}

/// A store of a copy whose listings lag where `lags` says so, once it is told to begin.
fn lagging(copy: &Copied<'_>, lags: fn(FileKind) -> bool) -> Result<(Arc<FaultStore>, Arc<AtomicBool>)> {
    let begun = Arc::new(AtomicBool::new(false));
    let (told, all) =
        (Arc::clone(&begun), [FileKind::Data, FileKind::Index, FileKind::Snapshot, FileKind::Lock]);
    let store = store_of(copy, move |seen| {
        let stale = all.into_iter().any(|kind| lags(kind) && seen.is(Verb::List, Subject::Files(kind)));
        (stale && told.load(Ordering::SeqCst)).then_some(Fault::StaleListing)
    })?;
    Ok((store, begun))
}

fn whole_for_all(copy: &Copied<'_>, points: usize, peers: &[Peer]) -> Result<()> {
    all_points_are_whole(&open(&copy.place().repository)?, points)?;
    for peer in peers {
        let they = verdict_of(peer, copy, crate::Depth::Data);
        ensure!(they == Good, "restic {} finds damage", peer.version());
    }
    Ok(())
}

#[test]
fn a_run_whose_lock_is_not_listed_fails_and_the_next_one_succeeds() {
    claim(|| {
        let (base, peers) = (Base::new()?, peers()?);
        let (disks, copy) = (third_day(&base)?, base.copy()?);
        let (store, begun) = lagging(&copy, |_kind| true)?;
        begun.store(true, Ordering::SeqCst);
        let refused = back_up(&open_in(store)?, AP, &disks).err().context("nobody sees our lock")?;
        let class = refused.downcast_ref::<Failure>().map(|failure| failure.fault);
        ensure!(class == Some(Class::OurFault), "{refused:#}");
        whole_for_all(&copy, base.runs().len(), &peers)?;
        back_up(&open(&copy.place().repository)?, AP, &disks)?;
        whole_for_all(&copy, base.runs().len() + 1, &peers)
    });
}

#[test]
fn a_run_that_does_not_see_what_was_stored_last_stores_it_again_and_harms_nothing() {
    claim(|| {
        let (base, peers) = (Base::new()?, peers()?);
        let (disks, copy) = (third_day(&base)?, base.copy()?);
        let (store, begun) = lagging(&copy, |kind| kind != FileKind::Lock)?;
        let repository = open_in(store.clone())?;
        back_up(&repository, AP, &disks)?;
        begun.store(true, Ordering::SeqCst);
        let again = back_up(&repository, AP, &disks)?;
        ensure!(store.hits().len() == 3, "points, index and packs are listed: {:?}", store.hits());
        ensure!(ByteCount::ZERO < again.disks[0].new_chunk_bytes, "its chunks are in no index that is seen");
        let found = again.findings.iter().map(|finding| &finding.detail).collect::<Vec<_>>();
        ensure!(found.is_empty(), "a listing that lags is no damage: {found:?}");
        whole_for_all(&copy, base.runs().len() + 2, &peers)
    });
}

#[test]
fn a_repair_that_does_not_see_the_packs_stored_last_loses_none_of_them() {
    claim(|| {
        let (base, peers) = (Base::new()?, peers()?);
        let (disks, copy) = (third_day(&base)?, base.copy()?);
        let (store, begun) = lagging(&copy, |kind| kind == FileKind::Data)?;
        let repository = open_in(store.clone())?;
        back_up(&repository, AP, &disks)?;
        begun.store(true, Ordering::SeqCst);
        let report = repair_index(&repository, RepairMode::Done, &Stop::default(), &Progress::default())?;
        ensure!(!store.hits().is_empty(), "packs are listed");
        ensure!(report.verdict == verify::Verdict::Good, "nothing is missing: {:?}", report.findings);
        whole_for_all(&copy, base.runs().len() + 1, &peers)
    });
}
