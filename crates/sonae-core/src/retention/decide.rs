//! The decision: facts and a policy in, the fate of every point out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use sonae_types::{Digest, Timestamp};

use super::{
    Count, Decision, Fate, Kind, NeverRemoved, PointFacts, Policy, Reason, Rule, Standing, Taken, Unit,
    Within, Zone,
};

/// A point that rules can judge: whole as far as anybody knows, and of a time that has come.
struct Counted<'a> {
    facts: &'a PointFacts,
    at: Timestamp,
    local: DateTime,
}

/// What is to become of each point of one machine, newest first.
///
/// The order of `points` does not matter. `now` only tells which times have not come yet.
#[must_use]
pub fn decide(points: &[PointFacts], policy: &Policy, zone: &Zone, now: Timestamp) -> Vec<Decision> {
    let newest_first = newest_first(points);
    let mut reasons = Reasons::default();
    let mut counted = Vec::new();
    for facts in newest_first.iter().copied().filter(|facts| facts.kind == Kind::Point) {
        match judged(facts, zone, now) {
            Ok(point) => counted.push(point),
            Err(reason) => reasons.add(facts, reason),
        }
    }
    policy.rules().iter().for_each(|rule| apply(rule, &counted, zone, &mut reasons));
    for (facts, reason) in never_removed(points, now) {
        reasons.add(facts, reason);
    }
    let mut fate = |facts: &PointFacts| match facts.kind {
        Kind::ProofRecord => Fate::PassedOver,
        Kind::Point => reasons.of.remove(&facts.id).map_or(Fate::Remove, Fate::Keep),
    };
    newest_first.iter().map(|facts| Decision { point: facts.id, fate: fate(facts) }).collect()
}

/// The same where a person names the points to remove. Errors: one of them is never removed; then none is to be.
pub fn decide_named(
    points: &[PointFacts],
    named: &BTreeSet<Digest>,
    now: Timestamp,
) -> Result<Vec<Decision>, NeverRemoved> {
    if let Some((facts, _)) = never_removed(points, now).iter().find(|(facts, _)| named.contains(&facts.id)) {
        return Err(NeverRemoved { point: facts.id });
    }
    let fate = |facts: &PointFacts| match facts.kind {
        Kind::ProofRecord => Fate::PassedOver,
        Kind::Point if named.contains(&facts.id) => Fate::Remove,
        Kind::Point => Fate::Keep(vec![Reason::NotNamed]),
    };
    Ok(newest_first(points).iter().map(|facts| Decision { point: facts.id, fate: fate(facts) }).collect())
}

/// The points in the order in which to look for the newest good one: by their times, those in the future and those
/// without a time last. Proof records are left out.
#[must_use]
pub fn newest_by_time(points: &[PointFacts], now: Timestamp) -> Vec<&PointFacts> {
    let mut points = points.iter().filter(|facts| facts.kind == Kind::Point).collect::<Vec<_>>();
    points.sort_by_key(|facts| {
        let time = time_of(facts);
        Reverse((time.is_some_and(|at| at <= now), time, facts.generation, facts.id))
    });
    points
}

/// The same by how many there were before them, which no clock can turn back; those that nobody counted are left out.
#[must_use]
pub fn newest_by_count(points: &[PointFacts]) -> Vec<&PointFacts> {
    let counted = |facts: &&PointFacts| facts.kind == Kind::Point && facts.generation.is_some();
    let mut points = points.iter().filter(counted).collect::<Vec<_>>();
    points.sort_by_key(|facts| Reverse((facts.generation, time_of(facts), facts.id)));
    points
}

/// Why each point stays.
#[derive(Default)]
struct Reasons {
    of: BTreeMap<Digest, Vec<Reason>>,
}

impl Reasons {
    fn add(&mut self, facts: &PointFacts, reason: Reason) {
        let reasons = self.of.entry(facts.id).or_default();
        // Two rules may say the same.
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
}

/// The point as rules see it, or why it stays without being counted.
fn judged<'a>(facts: &'a PointFacts, zone: &Zone, now: Timestamp) -> Result<Counted<'a>, Reason> {
    if facts.standing == Standing::Damaged {
        return Err(Reason::Damaged);
    }
    let at = time_of(facts).ok_or(Reason::UnknownTime)?;
    if now < at {
        return Err(Reason::FutureTime);
    }
    let local = zone.local(at).ok_or(Reason::UnknownTime)?;
    Ok(Counted { facts, at, local })
}

/// The points that no policy and no person removes here. Time and count may disagree about the newest where a clock was
/// wrong; then both stay.
fn never_removed(points: &[PointFacts], now: Timestamp) -> Vec<(&PointFacts, Reason)> {
    let mut never = Vec::new();
    for points in [newest_by_time(points, now), newest_by_count(points)] {
        let first = |of: &dyn Fn(Standing) -> bool| points.iter().find(|facts| of(facts.standing)).copied();
        never.extend(first(&|it| it == Standing::Good).map(|facts| (facts, Reason::NewestGood)));
        let newest = first(&|it| it != Standing::Damaged).filter(|facts| facts.standing == Standing::Unknown);
        never.extend(newest.map(|facts| (facts, Reason::NewestUnknown)));
    }
    never
}

/// All points, the newest first; those without a time last.
fn newest_first(points: &[PointFacts]) -> Vec<&PointFacts> {
    let mut points = points.iter().collect::<Vec<_>>();
    points.sort_by_key(|facts| Reverse((time_of(facts), facts.generation, facts.id)));
    points
}

fn time_of(facts: &PointFacts) -> Option<Timestamp> {
    match facts.taken {
        Taken::At(at) => Some(at),
        Taken::Unknown => None,
    }
}

fn apply(rule: &Rule, counted: &[Counted<'_>], zone: &Zone, reasons: &mut Reasons) {
    match rule {
        Rule::Last(count) => {
            for (at, point) in counted.iter().enumerate().take_while(|(at, _)| count.allows(*at)) {
                reasons.add(point.facts, Reason::Last(at + 1));
            }
        }
        Rule::Newest(unit, count) => newest_of_each(*unit, *count, counted, reasons),
        Rule::Within(within) => keep_within(within, counted, zone, reasons),
        Rule::Tagged(tags) => {
            for point in counted.iter().filter(|point| tags.within(&point.facts.tags)) {
                reasons.add(point.facts, Reason::Tagged(tags.clone()));
            }
        }
    }
}

fn newest_of_each(unit: Unit, count: Count, counted: &[Counted<'_>], reasons: &mut Reasons) {
    let mut last = None;
    let mut periods = 0;
    for (at, point) in counted.iter().enumerate() {
        if !count.allows(periods) {
            return;
        }
        let period = unit.of(point.local);
        if last != Some(period) {
            reasons.add(point.facts, Reason::NewestOf(period));
            last = Some(period);
            periods += 1;
        } else if at + 1 == counted.len() {
            reasons.add(point.facts, Reason::OldestWith(period));
        }
    }
}

fn keep_within(within: &Within, counted: &[Counted<'_>], zone: &Zone, reasons: &mut Reasons) {
    let Some(newest) = counted.first() else { return };
    let since = zone.before(newest.at, within);
    for point in counted.iter().take_while(|point| since.is_none_or(|since| since < point.at)) {
        reasons.add(point.facts, Reason::Within(*within));
    }
}
