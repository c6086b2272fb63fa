//! Retention as sentences with always and never, over points and policies of every kind; restic's own rule, written down
//! here once more, is the witness.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::retention::Period;

const HOUR: i64 = 3600 * 1_000_000;

/// Instants that share hours, days, weeks and months, and lie around the ends of years and the turns of clocks.
fn taken() -> impl Strategy<Value = Taken> {
    let around = select(vec![
        "2027-01-03T15:00:00Z",
        "2026-12-31T15:00:00Z",
        "2028-02-29T00:00:00Z",
        "2026-11-01T06:00:00Z",
        "2011-12-30T10:00:00Z",
        "2037-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
    ]);
    let offset = prop_oneof![-3 * HOUR..3 * HOUR, (-400i64..400).prop_map(|hours| hours * HOUR), Just(0)];
    let at = (around, offset)
        .prop_map(|(around, offset)| Taken::At(Timestamp::from_micros(instant(around).as_micros() + offset)));
    prop_oneof![30 => at, 1 => Just(Taken::Unknown), 1 => any::<i64>().prop_map(|at| Taken::At(Timestamp::from_micros(at)))]
}

fn points() -> impl Strategy<Value = Vec<PointFacts>> {
    let standing =
        prop_oneof![6 => Just(Standing::Unknown), 2 => Just(Standing::Good), 1 => Just(Standing::Damaged)];
    let kind = prop_oneof![12 => Just(Kind::Point), 1 => Just(Kind::ProofRecord)];
    let tags = vec(select(vec!["a", "b"]), 0..3);
    let facts = (taken(), prop::option::of(0..20u64), standing, kind, tags);
    vec(facts, 0..24).prop_map(|all| {
        let facts = all.into_iter().zip(1..).map(|((taken, generation, standing, kind, tags), number)| {
            let tags = tags.into_iter().map(ToOwned::to_owned).collect();
            PointFacts { taken, generation, standing, kind, tags, ..point(number, NOW) }
        });
        facts.collect()
    })
}

fn count() -> impl Strategy<Value = Count> {
    let some = (1..9u32).prop_map(|count| Count::parse(&count.to_string()).unwrap().unwrap());
    prop_oneof![8 => some, 1 => Just(Count::Unlimited)]
}

fn span() -> impl Strategy<Value = Within> {
    let parts = (0..3u16, 0..14u16, 0..40u16, 0..50u16);
    let span = parts.prop_map(|(years, months, days, hours)| Within { years, months, days, hours });
    prop_oneof![8 => span, 1 => Just(Within { hours: 1, ..Within::default() }), 1 => any::<u16>().prop_map(|years| Within { years, ..Within::default() })]
        .prop_filter("a span is not nothing", |span| *span != Within::default())
}

fn rule() -> impl Strategy<Value = Rule> {
    prop_oneof![
        1 => count().prop_map(Rule::Last),
        4 => (select(Unit::ALL.to_vec()), count()).prop_map(|(unit, count)| Rule::Newest(unit, count)),
        1 => span().prop_map(Rule::Within),
        1 => select(vec!["a", "b", "a,b"]).prop_map(|tags| Rule::Tagged(TagSet::parse(tags).unwrap())),
    ]
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    vec(rule(), 1..5)
}

fn zone() -> impl Strategy<Value = Zone> {
    let zones = vec!["Asia/Tokyo", "UTC", "America/New_York", "Pacific/Apia", "Asia/Kathmandu"];
    select(zones).prop_map(|name| Zone::parse(name).unwrap())
}

fn decided(points: &[PointFacts], rules: &[Rule], zone: &Zone) -> Vec<Decision> {
    decide(points, &Policy::new(rules.to_vec()).unwrap(), zone, instant(NOW))
}

fn removed(decisions: &[Decision]) -> BTreeSet<Digest> {
    decisions.iter().filter(|decision| decision.fate == Fate::Remove).map(|decision| decision.point).collect()
}

