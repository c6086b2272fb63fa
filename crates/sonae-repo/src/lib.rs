//! The deduplicating, encrypting repository: what is done with the bytes of `sonae-format` in a store.
//!
//! It knows chunks, packs, keys, points and object stores. It knows nothing of owners, policies, incidents, the control
//! plane or SQL (ARCHITECTURE.md, invariant 1).
#![warn(missing_docs)]

pub mod ballast;
pub mod check;
pub mod diff;
pub mod environment;
mod fetch;
pub mod forget;
pub mod ingest;
pub mod keep;
pub mod key_file;
pub mod keyless;
pub mod lock;
#[cfg(any(test, feature = "testing"))]
pub mod malice;
pub mod prune;
pub mod reader;
pub mod repair;
pub mod repository;
pub mod reseal;
pub mod restore;
mod room;
pub mod settle;
pub mod snapshot;
pub mod stored_pack;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod trusted;
pub mod unpacked;
pub mod verify;
pub mod walk;

pub use environment::{Environment, Progress, Stop, Stopped};
pub use repository::Repository;
pub use sonae_format::{
    blob, chunk, compress, config, crypto, hash, index, json, manifest, mark, pack, time, tree,
};
pub use sonae_store as store;
