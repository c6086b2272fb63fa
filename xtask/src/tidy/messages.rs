//! Message keys: every one has its texts, and every one is used.

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use super::rust;
use super::tree::Tree;

const KEYS: &str = "crates/sonae-text/src/keys.rs";
const HELP_KEYS: &str = "crates/sonae-text/src/keys/help.rs";
const TEXT_ROOM: &str = "crates/sonae-text";
/// The last ring, where most texts are chosen.
const COMMAND_LINE: &str = "crates/sonae";
const DOCUMENT: &str = "docs/errors.md";
const CATALOGUES: [&str; 2] = ["crates/sonae-text/catalogue/ja.txt", "crates/sonae-text/catalogue/en.txt"];

pub(super) fn check(tree: &Tree, report: &mut Report) {
    let mut constants = constants(tree.content(KEYS).unwrap_or_default());
    constants.extend(self::constants(tree.content(HELP_KEYS).unwrap_or_default()));
    let catalogues = CATALOGUES.map(|path| (path, entries(tree.content(path).unwrap_or_default())));
    for (path, entries) in &catalogues {
        for key in constants.values().filter(|key| !entries.contains(*key)) {
            report.find(path, None, format!("has no text for {key}"));
        }
        for key in entries.iter().filter(|key| !constants.values().any(|constant| constant == *key)) {
            report.find(path, None, format!("{key} has no constant in {KEYS}"));
        }
    }
    for text in tree
        .sources()
        .map(|(_, text)| text)
        .filter(|text| ![KEYS, HELP_KEYS].contains(&text.path.as_str()) && !text.is_test())
    {
        let code = rust::without_tests(&text.content).join("\n");
        for key in
            written_out(&code).filter(|key| !catalogues.iter().all(|(_, entries)| entries.contains(key)))
        {
            report.find(&text.path, None, format!("the message key {key} is in no catalogue"));
        }
    }
    check_use(tree, &constants, report);
    check_document(tree, &constants, report);
}

/// Finds messages about errors that docs/errors.md leaves out, or names and nobody can get.
fn check_document(tree: &Tree, constants: &BTreeMap<&str, &str>, report: &mut Report) {
    let Some(document) = tree.content(DOCUMENT) else { return };
    let is_error = |key: &&str| key.starts_with("error.") && !key.starts_with("error.part.");
    let named: BTreeSet<&str> =
        document.split('`').filter(|text| text.split('.').count() == 3).filter(is_error).collect();
    let known: BTreeSet<&str> = constants.values().copied().filter(is_error).collect();
    for key in known.difference(&named) {
        report.find(DOCUMENT, None, format!("leaves out {key}"));
    }
    for key in named.difference(&known) {
        report.find(DOCUMENT, None, format!("names {key}, which is no message"));
    }
}

/// Finds constants that nothing shipped names. Tests do not count: they would keep alive what nobody reads.
fn check_use(tree: &Tree, constants: &BTreeMap<&str, &str>, report: &mut Report) {
    let mut used = BTreeSet::new();
    let mut command_line_speaks = false;
    for (folder, text) in tree.sources().filter(|(folder, text)| *folder != TEXT_ROOM && !text.is_test()) {
        let code = rust::code_only(&rust::without_tests(&text.content).join("\n"));
        let here: Vec<_> = rust::words(&code).filter_map(|word| constants.get_key_value(word)).collect();
        command_line_speaks |= folder == COMMAND_LINE && !here.is_empty();
        used.extend(here.into_iter().map(|(name, _)| *name));
    }
    if !command_line_speaks {
        report.note("skipped: message keys out of use, because the command line names none yet");
        return;
    }
    for name in constants.keys().filter(|name| !used.contains(*name)) {
        report.find(KEYS, None, format!("{name} is not used"));
    }
}

/// Constant and key of each line `NAME = "area.object.event",`.
fn constants(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.trim().strip_suffix("\",")?.split_once(" = \""))
        .filter(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .collect()
}

fn entries(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .collect()
}

/// Keys that the code writes out instead of naming their constant.
fn written_out(code: &str) -> impl Iterator<Item = &str> {
    code.split("MessageKey::new(\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0))
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    const CLI: &str = "crates/sonae/src/main.rs";

    fn check_with(keys: &str, ja: &str, en: &str, code: &str) -> Vec<String> {
        let tree = Tree::of(&[(KEYS, keys), (CATALOGUES[0], ja), (CATALOGUES[1], en), (CLI, code)]);
        found(|report| check(&tree, report))
    }

    const ONE: &str = "keys! {\n    A_B_C = \"a.b.c\",\n}";

    #[test]
    fn a_key_with_both_texts_that_is_used_is_fine() {
        assert!(
            check_with(ONE, "a.b.c = 日本語\n", "# a comment\na.b.c = English\n", "say(keys::A_B_C)")
                .is_empty()
        );
    }

    #[test]
    fn a_missing_text_and_a_text_without_a_constant_are_found() {
        let found = check_with(ONE, "a.b.c = 日本語\nx.y.z = 余り\n", "", "say(keys::A_B_C)");
        assert_eq!(
            found,
            [
                format!("{}: x.y.z has no constant in {KEYS}", CATALOGUES[0]),
                format!("{}: has no text for a.b.c", CATALOGUES[1])
            ]
        );
    }

    #[test]
    fn a_key_that_only_tests_and_comments_name_is_not_used() {
        let keys = "A_B_C = \"a.b.c\",\nD_E_F = \"d.e.f\",\n";
        let texts = "a.b.c = x\nd.e.f = y\n";
        let code = "// D_E_F\nsay(keys::A_B_C);\n#[cfg(test)]\nmod tests {\n    say(keys::D_E_F);\n}\n";
        assert_eq!(check_with(keys, texts, texts, code), [format!("{KEYS}: D_E_F is not used")]);
    }

    #[test]
    fn use_is_not_judged_before_the_command_line_speaks() {
        let mut report = Report::default();
        check(
            &Tree::of(&[(KEYS, ONE), (CATALOGUES[0], "a.b.c = x"), (CATALOGUES[1], "a.b.c = y")]),
            &mut report,
        );
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        assert!(report.notes[0].starts_with("skipped: "), "{:?}", report.notes);
    }

    #[test]
    fn errors_that_the_document_leaves_out_or_makes_up_are_found() {
        let keys = "ERROR_A_B = \"error.a.b\",\nERROR_C_D = \"error.c.d\",\n";
        let tree = Tree::of(&[(KEYS, keys), (DOCUMENT, "| 1 | `error.a.b`, `error.x.y` | `remedy.a.b` |\n")]);
        let found = found(|report| check_document(&tree, &constants(keys), report));
        assert_eq!(
            found,
            [
                "docs/errors.md: leaves out error.c.d".to_owned(),
                "docs/errors.md: names error.x.y, which is no message".to_owned()
            ]
        );
    }

    #[test]
    fn a_key_written_out_in_code_needs_its_texts_too() {
        let code = "say(keys::A_B_C, MessageKey::new(\"p.q.r\"))";
        let found = check_with(ONE, "a.b.c = x\n", "a.b.c = y\n", code);
        assert_eq!(found, [format!("{CLI}: the message key p.q.r is in no catalogue")]);
    }
}
