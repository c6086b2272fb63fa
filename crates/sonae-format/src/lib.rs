//! The bytes of a repository, in restic's format: how they are cut, named, compressed, sealed, listed and written down,
//! and read back from bytes that anybody may have made.
//!
//! Pure: bytes in, values out. Nothing here knows a store, a lock or a point's fate; what is done with these bytes is
//! `sonae-repo`'s.
#![warn(missing_docs)]

pub mod blob;
pub mod chunk;
pub mod compress;
pub mod config;
pub mod crypto;
pub mod hash;
pub mod index;
pub mod json;
pub mod manifest;
pub mod mark;
pub mod pack;
pub mod polynomial;
pub mod prune;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
pub mod tree;
