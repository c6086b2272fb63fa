//! Why an operation did not succeed: a class for programs, a message and a remedy for people, the cause for the log.

use std::error::Error;
use std::io::ErrorKind;

use sonae_repo::check::CheckError;
use sonae_repo::config::ConfigError;
use sonae_repo::environment::Stopped;
use sonae_repo::ingest::IngestError;
use sonae_repo::lock::LockError;
use sonae_repo::reader::ReadError;
use sonae_repo::repository::OpenError;
use sonae_repo::store::{FileKind, FileName, StoreError};
use sonae_repo::time::from_rfc3339;
use sonae_text::{date, keys};
use sonae_types::Message;

/// The class of a failure; each has its exit code (docs/errors.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Wrong use or configuration; an unknown point, disk or machine too.
    WrongUse,
    /// Our own fault, or the machine's.
    OurFault,
    /// A source could not be read whole; no good point was recorded.
    SourceUnreadable,
    /// There is no repository.
    NoRepository,
    /// Somebody else works there.
    Locked,
    /// The password opens nothing.
    WrongPassword,
    /// The repository is damaged.
    DamageFound,
    /// There is nothing that could prove it.
    NotProven,
    /// Asked to stop.
    Interrupted,
}

/// Why an operation did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{}", message.key.as_str())]
pub struct Failure {
    /// Its class.
    pub fault: Fault,
    /// What happened, to what, where.
    pub message: Message,
    /// What to do.
    pub remedy: Option<Message>,
    /// The technical cause.
    #[source]
    pub cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure with a message alone.
    #[must_use]
    pub fn new(fault: Fault, message: Message) -> Self {
        Self { fault, message, remedy: None, cause: None }
    }

    /// The failure with what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: Message) -> Self {
        self.remedy = Some(remedy);
        self
    }

    /// The failure with its technical cause.
    #[must_use]
    pub fn because(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    /// The failure with a technical cause of which only the text is left.
    #[must_use]
    pub fn because_text(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into().into());
        self
    }

    /// A fault of ours.
    #[must_use]
    pub fn internal(cause: impl Error + Send + Sync + 'static) -> Self {
        Self::new(Fault::OurFault, Message::new(keys::ERROR_INTERNAL_FAULT))
            .remedy(Message::new(keys::REMEDY_INTERNAL_FAULT))
            .because(cause)
    }
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        Self::new(Fault::Interrupted, Message::new(keys::ERROR_RUN_INTERRUPTED))
            .remedy(Message::new(keys::REMEDY_RUN_INTERRUPTED))
            .because(stopped)
    }
}

