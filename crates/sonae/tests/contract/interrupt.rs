//! Stopped by a signal: code 130, nothing half-made, and the next run works.

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::world::{MIB, Run, World};

/// Far more than any step takes; reached only where something hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until it is so, while the program runs. Panics where it ends before.
#[expect(clippy::disallowed_methods, reason = "a test that waits for another process needs a deadline")]
fn wait_until(child: &mut Child, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < DEADLINE, "it did not happen in time");
        assert!(child.try_wait().expect("the program can be waited for").is_none(), "it ended before");
        std::thread::yield_now();
    }
}

fn interrupt(child: Child) -> Run {
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a process number");
    kill_process(pid, Signal::INT).expect("the signal is sent");
    child.wait_with_output().expect("the program ends").into()
}

#[test]
fn a_run_that_is_interrupted_leaves_no_point_and_no_lock_and_the_next_one_works() {
    let world = World::new();
    world.noise("big.raw", 400 * MIB, 3);
    let backup = ["backup", "--vm", "web01", "--disk", "vda=big.raw", "--json"];
    let mut child = world.start(&backup);
    wait_until(&mut child, || !world.files("repo/data").is_empty());
    let run = interrupt(child);
    assert_eq!(run.code, 130, "{run:?}");
    assert_eq!(run.document()["error"]["name"], "interrupted");
    for folder in ["repo/snapshots", "repo/locks", "repo/tmp"] {
        assert_eq!(world.files(folder), [], "{folder}");
    }
    world.ok(&["repo", "check", "--read-data"]);
    assert_eq!(Run::of(&mut world.command(&backup)).code, 0);

    let restore = ["restore", "latest", "--vm", "web01", "--disk", "vda", "--to", "out.raw"];
    let mut child = world.start(&restore);
    wait_until(&mut child, || world.path("out.raw.sonae-partial").exists());
    let run = interrupt(child);
    assert_eq!(run.code, 130, "{run:?}");
    assert!(!world.path("out.raw").exists());
    assert_eq!(world.files("repo/locks"), []);
    // What was begun is named, or is not there.
    let named = run.text().contains("out.raw.sonae-partial is not finished");
    assert_eq!(named, world.path("out.raw.sonae-partial").exists(), "{run:?}");
    world.ok(&restore);
    assert!(!world.path("out.raw.sonae-partial").exists());
    assert!(same(&world, "big.raw", "out.raw"));
}

#[test]
fn a_run_that_waits_for_a_limit_can_be_interrupted() {
    let world = World::with_point();
    world.noise("more.raw", 8 * MIB, 3);
    let before = world.files("repo/data");
    // At 1 KiB a second each of these would take more than an hour.
    let cases: [&[&str]; 2] = [
        &["backup", "--vm", "web02", "--disk", "vda=more.raw", "--limit-upload", "1"],
        &["verify", "--all", "--limit-download", "1"],
    ];
    for args in cases {
        let mut child = world.start(args);
        wait_until(&mut child, || !world.files("repo/locks").is_empty());
        let run = interrupt(child);
        assert_eq!(run.code, 130, "{args:?}: {run:?}");
        assert_eq!(world.files("repo/locks"), [], "{args:?}");
        assert_eq!(world.files("repo/data"), before, "{args:?}");
    }
    world.ok(&["verify", "--all", "--limit-download", "1G"]);
    world.ok(&["backup", "--vm", "web02", "--disk", "vda=more.raw", "--limit-upload", "1G"]);
}

fn same(world: &World, one: &str, other: &str) -> bool {
    let read = |name| std::fs::read(world.path(name)).expect("an image");
    read(one) == read(other)
}
