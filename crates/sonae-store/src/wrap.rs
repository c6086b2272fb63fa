//! One way to wrap a store: every operation passes one place, as a value.
//!
//! A wrapper says in [`Around::around`] what becomes of a [`Call`]: it may run it on the store inside never, once or
//! several times, and may change the answer. It needs not know more of the operations than it cares for.

use std::fmt;
use std::io;
use std::sync::Arc;

use sonae_types::{ByteCount, Timestamp};

use super::{FileKind, FileName, Listed, ObjectStore, StoreError};

/// What can be asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// [`ObjectStore::put`].
    Put,
    /// [`ObjectStore::get`].
    Get,
    /// [`ObjectStore::get_range`].
    GetRange,
    /// [`ObjectStore::size`].
    Size,
    /// [`ObjectStore::stored_at`].
    StoredAt,
    /// [`ObjectStore::list`].
    List,
    /// [`ObjectStore::remove`].
    Remove,
}

/// What an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// One file.
    File(FileName),
    /// All files of a kind.
    All(FileKind),
}

/// One operation on its way to a store. Its `Debug` form names it and leaves its bytes out.
pub enum Call<'a> {
    /// [`ObjectStore::put`], answered by [`Answer::Done`].
    Put {
        /// The file.
        name: FileName,
        /// What it shall hold.
        bytes: &'a [u8],
    },
    /// [`ObjectStore::get`], answered by [`Answer::Bytes`].
    Get {
        /// The file.
        name: FileName,
    },
    /// [`ObjectStore::get_range`], answered by [`Answer::Done`].
    GetRange {
        /// The file.
        name: FileName,
        /// The first byte.
        at: u64,
        /// Where the bytes go.
        into: &'a mut [u8],
    },
    /// [`ObjectStore::size`], answered by [`Answer::Size`].
    Size {
        /// The file.
        name: FileName,
    },
    /// [`ObjectStore::stored_at`], answered by [`Answer::StoredAt`].
    StoredAt {
        /// The file.
        name: FileName,
    },
    /// [`ObjectStore::list`], answered by [`Answer::Listing`].
    List {
        /// The kind.
        kind: FileKind,
    },
    /// [`ObjectStore::remove`], answered by [`Answer::Done`].
    Remove {
        /// The file.
        name: FileName,
    },
}

/// What a store answered.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was done.
    Done,
    /// The whole file.
    Bytes(Vec<u8>),
    /// The size of the file.
    Size(ByteCount),
    /// When the file was stored, where the store says so.
    StoredAt(Option<Timestamp>),
    /// The files of a kind.
    Listing(Vec<Listed>),
}

/// What a wrapper does with every operation.
pub trait Around: fmt::Debug + Send + Sync {
    /// Carries out `call` on `inner` in the wrapper's way.
    ///
    /// What is answered without error is of the kind that the call asks for; anything else is a bug and panics.
    fn around(&self, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Result<Answer, StoreError>;
}

/// A store with a wrapper around it.
#[derive(Debug)]
pub struct Wrapped<A> {
    around: A,
    inner: Arc<dyn ObjectStore>,
}

/// Says why a panic is our bug: an answer was not of the kind that its call asks for.
const MISMATCH: &str = "a wrapper answers what was asked";

impl Call<'_> {
    /// Carries the call out on a store.
    pub fn run(&mut self, store: &dyn ObjectStore) -> Result<Answer, StoreError> {
        match self {
            Self::Put { name, bytes } => store.put(*name, bytes).map(|()| Answer::Done),
            Self::Get { name } => store.get(*name).map(Answer::Bytes),
            Self::GetRange { name, at, into } => store.get_range(*name, *at, into).map(|()| Answer::Done),
            Self::Size { name } => store.size(*name).map(Answer::Size),
            Self::StoredAt { name } => store.stored_at(*name).map(Answer::StoredAt),
            Self::List { kind } => store.list(*kind).map(Answer::Listing),
            Self::Remove { name } => store.remove(*name).map(|()| Answer::Done),
        }
    }

    /// What is asked.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match self {
            Self::Put { .. } => Verb::Put,
            Self::Get { .. } => Verb::Get,
            Self::GetRange { .. } => Verb::GetRange,
            Self::Size { .. } => Verb::Size,
            Self::StoredAt { .. } => Verb::StoredAt,
            Self::List { .. } => Verb::List,
            Self::Remove { .. } => Verb::Remove,
        }
    }

    /// What it is about.
    #[must_use]
    pub fn target(&self) -> Target {
        match self {
            Self::Put { name, .. }
            | Self::Get { name }
            | Self::GetRange { name, .. }
            | Self::Size { name }
            | Self::StoredAt { name }
            | Self::Remove { name } => Target::File(*name),
            Self::List { kind } => Target::All(*kind),
        }
    }

    /// How many bytes of files it carries, as far as that is known before it has run: not for [`Call::Get`].
    #[must_use]
    pub fn bytes(&self) -> ByteCount {
        match self {
            Self::Put { bytes, .. } => ByteCount::of_len(bytes.len()),
            Self::GetRange { into, .. } => ByteCount::of_len(into.len()),
            Self::Get { .. }
            | Self::Size { .. }
            | Self::StoredAt { .. }
            | Self::List { .. }
            | Self::Remove { .. } => ByteCount::ZERO,
        }
    }

    /// The error that this call failed in the store at `location`, and why.
    #[must_use]
    pub fn failed(&self, location: &str, cause: io::Error) -> StoreError {
        let doing = match self.verb() {
            Verb::Put => "write",
            Verb::Get | Verb::GetRange => "read",
            Verb::Size | Verb::StoredAt => "look up",
            Verb::List => "list",
            Verb::Remove => "remove",
        };
        StoreError::Io { doing, what: self.target().to_string(), location: location.to_owned(), cause }
    }
}

