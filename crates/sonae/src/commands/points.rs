//! `sonae points` and `sonae show`

use sonae_agent::Failure;
use sonae_agent::inspect::{points as list_points, show as show_point};
use sonae_agent::select::{Selector, unknown_vm};
use sonae_repo::manifest::{Consistency, Manifest};
use sonae_repo::time::from_rfc3339;
use sonae_text::{date, keys, number};
use sonae_types::Message;

use super::{Context, optional_vm};
use crate::args::PointArgs;
use crate::exit::Exit;
use crate::output::{Column, Output};

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
    for file in &list.damaged {
        output.say(&file.message());
        output.line(&output.cause(&file.detail));
    }
    if !list.damaged.is_empty() {
        output.remedy(&Message::new(keys::REMEDY_DAMAGE_REPOSITORY));
    }
    output.document(&list);
    Ok(if list.damaged.is_empty() { Exit::Done } else { Exit::DamageFound })
}

pub(super) fn show(context: &Context<'_>, args: &PointArgs) -> Result<Exit, Failure> {
    let vm = optional_vm(args.vm.as_deref())?;
    let selector = Selector::parse(&args.point)?;
    let repository = context.open()?;
    let report = show_point(&repository, &selector, vm.as_ref())?;
    let output = context.output;
    let or_dash =
        |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
    let consistency = report.manifest.as_ref().map(|manifest| match manifest.consistency {
        Consistency::UnchangedWhileRead => output.word(keys::SHOW_POINT_UNCHANGED_WHILE_READ),
    });
    output.labels(&[
        (keys::HEADING_POINT_ID, report.point.point.to_string()),
        (keys::HEADING_POINT_VM, report.point.vm.clone()),
        (keys::HEADING_POINT_TIME, time(&report.point.time)),
        (keys::HEADING_POINT_PARENT, or_dash(report.parent.map(|parent| parent.short()))),
        (keys::HEADING_POINT_PROGRAM, or_dash(report.program.clone())),
        (keys::HEADING_POINT_TAGS, or_dash(Some(report.point.tags.join(", ")))),
        (keys::HEADING_POINT_CONSISTENCY, or_dash(consistency)),
    ]);
    match &report.manifest {
        Some(manifest) => disks(output, manifest),
        None => output.say(&Message::new(keys::SHOW_POINT_FOREIGN)),
    }
    let rows = report.files.iter().map(|file| vec![file.path.clone(), number::bytes(file.size_bytes)]);
    output.line("");
    output.table(
        &[Column::Words(keys::HEADING_FILE_NAME), Column::Numbers(keys::HEADING_DISK_SIZE)],
        rows.collect(),
    );
    output.document(&report);
    Ok(Exit::Done)
}

/// What each disk is, and what it cost.
fn disks(output: &Output, manifest: &Manifest) {
    let columns = [
        Column::Words(keys::HEADING_DISK_NAME),
        Column::Numbers(keys::HEADING_DISK_SIZE),
        Column::Numbers(keys::HEADING_DISK_READ),
        Column::Numbers(keys::HEADING_DISK_CHANGED),
        Column::Numbers(keys::HEADING_DISK_NEW),
        Column::Numbers(keys::HEADING_DISK_STORED),
        Column::Words(keys::HEADING_DISK_PATH),
    ];
    let rows = manifest.disks.iter().map(|disk| {
        let sizes =
            [disk.size_bytes, disk.read_bytes, disk.changed_bytes, disk.new_chunk_bytes, disk.stored_bytes];
        let mut row = vec![disk.name.to_string()];
        row.extend(sizes.map(number::bytes));
        row.push(disk.source.clone());
        row
    });
    output.line("");
    output.table(&columns, rows.collect());
}

/// The time of a point as people read it; what is no time is shown as it is.
pub(super) fn time(rfc3339: &str) -> String {
    from_rfc3339(rfc3339).map_or_else(|| rfc3339.to_owned(), date::stamp)
}
