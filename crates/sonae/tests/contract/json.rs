//! `--json`: one document of a fixed shape on standard output, progress as JSON lines on standard error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::golden;
use crate::world::{Run, World};

/// Fields whose texts are a fixed set of words, and so belong to the shape.
const WORDS: [&str; 12] = [
    "mode",
    "reason",
    "kind",
    "verdict",
    "state",
    "consistency",
    "name",
    "begun",
    "wrong",
    "cure",
    "ability",
    "answer",
];

/// The value with types in place of values; of a list, the shapes that its elements have.
fn shape(field: &str, value: &Value) -> Value {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "boolean".into(),
        Value::Number(number) => if number.is_f64() { "number" } else { "whole number" }.into(),
        Value::String(text) if WORDS.contains(&field) => text.as_str().into(),
        Value::String(_) => "text".into(),
        Value::Array(values) => {
            // In an order of their own: keys, for one, are listed by id, which is another one in every run.
            let shapes = values.iter().map(|value| shape(field, value));
            let shapes = shapes.map(|shape| (shape.to_string(), shape)).collect::<BTreeMap<_, _>>();
            Value::Array(shapes.into_values().collect())
        }
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), shape(name, value))).collect())
        }
    }
}

fn fields(value: &Value) -> BTreeSet<&str> {
    value.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect()
}

const BACKUP: [&str; 8] =
    ["backup", "--vm", "web01", "--disk", "vda=vda.raw", "--disk", "vdb=vda.raw", "--json"];

#[test]
fn every_command_answers_with_a_document_of_its_shape() {
    let world = World::with_point();
    world.write("new-password", b"another\n");
    let latest = |command: &'static str| vec![command, "latest", "--vm", "web01"];
    let restore = ["--disk", "vda", "--to", "out.raw"];
    let mut all = String::new();
    let key = |world: &World| {
        let list = world.json(&["key", "list"], 0);
        let other = list["keys"].as_array().unwrap().iter().find(|key| key["state"] == "other").cloned();
        other.map_or_else(String::new, |key| key["key"].as_str().unwrap().to_owned())
    };
    let commands: [(&str, Vec<&str>); 22] = [
        ("repo init", vec!["repo", "init", "--repo", "new"]),
        ("repo info", vec!["repo", "info"]),
        ("repo check", vec!["repo", "check"]),
        ("repo check --read-data", vec!["repo", "check", "--read-data"]),
        ("repo keyless-check", vec!["repo", "keyless-check"]),
        ("repo repair-index", vec!["repo", "repair-index"]),
        ("repo unlock", vec!["repo", "unlock"]),
        ("backup", BACKUP[..7].to_vec()),
        ("points", vec!["points"]),
        ("diff", vec!["diff", "latest", "latest", "--vm", "web01"]),
        ("show", latest("show")),
        ("verify", latest("verify")),
        ("verify --all", vec!["verify", "--all"]),
        ("restore", [latest("restore"), restore.to_vec()].concat()),
        ("forget", vec!["forget", "--keep-daily", "1", "--dry-run"]),
        ("copy", vec!["copy", "--to", "copy"]),
        ("replica prove", vec!["replica", "prove", "repo", "copy"]),
        ("repo heal", vec!["repo", "heal", "--from", "copy"]),
        ("store probe", vec!["store", "probe", "."]),
        ("prune", vec!["prune", "--dry-run"]),
        // Last, because a key of the usual cost makes everything behind it slow.
        ("key add", vec!["key", "add", "--new-password-file", "new-password"]),
        ("key list", vec!["key", "list"]),
    ];
    for (name, args) in commands {
        add(&mut all, name, &world.json(&args, 0));
    }
    add(&mut all, "key remove", &world.json(&["key", "remove", &key(&world)], 0));
    add(&mut all, "show zz", &world.json(&["show", "zz"], 1));
    std::fs::rename(world.path("repo/data"), world.path("data")).unwrap();
    std::fs::create_dir(world.path("repo/data")).unwrap();
    add(&mut all, "repo check that finds damage", &world.json(&["repo", "check"], 13));
    add(&mut all, "copy that finds damage", &world.json(&["copy", "--to", "other"], 13));
    add(
        &mut all,
        "replica prove that finds differences",
        &world.json(&["replica", "prove", "repo", "copy"], 17),
    );
    add(&mut all, "repo heal that heals", &world.json(&["repo", "heal", "--from", "copy"], 0));
    golden::check("shapes.txt", &all);
}

fn add(all: &mut String, name: &str, document: &Value) {
    let shape = serde_json::to_string_pretty(&shape("", document)).expect("a shape is JSON");
    write!(all, "$ sonae {name} --json\n{shape}\n\n").expect("a text takes more text");
}

