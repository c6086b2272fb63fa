//! Checking a repository: its structure without reading data, and, where asked, every byte of every pack.
//!
//! What is wrong is a finding with its place; nothing that is wrong hides what else is.

use std::collections::{HashMap, HashSet};

use sonae_types::{ByteCount, Digest};

use crate::blob::{BlobEntry, BlobKind};
use crate::crypto::OVERHEAD_BYTES;
use crate::environment::{Progress, Stop, Stopped};
use crate::index::Index;
use crate::reader::ReadError;
use crate::repository::Repository;
use crate::snapshot::Point;
use crate::store::{FileKind, FileName, Listed};
use crate::verify::verify_packs;
use crate::walk::{Met, WalkedFile, Walker};

/// Most findings that are told of one point.
const TOLD_OF_POINT_MAX: usize = 1_000;
/// Most findings that are told at all, one of every point excepted. A repository of which all is gone, or that never was
/// one, would have as many as it has chunks.
const TOLD_MAX: usize = 10_000;

/// How deep a check goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Names, sizes and references.
    Structure,
    /// All of it, and every byte of every pack.
    Data,
}

/// Something is wrong.
#[derive(Debug)]
pub enum Finding {
    /// A file that must be readable is not.
    File {
        /// The file.
        file: FileName,
        /// Why.
        cause: ReadError,
    },
    /// The index names a pack that is not there.
    PackMissing {
        /// The pack.
        pack: Digest,
    },
    /// A pack has another size than its blobs and header make up.
    PackSize {
        /// The pack.
        pack: Digest,
        /// What they make up.
        expected: ByteCount,
        /// What is there.
        found: ByteCount,
    },
    /// A pack's bytes are not what its name or its index says.
    PackDamaged {
        /// The pack.
        pack: Digest,
        /// How.
        cause: ReadError,
    },
    /// A folder of a point cannot be read.
    Folder {
        /// The point.
        point: Digest,
        /// The machine it is of.
        vm: String,
        /// The folder.
        path: String,
        /// Why.
        cause: ReadError,
    },
    /// A stretch of a file of a point cannot be restored.
    Range {
        /// The point.
        point: Digest,
        /// The machine it is of.
        vm: String,
        /// The file.
        path: String,
        /// Where in the file; none when the lengths before it are unknown.
        at: Option<u64>,
        /// How many bytes from there; none when the index does not know the chunk.
        len: Option<u32>,
        /// The chunk.
        chunk: Digest,
    },
    /// A file's chunks do not add up to its stated size.
    Size {
        /// The point.
        point: Digest,
        /// The machine it is of.
        vm: String,
        /// The file.
        path: String,
        /// The stated size.
        stated: u64,
        /// What they add up to.
        sum: u64,
    },
    /// A file that belongs to a point is not in it: somebody took it out.
    Gone {
        /// The point.
        point: Digest,
        /// The machine it is of.
        vm: String,
        /// The file.
        path: String,
    },
    /// The chunk list of a disk is not the one its manifest was sealed over.
    Root {
        /// The point.
        point: Digest,
        /// The machine it is of.
        vm: String,
        /// The file.
        path: String,
    },
}

