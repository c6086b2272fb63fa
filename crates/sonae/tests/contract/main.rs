//! The contract of the command line, tested on the program as scripts and people run it.
//!
//! One binary with a module for each part of the contract; `world` is the only place that runs the program.

mod changes;
mod damage;
mod forget;
mod golden;
mod help;
mod interrupt;
mod json;
mod lock;
mod points;
mod prune;
mod world;
mod wrong_use;
