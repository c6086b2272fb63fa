//! How a recovery point is named: an id, a unique beginning of it, or `latest` with `--vm`.

use serde_json::Value;

use crate::world::World;

fn shown(world: &World, args: &[&str]) -> Value {
    world.json(&[&["show"], args].concat(), 0)["point"].clone()
}

#[test]
fn a_point_is_found_by_its_id_by_a_beginning_and_as_the_latest_of_its_machine() {
    let world = World::with_point();
    let first = world.json(&["points"], 0)["points"][0]["point"].clone();
    world.write("db.raw", &[7; 8192]);
    world.ok(&["backup", "--vm", "db01", "--disk", "sda=db.raw"]);
    world.ok(&["backup", "--vm", "web01", "--disk", "vda=vda.raw"]);
    let points = world.json(&["points"], 0)["points"].clone();
    let ids = [0, 1, 2].map(|at| points[at]["point"].as_str().unwrap().to_owned());
    assert_eq!(first, ids[0]);
    for id in &ids {
        let unique = (1..)
            .map(|len| &id[..len])
            .find(|prefix| ids.iter().filter(|other| other.starts_with(prefix)).count() == 1);
        for text in [id, unique.unwrap(), &id[..20].to_uppercase()] {
            assert_eq!(shown(&world, &[text]), **id, "{text}");
        }
    }
    assert_eq!(shown(&world, &["latest", "--vm", "web01"]), ids[2]);
    assert_eq!(shown(&world, &["latest", "--vm", "db01"]), ids[1]);
    assert_eq!(shown(&world, &[&ids[1], "--vm", "db01"]), ids[1]);
    let of_web = world.json(&["points", "--vm", "web01"], 0);
    assert_eq!(of_web["points"].as_array().unwrap().len(), 2);
}

#[test]
fn a_beginning_of_several_ids_is_refused() {
    let world = World::new();
    world.write("db.raw", &[7; 8192]);
    // Of 17 ids, two begin with the same digit.
    let mut digits = Vec::new();
    let twice = loop {
        let point = world.json(&["backup", "--vm", "db01", "--disk", "sda=db.raw"], 0)["point"].clone();
        let digit = point.as_str().unwrap()[..1].to_owned();
        if digits.contains(&digit) {
            break digit;
        }
        digits.push(digit);
    };
    for command in [&["show"][..], &["verify"], &["restore", "--disk", "sda", "--to", "out.raw"]] {
        let error = world.json(&[command, &[&twice]].concat(), 1);
        let message = error["error"]["message"].as_str().unwrap();
        assert_eq!(message, format!("2 recovery points begin with {twice}."));
        assert!(error["error"]["remedy"].as_str().unwrap().contains("more digits"), "{error}");
    }
}

#[test]
fn a_point_that_is_not_there_is_not_meant_or_is_of_another_machine_is_refused_with_the_remedy() {
    let world = World::with_point();
    let id = world.json(&["points"], 0)["points"][0]["point"].as_str().unwrap().to_owned();
    for (args, message, remedy) in [
        (&["latest"][..], "which machine is meant", "--vm"),
        (&["latest", "--vm", "web02"], "no recovery point of the machine web02", "sonae points"),
        (&["zz"], "There is no recovery point zz", "sonae points"),
        (&["00000000000000"], "There is no recovery point 00000000000000", "sonae points"),
        (&[""], "No recovery point was named", "latest together with --vm"),
        (&[&id, "--vm", "db01"], "is of the machine web01, not of db01", "--vm"),
    ] {
        for command in [&["show"][..], &["verify"], &["restore", "--disk", "vda", "--to", "out.raw"]] {
            let error = world.json(&[command, args].concat(), 1);
            let text = |part: &str| error["error"][part].as_str().unwrap_or_default().to_owned();
            assert!(text("message").contains(message), "{args:?}: {error}");
            assert!(text("remedy").contains(remedy), "{args:?}: {error}");
        }
    }
    assert!(!world.path("out.raw").exists());
}

#[test]
fn a_name_in_the_repository_cannot_write_on_the_screen() {
    let world = World::with_point();
    let repository = world.open();
    let mut snapshot = repository.points().unwrap().good[0].snapshot.clone();
    snapshot.hostname = "web\u{1b}[31m\nfor\u{202e}ged".to_owned();
    snapshot.tags.push("disk:\u{7}vdz".to_owned());
    let id = repository.save_point(&snapshot).unwrap().to_string();
    for args in [&["points"][..], &["show", &id], &["verify", &id], &["points", "--vm", "nothing"]] {
        let run = world.run(args);
        let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!run.stdout.contains(hidden) && !run.stderr.contains(hidden), "{args:?}: {run:?}");
        assert!(!run.stdout.lines().any(|line| line.starts_with("for")), "{run:?}");
    }
}