/// The rule that keeps at least as much.
fn more_generous(rule: &Rule, by: u16) -> Rule {
    let more = |count: Count| match count {
        Count::AtMost(count) => Count::AtMost(count.saturating_add(by.into())),
        Count::Unlimited => Count::Unlimited,
    };
    match rule {
        Rule::Last(count) => Rule::Last(more(*count)),
        Rule::Newest(unit, count) => Rule::Newest(*unit, more(*count)),
        Rule::Within(span) => Rule::Within(Within {
            years: span.years.saturating_add(by % 2),
            months: span.months.saturating_add(by % 3),
            days: span.days.saturating_add(by),
            hours: span.hours.saturating_add(by % 5),
        }),
        Rule::Tagged(tags) => Rule::Tagged(tags.clone()),
    }
}

/// `ApplyPolicy` of restic 0.18 over points that are all of the past, all readable and nothing else; answers what it keeps.
fn kept_by_restic(points: &[PointFacts], rules: &[Rule], zone: &Zone) -> BTreeSet<Digest> {
    let at = |facts: &PointFacts| match facts.taken {
        Taken::At(at) => at,
        Taken::Unknown => panic!("restic reads every time"),
    };
    let mut list = points.to_vec();
    list.sort_by_key(|facts| std::cmp::Reverse((at(facts), facts.generation, facts.id)));
    let mut kept = BTreeSet::new();
    let mut buckets = rules.iter().map(|_| (0u32, None::<Period>)).collect::<Vec<_>>();
    for (nr, current) in list.iter().enumerate() {
        for (rule, (used, last)) in rules.iter().zip(&mut buckets) {
            let left = |count: &Count| match count {
                Count::AtMost(count) => *used < count.get(),
                Count::Unlimited => true,
            };
            let keep = match rule {
                Rule::Tagged(tags) => tags.within(&current.tags),
                Rule::Within(span) => zone.before(at(&list[0]), span).is_none_or(|since| since < at(current)),
                Rule::Last(count) => left(count),
                Rule::Newest(unit, count) if left(count) => {
                    let value = Some(unit.of(zone.local(at(current)).unwrap()));
                    let keep = value != *last || nr == list.len() - 1;
                    *last = value;
                    keep
                }
                Rule::Newest(..) => false,
            };
            if keep {
                kept.insert(current.id);
                *used += 1;
            }
        }
    }
    kept
}

