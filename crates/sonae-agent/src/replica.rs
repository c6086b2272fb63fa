//! Comparing two places without a key: are they the same repository, file by file?

use serde::Serialize;
use sonae_copy::replica::{
    BadFile, Difference, Holding, Percent, ReplicaReport, Sampling, Side, compare_places,
};
use sonae_repo::Progress;
use sonae_repo::environment::Environment;
use sonae_text::{keys, number};
use sonae_types::{ByteCount, Digest, Message};

use crate::copy::FilesReport;
use crate::failure::Failure;
use crate::repository::{Access, Address, open_store};

/// What comparing two places found.
#[derive(Debug, Serialize)]
pub struct ProveReport {
    /// The verdict.
    pub verdict: Likeness,
    /// The first place.
    pub first: PlaceReport,
    /// The second one.
    pub second: PlaceReport,
    /// In what they differ.
    pub differences: Vec<DifferenceReport>,
    /// Files that were read and are not what their names say.
    pub damaged: Vec<BadFileReport>,
    /// Packs that are in both places.
    pub packs: u64,
    /// Those of them that were read, on both sides.
    pub packs_read: u64,
    /// Everything that was read, each side counted.
    pub read: FilesReport,
    /// The number that chose the packs that were read.
    pub seed: u64,
    /// How long it took.
    pub duration_ms: u64,
}

/// Whether two places hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likeness {
    /// The same files with the same sizes, and all that was read is sound.
    Equal,
    /// Not the same files.
    Differs,
    /// A file that was read is damaged.
    Damaged,
}

/// What one place holds.
#[derive(Debug, Serialize)]
pub struct PlaceReport {
    /// Where it lies.
    pub location: String,
    /// The root over names and sizes.
    pub root: Digest,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: ByteCount,
}

/// A file in which two places differ.
#[derive(Debug, Serialize)]
pub struct DifferenceReport {
    /// The file.
    pub path: String,
    /// Its size in the first place; none where it is not there.
    pub first_bytes: Option<ByteCount>,
    /// The same in the second.
    pub second_bytes: Option<ByteCount>,
}

/// A file that was read and is not what its name says.
#[derive(Debug, Serialize)]
pub struct BadFileReport {
    /// Where it lies.
    pub location: String,
    /// The file.
    pub path: String,
    /// What is known about it, in English.
    pub detail: String,
}

/// Compares two places. Errors: one of them is no repository, or cannot be listed or read; then nothing is known.
pub fn prove(
    places: [&Address; 2],
    access: &Access,
    environment: &Environment,
    sampling: Sampling,
    progress: &Progress,
) -> Result<ProveReport, Failure> {
    let clock = &environment.clock;
    let begun = clock.monotonic();
    let [one, other] =
        [open_store(places[0], access, environment)?, open_store(places[1], access, environment)?];
    let report = compare_places([&*one, &*other], sampling, &access.stop, progress)?;
    let verdict = match (report.bad.is_empty(), report.is_equal()) {
        (false, _) => Likeness::Damaged,
        (true, false) => Likeness::Differs,
        (true, true) => Likeness::Equal,
    };
    let ReplicaReport { first, second, differences, bad, packs, packs_read, read } = report;
    let of = |location: &str, Holding { root, amount }: Holding| PlaceReport {
        location: location.to_owned(),
        root,
        files: amount.files,
        bytes: amount.bytes,
    };
    let damaged = bad.iter().map(|bad| BadFileReport::of(bad, [one.location(), other.location()]));
    Ok(ProveReport {
        verdict,
        damaged: damaged.collect(),
        first: of(one.location(), first),
        second: of(other.location(), second),
        differences: differences.iter().map(DifferenceReport::from).collect(),
        packs,
        packs_read,
        read: read.into(),
        seed: sampling.seed,
        duration_ms: u64::try_from((clock.monotonic() - begun).as_millis()).unwrap_or(u64::MAX),
    })
}

/// How packs are chosen where nobody says how: a share of them, by a number that nobody knows beforehand.
#[must_use]
pub fn sampling(environment: &Environment, share: Percent, seed: Option<u64>) -> Sampling {
    let seed = seed.unwrap_or_else(|| {
        let mut bytes = [0; 8];
        environment.entropy.fill(&mut bytes);
        // No more than what every reader of JSON takes for a whole number.
        u64::from_le_bytes(bytes) >> 11
    });
    Sampling { share, seed }
}

impl DifferenceReport {
    /// What it is, for people.
    #[must_use]
    pub fn message(&self) -> Message {
        let size = |bytes: Option<ByteCount>| {
            bytes.map_or_else(|| "-".to_owned(), |bytes| number::grouped(bytes.get()))
        };
        let key = match (self.first_bytes, self.second_bytes) {
            (None, _) => keys::REPLICA_PROVE_ONLY_SECOND,
            (Some(_), None) => keys::REPLICA_PROVE_ONLY_FIRST,
            (Some(first), Some(second)) if first == second => keys::REPLICA_PROVE_OTHER_BYTES,
            (Some(_), Some(_)) => keys::REPLICA_PROVE_OTHER_SIZE,
        };
        Message::new(key)
            .with("file", &self.path)
            .with("first", size(self.first_bytes))
            .with("second", size(self.second_bytes))
    }
}

impl From<&Difference> for DifferenceReport {
    fn from(Difference { file, first, second }: &Difference) -> Self {
        Self { path: file.to_string(), first_bytes: *first, second_bytes: *second }
    }
}

impl BadFileReport {
    fn of(bad: &BadFile, [first, second]: [&str; 2]) -> Self {
        let location = match bad.side {
            Side::First => first,
            Side::Second => second,
        };
        let detail = match bad.found {
            Some(found) => format!("its bytes hash to {found}"),
            None => "it is gone, or shorter than the listing says".to_owned(),
        };
        Self { location: location.to_owned(), path: bad.file.to_string(), detail }
    }

    /// What it is, for people; [`Self::detail`] is the cause.
    #[must_use]
    pub fn message(&self) -> Message {
        Message::new(keys::REPLICA_PROVE_DAMAGED_FILE)
            .with("file", &self.path)
            .with("location", &self.location)
    }
}
