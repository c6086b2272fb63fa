//! Trees: folder listings inside a point, in the canonical form that plain restic writes.

use serde::{Deserialize, Serialize};
use sonae_types::{Digest, Timestamp};

use crate::json::{quote_name, to_go_json, unquote_name};
use crate::time::to_rfc3339;

/// Go's bit for a folder in a file mode.
const GO_MODE_FOLDER: u32 = 1 << 31;

/// What an entry of a folder is, as far as we care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A folder, whose listing is the tree with this id.
    Folder(Digest),
    /// A file: its content is these chunks, joined.
    File {
        /// Stated length in bytes.
        size: u64,
        /// Chunks in order.
        content: Vec<Digest>,
    },
    /// A link, device or other thing that plain restic may have written; the word says which.
    Other(String),
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, unquoted.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
}

/// A tree's bytes are no tree, or one that must not be followed.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Not the JSON of a tree.
    #[error("not a folder listing")]
    Json(#[source] serde_json::Error),
    /// A name that would leave its folder, or cannot be read.
    #[error("entry {quoted:?} has a forbidden name")]
    Name {
        /// As written.
        quoted: String,
    },
    /// Names must be strictly ascending, so none can stand twice.
    #[error("entry {name:?} stands twice or out of order")]
    Order {
        /// The name.
        name: String,
    },
    /// A folder without a listing, or a file whose fields contradict each other.
    #[error("entry {name:?} lacks what its kind needs")]
    Incomplete {
        /// The name.
        name: String,
    },
}

#[derive(Serialize, Deserialize)]
struct TreeJson {
    nodes: Vec<NodeJson>,
}

/// Field order is the format's; do not sort.
#[derive(Serialize, Deserialize)]
struct NodeJson {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "is_zero", default)]
    mode: u32,
    #[serde(default)]
    mtime: String,
    #[serde(default)]
    atime: String,
    #[serde(default)]
    ctime: String,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(skip_serializing_if = "is_zero_64", default)]
    size: u64,
    #[serde(default)]
    content: Option<Vec<Digest>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    subtree: Option<Digest>,
}

/// The canonical bytes of a folder whose entries all bear the stamp `at`; the entries are sorted here.
#[must_use]
pub fn encode_tree(mut nodes: Vec<Node>, at: Timestamp) -> Vec<u8> {
    nodes.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    let stamp = to_rfc3339(at);
    let nodes = nodes.into_iter().map(|node| NodeJson::of(node, &stamp)).collect();
    let mut bytes = to_go_json(&TreeJson { nodes });
    bytes.push(b'\n');
    bytes
}

/// The entries of a folder. Errors: [`TreeError`]; a name with `/` or NUL, `.`, `..`, an empty or repeated name are errors.
pub fn decode_tree(bytes: &[u8]) -> Result<Vec<Node>, TreeError> {
    let tree: TreeJson = serde_json::from_slice(bytes).map_err(TreeError::Json)?;
    let nodes = tree.nodes.into_iter().map(NodeJson::out).collect::<Result<Vec<_>, _>>()?;
    match nodes.windows(2).find(|pair| pair[1].name.as_bytes() <= pair[0].name.as_bytes()) {
        Some(pair) => Err(TreeError::Order { name: pair[1].name.clone() }),
        None => Ok(nodes),
    }
}

impl NodeJson {
    fn of(node: Node, stamp: &str) -> Self {
        let (kind, mode, size, content, subtree) = match node.kind {
            NodeKind::Folder(tree) => ("dir".to_owned(), GO_MODE_FOLDER | 0o700, 0, None, Some(tree)),
            NodeKind::File { size, content } => ("file".to_owned(), 0o600, size, Some(content), None),
            NodeKind::Other(kind) => (kind, 0o600, 0, None, None),
        };
        let stamp = || stamp.to_owned();
        Self {
            name: quote_name(&node.name),
            kind,
            mode,
            mtime: stamp(),
            atime: stamp(),
            ctime: stamp(),
            uid: 0,
            gid: 0,
            size,
            content,
            subtree,
        }
    }

    fn out(self) -> Result<Node, TreeError> {
        let name = unquote_name(&self.name)
            .filter(|name| !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']))
            .ok_or(TreeError::Name { quoted: self.name })?;
        let kind = match self.kind.as_str() {
            "dir" => {
                NodeKind::Folder(self.subtree.ok_or_else(|| TreeError::Incomplete { name: name.clone() })?)
            }
            "file" => NodeKind::File { size: self.size, content: self.content.unwrap_or_default() },
            _ => NodeKind::Other(self.kind),
        };
        Ok(Node { name, kind })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_zero_64(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(name: &str) -> Node {
        Node { name: name.to_owned(), kind: NodeKind::File { size: 5, content: vec![Digest::new([7; 32])] } }
    }

    #[test]
    fn a_tree_is_written_byte_for_byte_as_restic_writes_it() {
        let folder = Node { name: "a<b".to_owned(), kind: NodeKind::Folder(Digest::new([1; 32])) };
        let empty = Node { name: "0".to_owned(), kind: NodeKind::File { size: 0, content: vec![] } };
        let text = String::from_utf8(encode_tree(
            vec![folder, file("z\"q"), empty],
            Timestamp::from_micros(1_575_424_800_120_000),
        ))
        .unwrap();
        let times = r#""mtime":"2019-12-04T02:00:00.12Z","atime":"2019-12-04T02:00:00.12Z","ctime":"2019-12-04T02:00:00.12Z","uid":0,"gid":0"#;
        let (ones, sevens) = ("01".repeat(32), "07".repeat(32));
        let expected = format!(
            r#"{{"nodes":[{{"name":"0","type":"file","mode":384,{times},"content":[]}},{{"name":"a\u003cb","type":"dir","mode":2147484096,{times},"content":null,"subtree":"{ones}"}},{{"name":"z\\\"q","type":"file","mode":384,{times},"size":5,"content":["{sevens}"]}}]}}"#
        );
        assert_eq!(text, expected + "\n");
    }

    #[test]
    fn names_that_leave_their_folder_or_stand_twice_are_refused() {
        for name in ["..", ".", "", "a/b", "a\0b"] {
            let bytes = encode_tree(vec![file(name)], Timestamp::from_micros(0));
            assert!(matches!(decode_tree(&bytes), Err(TreeError::Name { .. })), "{name:?}");
        }
        let bytes = encode_tree(vec![file("x"), file("x")], Timestamp::from_micros(0));
        assert!(matches!(decode_tree(&bytes), Err(TreeError::Order { .. })));
        assert!(matches!(
            decode_tree(br#"{"nodes":[{"name":"d","type":"dir"}]}"#),
            Err(TreeError::Incomplete { .. })
        ));
    }

    proptest! {
        #[test]
        fn a_tree_reads_back_as_written(names in proptest::collection::btree_set("[^/\0]{1,8}", 0..6)) {
            let nodes = names.iter().filter(|name| *name != "." && *name != "..").map(|name| file(name)).collect::<Vec<_>>();
            prop_assert_eq!(decode_tree(&encode_tree(nodes.clone(), Timestamp::from_micros(0))).unwrap(), nodes);
        }

        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _answer = decode_tree(&bytes);
        }
    }
}
