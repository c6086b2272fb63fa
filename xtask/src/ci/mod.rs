//! `cargo xtask ci`: everything that must hold, in order. A part that fails does not keep the later ones from running,
//! so that one run shows all.

use std::process::ExitCode;

use crate::{host, tidy};
use outcome::{Budget, Part, Tests, Verdict};

mod outcome;

/// Runs all parts and reports. Ends with a failure if any part failed.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let parts = vec![
        cargo_part("fmt", Budget::None, &["fmt", "--all", "--check"])?,
        cargo_part(
            "clippy",
            Budget::Build,
            &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        )?,
        cargo_part("build", Budget::Build, &["build", "--workspace", "--all-targets"])?,
        test_part()?,
        cargo_part("doc tests", Budget::Tests, &["test", "--workspace", "--doc"])?,
        deny_part()?,
        tidy_part()?,
    ];
    for line in outcome::report(&parts) {
        host::say(&line);
    }
    Ok(if parts.iter().any(Part::failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn cargo_part(name: &'static str, budget: Budget, args: &[&str]) -> anyhow::Result<Part> {
    host::say(&format!("== {name}: cargo {}", args.join(" ")));
    let (ran, took) = host::timed(|| host::cargo_shown(args, outcome::worth_showing));
    let ran = ran?;
    let verdict = if ran.good { Verdict::Passed } else { Verdict::Failed };
    let tests = Tests::counted_in(&ran.lines);
    Ok(Part { name, budget, took, verdict, tests, skips: outcome::skips(&ran.lines) })
}

fn test_part() -> anyhow::Result<Part> {
    if host::has_subcommand("nextest") {
        cargo_part("tests", Budget::Tests, &["nextest", "run", "--workspace", "--profile", "ci"])
    } else {
        let targets =
            ["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast", "--", "--show-output"];
        cargo_part("tests", Budget::Tests, &targets)
    }
}

fn deny_part() -> anyhow::Result<Part> {
    if host::has_subcommand("deny") {
        return cargo_part("deny", Budget::None, &["deny", "check", "licenses", "bans", "sources"]);
    }
    host::say("== deny");
    let line = "skipped: cargo-deny is not installed".to_owned();
    host::say(&line);
    let skips = outcome::skips(&[line]);
    Ok(Part { skips, ..Part::of_verdict("deny", Verdict::Skipped) })
}

fn tidy_part() -> anyhow::Result<Part> {
    host::say("== tidy");
    let (report, took) = host::timed(tidy::check_tree);
    let report = report?;
    let lines = report.lines();
    for line in &lines {
        host::say(line);
    }
    let verdict = if report.failed() { Verdict::Failed } else { Verdict::Passed };
    Ok(Part { took, skips: outcome::skips(&lines), ..Part::of_verdict("tidy", verdict) })
}
