//! The help of the command line in the reader's language: clap's own texts are replaced by those of the catalogue.
//!
//! `args` says what can be typed, this file which message describes it; a test finds what has none.

use clap::builder::Styles;
use clap::{Arg, ArgAction, Command, CommandFactory as _};
use sonae_text::{Language, fixed, keys, render};
use sonae_types::{Message, MessageKey};

use crate::args::Arguments;
use crate::exit::Exit;

/// Id of the flags that clap would otherwise add with texts of its own.
const HELP: &str = "help";
const VERSION: &str = "version";

/// What can be typed, described in this language.
pub(crate) fn command(language: Language) -> Command {
    let help = Arg::new(HELP).short('h').long(HELP).action(ArgAction::Help).global(true);
    let version = Arg::new(VERSION).short('V').long(VERSION).action(ArgAction::Version);
    let root = Arguments::command()
        .disable_help_flag(true)
        .disable_version_flag(true)
        .styles(Styles::plain())
        .arg(help)
        .arg(version)
        .after_help(exit_codes(language));
    let mut root = described(root, "", language);
    // Building adds the command `help`, which has a text of clap's until then.
    root.build();
    let about = text(keys::HELP_COMMAND_HELP, language);
    root.mut_subcommand(HELP, |help| framed(help.about(about), language))
}

/// The command and all below it with their texts; `path` is what is typed before the command's arguments.
fn described(command: Command, path: &str, language: Language) -> Command {
    let mut command = match about(path) {
        Some(key) => framed(command.about(text(key, language)).long_about(None), language),
        None => command,
    };
    // Only the root names its own commands for `help`: `sonae help key add`, not `sonae key help add`.
    if !path.is_empty() {
        command = command.disable_help_subcommand(true);
    }
    command = command.mut_args(|argument| {
        let heading = match (argument.is_global_set(), argument.is_positional()) {
            (true, _) => keys::HELP_HEADING_GLOBAL,
            (false, true) => keys::HELP_HEADING_ARGUMENTS,
            (false, false) if path.is_empty() => keys::HELP_HEADING_GLOBAL,
            (false, false) => keys::HELP_HEADING_OPTIONS,
        };
        let argument = argument.help_heading(fixed(heading, language));
        // What clap would add about values is English; the texts say it themselves.
        let argument = if argument.get_action().takes_values() {
            argument.hide_env(true).hide_possible_values(true).hide_default_value(true)
        } else {
            argument
        };
        match option(path, argument.get_id().as_str()) {
            Some(key) => argument.help(text(key, language)),
            None => argument,
        }
    });
    let below = command.get_subcommands().map(|below| below.get_name().to_owned()).collect::<Vec<_>>();
    for name in below {
        let path = format!("{path} {name}");
        command = command.mut_subcommand(&name, |below| described(below, path.trim_start(), language));
    }
    command
}

fn framed(command: Command, language: Language) -> Command {
    let usage = text(keys::HELP_HEADING_USAGE, language);
    command
        .help_template(format!("{{about-with-newline}}\n{usage} {{usage}}\n\n{{all-args}}{{after-help}}"))
        .subcommand_help_heading(fixed(keys::HELP_HEADING_COMMANDS, language))
}

/// Every exit code with what it means, and which language is chosen when.
fn exit_codes(language: Language) -> String {
    let heading = text(keys::HELP_HEADING_EXIT, language);
    let codes = Exit::ALL.map(|exit| format!("{:>5}  {}", exit.code(), text(exit.headline(), language)));
    format!("{heading}\n{}\n\n{}", codes.join("\n"), text(keys::HELP_LANGUAGE_NOTE, language))
}

fn text(key: MessageKey, language: Language) -> String {
    render(&Message::new(key), language)
}

