//! `sonae backup`

use std::path::PathBuf;

use sonae_agent::backup::{BackupRequest, DiskReport, DiskRequest, Format, Mode, backup};
use sonae_agent::changes::{AUDIT_PERCENT, ChangeMaps, Reason};
use sonae_agent::{Failure, Fault};
use sonae_text::{keys, number};
use sonae_types::{ByteOffset, DiskName, Message, MessageKey};

use super::verify::print_findings;
use super::{Context, vm_name};
use crate::args::BackupArgs;
use crate::exit::Exit;
use crate::output::Column;
use crate::progress::{Phase, shown};

pub(super) fn run(context: &Context<'_>, args: &BackupArgs) -> Result<Exit, Failure> {
    let disks = args.disks.iter().map(|text| disk(text)).collect::<Result<_, _>>()?;
    let maps = args.changed.iter().map(|text| change_map(text)).collect::<Result<_, _>>()?;
    let changes = ChangeMaps::new(maps, audit_percent(args.audit.as_deref())?)?;
    let request = BackupRequest { vm: vm_name(&args.vm)?, disks, files: args.files.clone(), changes };
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
        let sizes =
            [disk.size_bytes, disk.read_bytes, disk.changed_bytes, disk.new_chunk_bytes, disk.stored_bytes];
        let mut row = vec![disk.name.to_string()];
        row.extend(sizes.map(number::bytes));
        let mode = Message::new(keys::BACKUP_MODE_WHY).with("mode", output.word(mode));
        row.push(output.text(&mode.with("reason", output.word(reason(disk.reason)))));
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
    let untrue = report.disks.iter().filter(|disk| 0 < disk.audit.untrue_chunks).collect::<Vec<_>>();
    for disk in &untrue {
        output.say(&told_untrue(disk));
    }
    if !untrue.is_empty() {
        output.remedy(&Message::new(keys::REMEDY_BACKUP_UNTRUE).with("vm", &report.vm));
    }
    output.document(&report);
    Ok(if untrue.is_empty() { Exit::Done } else { Exit::ChangesUntrue })
}

fn reason(reason: Reason) -> MessageKey {
    match reason {
        Reason::FirstPoint => keys::BACKUP_REASON_FIRST_POINT,
        Reason::NoChangeInformation => keys::BACKUP_REASON_NO_CHANGE_INFORMATION,
        Reason::MapOfChanges => keys::BACKUP_REASON_MAP_OF_CHANGES,
        Reason::MapUnreadable => keys::BACKUP_REASON_MAP_UNREADABLE,
        Reason::ParentUnknown => keys::BACKUP_REASON_PARENT_UNKNOWN,
        Reason::ParentOfOtherMachine => keys::BACKUP_REASON_PARENT_OF_OTHER_MACHINE,
        Reason::ParentNotNewest => keys::BACKUP_REASON_PARENT_NOT_NEWEST,
        Reason::MapOlderThanDisk => keys::BACKUP_REASON_MAP_OLDER_THAN_DISK,
        Reason::ParentWithoutDisk => keys::BACKUP_REASON_PARENT_WITHOUT_DISK,
        Reason::ParentDamaged => keys::BACKUP_REASON_PARENT_DAMAGED,
        Reason::SizeDiffers => keys::BACKUP_REASON_SIZE_DIFFERS,
        Reason::ChunkingDiffers => keys::BACKUP_REASON_CHUNKING_DIFFERS,
        Reason::ChunkListDiffers => keys::BACKUP_REASON_CHUNK_LIST_DIFFERS,
        Reason::MapUntrue => keys::BACKUP_REASON_MAP_UNTRUE,
    }
}

fn told_untrue(disk: &DiskReport) -> Message {
    let at = disk.audit.first_untrue_offset.map_or(0, ByteOffset::get);
    Message::new(keys::BACKUP_RUN_UNTRUE)
        .with("disk", &disk.name)
        .with("count", disk.audit.untrue_chunks)
        .with("offset", number::grouped(at))
}

/// Reads `NAME=FILE`.
fn change_map(text: &str) -> Result<(DiskName, PathBuf), Failure> {
    let malformed = || {
        Failure::new(Fault::WrongUse, Message::new(keys::ERROR_CHANGES_ARGUMENT).with("argument", text))
            .remedy(Message::new(keys::REMEDY_CHANGES_ARGUMENT))
    };
    let (name, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or_else(malformed)?;
    Ok((disk_name(name)?, PathBuf::from(path)))
}

/// Reads a whole number of per cent, with or without the sign.
fn audit_percent(text: Option<&str>) -> Result<u8, Failure> {
    let Some(text) = text else { return Ok(AUDIT_PERCENT) };
    let percent = text.strip_suffix('%').unwrap_or(text).parse().ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| {
        Failure::new(Fault::WrongUse, Message::new(keys::ERROR_AUDIT_PERCENT).with("value", text))
            .remedy(Message::new(keys::REMEDY_AUDIT_PERCENT))
    })
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
    fn a_share_is_a_whole_number_of_per_cent() {
        for (text, expected) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("100%", Some(100)),
            ("101", None),
            ("-1", None),
            ("1.5", None),
            ("%", None),
        ] {
            assert_eq!(audit_percent(Some(text)).ok(), expected, "{text}");
        }
        assert_eq!(audit_percent(None).unwrap(), AUDIT_PERCENT);
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
