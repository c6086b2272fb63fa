//! Copies of repositories: copying points to another place, proving without a key that two places hold the same, and
//! healing one place from another.
//!
//! It knows two repositories or two stores at a time, and neither owners nor policies nor addresses. How one repository
//! is read and written is `sonae-repo`'s.
#![warn(missing_docs)]

pub mod copying;
mod files;
mod found;
pub mod heal;
mod points;
pub mod replica;
#[cfg(test)]
mod tests;
mod threads;

pub use copying::{Amount, CopyError, CopyReport, Copying, Extent, KeyFiles};
pub use found::{Found, found_copy};
pub use heal::{Cure, HealReport, Healed, Healing, Wrong};
pub use sonae_repo::reseal::Resealed;
