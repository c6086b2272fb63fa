//! Password slots of a repository.

use serde::Serialize;
use sonae_repo::Repository;
use sonae_repo::crypto::{KdfCost, Password};
use sonae_repo::lock::LockKind;
use sonae_repo::repository::KeyUsage;
use sonae_repo::time::to_rfc3339;
use sonae_text::keys as text;
use sonae_types::{Digest, Message};

use crate::failure::{Failure, Fault};
use crate::prune::lock_to_remove;

/// One password slot.
#[derive(Debug, Serialize)]
pub struct KeyReport {
    /// Its id.
    pub key: Digest,
    /// Who added it; none when the file is damaged or does not say.
    pub user: Option<String>,
    /// On which machine.
    pub host: Option<String>,
    /// When, RFC 3339.
    pub created: Option<String>,
    /// What it is good for.
    pub state: KeyState,
}

/// What a password slot is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// It is the one that opened the repository.
    Current,
    /// Its password would open the repository, too.
    Other,
    /// Its file cannot be read.
    Damaged,
}

/// All slots.
#[derive(Debug, Serialize)]
pub struct KeyList {
    /// The slots.
    pub keys: Vec<KeyReport>,
}

/// A slot that was added or removed.
#[derive(Debug, Serialize)]
pub struct KeyChange {
    /// Its id.
    pub key: Digest,
}

/// Lists the slots.
pub fn list(repository: &Repository) -> Result<KeyList, Failure> {
    let keys = repository.keys()?.into_iter().map(|slot| KeyReport {
        key: slot.id,
        user: slot.file.as_ref().and_then(|file| said(file.username())),
        host: slot.file.as_ref().and_then(|file| said(file.hostname())),
        created: slot.file.as_ref().and_then(|file| file.created()).map(to_rfc3339),
        state: match (&slot.file, slot.usage) {
            (None, _) => KeyState::Damaged,
            (Some(_), KeyUsage::Current) => KeyState::Current,
            (Some(_), KeyUsage::Other) => KeyState::Other,
        },
    });
    Ok(KeyList { keys: keys.collect() })
}

fn said(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| name.to_owned())
}

/// Adds a slot for another password.
pub fn add(repository: &Repository, password: &Password) -> Result<KeyChange, Failure> {
    let _lock = repository.lock(LockKind::Shared)?;
    Ok(KeyChange { key: repository.add_key(password, KdfCost::STANDARD)? })
}

/// Removes the slot whose id begins so. Errors: none, several, or the one in use.
pub fn remove(repository: &Repository, prefix: &str) -> Result<KeyChange, Failure> {
    let _lock = repository.lock_on_full_disk().map_err(lock_to_remove)?;
    let found = repository
        .keys()?
        .into_iter()
        .filter(|slot| slot.id.to_string().starts_with(prefix))
        .collect::<Vec<_>>();
    match found[..] {
        [ref slot] => {
            repository.remove_key(slot.id)?;
            Ok(KeyChange { key: slot.id })
        }
        [] => Err(Failure::new(Fault::WrongUse, Message::new(text::ERROR_KEY_UNKNOWN).with("key", prefix))
            .remedy(Message::new(text::REMEDY_KEY_UNKNOWN))),
        _ => Err(Failure::new(
            Fault::WrongUse,
            Message::new(text::ERROR_KEY_AMBIGUOUS).with("prefix", prefix).with("count", found.len()),
        )
        .remedy(Message::new(text::REMEDY_KEY_AMBIGUOUS))),
    }
}
