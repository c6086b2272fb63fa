//! Restoring one disk, or one file of a point that plain restic wrote, onto a file or device.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sonae_repo::blob::BlobKind;
use sonae_repo::reader::ReadError;
use sonae_repo::restore::{Content, DamagedRange, Restore, RestoreError, RestoreOutcome};
use sonae_repo::snapshot::Point;
use sonae_repo::tree::NodeKind;
use sonae_repo::{Progress, Repository, Stop, Stopped};
use sonae_source::{PARTIAL, RawTarget};
use sonae_text::{keys, number};
use sonae_types::{
    ByteCount, ByteOffset, Digest, DiskError, DiskName, DiskTarget as _, Message, MessageKey, TargetState,
    Unfit, VmName,
};

use crate::failure::{Failure, Fault, damage};
use crate::parent::{disk_file, disk_in};
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

/// From where a restore began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Begun {
    /// From nothing.
    Afresh,
    /// From what an interrupted restore had left.
    Resumed,
    /// From what was there, as asked.
    Updating,
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
    /// Whether an interrupted restore was gone on with.
    pub begun: Begun,
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
    let lock = repository.begin_reading()?;
    let points = repository.points()?;
    let point = select(&points, &request.point, request.vm.as_ref())?;
    let index = repository.load_index_around_damage()?.index;
    let vm = point.snapshot.hostname.clone();
    let path = match &request.what {
        What::Disk(disk) => format!("{}/{}", point.snapshot.folder(), disk_file(disk)),
        What::Path(path) => path.clone(),
    };
    let node = repository.find(&index, point, &path).map_err(|error| unknown_disk(error, request, point))?;
    let NodeKind::File { size, content } = node.kind else {
        return Err(ReadError::NoSuchPath { point: point.id, path }.into());
    };
    let size = ByteCount::new(size);
    let _lock = lock.settle()?;
    let (target, unfinished) = match request.existing {
        Existing::Update if request.to.exists() => (RawTarget::update(&request.to, size), request.to.clone()),
        Existing::Refuse | Existing::Update => (RawTarget::create(&request.to, size), partial(&request.to)),
    };
    let target = target.map_err(|error| target_failure(&request.to, error))?;
    let begun_from = match (target.state(), request.existing) {
        (TargetState::Fresh, _) => Begun::Afresh,
        (TargetState::Existing, Existing::Update) if unfinished == request.to => Begun::Updating,
        (TargetState::Existing, Existing::Refuse | Existing::Update) => Begun::Resumed,
    };
    let restore = Restore { repository, index: &index, stop, progress };
    let outcome = restore.run(Content { ids: &content, size }, &target);
    // An untouched target removes itself here, so that what is still there is what was begun.
    drop(target);
    let RestoreOutcome { written, in_place, zeros, damaged } = outcome.map_err(|error| match error {
        RestoreError::Target(error) => target_failure(&request.to, error),
        RestoreError::Read(error) => error.into(),
        RestoreError::Stopped(stopped) => interrupted(&unfinished, stopped),
        RestoreError::Missing { at, chunk } => missing_from(point, &path, at)
            .remedy(Message::new(keys::REMEDY_DAMAGE_INDEX))
            .because(ReadError::Missing { kind: BlobKind::Data, id: chunk }),
        error @ RestoreError::Size { .. } => damage(format!("{}{path}", point.id.short())).because(error),
    })?;
    if let Some(first) = damaged.into_iter().next() {
        return Err(damaged_disk(point, &path, first, &unfinished));
    }
    Ok(RestoreReport {
        point: point.id,
        vm,
        path,
        to: request.to.clone(),
        size_bytes: size,
        written_bytes: written,
        in_place_bytes: in_place,
        begun: begun_from,
        zero_bytes: zeros,
        duration_ms: u64::try_from((clock.monotonic() - begun).as_millis()).unwrap_or(u64::MAX),
    })
}

/// Where a new file lies until it is whole.
fn partial(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(PARTIAL);
    PathBuf::from(name)
}

fn interrupted(unfinished: &Path, stopped: Stopped) -> Failure {
    if !unfinished.exists() {
        return stopped.into();
    }
    let message = Message::new(keys::ERROR_TARGET_INTERRUPTED).with("path", unfinished.display());
    Failure::new(Fault::Interrupted, message)
        .remedy(Message::new(keys::REMEDY_TARGET_INTERRUPTED))
        .because(stopped)
}

fn unknown_disk(error: ReadError, request: &RestoreRequest, point: &Point) -> Failure {
    match (&error, &request.what) {
        (ReadError::NoSuchPath { .. }, What::Disk(disk)) => {
            // The tags may still name a disk that somebody took out of the point.
            let others = point.snapshot.disk_names().filter(|name| *name != disk.as_str());
            let disks = others.collect::<Vec<_>>().join(", ");
            let remedy = if disks.is_empty() {
                Message::new(keys::REMEDY_DISK_FOREIGN).with("point", point.id.short())
            } else {
                Message::new(keys::REMEDY_DISK_UNKNOWN).with("disks", disks)
            };
            let message = Message::new(keys::ERROR_DISK_UNKNOWN).with("point", point.id.short());
            Failure::new(Fault::WrongUse, message.with("disk", disk)).remedy(remedy)
        }
        _ => error.into(),
    }
}

