//! `sonae forget`: what goes, what stays and why.

use serde_json::{Value, json};
use sonae_repo::lock::LockKind;
use sonae_repo::snapshot::Snapshot;
use sonae_repo::time::from_rfc3339;
use sonae_repo::{Repository, Stop};

use crate::world::{MIB, Run, World};
use crate::wrong_use;

/// Four days in Japan: two points on the 22nd, one on the 21st and two on the 20th of November 2019.
const TIMES: [&str; 5] = [
    "2019-11-22T10:00:00Z",
    "2019-11-21T15:00:00Z",
    "2019-11-21T14:59:59Z",
    "2019-11-20T10:00:00Z",
    "2019-11-19T15:00:00Z",
];

/// Saves the newest point of the machine `web01` once more for each time, and forgets the point itself.
fn spread(repository: &Repository, times: &[&str]) -> Vec<String> {
    let points = repository.points().expect("the points are read");
    let base = points.newest(|point| point.snapshot.hostname == "web01").expect("a point");
    let of = |time: &str| Snapshot { time: time.to_owned(), ..base.snapshot.clone() };
    let ids = times
        .iter()
        .map(|time| repository.save_point(&of(time)).expect("a point is saved").to_string())
        .collect();
    let lock = repository.lock(LockKind::Exclusive).expect("nobody else is there");
    repository.forget(&[base.id], &lock, &Stop::default()).expect("a point is removed");
    ids
}

/// A repository with points of `web01` at these times, and their ids.
fn world_at(times: &[&str]) -> (World, Vec<String>) {
    let world = World::with_point();
    let ids = spread(&world.open(), times);
    (world, ids)
}

fn points(world: &World) -> Vec<String> {
    let list = world.json(&["points"], 0);
    let mut ids = list["points"].as_array().expect("a list").iter().map(id).collect::<Vec<_>>();
    ids.sort_unstable();
    ids
}

fn id(point: &Value) -> String {
    point["point"].as_str().expect("an id").to_owned()
}

fn ids(points: &Value) -> Vec<String> {
    points.as_array().expect("a list").iter().map(id).collect()
}

fn ids_of(machine: &Value, list: &str) -> Vec<String> {
    ids(&machine[list])
}

/// These of the ids.
fn those(ids: &[String], which: &[usize]) -> Vec<String> {
    which.iter().map(|at| ids[*at].clone()).collect()
}

fn sorted(ids: &[String], which: &[usize]) -> Vec<String> {
    let mut chosen = those(ids, which);
    chosen.sort_unstable();
    chosen
}

