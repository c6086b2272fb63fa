//! Whatever bytes a reader meets, it comes to an answer: no panic, no memory without bound, nothing called whole that is
//! not.

mod bends;
mod hostile_blobs;
mod hostile_trees;
mod memory;
mod parsers;
mod whole;
