//! How an object store is entered: the variables that restic and the tools of the stores read, too.

use sonae_agent::{Failure, Fault};
use sonae_repo::store::S3Access;
use sonae_repo::store::s3::{Authorities, S3Login, S3Region};
use sonae_text::keys;
use sonae_types::Message;

/// What the environment says. Errors: the certificates that it names cannot be read.
pub(super) fn s3_access() -> Result<S3Access, Failure> {
    let login = match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
        (Some(id), Some(secret)) => match variable("AWS_SESSION_TOKEN") {
            Some(token) => S3Login::Temporary { id, secret: secret.into(), token: token.into() },
            None => S3Login::Keys { id, secret: secret.into() },
        },
        (_, _) => S3Login::Missing,
    };
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    let authorities = match variable("SONAE_CACERT") {
        Some(path) => Authorities::Also(std::fs::read(&path).map_err(|error| {
            let message = Message::new(keys::ERROR_CERTIFICATE_UNREADABLE).with("path", &path);
            let failure = Failure::new(Fault::WrongUse, message).because(error);
            failure.remedy(Message::new(keys::REMEDY_CERTIFICATE_UNREADABLE))
        })?),
        None => Authorities::OfSystem,
    };
    Ok(S3Access { login, region: region.map_or_else(S3Region::default, S3Region::new), authorities })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge, where the settings of the environment are read once"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
