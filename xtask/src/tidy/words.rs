//! What stands in files: a module doc first in each, no notes to self, no paths of somebody's machine. Also the rows of
//! Markdown tables, which several checks read.

use super::Report;
use super::rust::is_word;
use super::tree::{Text, Tree};

/// Notes to self; what is to be done belongs into the list of work. Written in two halves so that this file passes.
const NOTES: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
/// Paths that exist only where somebody happens to work.
const PATHS: [&str; 2] = [concat!("../sha", "red"), concat!("/wo", "rk/")];

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for text in tree.rust().filter(|text| !text.content.starts_with("//! ")) {
        report.find(&text.path, Some(1), "does not begin with `//!` and what lives here");
    }
    for text in tree.texts().filter(|text| text.path != "LICENSE") {
        for (at, line) in text.content.lines().enumerate() {
            if is_code(text) {
                for note in NOTES.iter().filter(|note| stands_alone(line, note)) {
                    report.find(&text.path, Some(at + 1), format!("a note to self: {note}"));
                }
            }
            for path in PATHS.iter().filter(|path| names_path(line, path)) {
                report.find(&text.path, Some(at + 1), format!("{path} exists on one machine only"));
            }
        }
    }
}

/// The rows of all tables in a Markdown text: line number and trimmed cells. The line under a heading is a row too.
pub(super) fn rows(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    text.lines().enumerate().filter_map(|(at, line)| {
        let inside = line.trim().strip_prefix('|')?.strip_suffix('|')?;
        Some((at + 1, inside.split('|').map(str::trim).collect()))
    })
}

fn is_code(text: &Text) -> bool {
    let name = text.path.rsplit('/').next().unwrap_or_default();
    !name.contains('.') || [".rs", ".toml", ".sh", ".py"].iter().any(|ending| name.ends_with(ending))
}

fn stands_alone(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let behind = line[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !behind.is_some_and(is_word)
    })
}

fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        // A longer path that only ends the same way is another path.
        !line[..at].chars().next_back().is_some_and(|c| is_word(c) || "./-~$}".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    fn check_text(path: &str, text: &str) -> Vec<String> {
        found(|report| check(&Tree::of(&[(path, text)]), report))
    }

    #[test]
    fn a_rust_file_without_a_module_doc_first_is_found() {
        assert!(check_text("crates/a/src/lib.rs", "//! The room.\n").is_empty());
        for text in ["", "use std::io;\n//! Late.\n", "/// Not the file.\n", "//!\n"] {
            assert_eq!(check_text("crates/a/tests/x.rs", text).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn notes_to_self_are_found_in_code_and_not_inside_other_words() {
        for note in NOTES {
            assert_eq!(check_text("test", &format!("# {note}: later\n")).len(), 1, "{note}");
            assert_eq!(check_text("crates/a/src/lib.rs", &format!("//! A.\n// {note}\n")).len(), 1, "{note}");
            assert!(check_text("docs/STYLE.md", &format!("No {note} in code.\n")).is_empty(), "{note}");
            assert!(check_text("test", &format!("mktemp {note}{note}\n")).is_empty(), "{note}");
        }
    }

    #[test]
    fn paths_of_one_machine_are_found_everywhere() {
        for path in PATHS {
            assert_eq!(check_text("docs/a.md", &format!("see `{path}x`\n")).len(), 1, "{path}");
        }
        assert!(check_text("docs/a.md", &format!("target{}x\n", PATHS[1])).is_empty());
    }

    #[test]
    fn rows_of_a_table_are_cut_at_their_bars() {
        let found: Vec<_> = rows("text\n| a | b |\n|---|---|\n| `c` | |\n").collect();
        assert_eq!(found, [(2, vec!["a", "b"]), (3, vec!["---", "---"]), (4, vec!["`c`", ""])]);
    }
}
