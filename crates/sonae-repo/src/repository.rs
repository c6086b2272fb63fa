//! A repository: created, opened by a password, and its password slots.

use std::sync::Arc;

use sonae_types::{ByteCount, Digest};

use crate::config::{Config, ConfigError};
use crate::crypto::{CipherKey, KdfCost, KeyMaterial, Password};
use crate::environment::Environment;
use crate::keep::{Confirm, keep};
use crate::key_file::{KeyFile, KeyFileError};
use crate::pack::{PACK_BYTES, PACK_BYTES_MAX};
use crate::store::{FileKind, FileName, Listed, ObjectStore, StoreError};
use crate::unpacked::encode_unpacked;

/// Most password slots that are tried, as in plain restic: each try costs a key derivation.
pub const KEYS_TRIED_MAX: usize = 20;

/// An open repository: its store and its keys. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) environment: Environment,
    pub(crate) key: CipherKey,
    master: KeyMaterial,
    config: Config,
    opened_by: Digest,
    /// The size at which packs are closed.
    pub(crate) pack_bytes: usize,
}

/// A repository cannot be created or opened, or a password slot cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing of a repository is there.
    #[error("there is no repository in {location}")]
    NoRepository {
        /// The store.
        location: String,
    },
    /// There is one already.
    #[error("{location} already holds a repository")]
    Exists {
        /// The store.
        location: String,
    },
    /// The configuration is gone while other files are there: never taken for an empty place.
    #[error("{location} holds files of a repository, but its config is missing")]
    ConfigMissing {
        /// The store.
        location: String,
    },
    /// There is no password slot at all.
    #[error("{location} has no key file, so no password can open it")]
    NoKeys {
        /// The store.
        location: String,
    },
    /// Every slot that was tried is sound and wants another password.
    #[error("the password opens none of the {tried} key files tried, of {total}, in {location}")]
    WrongPassword {
        /// The store.
        location: String,
        /// How many were tried.
        tried: usize,
        /// How many there are.
        total: usize,
    },
    /// No slot opened, and at least one of them is damaged.
    #[error("key file {id} in {location} cannot be used, and the password opens no other")]
    KeyDamaged {
        /// The store.
        location: String,
        /// The first damaged one.
        id: Digest,
        /// What is wrong with it.
        #[source]
        cause: KeyFileError,
    },
    /// The configuration cannot be used.
    #[error("the config of {location} cannot be used")]
    Config {
        /// The store.
        location: String,
        /// Why.
        #[source]
        cause: ConfigError,
    },
    /// A new password is empty.
    #[error("the new password is empty")]
    EmptyPassword,
    /// The slot is the one that opened the repository.
    #[error("key {id} is the one in use")]
    KeyInUse {
        /// The slot.
        id: Digest,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One password slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySlot {
    /// Its file.
    pub id: Digest,
    /// Its content; none when it is damaged.
    pub file: Option<KeyFile>,
    /// Whether it opened this repository.
    pub usage: KeyUsage,
}

/// Whether a slot is the one in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUsage {
    /// It opened this repository.
    Current,
    /// It did not.
    Other,
}

impl Repository {
    /// Creates a repository in an empty store and opens it.
    ///
    /// The key file is written before the configuration, so that a crash between the two leaves nothing that looks like
    /// a repository. Errors: [`OpenError::Exists`], [`OpenError::ConfigMissing`], [`OpenError::EmptyPassword`].
    pub fn init(
        store: Arc<dyn ObjectStore>,
        environment: Environment,
        password: &Password,
        cost: KdfCost,
    ) -> Result<Self, OpenError> {
        let config = Config::generate(&*environment.entropy);
        Self::init_as(store, environment, password, cost, config)
    }

    /// As [`Repository::init`], with a repository that cuts disks where `self` cuts them: what is copied from one to
    /// the other is recognised by later backups.
    pub fn init_alike(
        &self,
        store: Arc<dyn ObjectStore>,
        password: &Password,
        cost: KdfCost,
    ) -> Result<Self, OpenError> {
        let environment = self.environment.clone();
        let config = Config::generate(&*environment.entropy);
        let config = Config { chunker_polynomial: self.config.chunker_polynomial.clone(), ..config };
        Self::init_as(store, environment, password, cost, config)
    }

