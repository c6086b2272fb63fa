//! Manifests: every crate inherits the lints of the workspace, every dependency has its reason, and there are few.

use std::collections::BTreeSet;

use super::metadata::{Metadata, Package};
use super::tree::Tree;
use super::{Report, words};

/// How many packages may stand in Cargo.lock. It can be raised; we want to notice.
const PACKAGES_MAX: usize = 300;

const WORKSPACE: &str = "Cargo.toml";
const LOCK: &str = "Cargo.lock";
const REASONS: [&str; 2] = ["deny.toml", "docs/adr/0004-dependencies-of-the-engine-crates.md"];

pub(super) fn check(tree: &Tree, metadata: &Metadata, report: &mut Report) {
    for package in &metadata.packages {
        let folder = if package.name == "xtask" { String::new() } else { "crates/".to_owned() };
        let path = format!("{folder}{}/Cargo.toml", package.name);
        match tree.content(&path) {
            None => report.find(
                &path,
                None,
                format!("the crate `{}` does not lie in a folder of its name", package.name),
            ),
            Some(manifest) if !inherits_lints(manifest) => {
                report.find(&path, None, "does not inherit the lints of the workspace");
            }
            Some(_) => {}
        }
    }
    check_reasons(tree, report);
    for name in dependencies(tree.content(WORKSPACE).unwrap_or_default()) {
        let uses = |package: &Package| package.dependencies.iter().any(|dependency| dependency.name == name);
        if !metadata.packages.iter().any(uses) {
            report.find(WORKSPACE, None, format!("no crate uses the dependency {name}"));
        }
    }
    let packages =
        tree.content(LOCK).unwrap_or_default().lines().filter(|line| *line == "[[package]]").count();
    report.note(format!("packages in {LOCK}: {packages} of at most {PACKAGES_MAX}"));
    if packages > PACKAGES_MAX {
        report.find(LOCK, None, format!("has {packages} packages, more than {PACKAGES_MAX}"));
    }
}

fn check_reasons(tree: &Tree, report: &mut Report) {
    let dependencies = dependencies(tree.content(WORKSPACE).unwrap_or_default());
    let [deny, record] = REASONS.map(|path| tree.content(path).unwrap_or_default());
    let in_deny: BTreeSet<_> = deny.lines().filter_map(reason_in_comment).collect();
    let in_record: BTreeSet<_> =
        words::rows(record).filter_map(|(_, cells)| in_backticks(cells.first()?)).collect();
    for name in dependencies.iter().filter(|name| !in_deny.contains(*name) && !in_record.contains(*name)) {
        report.find(
            WORKSPACE,
            None,
            format!("the dependency {name} has no reason in {}", REASONS.join(" or ")),
        );
    }
    for (path, known) in REASONS.iter().zip([in_deny, in_record]) {
        for name in known.difference(&dependencies) {
            report.find(path, None, format!("gives a reason for {name}, which is no dependency"));
        }
    }
}

/// Names in `[workspace.dependencies]` that come from outside.
fn dependencies(manifest: &str) -> BTreeSet<&str> {
    let section = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    section
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = "))
        .filter(|(_, value)| !value.contains("path = "))
        .map(|(name, _)| name.trim())
        .collect()
}

/// The name in a line `#   name – reason`.
fn reason_in_comment(line: &str) -> Option<&str> {
    let (name, reason) = line.strip_prefix("#   ")?.split_once(" – ")?;
    (!reason.trim().is_empty()).then_some(name.trim())
}

fn in_backticks<'a>(cell: &&'a str) -> Option<&'a str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().skip_while(|line| line.trim() != "[lints]").skip(1);
    lines.next().is_some_and(|line| line.trim() == "workspace = true")
}

#[cfg(test)]
mod tests {
    use super::super::metadata::workspace;
    use super::super::tests::found;
    use super::*;

    const MANIFEST: &str = "[workspace.dependencies]\nsonae-a = { path = \"crates/a\" }\n\naes = \"0.9\"\n\
        zstd-safe = { version = \"8\" }\n\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n";

    fn check_with(manifest: &str, deny: &str, record: &str) -> Vec<String> {
        let tree = Tree::of(&[(WORKSPACE, manifest), (REASONS[0], deny), (REASONS[1], record)]);
        found(|report| check_reasons(&tree, report))
    }

    #[test]
    fn a_dependency_that_no_crate_uses_is_found() {
        let record = "| `aes` | the cipher |\n| `zstd-safe` | packs |\n";
        let manifest = "[lints]\nworkspace = true\n";
        let tree =
            Tree::of(&[(WORKSPACE, MANIFEST), (REASONS[1], record), ("crates/a/Cargo.toml", manifest)]);
        let found = found(|report| check(&tree, &workspace(&[("a", &["aes"])]), report));
        assert_eq!(found, ["Cargo.toml: no crate uses the dependency zstd-safe"]);
    }

    #[test]
    fn a_dependency_needs_a_reason_in_one_of_two_places() {
        assert!(check_with(MANIFEST, "#   aes – the cipher\n", "| `zstd-safe` | packs |\n").is_empty());
        let found = check_with(MANIFEST, "#   aes – \n", "| `zstd-safe` | packs |\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("Cargo.toml: the dependency aes has no reason"), "{found:?}");
    }

    #[test]
    fn a_reason_for_something_that_is_gone_is_found() {
        let deny = "#   aes – the cipher\n#   zstd-safe – packs\n#   openssl – gone\n";
        assert_eq!(
            check_with(MANIFEST, deny, ""),
            ["deny.toml: gives a reason for openssl, which is no dependency"]
        );
    }

    #[test]
    fn a_crate_that_keeps_lints_of_its_own_or_lies_elsewhere_is_found() {
        let good = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";
        let own = "[package]\nname = \"b\"\n\n[lints.rust]\nunsafe_code = \"allow\"\n";
        let tree = Tree::of(&[("crates/a/Cargo.toml", good), ("crates/b/Cargo.toml", own)]);
        let crates: &[(&str, &[&str])] = &[("a", &[]), ("b", &[]), ("c", &[])];
        let found = found(|report| check(&tree, &workspace(crates), report));
        assert_eq!(
            found,
            [
                "crates/b/Cargo.toml: does not inherit the lints of the workspace",
                "crates/c/Cargo.toml: the crate `c` does not lie in a folder of its name"
            ]
        );
    }

    #[test]
    fn a_lock_file_beyond_its_budget_is_found() {
        let lock = "[[package]]\nname = \"x\"\n".repeat(301);
        let found = found(|report| check(&Tree::of(&[(LOCK, &lock)]), &workspace(&[]), report));
        assert_eq!(found, ["Cargo.lock: has 301 packages, more than 300"]);
    }
}
