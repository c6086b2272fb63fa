//! What clap does not understand, in our words: which argument, and what to do.

use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use sonae_agent::{Failure, Fault};
use sonae_text::keys;
use sonae_types::{Message, MessageKey};

/// The failure that a refusal of clap amounts to; `typed` is everything that was typed.
pub(crate) fn failure(error: &clap::Error, root: &Command, typed: &[OsString]) -> Failure {
    let failure = Failure::new(Fault::WrongUse, message(error));
    let failure = failure.remedy(remedy(error).with("command", command(root, typed)));
    // What we have no words for is said in those of clap.
    if failure.message.key == keys::ERROR_USAGE_OTHER {
        let text = error.to_string();
        return failure.because_text(text.lines().next().unwrap_or_default().trim_start_matches("error: "));
    }
    failure
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is clap's and grows; what is new gets clap's words"
)]
fn message(error: &clap::Error) -> Message {
    let argument = text(error, ContextKind::InvalidArg).unwrap_or_default();
    let about = |key: MessageKey| Message::new(key).with("argument", &argument);
    match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Message::new(keys::ERROR_USAGE_COMMAND)
        }
        ErrorKind::InvalidSubcommand => Message::new(keys::ERROR_USAGE_UNKNOWN_COMMAND)
            .with("value", text(error, ContextKind::InvalidSubcommand).unwrap_or_default()),
        ErrorKind::UnknownArgument => about(keys::ERROR_USAGE_UNKNOWN),
        ErrorKind::MissingRequiredArgument => about(keys::ERROR_USAGE_MISSING),
        ErrorKind::InvalidValue => {
            match text(error, ContextKind::InvalidValue).filter(|value| !value.is_empty()) {
                None => about(keys::ERROR_USAGE_NO_VALUE),
                Some(value) => {
                    Message::new(keys::ERROR_OPTION_VALUE).with("value", value).with("option", &argument)
                }
            }
        }
        ErrorKind::ArgumentConflict => match text(error, ContextKind::PriorArg) {
            Some(other) if other != argument => about(keys::ERROR_USAGE_CONFLICT).with("other", other),
            Some(_) | None => about(keys::ERROR_USAGE_TWICE),
        },
        ErrorKind::InvalidUtf8 => Message::new(keys::ERROR_USAGE_TEXT),
        _ => Message::new(keys::ERROR_USAGE_OTHER),
    }
}

fn remedy(error: &clap::Error) -> Message {
    let similar = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    if let Some(similar) = similar.into_iter().find_map(|kind| text(error, kind)) {
        return Message::new(keys::REMEDY_USAGE_SIMILAR).with("similar", similar);
    }
    match text(error, ContextKind::ValidValue).filter(|values| !values.is_empty()) {
        Some(values) => Message::new(keys::REMEDY_USAGE_VALUES).with("values", values),
        None => Message::new(keys::REMEDY_USAGE_HELP),
    }
}

/// What the error says of this; several things with commas between them.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is clap's and grows; these are its texts")]
fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        _ => None,
    }
}

/// The command whose help is of use: `sonae key add`.
fn command(root: &Command, typed: &[OsString]) -> String {
    let mut line = root.get_name().to_owned();
    let mut now = root;
    for word in typed.iter().skip(1).filter_map(|word| word.to_str()) {
        if let Some(below) = now.find_subcommand(word).filter(|below| below.get_name() != "help") {
            now = below;
            line = format!("{line} {word}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use sonae_text::{Language, missing_fields, render};

    use super::*;
    use crate::help;

    fn refused(line: &str) -> Failure {
        let typed = line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let mut root = help::command(Language::En);
        let error = root.try_get_matches_from_mut(&typed).unwrap_err();
        let failure = failure(&error, &root, &typed);
        assert!(missing_fields(&failure.message).is_empty(), "{failure:?}");
        failure
    }

    #[track_caller]
    fn check(line: &str, message: &str, remedy: &str) {
        let failure = refused(line);
        assert_eq!(render(&failure.message, Language::En), message);
        let said = render(&failure.remedy.expect("a remedy"), Language::En);
        assert!(said.contains(remedy), "{said}");
    }

    #[test]
    fn a_refusal_names_the_argument_and_the_command_whose_help_is_of_use() {
        check("sonae --json", "No command was given.", "sonae --help");
        check("sonae bakup", "There is no command bakup.", "Did you mean backup? sonae --help");
        check("sonae key ad", "There is no command ad.", "Did you mean add? sonae key --help");
        check(
            "sonae points --jsn",
            "--jsn is not expected here.",
            "Did you mean --json? sonae points --help",
        );
        check("sonae points --vm", "--vm <NAME> needs a value.", "sonae points --help");
        check("sonae backup --vm x", "Something is missing: --disk <NAME=PATH>", "sonae backup --help");
        check("sonae verify abc --all", "[POINT] and --all cannot be given together.", "sonae verify --help");
        check(
            "sonae backup --vm x --vm y --disk a=b",
            "--vm <NAME> was given more than once.",
            "sonae backup --help",
        );
        check(
            "sonae restore abc --disk vda --to x --existing destroy",
            "\"destroy\" is no value for --existing <CHOICE>.",
            "Possible values: refuse, update. sonae restore --help",
        );
    }

    #[test]
    fn what_we_have_no_words_for_is_said_in_those_of_clap() {
        let failure = refused("sonae points --json=yes");
        assert_eq!(failure.message.key, keys::ERROR_USAGE_OTHER);
        assert!(failure.cause.expect("a cause").to_string().contains("unexpected value 'yes'"));
    }
}
