//! What verifying and checking find wrong: as values for programs, as messages for people.

use serde::Serialize;
use sonae_repo::check::Finding;
use sonae_repo::keyless::KeylessDamage;
use sonae_repo::reader::DamagedFile;
use sonae_text::{keys, number};
use sonae_types::{ByteCount, Digest, Message};

use crate::failure::chain;
use crate::parent::disk_in;

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A file of the repository cannot be read.
    File,
    /// A pack that the index names is gone.
    PackMissing,
    /// A pack has another size than the index says.
    PackSize,
    /// A pack's bytes are not what they were.
    PackDamaged,
    /// A folder of a point cannot be read.
    Folder,
    /// A stretch of a disk or file cannot be restored.
    Range,
    /// The parts of a disk or file do not add up to its size.
    Size,
    /// A disk, or the manifest, is not in the point to which it belongs.
    Gone,
    /// The chunk list of a disk is not the one its manifest was sealed over.
    Root,
}

/// What is wrong, and where, in words for programs.
#[derive(Debug, Serialize)]
pub struct FindingReport {
    /// What kind of thing is wrong.
    pub kind: FindingKind,
    /// The point, where it hits one.
    pub point: Option<Digest>,
    /// The machine, where it hits one.
    pub vm: Option<String>,
    /// The disk, where it hits one.
    pub disk: Option<String>,
    /// The file of the point or of the repository.
    pub path: Option<String>,
    /// Where in the file.
    pub offset: Option<u64>,
    /// How many bytes from there.
    pub length_bytes: Option<ByteCount>,
    /// What is known about it, in English.
    pub detail: String,
}

/// A file of the repository that should be a point and cannot be read.
#[derive(Debug, Serialize)]
pub struct DamagedReport {
    /// The file.
    pub path: String,
    /// What is known about it, in English.
    pub detail: String,
}

impl DamagedReport {
    pub(crate) fn snapshot(file: &DamagedFile) -> Self {
        Self { path: format!("snapshots/{}", file.id), detail: chain(&file.cause) }
    }

    /// What it is, for people; [`Self::detail`] is the cause.
    #[must_use]
    pub fn message(&self) -> Message {
        Message::new(keys::ERROR_DAMAGE_FILE).with("file", &self.path)
    }
}

impl From<DamagedReport> for FindingReport {
    fn from(DamagedReport { path, detail }: DamagedReport) -> Self {
        Self {
            kind: FindingKind::File,
            point: None,
            vm: None,
            disk: None,
            path: Some(path),
            offset: None,
            length_bytes: None,
            detail,
        }
    }
}

impl FindingReport {
    /// What it is, for people. The detail behind it is for programs, except where [`Self::cause`] has it.
    #[must_use]
    pub fn message(&self) -> Message {
        let key = match (self.kind, self.offset) {
            (FindingKind::File, _) => keys::ERROR_DAMAGE_FILE,
            (FindingKind::PackMissing, _) => keys::ERROR_DAMAGE_MISSING,
            (FindingKind::PackSize, _) => keys::FINDING_PACK_SIZE,
            (FindingKind::PackDamaged, _) => keys::FINDING_PACK_DAMAGED,
            (FindingKind::Folder, _) => keys::FINDING_POINT_FOLDER,
            (FindingKind::Range, Some(_)) if self.length_bytes.is_none() => keys::FINDING_POINT_FROM,
            (FindingKind::Range, Some(_)) => keys::FINDING_POINT_RANGE,
            (FindingKind::Range, None) => keys::FINDING_POINT_SOMEWHERE,
            (FindingKind::Size, _) => keys::FINDING_POINT_SIZE,
            (FindingKind::Gone, _) => keys::FINDING_POINT_GONE,
            (FindingKind::Root, _) => keys::FINDING_POINT_ROOT,
        };
        let path = self.path.as_deref().unwrap_or("-");
        let message = Message::new(key)
            .with("file", path)
            .with("path", path)
            .with("disk", self.disk.as_deref().unwrap_or(path))
            .with("vm", self.vm.as_deref().unwrap_or("-"))
            .with("point", self.point.map_or_else(|| "-".to_owned(), |point| point.short()));
        let length = self.length_bytes.map_or_else(|| "?".to_owned(), number::bytes);
        message.with("offset", number::grouped(self.offset.unwrap_or_default())).with("length", length)
    }

