//! `sonae key`

use sonae_agent::Failure;
use sonae_agent::keys::{KeyReport, KeyState, add, list, remove};
use sonae_text::keys;
use sonae_types::Message;

use super::points::time;
use super::{Context, read_password};
use crate::args::KeyCommand;
use crate::exit::Exit;
use crate::output::{Column, Output};

pub(super) fn run(context: &Context<'_>, command: &KeyCommand) -> Result<Exit, Failure> {
    let output = context.output;
    match command {
        KeyCommand::Add { new_password_file } => {
            let password = read_password(new_password_file)?;
            let change = add(&context.open()?, &password)?;
            output.say(&Message::new(keys::KEY_ADD_DONE).with("key", change.key.short()));
            output.document(&change);
        }
        KeyCommand::Remove { key } => {
            let change = remove(&context.open()?, key)?;
            output.say(&Message::new(keys::KEY_REMOVE_DONE).with("key", change.key.short()));
            output.document(&change);
        }
        KeyCommand::List => {
            let report = list(&context.open()?)?;
            let columns = [
                Column::Words(keys::HEADING_KEY_ID),
                Column::Words(keys::HEADING_KEY_USER),
                Column::Words(keys::HEADING_KEY_HOST),
                Column::Words(keys::HEADING_KEY_CREATED),
                Column::Words(keys::HEADING_KEY_STATE),
            ];
            output.table(&columns, report.keys.iter().map(|key| row(output, key)).collect());
            output.document(&report);
        }
    }
    Ok(Exit::Done)
}

fn row(output: &Output, key: &KeyReport) -> Vec<String> {
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let created = key.created.as_deref().map(time);
    let state = match key.state {
        KeyState::Current => output.word(keys::KEY_LIST_CURRENT),
        KeyState::Other => String::new(),
        KeyState::Damaged => output.word(keys::KEY_LIST_DAMAGED),
    };
    vec![
        key.key.short(),
        or_dash(key.user.as_deref()),
        or_dash(key.host.as_deref()),
        or_dash(created.as_deref()),
        state,
    ]
}
