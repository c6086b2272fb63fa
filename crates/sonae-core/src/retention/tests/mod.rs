//! Retention by examples: the calendar, the rules, what is never removed, and how policies are written.

mod properties;

use std::collections::BTreeSet;

use sonae_types::{Digest, Timestamp};

use super::{
    Count, Decision, Fate, Kind, NeverRemoved, PointFacts, Policy, PolicyError, Rule, Standing, TagSet,
    Taken, Unit, Within, Zone, decide, decide_named, newest_by_count, newest_by_time,
};

/// Later than every point of these tests, unless it says otherwise.
const NOW: &str = "2030-01-01T00:00:00Z";

fn instant(text: &str) -> Timestamp {
    Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}

/// The point of this number, taken at this instant; nobody looked whether it is good.
fn point(number: u64, taken: &str) -> PointFacts {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    PointFacts {
        id: Digest::new(id),
        kind: Kind::Point,
        taken: Taken::At(instant(taken)),
        generation: None,
        tags: Vec::new(),
        standing: Standing::Unknown,
    }
}

fn number_of(id: Digest) -> u64 {
    u64::from_be_bytes(*id.as_bytes().first_chunk().unwrap())
}

/// Rules as `daily=7 within=1y tag=audit`.
fn policy(text: &str) -> Policy {
    let rules = text.split_whitespace().map(|word| {
        let (name, value) = word.split_once('=').unwrap();
        let count = || Count::parse(value).unwrap().unwrap();
        match name {
            "last" => Rule::Last(count()),
            "within" => Rule::Within(Within::parse(value).unwrap().unwrap()),
            "tag" => Rule::Tagged(TagSet::parse(value).unwrap()),
            _ => Rule::Newest(Unit::ALL.into_iter().find(|unit| unit.rule() == name).unwrap(), count()),
        }
    });
    Policy::new(rules.collect()).unwrap()
}

/// The decisions as one line a point: its number, and the reasons or `-`; proof records as `passed over`.
fn told(decisions: &[Decision]) -> Vec<String> {
    let line = |decision: &Decision| {
        let fate = match &decision.fate {
            Fate::Remove => "-".to_owned(),
            Fate::PassedOver => "passed over".to_owned(),
            Fate::Keep(reasons) => {
                let words = reasons.iter().map(|reason| {
                    reason
                        .value()
                        .map_or_else(|| reason.rule().to_owned(), |it| format!("{} {it}", reason.rule()))
                });
                words.collect::<Vec<_>>().join(", ")
            }
        };
        format!("{}: {fate}", number_of(decision.point))
    };
    decisions.iter().map(line).collect()
}

#[track_caller]
fn check_in(zone: &str, points: &[PointFacts], rules: &str, expected: &[&str]) {
    let zone = Zone::parse(zone).unwrap();
    assert_eq!(told(&decide(points, &policy(rules), &zone, instant(NOW))), expected, "{rules}");
}

/// Points in Japan, of which every one but the first is older than the one before it; the first is known to be good.
#[track_caller]
fn check(taken: &[&str], rules: &str, expected: &[&str]) {
    let mut points = (1..).zip(taken).map(|(number, taken)| point(number, taken)).collect::<Vec<_>>();
    points[0].standing = Standing::Good;
    check_in("Asia/Tokyo", &points, rules, expected);
}

#[test]
fn a_day_begins_at_midnight_in_japan() {
    let around_midnight = [
        "2026-11-21T15:00:00Z",
        "2026-11-21T14:59:59.999999Z",
        "2026-11-20T15:00:00Z",
        "2026-11-20T14:59:59Z",
    ];
    check(
        &around_midnight,
        "daily=2",
        &["1: daily 2026-11-22, newest-good", "2: daily 2026-11-21", "3: -", "4: -"],
    );
    check(
        &around_midnight,
        "hourly=9",
        &[
            "1: hourly 2026-11-22T00, newest-good",
            "2: hourly 2026-11-21T23",
            "3: hourly 2026-11-21T00",
            "4: hourly 2026-11-20T23",
        ],
    );
}

#[test]
fn of_each_period_the_newest_point_stays_and_only_periods_with_points_count() {
    check(
        &["2026-11-22T03:00:00Z", "2026-11-21T03:00:00Z", "2026-11-21T02:00:00Z", "2026-06-01T00:00:00Z"],
        "daily=3",
        &["1: daily 2026-11-22, newest-good", "2: daily 2026-11-21", "3: -", "4: daily 2026-06-01"],
    );
}

