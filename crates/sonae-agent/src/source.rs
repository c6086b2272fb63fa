//! What is read for a backup beside the repository: why a source cannot be used, and the files beside the disks.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sonae_text::{keys, number};
use sonae_types::{ByteCount, DiskError, Message, MessageKey, Unfit, VmName};

use crate::backup::DiskRequest;
use crate::failure::{Failure, Fault};

/// Longest file that is saved beside the disks; a configuration is far shorter.
const FILE_BYTES_MAX: ByteCount = ByteCount::mib(64);

/// A file to save beside the disks.
pub(crate) struct SavedFile {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// A source that cannot even be opened is a wrong path or a wrong right, not a failing disk, unless the system says so.
pub(crate) fn unopened(request: &DiskRequest, error: DiskError) -> Failure {
    match &error {
        // The message says all that the cause does.
        DiskError::Unusable { why, .. } if why.is_plain() => unfit(&request.path, why),
        DiskError::Unusable { why, .. } => unfit(&request.path, why).because(error),
        DiskError::Io { .. } | DiskError::Short { .. } | DiskError::Changed { .. } => {
            unreadable(request, error)
        }
    }
}

fn unfit(path: &Path, why: &Unfit) -> Failure {
    let (message, remedy) = match why {
        Unfit::Missing | Unfit::NoFolder => (keys::ERROR_SOURCE_MISSING, keys::REMEDY_SOURCE_MISSING),
        Unfit::Kind { .. } => (keys::ERROR_SOURCE_KIND, keys::REMEDY_SOURCE_KIND),
        Unfit::SourceFormat { .. } | Unfit::TargetFormat { .. } => {
            (keys::ERROR_SOURCE_FORMAT, keys::REMEDY_SOURCE_FORMAT)
        }
        Unfit::NotReadable | Unfit::NotWritable => {
            (keys::ERROR_SOURCE_FORBIDDEN, keys::REMEDY_SOURCE_FORBIDDEN)
        }
        Unfit::NoName
        | Unfit::Exists
        | Unfit::InTheWay
        | Unfit::ReadOnly
        | Unfit::InUse { .. }
        | Unfit::Size { .. }
        | Unfit::TooSmall { .. }
        | Unfit::NameTaken { .. }
        | Unfit::Finished => (keys::ERROR_SOURCE_UNUSABLE, keys::REMEDY_SOURCE_MISSING),
    };
    let mut message = Message::new(message).with("path", path.display());
    if let Unfit::SourceFormat { format } | Unfit::TargetFormat { format } = why {
        message = message.with("format", format);
    }
    Failure::new(Fault::WrongUse, message).remedy(Message::new(remedy))
}

/// A source that was open and could not be read whole as one point in time.
pub(crate) fn unreadable(request: &DiskRequest, error: DiskError) -> Failure {
    let named =
        |key: MessageKey| Message::new(key).with("disk", &request.name).with("path", request.path.display());
    let (message, remedy) = match &error {
        DiskError::Short { at, size, .. } => (
            named(keys::ERROR_SOURCE_SHORT)
                .with("offset", number::grouped(at.get()))
                .with("size", number::bytes(*size)),
            keys::REMEDY_SOURCE_SHORT,
        ),
        DiskError::Changed { .. } => (named(keys::ERROR_SOURCE_CHANGED), keys::REMEDY_SOURCE_CHANGED),
        DiskError::Io { at, .. } => (
            named(keys::ERROR_SOURCE_UNREADABLE).with("offset", number::grouped(at.get())),
            keys::REMEDY_SOURCE_UNREADABLE,
        ),
        DiskError::Unusable { .. } => (named(keys::ERROR_SOURCE_UNUSABLE), keys::REMEDY_SOURCE_UNREADABLE),
    };
    Failure::new(Fault::SourceUnreadable, message).remedy(Message::new(remedy)).because(error)
}

/// Reads the files to save beside the disks. Errors: one that cannot be read, is too long, or has a name that is taken.
pub(crate) fn read_files(paths: &[PathBuf]) -> Result<Vec<SavedFile>, Failure> {
    let mut names = HashSet::new();
    paths.iter().map(|path| read_file(path, &mut names)).collect()
}

fn read_file(path: &Path, names: &mut HashSet<String>) -> Result<SavedFile, Failure> {
    let refused = |message, remedy| {
        Failure::new(Fault::WrongUse, Message::new(message).with("path", path.display()))
            .remedy(Message::new(remedy).with("size", number::bytes(FILE_BYTES_MAX)))
    };
    let unusable = || refused(keys::ERROR_FILE_UNUSABLE, keys::REMEDY_FILE_UNUSABLE);
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(unusable)?;
    VmName::parse(name).map_err(|error| unusable().because(error))?;
    // What the point itself calls its parts.
    let reserved = name == "sonae" || name.starts_with("disk-");
    if reserved || !names.insert(name.to_owned()) {
        return Err(refused(keys::ERROR_FILE_DUPLICATE, keys::REMEDY_FILE_DUPLICATE));
    }
    let not_read = |error: std::io::Error| {
        if error.kind() == ErrorKind::NotFound {
            refused(keys::ERROR_FILE_MISSING, keys::REMEDY_FILE_MISSING)
        } else {
            unusable().because(error)
        }
    };
    let meta = std::fs::metadata(path).map_err(not_read)?;
    if !meta.is_file() || FILE_BYTES_MAX.get() < meta.len() {
        return Err(unusable());
    }
    let bytes = std::fs::read(path).map_err(not_read)?;
    Ok(SavedFile { name: name.to_owned(), bytes })
}
