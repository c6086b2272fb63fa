//! `sonae prune`: what is freed, what waits, and what its options take.

use crate::world::World;
use crate::wrong_use;

/// A repository with a point, and room that nothing needs: what a forgotten point used.
fn world() -> World {
    let world = World::with_point();
    world.write("vda.raw", &[7; 300_000]);
    world.ok(&["backup", "--vm", "web01", "--disk", "vda=vda.raw"]);
    world.ok(&["forget", "--keep-last", "1"]);
    world
}

#[test]
fn what_is_of_no_use_waits_for_the_grace_or_goes_at_once_and_a_dry_run_changes_nothing() {
    let world = world();
    let before = world.files(".");
    let would = world.json(&["prune", "--dry-run", "--max-unused", "0"], 0);
    assert_eq!(world.files("."), before);
    let done = world.json(&["prune", "--max-unused", "0"], 0);
    for field in
        ["points", "before_packs", "used_bytes", "waiting_packs", "removed_packs", "unused_left_bytes"]
    {
        assert_eq!(would[field], done[field], "{field}");
    }
    assert_eq!((&would["mode"], &done["mode"]), (&"dry-run".into(), &"done".into()));
    assert!(done["waiting_packs"].as_u64() > Some(0), "{done}");
    assert_eq!(done["grace_seconds"], 72 * 3600);
    let text = world.run(&["prune"]).text();
    assert!(text.contains("Waiting to be removed") && text.contains("--grace 0"), "{text}");
    let last = world.json(&["prune", "--grace", "0", "--max-unused", "0"], 0);
    assert!(last["removed_packs"].as_u64() > Some(0), "{last}");
    assert_eq!((&last["waiting_packs"], &last["unused_left_bytes"]), (&0.into(), &0.into()));
    world.ok(&["verify", "--all"]);
}

#[test]
fn a_value_that_cannot_be_understood_changes_nothing_and_the_remedy_shows_one_that_can() {
    let world = world();
    let cases: [wrong_use::Case<'_>; 3] = [
        (&["prune", "--grace", "3 days"], "\"3 days\" is no value for --grace"),
        (&["prune", "--max-unused", "half"], "\"half\" is no value for --max-unused"),
        (&["prune", "--max-repack", "1X"], "\"1X\" is no value for --max-repack"),
    ];
    wrong_use::check(&world, &cases);
}

#[test]
fn where_a_point_cannot_be_read_nothing_goes_and_the_code_is_13() {
    let world = world();
    for folder in std::fs::read_dir(world.path("repo/data")).unwrap() {
        for pack in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            std::fs::remove_file(pack.unwrap().path()).unwrap();
        }
    }
    let before = world.files(".");
    let error = world.json(&["prune", "--grace", "0"], 13);
    assert!(error["error"]["remedy"].is_string(), "{error}");
    assert_eq!(world.files("."), before);
}