    /// The technical cause, where the message does not say all there is.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        match self.kind {
            FindingKind::File | FindingKind::PackSize | FindingKind::PackDamaged | FindingKind::Folder => {
                Some(&self.detail)
            }
            FindingKind::PackMissing
            | FindingKind::Range
            | FindingKind::Size
            | FindingKind::Gone
            | FindingKind::Root => None,
        }
    }

    /// A pack that an index file lists and that is not there.
    pub(crate) fn missing_pack(pack: &Digest) -> Self {
        Self::of_pack(FindingKind::PackMissing, pack, "the index names it, and it is not there")
    }

    /// A pack whose header cannot be read.
    pub(crate) fn damaged_pack(file: &DamagedFile) -> Self {
        Self::of_pack(FindingKind::PackDamaged, &file.id, chain(&file.cause))
    }

    /// A pack with something in it that cannot be read.
    pub(crate) fn unreadable_in_pack(pack: &Digest, detail: &str) -> Self {
        Self::of_pack(FindingKind::PackDamaged, pack, detail)
    }

    /// An index file that cannot be read.
    pub(crate) fn damaged_index(file: &DamagedFile) -> Self {
        DamagedReport { path: format!("index/{}", file.id), detail: chain(&file.cause) }.into()
    }

    fn of_pack(kind: FindingKind, pack: &Digest, detail: impl Into<String>) -> Self {
        let path = format!("data/{:02x}/{pack}", pack.as_bytes()[0]);
        Self { kind, ..DamagedReport { path, detail: detail.into() }.into() }
    }

    fn of_point(
        kind: FindingKind,
        (point, vm, path): (&Digest, &str, &str),
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            point: Some(*point),
            vm: Some(vm.to_owned()),
            disk: disk_in(vm, path).map(ToOwned::to_owned),
            ..DamagedReport { path: path.to_owned(), detail: detail.into() }.into()
        }
    }
}

impl From<&Finding> for FindingReport {
    fn from(finding: &Finding) -> Self {
        match finding {
            Finding::File { file, cause } => {
                DamagedReport { path: file.to_string(), detail: chain(cause) }.into()
            }
            Finding::PackMissing { pack } => Self::missing_pack(pack),
            Finding::PackSize { pack, expected, found } => Self::of_pack(
                FindingKind::PackSize,
                pack,
                format!("the pack has {found} instead of {expected}"),
            ),
            Finding::PackDamaged { pack, cause } => {
                Self::of_pack(FindingKind::PackDamaged, pack, chain(cause))
            }
            Finding::Folder { point, vm, path, cause } => {
                Self::of_point(FindingKind::Folder, (point, vm, path), chain(cause))
            }
            Finding::Range { point, vm, path, at, len, chunk } => Self {
                offset: *at,
                length_bytes: len.map(|len| ByteCount::new(len.into())),
                ..Self::of_point(
                    FindingKind::Range,
                    (point, vm, path),
                    format!("chunk {chunk} cannot be read"),
                )
            },
            Finding::Size { point, vm, path, stated, sum } => Self::of_point(
                FindingKind::Size,
                (point, vm, path),
                format!("states {stated} bytes, its chunks add up to {sum}"),
            ),
            Finding::Gone { point, vm, path } => Self::of_point(
                FindingKind::Gone,
                (point, vm, path),
                "it is not in the recovery point any more",
            ),
            Finding::Root { point, vm, path } => Self::of_point(
                FindingKind::Root,
                (point, vm, path),
                "its chunk list is not the one its manifest was sealed over",
            ),
        }
    }
}

impl From<&KeylessDamage> for FindingReport {
    fn from(damage: &KeylessDamage) -> Self {
        let detail = match damage.found {
            Some(found) => format!("its bytes hash to {found}"),
            None => "it is shorter than the listing says".to_owned(),
        };
        DamagedReport { path: damage.file.to_string(), detail }.into()
    }
}

#[cfg(test)]
mod tests {
    use sonae_text::{Language, missing_fields, render};

    use super::*;

    fn finding(kind: FindingKind, offset: Option<u64>) -> FindingReport {
        FindingReport {
            offset,
            length_bytes: Some(ByteCount::mib(1)),
            ..FindingReport::of_point(
                kind,
                (&Digest::new([0x4f; 32]), "住民記録-ap01", "/住民記録-ap01/disk-vda.raw"),
                "detail",
            )
        }
    }

    #[test]
    fn a_finding_says_machine_disk_and_place_in_words() {
        let range = finding(FindingKind::Range, Some(1_048_576)).message();
        assert_eq!(
            render(&range, Language::En),
            "Machine 住民記録-ap01, vda: 1.00 MiB from offset 1,048,576 cannot be restored. Recovery point: 4f4f4f4f"
        );
        assert_eq!(
            render(&range, Language::Ja),
            "仮想サーバー「住民記録-ap01」の「vda」は、位置 1,048,576 から 1.00 MiB を復元できません。復元ポイント: 4f4f4f4f"
        );
    }

    #[test]
    fn every_kind_of_finding_fills_all_fields_of_its_message() {
        use FindingKind::{File, Folder, Gone, PackDamaged, PackMissing, PackSize, Range, Root, Size};
        for kind in [File, PackMissing, PackSize, PackDamaged, Folder, Range, Size, Gone, Root] {
            for offset in [None, Some(0)] {
                assert!(missing_fields(&finding(kind, offset).message()).is_empty(), "{kind:?}");
            }
        }
    }
}