#[test]
fn a_dry_run_tells_of_every_point_why_it_stays_or_that_it_goes_and_removes_none() {
    let (world, ids) = world_at(&TIMES);
    let before = world.files(".");
    let args = ["forget", "--keep-daily", "3", "--keep-monthly", "1", "--dry-run"];
    let report = world.json(&args, 0);
    assert_eq!(world.files("."), before);
    let daily = |day: &str| json!({"rule": "daily", "value": day});
    let newest = json!([
        daily("2019-11-22"),
        {"rule": "monthly", "value": "2019-11"},
        {"rule": "newest-good", "value": null}
    ]);
    let kept = |at: usize, reasons: Value| json!({"point": ids[at], "time": TIMES[at], "reasons": reasons});
    let gone = |at: usize| json!({"point": ids[at], "time": TIMES[at]});
    let expected = json!({
        "mode": "dry-run",
        "zone": "Asia/Tokyo",
        "machines": [{
            "vm": "web01",
            "keep": [kept(0, newest), kept(2, json!([daily("2019-11-21")])), kept(3, json!([daily("2019-11-20")]))],
            "remove": [gone(1), gone(4)],
        }],
        "removed": 0,
        "left_alone": 0,
        "damaged": [],
    });
    assert_eq!(report, expected);
    let text = world.run(&args).text();
    for line in [
        "Machine web01. Keep: 3, remove: 2",
        "2019-11-22 19:00:00  keep      daily 2019-11-22, monthly 2019-11, newest good one",
        "2019-11-22 00:00:00  remove",
        "2019-11-21 23:59:59  keep      daily 2019-11-21",
        "Nothing was removed this time.",
        "of Asia/Tokyo",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let japanese = Run::of(world.command(&args).env("SONAE_LANG", "ja")).text();
    for line in
        ["仮想サーバー「web01」: 残す 3 件、削除 2 件", "日次 2019-11-22, 月次 2019-11, 最新の正常なもの"]
    {
        assert!(japanese.contains(line), "{line} in {japanese}");
    }
}

#[test]
fn what_no_rule_keeps_goes_once_and_what_stays_can_be_restored() {
    let (world, ids) = world_at(&TIMES);
    let args = ["forget", "--keep-last", "1", "--keep-within", "2d"];
    let report = world.json(&args, 0);
    assert_eq!((&report["mode"], &report["removed"]), (&json!("done"), &json!(2)));
    assert_eq!(points(&world), sorted(&ids, &[0, 1, 2]));
    world.ok(&["repo", "check", "--read-data"]);
    world.ok(&["restore", "latest", "--vm", "web01", "--disk", "vda", "--to", "out.raw"]);
    let again = world.run(&args).text();
    assert!(again.contains("There is nothing to remove. Recovery points kept: 3"), "{again}");
    assert_eq!(world.json(&args, 0)["removed"], 0);
    let (world, _) = world_at(&TIMES);
    assert!(world.run(&args).text().contains("freed by sonae prune"));
}

#[test]
fn the_zone_decides_where_a_day_ends() {
    let (world, ids) = world_at(&TIMES);
    let utc = ["forget", "--keep-daily", "unlimited", "--zone", "UTC", "--dry-run"];
    let machine = &world.json(&utc, 0)["machines"][0];
    // The oldest stays, too, because places are left.
    assert_eq!(ids_of(machine, "keep"), those(&ids, &[0, 1, 3, 4]));
    assert_eq!(machine["keep"][3]["reasons"], json!([{"rule": "daily", "value": "2019-11-19"}]));
    let machine = &world.json(&[&utc[..3], &["--dry-run"]].concat(), 0)["machines"][0];
    assert_eq!(ids_of(machine, "keep"), those(&ids, &[0, 2, 3, 4]));
    assert_eq!(machine["keep"][3]["reasons"], json!([{"rule": "oldest-daily", "value": "2019-11-20"}]));
}

#[test]
fn every_machine_is_decided_for_itself_and_points_of_others_are_left_alone() {
    let (world, mut all) = world_at(&TIMES);
    let repository = world.open();
    let base = repository.points().unwrap().good[0].snapshot.clone();
    let save = |change: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = base.clone();
        change(&mut snapshot);
        repository.save_point(&snapshot).unwrap().to_string()
    };
    let other = save(&|snapshot| "db01".clone_into(&mut snapshot.hostname));
    let foreign = save(&|snapshot| snapshot.tags.clear());
    let proof = save(&|snapshot| snapshot.tags.push("sonae-proof".to_owned()));
    let report = world.json(&["forget", "--keep-last", "1"], 0);
    let machines = report["machines"].as_array().unwrap();
    assert_eq!(machines.iter().map(|machine| &machine["vm"]).collect::<Vec<_>>(), ["db01", "web01"]);
    assert_eq!((&report["removed"], &report["left_alone"]), (&json!(4), &json!(1)));
    let left = repository.points().unwrap().good.iter().map(|point| point.id.to_string()).collect::<Vec<_>>();
    all.truncate(1);
    all.extend([other, foreign.clone(), proof]);
    assert_eq!(sorted(&left, &[0, 1, 2, 3]), sorted(&all, &[0, 1, 2, 3]));
    assert!(world.run(&["forget", "--keep-last", "1"]).text().contains("left alone: 1"));
    let of_db = world.json(&["forget", "--keep-last", "1", "--vm", "db01"], 0);
    assert_eq!((of_db["machines"].as_array().unwrap().len(), &of_db["left_alone"]), (1, &json!(0)));
    wrong_use::check(&world, &[(&["forget", &foreign], "was not made by Sonae")]);
}

#[test]
fn points_that_are_named_go_and_no_others_and_never_the_newest() {
    let (world, ids) = world_at(&TIMES);
    let cases: [wrong_use::Case<'_>; 4] = [
        (&["forget", &ids[0]], "is the newest good one of the machine web01"),
        (&["forget", &ids[3], &ids[0][..20]], "is the newest good one of the machine web01"),
        (&["forget", "latest", "--vm", "web01"], "is the newest good one of the machine web01"),
        (&["forget", &ids[3], "zz"], "There is no recovery point zz"),
    ];
    wrong_use::check(&world, &cases);
    let before = world.files(".");
    let told = world.json(&["forget", &ids[3], "--dry-run"], 0);
    assert_eq!(world.files("."), before);
    assert_eq!((ids_of(&told["machines"][0], "remove"), &told["zone"]), (vec![ids[3].clone()], &Value::Null));
    // Named twice, it goes once.
    let report = world.json(&["forget", &ids[3], &ids[1], &ids[3][..20]], 0);
    assert_eq!(report["removed"], 2);
    let kept = report["machines"][0]["keep"].as_array().unwrap();
    assert!(
        kept.iter().all(|point| point["reasons"] == json!([{"rule": "not-named", "value": null}])),
        "{report}"
    );
    assert_eq!(points(&world), sorted(&ids, &[0, 2, 4]));
}