#[test]
fn where_places_are_left_the_oldest_point_stays_too() {
    let taken =
        ["2026-11-22T03:00:00Z", "2026-11-21T03:00:00Z", "2026-11-21T02:00:00Z", "2026-11-21T01:00:00Z"];
    let kept = ["1: daily 2026-11-22, newest-good", "2: daily 2026-11-21", "3: -"];
    check(&taken, "daily=2", &[&kept[..], &["4: -"]].concat());
    check(&taken, "daily=3", &[&kept[..], &["4: oldest-daily 2026-11-21"]].concat());
    check(&taken, "daily=unlimited", &[&kept[..], &["4: oldest-daily 2026-11-21"]].concat());
}

#[test]
fn a_point_is_kept_for_every_reason_there_is() {
    check(
        &["2026-12-31T14:59:59Z", "2026-12-30T03:00:00Z", "2026-11-30T03:00:00Z", "2025-11-30T03:00:00Z"],
        "last=1 daily=2 weekly=2 monthly=2 yearly=1",
        &[
            "1: last 1, daily 2026-12-31, weekly 2026-W53, monthly 2026-12, yearly 2026, newest-good",
            "2: daily 2026-12-30",
            "3: weekly 2026-W49, monthly 2026-11",
            "4: -",
        ],
    );
}

#[test]
fn a_year_ends_in_japan_nine_hours_before_it_ends_in_utc() {
    let taken =
        ["2026-12-31T15:00:00Z", "2026-12-31T14:59:59Z", "2025-12-31T15:00:00Z", "2025-12-31T14:59:59Z"];
    check(&taken, "yearly=9", &["1: yearly 2027, newest-good", "2: yearly 2026", "3: -", "4: yearly 2025"]);
}

#[test]
fn the_week_of_iso_8601_keeps_its_number_across_the_end_of_the_year() {
    // 2026 has a week 53, which ends on Sunday, 3 January 2027, at midnight in Japan.
    check(
        &["2027-01-03T15:00:00Z", "2027-01-03T14:59:59Z", "2026-12-27T15:00:00Z", "2026-12-27T14:59:59Z"],
        "weekly=9",
        &["1: weekly 2027-W01, newest-good", "2: weekly 2026-W53", "3: -", "4: weekly 2026-W52"],
    );
    check(&["2024-12-30T00:00:00Z"], "weekly=1", &["1: weekly 2025-W01, newest-good"]);
    check(&["2021-01-03T00:00:00Z"], "weekly=1", &["1: weekly 2020-W53, newest-good"]);
}

#[test]
fn a_leap_day_is_a_day_like_any_other() {
    check(
        &["2028-03-01T00:00:00Z", "2028-02-29T00:00:00Z", "2028-02-28T00:00:00Z", "2027-02-28T00:00:00Z"],
        "daily=2 within=1y",
        &[
            "1: daily 2028-03-01, within 1y, newest-good",
            "2: daily 2028-02-29, within 1y",
            "3: within 1y",
            "4: -",
        ],
    );
    // A year before 29 February is 1 March.
    check(
        &[
            "2028-02-29T00:00:00Z",
            "2027-03-01T00:00:00.000001Z",
            "2027-03-01T00:00:00Z",
            "2027-02-28T12:00:00Z",
        ],
        "within=1y",
        &["1: within 1y, newest-good", "2: within 1y", "3: -", "4: -"],
    );
}

#[test]
fn an_hour_that_the_clock_shows_twice_is_one_hour() {
    let points = ["2026-11-01T06:30:00Z", "2026-11-01T05:30:00Z", "2026-11-01T04:30:00Z"];
    let points = (1..).zip(points).map(|(number, taken)| point(number, taken)).collect::<Vec<_>>();
    check_in(
        "America/New_York",
        &points,
        "hourly=2",
        &["1: hourly 2026-11-01T01, newest-unknown", "2: -", "3: hourly 2026-11-01T00"],
    );
}

#[test]
fn a_span_counts_back_from_the_newest_point_and_not_from_now() {
    let taken = [
        "2026-03-31T00:00:00Z",
        "2026-03-30T00:00:00.000001Z",
        "2026-03-30T00:00:00Z",
        "2026-03-02T00:00:00Z",
    ];
    check(&taken, "within=24h", &["1: within 24h, newest-good", "2: within 24h", "3: -", "4: -"]);
    check(&taken, "within=1d", &["1: within 1d, newest-good", "2: within 1d", "3: -", "4: -"]);
    // A month before 31 March is "31 February", which is 3 March.
    check(&taken, "within=1m", &["1: within 1m, newest-good", "2: within 1m", "3: within 1m", "4: -"]);
    check(
        &taken,
        "within=1m2d",
        &["1: within 1m2d, newest-good", "2: within 1m2d", "3: within 1m2d", "4: within 1m2d"],
    );
    check(
        &taken,
        "within=65535y",
        &["1: within 65535y, newest-good", "2: within 65535y", "3: within 65535y", "4: within 65535y"],
    );
}

