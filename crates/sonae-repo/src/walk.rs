//! Walking a point: every folder, every file, each tree read once however many points share it.

use std::collections::HashSet;
use std::rc::Rc;

use sonae_types::Digest;

use crate::blob::BlobOpener;
use crate::index::Index;
use crate::reader::ReadError;
use crate::repository::Repository;
use crate::snapshot::Point;
use crate::tree::{NodeKind, TreeError};

/// Deepest nesting of folders that is followed; a hostile repository could otherwise go on without end. What lies deeper
/// is told as unreadable.
pub const DEPTH_MAX: usize = 256;
/// Longest path that is followed, for the same reason; systems of today have none that is longer.
pub const PATH_BYTES_MAX: usize = 32 << 10;

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
        let root = Ahead { above: Rc::from(""), name: String::new(), tree: point.snapshot.tree, depth: 0 };
        // Seen also guards against cycles, which an honest hash cannot form and a forged one might.
        if !self.seen.insert(root.tree) {
            return;
        }
        let mut open = vec![root];
        while let Some(Ahead { above, name, tree, depth }) = open.pop() {
            let path: Rc<str> = if depth == 0 { above } else { format!("{above}/{name}").into() };
            let nodes = match self.repository.tree(self.index, tree, &mut self.opener) {
                Ok(nodes) => nodes,
                Err(cause) => {
                    let path = if path.is_empty() { "/".to_owned() } else { path.to_string() };
                    meet(Met::Unreadable { path, tree, cause });
                    continue;
                }
            };
            meet(Met::Folder(tree));
            let too_deep = depth == DEPTH_MAX;
            for node in nodes {
                match node.kind {
                    NodeKind::Folder(tree) if too_deep || PATH_BYTES_MAX < path.len() + node.name.len() => {
                        // Not seen by that: it may lie elsewhere, too, and not so deep.
                        let cause = ReadError::Tree { id: tree, cause: TreeError::TooDeep };
                        meet(Met::Unreadable { path: format!("{path}/{}", node.name), tree, cause });
                    }
                    NodeKind::Folder(tree) if self.seen.insert(tree) => {
                        open.push(Ahead { above: Rc::clone(&path), name: node.name, tree, depth: depth + 1 });
                    }
                    NodeKind::File { size, content } => {
                        let path = format!("{path}/{}", node.name);
                        meet(Met::File(WalkedFile { path, size, content }));
                    }
                    NodeKind::Folder(_) | NodeKind::Other(_) => {}
                }
            }
        }
    }
}

/// A folder that is yet to be read. The path above it is shared by all that lie beside it.
struct Ahead {
    above: Rc<str>,
    name: String,
    tree: Digest,
    depth: usize,
}