fn about(path: &str) -> Option<MessageKey> {
    Some(match path {
        "" => keys::HELP_COMMAND_SONAE,
        "repo" => keys::HELP_COMMAND_REPO,
        "repo init" => keys::HELP_COMMAND_REPO_INIT,
        "repo info" => keys::HELP_COMMAND_REPO_INFO,
        "repo check" => keys::HELP_COMMAND_REPO_CHECK,
        "repo keyless-check" => keys::HELP_COMMAND_REPO_KEYLESS_CHECK,
        "repo repair-index" => keys::HELP_COMMAND_REPO_REPAIR_INDEX,
        "repo unlock" => keys::HELP_COMMAND_REPO_UNLOCK,
        "repo heal" => keys::HELP_COMMAND_REPO_HEAL,
        "key" => keys::HELP_COMMAND_KEY,
        "key add" => keys::HELP_COMMAND_KEY_ADD,
        "key list" => keys::HELP_COMMAND_KEY_LIST,
        "key remove" => keys::HELP_COMMAND_KEY_REMOVE,
        "backup" => keys::HELP_COMMAND_BACKUP,
        "points" => keys::HELP_COMMAND_POINTS,
        "show" => keys::HELP_COMMAND_SHOW,
        "diff" => keys::HELP_COMMAND_DIFF,
        "verify" => keys::HELP_COMMAND_VERIFY,
        "restore" => keys::HELP_COMMAND_RESTORE,
        "forget" => keys::HELP_COMMAND_FORGET,
        "copy" => keys::HELP_COMMAND_COPY,
        "replica" => keys::HELP_COMMAND_REPLICA,
        "replica prove" => keys::HELP_COMMAND_REPLICA_PROVE,
        "store" => keys::HELP_COMMAND_STORE,
        "store probe" => keys::HELP_COMMAND_STORE_PROBE,
        "prune" => keys::HELP_COMMAND_PRUNE,
        _ => return None,
    })
}

