//! `sonae diff`

use sonae_agent::Failure;
use sonae_agent::diff::{DiskChange, DiskDiff, diff};
use sonae_agent::select::Selector;
use sonae_text::{keys, number};
use sonae_types::{ByteCount, Message};

use super::{Context, optional_vm};
use crate::args::DiffArgs;
use crate::exit::Exit;
use crate::output::{Column, Output};

/// Most stretches of a disk that people are shown; programs get them all.
const SHOWN_MAX: usize = 20;

pub(super) fn run(context: &Context<'_>, args: &DiffArgs) -> Result<Exit, Failure> {
    let vm = optional_vm(args.vm.as_deref())?;
    let (from, to) = (Selector::parse(&args.from)?, Selector::parse(&args.to)?);
    let repository = context.open()?;
    let report = diff(&repository, (&from, &to), vm.as_ref())?;
    let output = context.output;
    let columns = [
        Column::Words(keys::HEADING_DISK_NAME),
        Column::Words(keys::HEADING_DISK_STATE),
        Column::Numbers(keys::HEADING_DISK_SIZE_BEFORE),
        Column::Numbers(keys::HEADING_DISK_SIZE),
        Column::Numbers(keys::HEADING_DISK_CHANGED),
    ];
    let rows = report.disks.iter().map(|disk| {
        let size = |size: Option<ByteCount>| size.map_or_else(|| "-".to_owned(), number::bytes);
        let state = match disk.state {
            DiskChange::Same => keys::DIFF_STATE_SAME,
            DiskChange::Changed => keys::DIFF_STATE_CHANGED,
            DiskChange::Added => keys::DIFF_STATE_ADDED,
            DiskChange::Removed => keys::DIFF_STATE_REMOVED,
        };
        let changed = number::bytes(disk.changed_bytes);
        let (old, new) = (size(disk.old_size_bytes), size(disk.new_size_bytes));
        vec![disk.name.to_string(), output.word(state), old, new, changed]
    });
    output.table(&columns, rows.collect());
    report.disks.iter().for_each(|disk| stretches(output, disk));
    output.document(&report);
    Ok(Exit::Done)
}

fn stretches(output: &Output, disk: &DiskDiff) {
    let ranges = disk.map.as_ref().map(|map| &map.ranges[..]).unwrap_or_default();
    if ranges.is_empty() {
        return;
    }
    output.line("");
    output.say(&Message::new(keys::DIFF_DISK_RANGES).with("disk", &disk.name).with("count", ranges.len()));
    let rows = ranges
        .iter()
        .take(SHOWN_MAX)
        .map(|(at, len)| vec![number::grouped(*at), number::bytes(ByteCount::new(*len))]);
    let columns = [Column::Numbers(keys::HEADING_RANGE_OFFSET), Column::Numbers(keys::HEADING_RANGE_LENGTH)];
    output.table(&columns, rows.collect());
    if SHOWN_MAX < ranges.len() {
        output.say(&Message::new(keys::DIFF_DISK_MORE).with("count", ranges.len() - SHOWN_MAX));
    }
}
