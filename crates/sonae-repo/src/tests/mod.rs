//! Tests of modules that are too long to stand in their files.

mod check;
mod open;
mod repair;