fn missing_from(point: &Point, path: &str, at: ByteOffset) -> Failure {
    let vm = &point.snapshot.hostname;
    let message = Message::new(keys::FINDING_POINT_FROM)
        .with("vm", vm)
        .with("disk", disk_in(vm, path).unwrap_or(path))
        .with("offset", number::grouped(at.get()))
        .with("point", point.id.short());
    Failure::new(Fault::DamageFound, message)
}

fn damaged_disk(point: &Point, path: &str, range: DamagedRange, unfinished: &Path) -> Failure {
    let vm = &point.snapshot.hostname;
    let message = Message::new(keys::FINDING_POINT_RANGE)
        .with("vm", vm)
        .with("disk", disk_in(vm, path).unwrap_or(path))
        .with("length", number::bytes(range.len))
        .with("offset", number::grouped(range.at.get()))
        .with("point", point.id.short());
    let remedy = if unfinished.exists() {
        Message::new(keys::REMEDY_DAMAGE_TARGET)
            .with("path", unfinished.display())
            .with("point", point.id.short())
    } else {
        Message::new(keys::REMEDY_DAMAGE_REPOSITORY)
    };
    Failure::new(Fault::DamageFound, message).remedy(remedy).because(range.cause)
}

fn target_failure(path: &Path, error: DiskError) -> Failure {
    const NO_ROOM: [ErrorKind; 3] =
        [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge];
    let at = |fault, message: MessageKey, remedy: MessageKey| {
        Failure::new(fault, Message::new(message).with("path", path.display())).remedy(Message::new(remedy))
    };
    let failure = match &error {
        // The message says all that the cause does.
        DiskError::Unusable { why, .. } if why.is_plain() => return unfit(path, why),
        DiskError::Unusable { why, .. } => unfit(path, why),
        DiskError::Io { cause, .. } if NO_ROOM.contains(&cause.kind()) => {
            at(Fault::OurFault, keys::ERROR_TARGET_FULL, keys::REMEDY_TARGET_FULL)
        }
        DiskError::Io { cause, .. } => {
            let wrong_use = [ErrorKind::NotFound, ErrorKind::PermissionDenied].contains(&cause.kind());
            let fault = if wrong_use { Fault::WrongUse } else { Fault::OurFault };
            at(fault, keys::ERROR_TARGET_UNWRITABLE, keys::REMEDY_TARGET_UNWRITABLE)
        }
        DiskError::Short { .. } | DiskError::Changed { .. } => return Failure::internal(error),
    };
    failure.because(error)
}

fn unfit(path: &Path, why: &Unfit) -> Failure {
    let (message, remedy) = match why {
        Unfit::Exists => (keys::ERROR_TARGET_EXISTS, keys::REMEDY_TARGET_EXISTS),
        Unfit::Missing | Unfit::NoFolder => (keys::ERROR_TARGET_FOLDER, keys::REMEDY_TARGET_FOLDER),
        Unfit::NotReadable | Unfit::NotWritable | Unfit::ReadOnly => {
            (keys::ERROR_TARGET_UNWRITABLE, keys::REMEDY_TARGET_UNWRITABLE)
        }
        Unfit::Kind { .. } | Unfit::NoName => (keys::ERROR_TARGET_KIND, keys::REMEDY_TARGET_KIND),
        Unfit::SourceFormat { .. } | Unfit::TargetFormat { .. } => {
            (keys::ERROR_TARGET_FORMAT, keys::REMEDY_TARGET_FORMAT)
        }
        Unfit::InUse { .. } => (keys::ERROR_TARGET_IN_USE, keys::REMEDY_TARGET_IN_USE),
        Unfit::Size { .. } => (keys::ERROR_TARGET_SIZE, keys::REMEDY_TARGET_SIZE),
        Unfit::TooSmall { .. } => (keys::ERROR_TARGET_SIZE, keys::REMEDY_TARGET_SMALL),
        Unfit::NameTaken { .. } => (keys::ERROR_TARGET_NAME_TAKEN, keys::REMEDY_TARGET_NAME_TAKEN),
        Unfit::InTheWay | Unfit::Finished => (keys::ERROR_TARGET_UNUSABLE, keys::REMEDY_TARGET_UNUSABLE),
    };
    let message = Message::new(message).with("path", path.display());
    let (message, remedy) = (fill(message, why), fill(Message::new(remedy), why));
    Failure::new(Fault::WrongUse, message).remedy(remedy)
}

/// Adds the facts that the reason carries.
fn fill(message: Message, why: &Unfit) -> Message {
    match why {
        Unfit::Size { found, needed } | Unfit::TooSmall { found, needed } => {
            message
                .with("size", number::grouped(found.get()))
                .with("needed", number::grouped(needed.get()))
                // As it can be pasted into a command.
                .with("bytes", needed.get())
        }
        Unfit::SourceFormat { format } | Unfit::TargetFormat { format } => message.with("format", format),
        Unfit::NameTaken { partial } => message.with("partial", partial),
        Unfit::Missing
        | Unfit::NoFolder
        | Unfit::NoName
        | Unfit::Exists
        | Unfit::InTheWay
        | Unfit::NotReadable
        | Unfit::NotWritable
        | Unfit::ReadOnly
        | Unfit::Kind { .. }
        | Unfit::InUse { .. }
        | Unfit::Finished => message,
    }
}