/// What a check found.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// Points that were looked at.
    pub points: usize,
    /// Packs that the index names.
    pub packs: usize,
    /// Blobs that the index names.
    pub blobs: usize,
    /// Bytes of packs that were read.
    pub read: ByteCount,
    /// Packs that nothing references, left by interrupted runs: no damage, only room.
    pub unreferenced_packs: Vec<Listed>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Repository {
    /// Checks the repository. Errors: what kept the check itself from being made; what is wrong is in the report.
    pub fn check(&self, depth: Depth, stop: &Stop, progress: &Progress) -> Result<CheckReport, CheckError> {
        let points = self.points()?;
        let loaded = self.load_index_around_damage()?;
        let index = &loaded.index;
        let mut report =
            CheckReport { points: points.good.len(), blobs: index.len(), ..CheckReport::default() };
        for (kind, damaged) in [(FileKind::Snapshot, points.damaged), (FileKind::Index, loaded.damaged)] {
            let findings = damaged
                .into_iter()
                .map(|file| Finding::File { file: FileName::Hashed(kind, file.id), cause: file.cause });
            report.findings.extend(findings);
        }
        let ComparedPacks { there, lost: mut bad } = self.compare_packs(index, &mut report)?;
        if depth == Depth::Data {
            bad.extend(verify_packs(self, there, stop, progress, &mut report)?);
        }
        self.check_points(&points.good, index, &bad, stop, &mut report)?;
        Ok(report)
    }

    /// Compares the packs that the index names with those that are there.
    fn compare_packs(&self, index: &Index, report: &mut CheckReport) -> Result<ComparedPacks, CheckError> {
        let mut named: HashMap<Digest, Vec<BlobEntry>> = HashMap::new();
        for place in index.iter() {
            named.entry(place.pack).or_default().push(place.blob);
        }
        report.packs = named.len();
        let there = self.store.list(FileKind::Data).map_err(ReadError::from)?;
        let sizes = there.iter().map(|file| (file.id, file.size)).collect::<HashMap<_, _>>();
        report.unreferenced_packs =
            there.iter().filter(|file| !named.contains_key(&file.id)).copied().collect();
        let mut findings = Vec::new();
        let reaches =
            |pack: &Digest, blob: &BlobEntry| sizes.get(pack).is_some_and(|size| blob.end() <= size.get());
        let elsewhere = |blob: &BlobEntry| {
            index.locations(blob.kind, blob.id).any(|place| reaches(&place.pack, &place.blob))
        };
        let mut lost = HashSet::new();
        named.retain(|pack, blobs| {
            blobs.sort_unstable_by_key(|blob| blob.offset);
            let gone = blobs.iter().filter(|blob| !reaches(pack, blob) && !elsewhere(blob));
            lost.extend(gone.map(|blob| blob.id));
            let expected = expected_pack_size(blobs);
            match sizes.get(pack) {
                None => findings.push((*pack, Finding::PackMissing { pack: *pack })),
                Some(found) if *found != expected => {
                    findings.push((*pack, Finding::PackSize { pack: *pack, expected, found: *found }));
                }
                Some(_) => {}
            }
            sizes.contains_key(pack)
        });
        findings.sort_by_key(|(pack, _)| *pack);
        report.findings.extend(findings.into_iter().map(|(_, finding)| finding).take(TOLD_MAX));
        Ok(ComparedPacks { there: named, lost })
    }

    fn check_points(
        &self,
        points: &[Point],
        index: &Index,
        bad: &HashSet<Digest>,
        stop: &Stop,
        report: &mut CheckReport,
    ) -> Result<(), CheckError> {
        let mut walker = Walker::new(self, index);
        for point in points {
            stop.check()?;
            check_point(&mut walker, index, point, bad, &mut report.findings);
        }
        Ok(())
    }
}

/// What the index names, beside what is there.
struct ComparedPacks {
    /// The blobs of every pack that is there, as they lie in it.
    there: HashMap<Digest, Vec<BlobEntry>>,
    /// Blobs that no pack has any more: all that should are gone or too short.
    lost: HashSet<Digest>,
}

/// A check could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The repository is out of reach.
    #[error("the repository cannot be checked")]
    Read(#[from] ReadError),
    /// Asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Looks at every file of a point that the walker has not seen: are its chunks there, sound, and of the stated sum?
pub fn check_point(
    walker: &mut Walker<'_>,
    index: &Index,
    point: &Point,
    bad: &HashSet<Digest>,
    findings: &mut Vec<Finding>,
) {
    let (whole, point) = (point, point.id);
    let vm = || whole.snapshot.hostname.clone();
    let mut told = Told { findings, of_point: 0 };
    walker.walk(whole, &mut |met| match met {
        Met::Folder(_) => {}
        Met::Unreadable { path, cause, .. } => {
            told.tell(|| Finding::Folder { point, vm: vm(), path, cause });
        }
        Met::File(WalkedFile { path, size, content }) => {
            let mut at = Some(0);
            for chunk in content {
                let len = index.plain_len(BlobKind::Data, chunk);
                if len.is_none() || bad.contains(&chunk) {
                    told.tell(|| Finding::Range { point, vm: vm(), path: path.clone(), at, len, chunk });
                }
                at = at.zip(len).map(|(at, len)| at + u64::from(len));
            }
            if let Some(sum) = at.filter(|sum| *sum != size) {
                told.tell(|| Finding::Size { point, vm: vm(), path, stated: size, sum });
            }
        }
    });
}

/// Tells findings, as many as may be told.
struct Told<'a> {
    findings: &'a mut Vec<Finding>,
    of_point: usize,
}

impl Told<'_> {
    fn tell(&mut self, finding: impl FnOnce() -> Finding) {
        // The first one of a point always: without it, the point would count as good.
        let few = self.of_point < TOLD_OF_POINT_MAX && self.findings.len() < TOLD_MAX;
        if few || self.of_point == 0 {
            self.findings.push(finding());
        }
        self.of_point += 1;
    }
}

/// The size of a pack with just these blobs, from the format: bodies, sealed header, four bytes of its length.
pub fn expected_pack_size(blobs: &[BlobEntry]) -> ByteCount {
    let bodies = blobs.last().map_or(0, BlobEntry::end);
    let entries = blobs.iter().map(|blob| if blob.expanded.is_some() { 41 } else { 37 }).sum::<u64>();
    ByteCount::new(bodies + entries + OVERHEAD_BYTES as u64 + 4)
}
