//! `sonae backup`

use std::path::PathBuf;

use sonae_agent::backup::{BackupRequest, DiskRequest, Format, Mode, Reason, backup};
use sonae_agent::{Failure, Fault};
use sonae_text::{keys, number};
use sonae_types::{DiskName, Message};

use super::verify::print_findings;
use super::{Context, vm_name};
use crate::args::BackupArgs;
use crate::exit::Exit;
use crate::output::Column;
use crate::progress::{Phase, shown};

pub(super) fn run(context: &Context<'_>, args: &BackupArgs) -> Result<Exit, Failure> {
    let disks = args.disks.iter().map(|text| disk(text)).collect::<Result<_, _>>()?;
    let request = BackupRequest { vm: vm_name(&args.vm)?, disks, files: args.files.clone() };
    let repository = context.open()?;
    let clock = &*repository.environment().clock;
    let report = shown(context.output, context.show(), clock, Phase::Reading, |progress| {
        backup(&repository, &request, &context.access.repeats, context.stop, progress)
    })?;
    let output = context.output;
    let duration = number::duration(std::time::Duration::from_millis(report.duration_ms), output.language);
    let rows = report.disks.iter().map(|disk| {
        let mode = match disk.mode {
            Mode::Full => keys::BACKUP_MODE_FULL,
            Mode::Incremental => keys::BACKUP_MODE_INCREMENTAL,
        };
        let reason = match disk.reason {
            Reason::FirstPoint => keys::BACKUP_REASON_FIRST_POINT,
            Reason::NoChangeInformation => keys::BACKUP_REASON_NO_CHANGE_INFORMATION,
        };
        let sizes =
            [disk.size_bytes, disk.read_bytes, disk.changed_bytes, disk.new_chunk_bytes, disk.stored_bytes];
        let mut row = vec![disk.name.to_string()];
        row.extend(sizes.map(number::bytes));
        let mode = Message::new(keys::BACKUP_MODE_WHY).with("mode", output.word(mode));
        row.push(output.text(&mode.with("reason", output.word(reason))));
        row
    });
    let columns = [
        Column::Words(keys::HEADING_DISK_NAME),
        Column::Numbers(keys::HEADING_DISK_SIZE),
        Column::Numbers(keys::HEADING_DISK_READ),
        Column::Numbers(keys::HEADING_DISK_CHANGED),
        Column::Numbers(keys::HEADING_DISK_NEW),
        Column::Numbers(keys::HEADING_DISK_STORED),
        Column::Words(keys::HEADING_DISK_MODE),
    ];
    output.table(&columns, rows.collect());
    output.say(
        &Message::new(keys::BACKUP_RUN_DONE)
            .with("vm", &report.vm)
            .with("point", report.point.short())
            .with("duration", duration),
    );
    if 0 < report.repeated_operations {
        output.say(&Message::new(keys::BACKUP_RUN_REPEATED).with("count", report.repeated_operations));
        let cause = context.access.repeats.last_cause();
        cause.iter().for_each(|cause| output.line(&output.cause(cause)));
    }
    if !report.findings.is_empty() {
        output.say(&Message::new(keys::BACKUP_RUN_FINDINGS).with("count", report.findings.len()));
        print_findings(output, &report.findings);
        output.remedy(&Message::new(keys::REMEDY_BACKUP_FINDINGS));
    }
    output.document(&report);
    Ok(Exit::Done)
}

/// Reads `NAME=PATH` or `NAME=raw:PATH`.
fn disk(text: &str) -> Result<DiskRequest, Failure> {
    let malformed = || {
        Failure::new(Fault::WrongUse, Message::new(keys::ERROR_DISK_ARGUMENT).with("argument", text))
            .remedy(Message::new(keys::REMEDY_DISK_ARGUMENT))
    };
    let (name, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or_else(malformed)?;
    let (path, format) = match path.strip_prefix("raw:") {
        Some("") => return Err(malformed()),
        Some(path) => (path, Format::AsIs),
        None => (path, Format::Raw),
    };
    let name = disk_name(name)?;
    Ok(DiskRequest { name, path: PathBuf::from(path), format })
}

pub(super) fn disk_name(text: &str) -> Result<DiskName, Failure> {
    DiskName::parse(text).map_err(|error| {
        Failure::new(Fault::WrongUse, Message::new(keys::ERROR_DISK_NAME).with("name", text))
            .remedy(Message::new(keys::REMEDY_DISK_NAME))
            .because(error)
    })
}

#[cfg(test)]
mod tests {
    use sonae_types::MessageKey;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, &str, Format), MessageKey>) {
        let found = disk(text).map_err(|failure| failure.message.key);
        let found = found.map(|disk| (disk.name.to_string(), disk.path, disk.format));
        let expected = expected.map(|(name, path, format)| (name.to_owned(), PathBuf::from(path), format));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_disk_is_a_name_and_a_path_which_may_hold_anything() {
        check("vda=/srv/web01.raw", Ok(("vda", "/srv/web01.raw", Format::Raw)));
        check("scsi0-1=a=b", Ok(("scsi0-1", "a=b", Format::Raw)));
        check("vda=/srv/住民 記録.raw", Ok(("vda", "/srv/住民 記録.raw", Format::Raw)));
        check("vda=raw:/srv/web01.qcow2", Ok(("vda", "/srv/web01.qcow2", Format::AsIs)));
        check("vda=./raw:odd", Ok(("vda", "./raw:odd", Format::Raw)));
    }

    #[test]
    fn what_is_no_disk_says_whether_the_form_or_the_name_is_wrong() {
        for text in ["", "vda", "vda=", "vda=raw:", "/srv/web01.raw"] {
            check(text, Err(keys::ERROR_DISK_ARGUMENT));
        }
        for text in ["=/srv/web01.raw", "v/da=x", "ディスク=x", "..=x", "v da=x"] {
            check(text, Err(keys::ERROR_DISK_NAME));
        }
    }
}
