//! Every operation of a store goes wrong once, in every way, in a first and in a second run: afterwards the next run
//! succeeds, every point that is listed is whole, and plain restic has nothing to say (requirements 001-20, 002-09).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sonae_agent::backup::{BackupReport, BackupRequest, DiskRequest, Format, backup};
use sonae_agent::changes::ChangeMaps;
use sonae_agent::prune::{PruneMode, PruneReport, prune};
use sonae_agent::restore::{Existing, RestoreRequest, What, restore};
use sonae_agent::select::Selector;
use sonae_agent::verify::{Selection, Verdict, verify};
use sonae_repo::crypto::{KdfCost, Password};
use sonae_repo::lock::{LockKind, Unlock};
use sonae_repo::prune::{GRACE, MaxUnused, PruneBounds};
use sonae_repo::store::fault::{Fault, FaultStore, Seen};
use sonae_repo::store::wrap::Verb;
use sonae_repo::store::{FileKind, LocalStore, ObjectStore as _, Repeats};
use sonae_repo::{Progress, Repository, Stop};
use sonae_rig::content::Content;
use sonae_rig::damage::{each, folder_in_memory, hasty_environment};
use sonae_rig::disks::{self, Stretch};
use sonae_rig::peer::{Peer, Place, Release};
use sonae_rig::stand::claim;
use sonae_types::{ByteCount, DiskName, VmName};

const VM: &str = "jumin-ap01";
const DISKS: [&str; 2] = ["vda", "vdb"];
const PASSWORD: &[u8] = b"a password for a test";
/// Small packs, so that a small disk fills several.
const PACK: ByteCount = ByteCount::kib(96);

/// A machine on two days, and repositories to begin from.
struct Story {
    folder: tempfile::TempDir,
}

/// Which operation breaks, and how.
#[derive(Clone, Copy, Debug)]
enum Break {
    /// The operation of this number.
    Number(u64, Fault),
    /// The operation of this number among those with one verb.
    NumberOf(Verb, u64, Fault),
}

/// Everything that is of no use, at once.
const ALL: PruneBounds = PruneBounds {
    grace: Duration::ZERO,
    max_unused: MaxUnused::Bytes(ByteCount::ZERO),
    max_repack: ByteCount::gib(1),
};

/// One story to tell: the day of the run that is hit.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    day: usize,
    breaks: Break,
}

impl Break {
    fn fault(self, seen: &Seen) -> Option<Fault> {
        match self {
            Self::Number(number, fault) => (seen.number == number).then_some(fault),
            Self::NumberOf(verb, number, fault) => {
                (seen.verb == verb && seen.number_of_verb == number).then_some(fault)
            }
        }
    }
}

fn password() -> Password {
    Password::from_file_bytes(PASSWORD)
}

