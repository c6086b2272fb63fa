//! Proving by reading: a point, all points, or the whole repository.

use serde::Serialize;
use sonae_repo::check::{CheckReport, Depth};
use sonae_repo::snapshot::Point;
use sonae_repo::{Progress, Repository, Stop};
use sonae_types::{ByteCount, Digest, VmName};

use crate::failure::Failure;
use crate::findings::{DamagedReport, FindingReport};
use crate::select::{Selector, select, unknown_vm};

/// Which points to verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// One.
    One(Selector),
    /// All, of one machine or of all.
    All,
}

/// What verifying found.
#[derive(Debug, Serialize)]
pub struct VerifyReport {
    /// The verdict on all of it.
    pub verdict: Verdict,
    /// The points, each with its own.
    pub points: Vec<PointVerdict>,
    /// Different chunks that were read back.
    pub chunks: usize,
    /// Plain bytes of them.
    pub read_bytes: ByteCount,
    /// What is wrong.
    pub findings: Vec<FindingReport>,
    /// How long it took.
    pub duration_ms: u64,
}

/// The verdict on one point.
#[derive(Debug, Serialize)]
pub struct PointVerdict {
    /// The point.
    pub point: Digest,
    /// The machine.
    pub vm: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Number of findings that hit it.
    pub findings: usize,
}

/// What reading everything said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything was read and is as it was written.
    Good,
    /// Something is damaged.
    Damaged,
    /// There was nothing to read, so nothing is proven.
    NotProven,
}

/// What a check found.
#[derive(Debug, Serialize)]
pub struct RepoCheckReport {
    /// The verdict.
    pub verdict: Verdict,
    /// Whether all data was read.
    pub data_read: bool,
    /// Points looked at.
    pub points: usize,
    /// Packs that the index names.
    pub packs: usize,
    /// Blobs that the index names.
    pub blobs: usize,
    /// Bytes of packs that were read.
    pub read_bytes: ByteCount,
    /// Packs that nothing references: no damage, only room.
    pub unreferenced_packs: usize,
    /// Their bytes.
    pub unreferenced_bytes: ByteCount,
    /// What is wrong.
    pub findings: Vec<FindingReport>,
    /// How long it took.
    pub duration_ms: u64,
}

/// Reads back all that the points need. Errors: an unknown point or machine; damage is in the report, not an error.
pub fn verify(
    repository: &Repository,
    selection: &Selection,
    vm: Option<&VmName>,
    stop: &Stop,
    progress: &Progress,
) -> Result<VerifyReport, Failure> {
    let clock = &repository.environment().clock;
    let begun = clock.monotonic();
    let lock = repository.begin_reading()?;
    let points = repository.points()?;
    let chosen = match selection {
        Selection::One(selector) => vec![select(&points, selector, vm)?.clone()],
        Selection::All => points
            .good
            .iter()
            .filter(|point| vm.is_none_or(|vm| point.snapshot.hostname == vm.as_str()))
            .cloned()
            .collect::<Vec<_>>(),
    };
    if let Some(vm) = vm.filter(|_| chosen.is_empty() && points.damaged.is_empty()) {
        return Err(unknown_vm(vm));
    }
    let loaded = repository.load_index_around_damage()?;
    let _lock = lock.settle()?;
    let report = repository.verify(&chosen, &loaded.index, stop, progress)?;
    let mut findings = report.findings.iter().map(FindingReport::from).collect::<Vec<_>>();
    if *selection == Selection::All {
        findings.extend(points.damaged.iter().map(DamagedReport::snapshot).map(FindingReport::from));
    }
    let verdicts = chosen.iter().map(|point| PointVerdict::of(point, &findings)).collect::<Vec<_>>();
    let verdict = match (findings.is_empty(), chosen.is_empty()) {
        (false, _) => Verdict::Damaged,
        (true, true) => Verdict::NotProven,
        (true, false) => Verdict::Good,
    };
    let duration_ms = u64::try_from((clock.monotonic() - begun).as_millis()).unwrap_or(u64::MAX);
    Ok(VerifyReport {
        verdict,
        points: verdicts,
        chunks: report.chunks,
        read_bytes: report.read,
        findings,
        duration_ms,
    })
}

/// Checks the whole repository. Damage is in the report, not an error.
pub fn check(
    repository: &Repository,
    depth: Depth,
    stop: &Stop,
    progress: &Progress,
) -> Result<RepoCheckReport, Failure> {
    let clock = &repository.environment().clock;
    let begun = clock.monotonic();
    let _lock = repository.begin_reading()?.settle()?;
    let CheckReport { points, packs, blobs, read, unreferenced_packs, findings } =
        repository.check(depth, stop, progress)?;
    Ok(RepoCheckReport {
        verdict: if findings.is_empty() { Verdict::Good } else { Verdict::Damaged },
        data_read: depth == Depth::Data,
        points,
        packs,
        blobs,
        read_bytes: read,
        unreferenced_packs: unreferenced_packs.len(),
        unreferenced_bytes: unreferenced_packs.iter().map(|pack| pack.size).sum(),
        findings: findings.iter().map(FindingReport::from).collect(),
        duration_ms: u64::try_from((clock.monotonic() - begun).as_millis()).unwrap_or(u64::MAX),
    })
}

impl PointVerdict {
    fn of(point: &Point, findings: &[FindingReport]) -> Self {
        let hits = findings.iter().filter(|finding| finding.point == Some(point.id)).count();
        let verdict = if hits == 0 { Verdict::Good } else { Verdict::Damaged };
        Self { point: point.id, vm: point.snapshot.hostname.clone(), verdict, findings: hits }
    }
}
