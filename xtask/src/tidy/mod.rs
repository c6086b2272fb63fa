//! `cargo xtask tidy`: the rules of this tree that no compiler knows. Each check is a pure function over texts; only
//! [`check_tree`] reads files.

use std::fmt;
use std::process::ExitCode;

use crate::host;
use metadata::Metadata;
use tree::Tree;

mod exit_codes;
mod links;
mod manifests;
mod messages;
mod metadata;
mod modules;
mod requirements;
mod rooms;
mod rust;
mod sizes;
mod tree;
mod unsafe_code;
mod words;

/// A rule is broken at a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: Option<usize>,
    what: String,
}

/// What the checks came to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
    /// What a person should know and what is no fault, `skipped: …` among it.
    notes: Vec<String>,
}

/// Checks the tree, prints what it found, and fails if it found anything.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let report = check_tree()?;
    for line in report.lines() {
        host::say(&line);
    }
    Ok(if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Reads the tree and the workspace and makes every check. Errors: something cannot be read.
pub(crate) fn check_tree() -> anyhow::Result<Report> {
    let tree = Tree::read(&host::root())?;
    let metadata = Metadata::parse(&host::cargo_output(&[
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--offline",
    ])?)?;
    Ok(check(&tree, &metadata))
}

fn check(tree: &Tree, metadata: &Metadata) -> Report {
    let mut report = Report::default();
    rooms::check(tree, metadata, &mut report);
    sizes::check(tree, &mut report);
    words::check(tree, &mut report);
    requirements::check(tree, &mut report);
    messages::check(tree, &mut report);
    exit_codes::check(tree, &mut report);
    modules::check(tree, &mut report);
    manifests::check(tree, metadata, &mut report);
    links::check(tree, &mut report);
    unsafe_code::check(tree, &mut report);
    report.findings.sort();
    report
}

impl Report {
    fn find(&mut self, path: &str, line: Option<usize>, what: impl Into<String>) {
        self.findings.push(Finding { path: path.to_owned(), line, what: what.into() });
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Whether a rule is broken.
    pub(crate) fn failed(&self) -> bool {
        !self.findings.is_empty()
    }

    /// The report as printed.
    pub(crate) fn lines(&self) -> Vec<String> {
        let findings = self.findings.iter().map(Finding::to_string);
        let verdict = match self.findings.len() {
            0 => "tidy: every rule holds".to_owned(),
            1 => "tidy: one rule is broken".to_owned(),
            many => format!("tidy: rules are broken at {many} places"),
        };
        self.notes.iter().cloned().chain(findings).chain([verdict]).collect()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.what),
            None => write!(f, "{}: {}", self.path, self.what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one check finds in a made-up tree, as printed.
    pub(super) fn found(check: impl FnOnce(&mut Report)) -> Vec<String> {
        let mut report = Report::default();
        check(&mut report);
        report.findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn this_tree_keeps_its_rules() {
        let report = check_tree().unwrap();
        assert!(!report.failed(), "{}", report.lines().join("\n"));
    }

    #[test]
    fn a_broken_rule_is_printed_with_its_place_and_fails_the_run() {
        let mut report = Report::default();
        assert!(!report.failed());
        report.find("src/lib.rs", Some(3), "too long");
        assert!(report.failed());
        assert_eq!(report.lines(), ["src/lib.rs:3: too long", "tidy: one rule is broken"]);
    }
}
