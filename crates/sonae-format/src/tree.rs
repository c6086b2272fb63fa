//! Trees: folder listings inside a point, in the canonical form that plain restic writes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sonae_types::{Digest, Timestamp};

use crate::json::{quote_bytes, quote_name, to_go_json, unquote_bytes};
use crate::time::to_rfc3339;

/// Longest name of an entry; file systems have 255 bytes or characters.
pub const NODE_NAME_BYTES_MAX: usize = 4096;
/// Most entries of a folder. Each costs more memory than text, so the length of the text alone is no bound.
pub const NODES_MAX: usize = 8 << 20;
/// How much of a name that is refused is told.
const TOLD_CHARS: usize = 80;

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
    /// Its name, unquoted; one whose bytes are no UTF-8, such as Shift-JIS, stays quoted as in the tree.
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
    /// A name that would leave its folder, is too long, or cannot be read.
    #[error("entry {quoted:?} has a forbidden name")]
    Name {
        /// As written, cut to a bearable length.
        quoted: String,
    },
    /// More than [`NODES_MAX`] entries.
    #[error("a folder with more than {NODES_MAX} entries")]
    TooMany,
    /// It lies deeper than folders are followed (`DEPTH_MAX` and `PATH_BYTES_MAX` of `sonae-repo`).
    #[error("lies too deep to be followed")]
    TooDeep,
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

#[derive(Serialize)]
struct TreeJson {
    nodes: Vec<NodeJson>,
}

/// Field order is the format's; do not sort.
#[derive(Serialize)]
struct NodeJson {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "is_zero")]
    mode: u32,
    mtime: String,
    atime: String,
    ctime: String,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "is_zero_64")]
    size: u64,
    content: Option<Vec<Digest>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subtree: Option<Digest>,
}

#[derive(Deserialize)]
struct ReadTree {
    nodes: ReadNodes,
}

/// What we read of an entry.
#[derive(Deserialize)]
struct ReadNode<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    content: Option<Vec<Digest>>,
    #[serde(default)]
    subtree: Option<Digest>,
}

/// The entries, each looked at as it comes, so that no more is held of them than is kept.
struct ReadNodes(Result<Vec<Node>, TreeError>);

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
    let tree: ReadTree = serde_json::from_slice(bytes).map_err(TreeError::Json)?;
    let mut nodes = tree.nodes.0?;
    // A quoted name has another place in the order than its bytes, and must not be taken for one that looks like it.
    nodes.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    match nodes.windows(2).find(|pair| pair[1].name == pair[0].name) {
        Some(pair) => Err(TreeError::Order { name: pair[1].name.clone() }),
        None => Ok(nodes),
    }
}

impl<'de> Deserialize<'de> for ReadNodes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = ReadNodes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<ReadNodes, A::Error> {
                let (mut nodes, mut before) = (Vec::new(), Vec::new());
                while let Some(entry) = entries.next_element::<ReadNode<'_>>()? {
                    if let Err(error) = entry.add_to(&mut nodes, &mut before) {
                        while entries.next_element::<IgnoredAny>()?.is_some() {}
                        return Ok(ReadNodes(Err(error)));
                    }
                }
                Ok(ReadNodes(Ok(nodes)))
            }
        }
        from.deserialize_seq(Entries)
    }
}

impl ReadNode<'_> {
    /// Adds the entry; `before` holds the bytes of the name of the one before it, and then of this one.
    fn add_to(self, nodes: &mut Vec<Node>, before: &mut Vec<u8>) -> Result<(), TreeError> {
        let Some(bytes) = unquote_bytes(&self.name).filter(|name| is_fit(name)) else {
            return Err(TreeError::Name { quoted: self.name.chars().take(TOLD_CHARS).collect() });
        };
        let name = std::str::from_utf8(&bytes).map_or_else(|_legacy| quote_bytes(&bytes), ToOwned::to_owned);
        if bytes <= *before {
            return Err(TreeError::Order { name });
        }
        *before = bytes;
        if nodes.len() == NODES_MAX {
            return Err(TreeError::TooMany);
        }
        let kind = match &*self.kind {
            "dir" => match self.subtree {
                Some(tree) => NodeKind::Folder(tree),
                None => return Err(TreeError::Incomplete { name }),
            },
            "file" => NodeKind::File { size: self.size, content: self.content.unwrap_or_default() },
            _ => NodeKind::Other(self.kind.into_owned()),
        };
        nodes.push(Node { name, kind });
        Ok(())
    }
}

/// Whether the name is one step of a path, and no more.
fn is_fit(name: &[u8]) -> bool {
    let step = !name.is_empty() && name != b"." && name != b"..";
    step && !name.contains(&b'/') && !name.contains(&0) && name.len() <= NODE_NAME_BYTES_MAX
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
        let bytes = encode_tree(vec![file(&"x".repeat(NODE_NAME_BYTES_MAX + 1))], Timestamp::from_micros(0));
        let Err(error) = decode_tree(&bytes) else { panic!("a name of that length is refused") };
        assert!(error.to_string().len() < 200, "and is not told in full: {error}");
        let bytes = encode_tree(vec![file("x"), file("x")], Timestamp::from_micros(0));
        assert!(matches!(decode_tree(&bytes), Err(TreeError::Order { .. })));
        assert!(matches!(
            decode_tree(br#"{"nodes":[{"name":"d","type":"dir"}]}"#),
            Err(TreeError::Incomplete { .. })
        ));
    }

    #[test]
    fn a_name_that_is_no_utf_8_keeps_its_folder_readable_and_is_shown_as_it_is_quoted() {
        let tree = |names: &[&str]| {
            let nodes =
                names.iter().map(|name| format!(r#"{{"name":"{name}","type":"file"}}"#)).collect::<Vec<_>>();
            decode_tree(format!(r#"{{"nodes":[{}]}}"#, nodes.join(",")).as_bytes())
        };
        // "plain", and two names in Shift-JIS; JSON doubles each backslash of Go's quoting.
        let nodes = tree(&["plain", r"\\x93\\xfa\\x96{", r"\\x95{"]).unwrap();
        let names = nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names, [r"\x93\xfa\x96{", r"\x95{", "plain"]);
        let twice = tree(&[r"\\x95", r"\\x93"]);
        assert!(matches!(twice, Err(TreeError::Order { .. })), "the order is that of the bytes");
        // A file whose name has a backslash, and one whose name is quoted to the same text.
        let alike = tree(&[r"\\\\x95", r"\\x95"]);
        assert!(matches!(alike, Err(TreeError::Order { .. })));
        assert!(matches!(tree(&[r"\\xff/"]), Err(TreeError::Name { .. })));
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
