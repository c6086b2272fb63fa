//! The rig: real tiny guests, corpora and peers for measuring, and the demo. The one place where programs are started
//! and a whole story is told; it is a normal dependency of nothing.
#![warn(missing_docs)]

pub mod chunking;
pub mod content;
pub mod corpus;
pub mod damage;
pub mod demo;
pub mod disks;
pub mod distance;
pub mod golden;
pub mod guest;
pub mod host;
pub mod loop_device;
pub mod peer;
pub mod primitives;
pub mod proxy;
pub mod qemu;
pub mod qmp;
pub mod radosgw;
pub mod recorded;
pub mod register;
pub mod restic;
pub mod runs;
pub mod small_disk;
pub mod sonae;
pub mod stand;
pub mod torture;
