//! `sonae backup --changed` and `sonae diff`: what fits is used, what does not is told, and no wrong byte comes of it.

use serde_json::{Value, json};

use crate::world::{MIB, World};

const SIZE: u64 = 8 * MIB as u64;

/// A backup of `web01` with this map, and how it must end.
fn backup(world: &World, map: &Value, options: &[&str], code: i32) -> Value {
    world.write("map.json", map.to_string().as_bytes());
    let args = ["backup", "--vm", "web01", "--disk", "vda=vda.raw", "--changed", "vda=map.json"];
    world.json(&[&args, options].concat(), code)
}

fn point_of(world: &World, number: usize) -> String {
    world.json(&["points"], 0)["points"][number]["point"].as_str().expect("a point").to_owned()
}

fn newest_of(world: &World) -> String {
    world.json(&["show", "latest", "--vm", "web01"], 0)["point"].as_str().expect("a point").to_owned()
}

#[track_caller]
fn is_read_whole(report: &Value, reason: &str) {
    let disk = &report["disks"][0];
    assert_eq!((&disk["mode"], &disk["reason"]), (&json!("full"), &json!(reason)));
    assert_eq!(disk["read_bytes"], json!(4 * MIB), "{reason}");
}

#[track_caller]
fn restores_the_image(world: &World) {
    drop(std::fs::remove_file(world.path("out.raw")));
    world.ok(&["restore", "latest", "--vm", "web01", "--disk", "vda", "--to", "out.raw"]);
    let read = |name| std::fs::read(world.path(name)).expect("an image");
    assert!(read("out.raw") == read("vda.raw"), "the restored disk is another one");
}

#[test]
fn a_map_that_fits_has_only_the_change_read() {
    let world = World::with_point();
    let parent = point_of(&world, 0);
    world.flip(&world.path("vda.raw"), 2_000_000);
    let map = json!({"parent": parent, "size_bytes": SIZE, "ranges": [[2_000_000, 1]]});
    let report = backup(&world, &map, &["--audit", "0"], 0);
    let disk = &report["disks"][0];
    assert_eq!((&disk["mode"], &disk["reason"]), (&json!("incremental"), &json!("map-of-changes")));
    assert_eq!(disk["based_on"], json!(parent));
    let read = disk["read_bytes"].as_u64().unwrap();
    assert!((4096..MIB as u64).contains(&read), "{read}");
    assert_eq!(disk["audit"]["read_bytes"], json!(0));
    restores_the_image(&world);
    let manifest = world.json(&["show", "latest", "--vm", "web01"], 0)["manifest"].clone();
    assert_eq!(manifest["disks"][0]["based_on"]["point"], json!(parent));
    world.ok(&["repo", "check", "--read-data"]);
}

#[test]
fn whatever_does_not_fit_has_the_whole_disk_read_and_says_why() {
    let world = World::with_point();
    let parent = point_of(&world, 0);
    world.ok(&["backup", "--vm", "db01", "--disk", "vda=vda.raw"]);
    world.ok(&["backup", "--vm", "web01", "--disk", "vdz=vda.raw"]);
    let (other, newest) = (point_of(&world, 1), point_of(&world, 2));
    let map = |parent: &str, size: u64, ranges: Value| json!({"parent": parent, "size_bytes": size, "ranges": ranges});
    let mut with_root = map(&parent, SIZE, json!([]));
    with_root["merkle_root"] = json!("ab".repeat(32));
    let mut with_more = map(&parent, SIZE, json!([]));
    with_more["incomplete"] = json!(true);
    let cases = [
        ("parent-without-disk", map(&newest, SIZE, json!([]))),
        ("map-unreadable", json!("no map at all")),
        ("map-unreadable", map(&parent, SIZE, json!([[-1, 5]]))),
        ("map-unreadable", with_more),
        ("parent-unknown", map(&"0".repeat(64), SIZE, json!([]))),
        ("parent-unknown", map("", SIZE, json!([]))),
        ("parent-of-other-machine", map(&other, SIZE, json!([]))),
        ("parent-not-newest", map(&parent, SIZE, json!([]))),
    ];
    let for_newest = [("size-differs", map("", SIZE + 4096, json!([]))), ("chunk-list-differs", with_root)];
    // Had any of these maps been believed, this would be missed.
    world.flip(&world.path("vda.raw"), 3_000_000);
    for (reason, map) in cases {
        // What these cases do makes newer points, and each is told about the first thing that does not fit.
        is_read_whole(&backup(&world, &map, &[], 0), reason);
    }
    for (reason, mut map) in for_newest {
        map["parent"] = json!(newest_of(&world));
        is_read_whole(&backup(&world, &map, &[], 0), reason);
    }
    let args = ["backup", "--vm", "web01", "--disk", "vda=vda.raw", "--changed", "vda=not-there.json"];
    assert_eq!(world.json(&args, 0)["disks"][0]["reason"], json!("map-unreadable"));
    restores_the_image(&world);
}

#[test]
fn a_disk_that_grew_or_shrank_is_read_whole() {
    let world = World::with_point();
    let parent = point_of(&world, 0);
    for (size, parent) in [(SIZE + 5000, parent), (SIZE - 5_000_000, String::new())] {
        let parent = if parent.is_empty() { newest_of(&world) } else { parent };
        std::fs::File::options().write(true).open(world.path("vda.raw")).unwrap().set_len(size).unwrap();
        let map = json!({"parent": parent, "size_bytes": size, "ranges": []});
        assert_eq!(backup(&world, &map, &[], 0)["disks"][0]["reason"], json!("size-differs"));
        restores_the_image(&world);
    }
}

