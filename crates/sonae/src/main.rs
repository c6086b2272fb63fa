//! Sonae on the data path: everything about a repository works with a repository, a key and this one binary.
//!
//! This crate is wiring: arguments in, operations of `sonae-agent` called, reports out as text or JSON, an exit code.

mod args;
mod commands;
mod exit;
mod output;
mod progress;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use sonae_agent::{Failure, Fault};
use sonae_repo::Stop;
use sonae_text::{Language, choose_language, keys};
use sonae_types::Message;

use args::Arguments;
use exit::Exit;
use output::{Form, Output};

fn main() -> ExitCode {
    let language = language();
    // Before the arguments are understood, only their text can tell in which form an error is wanted.
    let form = if std::env::args().any(|argument| argument == "--json") { Form::Json } else { Form::Text };
    let output = Output::new(form, language);
    let exit = match Arguments::try_parse() {
        Ok(arguments) => run(&arguments, &output),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp
                    | ErrorKind::DisplayVersion
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            ) =>
        {
            output.print_plain(&error.render());
            if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                Exit::WrongUse
            } else {
                Exit::Done
            }
        }
        Err(error) => output.usage_error(&error.render().to_string()),
    };
    ExitCode::from(exit.code())
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
