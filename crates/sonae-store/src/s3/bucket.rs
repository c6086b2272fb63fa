//! What is asked of a bucket itself, in requests that the client library does not know.

use std::error::Error;
use std::fmt;

use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};

use super::refusal::refusal;
use super::wire::{Allowance, Wire};
use super::{S3Access, S3Login, S3Place, Trouble};

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What a bucket may promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Objects can be locked against removal.
    ObjectLock,
    /// What is overwritten or removed is kept as an older version.
    Versions,
}

/// Whether it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The bucket says so.
    Yes,
    /// The bucket says that it does not.
    No,
    /// The store does not know the question, or does not answer us.
    Unsaid,
}

pub(super) struct Bucket {
    client: HttpClient,
    url: String,
    credential: AwsCredential,
    region: String,
}

impl Bucket {
    pub(super) fn new(place: &S3Place, access: &S3Access, client: HttpClient) -> Self {
        let (key_id, secret_key, token) = match &access.login {
            S3Login::Missing => (String::new(), String::new(), None),
            S3Login::Keys { id, secret } => (id.clone(), secret.to_string(), None),
            S3Login::Temporary { id, secret, token } => {
                (id.clone(), secret.to_string(), Some(token.to_string()))
            }
        };
        Self {
            client,
            url: format!("{}/{}", place.endpoint(), place.bucket()),
            credential: AwsCredential { key_id, secret_key, token },
            region: access.region.as_str().to_owned(),
        }
    }

    pub(super) fn create(&self, wire: &Wire) -> Result<(), Trouble> {
        // The region that stores take for granted must not be named.
        let body = if self.region == "us-east-1" {
            String::new()
        } else {
            let inside = format!("<LocationConstraint>{}</LocationConstraint>", self.region);
            let space = "http://s3.amazonaws.com/doc/2006-03-01/";
            format!("<CreateBucketConfiguration xmlns=\"{space}\">{inside}</CreateBucketConfiguration>")
        };
        match self.ask(wire, "PUT", "", body) {
            // Somebody of ours was faster.
            Err(Trouble::Refused(error))
                if refusal(&error).is_some_and(|refusal| refusal.code == "BucketAlreadyOwnedByYou") =>
            {
                Ok(())
            }
            other => other.map(drop),
        }
    }

    pub(super) fn promises(&self, wire: &Wire, promise: Promise) -> Result<Kept, Trouble> {
        let (query, word) = match promise {
            Promise::ObjectLock => ("?object-lock", "<ObjectLockEnabled>Enabled<"),
            Promise::Versions => ("?versioning", "<Status>Enabled<"),
        };
        match self.ask(wire, "GET", query, String::new()) {
            Ok(answer) if answer.contains(word) => Ok(Kept::Yes),
            Ok(_) => Ok(Kept::No),
            Err(Trouble::Refused(error)) => match refusal(&error) {
                Some(refusal) if refusal.code == "ObjectLockConfigurationNotFoundError" => Ok(Kept::No),
                Some(refusal) if refusal.status < 500 || refusal.status == 501 => Ok(Kept::Unsaid),
                Some(_) | None => Err(Trouble::Refused(error)),
            },
            Err(cut) => Err(cut),
        }
    }

    fn ask(&self, wire: &Wire, method: &str, query: &str, body: String) -> Result<String, Trouble> {
        let request = async {
            let mut request = HttpRequest::new(HttpRequestBody::from(body));
            *request.method_mut() = method.parse().map_err(generic)?;
            *request.uri_mut() = format!("{}{query}", self.url).parse().map_err(generic)?;
            AwsAuthorizer::new(&self.credential, "s3", &self.region).try_authorize(&mut request, None)?;
            let response = self.client.execute(request).await.map_err(generic)?;
            let answer = response.into_body().bytes().await.map_err(generic)?;
            let told = answer.get(..ANSWER_BYTES_MAX).unwrap_or(&answer);
            Ok(String::from_utf8_lossy(told).into_owned())
        };
        wire.run(&Allowance::asking(), request).map_err(Trouble::Cut)?.map_err(Trouble::Refused)
    }
}

fn generic(cause: impl Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: Box::new(cause) }
}

/// Without the secrets.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("url", &self.url).finish_non_exhaustive()
    }
}
