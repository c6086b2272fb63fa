//! The deduplicating, encrypting repository: restic's repository format, version 2, written and read by our own engine.
//!
//! It knows chunks, packs, keys, points and object stores. It knows nothing of owners, policies, incidents, the control
//! plane or SQL (ARCHITECTURE.md, invariant 1).
#![warn(missing_docs)]

pub mod blob;
pub mod check;
#[cfg(test)]
mod check_tests;
pub mod chunk;
pub mod compress;
pub mod config;
pub mod crypto;
pub mod environment;
mod fetch;
pub mod forget;
pub mod hash;
pub mod index;
pub mod ingest;
mod json;
mod keep;
pub mod key_file;
pub mod keyless;
pub mod lock;
#[cfg(any(test, feature = "testing"))]
pub mod malice;
pub mod manifest;
#[cfg(test)]
mod open_tests;
pub mod pack;
mod polynomial;
pub mod reader;
pub mod repair;
#[cfg(test)]
mod repair_tests;
pub mod repository;
pub mod restore;
pub mod snapshot;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
pub mod tree;
pub mod trusted;
pub mod unpacked;
pub mod verify;
pub mod walk;

pub use environment::{Environment, Progress, Stop, Stopped};
pub use repository::Repository;
pub use sonae_store as store;
