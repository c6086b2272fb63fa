//! A repository in a bucket of an object store that speaks S3, laid out as restic lays it out.
//!
//! Nothing here relies on what stores differ in: an object is written whole under a name that is its hash, readers
//! compare the one with the other, and a repetition writes the same bytes once more. Only the configuration has a fixed
//! name: it is looked for before it is written, so two creations at the very same time cannot be told apart; whoever
//! reads it back, as [`ObjectStore`]'s users do, finds out which one it was. A conditional PUT would tell, but stores
//! exist that take it and do not keep to it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore as _};
use object_store::path::Path;
use object_store::{
    Certificate, ClientOptions, GetOptions, GetRange, MultipartUpload, ObjectMeta, ObjectStore as _,
    ObjectStoreExt as _, PutPayload, RetryConfig,
};
use sonae_types::{ByteCount, Timestamp};

use super::{FileKind, FileName, Listed, ObjectStore, Patience, StoreError};

mod access;
mod bucket;
mod place;
mod refusal;
#[cfg(test)]
mod tests;
mod wire;

pub use access::{Authorities, S3Access, S3Login, S3Region};
pub use bucket::{Kept, Promise};
pub use place::{NoPlace, S3Place};

use bucket::Bucket;
use refusal::{Listening, Meaning};
use wire::{Allowance, Cut, Wire};

/// A larger object is sent in parts, several at once: a part that breaks is no reason to send the others again.
const PARTS_ABOVE_BYTES: usize = 32 << 20;
const PART_BYTES: usize = 16 << 20;
/// A larger object is no file of a repository (docs/format.md, "Limits on what we accept").
const OBJECT_BYTES_MAX: u64 = 4 << 30;
const PARTS_AT_ONCE: usize = 4;
/// Pages of a listing; a store gives a thousand names with each. Beyond it, nobody has a repository.
const PAGES_MAX: usize = 100_000;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const IDLE_CONNECTION: Duration = Duration::from_secs(20);

/// Keeps the files of a repository as objects in a bucket.
pub struct S3Store {
    wire: Wire,
    s3: Arc<AmazonS3>,
    bucket: Bucket,
    place: S3Place,
    location: String,
    /// Whoever holds it is the one in this process who may write the configuration.
    config: Mutex<()>,
}

/// The place of a repository cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum S3OpenError {
    /// The bucket is not there.
    #[error("there is no bucket {bucket} at {endpoint}")]
    NoBucket {
        /// The bucket.
        bucket: String,
        /// Where it should be.
        endpoint: String,
    },
    /// The store did not let us in.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a request has no good answer.
enum Trouble {
    Refused(object_store::Error),
    Cut(Cut),
}

impl S3Store {
    /// The store at this place, which must be there; nothing is created.
    ///
    /// Errors: [`S3OpenError::NoBucket`], [`StoreError::Unusable`] where the keys do not open it, [`StoreError::Io`].
    pub fn open(place: &S3Place, access: &S3Access, patience: Patience) -> Result<Self, S3OpenError> {
        let store = Self::connect(place, access, patience)?;
        match store.first_names() {
            Ok(_) => Ok(store),
            Err(Trouble::Refused(error)) if refusal::meaning(&error) == Meaning::NoBucket => {
                let (bucket, endpoint) = (place.bucket().to_owned(), place.endpoint().to_owned());
                Err(S3OpenError::NoBucket { bucket, endpoint })
            }
            Err(trouble) => Err(store.failed("look into", "the bucket", trouble).into()),
        }
    }

