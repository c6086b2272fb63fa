//! What was measured, of whom, and what was not.

use std::collections::BTreeMap;

use serde::Serialize;

use super::stats::Spread;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    Ours,
    Restic,
    Rustic,
    RusticFixed,
    Borg2,
    Borg2Map,
    Copy,
    Primitives,
}

/// What is measured of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    Full,
    Open,
    Restore,
    Verify,
    VerifyPoints,
    Increment,
    Prune,
    Sparse,
    Huge,
    Help,
}

/// One timed run of one command.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Sample {
    pub(crate) wall_s: f64,
    /// User and system time of all its processes.
    pub(crate) cpu_s: f64,
    /// Largest resident memory of its largest process.
    pub(crate) peak_mib: f64,
}

/// What a step leaves in the repository.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Stored {
    /// Blocks of the file system.
    pub(crate) allocated_bytes: u64,
    /// Lengths of the files.
    pub(crate) apparent_bytes: u64,
    /// Known where plain restic can read the repository.
    pub(crate) chunks: Option<u64>,
}

/// Whether a contender can be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Presence {
    Here { version: String },
    NotHere { reason: String },
}

/// Something that did not end well: no figure, and a red run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    pub(crate) of: Contender,
    pub(crate) step: Step,
    pub(crate) what: String,
}

/// What the figures were taken from.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Setting {
    pub(crate) corpus: String,
    pub(crate) images: Vec<String>,
    pub(crate) logical_bytes: u64,
    pub(crate) allocated_bytes: u64,
    pub(crate) cache: String,
    pub(crate) rounds: u32,
    pub(crate) cores: usize,
    /// Load average of the last minute at the start of every pass.
    pub(crate) loads: Vec<f64>,
}

/// Everything of one bench run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) setting: Setting,
    /// In the order of the table.
    pub(crate) columns: Vec<(Contender, Presence)>,
    pub(crate) samples: BTreeMap<(Contender, Step), Vec<Sample>>,
    pub(crate) stored: BTreeMap<(Contender, Step), Vec<Stored>>,
    /// What the lists of chunks take of what our increment stored, in per cent, over all rounds.
    pub(crate) listing_percent: Vec<f64>,
    pub(crate) failures: Vec<Failure>,
}

impl Contender {
    /// The name at the head of its column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Restic => "restic",
            Self::Rustic => "rustic",
            Self::RusticFixed => "rustic fixed 1 MiB",
            Self::Borg2 => "borg 2",
            Self::Borg2Map => "borg 2 --map",
            Self::Copy => "cp",
            Self::Primitives => "primitives",
        }
    }

    /// The name with a version, as its users write it.
    pub(crate) fn name_with(self, version: &str) -> String {
        match self {
            Self::RusticFixed => format!("rustic {version} fixed 1 MiB"),
            Self::Borg2 => format!("borg {version}"),
            Self::Borg2Map => format!("borg {version} --map"),
            Self::Ours | Self::Restic | Self::Rustic | Self::Copy | Self::Primitives => {
                format!("{} {version}", self.name())
            }
        }
    }

    /// Whether it is another backup program, and no yardstick.
    pub(crate) fn is_peer(self) -> bool {
        match self {
            Self::Restic | Self::Rustic | Self::RusticFixed | Self::Borg2 | Self::Borg2Map => true,
            Self::Ours | Self::Copy | Self::Primitives => false,
        }
    }
}

impl Step {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Open => "open",
            Self::Restore => "restore",
            Self::Verify => "verify",
            Self::VerifyPoints => "verify points",
            Self::Increment => "increment",
            Self::Prune => "prune",
            Self::Sparse => "40 GiB disk",
            Self::Huge => "1 TiB disk",
            Self::Help => "help",
        }
    }
}

impl Sample {
    pub(crate) fn wall_s(&self) -> f64 {
        self.wall_s
    }

    pub(crate) fn cpu_s(&self) -> f64 {
        self.cpu_s
    }

    pub(crate) fn peak_mib(&self) -> f64 {
        self.peak_mib
    }
}

impl Figures {
    /// One figure of one step over all rounds; none where a round failed or nothing was measured.
    pub(crate) fn spread(&self, of: Contender, step: Step, figure: fn(&Sample) -> f64) -> Option<Spread> {
        if self.has_failed(of, step) {
            return None;
        }
        Spread::of(self.samples.get(&(of, step))?.iter().map(figure))
    }

    /// Bytes that the repository takes on its file system after a step, over all rounds.
    pub(crate) fn stored_bytes(&self, of: Contender, after: Step) -> Option<Spread> {
        if self.has_failed(of, after) {
            return None;
        }
        Spread::of(self.stored.get(&(of, after))?.iter().map(|stored| stored.allocated_bytes as f64))
    }

    /// Whether a step of a contender ended badly in any round.
    pub(crate) fn has_failed(&self, of: Contender, step: Step) -> bool {
        self.failures.iter().any(|failure| failure.of == of && failure.step == step)
    }

    /// The peers of this run, here or not.
    pub(crate) fn peers(&self) -> impl Iterator<Item = Contender> {
        self.columns.iter().map(|(contender, _)| *contender).filter(|contender| contender.is_peer())
    }

    /// Everything as one JSON document.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let columns: Vec<_> = self
            .columns
            .iter()
            .map(|(of, presence)| {
                let steps: serde_json::Map<_, _> = self
                    .samples
                    .iter()
                    .filter(|((contender, _), _)| contender == of)
                    .map(|((_, step), samples)| (step.name().to_owned(), serde_json::json!(samples)))
                    .collect();
                let stored: serde_json::Map<_, _> = self
                    .stored
                    .iter()
                    .filter(|((contender, _), _)| contender == of)
                    .map(|((_, step), stored)| (step.name().to_owned(), serde_json::json!(stored)))
                    .collect();
                serde_json::json!({
                    "name": of.name(), "presence": presence, "steps": steps, "stored": stored,
                })
            })
            .collect();
        serde_json::json!({ "setting": self.setting, "columns": columns, "listing_percent": self.listing_percent, "failures": self.failures })
    }
}
