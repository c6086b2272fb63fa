//! Pruning: room that no recovery point needs any more is given back (requirement 001-19).

use serde::Serialize;
use sonae_repo::ballast::BALLAST_BYTES;
use sonae_repo::lock::LockError;
use sonae_repo::prune::{Amount, Prune, PruneBounds, PruneError, PruneReport as Pruned};
use sonae_repo::store::{FileKind, FileName, StoreError};
use sonae_repo::{Progress, Repository, Stop};
use sonae_text::{keys, number};
use sonae_types::{ByteCount, Digest, Message};

use crate::failure::{Failure, Fault, chain};
use crate::findings::FindingReport;

/// Whether a prune is carried out or only told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PruneMode {
    /// Only told.
    DryRun,
    /// Carried out.
    Done,
}

/// What a prune did, or would do.
#[derive(Debug, Serialize)]
pub struct PruneReport {
    /// Whether it was carried out.
    pub mode: PruneMode,
    /// Points that were looked at, proof records and those of others included.
    pub points: usize,
    /// Packs that were there.
    pub before_packs: usize,
    /// Their bytes.
    pub before_bytes: ByteCount,
    /// Bytes in them that some point needs.
    pub used_bytes: ByteCount,
    /// Packs of which what is used was copied into new ones.
    pub repacked_packs: usize,
    /// Their bytes.
    pub repacked_bytes: ByteCount,
    /// Bytes of the new ones.
    pub written_bytes: ByteCount,
    /// Packs that are of no use and stay until the grace is over.
    pub waiting_packs: usize,
    /// Their bytes.
    pub waiting_bytes: ByteCount,
    /// Packs that went.
    pub removed_packs: usize,
    /// Their bytes.
    pub removed_bytes: ByteCount,
    /// Unused bytes in packs that stay.
    pub unused_left_bytes: ByteCount,
    /// Bytes of all packs that are there now.
    pub after_bytes: ByteCount,
    /// How long packs wait.
    pub grace_seconds: u64,
    /// Packs that were to go and that the storage did not remove. They wait; the next prune tries again.
    pub refused: Vec<RefusedReport>,
    /// Packs with something in them that is needed and damaged. They stay.
    pub findings: Vec<FindingReport>,
    /// How long it took.
    pub duration_ms: u64,
}

/// A pack that the storage did not remove.
#[derive(Debug, Serialize)]
pub struct RefusedReport {
    /// The pack's file.
    pub path: String,
    /// Its size.
    pub size_bytes: ByteCount,
    /// Why, in English.
    pub detail: String,
}

impl RefusedReport {
    /// The same for people.
    #[must_use]
    pub fn message(&self) -> Message {
        Message::new(keys::PRUNE_PACK_REFUSED).with("file", &self.path)
    }
}

/// Prunes. Errors: locked, out of reach, or damaged so that nobody knows what is needed; then nothing was removed.
pub fn prune(
    repository: &Repository,
    bounds: &PruneBounds,
    mode: PruneMode,
    stop: &Stop,
    progress: &Progress,
) -> Result<PruneReport, Failure> {
    let clock = &repository.environment().clock;
    let begun = clock.monotonic();
    let pruned = match mode {
        PruneMode::DryRun => {
            let _reading = repository.begin_reading()?.settle()?;
            repository.prune(bounds, Prune::DryRun, stop, progress)
        }
        PruneMode::Done => {
            let lock = repository.lock_on_full_disk().map_err(lock_to_remove)?;
            repository.prune(bounds, Prune::Write(&lock), stop, progress)
        }
    };
    let duration_ms = u64::try_from((clock.monotonic() - begun).as_millis()).unwrap_or(u64::MAX);
    Ok(PruneReport::of(pruned?, mode, bounds, duration_ms))
}

impl PruneReport {
    fn of(pruned: Pruned, mode: PruneMode, bounds: &PruneBounds, duration_ms: u64) -> Self {
        let Pruned {
            points,
            before,
            used,
            repacked,
            written,
            waiting,
            removed,
            unused_left,
            refused,
            damaged,
        } = pruned;
        let Amount { packs: repacked_packs, bytes: repacked_bytes } = repacked;
        let after = (before.bytes + written.bytes).get().saturating_sub(removed.bytes.get());
        Self {
            mode,
            points,
            before_packs: before.packs,
            before_bytes: before.bytes,
            used_bytes: used,
            repacked_packs,
            repacked_bytes,
            written_bytes: written.bytes,
            waiting_packs: waiting.packs,
            waiting_bytes: waiting.bytes,
            removed_packs: removed.packs,
            removed_bytes: removed.bytes,
            unused_left_bytes: unused_left,
            after_bytes: ByteCount::new(after),
            grace_seconds: bounds.grace.as_secs(),
            refused: refused
                .iter()
                .map(|refused| RefusedReport {
                    path: FileName::Hashed(FileKind::Data, refused.pack.id).to_string(),
                    size_bytes: refused.pack.size,
                    detail: chain(&refused.cause),
                })
                .collect(),
            findings: damaged.iter().map(damaged_pack).collect(),
            duration_ms,
        }
    }
}

fn damaged_pack(pack: &Digest) -> FindingReport {
    FindingReport::unreadable_in_pack(pack, "something in it that is needed cannot be read")
}

/// The failure to lock a repository of which something is to be removed.
pub(crate) fn lock_to_remove(error: LockError) -> Failure {
    match error {
        LockError::Store(error) => to_remove(error),
        other @ (LockError::Held { .. } | LockError::Unreadable { .. } | LockError::Lost { .. }) => {
            other.into()
        }
    }
}

/// The failure of a store where something is to be removed: there may be no room even for what that needs.
fn to_remove(error: StoreError) -> Failure {
    let StoreError::Full { location, .. } = &error else { return error.into() };
    let needed = number::bytes(ByteCount::new(2 * BALLAST_BYTES.get()));
    Failure::new(Fault::OurFault, Message::new(keys::ERROR_PRUNE_FULL).with("location", location))
        .remedy(Message::new(keys::REMEDY_PRUNE_FULL).with("needed", needed))
        .because(error)
}

impl From<PruneError> for Failure {
    fn from(error: PruneError) -> Self {
        let (fault, message, remedy) = match error {
            PruneError::Store(error) => return to_remove(error),
            PruneError::Read(error) => return error.into(),
            PruneError::Lock(error) => return lock_to_remove(error),
            PruneError::Stopped(stopped) => return stopped.into(),
            PruneError::Point { point, ref vm, ref path, .. } => {
                let message = Message::new(keys::ERROR_PRUNE_POINT).with("point", point.short());
                let remedy = Message::new(keys::REMEDY_PRUNE_POINT).with("point", point.short());
                (Fault::DamageFound, message.with("vm", vm).with("path", path), remedy)
            }
            PruneError::Changed { ref location } => {
                let message = Message::new(keys::ERROR_PRUNE_CHANGED).with("location", location);
                (Fault::Locked, message, Message::new(keys::REMEDY_PRUNE_CHANGED))
            }
            PruneError::StillListed { ref location, .. } => {
                let message = Message::new(keys::ERROR_REPOSITORY_UNUSABLE).with("location", location);
                (Fault::OurFault, message, Message::new(keys::REMEDY_REPOSITORY_UNUSABLE))
            }
        };
        Self::new(fault, message).remedy(remedy).because(error)
    }
}
