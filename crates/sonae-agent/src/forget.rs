//! Forgetting: which points of which machine go, why the others stay, and their removal (requirement 001-19).
//!
//! The rules are those of [`sonae_core::retention`]; here they meet what a repository holds. Points that Sonae did not
//! make are left alone: whoever made them knows their rules.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sonae_core::retention::{
    Decision, Fate, Kind, NeverRemoved, PointFacts, Policy, Reason, Standing, Taken, Unit, Zone, decide,
    decide_named, newest_by_count, newest_by_time,
};
use sonae_repo::forget::{ForgetCause, ForgetError};
use sonae_repo::index::Index;
use sonae_repo::lock::LockError;
use sonae_repo::reader::Points;
use sonae_repo::snapshot::Point;
use sonae_repo::store::StoreError;
use sonae_repo::{Repository, Stop};
use sonae_text::keys;
use sonae_types::{Digest, Message, Timestamp, VmName};

use crate::failure::{Failure, Fault};
use crate::findings::DamagedReport;
use crate::prune::lock_to_remove;
use crate::select::{Selector, select, unknown_vm};

/// What to forget.
#[derive(Clone, Debug)]
pub struct ForgetRequest {
    /// Only points of this machine.
    pub vm: Option<VmName>,
    /// Which of them.
    pub which: Which,
    /// Whether to do it.
    pub mode: ForgetMode,
}

/// Which points to forget.
#[derive(Clone, Debug)]
pub enum Which {
    /// Those that no rule keeps, machine by machine.
    Ruled {
        /// The rules.
        policy: Policy,
        /// The zone of their calendar.
        zone: Zone,
    },
    /// These.
    Named(Vec<Selector>),
}

/// Whether points are removed or only told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForgetMode {
    /// Only told.
    DryRun,
    /// Removed.
    Done,
}

/// What was decided and done.
#[derive(Debug, Serialize)]
pub struct ForgetReport {
    /// Whether it was carried out.
    pub mode: ForgetMode,
    /// The zone of the calendar; none where points were named.
    pub zone: Option<String>,
    /// The machines, by name.
    pub machines: Vec<MachineReport>,
    /// How many points were removed; none in a dry run.
    pub removed: usize,
    /// How many points were left alone because Sonae did not make them.
    pub left_alone: usize,
    /// Files that should be points and cannot be read; nobody knows of which machine.
    pub damaged: Vec<DamagedReport>,
}

/// What was decided about the points of one machine.
#[derive(Debug, Serialize)]
pub struct MachineReport {
    /// The machine.
    pub vm: String,
    /// What stays, newest first.
    pub keep: Vec<KeptPoint>,
    /// What goes, newest first.
    pub remove: Vec<RemovedPoint>,
}

/// A point that stays.
#[derive(Debug, Serialize)]
pub struct KeptPoint {
    /// Its id.
    pub point: Digest,
    /// When it was taken, RFC 3339.
    pub time: String,
    /// Why; at least one.
    pub reasons: Vec<ReasonReport>,
}

/// A point that goes.
#[derive(Debug, Serialize)]
pub struct RemovedPoint {
    /// Its id.
    pub point: Digest,
    /// When it was taken, RFC 3339.
    pub time: String,
}

/// Why a point stays.
#[derive(Debug, Serialize)]
pub struct ReasonReport {
    /// The rule.
    pub rule: &'static str,
    /// The period, the place from the front, the span or the tags that the rule found.
    pub value: Option<String>,
    /// The same for people.
    #[serde(skip)]
    pub message: Message,
}

