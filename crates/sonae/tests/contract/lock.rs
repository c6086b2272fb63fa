//! Somebody else works in the repository: code 11, and who it is.

use sonae_repo::lock::LockKind;

use crate::world::World;

#[test]
fn a_held_repository_is_refused_by_everything_that_needs_it_alone_or_at_all() {
    let world = World::with_point();
    let repository = world.open();
    let lock = repository.lock(LockKind::Exclusive).unwrap();
    let before = world.files(".");
    for args in [
        &["backup", "--vm", "web01", "--disk", "vda=vda.raw"][..],
        &["show", "latest", "--vm", "web01"],
        &["verify", "--all"],
        &["restore", "latest", "--vm", "web01", "--disk", "vda", "--to", "out.raw"],
        &["repo", "check"],
        &["key", "add", "--new-password-file", "web01.xml"],
        &["key", "remove", "0"],
        &["forget", "--keep-last", "1"],
    ] {
        let error = &world.json(args, 11)["error"];
        assert_eq!(error["name"], "locked", "{args:?}");
        let process = format!("(process {})", std::process::id());
        assert!(error["message"].as_str().unwrap().contains(&process), "{error}");
        assert_eq!(world.files("."), before, "{args:?}");
    }
    // Looking needs no lock.
    for args in [&["points"][..], &["repo", "info"], &["key", "list"]] {
        world.ok(args);
    }
    drop(lock);
    world.ok(&["verify", "--all"]);
}

#[test]
fn unlocking_leaves_living_work_alone_unless_it_is_told_to() {
    let world = World::with_point();
    assert!(world.run(&["repo", "unlock"]).text().contains("no locks"));
    let lock = world.open().lock(LockKind::Exclusive).unwrap();
    let report = world.json(&["repo", "unlock"], 0);
    assert_eq!((&report["kept"], &report["locks"][0]["standing"]), (&1.into(), &"held".into()), "{report}");
    let text = world.run(&["repo", "unlock"]).text();
    assert!(text.contains("--remove-all"), "{text}");
    let report = world.json(&["repo", "unlock", "--remove-all"], 0);
    assert_eq!((&report["removed"], &report["locks"][0]["fate"]), (&1.into(), &"removed".into()), "{report}");
    world.ok(&["verify", "--all"]);
    assert!(lock.confirm().is_err(), "the holder learns of it");
}

#[test]
fn work_that_shares_the_repository_keeps_only_the_remover_out() {
    let world = World::with_point();
    let repository = world.open();
    let _lock = repository.lock(LockKind::Shared).unwrap();
    world.json(&["key", "remove", "0"], 11);
    world.json(&["forget", "--keep-last", "1"], 11);
    world.ok(&["forget", "--keep-last", "1", "--dry-run"]);
    world.ok(&["verify", "--all"]);
}
