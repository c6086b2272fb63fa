//! Exit codes: published in docs/errors.md, never reused. A program must take any code but 0 as a failure.

use sonae_agent::Fault;
use sonae_text::keys;
use sonae_types::MessageKey;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    WrongUse = 1,
    OurFault = 2,
    SourceUnreadable = 3,
    NoRepository = 10,
    Locked = 11,
    WrongPassword = 12,
    DamageFound = 13,
    ProofFailed = 14,
    NotProven = 15,
    ChangesUntrue = 16,
    CopyDiffers = 17,
    Interrupted = 130,
}

impl Exit {
    /// Every way to end, in the order of the codes.
    pub(crate) const ALL: [Self; 13] = [
        Self::Done,
        Self::WrongUse,
        Self::OurFault,
        Self::SourceUnreadable,
        Self::NoRepository,
        Self::Locked,
        Self::WrongPassword,
        Self::DamageFound,
        Self::ProofFailed,
        Self::NotProven,
        Self::ChangesUntrue,
        Self::CopyDiffers,
        Self::Interrupted,
    ];

    /// The code.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// The word for it that programs read beside the code.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::WrongUse => "wrong-use",
            Self::OurFault => "our-fault",
            Self::SourceUnreadable => "source-unreadable",
            Self::NoRepository => "no-repository",
            Self::Locked => "locked",
            Self::WrongPassword => "wrong-password",
            Self::DamageFound => "damage-found",
            Self::ProofFailed => "proof-failed",
            Self::NotProven => "not-proven",
            Self::ChangesUntrue => "changes-untrue",
            Self::CopyDiffers => "copy-differs",
            Self::Interrupted => "interrupted",
        }
    }

    /// What is said first.
    pub(crate) fn headline(self) -> MessageKey {
        match self {
            Self::Done => keys::EXIT_DONE_HEADLINE,
            Self::WrongUse => keys::EXIT_WRONG_USE_HEADLINE,
            Self::OurFault => keys::EXIT_OUR_FAULT_HEADLINE,
            Self::SourceUnreadable => keys::EXIT_SOURCE_UNREADABLE_HEADLINE,
            Self::NoRepository => keys::EXIT_NO_REPOSITORY_HEADLINE,
            Self::Locked => keys::EXIT_LOCKED_HEADLINE,
            Self::WrongPassword => keys::EXIT_WRONG_PASSWORD_HEADLINE,
            Self::DamageFound => keys::EXIT_DAMAGE_FOUND_HEADLINE,
            Self::ProofFailed => keys::EXIT_PROOF_FAILED_HEADLINE,
            Self::NotProven => keys::EXIT_NOT_PROVEN_HEADLINE,
            Self::ChangesUntrue => keys::EXIT_CHANGES_UNTRUE_HEADLINE,
            Self::CopyDiffers => keys::EXIT_COPY_DIFFERS_HEADLINE,
            Self::Interrupted => keys::EXIT_INTERRUPTED_HEADLINE,
        }
    }
}

impl From<Fault> for Exit {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::WrongUse => Self::WrongUse,
            Fault::OurFault => Self::OurFault,
            Fault::SourceUnreadable => Self::SourceUnreadable,
            Fault::NoRepository => Self::NoRepository,
            Fault::Locked => Self::Locked,
            Fault::WrongPassword => Self::WrongPassword,
            Fault::DamageFound => Self::DamageFound,
            Fault::NotProven => Self::NotProven,
            Fault::Interrupted => Self::Interrupted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/errors.md");

    /// `NoRepository` as `no-repository`.
    fn hyphened(name: &str) -> String {
        let parts = name.split_inclusive(|_: char| true).map(|letter| {
            let lower = letter.to_ascii_lowercase();
            if lower == letter { lower } else { format!("-{lower}") }
        });
        parts.collect::<String>().trim_start_matches('-').to_owned()
    }

    #[test]
    fn the_exit_codes_are_those_of_the_document_in_its_order() {
        let rows = DOCUMENT.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let code = cells.next()?.parse::<u8>().ok()?;
            let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
            (!name.contains('.') && !name.contains('`')).then(|| (code, hyphened(name)))
        });
        let ours = Exit::ALL.map(|exit| (exit.code(), exit.name().to_owned()));
        assert_eq!(rows.collect::<Vec<_>>(), ours);
    }
}
