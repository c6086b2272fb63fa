//! Documents: each is linked from the front door, and no link leads nowhere.

use super::Report;
use super::tree::Tree;

const FRONT_DOOR: [&str; 3] = ["README.md", "README.ja.md", "ARCHITECTURE.md"];

pub(super) fn check(tree: &Tree, report: &mut Report) {
    let mut linked = Vec::new();
    for text in tree.texts().filter(|text| text.path.ends_with(".md")) {
        for (line, target) in targets(&text.content) {
            let place = resolve(&text.path, target);
            if !tree.holds(&place) {
                report.find(&text.path, Some(line), format!("links to {target}, which is not there"));
            }
            if FRONT_DOOR.contains(&text.path.as_str()) {
                linked.push(place);
            }
        }
    }
    for text in tree.texts().filter(|text| text.path.starts_with("docs/") && text.path.ends_with(".md")) {
        if !linked.contains(&text.path) {
            report.find(&text.path, None, format!("is linked from none of {}", FRONT_DOOR.join(", ")));
        }
    }
}

/// Line and target of each link to a file of this tree.
fn targets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(at, line)| {
        line.split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(target, _)| target.split('#').next().unwrap_or_default())
            .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
            .map(move |target| (at + 1, target))
    })
}

/// The path from the root that `target` means inside the file `from`.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    fn check_tree(texts: &[(&str, &str)]) -> Vec<String> {
        found(|report| check(&Tree::of(texts), report))
    }

    #[test]
    fn a_document_that_the_front_door_does_not_link_is_found() {
        let texts = [("README.md", "[a](docs/a.md)"), ("docs/a.md", "[b](b.md#top)"), ("docs/b.md", "")];
        assert_eq!(
            check_tree(&texts),
            ["docs/b.md: is linked from none of README.md, README.ja.md, ARCHITECTURE.md"]
        );
        let linked = [
            ("README.md", "[a](docs/a.md)"),
            ("ARCHITECTURE.md", "[b](docs/b.md)"),
            ("docs/a.md", ""),
            ("docs/b.md", ""),
        ];
        assert!(check_tree(&linked).is_empty());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let texts = [
            ("README.md", "[a](docs/a.md) [web](https://example.org/x.md) [here](#ideas)"),
            ("docs/a.md", "[up](../README.md) [folder](../docs)\n[gone](adr/0009.md)"),
        ];
        assert_eq!(check_tree(&texts), ["docs/a.md:2: links to adr/0009.md, which is not there"]);
    }
}