#[test]
fn a_tag_rule_wants_all_of_its_tags_and_counts_nothing() {
    let mut points =
        ["2026-03-04T00:00:00Z", "2026-03-03T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-01T00:00:00Z"]
            .iter()
            .zip(1..)
            .map(|(taken, number)| point(number, taken))
            .collect::<Vec<_>>();
    for (point, tags) in points.iter_mut().zip(["", "audit", "audit year-end", "year-end"]) {
        point.tags = tags.split_whitespace().map(ToOwned::to_owned).collect();
    }
    check_in(
        "Asia/Tokyo",
        &points,
        "tag=audit,year-end",
        &["1: newest-unknown", "2: -", "3: tag audit,year-end", "4: -"],
    );
    check_in(
        "Asia/Tokyo",
        &points,
        "tag=audit tag=year-end",
        &["1: newest-unknown", "2: tag audit", "3: tag audit, tag year-end", "4: tag year-end"],
    );
}

#[test]
fn the_newest_good_point_stays_and_so_does_a_newer_one_that_nobody_looked_at() {
    let mut points =
        ["2026-03-04T00:00:00Z", "2026-03-03T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-01T00:00:00Z"]
            .iter()
            .zip(1..)
            .map(|(taken, number)| point(number, taken))
            .collect::<Vec<_>>();
    points[2].standing = Standing::Good;
    points[3].standing = Standing::Good;
    check_in("Asia/Tokyo", &points, "tag=none", &["1: newest-unknown", "2: -", "3: newest-good", "4: -"]);
}

#[test]
fn damaged_points_stay_and_take_no_place_from_whole_ones() {
    let mut points =
        ["2026-03-04T00:00:00Z", "2026-03-03T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-01T00:00:00Z"]
            .iter()
            .zip(1..)
            .map(|(taken, number)| point(number, taken))
            .collect::<Vec<_>>();
    points[0].standing = Standing::Damaged;
    points[1].standing = Standing::Damaged;
    points[2].standing = Standing::Good;
    check_in(
        "Asia/Tokyo",
        &points,
        "last=1",
        &["1: damaged", "2: damaged", "3: last 1, newest-good", "4: -"],
    );
}

#[test]
fn a_clock_that_ran_ahead_pushes_out_no_newer_point() {
    // The middle two were taken while the clock stood in 2037.
    let mut points = vec![
        point(1, "2026-03-01T00:00:00Z"),
        point(2, "2037-01-01T00:00:00Z"),
        point(3, "2037-01-01T01:00:00Z"),
        point(4, "2026-03-04T00:00:00Z"),
    ];
    for (point, generation) in points.iter_mut().zip(1..) {
        point.generation = Some(generation);
    }
    check_in(
        "Asia/Tokyo",
        &points,
        "last=1",
        &["3: future-time", "2: future-time", "4: last 1, newest-unknown", "1: -"],
    );
}

#[test]
fn a_clock_that_jumped_back_does_not_cost_the_newest_point() {
    let mut points = vec![
        point(1, "2026-03-01T00:00:00Z"),
        point(2, "2026-03-02T00:00:00Z"),
        point(3, "1970-01-01T00:00:00Z"),
    ];
    for (point, generation) in points.iter_mut().zip(1..) {
        point.generation = Some(generation);
    }
    check_in("Asia/Tokyo", &points, "last=1", &["2: last 1, newest-unknown", "1: -", "3: newest-unknown"]);
}

#[test]
fn a_point_without_a_time_is_kept_and_proof_records_are_passed_over() {
    let mut points = vec![point(1, "2026-03-02T00:00:00Z"), point(2, NOW), point(3, "2026-03-03T00:00:00Z")];
    points[1].taken = Taken::Unknown;
    points[2].kind = Kind::ProofRecord;
    points[2].standing = Standing::Good;
    check_in(
        "Asia/Tokyo",
        &points,
        "daily=1",
        &["3: passed over", "1: daily 2026-03-02, newest-unknown", "2: unknown-time"],
    );
    points.remove(0);
    check_in("Asia/Tokyo", &points, "daily=1", &["3: passed over", "2: unknown-time, newest-unknown"]);
    let mut beyond = point(1, NOW);
    beyond.taken = Taken::At(Timestamp::from_micros(i64::MIN));
    check_in("Asia/Tokyo", &[beyond], "daily=1", &["1: unknown-time, newest-unknown"]);
}

