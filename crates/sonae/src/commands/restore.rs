//! `sonae restore`

use std::time::Duration;

use sonae_agent::Failure;
use sonae_agent::restore::{Existing, RestoreRequest, What, restore};
use sonae_agent::select::Selector;
use sonae_text::{keys, number};
use sonae_types::Message;

use super::backup::disk_name;
use super::{Context, optional_vm};
use crate::args::{ExistingArg, RestoreArgs};
use crate::exit::Exit;
use crate::progress::{Phase, shown};

pub(super) fn run(context: &Context<'_>, args: &RestoreArgs) -> Result<Exit, Failure> {
    let what = match (&args.disk, &args.path) {
        (Some(disk), _) => What::Disk(disk_name(disk)?),
        (None, path) => What::Path(path.clone().unwrap_or_default()),
    };
    let existing = match args.existing {
        ExistingArg::Refuse => Existing::Refuse,
        ExistingArg::Update => Existing::Update,
    };
    let request = RestoreRequest {
        point: Selector::parse(&args.point.point)?,
        vm: optional_vm(args.point.vm.as_deref())?,
        what,
        to: args.to.clone(),
        existing,
    };
    let repository = context.open()?;
    let clock = &*repository.environment().clock;
    let report = shown(context.output, context.show(), clock, Phase::Restoring, |progress| {
        restore(&repository, &request, context.stop, progress)
    })?;
    let output = context.output;
    let duration = number::duration(Duration::from_millis(report.duration_ms), output.language);
    let size = number::bytes(report.size_bytes);
    let message = match (&request.what, request.existing) {
        (What::Disk(disk), existing) => {
            let key = match existing {
                Existing::Refuse => keys::RESTORE_DISK_DONE,
                Existing::Update => keys::RESTORE_DISK_UPDATED,
            };
            let message =
                Message::new(key).with("disk", disk).with("path", report.to.display()).with("size", size);
            message.with("written", number::bytes(report.written_bytes)).with("duration", duration)
        }
        (What::Path(path), _) => Message::new(keys::RESTORE_FILE_DONE)
            .with("path", path)
            .with("target", report.to.display())
            .with("size", size),
    };
    output.say(&message);
    output.document(&report);
    Ok(Exit::Done)
}
