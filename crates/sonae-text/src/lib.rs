//! What people read: the message catalogue in Japanese and English, numbers, durations and dates.
//!
//! The other rooms hand over a [`sonae_types::Message`], which is a key with values. The last ring renders it here in
//! the language of its reader. Nothing in this crate decides, does I/O or reads a clock.
#![warn(missing_docs)]

mod catalogue;
pub mod date;
pub mod keys;
mod language;
pub mod number;
pub mod visible;
pub mod width;

pub use catalogue::{fixed, missing_fields, render};
pub use language::{Language, choose_language, language_from};