#[test]
fn a_map_that_lies_is_found_out_and_the_point_is_good_all_the_same() {
    let world = World::with_point();
    let parent = point_of(&world, 0);
    world.flip(&world.path("vda.raw"), 1_500_000);
    let map = json!({"parent": parent, "size_bytes": SIZE, "ranges": []});
    let report = backup(&world, &map, &["--audit", "100%"], 16);
    let disk = &report["disks"][0];
    assert_eq!((&disk["mode"], &disk["reason"]), (&json!("full"), &json!("map-untrue")));
    assert_eq!(disk["audit"]["untrue_chunks"], json!(1));
    let at = disk["audit"]["first_untrue_offset"].as_u64().unwrap();
    assert!((1_500_000 - 512 * 1024..=1_500_000).contains(&at), "{at}");
    restores_the_image(&world);
    world.flip(&world.path("vda.raw"), 1_500_001);
    let map = json!({"parent": newest_of(&world), "size_bytes": SIZE, "ranges": []});
    world.write("map.json", map.to_string().as_bytes());
    let told = world.run(&[
        "backup",
        "--vm",
        "web01",
        "--disk",
        "vda=vda.raw",
        "--changed",
        "vda=map.json",
        "--audit",
        "100",
    ]);
    assert_eq!(told.code, 16);
    assert!(told.text().contains("ALARM"), "{told:?}");
}

#[test]
fn a_damaged_parent_is_no_parent() {
    let world = World::with_point();
    let parent = point_of(&world, 0);
    // The tree pack is the smaller one of the two: folders without data.
    let mut packs = world.files("repo/data");
    packs.sort_by_key(|(_, size)| *size);
    std::fs::remove_file(&packs[0].0).unwrap();
    let map = json!({"parent": parent, "size_bytes": SIZE, "ranges": []});
    let report = backup(&world, &map, &[], 0);
    assert_eq!(report["disks"][0]["reason"], json!("parent-without-disk"));
    restores_the_image(&world);
}

#[test]
fn what_diff_prints_is_a_map_that_backup_takes() {
    let world = World::with_point();
    world.ok(&["backup", "--vm", "db01", "--disk", "vda=vda.raw"]);
    world.flip(&world.path("vda.raw"), 700_000);
    world.flip(&world.path("vda.raw"), 3_700_000);
    world.ok(&["backup", "--vm", "db01", "--disk", "vda=vda.raw", "--disk", "vdb=vda.raw"]);
    let (old, new) = (point_of(&world, 1), point_of(&world, 2));
    let report = world.json(&["diff", &old, &new], 0);
    let states = [0, 1].map(|n| report["disks"][n]["state"].clone());
    assert_eq!(states, [json!("changed"), json!("added")]);
    let mut map = report["disks"][0]["map"].clone();
    let told = |at: u64| {
        map["ranges"].as_array().unwrap().iter().any(|range| {
            let (start, len) = (range[0].as_u64().unwrap(), range[1].as_u64().unwrap());
            (start..start + len).contains(&at)
        })
    };
    assert!(told(700_000) && told(3_700_000) && !told(2_000_000), "{map}");
    // Both machines had the same disk, so the same changes lead from one point to the other; the chunk list binds them.
    map["parent"] = json!(point_of(&world, 0));
    let report = backup(&world, &map, &["--audit", "100"], 0);
    assert_eq!(report["disks"][0]["mode"], json!("incremental"));
    restores_the_image(&world);
    let same = world.json(&["diff", "latest", "latest", "--vm", "web01"], 0);
    assert_eq!(same["disks"][0]["state"], json!("same"));
    let back = world.json(&["diff", &new, &old], 0);
    let states = [0, 1].map(|n| back["disks"][n]["state"].clone());
    assert_eq!(states, [json!("changed"), json!("removed")]);
    assert!(world.ok(&["diff", &old, &new]).text().contains("Disk vda"));
}

#[test]
fn a_map_of_an_earlier_night_is_not_believed() {
    let world = World::with_point();
    let parent = point_of(&world, 0);
    let map = json!({"parent": parent, "size_bytes": SIZE, "ranges": []});
    world.write("map.json", map.to_string().as_bytes());
    // The disk was written to after the map, so the map cannot know of it.
    let written = std::fs::metadata(world.path("map.json")).unwrap().modified().unwrap();
    let later = written + std::time::Duration::from_secs(5);
    world.flip(&world.path("vda.raw"), 1_000_000);
    std::fs::File::options().write(true).open(world.path("vda.raw")).unwrap().set_modified(later).unwrap();
    let args = ["backup", "--vm", "web01", "--disk", "vda=vda.raw", "--changed", "vda=map.json"];
    is_read_whole(&world.json(&args, 0), "map-older-than-disk");
    restores_the_image(&world);
    // And the next night there is a newer point than the one it names.
    std::fs::File::options().write(true).open(world.path("map.json")).unwrap().set_modified(later).unwrap();
    is_read_whole(&world.json(&args, 0), "parent-not-newest");
    restores_the_image(&world);
}

#[test]
fn what_is_said_about_changes_must_be_understood() {
    let world = World::with_point();
    for (options, part) in [
        (&["--changed", "vda"][..], "does not name a disk"),
        (&["--changed", "vda="], "does not name a disk"),
        (&["--changed", "vdb=map.json"], "not backed up"),
        (&["--changed", "vda=a", "--changed", "vda=b"], "two maps"),
        (&["--audit", "101"], "no share"),
        (&["--audit", "-1"], "no share"),
    ] {
        let args = [&["backup", "--vm", "web01", "--disk", "vda=vda.raw"], options].concat();
        let error = world.json(&args, 1)["error"]["message"].clone();
        assert!(error.as_str().unwrap().contains(part), "{options:?}: {error}");
    }
    assert_eq!(world.json(&["points"], 0)["points"].as_array().unwrap().len(), 1);
}
