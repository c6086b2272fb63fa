//! Malice, for tests and fuzzing: what a hostile store, or a writer who has the key, can hand to a reader.
//!
//! [`parse`] holds every parser with what must be true of its answers, [`forge`] seals lies as an honest writer would,
//! [`frame`] makes zstd frames that no compressor makes, [`whole`] lays a repository with bent parts and reads it all.

pub mod forge;
pub mod frame;
pub mod parse;
#[cfg(test)]
mod tests;
pub mod whole;
