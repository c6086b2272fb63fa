//! SHA-256 digests by which two corpora, or the files they were made from, can be told to be the same.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::tree::{Node, Tree};

/// Of a file's bytes, holes read as the zeros they are.
pub(crate) fn of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(hash)),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// Of every path and size of a tree.
pub(crate) fn of_listing(tree: &Tree) -> String {
    let mut hash = Sha256::new();
    for entry in &tree.entries {
        let what = match &entry.node {
            Node::File { size_bytes, .. } => size_bytes.to_string(),
            Node::Folder => "folder".to_owned(),
            Node::Link { target } => target.clone(),
        };
        hash.update(format!("{}\t{what}\n", entry.path));
    }
    hex(hash)
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
