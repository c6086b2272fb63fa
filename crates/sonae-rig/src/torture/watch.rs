//! Looking at a repository from outside, to tell what a run over it is doing or was doing when it was killed.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use sonae_repo::lock::SETTLE;
use sonae_types::ByteCount;

use super::{Phase, PrunePhase};

/// What was there before a run, and what is new.
pub(super) struct Watch {
    repository: PathBuf,
    before: Files,
    /// When the lock was first seen, as time since the start of the run.
    locked: Cell<Option<Duration>>,
}

/// What a killed run left.
pub(super) struct Left {
    /// What it was doing; none where it had not even a lock.
    pub(super) phase: Option<Phase>,
    /// Bytes in files that were not there before.
    pub(super) bytes: ByteCount,
}

#[derive(Default)]
struct Files {
    locks: BTreeSet<OsString>,
    packs: BTreeSet<OsString>,
    index: BTreeSet<OsString>,
    snapshots: BTreeSet<OsString>,
    tmp: BTreeSet<OsString>,
}

/// A file this large on its way to its name is a pack.
const PACK_SINCE: u64 = 256 << 10;

impl Watch {
    pub(super) fn over(repository: &Path) -> Result<Self> {
        let before = Files::of(repository)?;
        Ok(Self { repository: repository.to_owned(), before, locked: Cell::new(None) })
    }

    /// Whether the run is in this phase, or past it.
    pub(super) fn reached(&self, phase: Phase, elapsed: Duration) -> Result<bool> {
        if self.locked.get().is_none() && self.is_new("locks", &self.before.locks)? {
            self.locked.set(Some(elapsed));
        }
        Ok(match phase {
            Phase::Lock => self.locked.get().is_some(),
            Phase::Read => self.locked.get().is_some_and(|at| SETTLE <= elapsed.saturating_sub(at)),
            Phase::Pack => self.writes_a_pack()?,
            Phase::Index => self.is_new("index", &self.before.index)?,
            Phase::Snapshot => self.is_new("snapshots", &self.before.snapshots)?,
        })
    }

    /// What a run left that was killed so long after its start.
    pub(super) fn left(&self, killed: Duration) -> Result<Left> {
        let now = Files::of(&self.repository)?;
        let new = |now: &BTreeSet<OsString>, before: &BTreeSet<OsString>| !now.is_subset(before);
        let settled = self.locked.get().is_some_and(|at| SETTLE < killed.saturating_sub(at));
        let phase = if new(&now.snapshots, &self.before.snapshots) {
            Some(Phase::Snapshot)
        } else if new(&now.index, &self.before.index) {
            Some(Phase::Index)
        } else if new(&now.packs, &self.before.packs) || self.writes_a_pack()? {
            Some(Phase::Pack)
        } else if !new(&now.locks, &self.before.locks) {
            None
        } else if settled {
            Some(Phase::Read)
        } else {
            Some(Phase::Lock)
        };
        let mut bytes = 0;
        for (folder, now, before) in [
            ("locks", &now.locks, &self.before.locks),
            ("data", &now.packs, &self.before.packs),
            ("index", &now.index, &self.before.index),
            ("snapshots", &now.snapshots, &self.before.snapshots),
            ("tmp", &now.tmp, &self.before.tmp),
        ] {
            for name in now.difference(before) {
                bytes += std::fs::metadata(self.repository.join(folder).join(name))?.len();
            }
        }
        Ok(Left { phase, bytes: ByteCount::new(bytes) })
    }

    /// Whether a prune is in this phase, or past it.
    pub(super) fn reached_in_prune(&self, phase: PrunePhase) -> Result<bool> {
        Ok(match phase {
            PrunePhase::Lock => self.is_new("locks", &self.before.locks)?,
            PrunePhase::Pack => self.writes_a_pack()?,
            PrunePhase::Index => names(&self.repository.join("index"))? != self.before.index,
            PrunePhase::Remove => self.lacks_a_pack(),
        })
    }

    /// What a prune was doing that was killed; none where it had not even a lock.
    pub(super) fn left_by_prune(&self) -> Result<Option<PrunePhase>> {
        let now = Files::of(&self.repository)?;
        Ok(if self.lacks_a_pack() {
            Some(PrunePhase::Remove)
        } else if now.index != self.before.index {
            Some(PrunePhase::Index)
        } else if now.packs != self.before.packs || self.writes_a_pack()? {
            Some(PrunePhase::Pack)
        } else if now.locks.is_subset(&self.before.locks) {
            None
        } else {
            Some(PrunePhase::Lock)
        })
    }

    fn lacks_a_pack(&self) -> bool {
        let data = self.repository.join("data");
        self.before.packs.iter().any(|pack| !data.join(pack).exists())
    }

    fn is_new(&self, folder: &str, before: &BTreeSet<OsString>) -> Result<bool> {
        Ok(!names(&self.repository.join(folder))?.is_subset(before))
    }

    fn writes_a_pack(&self) -> Result<bool> {
        let tmp = self.repository.join("tmp");
        let new = names(&tmp)?;
        let len = |name: &OsString| std::fs::metadata(tmp.join(name)).map_or(0, |file| file.len());
        Ok(new.difference(&self.before.tmp).any(|name| PACK_SINCE <= len(name)))
    }
}

impl Files {
    fn of(repository: &Path) -> Result<Self> {
        let mut packs = BTreeSet::new();
        for folder in names(&repository.join("data"))? {
            for pack in names(&repository.join("data").join(&folder))? {
                packs.insert(Path::new(&folder).join(pack).into_os_string());
            }
        }
        Ok(Self {
            locks: names(&repository.join("locks"))?,
            packs,
            index: names(&repository.join("index"))?,
            snapshots: names(&repository.join("snapshots"))?,
            tmp: names(&repository.join("tmp"))?,
        })
    }
}

fn names(folder: &Path) -> Result<BTreeSet<OsString>> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}
