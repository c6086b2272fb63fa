//! Size is a signal: a function fits a screen, a file a sitting, a crate a week.

use std::collections::BTreeMap;

use super::Report;
use super::rust;
use super::tree::{Text, Tree};

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 500;
const CRATE_LINES_MAX: usize = 8_000;
/// What stands before a module that exists for tests only.
const FOR_TESTS: &str = "#[cfg(any(test, feature = \"testing\"))]";

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for text in tree.rust() {
        for function in rust::functions(&rust::code_only(&text.content)) {
            if function.lines > FUNCTION_LINES_MAX {
                let what = format!(
                    "the function `{}` has {} lines, more than {FUNCTION_LINES_MAX}",
                    function.name, function.lines
                );
                report.find(&text.path, Some(function.line), what);
            }
        }
        let lines = rust::without_tests(&text.content).len();
        if !text.is_test() && lines > FILE_LINES_MAX {
            report.find(
                &text.path,
                None,
                format!("has {lines} lines without its tests, more than {FILE_LINES_MAX}"),
            );
        }
    }
    let mut crates = BTreeMap::<&str, usize>::new();
    let shipped = |(folder, text): &(&str, &Text)| !text.is_test() && !is_for_tests(tree, folder, text);
    for (folder, text) in tree.sources().filter(shipped) {
        *crates.entry(folder).or_default() += rust::without_tests(&text.content).len();
    }
    for (folder, lines) in crates.into_iter().filter(|(_, lines)| *lines > CRATE_LINES_MAX) {
        report.find(
            folder,
            None,
            format!("has {lines} lines without its tests, more than {CRATE_LINES_MAX}"),
        );
    }
}

/// Whether a file belongs to a module that the crate is built with only for tests, its own or those of other rooms.
fn is_for_tests(tree: &Tree, folder: &str, text: &Text) -> bool {
    let Some(root) = tree.content(&format!("{folder}/src/lib.rs")) else { return false };
    let mut modules = root.split(FOR_TESTS).skip(1).filter_map(|after| {
        let (name, _) =
            after.trim_start().trim_start_matches("pub ").strip_prefix("mod ")?.split_once(';')?;
        Some(name)
    });
    let inside =
        text.path.strip_prefix(folder).and_then(|path| path.strip_prefix("/src/")).unwrap_or_default();
    modules.any(|name| inside.strip_prefix(name).is_some_and(|rest| rest == ".rs" || rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    fn check_text(path: &str, text: &str) -> Vec<String> {
        found(|report| check(&Tree::of(&[(path, text)]), report))
    }

    #[test]
    fn a_function_longer_than_a_screen_is_found() {
        let function = |lines: usize| format!("//! x\nfn long() {{\n{}}}\n", "    a();\n".repeat(lines - 2));
        assert!(check_text("crates/a/src/lib.rs", &function(70)).is_empty());
        assert_eq!(
            check_text("crates/a/src/lib.rs", &function(71)),
            ["crates/a/src/lib.rs:2: the function `long` has 71 lines, more than 70"]
        );
    }

    #[test]
    fn a_file_longer_than_a_sitting_is_found_and_its_tests_do_not_count() {
        let code = "const A: u8 = 1;\n".repeat(500);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    const A: u8 = 1;\n".repeat(900));
        assert!(check_text("crates/a/src/lib.rs", &format!("{code}{tests}")).is_empty());
        assert!(check_text("crates/a/tests/backup.rs", &format!("{code}{code}")).is_empty());
        let found = check_text("crates/a/src/lib.rs", &format!("{code}const B: u8 = 2;\n{tests}"));
        assert_eq!(found, ["crates/a/src/lib.rs: has 501 lines without its tests, more than 500"]);
    }

    #[test]
    fn a_crate_longer_than_a_week_is_found() {
        let content = "const A: u8 = 1;\n".repeat(500);
        let paths: Vec<_> = (0..17).map(|number| format!("crates/a/src/m{number}.rs")).collect();
        let texts: Vec<_> = paths.iter().map(|path| (path.as_str(), content.as_str())).collect();
        assert!(found(|report| check(&Tree::of(&texts[..16]), report)).is_empty());
        let found = found(|report| check(&Tree::of(&texts), report));
        assert_eq!(found, ["crates/a: has 8500 lines without its tests, more than 8000"]);
    }

    #[test]
    fn a_module_that_exists_for_tests_only_does_not_make_a_crate_longer() {
        let content = "const A: u8 = 1;\n".repeat(500);
        let root = format!("{FOR_TESTS}\npub mod testing;\npub mod m0;\n");
        let paths: Vec<_> = (0..15).map(|number| format!("crates/a/src/m{number}.rs")).collect();
        let mut texts: Vec<_> = paths.iter().map(|path| (path.as_str(), content.as_str())).collect();
        texts.push(("crates/a/src/lib.rs", &root));
        texts.push(("crates/a/src/testing.rs", &content));
        texts.push(("crates/a/src/testing/more.rs", &content));
        assert!(found(|report| check(&Tree::of(&texts), report)).is_empty());
        texts.push(("crates/a/src/testing_more.rs", &content));
        assert_eq!(found(|report| check(&Tree::of(&texts), report)).len(), 1);
    }
}
