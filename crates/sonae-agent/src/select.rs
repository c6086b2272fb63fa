//! Which point is meant: an id, a unique beginning of one, or the latest of a machine.

use std::str::FromStr;

use sonae_repo::reader::Points;
use sonae_repo::snapshot::Point;
use sonae_text::keys;
use sonae_types::{Digest, Message, VmName};

use crate::failure::{Failure, Fault};

/// How a person names a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The newest one of a machine.
    Latest,
    /// The beginning of its id, in lower-case hexadecimal digits.
    Prefix(String),
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "latest" => Ok(Self::Latest),
            "" => Err("an id, the beginning of one, or `latest`".to_owned()),
            // What is no id at all is an unknown point, not a wrong word: the search will say so.
            _ => Ok(Self::Prefix(text.to_owned())),
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
        (Selector::Latest, Some(vm)) => points.good.iter().rfind(of_vm).ok_or_else(|| unknown_vm(vm)),
        (Selector::Prefix(prefix), _) => match points
            .good
            .iter()
            .filter(of_vm)
            .filter(|point| starts(point.id, prefix))
            .collect::<Vec<_>>()[..]
        {
            [point] => Ok(point),
            [] => match points.damaged.iter().find(|file| starts(file.id, prefix)) {
                Some(file) => Err(crate::failure::damage(
                    format!("snapshots/{}", file.id),
                    crate::failure::chain(&file.cause),
                )),
                None => Err(Failure::new(
                    Fault::WrongUse,
                    Message::new(keys::ERROR_POINT_UNKNOWN).with("point", prefix),
                )
                .remedy(Message::new(keys::REMEDY_POINT_UNKNOWN))),
            },
            ref several => Err(Failure::new(
                Fault::WrongUse,
                Message::new(keys::ERROR_POINT_AMBIGUOUS).with("prefix", prefix).with("count", several.len()),
            )
            .remedy(Message::new(keys::REMEDY_POINT_AMBIGUOUS))),
        },
    }
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