#[test]
fn what_a_person_names_goes_unless_it_is_the_newest() {
    let mut points = vec![
        point(1, "2026-03-04T00:00:00Z"),
        point(2, "2026-03-03T00:00:00Z"),
        point(3, "2026-03-02T00:00:00Z"),
        point(4, "2026-03-01T00:00:00Z"),
    ];
    points[0].standing = Standing::Damaged;
    points[1].standing = Standing::Good;
    points[3].kind = Kind::ProofRecord;
    let named = |numbers: &[usize]| {
        let named = numbers.iter().map(|number| points[number - 1].id).collect::<BTreeSet<_>>();
        decide_named(&points, &named, instant(NOW)).map(|decisions| told(&decisions))
    };
    let kept = |lines: &[&str]| Ok(lines.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(named(&[3]), kept(&["1: not-named", "2: not-named", "3: -", "4: passed over"]));
    assert_eq!(named(&[1, 3]), kept(&["1: -", "2: not-named", "3: -", "4: passed over"]));
    assert_eq!(named(&[3, 2]), Err(NeverRemoved { point: points[1].id }));
}

#[test]
fn the_newest_is_looked_for_by_time_and_by_count() {
    let mut points = vec![
        point(1, "2026-03-01T00:00:00Z"),
        point(2, "2035-01-01T00:00:00Z"),
        point(3, "2026-02-01T00:00:00Z"),
    ];
    points[0].generation = Some(1);
    points[2].generation = Some(7);
    let numbers =
        |points: Vec<&PointFacts>| points.iter().map(|facts| number_of(facts.id)).collect::<Vec<_>>();
    assert_eq!(numbers(newest_by_time(&points, instant(NOW))), [1, 3, 2]);
    assert_eq!(numbers(newest_by_count(&points)), [3, 1]);
}

#[test]
fn numbers_of_points_are_written_as_in_restic() {
    let count = |text| Count::parse(text).map(|count| count.map(|count| format!("{count:?}")));
    assert_eq!(count("7"), Ok(Some("AtMost(7)".to_owned())));
    assert_eq!(count("unlimited"), Ok(Some("Unlimited".to_owned())));
    assert_eq!(count("-1"), Ok(Some("Unlimited".to_owned())));
    assert_eq!(count("0"), Ok(None));
    for text in ["", "-2", "+1", "1.5", "all", "７", "4294967296", "1 "] {
        assert_eq!(count(text), Err(PolicyError::Count { text: text.to_owned() }));
    }
}

#[test]
fn spans_are_written_as_in_restic() {
    let span = |text| Within::parse(text).map(|span| span.map(|span| span.to_string()));
    for (text, again) in [("1y5m7d2h", "1y5m7d2h"), ("2h1y", "1y2h"), ("007d", "7d"), ("0y3d", "3d")] {
        assert_eq!(span(text), Ok(Some(again.to_owned())), "{text}");
    }
    assert_eq!(span("0d"), Ok(None));
    for text in ["", "7", "d", "7w", "-7d", "7d7d", "7 d", "7日", "65536d", "1.5d"] {
        assert_eq!(span(text), Err(PolicyError::Within { text: text.to_owned() }));
    }
}

#[test]
fn a_policy_without_a_rule_and_a_tag_without_a_name_are_refused() {
    assert_eq!(Policy::new(Vec::new()), Err(PolicyError::NoRule));
    for text in ["", " ", "a,", ",a", "a,,b"] {
        assert_eq!(TagSet::parse(text), Err(PolicyError::Tags { text: text.to_owned() }));
    }
    assert_eq!(TagSet::parse("a, b").unwrap().to_string(), "a,b");
}

#[test]
fn a_zone_is_one_of_the_iana_table() {
    assert_eq!(Zone::default().name(), "Asia/Tokyo");
    for name in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"] {
        assert_eq!(Zone::parse(name).unwrap().name(), name);
    }
    for name in ["", "Tokyo", "JST-9", "+09:00", "Asia/東京", "../etc/passwd"] {
        assert!(Zone::parse(name).is_err(), "{name}");
    }
}
