//! The exit codes of docs/errors.md are those of the command line, number by number and name by name.

use std::collections::BTreeMap;

use super::tree::Tree;
use super::{Report, rust, words};

const DOCUMENT: &str = "docs/errors.md";
const SOURCE: &str = "crates/sonae/src/exit.rs";

pub(super) fn check(tree: &Tree, report: &mut Report) {
    let documented = documented(tree.content(DOCUMENT).unwrap_or_default());
    if documented.is_empty() {
        report.find(DOCUMENT, None, "has no table of exit codes: code | name | …");
    }
    let Some(source) = tree.content(SOURCE) else {
        report.note(format!("skipped: exit codes, because {SOURCE} does not exist yet"));
        return;
    };
    let in_source = in_source(&rust::code_only(&rust::without_tests(source).join("\n")));
    for (code, name) in &in_source {
        match documented.get(code) {
            None => report.find(DOCUMENT, None, format!("has no row for exit code {code}, {name}")),
            Some(other) if plain(other) != plain(name) => {
                report.find(
                    DOCUMENT,
                    None,
                    format!("calls exit code {code} {other}, the program calls it {name}"),
                );
            }
            Some(_) => {}
        }
    }
    for (code, name) in documented.iter().filter(|(code, _)| !in_source.contains_key(code)) {
        report.find(SOURCE, None, format!("has no exit code {code}, {name}"));
    }
}

/// Code and name of each row that begins with a number and a name in backticks.
fn documented(text: &str) -> BTreeMap<u8, String> {
    words::rows(text)
        .filter_map(|(_, cells)| {
            let [code, name, ..] = cells.as_slice() else { return None };
            let name = name.strip_prefix('`')?.strip_suffix('`')?;
            // Other tables of the document begin with a code too, and go on with something that is no name.
            name.chars().all(rust::is_word).then_some((code.parse().ok()?, name.to_owned()))
        })
        .collect()
}

/// Code and name of each `const NAME: u8 = N;` and each variant `Name = N,`.
fn in_source(code: &str) -> BTreeMap<u8, String> {
    code.lines()
        .filter_map(|line| {
            let (name, number) = line.trim().trim_end_matches([',', ';']).split_once(" = ")?;
            let name = name.split(':').next()?.rsplit(' ').next()?;
            (!name.is_empty() && name.chars().all(rust::is_word))
                .then_some((number.parse().ok()?, name.to_owned()))
        })
        .collect()
}

/// `NO_REPOSITORY` and `NoRepository` are one name.
fn plain(name: &str) -> String {
    name.replace('_', "").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    const TABLE: &str =
        "| code | name | meaning |\n|---|---|---|\n| 0 | `Done` | good |\n| 10 | `NoRepository` | none |\n";

    fn check_with(table: &str, source: &str) -> Vec<String> {
        found(|report| check(&Tree::of(&[(DOCUMENT, table), (SOURCE, source)]), report))
    }

    #[test]
    fn constants_and_variants_are_read() {
        let constants = "pub const DONE: u8 = 0;\npub(crate) const NO_REPOSITORY: u8 = 10;\nlet x = 5;\n";
        assert_eq!(
            check_with(TABLE, "enum Exit {\n    Done = 0,\n    NoRepository = 10,\n}\n"),
            Vec::<String>::new()
        );
        let found = check_with(TABLE, constants);
        assert_eq!(found, [format!("{DOCUMENT}: has no row for exit code 5, x")]);
    }

    #[test]
    fn a_row_of_another_table_is_no_exit_code() {
        let table =
            format!("{TABLE}\n| code | message key |\n|---|---|\n| 10 | `error.a.b`, `error.c.d` |\n");
        assert!(check_with(&table, "enum Exit {\n    Done = 0,\n    NoRepository = 10,\n}\n").is_empty());
    }

    #[test]
    fn a_code_that_only_one_side_has_is_found() {
        let found = check_with(TABLE, "enum Exit {\n    Done = 0,\n    Locked = 11,\n}\n");
        assert_eq!(
            found,
            [
                format!("{DOCUMENT}: has no row for exit code 11, Locked"),
                format!("{SOURCE}: has no exit code 10, NoRepository")
            ]
        );
    }

    #[test]
    fn a_code_with_two_names_and_a_missing_table_are_found() {
        let found = check_with(TABLE, "enum Exit {\n    Done = 0,\n    Missing = 10,\n}\n");
        assert_eq!(
            found,
            [format!("{DOCUMENT}: calls exit code 10 NoRepository, the program calls it Missing")]
        );
        assert_eq!(check_with("", "").len(), 1);
    }
}
