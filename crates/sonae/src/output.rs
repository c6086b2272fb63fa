//! What is printed: text for people in their language, or one JSON document for programs.

use std::error::Error;
use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::json;
use sonae_agent::Failure;
use sonae_text::visible::visible;
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

/// A failure as programs get it.
#[derive(Serialize)]
struct ErrorDocument {
    error: ErrorReport,
}

#[derive(Serialize)]
struct ErrorReport {
    code: u8,
    name: &'static str,
    message: String,
    causes: Vec<String>,
    remedy: Option<String>,
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

    /// Prints the help that was asked for.
    pub(crate) fn help(&self, text: &str) -> Exit {
        self.line(text.trim_end());
        self.document(&json!({ "help": text }));
        Exit::Done
    }

    /// Prints the version.
    pub(crate) fn version(&self, version: &str) -> Exit {
        self.line(&format!("sonae {version}"));
        self.document(&json!({ "program": "sonae", "version": version }));
        Exit::Done
    }

    /// Prints help that was not asked for: people may need it, programs do not.
    pub(crate) fn help_beside_error(&self, text: &str) {
        if self.form == Form::Text {
            complain(&format!("\n{}", text.trim_end()));
        }
    }

    /// Prints a line for people; programs get none.
    pub(crate) fn say(&self, message: &Message) {
        self.line(&self.text(message));
    }

    /// Prints a line for people as it is.
    pub(crate) fn line(&self, line: &str) {
        if self.form == Form::Text {
            print(line);
        }
    }

    /// Prints the document for programs; people get none.
    pub(crate) fn document(&self, report: &impl Serialize) {
        if self.form == Form::Json {
            print(&serde_json::to_string(report).expect("a report has only texts and numbers"));
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
                Column::Words(_) => Cell::new(visible(&text)),
                Column::Numbers(_) => Cell::new(visible(&text)).set_alignment(CellAlignment::Right),
            }));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.to_string().lines().for_each(|line| self.line(line.trim_end()));
    }

    /// Prints labels with their values, one a line.
    pub(crate) fn labels(&self, pairs: &[(MessageKey, String)]) {
        let width =
            pairs.iter().map(|(key, _)| sonae_text::width::columns(&self.word(*key))).max().unwrap_or(0);
        for (key, value) in pairs {
            let value = visible(value);
            self.line(&format!("{}  {value}", sonae_text::width::pad(&self.word(*key), width)));
        }
    }

    /// Prints a failure: what happened, why, what to do.
    pub(crate) fn failure(&self, failure: &Failure) -> Exit {
        let exit = Exit::from(failure.fault);
        let causes = failure.cause.as_deref().map(|cause| causes(cause)).unwrap_or_default();
        let remedy = failure.remedy.as_ref().map(|remedy| self.text(remedy));
        let message = self.text(&failure.message);
        if self.form == Form::Json {
            let error = ErrorReport { code: exit.code(), name: exit.name(), message, causes, remedy };
            self.document(&ErrorDocument { error });
            return exit;
        }
        complain(&self.word(exit.headline()));
        complain(&message);
        for cause in causes {
            complain(&self.cause(&cause));
        }
        if let Some(remedy) = remedy {
            complain(&self.text(&Message::new(keys::ERROR_PART_REMEDY).with("remedy", remedy)));
        }
        exit
    }

    /// Prints what to do about something that is in the report itself.
    pub(crate) fn remedy(&self, remedy: &Message) {
        self.say(&Message::new(keys::ERROR_PART_REMEDY).with("remedy", self.text(remedy)));
    }

    /// How the program ends: a result that could not be handed over is none.
    pub(crate) fn settled(&self, exit: Exit) -> Exit {
        if exit != Exit::Done || !LOST.load(Ordering::Relaxed) {
            return exit;
        }
        complain(&self.word(Exit::OurFault.headline()));
        complain(&self.word(keys::ERROR_OUTPUT_LOST));
        let remedy = self.word(keys::REMEDY_OUTPUT_LOST);
        complain(&self.text(&Message::new(keys::ERROR_PART_REMEDY).with("remedy", remedy)));
        Exit::OurFault
    }

    /// A cause as people are told it.
    pub(crate) fn cause(&self, cause: &str) -> String {
        self.text(&Message::new(keys::ERROR_PART_CAUSE).with("cause", cause))
    }
}

/// Whether something could not be written to standard output.
static LOST: AtomicBool = AtomicBool::new(false);

/// Writes a line to standard output. A reader that went away, as `head` does, wanted no more; any other failure is kept.
fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    if written.is_err_and(|error| error.kind() != ErrorKind::BrokenPipe) {
        LOST.store(true, Ordering::Relaxed);
    }
}

/// Writes a line to standard error; where that fails, nobody is left to be told.
pub(crate) fn complain(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
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
