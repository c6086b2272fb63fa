//! The words every room of Sonae shares: units, names, ids, instants, messages, and the traits by which rooms meet
//! without knowing each other.
//!
//! Nothing here does I/O, reads a clock or knows a rule.
#![warn(missing_docs)]

pub mod disk;
pub mod environment;
pub mod id;
pub mod message;
pub mod name;
pub mod unit;

pub use disk::{DiskError, DiskRead, DiskTarget, Extent, ExtentKind, TargetState, Unfit};
pub use environment::{Clock, Entropy, Timestamp};
pub use id::{Digest, IdError};
pub use message::{Message, MessageKey};
pub use name::{DiskName, NameError, VmName};
pub use unit::{ByteCount, ByteOffset};
