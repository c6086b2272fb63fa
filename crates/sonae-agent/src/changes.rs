//! What changed since a parent: maps of changes, and whether a backup may rely on them (requirement 003-24).
//!
//! A map counts only where everything binds it to the parent: the point, the disk's size, how it was cut, and the digest
//! of the chunk list; and only for the machine's newest point, and only if the disk was not written to after it, since a map
//! of an earlier night knows nothing of later changes. Otherwise the whole disk is read, and the report says why. A map never makes a backup fail: the
//! night on which it is broken is no better a night to be without a new point.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sonae_repo::Repository;
use sonae_repo::chunk::{Changed, ChunkTarget};
use sonae_repo::ingest::{Audit, Base};
use sonae_repo::manifest::{BasedOn, ChunkRule, Chunking, merkle_root};
use sonae_repo::reader::Points;
use sonae_repo::snapshot::Point;
use sonae_repo::trusted::TrustedIndex;
use sonae_text::keys;
use sonae_types::{ByteCount, Digest, DiskName, Message, VmName};

use crate::failure::{Failure, Fault, chain};
use crate::parent::{PointDisk, PointDisks};

/// Longest map that is read: some ten million ranges.
pub const MAP_BYTES_MAX: u64 = 256 << 20;

/// Part of the unchanged data that is read again where nothing else is asked for.
pub const AUDIT_PERCENT: u8 = 1;

/// The maps of changes that were given for a machine, and how far they are trusted.
#[derive(Clone, Debug)]
pub struct ChangeMaps {
    maps: Vec<(DiskName, PathBuf)>,
    audit_percent: u8,
}

/// A map as hypervisors or `sonae diff` write it: `{"parent":"POINT","size_bytes":n,"ranges":[[offset,length],…]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeMap {
    /// The point since which these changes were made: its id, or a beginning of it that no other point of the machine has.
    pub parent: String,
    /// Size of the disk when the map was taken.
    pub size_bytes: ByteCount,
    /// Offset and length of every stretch that may have changed, in bytes, in any order.
    pub ranges: Vec<(u64, u64)>,
    /// Digest of the parent's chunk list, as its manifest has it, where whoever wrote the map knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merkle_root: Option<Digest>,
}

/// Why a disk was read as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// There is no point before it.
    FirstPoint,
    /// Nothing says what changed since the point before.
    NoChangeInformation,
    /// A map says what changed.
    MapOfChanges,
    /// The map cannot be read, is none, or names a range that is not on the disk.
    MapUnreadable,
    /// The repository has no such parent, or several.
    ParentUnknown,
    /// The parent is a point of another machine.
    ParentOfOtherMachine,
    /// The machine has a newer point than the parent, so the map may be one of an earlier night.
    ParentNotNewest,
    /// The disk was written to after the map.
    MapOlderThanDisk,
    /// The parent does not have this disk, or was not written by Sonae.
    ParentWithoutDisk,
    /// What the parent has of the disk is damaged.
    ParentDamaged,
    /// The disk, the map and the parent have not all the same size.
    SizeDiffers,
    /// The parent was cut by another rule.
    ChunkingDiffers,
    /// The map was made for another chunk list than the parent has.
    ChunkListDiffers,
    /// An audit found a change that the map does not tell.
    MapUntrue,
}

/// What a disk is read on.
#[derive(Debug)]
pub(crate) enum Basis {
    /// Everything is read.
    Whole(WholeBecause),
    /// What changed since the parent.
    Changed { base: Base, on: BasedOn },
}

/// Why everything is read.
#[derive(Debug)]
pub(crate) struct WholeBecause {
    pub(crate) reason: Reason,
    /// What is known about it, in English.
    pub(crate) detail: Option<String>,
}

/// The disk that asks for a basis.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) vm: &'a VmName,
    pub(crate) disk: &'a DiskName,
    /// Where it is read from.
    pub(crate) source: &'a Path,
    /// The machine's newest point.
    pub(crate) newest: Option<Digest>,
    pub(crate) size: ByteCount,
    pub(crate) target: ChunkTarget,
    pub(crate) audit: Audit,
}

