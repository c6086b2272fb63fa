//! Object stores: where the files of a repository lie.
//!
//! A store knows names and bytes. It does not know keys, chunks, owners or policies. Every store passes the one
//! contract suite in [`contract`].
#![warn(missing_docs)]

use std::fmt;
use std::io;

use sonae_types::{ByteCount, Digest, Timestamp};

#[cfg(any(test, feature = "testing"))]
pub mod contract;
#[cfg(any(test, feature = "testing"))]
pub mod fault;
pub mod local;
pub mod memory;
pub mod patience;
pub mod retry;
pub mod s3;
#[cfg(test)]
mod testing;
pub mod throttle;
pub mod wrap;

#[cfg(any(test, feature = "testing"))]
pub use fault::FaultStore;
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use patience::Patience;
pub use retry::{Repeats, RetryPolicy, RetryStore};
pub use s3::{S3Access, S3OpenError, S3Place, S3Store};
pub use throttle::{Limit, Limits, Rate, ThrottleStore};

/// The kinds of files a repository has (docs/format.md, "Files").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// Password slots.
    Key,
    /// Packs: many encrypted chunks in one file.
    Data,
    /// Which chunk lies in which pack.
    Index,
    /// Recovery points.
    Snapshot,
    /// Who is working here.
    Lock,
    /// Which packs are to go (docs/format.md, "Pruning").
    Mark,
    /// Room that is given up when there is no other.
    Ballast,
}

/// The name of one file of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    /// The one file with a fixed name.
    Config,
    /// A file named by the SHA-256 of its stored bytes.
    Hashed(FileKind, Digest),
}

/// One entry of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The file's id.
    pub id: Digest,
    /// Its size as stored.
    pub size: ByteCount,
}

/// A store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such file.
    #[error("{name} does not exist in {location}")]
    NotFound {
        /// The file.
        name: FileName,
        /// The store.
        location: String,
    },
    /// The file is there already, and this name is never written twice.
    #[error("{name} already exists in {location}")]
    Exists {
        /// The file.
        name: FileName,
        /// The store.
        location: String,
    },
    /// No room is left, or a quota is reached.
    #[error("no space left for {name} in {location}")]
    Full {
        /// The file.
        name: FileName,
        /// The store.
        location: String,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// A file is shorter than the range asked for.
    #[error("{name} in {location} has {size}, too few for {len} bytes at {at}")]
    Short {
        /// The file.
        name: FileName,
        /// The store.
        location: String,
        /// First byte asked for.
        at: u64,
        /// Number of bytes asked for.
        len: u64,
        /// The file's size.
        size: ByteCount,
    },
    /// The store said that it has a file, and it has not, or not all of it.
    #[error("{location} accepted {name} and {}", match found {
        None => "does not have it".to_owned(),
        Some(found) => format!("has {found} of it instead of {expected}"),
    })]
    NotKept {
        /// The file.
        name: FileName,
        /// The store.
        location: String,
        /// What was handed over.
        expected: ByteCount,
        /// What is there.
        found: Option<ByteCount>,
    },
    /// The store gave back other bytes than it was given.
    #[error("{location} has {name} with other bytes than it was given")]
    Altered {
        /// The file.
        name: FileName,
        /// The store.
        location: String,
    },
    /// The store itself cannot be used as it is; the text says why and what to do.
    #[error("{location}: {why}")]
    Unusable {
        /// The store.
        location: String,
        /// Why, and the remedy.
        why: String,
    },
    /// A stop was asked for while an operation waited for its turn or for its next try; it was not done.
    #[error("stopped while an operation in {location} had to wait")]
    Stopped {
        /// The store.
        location: String,
        /// Why it was to be tried again; none where it only waited for its turn.
        #[source]
        cause: Option<Box<StoreError>>,
    },
    /// Anything else that the system refused.
    #[error("cannot {doing} {what} in {location}")]
    Io {
        /// The operation as a verb.
        doing: &'static str,
        /// The file or folder.
        what: String,
        /// The store.
        location: String,
        /// The cause.
        #[source]
        cause: io::Error,
    },
}

/// Whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same call may succeed later.
    Later,
    /// The answer is final.
    Never,
}

