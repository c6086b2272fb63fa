//! What is true and what to do: pure decisions, one module per word of the field.
//!
//! Facts come in as values, a decision goes out that leaves no choice open; a thin shell elsewhere carries it out.
//! Nothing here reads a clock, a file, a socket or a random number, and nothing speaks a human language
//! (ARCHITECTURE.md, invariant 4).
#![warn(missing_docs)]

pub mod retention;
