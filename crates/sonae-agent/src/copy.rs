//! Copying recovery points to another place, and healing is its reverse ([`crate::heal`]).

use serde::Serialize;
use sonae_copy::{Amount, CopyError, CopyReport, Copying, Extent, Found, KeyFiles, found_copy};
use sonae_repo::check::Depth;
use sonae_repo::crypto::Password;
use sonae_repo::lock::LockKind;
use sonae_repo::reader::Points;
use sonae_repo::{Progress, Repository};
use sonae_types::{ByteCount, Digest, VmName};

use crate::failure::{Failure, Fault, ingest_failure};
use crate::findings::FindingReport;
use crate::repository::{Access, Address, create_store, open, open_store};
use crate::select::unknown_vm;
use crate::verify::Verdict;

/// How the target of a copy is opened.
#[derive(Clone, Copy, Debug)]
pub enum TargetKeys<'a> {
    /// With the password of the source; a place that is new or empty becomes a copy with the same keys.
    OfSource(&'a Password),
    /// With a password of its own.
    Own(&'a Password),
}

/// What is copied to where.
#[derive(Clone, Copy, Debug)]
pub struct CopyRequest<'a> {
    /// The target.
    pub to: &'a Address,
    /// How it is opened.
    pub keys: TargetKeys<'a>,
    /// Only the points of this machine, or all.
    pub vm: Option<&'a VmName>,
    /// How files that are in the target already are looked at.
    pub depth: Depth,
}

/// Whether source and target have one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyRelation {
    /// Files were copied as they are.
    Same,
    /// Everything was encrypted anew.
    Other,
}

/// A number of files and their bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FilesReport {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: ByteCount,
}

/// What a copy did.
#[derive(Debug, Serialize)]
pub struct CopyRunReport {
    /// Good where everything that was asked for is in the target.
    pub verdict: Verdict,
    /// From where.
    pub source: String,
    /// To where.
    pub target: String,
    /// Whether both have the same key.
    pub key: KeyRelation,
    /// Points that are in the target now and were not.
    pub points_copied: usize,
    /// Points that were there.
    pub points_there: usize,
    /// Points that were kept back because something that they need is damaged in the source.
    pub points_withheld: Vec<Digest>,
    /// Files that were not in the target.
    pub copied: FilesReport,
    /// Files that were.
    pub there: FilesReport,
    /// Files that were there with other bytes than their names say.
    pub replaced: FilesReport,
    /// Chunks and listings that were encrypted anew.
    pub resealed_blobs: u64,
    /// What they take in the target.
    pub resealed_bytes: ByteCount,
    /// What is damaged in the source.
    pub refused: Vec<FindingReport>,
    /// What is damaged in the target, for `sonae repo heal`.
    pub unmended: Vec<FindingReport>,
    /// Operations that failed and were repeated, on both sides.
    pub repeated_operations: u64,
    /// How long it took.
    pub duration_ms: u64,
}

impl From<Amount> for FilesReport {
    fn from(Amount { files, bytes }: Amount) -> Self {
        Self { files, bytes }
    }
}

/// Copies points. Errors: a place that cannot be opened, read or written; damage of the source is in the report.
pub fn copy(
    source: &Repository,
    access: &Access,
    request: CopyRequest<'_>,
    progress: &Progress,
) -> Result<CopyRunReport, Failure> {
    let clock = &source.environment().clock;
    let begun = clock.monotonic();
    let target = open_target(source, access, request)?;
    let reading = source.begin_reading()?;
    let lock = target.begin_lock(LockKind::Shared)?;
    let points = chosen(source.points()?, request.vm)?;
    let (_reading, lock) = (reading.settle()?, lock.settle()?);
    let copying = Copying {
        source,
        target: &target,
        lock: &lock,
        extent: if request.vm.is_some() { Extent::ThesePoints } else { Extent::Everything },
        keys: match request.keys {
            TargetKeys::OfSource(_) => KeyFiles::Taken,
            TargetKeys::Own(_) => KeyFiles::Left,
        },
        depth: request.depth,
        stop: &access.stop,
        progress,
    };
    let report = copying.run(points)?;
    let key = if source.has_key_of(&target) { KeyRelation::Same } else { KeyRelation::Other };
    let CopyReport { copied, there, replaced, resealed, points_copied, points_there, .. } = report;
    let refused = report.refused.iter().map(FindingReport::from).collect::<Vec<_>>();
    let unmended = report.unmended.iter().map(FindingReport::from).collect::<Vec<_>>();
    Ok(CopyRunReport {
        verdict: if refused.is_empty() && unmended.is_empty() { Verdict::Good } else { Verdict::Damaged },
        source: source.store().location().to_owned(),
        target: target.store().location().to_owned(),
        key,
        points_copied,
        points_there,
        points_withheld: report.withheld,
        copied: copied.into(),
        there: there.into(),
        replaced: replaced.into(),
        resealed_blobs: resealed.blobs,
        resealed_bytes: resealed.stored,
        refused,
        unmended,
        repeated_operations: access.repeats.operations(),
        duration_ms: u64::try_from((clock.monotonic() - begun).as_millis()).unwrap_or(u64::MAX),
    })
}

/// Opens the target; with the keys of the source, an empty place is made a copy first.
fn open_target(
    source: &Repository,
    access: &Access,
    request: CopyRequest<'_>,
) -> Result<Repository, Failure> {
    let environment = source.environment().clone();
    let password = match request.keys {
        TargetKeys::Own(password) => return open(request.to, access, environment, password),
        TargetKeys::OfSource(password) => password,
    };
    let found = match open_store(request.to, access, &environment) {
        Ok(store) => found_copy(source, &*store, Found::Empty)?,
        Err(failure) if failure.fault == Fault::NoRepository => Found::Empty,
        Err(failure) => return Err(failure),
    };
    if found == Found::Empty {
        let store = create_store(request.to, access, &environment)?;
        found_copy(source, &*store, Found::Repository)?;
    }
    open(request.to, access, environment, password)
}

/// The points of one machine, with its proofs, or all. Errors: the machine has none.
fn chosen(mut points: Points, vm: Option<&VmName>) -> Result<Points, Failure> {
    let Some(vm) = vm else { return Ok(points) };
    points.good.retain(|point| point.snapshot.hostname == vm.as_str());
    // Of whom a damaged point is nobody can tell, so it is told.
    if points.good.is_empty() && points.damaged.is_empty() { Err(unknown_vm(vm)) } else { Ok(points) }
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Read(error) => error.into(),
            CopyError::Store(error) => error.into(),
            CopyError::Open(error) => error.into(),
            CopyError::Ingest(error) => ingest_failure(error),
            CopyError::Lock(error) => error.into(),
            CopyError::Stopped(stopped) => stopped.into(),
        }
    }
}