impl Story {
    /// Makes the disks of both days, and the repositories before the first and before the second day.
    fn new() -> Result<Self> {
        let story = Self { folder: folder_in_memory()? };
        let (kib, noise) = (ByteCount::kib, |seed, len| Stretch::Noise(seed, ByteCount::kib(len)));
        let first = [
            vec![noise(1, 1200), Stretch::Hole(kib(600)), Stretch::Text(2, kib(300))],
            vec![noise(3, 900), Stretch::Zeros(kib(128)), noise(4, 70)],
        ];
        for (disk, stretches) in DISKS.into_iter().zip(first) {
            for day in [1, 2] {
                disks::make(&story.image(day, disk), &stretches)?;
            }
            disks::overwrite(&story.image(2, disk), kib(64), noise(9, 64))?;
            disks::overwrite(&story.image(2, disk), kib(600), noise(10, 100))?;
        }
        std::fs::write(story.path("password"), PASSWORD)?;
        let store = Arc::new(LocalStore::create(&story.before(1))?);
        Repository::init(store, hasty_environment(), &password(), KdfCost::FOR_TESTS)?;
        copy(&story.before(1), &story.before(2))?;
        story.run(&story.before(2), 1, &calm(&story.before(2))?)?;
        Ok(story)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn image(&self, day: usize, disk: &str) -> PathBuf {
        self.path(&format!("day{day}-{disk}"))
    }

    /// The repository as it is before the run of a day.
    fn before(&self, day: usize) -> PathBuf {
        self.path(&format!("before-day{day}"))
    }

    fn run(&self, repository: &Path, day: usize, store: &Arc<FaultStore>) -> Result<BackupReport> {
        let context = || format!("the run of day {day} in {}", repository.display());
        let opened =
            Repository::open(store.clone(), hasty_environment(), &password()).with_context(context)?;
        let disks = DISKS.map(|name| DiskRequest {
            name: DiskName::parse(name).expect("a name"),
            path: self.image(day, name),
            format: Format::Raw,
        });
        let vm = VmName::parse(VM).expect("a name");
        let request =
            BackupRequest { vm, disks: disks.to_vec(), files: Vec::new(), changes: ChangeMaps::default() };
        let (stop, progress) = (Stop::default(), Progress::default());
        backup(&opened.with_packs_of(PACK), &request, &Repeats::default(), &stop, &progress)
            .with_context(context)
    }

    /// Tells one story in a repository of its own. Answers the faults that hit.
    fn tell(&self, number: usize, scenario: Scenario, restic: &Peer) -> Result<Vec<Fault>> {
        let repository = self.path(&format!("scenario{number}"));
        copy(&self.before(scenario.day), &repository)?;
        let store = Arc::new(FaultStore::planned(Arc::new(LocalStore::open(&repository)?), move |seen| {
            scenario.breaks.fault(seen)
        }));
        let outcome = self.run(&repository, scenario.day, &store);
        let hits = store.hits().into_iter().map(|hit| hit.fault).collect();
        drop(store);
        let mut expected = if scenario.day == 2 { vec![1] } else { vec![] };
        if let Ok(report) = &outcome {
            expected.push(scenario.day);
            self.check_points(&repository, &expected, Some(report))?;
        } else {
            // A run that failed may have left a whole point, when only its answer was lost.
            self.check_points(&repository, &expected, None)?;
        }
        let next = self.run(&repository, 2, &calm(&repository)?).context("the run after")?;
        ensure!(next.findings.is_empty(), "the run after finds {:?}", next.findings);
        expected.push(2);
        self.check_points(&repository, &expected, Some(&next))?;
        open(&repository)?.unlock(Unlock::All)?;
        restic.check(&Place { repository: repository.clone(), password_file: self.path("password") })?;
        std::fs::remove_dir_all(&repository)?;
        Ok(hits)
    }

    /// Forgets all points but the newest and prunes what only they needed.
    fn tidy_up(
        &self,
        repository: &Path,
        store: &Arc<FaultStore>,
        bounds: &PruneBounds,
    ) -> Result<PruneReport> {
        let context = || format!("the prune in {}", repository.display());
        let opened =
            Repository::open(store.clone(), hasty_environment(), &password()).with_context(context)?;
        let opened = opened.with_packs_of(PACK);
        let (stop, progress) = (Stop::default(), Progress::default());
        let lock = opened.lock(LockKind::Exclusive)?;
        let points = opened.points()?.good;
        let older = points.iter().rev().skip(1).map(|point| point.id).collect::<Vec<_>>();
        opened.forget(&older, &lock, &stop)?;
        drop(lock);
        prune(&opened, bounds, PruneMode::Done, &stop, &progress).with_context(context)
    }

    /// Tells the story of a prune in which something breaks. Answers the faults that hit.
    fn tell_prune(
        &self,
        number: usize,
        breaks: Break,
        bounds: &PruneBounds,
        restic: &Peer,
    ) -> Result<Vec<Fault>> {
        let repository = self.path(&format!("prune{number}"));
        copy(&self.path("calm2"), &repository)?;
        let store = Arc::new(FaultStore::planned(Arc::new(LocalStore::open(&repository)?), move |seen| {
            breaks.fault(seen)
        }));
        let _outcome = self.tidy_up(&repository, &store, bounds);
        let hits = store.hits().into_iter().map(|hit| hit.fault).collect();
        drop(store);
        open(&repository)?.unlock(Unlock::All)?;
        self.check_points(&repository, &[2], None)?;
        self.tidy_up(&repository, &calm(&repository)?, &ALL).context("the prune after")?;
        self.check_points(&repository, &[2], None)?;
        let (stop, progress) = (Stop::default(), Progress::default());
        let opened = open(&repository)?.with_packs_of(PACK);
        let last = prune(&opened, &ALL, PruneMode::DryRun, &stop, &progress)?;
        ensure!(last.points == 1 && last.removed_packs == 0 && last.repacked_packs == 0, "{last:?}");
        ensure!(last.unused_left_bytes == ByteCount::ZERO, "{last:?}");
        restic.check(&Place { repository: repository.clone(), password_file: self.path("password") })?;
        std::fs::remove_dir_all(&repository)?;
        Ok(hits)
    }

    /// Every point that is listed can be read whole; those of `days` are there and give back the disks of their days.
    fn check_points(&self, folder: &Path, days: &[usize], newest: Option<&BackupReport>) -> Result<()> {
        let repository = open(folder)?;
        let (stop, progress) = (Stop::default(), Progress::default());
        let report = verify(&repository, &Selection::All, None, &stop, &progress)?;
        ensure!(report.findings.is_empty(), "a listed point is not whole: {:?}", report.findings);
        ensure!(days.len() <= report.points.len(), "points are gone: {} of {days:?}", report.points.len());
        ensure!(days.is_empty() || report.verdict == Verdict::Good, "{:?}", report.verdict);
        let Some(newest) = newest else { return Ok(()) };
        let points = repository.points()?.good;
        let found =
            points.iter().find(|point| point.id == newest.point).context("the point is not listed")?;
        let day = *days.last().context("a day")?;
        for disk in DISKS {
            let to = folder.join("restored");
            let request = RestoreRequest {
                point: Selector::parse(&found.id.to_string())?,
                vm: None,
                what: What::Disk(DiskName::parse(disk).expect("a name")),
                to: to.clone(),
                existing: Existing::Refuse,
            };
            restore(&repository, &request, &stop, &progress)?;
            ensure!(Content::of(&to)? == Content::of(&self.image(day, disk))?, "{disk} is another disk");
            std::fs::remove_file(to)?;
        }
        Ok(())
    }
}

fn calm(repository: &Path) -> Result<Arc<FaultStore>> {
    Ok(Arc::new(FaultStore::calm(Arc::new(LocalStore::open(repository)?))))
}

fn open(repository: &Path) -> Result<Repository> {
    Ok(Repository::open(Arc::new(LocalStore::open(repository)?), hasty_environment(), &password())?)
}

/// Another repository with the same files: they are never written twice, so both may have the same ones.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::hard_link(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Tells all stories of prunes on two threads; answers how often each fault hit.
fn tell_all_prunes(
    story: &Story,
    stories: &[(Break, PruneBounds)],
    restic: &Peer,
) -> Result<BTreeMap<Fault, u64>> {
    let numbered = stories.iter().enumerate().collect::<Vec<_>>();
    let hits = Mutex::new(BTreeMap::new());
    each(2, &numbered, |(number, (breaks, bounds))| {
        let told = story.tell_prune(*number, *breaks, bounds, restic);
        let told = told.with_context(|| format!("{breaks:?} with a grace of {:?}", bounds.grace))?;
        let mut hits = hits.lock().expect("nobody panics with it");
        told.into_iter().for_each(|hit| *hits.entry(hit).or_insert(0) += 1);
        Ok(())
    })?;
    Ok(hits.into_inner().expect("nobody panics with it"))
}

#[test]
fn whichever_operation_of_a_prune_goes_wrong_no_point_loses_anything_and_the_next_prune_ends_it() {
    claim(|| {
        let restic = Peer::find(Release::OfSystem)?;
        let story = Story::new()?;
        let repository = story.path("calm2");
        copy(&story.before(2), &repository)?;
        story.run(&repository, 2, &calm(&repository)?)?;
        let mut stories = Vec::new();
        let mut operations = 0;
        for bounds in [ALL, PruneBounds { grace: GRACE, ..ALL }] {
            let trial = story.path(&format!("trial{}", bounds.grace.as_secs()));
            copy(&repository, &trial)?;
            let store = calm(&trial)?;
            let report = story.tidy_up(&trial, &store, &bounds)?;
            ensure!(0 < report.repacked_packs, "it repacks: {report:?}");
            operations += store.operations();
            let verbs = |verb| store.log().iter().filter(|seen| seen.verb == verb).count() as u64;
            // With a grace less is removed, and what comes before is the same.
            let faults = [Fault::Fail, Fault::TornSilently, Fault::Lost];
            let faults = if bounds.grace.is_zero() { &faults[..] } else { &faults[2..] };
            for fault in faults {
                let numbers = 1..=store.operations() + 1;
                stories.extend(numbers.map(|number| (Break::Number(number, *fault), bounds)));
            }
            let repeated = [(Verb::List, Fault::Duplicated), (Verb::Remove, Fault::Duplicated)];
            for (verb, fault) in
                repeated.into_iter().chain([(Verb::Put, Fault::Full), (Verb::List, Fault::StaleListing)])
            {
                stories
                    .extend((1..=verbs(verb)).map(|number| (Break::NumberOf(verb, number, fault), bounds)));
            }
        }
        let hits = tell_all_prunes(&story, &stories, &restic)?;
        println!("every n of a prune: n = {operations} operations, {} stories, hits {hits:?}", stories.len());
        ensure!(5 <= hits.len(), "few faults hit: {hits:?}");
        Ok(())
    });
}

/// Tells all scenarios on two threads; answers how often each fault hit. Errors: every scenario that did not hold.
fn tell_all(story: &Story, scenarios: &[Scenario], restic: &Peer) -> Result<BTreeMap<Fault, u64>> {
    let (next, told) = (AtomicUsize::new(0), Mutex::new((BTreeMap::new(), Vec::new())));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(scenario) = scenarios.get(number) else { return };
                    let outcome = story.tell(number, *scenario, restic);
                    let mut told = told.lock().expect("nobody panics with it");
                    match outcome {
                        Ok(hits) => hits.into_iter().for_each(|hit| *told.0.entry(hit).or_insert(0) += 1),
                        Err(error) => told.1.push(format!("{scenario:?}: {error:#}")),
                    }
                }
            });
        }
    });
    let (hits, wrong) = told.into_inner().expect("nobody panics with it");
    ensure!(wrong.is_empty(), "{} scenarios did not hold:\n{}", wrong.len(), wrong.join("\n"));
    Ok(hits)
}