/// Forgets points. Errors: what is named is not there or is never removed; then nothing was changed. When the removal
/// itself stops, the message tells how far it came.
pub fn forget(
    repository: &Repository,
    request: &ForgetRequest,
    stop: &Stop,
) -> Result<ForgetReport, Failure> {
    match request.mode {
        ForgetMode::DryRun => {
            let _lock = repository.begin_reading()?.settle()?;
            decided(repository, request, stop)
        }
        ForgetMode::Done => {
            let lock = repository.lock_on_full_disk().map_err(lock_to_remove)?;
            let mut report = decided(repository, request, stop)?;
            // The oldest first, so that what an interruption leaves is what is worth most.
            let going = report.machines.iter().flat_map(|machine| machine.remove.iter().rev());
            let going = going.map(|point| point.point).collect::<Vec<_>>();
            repository.forget(&going, &lock, stop).map_err(stopped)?;
            report.removed = going.len();
            Ok(report)
        }
    }
}

/// What is to be done, with nothing done yet.
fn decided(repository: &Repository, request: &ForgetRequest, stop: &Stop) -> Result<ForgetReport, Failure> {
    // Points before the index, never after: whatever a listed point references is then in the index.
    let points = repository.points()?;
    let machines = machines(&points, request)?;
    let index = repository.load_trusted_index()?.index;
    let looking = Looking { repository, index: &index, now: repository.environment().clock.now(), stop };
    let mut reports = Vec::new();
    for Machine { vm, points, named } in &machines {
        let facts = looking.facts(points)?;
        let decisions = match &request.which {
            Which::Ruled { policy, zone } => decide(&facts, policy, zone, looking.now),
            Which::Named(_) => decide_named(&facts, named, looking.now)
                .map_err(|NeverRemoved { point }| never_removed(point, vm))?,
        };
        reports.push(MachineReport::of(vm, points, decisions));
    }
    let foreign = points.good.iter().filter(|point| request.is_about(point) && is_foreign(point));
    Ok(ForgetReport {
        mode: request.mode,
        zone: request.zone(),
        machines: reports,
        removed: 0,
        left_alone: foreign.count(),
        damaged: points.damaged.iter().map(DamagedReport::snapshot).collect(),
    })
}

impl ForgetRequest {
    fn is_about(&self, point: &Point) -> bool {
        self.vm.as_ref().is_none_or(|vm| point.snapshot.hostname == vm.as_str())
    }

    fn zone(&self) -> Option<String> {
        match &self.which {
            Which::Ruled { zone, .. } => Some(zone.name().to_owned()),
            Which::Named(_) => None,
        }
    }
}

/// A machine with its points and proof records, and which of its points were named.
struct Machine<'a> {
    vm: &'a str,
    points: Vec<&'a Point>,
    named: BTreeSet<Digest>,
}

/// The machines to decide about. Errors: a machine or a point that is not there, or that Sonae did not make.
fn machines<'a>(points: &'a Points, request: &ForgetRequest) -> Result<Vec<Machine<'a>>, Failure> {
    let about = || points.good.iter().filter(|point| request.is_about(point));
    if let Some(vm) = &request.vm
        && about().all(|point| point.snapshot.is_proof())
        && points.damaged.is_empty()
    {
        return Err(unknown_vm(vm));
    }
    let mut machines = BTreeMap::<&str, Machine<'_>>::new();
    for point in about().filter(|point| !is_foreign(point)) {
        let vm = point.snapshot.hostname.as_str();
        let machine = Machine { vm, points: Vec::new(), named: BTreeSet::new() };
        machines.entry(vm).or_insert(machine).points.push(point);
    }
    let Which::Named(selectors) = &request.which else {
        return Ok(machines.into_values().collect());
    };
    for selector in selectors {
        let point = select(points, selector, request.vm.as_ref())?;
        match machines.get_mut(point.snapshot.hostname.as_str()) {
            Some(machine) if !is_foreign(point) => machine.named.insert(point.id),
            Some(_) | None => return Err(foreign(point.id)),
        };
    }
    Ok(machines.into_values().filter(|machine| !machine.named.is_empty()).collect())
}

fn is_foreign(point: &Point) -> bool {
    !point.snapshot.is_ours() && !point.snapshot.is_proof()
}

/// Looks at points, as far as a decision needs it.
struct Looking<'a> {
    repository: &'a Repository,
    index: &'a Index,
    now: Timestamp,
    stop: &'a Stop,
}

