//! Repositories by address: created, opened, described.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sonae_repo::crypto::{KdfCost, Password};
use sonae_repo::environment::Environment;
use sonae_repo::repository::OpenError;
use sonae_repo::store::{
    FileKind, Limits, LocalStore, ObjectStore, Patience, Repeats, RetryPolicy, RetryStore, S3Access,
    S3OpenError, S3Place, S3Store, StoreError, ThrottleStore,
};
use sonae_repo::{Repository, Stop};
use sonae_text::keys;
use sonae_types::{ByteCount, Digest, Message};

use crate::failure::{Failure, Fault};

/// Where a repository lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A folder on this machine.
    Folder(PathBuf),
    /// A bucket of an object store, or a part of one.
    Bucket(S3Place),
}

/// How the place of a repository is worked with.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Ends every wait for the place as soon as it is asked for.
    pub stop: Stop,
    /// How fast files are written there and read from there.
    pub limits: Limits,
    /// How an object store is entered, where the place is in one.
    pub s3: S3Access,
    /// Counts the operations that had to be repeated.
    pub repeats: Repeats,
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
    /// The address that a text names: a path, `local:PATH`, or `s3:http://HOST:PORT/BUCKET/PREFIX` as in restic. Errors:
    /// empty, or a kind that is not known.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        // Where keys stand in an address, it is not told again.
        let shown = if text.contains('@') { "…" } else { text };
        let refused = || {
            Failure::new(
                Fault::WrongUse,
                Message::new(keys::ERROR_REPOSITORY_ADDRESS).with("location", shown),
            )
            .remedy(Message::new(keys::REMEDY_REPOSITORY_ADDRESS))
        };
        if let Some(place) = text.strip_prefix("s3:") {
            return S3Place::parse(place).map(Self::Bucket).map_err(|error| refused().because(error));
        }
        let path = text.strip_prefix("local:").unwrap_or(text);
        if path.is_empty() {
            return Err(refused());
        }
        // `sftp:`, `rest:` and the like are addresses of plain restic; a folder of such a name would be a surprise.
        match text.split_once(':') {
            Some((kind, _)) if kind != "local" && !kind.contains('/') && !Path::new(text).exists() => {
                Err(refused())
            }
            _ => Ok(Self::Folder(PathBuf::from(path))),
        }
    }

    /// How long it makes sense to repeat what fails there.
    fn retry_policy(&self) -> RetryPolicy {
        match self {
            Self::Folder(_) => RetryPolicy::FOLDER,
            Self::Bucket(_) => RetryPolicy::NETWORK,
        }
    }
}

/// Without secrets.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Bucket(place) => place.fmt(f),
        }
    }
}

impl Access {
    /// The store, held back and repeated: each try of an operation is held back anew, since its bytes flow anew.
    fn around(
        &self,
        store: Arc<dyn ObjectStore>,
        policy: RetryPolicy,
        environment: &Environment,
    ) -> Arc<dyn ObjectStore> {
        let patience = self.patience(environment);
        let store = if self.limits == Limits::default() {
            store
        } else {
            Arc::new(ThrottleStore::new(store, self.limits, patience.clone()))
        };
        let entropy = Arc::clone(&environment.entropy);
        Arc::new(RetryStore::new(store, policy, patience, entropy, self.repeats.clone()))
    }

    /// Waits as long as no stop is asked for.
    pub(crate) fn patience(&self, environment: &Environment) -> Patience {
        let stop = self.stop.clone();
        Patience::new(Arc::clone(&environment.clock), move || stop.check().is_ok())
    }
}

/// Creates a repository. Errors: no empty place there, an empty password.
pub fn init(
    address: &Address,
    access: &Access,
    environment: Environment,
    password: &Password,
) -> Result<InitReport, Failure> {
    let store = create_store(address, access, &environment)?;
    let repository = Repository::init(store, environment, password, KdfCost::STANDARD)?;
    // Without it all is well until the disk is full.
    drop(repository.make_ballast());
    Ok(InitReport::of(&repository))
}

/// Creates a repository that cuts disks where another one cuts them. Errors: as [`init`].
pub fn init_alike(
    address: &Address,
    access: &Access,
    like: &Repository,
    password: &Password,
) -> Result<InitReport, Failure> {
    let store = create_store(address, access, like.environment())?;
    Ok(InitReport::of(&like.init_alike(store, password, KdfCost::STANDARD)?))
}

impl InitReport {
    fn of(repository: &Repository) -> Self {
        Self { location: repository.store().location().to_owned(), id: repository.config().id }
    }
}

/// Makes the place of a new repository ready: a folder, or a bucket. Errors: there is anything in it already.
pub fn create_store(
    address: &Address,
    access: &Access,
    environment: &Environment,
) -> Result<Arc<dyn ObjectStore>, Failure> {
    let store: Arc<dyn ObjectStore> = match address {
        Address::Folder(path) => {
            Arc::new(LocalStore::create(path).map_err(|error| not_created(path, error))?)
        }
        Address::Bucket(place) => {
            let created = S3Store::create(place, &access.s3, access.patience(environment));
            Arc::new(created.map_err(|error| bucket_not_created(address, error))?)
        }
    };
    Ok(access.around(store, address.retry_policy(), environment))
}

