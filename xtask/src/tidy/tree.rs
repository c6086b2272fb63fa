//! The texts of the tree, read once. The other checks see only this.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// Files above this size are data, not text that a person writes.
const TEXT_BYTES_MAX: u64 = 1024 * 1024;

/// Every file of the tree, apart from what was built.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Paths of all files, relative to the root, with `/`, sorted.
    paths: Vec<String>,
    texts: Vec<Text>,
}

/// A text file.
#[derive(Debug)]
pub(super) struct Text {
    /// Its path relative to the root, with `/`.
    pub(super) path: String,
    /// Its content.
    pub(super) content: String,
}

/// Folders of what was made here and belongs to nobody's tree, by name or by path.
const MADE: [&str; 6] = ["target", ".git", ".sonae-demo", "fuzz/corpus", "fuzz/artifacts", "fuzz/coverage"];

impl Tree {
    /// Reads the tree below `root`. Errors: a folder or file cannot be read.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        tree.paths.sort();
        tree.texts.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> anyhow::Result<()> {
        for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().with_context(|| format!("cannot look at {path}"))?;
            if kind.is_dir() {
                if MADE.contains(&name.as_str()) || MADE.contains(&path.as_str()) {
                    continue;
                }
                self.read_folder(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() {
                self.read_file(&entry.path(), path)?;
            }
        }
        Ok(())
    }

    fn read_file(&mut self, file: &Path, path: String) -> anyhow::Result<()> {
        let size = fs::metadata(file).with_context(|| format!("cannot look at {path}"))?.len();
        if size <= TEXT_BYTES_MAX {
            let bytes = fs::read(file).with_context(|| format!("cannot read {path}"))?;
            if let Ok(content) = String::from_utf8(bytes) {
                self.texts.push(Text { path: path.clone(), content });
            }
        }
        self.paths.push(path);
        Ok(())
    }

    /// A made-up tree.
    #[cfg(test)]
    pub(super) fn of(texts: &[(&str, &str)]) -> Self {
        let text = |(path, content): &(&str, &str)| Text { path: (*path).into(), content: (*content).into() };
        Self {
            paths: texts.iter().map(|(path, _)| (*path).into()).collect(),
            texts: texts.iter().map(text).collect(),
        }
    }

    /// Every text.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Text> {
        self.texts.iter()
    }

    /// Every Rust file.
    pub(super) fn rust(&self) -> impl Iterator<Item = &Text> {
        self.texts.iter().filter(|text| text.path.ends_with(".rs"))
    }

    /// Every Rust file in the `src` folder of a crate, with the folder of the crate.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&str, &Text)> {
        self.rust().filter_map(|text| {
            let (folder, _) = text.path.split_once("/src/")?;
            let is_crate =
                folder == "xtask" || folder.strip_prefix("crates/").is_some_and(|name| !name.contains('/'));
            is_crate.then_some((folder, text))
        })
    }

    /// The content of one file.
    pub(super) fn content(&self, path: &str) -> Option<&str> {
        self.texts.iter().find(|text| text.path == path).map(|text| text.content.as_str())
    }

    /// Whether there is a file or folder of this path.
    pub(super) fn holds(&self, path: &str) -> bool {
        let below = format!("{path}/");
        self.paths.iter().any(|file| file == path || file.starts_with(&below))
    }
}

impl Text {
    /// Whether the file holds nothing but tests: it lies in `tests` or `benches`, or is called `tests.rs`.
    pub(super) fn is_test(&self) -> bool {
        let path = format!("/{}", self.path);
        path.contains("/tests/") || path.contains("/benches/") || path.ends_with("/tests.rs")
    }
}