/// What a system says that has no room for a file, or for its name.
const NO_ROOM: [ErrorKind; 2] = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (fault, message, remedy) = match &error {
            StoreError::NotFound { name, .. } => (
                Fault::DamageFound,
                Message::new(keys::ERROR_DAMAGE_MISSING).with("file", name),
                keys::REMEDY_DAMAGE_REPOSITORY,
            ),
            StoreError::Short { name, .. } => (
                Fault::DamageFound,
                Message::new(keys::ERROR_DAMAGE_FILE).with("file", name),
                keys::REMEDY_DAMAGE_REPOSITORY,
            ),
            StoreError::Full { location, .. } => (
                Fault::OurFault,
                Message::new(keys::ERROR_REPOSITORY_FULL).with("location", location),
                keys::REMEDY_REPOSITORY_FULL,
            ),
            StoreError::Io { location, cause, .. } if NO_ROOM.contains(&cause.kind()) => (
                Fault::OurFault,
                Message::new(keys::ERROR_REPOSITORY_FULL).with("location", location),
                keys::REMEDY_REPOSITORY_FULL,
            ),
            StoreError::NotKept { location, name, .. } | StoreError::Altered { location, name } => (
                Fault::OurFault,
                Message::new(keys::ERROR_REPOSITORY_NOT_KEPT).with("location", location).with("file", name),
                keys::REMEDY_REPOSITORY_NOT_KEPT,
            ),
            StoreError::Exists { location, .. } | StoreError::Io { location, .. } => (
                Fault::OurFault,
                Message::new(keys::ERROR_REPOSITORY_UNUSABLE).with("location", location),
                keys::REMEDY_REPOSITORY_UNUSABLE,
            ),
            StoreError::Stopped { .. } => {
                (Fault::Interrupted, Message::new(keys::ERROR_RUN_INTERRUPTED), keys::REMEDY_RUN_INTERRUPTED)
            }
            StoreError::Unusable { location, .. } => (
                Fault::WrongUse,
                Message::new(keys::ERROR_REPOSITORY_UNUSABLE).with("location", location),
                keys::REMEDY_REPOSITORY_UNUSABLE,
            ),
        };
        Self::new(fault, message).remedy(Message::new(remedy)).because(error)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let file = match error {
            ReadError::Store(error) => return error.into(),
            ReadError::NoSuchPath { point, ref path } => {
                return Self::new(
                    Fault::WrongUse,
                    Message::new(keys::ERROR_PATH_UNKNOWN).with("point", point.short()).with("path", path),
                )
                .remedy(Message::new(keys::REMEDY_PATH_UNKNOWN).with("point", point.short()));
            }
            ReadError::Unpacked { file, .. }
            | ReadError::Index { file, .. }
            | ReadError::Snapshot { file, .. } => file.to_string(),
            ReadError::Missing { id, .. } | ReadError::Tree { id, .. } => {
                return Self::new(
                    Fault::DamageFound,
                    Message::new(keys::ERROR_DAMAGE_PART).with("part", id.short()),
                )
                .remedy(Message::new(keys::REMEDY_DAMAGE_REPOSITORY))
                .because(error);
            }
            ReadError::Blob { pack, .. } | ReadError::Pack { pack, .. } => {
                FileName::Hashed(FileKind::Data, pack).to_string()
            }
        };
        damage(file).because(error)
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let (fault, message, remedy) = match error {
            LockError::Held { ref location, ref hostname, ref username, pid, ref since } => {
                let message = Message::new(keys::ERROR_LOCK_HELD)
                    .with("location", location)
                    .with("user", username)
                    .with("host", hostname);
                let since = from_rfc3339(since).map_or_else(|| since.clone(), date::stamp);
                let message = message.with("pid", pid).with("since", since);
                (Fault::Locked, message, keys::REMEDY_LOCK_HELD)
            }
            LockError::Unreadable { ref location, id, .. } => (
                Fault::Locked,
                Message::new(keys::ERROR_LOCK_UNREADABLE)
                    .with("location", location)
                    .with("file", format!("locks/{id}")),
                keys::REMEDY_LOCK_UNREADABLE,
            ),
            LockError::Lost { ref location } => {
                let message = Message::new(keys::ERROR_LOCK_LOST).with("location", location);
                (Fault::OurFault, message, keys::REMEDY_LOCK_LOST)
            }
            LockError::Store(error) => return error.into(),
        };
        Self::new(fault, message).remedy(Message::new(remedy)).because(error)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        if let OpenError::Store(error) = error {
            return error.into();
        }
        let at = |key, location: &String| Message::new(key).with("location", location);
        let (fault, message, remedy) = match &error {
            OpenError::NoRepository { location } => (
                Fault::NoRepository,
                at(keys::ERROR_REPOSITORY_MISSING, location),
                keys::REMEDY_REPOSITORY_MISSING,
            ),
            OpenError::Exists { location } => {
                (Fault::WrongUse, at(keys::ERROR_REPOSITORY_EXISTS, location), keys::REMEDY_REPOSITORY_EXISTS)
            }
            OpenError::ConfigMissing { location } => (
                Fault::DamageFound,
                at(keys::ERROR_REPOSITORY_CONFIG_MISSING, location),
                keys::REMEDY_REPOSITORY_CONFIG_MISSING,
            ),
            OpenError::NoKeys { location } => {
                (Fault::DamageFound, at(keys::ERROR_KEY_NONE, location), keys::REMEDY_KEY_NONE)
            }
            OpenError::WrongPassword { location, .. } => {
                (Fault::WrongPassword, at(keys::ERROR_PASSWORD_WRONG, location), keys::REMEDY_PASSWORD_WRONG)
            }
            OpenError::KeyDamaged { id, .. } => (
                Fault::DamageFound,
                Message::new(keys::ERROR_KEY_DAMAGED).with("key", id.short()),
                keys::REMEDY_KEY_DAMAGED,
            ),
            OpenError::Config { location, cause: ConfigError::Version { found } } => {
                let message = at(keys::ERROR_REPOSITORY_VERSION, location)
                    .with("found", found)
                    .with("supported", sonae_repo::config::VERSION);
                (Fault::WrongUse, message, keys::REMEDY_REPOSITORY_VERSION)
            }
            OpenError::Config { location, .. } => (
                Fault::DamageFound,
                at(keys::ERROR_REPOSITORY_CONFIG_DAMAGED, location),
                keys::REMEDY_REPOSITORY_CONFIG_DAMAGED,
            ),
            OpenError::EmptyPassword => (
                Fault::WrongUse,
                Message::new(keys::ERROR_PASSWORD_EMPTY).with("path", ""),
                keys::REMEDY_PASSWORD_EMPTY,
            ),
            OpenError::KeyInUse { id } => (
                Fault::WrongUse,
                Message::new(keys::ERROR_KEY_IN_USE).with("key", id.short()),
                keys::REMEDY_KEY_IN_USE,
            ),
            OpenError::Store(_) => return Self::internal(error),
        };
        Self::new(fault, message).remedy(Message::new(remedy)).because(error)
    }
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Read(error) => error.into(),
            CheckError::Stopped(stopped) => stopped.into(),
        }
    }
}

/// A failed ingest that is not the fault of a source; sources are named by whoever knows them.
pub(crate) fn ingest_failure(error: IngestError) -> Failure {
    match error {
        IngestError::Store(error) => error.into(),
        IngestError::Stopped(stopped) => stopped.into(),
        memory @ IngestError::Memory(_) => {
            Failure::new(Fault::OurFault, Message::new(keys::ERROR_DAMAGE_MEMORY))
                .remedy(Message::new(keys::REMEDY_DAMAGE_MEMORY))
                .because(memory)
        }
        source @ IngestError::Source { .. } => Failure::internal(source),
    }
}

/// Damage in a file of the repository.
pub(crate) fn damage(file: impl ToString) -> Failure {
    Failure::new(Fault::DamageFound, Message::new(keys::ERROR_DAMAGE_FILE).with("file", file))
        .remedy(Message::new(keys::REMEDY_DAMAGE_REPOSITORY))
}

/// The error and all its causes in one line, each said once.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}