proptest! {
    #[test]
    fn the_newest_good_point_is_never_removed(points in points(), rules in rules(), zone in zone()) {
        let removed = removed(&decided(&points, &rules, &zone));
        for points in [newest_by_time(&points, instant(NOW)), newest_by_count(&points)] {
            let good = points.iter().find(|facts| facts.standing == Standing::Good);
            prop_assert!(good.is_none_or(|good| !removed.contains(&good.id)));
        }
    }

    #[test]
    fn no_policy_ever_removes_every_point(points in points(), rules in rules(), zone in zone()) {
        let real = points.iter().filter(|facts| facts.kind == Kind::Point).count();
        let removed = removed(&decided(&points, &rules, &zone)).len();
        prop_assert!(removed < real || real == 0);
    }

    #[test]
    fn a_more_generous_policy_never_removes_more(
        points in points(), rules in rules(), more in vec(rule(), 0..2), by in vec(0..9u16, 5), zone in zone()
    ) {
        let generous = rules.iter().zip(by).map(|(rule, by)| more_generous(rule, by)).chain(more).collect::<Vec<_>>();
        let (strict, generous) = (decided(&points, &rules, &zone), decided(&points, &generous, &zone));
        prop_assert!(removed(&generous).is_subset(&removed(&strict)));
    }

    #[test]
    fn the_order_of_the_points_never_matters(points in points(), rules in rules(), zone in zone(), at: Index) {
        let mut other = points.clone();
        if !other.is_empty() {
            other.rotate_left(at.index(points.len()));
            other[..at.index(points.len())].reverse();
        }
        prop_assert_eq!(decided(&points, &rules, &zone), decided(&other, &rules, &zone));
    }

    #[test]
    fn once_the_removed_are_gone_nothing_more_is_ever_removed(points in points(), rules in rules(), zone in zone()) {
        let gone = removed(&decided(&points, &rules, &zone));
        let left = points.iter().filter(|facts| !gone.contains(&facts.id)).cloned().collect::<Vec<_>>();
        prop_assert_eq!(removed(&decided(&left, &rules, &zone)), BTreeSet::new());
    }

    #[test]
    fn every_point_always_has_one_fate_and_who_stays_a_reason(points in points(), rules in rules(), zone in zone()) {
        let decisions = decided(&points, &rules, &zone);
        let decided = decisions.iter().map(|decision| decision.point).collect::<BTreeSet<_>>();
        prop_assert_eq!(decisions.len(), points.len());
        prop_assert_eq!(decided, points.iter().map(|facts| facts.id).collect());
        for Decision { point, fate } in decisions {
            let proof = points.iter().any(|facts| facts.id == point && facts.kind == Kind::ProofRecord);
            prop_assert_eq!(fate == Fate::PassedOver, proof);
            prop_assert_ne!(fate, Fate::Keep(Vec::new()));
        }
    }

    #[test]
    fn what_restic_keeps_is_always_kept(points in points(), rules in rules(), zone in zone()) {
        let read = points.iter().filter(|facts| facts.kind == Kind::Point);
        let read = read.filter(|facts| matches!(facts.taken, Taken::At(at) if zone.local(at).is_some()));
        let read = read.cloned().collect::<Vec<_>>();
        let removed = removed(&decided(&points, &rules, &zone));
        // restic knows no future either, except that spans do not count back from there.
        let past = |facts: &&PointFacts| matches!(facts.taken, Taken::At(at) if at <= instant(NOW));
        for points in [read.iter().filter(past).cloned().collect::<Vec<_>>(), read] {
            let rules = rules.iter().filter(|rule| points.iter().all(|it| past(&it)) || !matches!(rule, Rule::Within(_)));
            let kept = kept_by_restic(&points, &rules.cloned().collect::<Vec<_>>(), &zone);
            prop_assert!(kept.is_disjoint(&removed));
        }
    }

    #[test]
    fn where_clocks_are_right_and_nothing_is_damaged_only_the_newest_is_kept_beyond_what_restic_keeps(
        points in points(), rules in rules(), zone in zone()
    ) {
        let past = |facts: &PointFacts| matches!(facts.taken, Taken::At(at) if at <= instant(NOW) && zone.local(at).is_some());
        let mut points = points.into_iter().filter(past).collect::<Vec<_>>();
        for facts in &mut points {
            (facts.kind, facts.standing, facts.generation) = (Kind::Point, Standing::Good, None);
        }
        let removed = removed(&decided(&points, &rules, &zone));
        let mut kept = kept_by_restic(&points, &rules, &zone);
        kept.extend(newest_by_time(&points, instant(NOW)).first().map(|facts| facts.id));
        let ours = points.iter().map(|facts| facts.id).filter(|id| !removed.contains(id)).collect::<BTreeSet<_>>();
        prop_assert_eq!(ours, kept);
    }

    #[test]
    fn what_is_named_goes_and_nothing_else_or_nothing_at_all(points in points(), named in vec(any::<Index>(), 0..5)) {
        let real = points.iter().filter(|facts| facts.kind == Kind::Point).map(|facts| facts.id).collect::<Vec<_>>();
        prop_assume!(!real.is_empty());
        let named = named.iter().map(|at| real[at.index(real.len())]).collect::<BTreeSet<_>>();
        let good = |points: Vec<&PointFacts>| points.iter().find(|facts| facts.standing == Standing::Good).map(|facts| facts.id);
        let newest = [good(newest_by_time(&points, instant(NOW))), good(newest_by_count(&points))];
        match decide_named(&points, &named, instant(NOW)) {
            Ok(decisions) => {
                prop_assert_eq!(removed(&decisions), named.clone());
                prop_assert!(newest.iter().flatten().all(|id| !named.contains(id)));
            }
            Err(NeverRemoved { point }) => prop_assert!(named.contains(&point)),
        }
    }

    #[test]
    fn a_span_always_reads_back_as_written(span in span()) {
        prop_assert_eq!(Within::parse(&span.to_string()), Ok(Some(span)));
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "[-0-9ymdhA-Za-z/,日 ]{0,12}") {
        let _count = Count::parse(&text);
        let _span = Within::parse(&text);
        let _tags = TagSet::parse(&text);
        let _zone = Zone::parse(&text);
    }
}
