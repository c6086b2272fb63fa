//! What a lock file says, and what it is worth.

use serde::{Deserialize, Serialize};
use sonae_types::Timestamp;

use super::{LockKind, STALE};
use crate::environment::{Liveness, Processes, Worker};
use crate::time::{from_rfc3339, to_rfc3339};

/// The content of a lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockFile {
    pub(crate) time: String,
    pub(crate) exclusive: bool,
    pub(crate) hostname: String,
    #[serde(default)]
    pub(crate) username: String,
    pub(crate) pid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    uid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    gid: u32,
}

/// What a lock is worth to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Somebody works, or may work, under it.
    Held,
    /// Its process ran on this machine and is gone.
    Abandoned,
    /// Nobody has refreshed it for longer than [`STALE`].
    Stale,
    /// It cannot be read, so it may be anybody's.
    Unreadable,
}

/// When a lock was stored and what time it is now, both by the clock of the store; none where the store does not say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StoreTime {
    pub(crate) stored_at: Option<Timestamp>,
    pub(crate) now: Option<Timestamp>,
}

/// The lock in a JSON document.
pub(crate) fn decode_lock(json: &[u8]) -> Result<LockFile, serde_json::Error> {
    serde_json::from_slice(json)
}

impl LockFile {
    pub(super) fn of(worker: &Worker, kind: LockKind, now: Timestamp) -> Self {
        Self {
            time: to_rfc3339(now),
            exclusive: kind == LockKind::Exclusive,
            hostname: worker.hostname.clone(),
            username: worker.username.clone(),
            pid: worker.pid,
            uid: worker.uid,
            gid: worker.gid,
        }
    }

    pub(super) fn allows(&self, kind: LockKind) -> bool {
        kind == LockKind::Shared && !self.exclusive
    }

    pub(super) fn is_abandoned(&self, worker: &Worker, processes: &dyn Processes) -> bool {
        self.hostname == worker.hostname && processes.lives(self.pid) == Liveness::Gone
    }

    /// Whether its stamp is older than [`STALE`]; one whose stamp is no time is not, and must be removed by hand.
    pub(super) fn is_old(&self, now: Timestamp) -> bool {
        from_rfc3339(&self.time).is_some_and(|stamp| STALE < now.since(stamp))
    }
}

impl StoreTime {
    /// Whether the store agrees that the lock is old. Two clocks, ours and the holder's, decide what a stamp is worth,
    /// and either may be wrong; the store's is one clock. A store that does not tell the time has no say.
    pub(super) fn agrees(self) -> bool {
        match (self.stored_at, self.now) {
            (Some(stored_at), Some(now)) => STALE < now.since(stored_at),
            (None, _) | (_, None) => true,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
