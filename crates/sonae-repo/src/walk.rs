//! Walking a point: every folder, every file, each tree read once however many points share it.

use std::collections::HashSet;

use sonae_types::Digest;

use crate::blob::BlobOpener;
use crate::index::Index;
use crate::reader::ReadError;
use crate::repository::Repository;
use crate::snapshot::Point;
use crate::tree::NodeKind;

/// Deepest nesting of folders that is followed; a hostile repository could otherwise go on without end.
pub const DEPTH_MAX: usize = 256;

/// One file met on a walk.
#[derive(Debug)]
pub struct WalkedFile {
    /// Its path from the point's root.
    pub path: String,
    /// Its stated size.
    pub size: u64,
    /// Its chunks in order.
    pub content: Vec<Digest>,
}

/// What a walk meets.
#[derive(Debug)]
pub enum Met {
    /// A folder, before what it holds.
    Folder(Digest),
    /// A file.
    File(WalkedFile),
    /// A folder that cannot be read, with its path.
    Unreadable {
        /// The folder's path.
        path: String,
        /// Its tree.
        tree: Digest,
        /// Why.
        cause: ReadError,
    },
}

/// A walker that remembers which trees it has been through.
#[derive(Debug)]
pub struct Walker<'a> {
    repository: &'a Repository,
    index: &'a Index,
    opener: BlobOpener,
    seen: HashSet<Digest>,
}

impl<'a> Walker<'a> {
    /// A walker that has seen nothing yet.
    #[must_use]
    pub fn new(repository: &'a Repository, index: &'a Index) -> Self {
        Self { repository, index, opener: BlobOpener::default(), seen: HashSet::new() }
    }

    /// Walks what this walker has not seen yet of a point.
    pub fn walk(&mut self, point: &Point, meet: &mut impl FnMut(Met)) {
        let mut open = vec![(String::new(), point.snapshot.tree, 0)];
        while let Some((path, tree, depth)) = open.pop() {
            // Seen also guards against cycles, which an honest hash cannot form and a forged one might.
            if !self.seen.insert(tree) || DEPTH_MAX < depth {
                continue;
            }
            let nodes = match self.repository.tree(self.index, tree, &mut self.opener) {
                Ok(nodes) => nodes,
                Err(cause) => {
                    meet(Met::Unreadable {
                        path: if path.is_empty() { "/".to_owned() } else { path },
                        tree,
                        cause,
                    });
                    continue;
                }
            };
            meet(Met::Folder(tree));
            for node in nodes {
                let path = format!("{path}/{}", node.name);
                match node.kind {
                    NodeKind::Folder(tree) => open.push((path, tree, depth + 1)),
                    NodeKind::File { size, content } => meet(Met::File(WalkedFile { path, size, content })),
                    NodeKind::Other(_) => {}
                }
            }
        }
    }
}