    /// Opens the place of a new repository; the bucket is made where there is none.
    ///
    /// Errors: [`StoreError::Exists`] where there is a repository, [`StoreError::Unusable`] where there is anything
    /// else, or as for [`Self::open`].
    pub fn create(place: &S3Place, access: &S3Access, patience: Patience) -> Result<Self, StoreError> {
        let store = Self::connect(place, access, patience)?;
        let names = match store.first_names() {
            Err(Trouble::Refused(error)) if refusal::meaning(&error) == Meaning::NoBucket => {
                let made = store.bucket.create(&store.wire);
                made.map_err(|trouble| store.failed("create", "the bucket", trouble))?;
                return Ok(store);
            }
            Err(trouble) => return Err(store.failed("look into", "the bucket", trouble)),
            Ok(names) => names,
        };
        if names.iter().any(|name| name == "config") {
            return Err(StoreError::Exists { name: FileName::Config, location: store.location });
        }
        let ours = |name: &str| FileKind::ALL.iter().any(|kind| kind.folder() == name);
        match names.iter().find(|name| !ours(name)) {
            None => Ok(store),
            Some(other) => Err(StoreError::Unusable {
                why: format!("{other} lies there; name a prefix of its own for the repository"),
                location: store.location,
            }),
        }
    }

    /// Makes ready for requests; none is sent yet.
    fn connect(place: &S3Place, access: &S3Access, patience: Patience) -> Result<Self, StoreError> {
        let location = place.to_string();
        let unusable = |why: String| StoreError::Unusable { location: location.clone(), why };
        // Where another part of the process was first, its choice holds; ring is the one that is compiled in.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = client_options(place, access).and_then(|options| Listening::with(&options));
        let client = client.map_err(|error| {
            unusable(format!("the certificates in SONAE_CACERT cannot be used: {}", refusal::told(&error)))
        })?;
        let mut builder = AmazonS3Builder::new()
            .with_endpoint(place.endpoint())
            .with_bucket_name(place.bucket())
            .with_region(access.region.as_str())
            .with_virtual_hosted_style_request(false)
            .with_allow_http(true)
            .with_http_connector(client.clone())
            .with_disable_bulk_delete(true)
            // Repetitions are made, and counted, in one place: `RetryStore`.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
        builder = match &access.login {
            S3Login::Missing => {
                let why = "no keys are given; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
                return Err(unusable(why.to_owned()));
            }
            S3Login::Keys { id, secret } => {
                builder.with_access_key_id(id).with_secret_access_key(secret.as_str())
            }
            S3Login::Temporary { id, secret, token } => builder
                .with_access_key_id(id)
                .with_secret_access_key(secret.as_str())
                .with_token(token.as_str()),
        };
        let s3 = builder.build().map_err(|error| unusable(refusal::told(&error)))?;
        let bucket = Bucket::new(place, access, client.0);
        let wire = Wire::new(patience).map_err(|cause| StoreError::Io {
            doing: "set up",
            what: "the network".to_owned(),
            location: location.clone(),
            cause,
        })?;
        Ok(Self { wire, s3: Arc::new(s3), bucket, place: place.clone(), location, config: Mutex::new(()) })
    }

    /// Whether the store promises this of the bucket; none where it does not say. Errors: it cannot be asked.
    pub fn promises(&self, promise: Promise) -> Result<Kept, StoreError> {
        self.bucket
            .promises(&self.wire, promise)
            .map_err(|trouble| self.failed("ask about", "the bucket", trouble))
    }

    /// Puts the file under the condition that there is none of this name. Errors: [`StoreError::Exists`], as for
    /// [`ObjectStore::put`]. Stores exist that take the condition and do not keep to it.
    pub fn put_if_absent(&self, name: FileName, bytes: &[u8]) -> Result<(), StoreError> {
        let mode = object_store::PutMode::Create;
        let path = self.path(name);
        let put = self.s3.put_opts(&path, PutPayload::from(bytes.to_vec()), mode.into());
        match self.run(&Allowance::sending(bytes.len()), put) {
            Err(Trouble::Refused(error))
                if refusal::refusal(&error).is_some_and(|refusal| [409, 412].contains(&refusal.status)) =>
            {
                Err(StoreError::Exists { name, location: self.location.clone() })
            }
            other => other.map(drop).map_err(|trouble| self.failed_file("write", name, trouble)),
        }
    }

