//! Repositories by address: created, opened, described.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sonae_repo::Repository;
use sonae_repo::crypto::{KdfCost, Password};
use sonae_repo::environment::Environment;
use sonae_repo::repository::OpenError;
use sonae_repo::store::{FileKind, LocalStore, ObjectStore, StoreError};
use sonae_text::keys;
use sonae_types::{ByteCount, Digest, Message};

use crate::failure::{Failure, Fault};

/// Where a repository lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A folder on this machine.
    Folder(PathBuf),
}

/// What `sonae repo init` made.
#[derive(Debug, Serialize)]
pub struct InitReport {
    /// Where.
    pub location: String,
    /// The new repository's id.
    pub id: Digest,
}

/// What `sonae repo info` tells.
#[derive(Debug, Serialize)]
pub struct InfoReport {
    /// Where it lies.
    pub location: String,
    /// Its id.
    pub id: Digest,
    /// Its format version.
    pub version: u32,
    /// Number of password slots.
    pub keys: usize,
    /// Number of points, damaged ones not counted.
    pub points: usize,
    /// Number of packs.
    pub packs: usize,
    /// Number of different places that chunks and listings have.
    pub chunks: usize,
    /// Bytes of all packs.
    pub stored_bytes: ByteCount,
    /// Bytes of all chunks before compression.
    pub plain_bytes: ByteCount,
}

impl Address {
    /// The address that a text names: a path, or `local:PATH`. Errors: empty, or a kind that is not known.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let refused = || {
            Failure::new(Fault::WrongUse, Message::new(keys::ERROR_REPOSITORY_ADDRESS).with("location", text))
                .remedy(Message::new(keys::REMEDY_REPOSITORY_ADDRESS))
        };
        let path = text.strip_prefix("local:").unwrap_or(text);
        if path.is_empty() {
            return Err(refused());
        }
        // `s3:`, `sftp:` and the like are addresses of plain restic; a folder of such a name would be a surprise.
        match text.split_once(':') {
            Some((kind, _)) if kind != "local" && !kind.contains('/') && !Path::new(text).exists() => {
                Err(refused())
            }
            _ => Ok(Self::Folder(PathBuf::from(path))),
        }
    }
}

/// Creates a repository. Errors: no empty place there, an empty password.
pub fn init(address: &Address, environment: Environment, password: &Password) -> Result<InitReport, Failure> {
    let Address::Folder(path) = address;
    let location = path.display().to_string();
    let store = LocalStore::create(path).map_err(|error| not_created(path, error))?;
    let repository = Repository::init(Arc::new(store), environment, password, KdfCost::STANDARD)?;
    Ok(InitReport { location, id: repository.config().id })
}

fn not_created(path: &Path, error: StoreError) -> Failure {
    if matches!(error, StoreError::Unusable { .. }) && holds_backups(path) {
        return OpenError::ConfigMissing { location: path.display().to_string() }.into();
    }
    let (message, remedy) = match error {
        StoreError::Exists { .. } => (keys::ERROR_REPOSITORY_EXISTS, keys::REMEDY_REPOSITORY_EXISTS),
        StoreError::Unusable { .. } if path.is_dir() => {
            (keys::ERROR_REPOSITORY_NOT_EMPTY, keys::REMEDY_REPOSITORY_NOT_EMPTY)
        }
        StoreError::Unusable { .. } => (keys::ERROR_REPOSITORY_NOT_MADE, keys::REMEDY_REPOSITORY_NOT_MADE),
        StoreError::NotFound { .. }
        | StoreError::Full { .. }
        | StoreError::Short { .. }
        | StoreError::Io { .. } => return error.into(),
    };
    Failure::new(Fault::WrongUse, Message::new(message).with("location", path.display()))
        .remedy(Message::new(remedy))
        .because(error)
}

/// Whether files of a repository lie there, as after its configuration was lost.
fn holds_backups(path: &Path) -> bool {
    let Ok(store) = LocalStore::open(path) else { return false };
    let kinds = [FileKind::Data, FileKind::Index, FileKind::Snapshot];
    kinds.iter().any(|kind| store.list(*kind).is_ok_and(|files| !files.is_empty()))
}

/// Opens a repository. Costs one key derivation for each password slot tried.
pub fn open(address: &Address, environment: Environment, password: &Password) -> Result<Repository, Failure> {
    let Address::Folder(path) = address;
    let missing = || {
        Failure::new(
            Fault::NoRepository,
            Message::new(keys::ERROR_REPOSITORY_MISSING).with("location", path.display()),
        )
        .remedy(Message::new(keys::REMEDY_REPOSITORY_MISSING))
    };
    let store: Arc<dyn ObjectStore> = match LocalStore::open(path) {
        Ok(store) => Arc::new(store),
        Err(error) if !path.is_dir() => return Err(missing().because(error)),
        Err(error) => return Err(error.into()),
    };
    Ok(Repository::open(store, environment, password)?)
}

/// Describes an open repository.
pub fn info(repository: &Repository) -> Result<InfoReport, Failure> {
    let points = repository.points()?;
    let index = repository.load_index()?;
    let packs = repository.store().list(FileKind::Data)?;
    Ok(InfoReport {
        location: repository.store().location().to_owned(),
        id: repository.config().id,
        version: repository.config().version,
        keys: repository.store().list(FileKind::Key)?.len(),
        points: points.good.iter().filter(|point| !point.snapshot.is_proof()).count(),
        packs: packs.len(),
        chunks: index.len(),
        stored_bytes: packs.iter().map(|pack| pack.size).sum(),
        plain_bytes: index.iter().map(|place| ByteCount::new(u64::from(place.blob.plain_len()))).sum(),
    })
}