/// The points on which disks may be based, each read once.
pub(crate) struct Parents<'a> {
    repository: &'a Repository,
    points: &'a Points,
    trusted: &'a TrustedIndex,
    loaded: Vec<PointDisks>,
}

impl Default for ChangeMaps {
    fn default() -> Self {
        Self { maps: Vec::new(), audit_percent: AUDIT_PERCENT }
    }
}

impl ChangeMaps {
    /// One map a disk at most. Errors: two for one disk.
    pub fn new(maps: Vec<(DiskName, PathBuf)>, audit_percent: u8) -> Result<Self, Failure> {
        let twice =
            maps.iter().enumerate().find(|(n, (name, _))| maps[..*n].iter().any(|(other, _)| other == name));
        match twice {
            None => Ok(Self { maps, audit_percent }),
            Some((_, (disk, _))) => Err(Failure::new(
                Fault::WrongUse,
                Message::new(keys::ERROR_CHANGES_DUPLICATE).with("disk", disk),
            )
            .remedy(Message::new(keys::REMEDY_CHANGES_DUPLICATE))),
        }
    }

    /// Errors: a map for a disk that is not backed up.
    pub(crate) fn refuse_strangers<'d>(
        &self,
        disks: impl Iterator<Item = &'d DiskName> + Clone,
    ) -> Result<(), Failure> {
        match self.maps.iter().find(|(name, _)| disks.clone().all(|disk| disk != name)) {
            None => Ok(()),
            Some((disk, _)) => Err(Failure::new(
                Fault::WrongUse,
                Message::new(keys::ERROR_CHANGES_NO_DISK).with("disk", disk),
            )
            .remedy(Message::new(keys::REMEDY_CHANGES_NO_DISK))),
        }
    }

    pub(crate) fn of(&self, disk: &DiskName) -> Option<&Path> {
        self.maps.iter().find(|(name, _)| name == disk).map(|(_, path)| path.as_path())
    }

    pub(crate) fn audit(&self, turn: u64) -> Audit {
        Audit::of(self.audit_percent, turn)
    }
}

impl ChangeMap {
    /// Reads a map. Errors: in words for the log.
    fn read(path: &Path) -> Result<Self, String> {
        let told = |error: &dyn std::error::Error| format!("{}: {}", path.display(), chain(error));
        let size = std::fs::metadata(path).map_err(|error| told(&error))?.len();
        if MAP_BYTES_MAX < size {
            return Err(format!("{}: has {size} bytes, more than {MAP_BYTES_MAX}", path.display()));
        }
        let bytes = std::fs::read(path).map_err(|error| told(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| told(&error))
    }
}

impl<'a> Parents<'a> {
    pub(crate) fn new(repository: &'a Repository, points: &'a Points, trusted: &'a TrustedIndex) -> Self {
        Self { repository, points, trusted, loaded: Vec::new() }
    }

    /// The disks of a point.
    pub(crate) fn load(&mut self, point: &Point) -> Result<&PointDisks, Failure> {
        let known = self.loaded.iter().position(|loaded| loaded.point == point.id);
        let number = match known {
            Some(number) => number,
            None => {
                self.loaded.push(PointDisks::load(self.repository, &self.trusted.index, point)?);
                self.loaded.len() - 1
            }
        };
        Ok(&self.loaded[number])
    }

