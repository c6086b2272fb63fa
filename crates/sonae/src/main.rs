//! Sonae on the data path: everything about a repository works with a repository, a key and this one binary.
//!
//! This crate is wiring: arguments in, operations of `sonae-agent` called, reports out as text or JSON, an exit code.

mod args;
mod commands;
mod exit;
mod help;
mod output;
mod progress;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::FromArgMatches as _;
use clap::error::ErrorKind;
use sonae_agent::{Failure, Fault};
use sonae_repo::Stop;
use sonae_text::{Language, choose_language, keys};
use sonae_types::Message;

use args::Arguments;
use exit::Exit;
use output::{Form, Output};

fn main() -> ExitCode {
    let typed = std::env::args_os().collect::<Vec<_>>();
    let language = language();
    // Before the arguments are understood, only their text can tell in which form an error is wanted.
    let form = if typed.iter().any(|argument| argument == "--json") { Form::Json } else { Form::Text };
    let output = Output::new(form, language);
    let mut command = help::command(language);
    let parsed =
        command.try_get_matches_from_mut(&typed).and_then(|found| Arguments::from_arg_matches(&found));
    let exit = match parsed {
        Ok(arguments) => run(&arguments, &Output::new(arguments.global.form(), language)),
        Err(error) => explain(&error, &command, &typed, &output),
    };
    ExitCode::from(output.settled(exit).code())
}

/// Prints the help that was asked for, or what is wrong with the arguments.
fn explain(error: &clap::Error, command: &clap::Command, typed: &[OsString], output: &Output) -> Exit {
    if error.kind() == ErrorKind::DisplayHelp {
        return output.help(&error.to_string());
    }
    if error.kind() == ErrorKind::DisplayVersion {
        return output.version(env!("CARGO_PKG_VERSION"));
    }
    let exit = output.failure(&usage::failure(error, command, typed));
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        output.help_beside_error(&error.to_string());
    }
    exit
}

fn run(arguments: &Arguments, output: &Output) -> Exit {
    let stop = Stop::default();
    let request = stop.clone();
    if let Err(error) = ctrlc::set_handler(move || request.request()) {
        let failure = Failure::new(Fault::OurFault, Message::new(keys::ERROR_INTERNAL_FAULT)).because(error);
        return output.failure(&failure);
    }
    match commands::run(arguments, output, &stop) {
        Ok(exit) => exit,
        Err(failure) => output.failure(&failure),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge, where the settings of the environment are read once"
)]
fn language() -> Language {
    let get = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = get("LC_ALL").or_else(|| get("LC_MESSAGES")).or_else(|| get("LANG"));
    choose_language(get("SONAE_LANG").as_deref(), locale.as_deref())
}
