//! What the demo found out: one verdict a step, and one over all of them. Pure.

use std::time::Duration;

/// A text in both languages, so that neither can be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// Japanese.
    pub ja: &'static str,
    /// English.
    pub en: &'static str,
}

/// A measured or observed value, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// What it is.
    pub name: Text,
    /// The value with its unit.
    pub value: String,
}

/// What became of a step. Skipped is never good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It did what it claims, and that was checked.
    Good,
    /// It did not, for this reason.
    Bad(String),
    /// It was not tried, for this reason; nothing is known.
    Skipped(String),
}

/// A step that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What was done.
    pub title: Text,
    /// How long it took.
    pub took: Duration,
    /// What became of it.
    pub verdict: Verdict,
}

/// All steps that are over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The steps, in order.
    pub steps: Vec<Done>,
}

/// The one answer a machine wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overall {
    /// Every step is good, and there were steps.
    AllHeld,
    /// At least one step is bad or skipped, or nothing was tried.
    NotProven,
}

impl Verdict {
    /// The word for the verdict.
    #[must_use]
    pub const fn word(&self) -> Text {
        match self {
            Self::Good => Text { ja: "良", en: "good" },
            Self::Bad(_) => Text { ja: "不良", en: "bad" },
            Self::Skipped(_) => Text { ja: "未実施", en: "skipped" },
        }
    }

    /// Why it is not good.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Good => None,
            Self::Bad(reason) | Self::Skipped(reason) => Some(reason),
        }
    }
}

impl Report {
    /// The answer over all steps.
    #[must_use]
    pub fn overall(&self) -> Overall {
        let held = !self.steps.is_empty() && self.steps.iter().all(|step| step.verdict == Verdict::Good);
        if held { Overall::AllHeld } else { Overall::NotProven }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(verdicts: &[Verdict], overall: Overall) {
        let title = Text { ja: "手順", en: "step" };
        let done = |verdict: &Verdict| Done { title, took: Duration::ZERO, verdict: verdict.clone() };
        assert_eq!(Report { steps: verdicts.iter().map(done).collect() }.overall(), overall);
    }

    #[test]
    fn only_good_steps_hold() {
        check(&[Verdict::Good, Verdict::Good], Overall::AllHeld);
        check(&[Verdict::Good, Verdict::Bad("row 2 differs".into())], Overall::NotProven);
    }

    #[test]
    fn a_skipped_step_is_not_good() {
        check(&[Verdict::Good, Verdict::Skipped("no restic".into())], Overall::NotProven);
    }

    #[test]
    fn a_demo_without_steps_proves_nothing() {
        check(&[], Overall::NotProven);
    }
}
