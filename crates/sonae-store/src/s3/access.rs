//! What an object store wants to know of whoever comes: keys, region, and whom we trust.

use std::fmt;

use zeroize::Zeroizing;

/// How an object store is entered.
#[derive(Clone, Debug, Default)]
pub struct S3Access {
    /// Who comes.
    pub login: S3Login,
    /// The region for which requests are signed.
    pub region: S3Region,
    /// Whom we trust to say who the store is, where it is reached by https.
    pub authorities: Authorities,
}

/// Who comes.
#[derive(Clone, Default)]
pub enum S3Login {
    /// No keys were given; nothing can be done then.
    #[default]
    Missing,
    /// Keys.
    Keys {
        /// As in `AWS_ACCESS_KEY_ID`.
        id: String,
        /// As in `AWS_SECRET_ACCESS_KEY`.
        secret: Zeroizing<String>,
    },
    /// Keys that hold for some hours.
    Temporary {
        /// As in `AWS_ACCESS_KEY_ID`.
        id: String,
        /// As in `AWS_SECRET_ACCESS_KEY`.
        secret: Zeroizing<String>,
        /// As in `AWS_SESSION_TOKEN`.
        token: Zeroizing<String>,
    },
}

/// A region's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Region(String);

/// Whom we trust to say who the store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authorities {
    /// Those that this machine trusts.
    #[default]
    OfSystem,
    /// Those, and the ones in this text of PEM certificates.
    Also(Vec<u8>),
}

impl S3Region {
    /// The region of this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The one that restic and most stores take where none is named.
impl Default for S3Region {
    fn default() -> Self {
        Self("us-east-1".to_owned())
    }
}

/// Names the id, never the secrets.
impl fmt::Debug for S3Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("Missing"),
            Self::Keys { id, .. } => f.debug_struct("Keys").field("id", id).finish_non_exhaustive(),
            Self::Temporary { id, .. } => f.debug_struct("Temporary").field("id", id).finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_shown() {
        let secret = Zeroizing::new("hush".to_owned());
        let token = Zeroizing::new("hush".to_owned());
        let logins = [
            S3Login::Keys { id: "me".to_owned(), secret: secret.clone() },
            S3Login::Temporary { id: "me".to_owned(), secret, token },
        ];
        for login in logins {
            let shown = format!("{:?}", S3Access { login, ..S3Access::default() });
            assert!(shown.contains("me") && !shown.contains("hush"), "{shown}");
        }
    }
}