fn bucket_not_created(address: &Address, error: StoreError) -> Failure {
    if !matches!(error, StoreError::Exists { .. }) {
        return error.into();
    }
    let message = Message::new(keys::ERROR_REPOSITORY_EXISTS).with("location", address);
    let remedy = Message::new(keys::REMEDY_REPOSITORY_EXISTS);
    Failure::new(Fault::WrongUse, message).remedy(remedy).because(error)
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
        | StoreError::NotKept { .. }
        | StoreError::Altered { .. }
        | StoreError::Full { .. }
        | StoreError::Short { .. }
        | StoreError::Stopped { .. }
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
pub fn open(
    address: &Address,
    access: &Access,
    environment: Environment,
    password: &Password,
) -> Result<Repository, Failure> {
    Ok(Repository::open(open_store(address, access, &environment)?, environment, password)?)
}

/// Opens the place of a repository; whether one is there is not looked at. Errors: no such place.
pub fn open_store(
    address: &Address,
    access: &Access,
    environment: &Environment,
) -> Result<Arc<dyn ObjectStore>, Failure> {
    let store = bare_store(address, access, environment)?;
    Ok(access.around(store, address.retry_policy(), environment))
}

/// The same, neither held back nor repeated.
pub(crate) fn bare_store(
    address: &Address,
    access: &Access,
    environment: &Environment,
) -> Result<Arc<dyn ObjectStore>, Failure> {
    let missing = || {
        let message = Message::new(keys::ERROR_REPOSITORY_MISSING).with("location", address);
        Failure::new(Fault::NoRepository, message).remedy(Message::new(keys::REMEDY_REPOSITORY_MISSING))
    };
    match address {
        Address::Folder(path) => match LocalStore::open(path) {
            Ok(store) => Ok(Arc::new(store)),
            Err(error) if !path.is_dir() => Err(missing().because(error)),
            Err(error) => Err(error.into()),
        },
        Address::Bucket(place) => match S3Store::open(place, &access.s3, access.patience(environment)) {
            Ok(store) => Ok(Arc::new(store)),
            Err(error @ S3OpenError::NoBucket { .. }) => Err(missing().because(error)),
            Err(S3OpenError::Store(error)) => Err(error.into()),
        },
    }
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use sonae_repo::Progress;
    use sonae_repo::store::fault::{Fault as StoreFault, FaultStore, Seen};
    use sonae_repo::store::{Limit, MemoryStore, Rate};
    use sonae_repo::testing::{environment, image};
    use sonae_types::{DiskName, VmName};

    use super::*;
    use crate::backup::{BackupReport, BackupRequest, DiskRequest, Format, backup};
    use crate::changes::ChangeMaps;

    /// Creates a repository in a store that breaks as planned, and backs up a disk of about 2 MiB into it.
    fn back_up(
        plan: impl Fn(&Seen) -> Option<StoreFault> + Send + Sync + 'static,
        access: &Access,
        environment: &Environment,
    ) -> Result<BackupReport, Failure> {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("vda.raw");
        std::fs::write(&path, image(&"n".repeat(32), 0)).unwrap();
        let disk = DiskRequest { name: DiskName::parse("vda").unwrap(), path, format: Format::Raw };
        let request = BackupRequest {
            vm: VmName::parse("web01").unwrap(),
            disks: vec![disk],
            files: vec![],
            changes: ChangeMaps::default(),
        };
        let store = FaultStore::planned(Arc::new(MemoryStore::new()), plan);
        let store = access.around(Arc::new(store), RetryPolicy::FOLDER, environment);
        let password = Password::from_file_bytes(b"secret");
        let repository = Repository::init(store, environment.clone(), &password, KdfCost::FOR_TESTS)?;
        backup(&repository, &request, &access.repeats, &access.stop, &Progress::default())
    }

    #[test]
    fn a_backup_into_a_store_that_stumbles_succeeds_and_says_how_often_it_did() {
        let calm = Access::default();
        assert_eq!(back_up(|_seen| None, &calm, &environment()).unwrap().repeated_operations, 0);
        assert_eq!(calm.repeats.last_cause(), None);
        let access = Access::default();
        let third = |seen: &Seen| seen.number.is_multiple_of(3).then_some(StoreFault::Fail);
        let report = back_up(third, &access, &environment()).unwrap();
        assert_eq!(report.repeated_operations, access.repeats.operations());
        assert!(3 < report.repeated_operations, "{report:?}");
        assert!(access.repeats.last_cause().unwrap().contains("in memory: "));
    }

    #[test]
    fn a_stop_ends_the_repeating_and_counts_as_an_interruption() {
        let access = Access::default();
        access.stop.request();
        let failure = back_up(|_seen| Some(StoreFault::Fail), &access, &environment()).unwrap_err();
        assert_eq!(failure.fault, Fault::Interrupted, "{failure:?}");
        assert_eq!(access.repeats.operations(), 0);
    }

    #[test]
    fn a_limit_on_writing_holds_for_a_backup() {
        let slow = Limit::at_most(Rate::bytes_per_second(NonZeroU64::new(1_000).unwrap()));
        let cost = |write| {
            let environment = environment();
            let begun = environment.clock.monotonic();
            let limits = Limits { write, read: Limit::Unlimited };
            let access = Access { limits, ..Access::default() };
            let report = back_up(|_seen| None, &access, &environment).unwrap();
            let seconds = environment.clock.monotonic().saturating_sub(begun).as_secs();
            (seconds, report.disks[0].stored_bytes.get())
        };
        let (seconds, stored) = cost(slow);
        assert!(stored / 1_000 - 1 <= seconds, "{stored} bytes in {seconds} s");
        // The clock of this test moves only where something waits: for locks, a few tenths of a second.
        assert!(cost(Limit::Unlimited).0 < 5);
    }
}
