//! `sonae store`

use sonae_agent::probe::{Ability, Can, ProbeReport, probe};
use sonae_agent::repository::Address;
use sonae_agent::{Failure, system_environment};
use sonae_text::{keys, number};
use sonae_types::{ByteCount, Message, MessageKey};

use super::Context;
use crate::args::StoreCommand;
use crate::exit::Exit;
use crate::output::{Column, Output};

pub(super) fn run(context: &Context<'_>, command: &StoreCommand) -> Result<Exit, Failure> {
    match command {
        StoreCommand::Probe { url } => try_out(context, &Address::parse(url)?),
    }
}

fn try_out(context: &Context<'_>, address: &Address) -> Result<Exit, Failure> {
    let report = probe(address, &context.access, &system_environment())?;
    let output = context.output;
    let columns = [Column::Words(keys::HEADING_PROBE_ABILITY), Column::Words(keys::HEADING_PROBE_ANSWER)];
    let rows = report
        .abilities
        .iter()
        .map(|tried| vec![output.word(ability(tried.ability)), output.word(answer(tried.answer))]);
    output.table(&columns, rows.collect());
    output.labels(&measured(output, &report));
    for tried in &report.abilities {
        if let Some(detail) = &tried.detail {
            let about =
                Message::new(keys::STORE_PROBE_DETAIL).with("ability", output.word(ability(tried.ability)));
            output.say(&about.with("detail", detail));
        }
    }
    if !report.left_behind.is_empty() {
        let left = Message::new(keys::STORE_PROBE_LEFT).with("names", report.left_behind.join(", "));
        output.say(&left.with("location", &report.location));
    }
    output.document(&report);
    Ok(Exit::Done)
}

/// What was measured; a line for each, also where nobody knows.
fn measured(output: &Output, report: &ProbeReport) -> [(MessageKey, String); 4] {
    let unknown = || output.word(keys::STORE_PROBE_UNKNOWN);
    let rate = |rate: Option<u64>| {
        rate.map_or_else(unknown, |rate| format!("{}/s", number::bytes(ByteCount::new(rate))))
    };
    let clock = report.clock_ahead_ms.map_or_else(unknown, |ahead| format!("{ahead} ms"));
    let request = report.request_ms.map_or_else(unknown, |span| format!("{span} ms"));
    [
        (keys::HEADING_PROBE_CLOCK, clock),
        (keys::HEADING_PROBE_REQUEST, request),
        (keys::HEADING_PROBE_PUT, rate(report.put_bytes_per_second)),
        (keys::HEADING_PROBE_GET, rate(report.get_bytes_per_second)),
    ]
}

fn answer(can: Can) -> MessageKey {
    match can {
        Can::Yes => keys::STORE_PROBE_YES,
        Can::No => keys::STORE_PROBE_NO,
        Can::Unknown => keys::STORE_PROBE_UNKNOWN,
    }
}

fn ability(ability: Ability) -> MessageKey {
    match ability {
        Ability::Write => keys::STORE_ABILITY_WRITE,
        Ability::RangedRead => keys::STORE_ABILITY_RANGED_READ,
        Ability::ListedAtOnce => keys::STORE_ABILITY_LISTED_AT_ONCE,
        Ability::Overwrite => keys::STORE_ABILITY_OVERWRITE,
        Ability::ConditionalPut => keys::STORE_ABILITY_CONDITIONAL_PUT,
        Ability::Delete => keys::STORE_ABILITY_DELETE,
        Ability::GoneAtOnce => keys::STORE_ABILITY_GONE_AT_ONCE,
        Ability::ObjectLock => keys::STORE_ABILITY_OBJECT_LOCK,
        Ability::KeepsVersions => keys::STORE_ABILITY_KEEPS_VERSIONS,
    }
}
