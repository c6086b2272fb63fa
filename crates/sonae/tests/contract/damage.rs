//! What is damaged or not proven: codes 10, 12, 13 and 15.

use std::path::PathBuf;

use serde_json::Value;

use crate::world::World;

/// The largest file below a folder of the repository, which for packs is one with data.
fn largest(world: &World, folder: &str) -> PathBuf {
    world.files(folder).into_iter().max_by_key(|(_, len)| *len).expect("a file").0
}

fn damaged_pack() -> World {
    let world = World::with_point();
    world.flip(&largest(&world, "repo/data"), 5000);
    world
}

#[test]
fn a_flipped_byte_in_a_pack_is_found_by_everything_that_reads_it() {
    let world = damaged_pack();
    world.ok(&["repo", "check"]);
    for (args, kind) in [
        (&["repo", "check", "--read-data"][..], "pack-damaged"),
        (&["verify", "latest", "--vm", "web01"], "range"),
        (&["verify", "--all"], "range"),
    ] {
        let report = world.json(args, 13);
        assert_eq!(report["verdict"], "damaged", "{args:?}");
        let findings = report["findings"].as_array().unwrap();
        assert!(findings.iter().any(|finding| finding["kind"] == kind), "{args:?}: {report}");
        let range = findings.iter().find(|finding| finding["kind"] == "range").unwrap();
        assert_eq!((&range["vm"], &range["disk"]), (&Value::from("web01"), &Value::from("vda")));
        assert!(range["offset"].is_u64() && range["length_bytes"].is_u64(), "{range}");
        let run = world.run(args);
        assert!(run.text().contains("Machine web01, vda: "), "{run:?}");
        assert!(run.text().contains("What to do: "), "{run:?}");
    }
}

#[test]
fn a_damaged_disk_is_restored_under_no_name_that_looks_whole() {
    let world = damaged_pack();
    let restore = ["restore", "latest", "--vm", "web01", "--disk", "vda", "--to", "out.raw"];
    let error = &world.json(&restore, 13)["error"];
    assert_eq!(error["name"], "damage-found");
    assert!(!world.path("out.raw").exists());
    assert!(world.path("out.raw.sonae-partial").exists());
    assert!(error["remedy"].as_str().unwrap().contains("out.raw.sonae-partial; it is not whole"), "{error}");
    let run = world.run(&restore);
    assert!(run.text().contains("cannot be restored"), "{run:?}");
}

#[test]
fn a_point_that_cannot_be_read_is_listed_with_its_cause() {
    let world = World::with_point();
    let file = largest(&world, "repo/snapshots");
    let id = file.file_name().unwrap().to_str().unwrap().to_owned();
    world.flip(&file, 40);
    let list = world.json(&["points"], 13);
    assert_eq!(list["points"], Value::Array(Vec::new()));
    assert_eq!(list["damaged"][0]["path"], format!("snapshots/{id}"));
    assert!(list["damaged"][0]["detail"].as_str().unwrap().contains("its bytes hash to"), "{list}");
    let run = world.run(&["points"]);
    assert!(run.text().contains("Cause: snapshots/"), "{run:?}");
    // An unreadable point is no unknown one.
    assert_eq!(world.json(&["show", &id[..8]], 13)["error"]["code"], 13);
    assert_eq!(world.json(&["verify", "--all"], 13)["verdict"], "damaged");
    world.json(&["verify", "--all", "--vm", "web01"], 13);
}

#[test]
fn a_lost_pack_and_a_damaged_index_are_found_without_reading_data() {
    let world = World::with_point();
    let pack = largest(&world, "repo/data");
    std::fs::rename(&pack, world.path("kept")).unwrap();
    let report = world.json(&["repo", "check"], 13);
    assert_eq!(report["findings"][0]["kind"], "pack-missing");
    assert!(world.run(&["repo", "check"]).text().contains("is missing"));
    std::fs::rename(world.path("kept"), &pack).unwrap();
    world.ok(&["repo", "check"]);
    world.flip(&largest(&world, "repo/index"), 40);
    assert_eq!(world.json(&["repo", "check"], 13)["findings"][0]["kind"], "file");
}

