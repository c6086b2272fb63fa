//! Healing a repository from a copy of it.

use serde::Serialize;
use sonae_copy::{Cure, Healed, Healing, Wrong};
use sonae_repo::check::Depth;
use sonae_repo::config::ConfigError;
use sonae_repo::crypto::Password;
use sonae_repo::environment::Environment;
use sonae_repo::lock::LockKind;
use sonae_repo::repair::Repair;
use sonae_repo::repository::OpenError;
use sonae_repo::{Progress, Repository};
use sonae_text::keys;
use sonae_types::{ByteCount, Message};

use crate::copy::FilesReport;
use crate::failure::Failure;
use crate::findings::FindingReport;
use crate::maintain::RepairMode;
use crate::repository::{Access, Address, open, open_store};
use crate::verify::Verdict;

/// What is healed from what.
#[derive(Clone, Copy, Debug)]
pub struct HealRequest<'a> {
    /// What is to be healed.
    pub here: &'a Address,
    /// Its password.
    pub password: &'a Password,
    /// The copy.
    pub from: &'a Address,
    /// The password of the copy.
    pub from_password: &'a Password,
    /// How damage is looked for.
    pub depth: Depth,
    /// Whether anything is changed.
    pub mode: RepairMode,
}

/// What healing did; in a dry run, what it would do.
#[derive(Debug, Serialize)]
pub struct HealRunReport {
    /// Good where nothing is damaged afterwards; in a dry run, where nothing is.
    pub verdict: Verdict,
    /// Whether it was carried out.
    pub mode: RepairMode,
    /// The files that were wrong.
    pub files: Vec<HealedReport>,
    /// What came back from the copy as it was.
    pub fetched: FilesReport,
    /// Chunks and listings that came from the copy into new packs.
    pub copied_blobs: u64,
    /// Those that were still sound in damaged packs here.
    pub salvaged_blobs: u64,
    /// What both take in the repository.
    pub stored_bytes: ByteCount,
    /// Points that only the copy has: forgotten here or lost.
    pub points_only_in_copy: usize,
    /// What is wrong afterwards.
    pub findings: Vec<FindingReport>,
    /// How long it took.
    pub duration_ms: u64,
}

/// A file that was wrong.
#[derive(Debug, Serialize)]
pub struct HealedReport {
    /// The file.
    pub path: String,
    /// What was wrong.
    pub wrong: Wrong,
    /// What became of it; in a dry run, what would.
    pub cure: Cure,
}

/// Heals a repository. Errors: one of the places cannot be opened, read or written; what cannot be healed is in the
/// report.
pub fn heal(
    request: HealRequest<'_>,
    access: &Access,
    environment: &Environment,
    progress: &Progress,
) -> Result<HealRunReport, Failure> {
    let clock = &environment.clock;
    let begun = clock.monotonic();
    let from = open(request.from, access, environment.clone(), request.from_password)?;
    let here = open_or_adopt(request, access, environment, &from)?;
    let _from = from.begin_reading()?.settle()?;
    let healing = Healing { here: &here, from: &from, depth: request.depth, stop: &access.stop, progress };
    let report = match request.mode {
        RepairMode::DryRun => {
            let _reading = here.begin_reading()?.settle()?;
            healing.run(Repair::DryRun)?
        }
        RepairMode::Done => {
            let lock = here.lock(LockKind::Exclusive)?;
            healing.run(Repair::Write(&lock))?
        }
    };
    let left = match request.mode {
        RepairMode::DryRun => !report.files.is_empty(),
        RepairMode::Done => report.files.iter().any(|healed| healed.cure == Cure::None),
    };
    let findings = report.findings.iter().map(FindingReport::from).collect::<Vec<_>>();
    Ok(HealRunReport {
        verdict: if left || !findings.is_empty() { Verdict::Damaged } else { Verdict::Good },
        mode: request.mode,
        files: report.files.iter().map(HealedReport::from).collect(),
        fetched: report.fetched.into(),
        copied_blobs: report.copied.blobs,
        salvaged_blobs: report.salvaged.blobs,
        stored_bytes: report.copied.stored + report.salvaged.stored,
        points_only_in_copy: report.only_in_copy,
        findings,
        duration_ms: u64::try_from((clock.monotonic() - begun).as_millis()).unwrap_or(u64::MAX),
    })
}

/// Opens the repository; where its own configuration or keys keep it from being opened, with those of the copy.
fn open_or_adopt(
    request: HealRequest<'_>,
    access: &Access,
    environment: &Environment,
    from: &Repository,
) -> Result<Repository, Failure> {
    let store = open_store(request.here, access, environment)?;
    Repository::open(store.clone(), environment.clone(), request.password).or_else(|error| {
        let lost = match &error {
            OpenError::ConfigMissing { .. } | OpenError::NoKeys { .. } | OpenError::KeyDamaged { .. } => true,
            OpenError::Config { cause, .. } => !matches!(cause, ConfigError::Version { .. }),
            OpenError::NoRepository { .. }
            | OpenError::Exists { .. }
            | OpenError::WrongPassword { .. }
            | OpenError::EmptyPassword
            | OpenError::KeyInUse { .. }
            | OpenError::Store(_) => false,
        };
        let adopted = if lost { from.adopt(store) } else { None };
        adopted.ok_or_else(|| error.into())
    })
}

impl HealedReport {
    /// What became of the file, for people.
    #[must_use]
    pub fn message(&self) -> Message {
        let key = match self.cure {
            Cure::Fetched => keys::REPO_HEAL_FETCHED,
            Cure::TakenOut => keys::REPO_HEAL_TAKEN_OUT,
            Cure::None => keys::REPO_HEAL_LEFT,
        };
        Message::new(key).with("file", &self.path)
    }
}

impl From<&Healed> for HealedReport {
    fn from(healed: &Healed) -> Self {
        Self { path: healed.file.to_string(), wrong: healed.wrong, cure: healed.cure }
    }
}
