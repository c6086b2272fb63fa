//! What `cargo metadata` says about the crates of the workspace, as far as the checks need it.

use anyhow::Context;
use serde::Deserialize;

/// The crates of the workspace.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    pub(super) packages: Vec<Package>,
}

/// A crate of the workspace.
#[derive(Debug, Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) dependencies: Vec<Dependency>,
}

/// Something that a crate depends on.
#[derive(Debug, Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// None for a normal dependency, otherwise `dev` or `build`.
    kind: Option<String>,
    /// The folder, for a crate of the workspace.
    path: Option<String>,
}

impl Metadata {
    /// Reads the output of `cargo metadata --no-deps`. Errors: it is not what cargo 1.95 prints.
    pub(super) fn parse(json: &str) -> anyhow::Result<Self> {
        serde_json::from_str(json).context("cargo metadata printed something unexpected")
    }
}

impl Dependency {
    /// Whether this is an arrow between rooms: a crate of the workspace that the shipped crate needs.
    pub(super) fn is_arrow(&self) -> bool {
        self.path.is_some() && self.kind.as_deref() != Some("dev")
    }
}

/// A made-up workspace: each crate with the crates of the workspace that it needs.
#[cfg(test)]
pub(super) fn workspace(crates: &[(&str, &[&str])]) -> Metadata {
    let dependency = |name: &&str| Dependency { name: (*name).into(), kind: None, path: Some("x".into()) };
    let package = |(name, needs): &(&str, &[&str])| Package {
        name: (*name).into(),
        dependencies: needs.iter().map(dependency).collect(),
    };
    Metadata { packages: crates.iter().map(package).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ships_with_a_crate_of_the_workspace_is_an_arrow() {
        let json = r#"{"packages":[{"name":"a","dependencies":[
            {"name":"b","kind":null,"path":"/b"},{"name":"c","kind":"dev","path":"/c"},
            {"name":"d","kind":"build","path":"/d"},{"name":"serde","kind":null}]}],"version":1}"#;
        let metadata = Metadata::parse(json).unwrap();
        let arrows: Vec<_> =
            metadata.packages[0].dependencies.iter().filter(|d| d.is_arrow()).map(|d| &d.name).collect();
        assert_eq!(arrows, ["b", "d"]);
    }
}
