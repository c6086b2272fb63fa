//! Which point is meant: an id, a unique beginning of one, or the latest of a machine.

use sonae_repo::reader::Points;
use sonae_repo::snapshot::Point;
use sonae_text::keys;
use sonae_types::{Digest, Message, VmName};

use crate::failure::{Failure, Fault};
use crate::findings::DamagedReport;

/// How a person names a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The newest one of a machine.
    Latest,
    /// The beginning of its id, in lower-case hexadecimal digits.
    Prefix(String),
}

impl Selector {
    /// What a person typed. Errors: nothing.
    ///
    /// What is no id at all is an unknown point, not a wrong word: the search will say so.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "latest" => Ok(Self::Latest),
            "" => Err(Failure::new(Fault::WrongUse, Message::new(keys::ERROR_POINT_NOT_NAMED))
                .remedy(Message::new(keys::REMEDY_POINT_NOT_NAMED))),
            _ => Ok(Self::Prefix(text.to_ascii_lowercase())),
        }
    }
}

/// Finds the point meant. Errors: none or several match, `latest` without a machine, a machine without points.
pub fn select<'a>(
    points: &'a Points,
    selector: &Selector,
    vm: Option<&VmName>,
) -> Result<&'a Point, Failure> {
    let of_vm = |point: &&Point| {
        !point.snapshot.is_proof() && vm.is_none_or(|vm| point.snapshot.hostname == vm.as_str())
    };
    match (selector, vm) {
        (Selector::Latest, None) => {
            Err(Failure::new(Fault::WrongUse, Message::new(keys::ERROR_POINT_LATEST_NEEDS_VM))
                .remedy(Message::new(keys::REMEDY_POINT_LATEST_NEEDS_VM)))
        }
        (Selector::Latest, Some(vm)) => points
            .newest(|point| of_vm(&point) && is_whole_machine(point))
            .or_else(|| points.newest(|point| of_vm(&point)))
            .ok_or_else(|| unknown_vm(vm)),
        (Selector::Prefix(prefix), _) => match points
            .good
            .iter()
            .filter(of_vm)
            .filter(|point| starts(point.id, prefix))
            .collect::<Vec<_>>()[..]
        {
            [point] => Ok(point),
            [] => Err(not_found(points, prefix, vm)),
            ref several => Err(Failure::new(
                Fault::WrongUse,
                Message::new(keys::ERROR_POINT_AMBIGUOUS).with("prefix", prefix).with("count", several.len()),
            )
            .remedy(Message::new(keys::REMEDY_POINT_AMBIGUOUS))),
        },
    }
}

/// Whether a point is one of the machine as such. A restic inside the machine saves folders of it under the same name,
/// and must not become what `latest` restores; and somebody may have taken our tags away.
fn is_whole_machine(point: &Point) -> bool {
    let snapshot = &point.snapshot;
    snapshot.is_ours() || snapshot.paths[..] == [format!("/{}", snapshot.hostname)]
}

/// Why nothing begins so: it is damaged, of another machine, or not there.
fn not_found(points: &Points, prefix: &str, vm: Option<&VmName>) -> Failure {
    if let Some(file) = points.damaged.iter().find(|file| starts(file.id, prefix)) {
        let file = DamagedReport::snapshot(file);
        return Failure::new(Fault::DamageFound, file.message())
            .remedy(Message::new(keys::REMEDY_DAMAGE_REPOSITORY))
            .because_text(file.detail);
    }
    let mut others = points.good.iter().filter(|point| !point.snapshot.is_proof());
    if let Some(vm) = vm
        && let Some(other) = others.find(|point| starts(point.id, prefix))
    {
        let message = Message::new(keys::ERROR_POINT_OTHER_VM).with("point", other.id.short());
        return Failure::new(Fault::WrongUse, message.with("vm", vm).with("found", &other.snapshot.hostname))
            .remedy(Message::new(keys::REMEDY_POINT_OTHER_VM));
    }
    Failure::new(Fault::WrongUse, Message::new(keys::ERROR_POINT_UNKNOWN).with("point", prefix))
        .remedy(Message::new(keys::REMEDY_POINT_UNKNOWN))
}

/// The failure that a machine has no points here.
#[must_use]
pub fn unknown_vm(vm: &VmName) -> Failure {
    Failure::new(Fault::WrongUse, Message::new(keys::ERROR_VM_UNKNOWN).with("vm", vm))
        .remedy(Message::new(keys::REMEDY_VM_UNKNOWN))
}

fn starts(id: Digest, prefix: &str) -> bool {
    id.to_string().starts_with(prefix)
}
