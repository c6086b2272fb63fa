//! Where disks are read from and written to: raw image files and block devices.
//!
//! This room implements [`sonae_types::DiskRead`] and [`sonae_types::DiskTarget`]. It knows positions and bytes; it
//! knows nothing of chunks, packs, keys or policies.
#![warn(missing_docs)]

#[cfg(any(test, feature = "testing"))]
pub mod contract;
mod disk_file;
mod image_format;
mod raw_disk;
mod raw_target;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use raw_disk::RawDisk;
pub use raw_target::{PARTIAL, RawTarget};