    fn key(&self, name: &str) -> String {
        self.place.inside(name).prefix().to_owned()
    }

    fn path(&self, name: FileName) -> Path {
        Path::parse(self.key(&name.to_string()))
            .expect("the parts of a place and of a name are parts of a key")
    }

    fn run<T>(
        &self,
        allowance: &Allowance,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Trouble> {
        self.wire.run(allowance, request).map_err(Trouble::Cut)?.map_err(Trouble::Refused)
    }

    /// The first names at the place, as the entries of a folder.
    fn first_names(&self) -> Result<Vec<String>, Trouble> {
        let below = PaginatedListOptions { delimiter: Some("/".into()), ..PaginatedListOptions::default() };
        let found = self.page(&self.key(""), below)?;
        let keys = found.result.objects.into_iter().map(|object| object.location);
        let names = keys.chain(found.result.common_prefixes).filter_map(|key| {
            let key = key.as_ref().strip_prefix(self.place.prefix())?.trim_matches('/');
            Some(key.to_owned()).filter(|name| !name.is_empty())
        });
        Ok(names.collect())
    }

    /// One page of what lies below a prefix.
    fn page(&self, prefix: &str, options: PaginatedListOptions) -> Result<PaginatedListResult, Trouble> {
        let prefix = Some(prefix).filter(|prefix| !prefix.is_empty());
        self.run(&Allowance::asking(), self.s3.list_paginated(prefix, options))
    }

    fn head(&self, name: FileName) -> Result<ObjectMeta, StoreError> {
        let path = self.path(name);
        self.run(&Allowance::asking(), self.s3.head(&path))
            .map_err(|trouble| self.failed_file("look up", name, trouble))
    }

    fn put_whole(&self, name: FileName, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(name);
        let allowance = Allowance::sending(bytes.len());
        let put = if bytes.len() <= PARTS_ABOVE_BYTES {
            self.run(&allowance, async {
                self.s3.put(&path, PutPayload::from(bytes.to_vec())).await.map(drop)
            })
        } else {
            self.run(&allowance, self.put_parts(&path, bytes))
        };
        put.map_err(|trouble| self.failed_file("write", name, trouble))
    }

    /// Sends an object in parts; it is there when all are, and where that fails, none stay.
    async fn put_parts(&self, path: &Path, bytes: &[u8]) -> object_store::Result<()> {
        let mut upload = self.s3.put_multipart(path).await?;
        let parts = bytes.chunks(PART_BYTES).map(|part| upload.put_part(PutPayload::from(part.to_vec())));
        // The parts are numbered in the order in which they are made here, and sent as they are polled.
        let parts = parts.collect::<Vec<_>>();
        let sent = futures_util::stream::iter(parts)
            .map(Ok)
            .try_for_each_concurrent(PARTS_AT_ONCE, |part| part)
            .await;
        let outcome = match sent {
            Ok(()) => upload.complete().await.map(drop),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            // What cannot be cleared away now, the rules of the bucket clear away later; it was never an object.
            drop(upload.abort().await);
        }
        outcome
    }

    /// Reads an object or a range of it and hands over its pieces in order. Errors also where more or fewer bytes come
    /// than the store announces, or more than `room`.
    fn fetch(
        &self,
        name: FileName,
        options: GetOptions,
        room: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Trouble> {
        let (path, allowance) = (self.path(name), Allowance::asking());
        self.run(&allowance, async {
            let found = self.s3.get_opts(&path, options).await?;
            let mut left = found.range.end.saturating_sub(found.range.start);
            if room < left {
                return Err(uneven(name));
            }
            let mut pieces = found.into_stream();
            while let Some(piece) = pieces.try_next().await? {
                allowance.got(piece.len());
                left = left.checked_sub(piece.len() as u64).ok_or_else(|| uneven(name))?;
                take(&piece);
            }
            if left == 0 { Ok(()) } else { Err(uneven(name)) }
        })
    }

    fn short(&self, name: FileName, at: u64, len: usize, size: u64) -> StoreError {
        let (size, len) = (ByteCount::new(size), ByteCount::of_len(len).get());
        StoreError::Short { name, location: self.location.clone(), at, len, size }
    }

    fn failed_file(&self, doing: &'static str, name: FileName, trouble: Trouble) -> StoreError {
        if let Trouble::Refused(error) = &trouble {
            let location = self.location.clone();
            match refusal::meaning(error) {
                Meaning::NoObject => return StoreError::NotFound { name, location },
                Meaning::Full => {
                    let cause = io::Error::new(io::ErrorKind::StorageFull, refusal::told(error));
                    return StoreError::Full { name, location, cause };
                }
                Meaning::NoSuchRange
                | Meaning::NoBucket
                | Meaning::Unusable(_)
                | Meaning::Never(_)
                | Meaning::Later(_) => {}
            }
        }
        self.failed(doing, &name.to_string(), trouble)
    }

    fn failed(&self, doing: &'static str, what: &str, trouble: Trouble) -> StoreError {
        let location = self.location.clone();
        let (kind, told) = match trouble {
            Trouble::Cut(Cut::Stopped) => return StoreError::Stopped { location, cause: None },
            Trouble::Cut(Cut::Late) => {
                (io::ErrorKind::TimedOut, "no answer within the time that is given".to_owned())
            }
            Trouble::Refused(error) => {
                let told = refusal::told(&error);
                let kind = match refusal::meaning(&error) {
                    Meaning::Unusable(why) => {
                        return StoreError::Unusable { location, why: format!("{why} ({told})") };
                    }
                    Meaning::NoBucket => {
                        let why = "there is no such bucket; check the address, or create it".to_owned();
                        return StoreError::Unusable { location, why };
                    }
                    Meaning::NoObject => io::ErrorKind::NotFound,
                    Meaning::NoSuchRange => io::ErrorKind::InvalidInput,
                    Meaning::Full => io::ErrorKind::StorageFull,
                    Meaning::Never(kind) | Meaning::Later(kind) => kind,
                };
                (kind, told)
            }
        };
        let cause = io::Error::new(kind, told);
        StoreError::Io { doing, what: what.to_owned(), location, cause }
    }
}

impl ObjectStore for S3Store {
    fn location(&self) -> &str {
        &self.location
    }

    fn put(&self, name: FileName, bytes: &[u8]) -> Result<(), StoreError> {
        if name != FileName::Config {
            return self.put_whole(name, bytes);
        }
        let _only_us = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        match self.head(name) {
            Ok(_) => Err(StoreError::Exists { name, location: self.location.clone() }),
            Err(error) if error.is_not_found() => self.put_whole(name, bytes),
            Err(error) => Err(error),
        }
    }

    fn get(&self, name: FileName) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        // Memory is taken for what has come, never for what is announced.
        self.fetch(name, GetOptions::default(), OBJECT_BYTES_MAX, |piece| bytes.extend_from_slice(piece))
            .map_err(|trouble| self.failed_file("read", name, trouble))?;
        Ok(bytes)
    }

    fn get_range(&self, name: FileName, at: u64, into: &mut [u8]) -> Result<(), StoreError> {
        let len = into.len();
        let end = at.checked_add(ByteCount::of_len(len).get()).filter(|end| i64::try_from(*end).is_ok());
        let Some(end) = end.filter(|_| 0 < len) else {
            // A range without bytes cannot be asked for, nor one that no object can have.
            let size = self.head(name)?.size;
            return if len == 0 && at <= size { Ok(()) } else { Err(self.short(name, at, len, size)) };
        };
        let options = GetOptions::new().with_range(Some(GetRange::Bounded(at..end)));
        let mut filled = 0;
        let fetched = self.fetch(name, options, end - at, |piece| {
            into[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        });
        let trouble = match fetched {
            Ok(()) if filled == len => return Ok(()),
            Ok(()) => Trouble::Refused(uneven(name)),
            Err(trouble) => trouble,
        };
        if trouble.is_about_range() {
            let size = self.head(name)?.size;
            if size < end {
                return Err(self.short(name, at, len, size));
            }
        }
        Err(self.failed_file("read", name, trouble))
    }

    fn size(&self, name: FileName) -> Result<ByteCount, StoreError> {
        Ok(ByteCount::new(self.head(name)?.size))
    }

    fn stored_at(&self, name: FileName) -> Result<Option<Timestamp>, StoreError> {
        Ok(Some(Timestamp::from_micros(self.head(name)?.last_modified.timestamp_micros())))
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>, StoreError> {
        let prefix = self.key(&format!("{}/", kind.folder()));
        let mut listed = Vec::new();
        let mut options = PaginatedListOptions::default();
        for _ in 0..PAGES_MAX {
            let page =
                self.page(&prefix, options).map_err(|trouble| self.failed("list", kind.folder(), trouble))?;
            listed.extend(page.result.objects.iter().filter_map(|object| self.listed(kind, object)));
            let Some(token) = page.page_token else {
                listed.sort_unstable();
                listed.dedup_by_key(|file| file.id);
                return Ok(listed);
            };
            options = PaginatedListOptions { page_token: Some(token), ..PaginatedListOptions::default() };
        }
        Err(StoreError::Unusable {
            location: self.location.clone(),
            why: format!("the listing of {} has no end; find out what answers there", kind.folder()),
        })
    }

    fn remove(&self, name: FileName) -> Result<(), StoreError> {
        // The store says yes to the removal of what is not there.
        self.head(name)?;
        let path = self.path(name);
        self.run(&Allowance::asking(), self.s3.delete(&path))
            .map_err(|trouble| self.failed_file("remove", name, trouble))
    }
}

impl S3Store {
    /// The file that the object is; none where it lies elsewhere than a file of its name.
    fn listed(&self, kind: FileKind, object: &ObjectMeta) -> Option<Listed> {
        let id = object.location.filename()?.parse().ok()?;
        let listed = Listed { id, size: ByteCount::new(object.size) };
        (self.path(FileName::Hashed(kind, id)) == object.location).then_some(listed)
    }
}

fn client_options(place: &S3Place, access: &S3Access) -> object_store::Result<ClientOptions> {
    let mut options = ClientOptions::new()
        .with_allow_http(true)
        .with_http1_only()
        // Nobody shows a certificate there, and to read those of the system takes longer than a request.
        .with_no_system_certificates(place.endpoint().starts_with("http:"))
        .with_connect_timeout(CONNECT_WITHIN)
        .with_pool_idle_timeout(IDLE_CONNECTION)
        // `Allowance` counts instead: one span for all sizes would be too short for a pack or too long for a lock.
        .with_timeout_disabled()
        .with_read_timeout_disabled();
    if let Authorities::Also(pem) = &access.authorities {
        for certificate in Certificate::from_pem_bundle(pem)? {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

/// The answer had another number of bytes than it said.
fn uneven(name: FileName) -> object_store::Error {
    let cause =
        io::Error::new(io::ErrorKind::UnexpectedEof, format!("the answer about {name} has another length"));
    object_store::Error::Generic { store: "S3", source: Box::new(cause) }
}

impl Trouble {
    /// Whether the store refused the range, or what came was another one.
    fn is_about_range(&self) -> bool {
        match self {
            Self::Cut(_) => false,
            Self::Refused(error) => match refusal::refusal(error) {
                Some(refusal) => refusal.meaning() == Meaning::NoSuchRange,
                None => true,
            },
        }
    }
}

/// Without the secrets.
impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("location", &self.location).finish_non_exhaustive()
    }
}
