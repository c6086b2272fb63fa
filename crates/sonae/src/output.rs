//! What is printed: text for people in their language, or one JSON document for programs.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the one place of this program that prints")]

use std::error::Error;
use std::io::IsTerminal as _;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::json;
use sonae_agent::Failure;
use sonae_text::{Language, keys, render};
use sonae_types::{Message, MessageKey};

use crate::exit::Exit;

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// People.
    Text,
    /// Programs.
    Json,
}

/// Where and how to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) form: Form,
    pub(crate) language: Language,
}

/// A column of a table.
pub(crate) enum Column {
    /// Words, from the left.
    Words(MessageKey),
    /// Numbers, from the right.
    Numbers(MessageKey),
}

impl Output {
    pub(crate) fn new(form: Form, language: Language) -> Self {
        Self { form, language }
    }

    /// The message in the reader's language.
    pub(crate) fn text(&self, message: &Message) -> String {
        render(message, self.language)
    }

    /// The message with this key, which has no fields.
    pub(crate) fn word(&self, key: MessageKey) -> String {
        self.text(&Message::new(key))
    }

    /// Prints help or version as clap made it, in colour where that can be seen.
    pub(crate) fn print_plain(&self, text: &clap::builder::StyledStr) {
        if std::io::stdout().is_terminal() { print!("{}", text.ansi()) } else { print!("{text}") }
    }

    /// Prints a line for people; programs get none.
    pub(crate) fn say(&self, message: &Message) {
        self.line(&self.text(message));
    }

    /// Prints a line for people as it is.
    pub(crate) fn line(&self, line: &str) {
        if self.form == Form::Text {
            println!("{line}");
        }
    }

    /// Prints the document for programs; people get none.
    pub(crate) fn document(&self, report: &impl Serialize) {
        if self.form == Form::Json {
            println!("{}", serde_json::to_string(report).expect("a report has only texts and numbers"));
        }
    }

    /// Prints a table for people.
    pub(crate) fn table(&self, columns: &[Column], rows: Vec<Vec<String>>) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(columns.iter().map(|column| match column {
            Column::Words(key) => Cell::new(self.word(*key)),
            Column::Numbers(key) => Cell::new(self.word(*key)).set_alignment(CellAlignment::Right),
        }));
        for row in rows {
            table.add_row(row.into_iter().zip(columns).map(|(text, column)| match column {
                Column::Words(_) => Cell::new(text),
                Column::Numbers(_) => Cell::new(text).set_alignment(CellAlignment::Right),
            }));
        }
        table.to_string().lines().for_each(|line| self.line(line.trim_end()));
    }

    /// Prints labels with their values, one a line.
    pub(crate) fn labels(&self, pairs: &[(MessageKey, String)]) {
        let width =
            pairs.iter().map(|(key, _)| sonae_text::width::columns(&self.word(*key))).max().unwrap_or(0);
        for (key, value) in pairs {
            self.line(&format!("{}  {value}", sonae_text::width::pad(&self.word(*key), width)));
        }
    }

    /// Prints a failure: what happened, why, what to do.
    pub(crate) fn failure(&self, failure: &Failure) -> Exit {
        let exit = Exit::from(failure.fault);
        let causes = failure.cause.as_deref().map(|cause| causes(cause)).unwrap_or_default();
        let remedy = failure.remedy.as_ref().map(|remedy| self.text(remedy));
        self.error(exit, &self.text(&failure.message), &causes, remedy.as_deref());
        exit
    }

    /// Prints what clap says of arguments that it does not understand.
    pub(crate) fn usage_error(&self, text: &str) -> Exit {
        match self.form {
            Form::Text => eprintln!("{}\n{}", self.word(Exit::WrongUse.headline()), text.trim_end()),
            Form::Json => self.error(Exit::WrongUse, text.trim_end(), &[], None),
        }
        Exit::WrongUse
    }

    fn error(&self, exit: Exit, message: &str, causes: &[String], remedy: Option<&str>) {
        if self.form == Form::Json {
            let error = json!({ "code": exit.code(), "name": exit.name(), "message": message, "causes": causes, "remedy": remedy });
            return self.document(&json!({ "error": error }));
        }
        eprintln!("{}", self.word(exit.headline()));
        eprintln!("{message}");
        for cause in causes {
            eprintln!("{}", self.text(&Message::new(keys::ERROR_PART_CAUSE).with("cause", cause)));
        }
        if let Some(remedy) = remedy {
            eprintln!("{}", self.text(&Message::new(keys::ERROR_PART_REMEDY).with("remedy", remedy)));
        }
    }
}

/// The error and its causes, each once.
fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut lines = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        lines.push(error.to_string());
        next = error.source();
    }
    lines.dedup();
    lines
}