fn option(path: &str, id: &str) -> Option<MessageKey> {
    Some(match (path, id) {
        ("", "repo") => keys::HELP_OPTION_REPO,
        ("", "password_file") => keys::HELP_OPTION_PASSWORD_FILE,
        ("", "limit_upload") => keys::HELP_OPTION_LIMIT_UPLOAD,
        ("", "limit_download") => keys::HELP_OPTION_LIMIT_DOWNLOAD,
        ("", "json") => keys::HELP_OPTION_JSON,
        ("", "quiet") => keys::HELP_OPTION_QUIET,
        ("", HELP) => keys::HELP_OPTION_HELP,
        ("", VERSION) => keys::HELP_OPTION_VERSION,
        ("repo check", "read_data") => keys::HELP_OPTION_READ_DATA,
        ("repo init", "chunker_from") => keys::HELP_OPTION_CHUNKER_FROM,
        ("repo init" | "repo heal", "from_password_file") => keys::HELP_OPTION_FROM_PASSWORD_FILE,
        ("repo heal", "from") => keys::HELP_OPTION_HEAL_FROM,
        ("repo heal", "read_data") => keys::HELP_OPTION_HEAL_READ_DATA,
        ("repo heal", "dry_run") => keys::HELP_OPTION_REPAIR_DRY_RUN,
        ("copy", "to") => keys::HELP_OPTION_COPY_TO,
        ("copy", "to_password_file") => keys::HELP_OPTION_TO_PASSWORD_FILE,
        ("copy", "read_data") => keys::HELP_OPTION_COPY_READ_DATA,
        ("replica prove", "first") => keys::HELP_OPTION_PROVE_FIRST,
        ("replica prove", "second") => keys::HELP_OPTION_PROVE_SECOND,
        ("replica prove", "sample") => keys::HELP_OPTION_PROVE_SAMPLE,
        ("replica prove", "seed") => keys::HELP_OPTION_PROVE_SEED,
        ("repo repair-index", "dry_run") => keys::HELP_OPTION_REPAIR_DRY_RUN,
        ("repo unlock", "remove_all") => keys::HELP_OPTION_REMOVE_ALL,
        ("key add", "new_password_file") => keys::HELP_OPTION_NEW_PASSWORD_FILE,
        ("key remove", "key") => keys::HELP_OPTION_KEY,
        ("backup", "vm") => keys::HELP_OPTION_BACKUP_VM,
        ("backup", "disks") => keys::HELP_OPTION_BACKUP_DISK,
        ("backup", "files") => keys::HELP_OPTION_BACKUP_FILE,
        ("backup", "changed") => keys::HELP_OPTION_BACKUP_CHANGED,
        ("backup", "audit") => keys::HELP_OPTION_BACKUP_AUDIT,
        ("points" | "forget" | "copy", "vm") => keys::HELP_OPTION_VM,
        ("show" | "verify" | "restore", "point") => keys::HELP_OPTION_POINT,
        ("show" | "restore", "vm") => keys::HELP_OPTION_POINT_VM,
        ("diff", "from") => keys::HELP_OPTION_DIFF_FROM,
        ("diff", "to") => keys::HELP_OPTION_DIFF_TO,
        ("diff", "vm") => keys::HELP_OPTION_POINT_VM,
        ("verify", "vm") => keys::HELP_OPTION_VM,
        ("verify", "all") => keys::HELP_OPTION_ALL,
        ("restore", "disk") => keys::HELP_OPTION_RESTORE_DISK,
        ("restore", "path") => keys::HELP_OPTION_RESTORE_PATH,
        ("restore", "to") => keys::HELP_OPTION_RESTORE_TO,
        ("restore", "existing") => keys::HELP_OPTION_RESTORE_EXISTING,
        ("forget", "points") => keys::HELP_OPTION_FORGET_POINT,
        ("forget", "keep_last") => keys::HELP_OPTION_KEEP_LAST,
        ("forget", "keep_hourly") => keys::HELP_OPTION_KEEP_HOURLY,
        ("forget", "keep_daily") => keys::HELP_OPTION_KEEP_DAILY,
        ("forget", "keep_weekly") => keys::HELP_OPTION_KEEP_WEEKLY,
        ("forget", "keep_monthly") => keys::HELP_OPTION_KEEP_MONTHLY,
        ("forget", "keep_yearly") => keys::HELP_OPTION_KEEP_YEARLY,
        ("forget", "keep_within") => keys::HELP_OPTION_KEEP_WITHIN,
        ("forget", "keep_tags") => keys::HELP_OPTION_KEEP_TAG,
        ("forget", "zone") => keys::HELP_OPTION_ZONE,
        ("store probe", "url") => keys::HELP_OPTION_PROBE_URL,
        ("forget", "dry_run") => keys::HELP_OPTION_FORGET_DRY_RUN,
        ("prune", "grace") => keys::HELP_OPTION_GRACE,
        ("prune", "max_unused") => keys::HELP_OPTION_MAX_UNUSED,
        ("prune", "max_repack") => keys::HELP_OPTION_MAX_REPACK,
        ("prune", "dry_run") => keys::HELP_OPTION_PRUNE_DRY_RUN,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(command: &Command, path: &str, see: &mut impl FnMut(&str, &Command)) {
        see(path, command);
        for below in command.get_subcommands().filter(|below| below.get_name() != HELP) {
            walk(below, format!("{path} {}", below.get_name()).trim_start(), see);
        }
    }

    #[test]
    fn every_command_and_every_option_is_described_by_the_catalogue() {
        for language in Language::ALL {
            walk(&command(language), "", &mut |path, command| {
                let key = about(path).unwrap_or_else(|| panic!("no text for the command {path:?}"));
                assert_eq!(command.get_about().map(ToString::to_string), Some(text(key, language)));
                assert!(command.get_long_about().is_none(), "{path}");
                for argument in command.get_arguments() {
                    assert!(argument.get_long_help().is_none(), "{path}");
                    let id = argument.get_id().as_str();
                    let key = option(path, id).or_else(|| option("", id));
                    let key = key.unwrap_or_else(|| panic!("no text for {id} of {path:?}"));
                    assert_eq!(argument.get_help().map(ToString::to_string), Some(text(key, language)));
                }
            });
        }
    }

    #[test]
    fn what_the_help_hides_of_values_and_variables_its_texts_say() {
        for language in Language::ALL {
            walk(&command(language), "", &mut |path, command| {
                for argument in command.get_arguments() {
                    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                    let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
                    let values = argument.get_possible_values().into_iter();
                    let values = values.filter(|_| argument.get_action().takes_values());
                    let values = values.map(|value| value.get_name().to_owned());
                    for word in values.chain(variable) {
                        assert!(help.contains(&word), "{path} {}: {word} in {help}", argument.get_id());
                    }
                }
            });
        }
    }

    #[test]
    fn the_command_line_is_free_of_contradictions() {
        Language::ALL.into_iter().for_each(|language| command(language).debug_assert());
    }
}
