//! Every requirement that code, tests or documents cite has its row in docs/REQUIREMENTS.md.

use std::collections::BTreeSet;

use super::rust::is_word;
use super::tree::Tree;
use super::{Report, words};

const PATH: &str = "docs/REQUIREMENTS.md";
const STATES: [&str; 3] = ["built", "partly", "planned"];
/// Length of an id such as `0NN-NN`.
const ID_BYTES: usize = 6;

pub(super) fn check(tree: &Tree, report: &mut Report) {
    let mut known = BTreeSet::new();
    for (line, cells) in words::rows(tree.content(PATH).unwrap_or_default()) {
        let Some(id) = cells.first().filter(|cell| cell.len() == ID_BYTES && ids(cell).next().is_some())
        else {
            continue;
        };
        if !known.insert(*id) {
            report.find(PATH, Some(line), format!("{id} has two rows"));
        }
        if !cells.get(2).is_some_and(|state| STATES.contains(state)) {
            report.find(PATH, Some(line), format!("{id} has no state: write {}", STATES.join(", ")));
        }
        if cells.get(3).is_none_or(|evidence| evidence.is_empty()) {
            report.find(PATH, Some(line), format!("{id} has no evidence"));
        }
        for test in cells.iter().skip(3).flat_map(|evidence| tests_named(evidence)) {
            let claim = format!("fn {test}(");
            if !tree.rust().any(|text| text.content.contains(&claim)) {
                report.find(PATH, Some(line), format!("{id} names the test {test}, which does not exist"));
            }
        }
    }
    for text in tree.texts().filter(|text| text.path != "Cargo.lock") {
        for (at, line) in text.content.lines().enumerate() {
            for id in ids(line).filter(|id| !known.contains(id)) {
                report.find(&text.path, Some(at + 1), format!("requirement {id} has no row in {PATH}"));
            }
        }
    }
}

/// The names of tests in a cell: in backticks, and several words joined by `_`.
fn tests_named(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2).filter(|text| text.contains('_') && text.chars().all(is_word))
}

/// The requirement ids in a line: three digits from 000 to 004, a hyphen, two digits, and no word character around.
fn ids(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("00").filter_map(|(at, _)| {
        let id = line.get(at..at + ID_BYTES)?;
        let is_id = matches!(id.as_bytes(), [b'0', b'0', b'0'..=b'4', b'-', tens, ones]
            if tens.is_ascii_digit() && ones.is_ascii_digit());
        let before = line[..at].chars().next_back();
        let behind = line[at + ID_BYTES..].chars().next();
        (is_id && !before.is_some_and(is_word) && !behind.is_some_and(is_word)).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    // Cut in two, so that this file cites nothing.
    const KNOWN: &str = concat!("004", "-98");
    const UNKNOWN: &str = concat!("004", "-99");

    fn check_with(row: &str, code: &str) -> Vec<String> {
        let table = format!("| id | what | state | evidence |\n|---|---|---|---|\n{row}\n");
        found(|report| check(&Tree::of(&[(PATH, &table), ("crates/a/src/lib.rs", code)]), report))
    }

    #[test]
    fn a_cited_requirement_without_a_row_is_found() {
        let row = format!("| {KNOWN} | It works. | built | a test |");
        assert!(check_with(&row, &format!("//! See {KNOWN}.\n")).is_empty());
        let found = check_with(&row, &format!("//! See\n//! ({UNKNOWN}).\n"));
        assert_eq!(found, [format!("crates/a/src/lib.rs:2: requirement {UNKNOWN} has no row in {PATH}")]);
    }

    #[test]
    fn a_row_needs_a_state_and_evidence_and_stands_once() {
        let bad = format!("| {KNOWN} | It works. | done | |");
        assert_eq!(check_with(&bad, "").len(), 2);
        let good = format!("| {KNOWN} | It works. | partly | a test |");
        assert_eq!(check_with(&format!("{good}\n{good}"), "").len(), 1);
    }

    #[test]
    fn evidence_that_names_a_test_needs_that_test() {
        let row = format!("| {KNOWN} | It works. | built | `it_works`, `./demo` |");
        assert!(check_with(&row, "fn it_works() {}").is_empty());
        let found = check_with(&row, "fn it_works_too() {}");
        assert_eq!(found, [format!("{PATH}:3: {KNOWN} names the test it_works, which does not exist")]);
    }

    #[test]
    fn numbers_that_only_look_alike_are_no_requirements() {
        for text in ["2000-12-01", "0004-22", "004-223", "005-12", "a004-22", "004-2"] {
            assert_eq!(ids(text).count(), 0, "{text}");
        }
        assert_eq!(ids(&format!("({KNOWN}), `{UNKNOWN}`")).count(), 2);
    }
}