impl Looking<'_> {
    /// What is known of the points of one machine. From the newest on they are looked at until a good one is found: it
    /// is the one that is never removed, and no rule needs to know more about older ones.
    fn facts(&self, points: &[&Point]) -> Result<Vec<PointFacts>, Failure> {
        let mut facts = points.iter().map(|point| facts_of(point)).collect::<Vec<_>>();
        let ids = |order: Vec<&PointFacts>| order.iter().map(|facts| facts.id).collect::<Vec<_>>();
        for order in [ids(newest_by_time(&facts, self.now)), ids(newest_by_count(&facts))] {
            for id in order {
                let at = facts.iter().position(|facts| facts.id == id).expect("the order is of these points");
                if facts[at].standing == Standing::Unknown {
                    facts[at].standing = self.standing(points[at])?;
                }
                if facts[at].standing == Standing::Good {
                    break;
                }
            }
        }
        Ok(facts)
    }

    fn standing(&self, point: &Point) -> Result<Standing, Failure> {
        self.stop.check()?;
        let complete = self.repository.is_complete(point, self.index)?;
        Ok(if complete { Standing::Good } else { Standing::Damaged })
    }
}

fn facts_of(point: &Point) -> PointFacts {
    let snapshot = &point.snapshot;
    PointFacts {
        id: point.id,
        kind: if snapshot.is_proof() { Kind::ProofRecord } else { Kind::Point },
        taken: snapshot.taken_at().map_or(Taken::Unknown, Taken::At),
        generation: snapshot.generation(),
        tags: snapshot.tags.clone(),
        standing: Standing::Unknown,
    }
}

impl MachineReport {
    fn of(vm: &str, points: &[&Point], decisions: Vec<Decision>) -> Self {
        let times = points.iter().map(|point| (point.id, &point.snapshot.time)).collect::<BTreeMap<_, _>>();
        let mut report = Self { vm: vm.to_owned(), keep: Vec::new(), remove: Vec::new() };
        for Decision { point, fate } in decisions {
            let time = times.get(&point).map_or_else(String::new, ToString::to_string);
            match fate {
                Fate::Keep(reasons) => {
                    let reasons = reasons.iter().map(ReasonReport::from).collect();
                    report.keep.push(KeptPoint { point, time, reasons });
                }
                Fate::Remove => report.remove.push(RemovedPoint { point, time }),
                Fate::PassedOver => {}
            }
        }
        report
    }
}

impl From<&Reason> for ReasonReport {
    fn from(reason: &Reason) -> Self {
        let key = match reason {
            Reason::Last(_) => keys::FORGET_REASON_LAST,
            Reason::NewestOf(period) => match period.unit() {
                Unit::Hour => keys::FORGET_REASON_HOURLY,
                Unit::Day => keys::FORGET_REASON_DAILY,
                Unit::Week => keys::FORGET_REASON_WEEKLY,
                Unit::Month => keys::FORGET_REASON_MONTHLY,
                Unit::Year => keys::FORGET_REASON_YEARLY,
            },
            Reason::OldestWith(_) => keys::FORGET_REASON_OLDEST,
            Reason::Within(_) => keys::FORGET_REASON_WITHIN,
            Reason::Tagged(_) => keys::FORGET_REASON_TAG,
            Reason::NewestGood => keys::FORGET_REASON_NEWEST_GOOD,
            Reason::NewestUnknown => keys::FORGET_REASON_NEWEST_UNKNOWN,
            Reason::Damaged => keys::FORGET_REASON_DAMAGED,
            Reason::UnknownTime => keys::FORGET_REASON_UNKNOWN_TIME,
            Reason::FutureTime => keys::FORGET_REASON_FUTURE_TIME,
            Reason::NotNamed => keys::FORGET_REASON_NOT_NAMED,
        };
        let value = reason.value();
        let message = value.iter().fold(Message::new(key), |message, value| message.with("value", value));
        Self { rule: reason.rule(), value, message }
    }
}