    /// What a disk is read on, given this map. Errors: the repository cannot be read at all.
    pub(crate) fn basis(&mut self, asking: Asking<'_>, map: &Path) -> Result<Basis, Failure> {
        let older = is_older(map, asking.source);
        let map = match ChangeMap::read(map) {
            Ok(map) => map,
            Err(detail) => return Ok(whole(Reason::MapUnreadable, Some(detail))),
        };
        let point = match self.parent(&map, asking.vm) {
            Ok(point) => point,
            Err(because) => return Ok(Basis::Whole(because)),
        };
        if asking.newest != Some(point.id) {
            return Ok(whole(
                Reason::ParentNotNewest,
                asking.newest.map(|newest| format!("the newest is {newest}")),
            ));
        }
        if older {
            return Ok(whole(Reason::MapOlderThanDisk, None));
        }
        let trusted = self.trusted;
        let disks = self.load(point)?;
        let Some(disk) = disks.disk(asking.disk) else {
            return Ok(whole(Reason::ParentWithoutDisk, None));
        };
        let Some(described) = disks.described(asking.disk) else {
            let reason =
                if point.snapshot.is_ours() { Reason::ParentDamaged } else { Reason::ParentWithoutDisk };
            return Ok(whole(reason, Some("the parent has no manifest that tells of this disk".to_owned())));
        };
        let root = merkle_root(&disk.chunks);
        if root != described.merkle_root {
            let detail = "the chunk list is not the one that its manifest was sealed over".to_owned();
            return Ok(whole(Reason::ParentDamaged, Some(detail)));
        }
        let chunking = Chunking { rule: ChunkRule::PageXxh3, target_bytes: asking.target };
        if described.chunking != chunking {
            return Ok(whole(Reason::ChunkingDiffers, None));
        }
        if map.merkle_root.is_some_and(|stated| stated != root) {
            return Ok(whole(Reason::ChunkListDiffers, None));
        }
        let on = BasedOn { point: point.id, merkle_root: root };
        Ok(on_map(asking, &map, disk, trusted, on))
    }

    /// The parent that a map names. Errors: why everything has to be read.
    fn parent(&self, map: &ChangeMap, vm: &VmName) -> Result<&'a Point, WholeBecause> {
        let prefix = map.parent.to_ascii_lowercase();
        let named = |point: &&Point| !prefix.is_empty() && point.id.to_string().starts_with(&prefix);
        let points = self.points.good.iter().filter(|point| !point.snapshot.is_proof()).filter(named);
        let (ours, others) = points.partition::<Vec<_>, _>(|point| point.snapshot.hostname == vm.as_str());
        match (&ours[..], &others[..]) {
            ([point], _) => Ok(*point),
            ([], [other, ..]) => {
                let detail = format!("it is of {}", other.snapshot.hostname);
                Err(because(Reason::ParentOfOtherMachine, Some(detail)))
            }
            ([], []) => {
                Err(because(Reason::ParentUnknown, Some(format!("there is no point {}", map.parent))))
            }
            (several, _) => {
                let detail = format!("{} points begin with {}", several.len(), map.parent);
                Err(because(Reason::ParentUnknown, Some(detail)))
            }
        }
    }
}

/// Whether an image was written to after its map: then the map cannot know of that. Devices do not tell.
fn is_older(map: &Path, source: &Path) -> bool {
    let modified =
        |path: &Path| std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?.modified().ok();
    modified(map).zip(modified(source)).is_some_and(|(map, source)| map < source)
}

/// The basis that a map makes of a parent's disk, once both belong together.
fn on_map(
    asking: Asking<'_>,
    map: &ChangeMap,
    disk: &PointDisk,
    trusted: &TrustedIndex,
    on: BasedOn,
) -> Basis {
    if map.size_bytes != asking.size || disk.size != asking.size {
        let detail = format!(
            "the disk has {}, the map says {}, the parent has {}",
            asking.size, map.size_bytes, disk.size
        );
        return whole(Reason::SizeDiffers, Some(detail));
    }
    let changed = match Changed::new(asking.size.get(), map.ranges.iter().copied()) {
        Ok(changed) => changed,
        Err(error) => return whole(Reason::MapUnreadable, Some(error.to_string())),
    };
    match Base::new(&disk.chunks, asking.size, trusted, changed, asking.audit) {
        Ok(base) => Basis::Changed { base, on },
        Err(error) => whole(Reason::ParentDamaged, Some(error.to_string())),
    }
}

pub(crate) fn whole(reason: Reason, detail: Option<String>) -> Basis {
    Basis::Whole(because(reason, detail))
}

fn because(reason: Reason, detail: Option<String>) -> WholeBecause {
    WholeBecause { reason, detail }
}
