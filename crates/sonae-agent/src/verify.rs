//! Proving by reading: a point, all points, or the whole repository.

use serde::Serialize;
use sonae_repo::check::{CheckReport, Depth, Finding};
use sonae_repo::lock::LockKind;
use sonae_repo::snapshot::Point;
use sonae_repo::{Progress, Repository, Stop};
use sonae_text::keys;
use sonae_types::{ByteCount, Digest, Message, VmName};

use crate::failure::{Failure, Fault, chain};
use crate::select::{Selector, select};

/// Which points to verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// One.
    One(Selector),
    /// All, of one machine or of all.
    All,
}

/// What is wrong, and where, in words for programs.
#[derive(Debug, Serialize)]
pub struct FindingReport {
    /// What kind of thing is wrong.
    pub kind: &'static str,
    /// The point, where it hits one.
    pub point: Option<Digest>,
    /// The machine, where it hits one.
    pub vm: Option<String>,
    /// The file of the point or of the repository.
    pub path: Option<String>,
    /// Where in the file.
    pub offset: Option<u64>,
    /// What is known about it.
    pub detail: String,
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

/// Reads back all that the points need. Errors: an unknown point; damage is in the report, not an error.
pub fn verify(
    repository: &Repository,
    selection: &Selection,
    vm: Option<&VmName>,
    stop: &Stop,
    progress: &Progress,
) -> Result<VerifyReport, Failure> {
    let clock = &repository.environment().clock;
    let begun = clock.monotonic();
    let _lock = repository.lock(LockKind::Shared)?;
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
    let loaded = repository.load_index_around_damage()?;
    let report = repository.verify(&chosen, &loaded.index, stop, progress)?;
    let mut findings = report.findings.iter().map(FindingReport::of).collect::<Vec<_>>();
    if *selection == Selection::All {
        findings.extend(
            points
                .damaged
                .iter()
                .map(|file| FindingReport::file(format!("snapshots/{}", file.id), chain(&file.cause))),
        );
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
    let _lock = repository.lock(LockKind::Shared)?;
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
        findings: findings.iter().map(FindingReport::of).collect(),
        duration_ms: u64::try_from((clock.monotonic() - begun).as_millis()).unwrap_or(u64::MAX),
    })
}

/// The failure that a finding amounts to, for whoever must say one sentence about it.
#[must_use]
pub fn first_failure(findings: &[FindingReport]) -> Option<Failure> {
    let first = findings.first()?;
    let message = match (&first.vm, &first.path, first.point) {
        (Some(_), _, Some(point)) => Message::new(keys::ERROR_DAMAGE_POINT).with("point", point.short()),
        _ => Message::new(keys::ERROR_DAMAGE_FILE)
            .with("file", first.path.as_deref().unwrap_or("-"))
            .with("why", &first.detail),
    };
    Some(Failure::new(Fault::DamageFound, message).remedy(Message::new(keys::REMEDY_DAMAGE_REPOSITORY)))
}

impl PointVerdict {
    fn of(point: &Point, findings: &[FindingReport]) -> Self {
        let hits = findings.iter().filter(|finding| finding.point == Some(point.id)).count();
        let verdict = if hits == 0 { Verdict::Good } else { Verdict::Damaged };
        Self { point: point.id, vm: point.snapshot.hostname.clone(), verdict, findings: hits }
    }
}

impl FindingReport {
    fn file(path: String, detail: String) -> Self {
        Self { kind: "file", point: None, vm: None, path: Some(path), offset: None, detail }
    }

    fn of_point(
        kind: &'static str,
        point: Digest,
        vm: &str,
        path: &str,
        offset: Option<u64>,
        detail: String,
    ) -> Self {
        Self {
            kind,
            point: Some(point),
            vm: Some(vm.to_owned()),
            path: Some(path.to_owned()),
            offset,
            detail,
        }
    }

    fn of(finding: &Finding) -> Self {
        let pack_path = |pack: &Digest| Some(format!("data/{:02x}/{pack}", pack.as_bytes()[0]));
        let of_pack =
            |kind, pack, detail| Self { kind, path: pack_path(pack), ..Self::file(String::new(), detail) };
        match finding {
            Finding::File { file, cause } => Self::file(file.to_string(), chain(cause)),
            Finding::PackMissing { pack } => {
                of_pack("pack-missing", pack, "the index names it, and it is not there".to_owned())
            }
            Finding::PackSize { pack, expected, found } => {
                of_pack("pack-size", pack, format!("has {found} instead of {expected}"))
            }
            Finding::PackDamaged { pack, cause } => of_pack("pack-damaged", pack, chain(cause)),
            Finding::Folder { point, vm, path, cause } => {
                Self::of_point("folder", *point, vm, path, None, chain(cause))
            }
            Finding::Range { point, vm, path, at, chunk } => {
                Self::of_point("range", *point, vm, path, *at, format!("chunk {chunk} cannot be read"))
            }
            Finding::Size { point, vm, path, stated, sum } => Self::of_point(
                "size",
                *point,
                vm,
                path,
                None,
                format!("states {stated} bytes, its chunks add up to {sum}"),
            ),
            Finding::Root { point, vm, path } => Self::of_point(
                "root",
                *point,
                vm,
                path,
                None,
                "its chunk list is not the one its manifest was sealed over".to_owned(),
            ),
        }
    }
}