/// The failure that no rule was given, so that nothing says what stays.
#[must_use]
pub fn no_rule() -> Failure {
    Failure::new(Fault::WrongUse, Message::new(keys::ERROR_FORGET_NO_RULE))
        .remedy(Message::new(keys::REMEDY_FORGET_NO_RULE))
}

fn never_removed(point: Digest, vm: &str) -> Failure {
    let message = Message::new(keys::ERROR_FORGET_NEWEST).with("point", point.short()).with("vm", vm);
    Failure::new(Fault::WrongUse, message).remedy(Message::new(keys::REMEDY_FORGET_NEWEST))
}

fn foreign(point: Digest) -> Failure {
    let message = Message::new(keys::ERROR_FORGET_FOREIGN).with("point", point.short());
    Failure::new(Fault::WrongUse, message)
        .remedy(Message::new(keys::REMEDY_FORGET_FOREIGN).with("point", point.short()))
}

/// The removal stopped on its way.
fn stopped(error: ForgetError) -> Failure {
    let interrupted = matches!(
        *error.cause,
        ForgetCause::Stopped(_)
            | ForgetCause::Store(StoreError::Stopped { .. })
            | ForgetCause::Lock(LockError::Store(StoreError::Stopped { .. }))
    );
    let message = Message::new(keys::ERROR_FORGET_STOPPED)
        .with("removed", error.done.removed.len() + error.done.gone_before.len())
        .with("asked", error.asked);
    Failure::new(if interrupted { Fault::Interrupted } else { Fault::OurFault }, message)
        .remedy(Message::new(keys::REMEDY_FORGET_STOPPED))
        .because(error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sonae_core::retention::{Count, Rule, TagSet, Within};
    use sonae_repo::Progress;
    use sonae_repo::crypto::{KdfCost, Password};
    use sonae_repo::snapshot::Snapshot;
    use sonae_repo::store::fault::{Fault as StoreFault, FaultStore};
    use sonae_repo::store::wrap::Verb;
    use sonae_repo::store::{FileKind, FileName, MemoryStore, ObjectStore as _, Repeats};
    use sonae_repo::testing::{environment, image};
    use sonae_repo::time::to_rfc3339;
    use sonae_text::{Language, missing_fields, render};
    use sonae_types::DiskName;

    use super::*;
    use crate::backup::{BackupRequest, DiskRequest, Format, backup};
    use crate::changes::ChangeMaps;

    /// A repository of which the n-th removal of a file has this fault, with a good point and copies of it, one at each
    /// of these seconds before.
    fn repository(nth: u64, fault: StoreFault, seconds: &[i64]) -> (MemoryStore, Repository) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("vda.raw");
        std::fs::write(&path, image("tnz", 0)).unwrap();
        let memory = MemoryStore::new();
        let store = FaultStore::planned(Arc::new(memory.clone()), move |seen| {
            let point = format!("{:?}", seen.target).contains("Snapshot");
            (seen.verb == Verb::Remove && point && seen.number_of_operation == nth).then_some(fault)
        });
        let password = Password::from_file_bytes(b"secret");
        let repository =
            Repository::init(Arc::new(store), environment(), &password, KdfCost::FOR_TESTS).unwrap();
        let disk = DiskRequest { name: DiskName::parse("vda").unwrap(), path, format: Format::Raw };
        let request = BackupRequest {
            vm: VmName::parse("web01").unwrap(),
            disks: vec![disk],
            files: vec![],
            changes: ChangeMaps::default(),
        };
        let (stop, progress) = (Stop::default(), Progress::default());
        backup(&repository, &request, &Repeats::default(), &stop, &progress).unwrap();
        let good = repository.points().unwrap().good.remove(0);
        for second in seconds {
            let time = to_rfc3339(Timestamp::from_micros(-second * 1_000_000));
            let tags = vec!["sonae".to_owned()];
            repository.save_point(&Snapshot { time, tags, ..good.snapshot.clone() }).unwrap();
        }
        (memory, repository)
    }

    fn last(count: &str, mode: ForgetMode) -> ForgetRequest {
        let rule = Rule::Last(Count::parse(count).unwrap().unwrap());
        let policy = Policy::new(vec![rule]).unwrap();
        ForgetRequest { vm: None, which: Which::Ruled { policy, zone: Zone::default() }, mode }
    }

    fn times(repository: &Repository) -> Vec<i64> {
        let points = repository.points().unwrap().good;
        points.iter().map(|point| -point.snapshot.taken_at().unwrap().as_micros() / 1_000_000).collect()
    }

    #[test]
    fn a_removal_that_stops_says_how_far_it_came_and_began_with_the_oldest() {
        let (_, repository) = repository(3, StoreFault::Fail, &[10, 20, 30, 40]);
        let failure = forget(&repository, &last("1", ForgetMode::Done), &Stop::default()).unwrap_err();
        assert_eq!(failure.fault, Fault::OurFault);
        assert_eq!(
            render(&failure.message, Language::En),
            "The work stopped. Recovery points removed until then: 2 of 4. The others are as they were."
        );
        assert_eq!(times(&repository), [20, 10, -1]);
        // The same once more goes on where it stopped.
        let report = forget(&repository, &last("1", ForgetMode::Done), &Stop::default()).unwrap();
        assert_eq!((report.removed, times(&repository)), (2, vec![-1]));
    }

    #[test]
    fn a_stop_that_was_asked_for_counts_as_an_interruption_and_leaves_no_lock() {
        let (memory, repository) = repository(9, StoreFault::Fail, &[10]);
        let stop = Stop::default();
        stop.request();
        let failure = forget(&repository, &last("1", ForgetMode::Done), &stop).unwrap_err();
        assert_eq!(failure.fault, Fault::Interrupted);
        assert_eq!(times(&repository).len(), 2);
        assert!(memory.list(FileKind::Lock).unwrap().is_empty());
    }

    #[test]
    fn where_nothing_is_whole_nothing_goes() {
        let (memory, repository) = repository(9, StoreFault::Fail, &[10, 20]);
        for pack in memory.list(FileKind::Data).unwrap() {
            memory.remove(FileName::Hashed(FileKind::Data, pack.id)).unwrap();
        }
        let report = forget(&repository, &last("1", ForgetMode::Done), &Stop::default()).unwrap();
        assert_eq!((report.removed, times(&repository).len()), (0, 3));
        let reasons = report.machines[0].keep.iter().flat_map(|point| &point.reasons);
        assert!(reasons.clone().all(|reason| reason.rule == "damaged"), "{report:?}");
    }

    #[test]
    fn every_reason_is_said_with_all_of_its_fields() {
        let (_, repository) = repository(9, StoreFault::Fail, &[10]);
        let facts = facts_of(&repository.points().unwrap().good[0]);
        let rules = |rule: Rule| {
            decide(
                std::slice::from_ref(&facts),
                &Policy::new(vec![rule]).unwrap(),
                &Zone::default(),
                Timestamp::from_micros(0),
            )
        };
        let mut all = vec![
            Reason::NewestGood,
            Reason::NewestUnknown,
            Reason::Damaged,
            Reason::UnknownTime,
            Reason::FutureTime,
            Reason::NotNamed,
            Reason::Last(1),
            Reason::Within(Within { days: 7, ..Within::default() }),
            Reason::Tagged(TagSet::parse("sonae").unwrap()),
        ];
        for unit in Unit::ALL {
            for Decision { fate, .. } in rules(Rule::Newest(unit, Count::Unlimited)) {
                let Fate::Keep(reasons) = fate else { panic!("the newest stays") };
                let Reason::NewestOf(period) = reasons[0] else { panic!("the rule comes first") };
                all.extend([Reason::NewestOf(period), Reason::OldestWith(period)]);
            }
        }
        for reason in all.iter().map(ReasonReport::from) {
            assert!(missing_fields(&reason.message).is_empty(), "{reason:?}");
            assert!(!render(&reason.message, Language::Ja).is_ascii(), "{reason:?}");
        }
    }
}
