//! Wrong use ends with 1, names the thing and the remedy, and changes nothing.

use crate::world::{MIB, Run, World};

/// A wrong call, and a part of what must be said about it.
pub(crate) type Case<'a> = (&'a [&'a str], &'a str);

/// Each case as text in both languages and as JSON, with nothing left behind.
#[track_caller]
pub(crate) fn check(world: &World, cases: &[Case<'_>]) {
    let before = world.files(".");
    for (args, said) in cases {
        let run = world.run(args);
        assert_eq!(run.code, 1, "{args:?}: {run:?}");
        assert_eq!(run.stdout, "", "{args:?}");
        assert!(run.text().starts_with("The arguments or the settings are wrong.\n"), "{args:?}: {run:?}");
        assert!(run.text().contains(said), "{args:?}: {run:?}");
        assert!(run.text().contains("What to do: "), "{args:?}: {run:?}");

        let japanese = Run::of(world.command(args).env("SONAE_LANG", "ja"));
        assert_eq!(japanese.code, 1, "{args:?}");
        assert!(japanese.text().starts_with("指定または設定に誤りがあります。\n"), "{japanese:?}");
        assert!(japanese.text().contains("対処: "), "{japanese:?}");

        let run = world.run(&[&["--json"], *args].concat());
        let error = &run.document()["error"];
        assert_eq!((run.code, run.stderr.as_str()), (1, ""), "{args:?}");
        assert_eq!((&error["code"], &error["name"]), (&1.into(), &"wrong-use".into()), "{args:?}");
        assert!(error["message"].as_str().is_some_and(|text| text.contains(said)), "{args:?}: {error}");
        assert!(error["causes"].is_array() && error["remedy"].is_string(), "{args:?}: {error}");
        assert_eq!(world.files("."), before, "{args:?}");
    }
}

#[test]
fn a_command_line_that_cannot_be_understood() {
    let world = World::new();
    check(
        &world,
        &[
            (&["--quiet"], "No command was given"),
            (&["bakup"], "There is no command bakup"),
            (&["repo"], "No command was given"),
            (&["key", "drop"], "There is no command drop"),
            (&["points", "--all"], "--all is not expected here"),
            (&["points", "extra"], "extra is not expected here"),
            (&["points", "--vm"], "--vm <NAME> needs a value"),
            (&["show"], "<POINT>"),
            (&["verify"], "<POINT>"),
            (&["verify", "abc", "--all"], "cannot be given together"),
            (&["backup", "--vm", "a"], "--disk <NAME=PATH>"),
            (&["backup", "--disk", "vda=x"], "--vm <NAME>"),
            (&["restore", "abc", "--to", "x"], "--disk <NAME>"),
            (&["restore", "abc", "--disk", "vda"], "--to <PATH>"),
            (&["restore", "abc", "--disk", "a", "--path", "/b", "--to", "x"], "cannot be given together"),
            (&["restore", "a", "--disk", "b", "--to", "c", "--existing", "no"], "\"no\" is no value"),
            (&["points", "--vm", "a", "--vm", "b"], "more than once"),
            (&["key", "add"], "--new-password-file <FILE>"),
            (&["key", "remove"], "<KEY>"),
        ],
    );
}

#[test]
fn a_source_that_cannot_be_backed_up() {
    let world = World::new();
    world.write("vda.raw", &[1; 8192]);
    world.write("qcow.img", &[b"QFI\xfb".as_slice(), &[0; 4096]].concat());
    world.write("a.xml", b"<domain/>");
    std::fs::create_dir(world.path("below")).unwrap();
    world.write("below/a.xml", b"<domain/>");
    world.write("disk-x", b"");
    let cases: [Case<'_>; 14] = [
        (&["--vm", "a/b", "--disk", "vda=vda.raw"], "a/b cannot be the name of a machine"),
        (&["--vm", "", "--disk", "vda=vda.raw"], "cannot be the name of a machine"),
        (&["--vm", "..", "--disk", "vda=vda.raw"], ".. cannot be the name of a machine"),
        (&["--vm", "a", "--disk", "vda"], "--disk vda cannot be understood"),
        (&["--vm", "a", "--disk", "vda="], "--disk vda= cannot be understood"),
        (&["--vm", "a", "--disk", "v/a=vda.raw"], "v/a cannot be the name of a disk"),
        (&["--vm", "a", "--disk", "vda=vda.raw", "--disk", "vda=vda.raw"], "vda was given twice"),
        (&["--vm", "a", "--disk", "vda=none.raw"], "none.raw does not exist"),
        (&["--vm", "a", "--disk", "vda=below"], "below is neither a file nor a block device"),
        (&["--vm", "a", "--disk", "vda=qcow.img"], "qcow.img is an image in the format qcow2"),
        (&["--vm", "a", "--disk", "vda=vda.raw", "--file", "none.xml"], "--file none.xml"),
        (&["--vm", "a", "--disk", "vda=vda.raw", "--file", "below"], "--file below cannot be read"),
        (&["--vm", "a", "--disk", "vda=vda.raw", "--file", "disk-x"], "--file disk-x"),
        (
            &["--vm", "a", "--disk", "vda=vda.raw", "--file", "a.xml", "--file", "below/a.xml"],
            "--file below/a.xml",
        ),
    ];
    let cases = cases.map(|(args, said)| ([&["backup"], args].concat(), said));
    let cases = cases.iter().map(|(args, said)| (args.as_slice(), *said)).collect::<Vec<_>>();
    check(&world, &cases);
    world.ok(&["backup", "--vm", "a", "--disk", "vda=raw:qcow.img"]);
}

#[test]
fn a_restore_that_would_destroy_or_find_nothing() {
    let world = World::with_point();
    world.write("there.raw", b"not to be lost");
    world.write("qcow.img", b"QFI\xfb");
    let size = 8 * MIB as u64;
    std::fs::File::options().write(true).open(world.path("qcow.img")).unwrap().set_len(size).unwrap();
    let cases: [Case<'_>; 8] = [
        (&["--disk", "vda", "--to", "there.raw"], "there.raw exists. Nothing was changed"),
        (
            &["--disk", "vda", "--to", "there.raw", "--existing", "update"],
            "has 14 bytes, the disk has 8,388,608",
        ),
        (
            &["--disk", "vda", "--to", "qcow.img", "--existing", "update"],
            "qcow.img is an image in the format qcow2",
        ),
        (&["--disk", "vda", "--to", "no/out.raw"], "no/out.raw"),
        (
            &["--disk", "vda", "--to", "repo", "--existing", "update"],
            "repo is neither a file nor a block device",
        ),
        (&["--disk", "vdx", "--to", "out.raw"], "has no disk vdx"),
        (&["--disk", "v/x", "--to", "out.raw"], "v/x cannot be the name of a disk"),
        (&["--path", "/web01/none", "--to", "out.raw"], "has no /web01/none"),
    ];
    let cases = cases.map(|(args, said)| ([&["restore", "latest", "--vm", "web01"], args].concat(), said));
    let cases = cases.iter().map(|(args, said)| (args.as_slice(), *said)).collect::<Vec<_>>();
    check(&world, &cases);
    assert_eq!(std::fs::read(world.path("there.raw")).unwrap(), b"not to be lost");
}

#[test]
fn settings_machines_and_keys_that_are_not_there() {
    let world = World::with_point();
    world.write("empty", b"\n");
    let key = world.files("repo/keys")[0].0.file_name().unwrap().to_str().unwrap().to_owned();
    std::fs::create_dir(world.path("full")).unwrap();
    world.write("full/file", b"");
    check(
        &world,
        &[
            (&["repo", "init"], "There is already a repository at"),
            (&["repo", "init", "--repo", "full"], "full holds files that belong to no repository"),
            (&["repo", "init", "--repo", "no/where"], "No repository can be made at no/where"),
            (&["points", "--repo", ""], "No repository was named"),
            (&["points", "--repo", "sftp:host:/backup"], "sftp:host:/backup, cannot be understood"),
            (&["points", "--repo", "s3:bucket"], "s3:bucket, cannot be understood"),
            (
                &["points", "--repo", "s3:http://key:secret@host/b"],
                "The place of the repository, …, cannot be",
            ),
            (&["points", "--password-file", ""], "No password file was named"),
            (&["points", "--password-file", "none"], "The password file none cannot be read"),
            (&["points", "--password-file", "empty"], "The password file empty is empty"),
            (&["key", "add", "--new-password-file", "empty"], "The password file empty is empty"),
            (&["key", "remove", "zz"], "There is no key zz"),
            (&["key", "remove", &key], "is the one that opened the repository"),
            (&["points", "--vm", "db01"], "no recovery point of the machine db01"),
            (&["verify", "--all", "--vm", "db01"], "no recovery point of the machine db01"),
            (&["show", "latest", "--vm", "a/b"], "a/b cannot be the name of a machine"),
            (&["points", "--limit-upload", "0"], "\"0\" is no value for --limit-upload"),
            (&["points", "--limit-download", "10MB"], "\"10MB\" is no value for --limit-download"),
            (&["points", "--limit-download"], "--limit-download <RATE> needs a value"),
        ],
    );
}

#[test]
fn a_wrong_password_file_leaves_no_repository_behind() {
    let world = World::bare();
    world.write("empty", b"");
    check(
        &world,
        &[
            (&["repo", "init", "--password-file", "none"], "cannot be read"),
            (&["repo", "init", "--password-file", "empty"], "is empty"),
        ],
    );
    assert!(!world.path("repo").exists());
}

#[test]
fn bytes_that_are_no_text_are_refused_and_not_fatal() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let world = World::new();
    let args = [OsStr::new("points"), OsStr::new("--vm"), OsStr::from_bytes(b"\xff"), OsStr::new("--json")];
    let run = Run::of(&mut world.command(&args));
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(run.document()["error"]["name"], "wrong-use");
}

#[test]
fn no_command_at_all_shows_the_help_beside_the_error() {
    let world = World::bare();
    let run = Run::of(&mut world.bare_command::<&str>(&[]));
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    assert!(run.stderr.contains("No command was given.") && run.stderr.contains("Usage: sonae"), "{run:?}");
}
