//! `sonae points` and `sonae show`

use sonae_agent::Failure;
use sonae_agent::inspect::{points as list_points, show as show_point};
use sonae_agent::select::unknown_vm;
use sonae_repo::manifest::Consistency;
use sonae_repo::time::from_rfc3339;
use sonae_text::{date, keys, number};
use sonae_types::Message;

use super::{Context, optional_vm, selector};
use crate::args::PointArgs;
use crate::exit::Exit;
use crate::output::Column;

pub(super) fn list(context: &Context<'_>, vm: Option<&str>) -> Result<Exit, Failure> {
    let vm = optional_vm(vm)?;
    let repository = context.open()?;
    let list = list_points(&repository, vm.as_ref())?;
    if let Some(vm) = vm.filter(|_| list.points.is_empty() && list.damaged.is_empty()) {
        return Err(unknown_vm(&vm));
    }
    let output = context.output;
    if list.points.is_empty() {
        output.say(&Message::new(keys::POINTS_LIST_EMPTY));
    } else {
        let columns = [
            Column::Words(keys::HEADING_POINT_ID),
            Column::Words(keys::HEADING_POINT_TIME),
            Column::Words(keys::HEADING_POINT_VM),
            Column::Words(keys::HEADING_POINT_DISKS),
        ];
        let rows = list.points.iter().map(|point| {
            vec![point.point.short(), time(&point.time), point.vm.clone(), point.disks.join(", ")]
        });
        output.table(&columns, rows.collect());
        output.say(&Message::new(keys::POINTS_LIST_COUNT).with("count", list.points.len()));
    }
    for id in &list.damaged {
        output.say(
            &Message::new(keys::ERROR_DAMAGE_FILE).with("file", format!("snapshots/{id}")).with("why", "-"),
        );
    }
    output.document(&list);
    Ok(if list.damaged.is_empty() { Exit::Done } else { Exit::DamageFound })
}

pub(super) fn show(context: &Context<'_>, args: &PointArgs) -> Result<Exit, Failure> {
    let vm = optional_vm(args.vm.as_deref())?;
    let selector = selector(&args.point)?;
    let repository = context.open()?;
    let report = show_point(&repository, &selector, vm.as_ref())?;
    let output = context.output;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    output.labels(&[
        (keys::HEADING_POINT_ID, report.point.point.to_string()),
        (keys::HEADING_POINT_VM, report.point.vm.clone()),
        (keys::HEADING_POINT_TIME, time(&report.point.time)),
        (keys::HEADING_POINT_PARENT, or_dash(report.parent.map(|parent| parent.short()))),
        (keys::HEADING_POINT_PROGRAM, or_dash(report.program.clone())),
        (keys::HEADING_POINT_TAGS, report.point.tags.join(", ")),
    ]);
    match report.manifest.as_ref().map(|manifest| manifest.consistency) {
        Some(Consistency::UnchangedWhileRead) => {
            output.say(&Message::new(keys::SHOW_POINT_UNCHANGED_WHILE_READ))
        }
        None => output.say(&Message::new(keys::SHOW_POINT_FOREIGN)),
    }
    let rows = report.files.iter().map(|file| vec![file.path.clone(), number::bytes(file.size_bytes)]);
    output.table(
        &[Column::Words(keys::HEADING_FILE_NAME), Column::Numbers(keys::HEADING_DISK_SIZE)],
        rows.collect(),
    );
    output.document(&report);
    Ok(Exit::Done)
}

/// The time of a point as people read it; what is no time is shown as it is.
pub(super) fn time(rfc3339: &str) -> String {
    from_rfc3339(rfc3339).map_or_else(|| rfc3339.to_owned(), date::stamp)
}