    fn init_as(
        store: Arc<dyn ObjectStore>,
        environment: Environment,
        password: &Password,
        cost: KdfCost,
        config: Config,
    ) -> Result<Self, OpenError> {
        if password.is_empty() {
            return Err(OpenError::EmptyPassword);
        }
        let location = || store.location().to_owned();
        match store.size(FileName::Config) {
            Ok(_) => return Err(OpenError::Exists { location: location() }),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        for kind in [FileKind::Data, FileKind::Index, FileKind::Snapshot] {
            if !store.list(kind)?.is_empty() {
                return Err(OpenError::ConfigMissing { location: location() });
            }
        }
        let master = KeyMaterial::generate(&*environment.entropy);
        let key = CipherKey::new(&master);
        let (opened_by, bytes) = KeyFile::create(&environment, &master, password, cost).encode();
        keep(&*store, FileName::Hashed(FileKind::Key, opened_by), &bytes, Confirm::Bytes)?;
        let sealed = config.encode(&key, &*environment.entropy);
        match keep(&*store, FileName::Config, &sealed, Confirm::Bytes) {
            Ok(()) => Ok(Self { store, environment, key, master, config, opened_by, pack_bytes: PACK_BYTES }),
            Err(error) => {
                // Another init was faster, or the place is full: our slot would open nothing.
                let left = store.remove(FileName::Hashed(FileKind::Key, opened_by));
                match (error, left) {
                    (StoreError::Exists { .. }, _) => Err(OpenError::Exists { location: location() }),
                    (error, _) => Err(error.into()),
                }
            }
        }
    }

    /// Opens a repository. Costs one key derivation for each slot tried. Errors: [`OpenError`].
    pub fn open(
        store: Arc<dyn ObjectStore>,
        environment: Environment,
        password: &Password,
    ) -> Result<Self, OpenError> {
        let location = || store.location().to_owned();
        let unusable = |cause| OpenError::Config { location: location(), cause };
        let size = match store.size(FileName::Config) {
            Ok(size) => size,
            Err(error) if error.is_not_found() => return Err(missing_config(&*store)),
            Err(error) => return Err(error.into()),
        };
        Config::check_size(size).map_err(unusable)?;
        let sealed = store.get(FileName::Config)?;
        let (opened_by, master) = open_any_key(&*store, password)?;
        let key = CipherKey::new(&master);
        let config = Config::decode(&key, &sealed).map_err(unusable)?;
        Ok(Self { store, environment, key, master, config, opened_by, pack_bytes: PACK_BYTES })
    }

    /// The same repository, with packs closed at this size from now on.
    ///
    /// Small packs make many files; the default, [`PACK_BYTES`], suits folders and object stores alike.
    #[must_use]
    pub fn with_packs_of(self, size: ByteCount) -> Self {
        Self { pack_bytes: size.as_len().clamp(1, PACK_BYTES_MAX), ..self }
    }

    /// The repository in a store whose own configuration or key files are damaged, with the keys of a copy of it; none
    /// where nothing there shows that it is the same repository.
    #[must_use]
    pub fn adopt(&self, store: Arc<dyn ObjectStore>) -> Option<Self> {
        let adopted = Self { store, ..self.clone() };
        let readable = |kind: FileKind| {
            adopted
                .store
                .list(kind)
                .is_ok_and(|files| files.iter().any(|file| adopted.unpacked(kind, file).is_ok()))
        };
        (readable(FileKind::Snapshot) || readable(FileKind::Index)).then_some(adopted)
    }

    /// Whether both have the same key, so that files of one can be read in the other.
    #[must_use]
    pub fn has_key_of(&self, other: &Self) -> bool {
        let (one, other) = (&self.master, &other.master);
        one.encrypt == other.encrypt && one.mac_k == other.mac_k && one.mac_r == other.mac_r
    }

    /// A configuration in its stored bytes, if it is sealed with this repository's key.
    pub fn decode_config(&self, sealed: &[u8]) -> Result<Config, ConfigError> {
        Config::decode(&self.key, sealed)
    }

    /// The slot that opened it.
    #[must_use]
    pub fn opened_by(&self) -> Digest {
        self.opened_by
    }

    /// What the repository is.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where its files lie.
    #[must_use]
    pub fn store(&self) -> &dyn ObjectStore {
        &*self.store
    }

    /// The world it was opened in.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The stored form of an unpacked file, and its name.
    #[must_use]
    pub fn encode_unpacked(&self, json: &[u8]) -> (Digest, Vec<u8>) {
        encode_unpacked(&self.key, &*self.environment.entropy, self.config.compression(), json)
    }

    /// All password slots, damaged ones included.
    pub fn keys(&self) -> Result<Vec<KeySlot>, OpenError> {
        let slots = self.store.list(FileKind::Key)?.into_iter().map(|Listed { id, size }| {
            let usage = if id == self.opened_by { KeyUsage::Current } else { KeyUsage::Other };
            if KeyFile::check_size(size).is_err() {
                return Ok(KeySlot { id, file: None, usage });
            }
            let bytes = self.store.get(FileName::Hashed(FileKind::Key, id))?;
            Ok(KeySlot { id, file: KeyFile::decode(id, &bytes).ok(), usage })
        });
        slots.collect()
    }

    /// Adds a slot, so that another password opens the repository too. Errors: [`OpenError::EmptyPassword`].
    pub fn add_key(&self, password: &Password, cost: KdfCost) -> Result<Digest, OpenError> {
        if password.is_empty() {
            return Err(OpenError::EmptyPassword);
        }
        let (id, bytes) = KeyFile::create(&self.environment, &self.master, password, cost).encode();
        keep(&*self.store, FileName::Hashed(FileKind::Key, id), &bytes, Confirm::Bytes)?;
        Ok(id)
    }

    /// Removes a slot. Errors: [`OpenError::KeyInUse`] for the one that opened this repository, so that the last working
    /// password can never be removed.
    pub fn remove_key(&self, id: Digest) -> Result<(), OpenError> {
        if id == self.opened_by {
            return Err(OpenError::KeyInUse { id });
        }
        Ok(self.store.remove(FileName::Hashed(FileKind::Key, id))?)
    }
}

/// What it means that a place has no configuration.
#[must_use]
pub fn missing_config(store: &dyn ObjectStore) -> OpenError {
    let location = store.location().to_owned();
    // A listing that fails says nothing about files being there; the missing config is what is certain.
    let holds_files = FileKind::ALL.iter().any(|kind| store.list(*kind).is_ok_and(|files| !files.is_empty()));
    if holds_files { OpenError::ConfigMissing { location } } else { OpenError::NoRepository { location } }
}

fn open_any_key(store: &dyn ObjectStore, password: &Password) -> Result<(Digest, KeyMaterial), OpenError> {
    let location = || store.location().to_owned();
    let files = store.list(FileKind::Key)?;
    let mut damaged = None;
    for Listed { id, size } in files.iter().take(KEYS_TRIED_MAX) {
        if let Err(cause) = KeyFile::check_size(*size) {
            damaged = damaged.or(Some((*id, cause)));
            continue;
        }
        let bytes = match store.get(FileName::Hashed(FileKind::Key, *id)) {
            Ok(bytes) => bytes,
            // Removed since the listing; the other slots are as good.
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error.into()),
        };
        match KeyFile::decode(*id, &bytes).and_then(|file| file.open(password)) {
            Ok(master) => return Ok((*id, master)),
            Err(KeyFileError::WrongPassword(_)) => {}
            Err(cause) => damaged = damaged.or(Some((*id, cause))),
        }
    }
    match damaged {
        Some((id, cause)) => Err(OpenError::KeyDamaged { location: location(), id, cause }),
        None if files.is_empty() => Err(OpenError::NoKeys { location: location() }),
        None => Err(OpenError::WrongPassword {
            location: location(),
            tried: files.len().min(KEYS_TRIED_MAX),
            total: files.len(),
        }),
    }
}