impl<A> Wrapped<A> {
    /// Puts a wrapper around a store.
    #[must_use]
    pub fn around(inner: Arc<dyn ObjectStore>, around: A) -> Self {
        Self { around, inner }
    }

    /// The wrapper.
    #[must_use]
    pub fn wrapper(&self) -> &A {
        &self.around
    }
}

impl<A: Around> Wrapped<A> {
    fn call(&self, mut call: Call<'_>) -> Result<Answer, StoreError> {
        self.around.around(&mut call, &*self.inner)
    }
}

impl<A: Around> ObjectStore for Wrapped<A> {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn put(&self, name: FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.call(Call::Put { name, bytes }).map(Answer::done)
    }

    fn get(&self, name: FileName) -> Result<Vec<u8>, StoreError> {
        self.call(Call::Get { name }).map(Answer::bytes)
    }

    fn get_range(&self, name: FileName, at: u64, into: &mut [u8]) -> Result<(), StoreError> {
        self.call(Call::GetRange { name, at, into }).map(Answer::done)
    }

    fn size(&self, name: FileName) -> Result<ByteCount, StoreError> {
        self.call(Call::Size { name }).map(Answer::size)
    }

    fn stored_at(&self, name: FileName) -> Result<Option<Timestamp>, StoreError> {
        self.call(Call::StoredAt { name }).map(Answer::stored_at)
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>, StoreError> {
        self.call(Call::List { kind }).map(Answer::listing)
    }

    fn remove(&self, name: FileName) -> Result<(), StoreError> {
        self.call(Call::Remove { name }).map(Answer::done)
    }

    fn room(&self) -> Option<ByteCount> {
        self.inner.room()
    }
}

impl Answer {
    fn done(self) {
        assert!(self == Self::Done, "{MISMATCH}: {self:?}");
    }

    fn bytes(self) -> Vec<u8> {
        let Self::Bytes(bytes) = self else { panic!("{MISMATCH}: {self:?}") };
        bytes
    }

    fn size(self) -> ByteCount {
        let Self::Size(size) = self else { panic!("{MISMATCH}: {self:?}") };
        size
    }

    fn stored_at(self) -> Option<Timestamp> {
        let Self::StoredAt(time) = self else { panic!("{MISMATCH}: {self:?}") };
        time
    }

    fn listing(self) -> Vec<Listed> {
        let Self::Listing(files) = self else { panic!("{MISMATCH}: {self:?}") };
        files
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Bytes(bytes) => write!(f, "{}", ByteCount::of_len(bytes.len())),
            Self::Size(size) => write!(f, "a size of {size}"),
            Self::StoredAt(time) => write!(f, "stored at {time:?}"),
            Self::Listing(files) => write!(f, "{} files", files.len()),
        }
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} ({})", self.verb(), self.target(), self.bytes())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name) => write!(f, "{name}"),
            Self::All(kind) => f.write_str(kind.folder()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::testing::check_contract;

    #[derive(Debug)]
    struct Through;

    impl Around for Through {
        fn around(&self, call: &mut Call<'_>, inner: &dyn ObjectStore) -> Result<Answer, StoreError> {
            call.run(inner)
        }
    }

    #[derive(Debug)]
    struct DoneIsAllItSays;

    impl Around for DoneIsAllItSays {
        fn around(&self, _call: &mut Call<'_>, _inner: &dyn ObjectStore) -> Result<Answer, StoreError> {
            Ok(Answer::Done)
        }
    }

    #[test]
    fn a_wrapper_that_does_nothing_keeps_the_contract_of_stores() {
        check_contract(|inner| Wrapped::around(inner, Through));
    }

    #[test]
    fn a_wrapper_answers_as_the_store_does_when_a_file_was_stored() {
        let temp = tempfile::tempdir().unwrap();
        let local = Arc::new(crate::LocalStore::create(&temp.path().join("repository")).unwrap());
        local.put(FileName::Config, b"config").unwrap();
        let wrapped = Wrapped::around(Arc::clone(&local) as Arc<dyn ObjectStore>, Through);
        let told = wrapped.stored_at(FileName::Config).unwrap();
        assert!(told.is_some());
        assert_eq!(told, local.stored_at(FileName::Config).unwrap());
        assert_eq!(wrapped.location(), local.location());
    }

    #[test]
    #[should_panic(expected = "a wrapper answers what was asked: done")]
    fn an_empty_listing_is_never_made_up() {
        drop(Wrapped::around(Arc::new(MemoryStore::new()), DoneIsAllItSays).list(FileKind::Lock));
    }
}