#[test]
fn a_backup_is_made_in_a_damaged_repository_too_and_tells_the_damage() {
    for damage in ["index", "data"] {
        let world = World::with_point();
        let file = largest(&world, &format!("repo/{damage}"));
        std::fs::remove_file(&file).unwrap();
        if damage == "index" {
            std::fs::write(&file, b"no index").unwrap();
        }
        let backup = ["backup", "--vm", "web01", "--disk", "vda=vda.raw"];
        let run = world.run(&[&backup[..], &["--json"]].concat());
        let report = run.document();
        let kind = if damage == "index" { "file" } else { "pack-missing" };
        assert_eq!((run.code, &report["findings"][0]["kind"]), (0, &Value::from(kind)), "{report}");
        let point = report["point"].as_str().unwrap();
        assert_eq!(world.json(&["verify", point], 0)["verdict"], "good");
        let text = world.run(&backup).text();
        assert!(text.contains("sonae repo repair-index"), "{text}");
    }
}

#[test]
fn a_file_that_is_not_what_its_name_says_is_found_without_a_key() {
    let world = World::with_point();
    let check = ["repo", "keyless-check", "--password-file", "nowhere"];
    let good = world.json(&check, 0);
    assert_eq!(good["verdict"], "good");
    assert!(5 <= good["files"].as_u64().unwrap(), "{good}");
    for kind in ["data", "index", "snapshots", "keys"] {
        let world = World::with_point();
        let file = largest(&world, &format!("repo/{kind}"));
        world.flip(&file, 33);
        let report = world.json(&check, 13);
        let path = report["findings"][0]["path"].as_str().unwrap();
        assert!(file.ends_with(path), "{path} of {report}");
        assert!(world.run(&check).text().contains("its bytes hash to"));
    }
    world.json(&["repo", "keyless-check", "--repo", "nowhere"], 10);
}

#[test]
fn a_lost_index_is_named_with_the_remedy_and_rebuilt() {
    let world = World::with_point();
    let restore = ["restore", "latest", "--vm", "web01", "--disk", "vda", "--to", "out.raw"];
    let index = largest(&world, "repo/index");
    std::fs::remove_file(&index).unwrap();
    world.json(&restore, 13);
    let told = world.json(&["repo", "repair-index", "--dry-run"], 0);
    assert_eq!((&told["mode"], world.files("repo/index").len()), (&Value::from("dry-run"), 0));
    let done = world.json(&["repo", "repair-index"], 0);
    assert_eq!((&done["mode"], &done["added_packs"]), (&Value::from("done"), &told["added_packs"]));
    world.ok(&restore);
    assert!(world.run(&["repo", "repair-index"]).text().contains("Nothing was changed"));
    let pack = largest(&world, "repo/data");
    std::fs::remove_file(&pack).unwrap();
    let report = world.json(&["repo", "repair-index"], 13);
    assert_eq!(report["findings"][0]["kind"], "pack-missing");
}

#[test]
fn a_key_that_is_damaged_is_not_taken_for_a_wrong_password() {
    let world = World::with_point();
    world.write("other", b"other\n");
    assert_eq!(world.json(&["points", "--password-file", "other"], 12)["error"]["name"], "wrong-password");
    world.flip(&largest(&world, "repo/keys"), 10);
    assert_eq!(world.json(&["points"], 13)["error"]["name"], "damage-found");
}

#[test]
fn a_repository_that_lost_its_configuration_is_not_made_anew() {
    let world = World::with_point();
    std::fs::remove_file(world.path("repo/config")).unwrap();
    let before = world.files("repo");
    for args in [&["repo", "init"][..], &["points"]] {
        let error = &world.json(args, 13)["error"];
        assert!(error["message"].as_str().unwrap().contains("its file config is missing"), "{error}");
    }
    assert_eq!(world.files("repo"), before);
}

#[test]
fn where_no_repository_is_the_code_is_10_whatever_was_asked() {
    let world = World::bare();
    world.write("vda.raw", &[1; 4096]);
    std::fs::create_dir(world.path("empty")).unwrap();
    let before = world.files(".");
    for repo in ["nowhere", "empty", "vda.raw"] {
        for args in [
            &["points"][..],
            &["repo", "info"],
            &["repo", "check"],
            &["verify", "--all"],
            &["key", "list"],
            &["backup", "--vm", "web01", "--disk", "vda=vda.raw"],
        ] {
            let error = &world.json(&[args, &["--repo", repo]].concat(), 10)["error"];
            assert!(error["message"].as_str().unwrap().contains(repo), "{error}");
            assert!(error["remedy"].as_str().unwrap().contains("sonae repo init"), "{error}");
        }
    }
    assert_eq!(world.files("."), before);
}

#[test]
fn nothing_to_verify_is_not_good() {
    let world = World::new();
    assert_eq!(world.json(&["verify", "--all"], 15)["verdict"], "not-proven");
    let run = world.run(&["verify", "--all", "--quiet"]);
    assert_eq!((run.code, run.stderr.as_str()), (15, ""));
}
