//! Names from outside, parsed once at the edge and trusted from then on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name in bytes: what file systems allow for one path component, less room for our endings.
pub const NAME_BYTES_MAX: usize = 200;

/// The name of a virtual server: one path component, so that it can stand in `/<vm>` of a recovery point.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VmName(String);

/// The name of a disk as the hypervisor shows it to the guest: `vda`, `sdb`, `scsi0-1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DiskName(String);

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} bytes, this one has {len}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Would leave its folder.
    #[error("a name must not be \".\" or \"..\"")]
    Dots,
    /// A character that names cannot hold.
    #[error("a name must not contain {found:?}")]
    Character {
        /// The character.
        found: char,
    },
}

impl VmName {
    /// Parses a name: not empty, no `/`, no control character, not `.` or `..`, at most 200 bytes.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        component(text).map(|()| Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl DiskName {
    /// Parses a name: letters, digits, `.`, `_`, `-` and `:` only, not `.` or `..`, at most 200 bytes.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        component(text)?;
        match text.chars().find(|c| !c.is_ascii_alphanumeric() && !"._-:".contains(*c)) {
            Some(found) => Err(NameError::Character { found }),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn component(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { len: text.len() });
    }
    if text == "." || text == ".." {
        return Err(NameError::Dots);
    }
    match text.chars().find(|c| *c == '/' || c.is_control()) {
        Some(found) => Err(NameError::Character { found }),
        None => Ok(()),
    }
}

macro_rules! text_form {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}
text_form!(VmName);
text_form!(DiskName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_folder_are_refused() {
        for text in ["", ".", "..", "a/b", "a\0b", "a\nb", &"x".repeat(201)] {
            assert!(VmName::parse(text).is_err(), "{text:?}");
            assert!(DiskName::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn japanese_machine_names_are_welcome_and_disk_names_stay_plain() {
        assert_eq!(VmName::parse("住民記録-ap01").unwrap().as_str(), "住民記録-ap01");
        assert_eq!(DiskName::parse("ディスク"), Err(NameError::Character { found: 'デ' }));
    }
}