/// What the system refuses now it refuses the next time, until somebody changes something. Everything else may pass:
/// disks that stumble, servers that restart, connections that break, and what we do not know.
const REFUSALS: &[io::ErrorKind] = &[
    io::ErrorKind::NotFound,
    io::ErrorKind::PermissionDenied,
    io::ErrorKind::AlreadyExists,
    io::ErrorKind::NotADirectory,
    io::ErrorKind::IsADirectory,
    io::ErrorKind::DirectoryNotEmpty,
    io::ErrorKind::ReadOnlyFilesystem,
    io::ErrorKind::StorageFull,
    io::ErrorKind::QuotaExceeded,
    io::ErrorKind::FileTooLarge,
    io::ErrorKind::CrossesDevices,
    io::ErrorKind::TooManyLinks,
    io::ErrorKind::InvalidFilename,
    io::ErrorKind::InvalidInput,
    io::ErrorKind::InvalidData,
    io::ErrorKind::Unsupported,
];

impl StoreError {
    /// Whether trying the same call again may help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::NotFound { .. }
            | Self::Exists { .. }
            | Self::Short { .. }
            | Self::NotKept { .. }
            | Self::Altered { .. }
            | Self::Full { .. }
            | Self::Unusable { .. }
            | Self::Stopped { .. } => Retry::Never,
            Self::Io { cause, .. } if REFUSALS.contains(&cause.kind()) => Retry::Never,
            Self::Io { .. } => Retry::Later,
        }
    }

    /// Whether the answer was that there is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// A place that keeps the files of one repository. All methods may be called by many threads at once.
pub trait ObjectStore: fmt::Debug + Send + Sync {
    /// Where this store is, as a person would write it, without secrets.
    fn location(&self) -> &str;

    /// Stores `bytes` under `name`, whole or not at all; when it returns, they survive a power failure.
    ///
    /// A hashed name that exists is replaced (the bytes are the same by its meaning). Errors: [`StoreError::Exists`]
    /// for [`FileName::Config`] when there is one, [`StoreError::Full`], [`StoreError::Io`].
    fn put(&self, name: FileName, bytes: &[u8]) -> Result<(), StoreError>;

    /// The whole file. Errors: [`StoreError::NotFound`], [`StoreError::Io`].
    fn get(&self, name: FileName) -> Result<Vec<u8>, StoreError>;

    /// Fills `into` from byte `at` of the file. Errors: [`StoreError::NotFound`], [`StoreError::Short`],
    /// [`StoreError::Io`].
    fn get_range(&self, name: FileName, at: u64, into: &mut [u8]) -> Result<(), StoreError>;

    /// The size of the file. Errors: [`StoreError::NotFound`], [`StoreError::Io`].
    fn size(&self, name: FileName) -> Result<ByteCount, StoreError>;

    /// When the file was stored, by the store's own clock; none where the store does not say. Errors: as
    /// [`ObjectStore::size`].
    ///
    /// Only differences between two such times of one store mean anything.
    fn stored_at(&self, name: FileName) -> Result<Option<Timestamp>, StoreError> {
        self.size(name).map(|_size| None)
    }

    /// All files of a kind, sorted by id, each once; files whose names are no ids are passed over.
    fn list(&self, kind: FileKind) -> Result<Vec<Listed>, StoreError>;

    /// Removes the file. Errors: [`StoreError::NotFound`], [`StoreError::Io`].
    fn remove(&self, name: FileName) -> Result<(), StoreError>;

    /// How much more can be stored; none where the store has no disk of its own that could be full, or does not say.
    fn room(&self) -> Option<ByteCount> {
        None
    }
}

impl FileKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Key, Self::Data, Self::Index, Self::Snapshot, Self::Lock, Self::Mark, Self::Ballast];

    /// The folder where files of this kind lie.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Key => "keys",
            Self::Data => "data",
            Self::Index => "index",
            Self::Snapshot => "snapshots",
            Self::Lock => "locks",
            Self::Mark => "sonae/marks",
            Self::Ballast => "sonae/ballast",
        }
    }
}

/// The path of the file inside a repository, with `/` as separator: `data/0a/0a1b…`, `config`.
impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config => f.write_str("config"),
            Self::Hashed(FileKind::Data, id) => write!(f, "data/{:02x}/{id}", id.as_bytes()[0]),
            Self::Hashed(kind, id) => write!(f, "{}/{id}", kind.folder()),
        }
    }
}
