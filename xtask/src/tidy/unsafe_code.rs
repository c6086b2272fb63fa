//! Unsafe code: it stands in two files, whose reasons are in decision records 0006 and 0008. The lint `unsafe_code` only
//! denies, so that these files can lift it; here nobody can.

use super::Report;
use super::rust;
use super::tree::Tree;

/// The files that may say it.
const PLACES: [&str; 2] = ["crates/sonae-format/src/crypto/vaes.rs", "crates/sonae-format/src/hash/lanes.rs"];
const WORD: &str = "unsafe";

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for text in tree.rust().filter(|text| !PLACES.contains(&text.path.as_str())) {
        for (at, line) in rust::code_only(&text.content).lines().enumerate() {
            if rust::words(line).any(|word| word == WORD) {
                report.find(
                    &text.path,
                    Some(at + 1),
                    format!("`{WORD}` may stand in {} only", PLACES.join(" and ")),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    #[test]
    fn unsafe_code_outside_its_files_is_found_and_talk_about_it_is_not() {
        let code = "//! A.\nfn f() {\n    unsafe { g() }\n}\n";
        let talk = "//! Nothing unsafe.\n#![deny(unsafe_code)]\nconst A: &str = \"unsafe\";\n";
        let tree = Tree::of(&[
            (PLACES[0], code),
            (PLACES[1], code),
            ("crates/a/src/lib.rs", talk),
            ("crates/a/tests/b.rs", code),
        ]);
        assert_eq!(
            found(|report| check(&tree, report)),
            [format!("crates/a/tests/b.rs:3: `unsafe` may stand in {} only", PLACES.join(" and "))]
        );
    }
}