#[test]
fn whichever_operation_goes_wrong_the_next_run_succeeds_and_every_point_is_whole() {
    claim(|| {
        let restic = Peer::find(Release::OfSystem)?;
        let story = Story::new()?;
        let mut scenarios = Vec::new();
        let mut operations = 0;
        for day in [1, 2] {
            let repository = story.path(&format!("calm{day}"));
            copy(&story.before(day), &repository)?;
            let store = calm(&repository)?;
            story.run(&repository, day, &store)?;
            operations += store.operations();
            let verbs = |verb| store.log().iter().filter(|seen| seen.verb == verb).count() as u64;
            // One more than were counted: which worker was faster decides how many packs there are.
            for fault in [Fault::Fail, Fault::Torn, Fault::TornSilently, Fault::Lost, Fault::Duplicated] {
                let numbers = 1..=store.operations() + 1;
                let breaks = numbers.map(|number| Break::Number(number, fault));
                scenarios.extend(breaks.map(|breaks| Scenario { day, breaks }));
            }
            for (verb, fault) in [(Verb::Put, Fault::Full), (Verb::List, Fault::StaleListing)] {
                let breaks = (1..=verbs(verb)).map(|number| Break::NumberOf(verb, number, fault));
                scenarios.extend(breaks.map(|breaks| Scenario { day, breaks }));
            }
            if day == 2 {
                let store = LocalStore::open(&repository)?;
                let count = |kind| store.list(kind).map(|files| files.len());
                let (packs, indexes) = (count(FileKind::Data)?, count(FileKind::Index)?);
                ensure!(5 <= packs && 2 <= indexes, "{packs} packs and {indexes} index files are too few");
            }
        }
        ensure!(60 <= operations, "{operations} operations are too few");
        let hits = tell_all(&story, &scenarios, &restic)?;
        println!(
            "every n: n = {operations} operations in two runs, {} stories, hits {hits:?}, restic {}",
            scenarios.len(),
            restic.version()
        );
        for fault in [
            Fault::Fail,
            Fault::Full,
            Fault::Torn,
            Fault::TornSilently,
            Fault::Lost,
            Fault::Duplicated,
            Fault::StaleListing,
        ] {
            ensure!(hits.get(&fault).is_some_and(|hits| 0 < *hits), "{fault:?} never hit");
        }
        Ok(())
    });
}
