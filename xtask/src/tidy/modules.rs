//! Every Rust file of a crate is reached as a module; a file that nothing declares is not even compiled.

use std::collections::BTreeSet;

use super::Report;
use super::rust;
use super::tree::Tree;

pub(super) fn check(tree: &Tree, report: &mut Report) {
    let files: BTreeSet<&str> = tree.sources().map(|(_, text)| text.path.as_str()).collect();
    let mut reached = BTreeSet::new();
    let mut ahead: Vec<&str> = tree
        .sources()
        .filter(|(folder, text)| is_root(folder, &text.path))
        .map(|(_, text)| text.path.as_str())
        .collect();
    while let Some(path) = ahead.pop() {
        if reached.insert(path) {
            let code = rust::code_only(tree.content(path).unwrap_or_default());
            let declared = rust::declared_modules(&code).into_iter().flat_map(|name| places(path, name));
            ahead.extend(declared.filter_map(|place| files.get(place.as_str()).copied()));
        }
    }
    for path in files.difference(&reached) {
        report.find(path, None, "no `mod` leads to this file");
    }
}

/// Whether cargo itself finds the file: `lib.rs`, `main.rs` and the programs in `bin`.
fn is_root(folder: &str, path: &str) -> bool {
    let inside = path.strip_prefix(folder).and_then(|path| path.strip_prefix("/src/")).unwrap_or_default();
    matches!(inside, "lib.rs" | "main.rs") || inside.starts_with("bin/")
}

/// The two files in which the module `name`, declared in `path`, may lie.
fn places(path: &str, name: &str) -> [String; 2] {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = match file {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        _ => format!("{folder}/{}", file.trim_end_matches(".rs")),
    };
    [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    #[test]
    fn a_file_that_no_module_declares_is_found() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "mod b;\npub mod c;\n// mod lost;\n"),
            ("crates/a/src/b.rs", "mod inner;\n"),
            ("crates/a/src/b/inner.rs", ""),
            ("crates/a/src/c/mod.rs", "#[cfg(test)]\nmod tests;\n"),
            ("crates/a/src/c/tests.rs", ""),
            ("crates/a/src/lost.rs", ""),
            ("crates/a/src/c/b.rs", ""),
            ("crates/a/src/bin/tool.rs", ""),
            ("crates/a/tests/outside.rs", ""),
            ("xtask/src/main.rs", ""),
        ]);
        let found = found(|report| check(&tree, report));
        assert_eq!(
            found,
            [
                "crates/a/src/c/b.rs: no `mod` leads to this file",
                "crates/a/src/lost.rs: no `mod` leads to this file"
            ]
        );
    }
}