#[test]
fn the_documents_of_the_contract_have_its_fields() {
    let world = World::with_point();
    let run = world.run(&BACKUP);
    let report = run.document();
    let all = ["point", "vm", "disks", "listing_bytes", "findings", "repeated_operations", "duration_ms"];
    assert_eq!(fields(&report), BTreeSet::from(all));
    let disk = BTreeSet::from([
        "name",
        "size_bytes",
        "mode",
        "reason",
        "reason_detail",
        "based_on",
        "read_bytes",
        "inherited_bytes",
        "audit",
        "changed_bytes",
        "new_chunk_bytes",
        "stored_bytes",
    ]);
    let disks = report["disks"].as_array().unwrap();
    assert_eq!(disks.iter().map(|disk| &disk["name"]).collect::<Vec<_>>(), ["vda", "vdb"]);
    assert!(disks.iter().all(|found| fields(found) == disk && found["mode"] == "full"), "{report}");
    let points = world.json(&["points"], 0);
    for point in points["points"].as_array().unwrap() {
        for field in ["point", "vm", "time", "disks", "tags"] {
            assert!(fields(point).contains(field), "{point}");
        }
    }
    assert_eq!(points["points"][1]["point"], report["point"]);
    assert_eq!(points["points"][1]["disks"], serde_json::json!(["vda", "vdb"]));
}

#[test]
fn progress_comes_as_lines_of_json_and_nothing_else_does() {
    let world = World::with_point();
    for (args, phase) in [
        (&BACKUP[..7], "reading"),
        (&["verify", "--all"], "verifying"),
        (&["repo", "check", "--read-data"], "checking"),
        (&["restore", "latest", "--vm", "web01", "--disk", "vda", "--to", "out.raw"], "restoring"),
    ] {
        let run = world.ok(&[args, &["--json"]].concat());
        let lines = run.stderr.lines().map(|line| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        });
        let lines = lines.collect::<Vec<_>>();
        let last = lines.last().unwrap_or_else(|| panic!("no progress: {args:?}"));
        let progress = &last["progress"];
        assert_eq!(progress["phase"], phase);
        assert_eq!(progress["done_bytes"], progress["total_bytes"], "{args:?}: {last}");
        assert_eq!(
            fields(progress),
            BTreeSet::from([
                "phase",
                "done_bytes",
                "total_bytes",
                "stored_bytes",
                "rate_bytes_per_second",
                "remaining_seconds"
            ])
        );
    }
}

#[test]
fn quiet_work_that_succeeds_says_nothing_on_standard_error() {
    for json in [&[][..], &["--json"]] {
        let world = World::with_point();
        world.write("new-password", b"another\n");
        for args in [
            &BACKUP[..7],
            &["points"],
            &["show", "latest", "--vm", "web01"],
            &["verify", "--all"],
            &["repo", "info"],
            &["repo", "check", "--read-data"],
            &["repo", "init", "--repo", "new"],
            &["key", "list"],
            &["restore", "latest", "--vm", "web01", "--disk", "vda", "--to", "out.raw"],
            &["key", "add", "--new-password-file", "new-password"],
        ] {
            let run = world.ok(&[args, json, &["--quiet"]].concat());
            assert_eq!(run.stderr, "", "{args:?}");
            assert!(!run.stdout.is_empty(), "{args:?}");
        }
    }
}

#[test]
fn a_result_that_cannot_be_handed_over_is_no_success_and_a_reader_that_has_enough_is_no_fault() {
    let world = World::with_point();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = world.command(&["points", "--json"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("could not be written"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = world.command(&["points"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &[][..]));
}

#[test]
fn options_and_variables_name_the_same_things_and_options_win() {
    let world = World::with_point();
    world.write("wrong", b"wrong\n");
    let points = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = world.bare_command(&[&["points", "--json"], args].concat());
        Run::of(command.envs(variables.iter().copied())).code
    };
    let (repo, password) = (("SONAE_REPO", "repo"), ("SONAE_PASSWORD_FILE", "password"));
    assert_eq!(points(&[], &[]), 1);
    assert_eq!(points(&[], &[repo]), 1);
    assert_eq!(points(&[], &[password]), 1);
    assert_eq!(points(&[], &[repo, password]), 0);
    assert_eq!(points(&["--repo", "repo", "--password-file", "password"], &[]), 0);
    assert_eq!(points(&["--repo", "local:repo"], &[password]), 0);
    assert_eq!(points(&["--repo", "nowhere"], &[repo, password]), 10);
    assert_eq!(points(&["--password-file", "wrong"], &[repo, password]), 12);
    assert_eq!(points(&[], &[("SONAE_REPO", ""), password]), 1);
    assert_eq!(points(&[], &[repo, ("SONAE_PASSWORD_FILE", "")]), 1);
}

#[test]
fn global_options_stand_before_and_behind_the_command() {
    let world = World::with_point();
    let path = |name| world.path(name).to_str().expect("a path in UTF-8").to_owned();
    let (repo, password) = (path("repo"), path("password"));
    let global = ["--repo", &repo, "--password-file", &password, "--json", "--quiet"];
    let before = Run::of(&mut world.bare_command(&[&global[..], &["repo", "info"]].concat()));
    let behind = Run::of(&mut world.bare_command(&[&["repo", "info"], &global[..]].concat()));
    assert_eq!((before.code, behind.code), (0, 0), "{before:?} {behind:?}");
    assert_eq!(before.document(), behind.document());
}
