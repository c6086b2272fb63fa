//! The data mover: the operations that join disks and a repository — back up, restore, verify, list, check.
//!
//! Each operation takes values, answers a report that can be written as JSON, or a [`Failure`] that says in words what
//! happened, where, and what to do. Nothing here prints, parses arguments or decides when something runs.
#![warn(missing_docs)]

mod assemble;
pub mod backup;
pub mod changes;
pub mod copy;
pub mod diff;
pub mod failure;
pub mod findings;
pub mod forget;
pub mod heal;
pub mod inspect;
pub mod keys;
pub mod maintain;
mod parent;
pub mod probe;
pub mod prune;
pub mod replica;
pub mod repository;
pub mod restore;
pub mod select;
mod source;
pub mod verify;
pub mod world;

pub use failure::{Failure, Fault};
pub use world::system_environment;