#[test]
fn a_call_that_names_no_rule_or_none_that_can_be_understood_changes_nothing() {
    let (world, ids) = world_at(&TIMES[..2]);
    let cases: [wrong_use::Case<'_>; 14] = [
        (&["forget"], "No rule says which recovery points to keep"),
        (&["forget", "--vm", "web01", "--zone", "UTC"], "No rule says which recovery points to keep"),
        (&["forget", "--keep-daily", "0", "--keep-within", "0d"], "No rule says"),
        (&["forget", "--keep-daily", "-2"], "\"-2\" is no value for --keep-daily"),
        (&["forget", "--keep-last", "all"], "\"all\" is no value for --keep-last"),
        (&["forget", "--keep-hourly", ""], "is no value for --keep-hourly"),
        (&["forget", "--keep-within", "7w"], "\"7w\" is no value for --keep-within"),
        (&["forget", "--keep-tag", "a,"], "\"a,\" is no value for --keep-tag"),
        (&["forget", "--keep-last", "1", "--zone", "Tokyo"], "\"Tokyo\" is no value for --zone"),
        (&["forget", "--keep-last", "1", "--keep-last", "2"], "more than once"),
        (&["forget", "--keep-last", "1", "--vm", "db01"], "no recovery point of the machine db01"),
        (&["forget", "--keep-last", "1", "--vm", "a/b"], "a/b cannot be the name of a machine"),
        (&["forget", &ids[1], "--keep-last", "1"], "cannot be given together"),
        (&["forget", "--keep-last"], "--keep-last <N> needs a value"),
    ];
    wrong_use::check(&world, &cases);
    // Numbers as older versions of restic want them.
    assert_eq!(world.json(&["forget", "--keep-last", "-1"], 0)["removed"], 0);
}

#[test]
fn the_newest_point_that_is_whole_stays_though_newer_ones_are_damaged() {
    let world = World::with_point();
    let whole = spread(&world.open(), &TIMES[2..]);
    let packs = world.files("repo/data");
    world.noise("vda.raw", 4 * MIB, 2);
    world.ok(&["backup", "--vm", "web01", "--disk", "vda=vda.raw"]);
    for (pack, _) in world.files("repo/data").into_iter().filter(|pack| !packs.contains(pack)) {
        std::fs::remove_file(pack).unwrap();
    }
    let damaged = points(&world).into_iter().find(|point| !whole.contains(point)).unwrap();
    let report = world.json(&["forget", "--keep-last", "1"], 0);
    let keep = &report["machines"][0]["keep"];
    assert_eq!(ids(keep), [damaged.clone(), whole[0].clone()]);
    assert_eq!(keep[0]["reasons"], json!([{"rule": "damaged", "value": null}]));
    assert_eq!(keep[1]["reasons"][1], json!({"rule": "newest-good", "value": null}));
    wrong_use::check(&world, &[(&["forget", &whole[0]], "is the newest good one")]);
    // A person may remove what is damaged.
    assert_eq!(world.json(&["forget", &damaged], 0)["removed"], 1);
    assert_eq!(world.json(&["verify", "--all"], 0)["verdict"], "good");
}

#[test]
fn a_point_that_cannot_be_read_is_told_and_hinders_nothing() {
    let (world, ids) = world_at(&TIMES);
    world.flip(&world.path(&format!("repo/snapshots/{}", ids[1])), 40);
    let report = world.json(&["forget", "--keep-last", "1"], 13);
    assert_eq!((&report["removed"], report["damaged"].as_array().unwrap().len()), (&json!(3), 1));
    assert!(world.path(&format!("repo/snapshots/{}", ids[1])).exists());
    let text = world.run(&["forget", "--keep-last", "1"]).text();
    assert!(text.contains("Cause: snapshots/") && text.contains("What to do: "), "{text}");
}

#[test]
fn a_clock_that_jumped_costs_no_newer_point() {
    let world = World::with_point();
    // The real point is the newest by its time; the others say that they are from a day that has not come yet.
    let repository = world.open();
    let base = repository.points().unwrap().good[0].clone();
    let ahead = Snapshot { time: "2099-01-01T00:00:00Z".to_owned(), ..base.snapshot.clone() };
    assert!(from_rfc3339(&base.snapshot.time) < from_rfc3339(&ahead.time));
    let ahead = repository.save_point(&ahead).unwrap().to_string();
    let older = Snapshot { time: TIMES[0].to_owned(), ..base.snapshot.clone() };
    let older = repository.save_point(&older).unwrap().to_string();
    let report = world.json(&["forget", "--keep-last", "1"], 0);
    let machine = &report["machines"][0];
    assert_eq!(ids_of(machine, "keep"), [ahead, base.id.to_string()]);
    assert_eq!(machine["keep"][0]["reasons"][0]["rule"], "future-time");
    assert_eq!(ids_of(machine, "remove"), [older]);
}
