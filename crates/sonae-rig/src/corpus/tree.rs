//! A tree of files to be laid into an image, in an order that does not depend on the machine that makes it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What lies at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Folder,
    File { source: PathBuf, size_bytes: u64 },
    Link { target: String },
}

/// One path of the image, absolute, and what lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) node: Node,
}

/// Folders before what they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) entries: Vec<Entry>,
}

impl Tree {
    /// Everything under a folder, named as if that folder were `prefix`; names sorted by bytes.
    ///
    /// Left out: what is neither file, folder nor link, what cannot be read, and names that need quoting.
    pub(crate) fn scan(folder: &Path, prefix: &str) -> io::Result<Self> {
        let mut tree = Self::default();
        if !prefix.is_empty() {
            tree.entries.push(Entry { path: prefix.to_owned(), node: Node::Folder });
        }
        tree.add(folder, prefix)?;
        Ok(tree)
    }

    fn add(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        let mut inside = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        inside.sort_by_key(fs::DirEntry::file_name);
        for entry in inside {
            let Some(name) = entry.file_name().to_str().filter(|name| plain(name)).map(str::to_owned) else {
                continue;
            };
            let (source, path) = (entry.path(), format!("{prefix}/{name}"));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.entries.push(Entry { path: path.clone(), node: Node::Folder });
                self.add(&source, &path)?;
            } else if kind.is_symlink() {
                if let Some(target) = fs::read_link(&source)?.to_str().filter(|target| plain(target)) {
                    self.entries.push(Entry { path, node: Node::Link { target: target.to_owned() } });
                }
            } else if kind.is_file() && File::open(&source).is_ok() {
                let size_bytes = entry.metadata()?.len();
                self.entries.push(Entry { path, node: Node::File { source, size_bytes } });
            }
        }
        Ok(())
    }

    /// Only what does not lie at or under one of these paths.
    pub(crate) fn without(mut self, paths: &[&str]) -> Self {
        self.entries.retain(|entry| {
            !paths.iter().any(|path| {
                entry.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        });
        self
    }

    /// Only the start of the tree, up to the first file that would exceed a size.
    pub(crate) fn up_to(mut self, size_bytes: u64) -> Self {
        let mut sum = 0;
        let end = self.entries.iter().position(|entry| {
            sum += match entry.node {
                Node::File { size_bytes, .. } => size_bytes,
                Node::Folder | Node::Link { .. } => 0,
            };
            size_bytes < sum
        });
        self.entries.truncate(end.unwrap_or(self.entries.len()));
        self
    }

    /// The same tree with its top folders in the opposite order: another installer, another layout.
    pub(crate) fn turned_around(self) -> Self {
        let mut parts: Vec<(String, Vec<Entry>)> = Vec::new();
        for entry in self.entries {
            let top = entry.path.split('/').nth(1).unwrap_or_default().to_owned();
            match parts.last_mut() {
                Some((same, part)) if *same == top => part.push(entry),
                _ => parts.push((top, vec![entry])),
            }
        }
        Self { entries: parts.into_iter().rev().flat_map(|(_, part)| part).collect() }
    }

    /// This tree and then another.
    pub(crate) fn then(mut self, other: Self) -> Self {
        self.entries.extend(other.entries);
        self
    }

    /// Bytes of all files together.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.entries
            .iter()
            .map(|entry| match entry.node {
                Node::File { size_bytes, .. } => size_bytes,
                Node::Folder | Node::Link { .. } => 0,
            })
            .sum()
    }

    /// The commands with which debugfs makes this tree.
    pub(crate) fn script(&self) -> String {
        self.entries.iter().fold(String::new(), |mut script, Entry { path, node }| {
            script += &match node {
                Node::Folder => format!("mkdir \"{path}\"\n"),
                Node::File { source, .. } => format!("write \"{}\" \"{path}\"\n", source.display()),
                Node::Link { target } => format!("symlink \"{path}\" \"{target}\"\n"),
            };
            script
        })
    }
}

/// Whether a name can stand in quotes as it is.
fn plain(name: &str) -> bool {
    !name.contains(['"', '\n', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |path: &str| folder.path().join(path);
        for path in ["usr/bin", "etc", "var/cache/apt", "var/cachet"] {
            fs::create_dir_all(at(path)).expect("a folder");
        }
        for (path, text) in [
            ("usr/bin/b", "22"),
            ("usr/bin/a b", "1"),
            ("etc/x", "333"),
            ("etc/q\"", ""),
            ("var/cachet/y", "4444"),
        ] {
            fs::write(at(path), text).expect("a file");
        }
        std::os::unix::fs::symlink("usr/bin", at("bin")).expect("a link");
        let tree = Tree::scan(folder.path(), "").expect("a tree");
        (folder, tree)
    }

    fn paths(tree: &Tree) -> Vec<&str> {
        tree.entries.iter().map(|entry| entry.path.as_str()).collect()
    }

    #[test]
    fn a_tree_is_sorted_and_leaves_out_names_that_need_quoting() {
        let (_folder, tree) = example();
        let tree = tree.without(&["/var/cache"]);
        assert_eq!(
            paths(&tree),
            [
                "/bin",
                "/etc",
                "/etc/x",
                "/usr",
                "/usr/bin",
                "/usr/bin/a b",
                "/usr/bin/b",
                "/var",
                "/var/cachet",
                "/var/cachet/y"
            ]
        );
        assert_eq!(tree.size_bytes(), 10);
    }

    #[test]
    fn a_tree_turned_around_still_has_folders_before_what_they_hold() {
        let (_folder, tree) = example();
        let turned = tree.clone().turned_around();
        assert_eq!(paths(&turned)[0], "/var");
        assert_eq!(paths(&turned).last(), Some(&"/bin"));
        assert_eq!(turned.entries.len(), tree.entries.len());
    }

    #[test]
    fn a_tree_up_to_a_size_is_not_larger() {
        let (_folder, tree) = example();
        assert_eq!(tree.up_to(6).size_bytes(), 6);
    }

    #[test]
    fn the_script_makes_folders_files_and_links() {
        let (folder, tree) = example();
        let script = tree.without(&["/var", "/usr"]).script();
        assert_eq!(
            script,
            format!(
                "symlink \"/bin\" \"usr/bin\"\nmkdir \"/etc\"\nwrite \"{}/etc/x\" \"/etc/x\"\n",
                folder.path().display()
            )
        );
    }
}
