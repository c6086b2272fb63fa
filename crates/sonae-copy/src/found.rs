//! Making an empty place the home of a copy that has the same key and opens with the same password.

use crate::copying::CopyError;
use crate::files::read_named;
use sonae_repo::keep::{Confirm, keep};
use sonae_repo::repository::{OpenError, Repository};
use sonae_repo::store::{FileKind, FileName, ObjectStore};

/// Whether a place can become a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is one now, or was before.
    Repository,
    /// Nothing is in it, and it was not touched; a folder may have to be made first.
    Empty,
}

/// Says what a place is, as far as that can be told without a key.
///
/// A place where only key files of the source lie is a foundation that was interrupted, and is completed. Errors: files
/// of a repository lie there without its configuration.
pub fn found_copy(source: &Repository, target: &dyn ObjectStore, made: Found) -> Result<Found, CopyError> {
    match target.size(FileName::Config) {
        Ok(_) => return Ok(Found::Repository),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    for kind in [FileKind::Data, FileKind::Index, FileKind::Snapshot] {
        if !target.list(kind)?.is_empty() {
            return Err(OpenError::ConfigMissing { location: target.location().to_owned() }.into());
        }
    }
    let ours = source.store().list(FileKind::Key)?;
    let keys = target.list(FileKind::Key)?;
    let begun = !keys.is_empty() && keys.iter().all(|key| ours.iter().any(|our| our.id == key.id));
    if made == Found::Empty && !begun {
        return Ok(Found::Empty);
    }
    let sealed = source.store().get(FileName::Config)?;
    source
        .decode_config(&sealed)
        .map_err(|cause| OpenError::Config { location: source.store().location().to_owned(), cause })?;
    let key = FileName::Hashed(FileKind::Key, source.opened_by());
    let bytes = read_named(source.store(), key)?;
    // The key file before the configuration, as in a new repository: without one, nothing looks like a repository.
    keep(target, key, &bytes, Confirm::Bytes)?;
    keep(target, FileName::Config, &sealed, Confirm::Bytes)?;
    Ok(Found::Repository)
}
