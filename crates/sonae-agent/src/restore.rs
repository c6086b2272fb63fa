//! Restoring one disk, or one file of a point that plain restic wrote, onto a file or device.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sonae_repo::lock::LockKind;
use sonae_repo::reader::ReadError;
use sonae_repo::restore::{Content, DamagedRange, Restore, RestoreError, RestoreOutcome};
use sonae_repo::snapshot::Point;
use sonae_repo::tree::NodeKind;
use sonae_repo::{Progress, Repository, Stop};
use sonae_source::RawTarget;
use sonae_text::{keys, number};
use sonae_types::{ByteCount, Digest, DiskError, DiskName, Message, VmName};

use crate::backup::disk_file;
use crate::failure::{Failure, Fault, chain};
use crate::select::{Selector, select};

/// What to restore out of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A disk of the machine.
    Disk(DiskName),
    /// A file by its path, for points that plain restic wrote.
    Path(String),
}

/// What to do with a target that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave it alone and refuse.
    Refuse,
    /// Turn it into the disk, writing only what differs.
    Update,
}

/// What to restore, and where to.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// The point.
    pub point: Selector,
    /// The machine, where the point is `latest`.
    pub vm: Option<VmName>,
    /// What of it.
    pub what: What,
    /// Where to.
    pub to: PathBuf,
    /// What to do with a target that exists.
    pub existing: Existing,
}

/// What a restore did.
#[derive(Debug, Serialize)]
pub struct RestoreReport {
    /// The point.
    pub point: Digest,
    /// The machine.
    pub vm: String,
    /// The file of the point that was restored.
    pub path: String,
    /// Where to.
    pub to: PathBuf,
    /// Its size.
    pub size_bytes: ByteCount,
    /// Bytes of data that were written.
    pub written_bytes: ByteCount,
    /// Bytes of data that were in place already.
    pub in_place_bytes: ByteCount,
    /// Bytes that are zeros.
    pub zero_bytes: ByteCount,
    /// How long it took.
    pub duration_ms: u64,
}

/// Restores. Errors: damage ([`Fault::DamageFound`]) leaves the target unfinished, never looking whole.
pub fn restore(
    repository: &Repository,
    request: &RestoreRequest,
    stop: &Stop,
    progress: &Progress,
) -> Result<RestoreReport, Failure> {
    let clock = &repository.environment().clock;
    let begun = clock.monotonic();
    let _lock = repository.lock(LockKind::Shared)?;
    let points = repository.points()?;
    let point = select(&points, &request.point, request.vm.as_ref())?;
    let index = repository.load_index_around_damage()?.index;
    let vm = point.snapshot.hostname.clone();
    let path = match &request.what {
        What::Disk(disk) => format!("/{vm}/{}", disk_file(disk)),
        What::Path(path) => path.clone(),
    };
    let node = repository.find(&index, point, &path).map_err(|error| unknown_disk(error, request, point))?;
    let NodeKind::File { size, content } = node.kind else {
        return Err(ReadError::NoSuchPath { point: point.id, path }.into());
    };
    let size = ByteCount::new(size);
    let target = match request.existing {
        Existing::Refuse => RawTarget::create(&request.to, size),
        Existing::Update if request.to.exists() => RawTarget::update(&request.to, size),
        Existing::Update => RawTarget::create(&request.to, size),
    };
    let target = target.map_err(|error| target_failure(&request.to, error))?;
    let restore = Restore { repository, index: &index, stop, progress };
    let outcome = restore.run(Content { ids: &content, size }, &target).map_err(|error| match error {
        RestoreError::Target(error) => target_failure(&request.to, error),
        RestoreError::Read(error) => error.into(),
        RestoreError::Stopped(stopped) => stopped.into(),
        error @ RestoreError::Size { .. } => {
            crate::failure::damage(format!("{}{path}", point.id.short()), chain(&error))
        }
    })?;
    let RestoreOutcome { written, in_place, zeros, damaged } = outcome;
    if let Some(first) = damaged.into_iter().next() {
        return Err(damaged_disk(point, &path, first));
    }
    Ok(RestoreReport {
        point: point.id,
        vm,
        path,
        to: request.to.clone(),
        size_bytes: size,
        written_bytes: written,
        in_place_bytes: in_place,
        zero_bytes: zeros,
        duration_ms: u64::try_from((clock.monotonic() - begun).as_millis()).unwrap_or(u64::MAX),
    })
}

fn unknown_disk(error: ReadError, request: &RestoreRequest, point: &Point) -> Failure {
    match (&error, &request.what) {
        (ReadError::NoSuchPath { .. }, What::Disk(disk)) => {
            let disks = point.snapshot.disk_names().collect::<Vec<_>>().join(", ");
            let disks = if disks.is_empty() { "-".to_owned() } else { disks };
            Failure::new(
                Fault::WrongUse,
                Message::new(keys::ERROR_DISK_UNKNOWN).with("point", point.id.short()).with("disk", disk),
            )
            .remedy(Message::new(keys::REMEDY_DISK_UNKNOWN).with("disks", disks))
        }
        _ => error.into(),
    }
}

fn damaged_disk(point: &Point, path: &str, range: DamagedRange) -> Failure {
    let message =
        Message::new(keys::ERROR_DAMAGE_CHUNK).with("vm", &point.snapshot.hostname).with("disk", path);
    let message = message
        .with("size", number::bytes(range.len))
        .with("offset", range.at)
        .with("point", point.id.short());
    Failure::new(Fault::DamageFound, message)
        .remedy(Message::new(keys::REMEDY_DAMAGE_REPOSITORY))
        .because(range.cause)
}

fn target_failure(path: &Path, error: DiskError) -> Failure {
    use std::io::ErrorKind;
    let shown = path.display();
    match &error {
        DiskError::Unusable { why, .. } => Failure::new(
            Fault::WrongUse,
            Message::new(keys::ERROR_TARGET_UNUSABLE).with("path", shown).with("why", why),
        ),
        DiskError::Io { cause, .. }
            if matches!(
                cause.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
            ) =>
        {
            Failure::new(Fault::OurFault, Message::new(keys::ERROR_TARGET_FULL).with("path", shown))
                .remedy(Message::new(keys::REMEDY_TARGET_FULL))
                .because(error)
        }
        DiskError::Io { cause, .. } => {
            let fault = if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) {
                Fault::WrongUse
            } else {
                Fault::OurFault
            };
            Failure::new(fault, Message::new(keys::ERROR_TARGET_UNWRITABLE).with("path", shown))
                .remedy(Message::new(keys::REMEDY_TARGET_UNWRITABLE))
                .because(error)
        }
        DiskError::Short { .. } | DiskError::Changed { .. } => Failure::internal(error),
    }
}
