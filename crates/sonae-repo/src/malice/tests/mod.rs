//! Whatever bytes a reader meets, it comes to an answer: no panic, no memory without bound, nothing called whole that is
//! not.

mod bends;
mod parsers;
mod whole;
