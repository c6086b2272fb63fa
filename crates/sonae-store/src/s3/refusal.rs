//! What an object store says when it does not do what was asked, read from its own words.
//!
//! The client library keeps the status of an answer to itself, so every answer passes here first: what is no success
//! becomes a [`Refusal`] that stays in the chain of causes.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

/// Longest document of an error that is read.
const DOCUMENT_BYTES_MAX: usize = 64 << 10;
/// Longest part of it that is told.
const TOLD_CHARS_MAX: usize = 200;

/// A store's answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The status of HTTP.
    pub(super) status: u16,
    /// The word for it in the store's document; empty where there is none.
    pub(super) code: String,
    /// The sentence there.
    pub(super) message: String,
}

/// What a refusal, or a failure on the way, is to whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// There is no such object.
    NoObject,
    /// The object has fewer bytes than were asked for.
    NoSuchRange,
    /// The bucket is not there.
    NoBucket,
    /// No room, or a quota is reached.
    Full,
    /// The store or the keys are not what they should be; the text says which and what to do.
    Unusable(&'static str),
    /// The same request will be refused again.
    Never(io::ErrorKind),
    /// It may pass.
    Later(io::ErrorKind),
}

/// A client that reads refusals, made once for all who ask: to make one is to read every certificate of the system.
#[derive(Clone, Debug)]
pub(super) struct Listening(pub(super) HttpClient);

#[derive(Debug)]
struct Listener(HttpClient);

impl Listening {
    pub(super) fn with(options: &ClientOptions) -> object_store::Result<Self> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(Self(HttpClient::new(Listener(client))))
    }
}

impl HttpConnector for Listening {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

type Called<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Listener {
    fn call<'a, 'b>(&'a self, request: HttpRequest) -> Called<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let response = self.0.execute(request).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            let status = response.status().as_u16();
            // What breaks here only costs the words.
            let said = read_document(response).await.unwrap_or_default();
            Err(HttpError::new(HttpErrorKind::Unknown, Refusal::read(status, &said)))
        })
    }
}

async fn read_document(response: HttpResponse) -> Result<String, HttpError> {
    use futures_util::TryStreamExt as _;
    let mut pieces = response.into_body().bytes_stream();
    let mut document = Vec::new();
    while let Some(piece) = pieces.try_next().await? {
        document.extend_from_slice(&piece);
        if DOCUMENT_BYTES_MAX < document.len() {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&document).into_owned())
}

impl Refusal {
    fn read(status: u16, document: &str) -> Self {
        let part = |name: &str| {
            let (_, behind) = document.split_once(&format!("<{name}>"))?;
            let (text, _) = behind.split_once("</")?;
            Some(text.chars().filter(|c| !c.is_control()).take(TOLD_CHARS_MAX).collect())
        };
        Self { status, code: part("Code").unwrap_or_default(), message: part("Message").unwrap_or_default() }
    }

    pub(super) fn meaning(&self) -> Meaning {
        match (self.status, self.code.as_str()) {
            (_, "NoSuchBucket") => Meaning::NoBucket,
            (_, "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull") | (507, _) => Meaning::Full,
            (_, "RequestTimeTooSkewed") => Meaning::Unusable(
                "refuses requests since the clock of this machine is not that of the store; set the clock",
            ),
            (_, "InvalidAccessKeyId") => {
                Meaning::Unusable("does not know the key in AWS_ACCESS_KEY_ID; give a key of this store")
            }
            (_, "SignatureDoesNotMatch") => Meaning::Unusable(
                "says that AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID; give both as they were issued",
            ),
            (_, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => Meaning::Unusable(
                "does not take the key any more; give new AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN",
            ),
            (300..=399, _) | (_, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
                Meaning::Unusable(
                    "is responsible for another region or bucket; set AWS_REGION and check the address",
                )
            }
            (_, "RequestTimeout" | "BadDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody") => {
                Meaning::Later(io::ErrorKind::ConnectionReset)
            }
            (404, _) => Meaning::NoObject,
            (416, _) => Meaning::NoSuchRange,
            (401 | 403, _) => Meaning::Never(io::ErrorKind::PermissionDenied),
            (405 | 501, _) => Meaning::Never(io::ErrorKind::Unsupported),
            (408 | 425 | 429 | 503, _) => Meaning::Later(io::ErrorKind::ResourceBusy),
            (409, _) | (500..=599, _) => Meaning::Later(io::ErrorKind::Other),
            _ => Meaning::Never(io::ErrorKind::InvalidInput),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store answered {}", self.status)?;
        for part in [&self.code, &self.message].into_iter().filter(|part| !part.is_empty()) {
            write!(f, " {part}")?;
        }
        Ok(())
    }
}

impl Error for Refusal {}

/// The refusal that the error came from; none where no answer came.
pub(super) fn refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refusal> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// What the error means to whoever asked.
pub(super) fn meaning(error: &(dyn Error + 'static)) -> Meaning {
    if let Some(refusal) = refusal(error) {
        return refusal.meaning();
    }
    let untrusted = causes(error).any(|cause| {
        let inside = cause.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        let inside = inside.and_then(|inside| inside.downcast_ref::<rustls::Error>());
        let found = inside.or_else(|| cause.downcast_ref());
        matches!(found, Some(rustls::Error::InvalidCertificate(_)))
    });
    if untrusted {
        return Meaning::Unusable(
            "shows a certificate that this machine does not trust; name its authority's certificate in SONAE_CACERT",
        );
    }
    let kind = causes(error).find_map(|cause| Some(cause.downcast_ref::<io::Error>()?.kind()));
    Meaning::Later(kind.filter(|kind| !NOT_OF_THE_NETWORK.contains(kind)).unwrap_or(io::ErrorKind::Other))
}

/// Kinds that a network also uses for what passes, and that would be taken for final.
const NOT_OF_THE_NETWORK: &[io::ErrorKind] = &[
    io::ErrorKind::NotFound,
    io::ErrorKind::PermissionDenied,
    io::ErrorKind::InvalidData,
    io::ErrorKind::InvalidInput,
    io::ErrorKind::Unsupported,
];

/// The error in one line: the refusal, or else every cause once, without the words of the client library around it.
pub(super) fn told(error: &(dyn Error + 'static)) -> String {
    if let Some(refusal) = refusal(error) {
        return refusal.to_string();
    }
    let mut line = String::new();
    for cause in
        causes(error).filter(|cause| cause.source().is_none_or(|below| is_ours_to_tell(cause, below)))
    {
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&cause.to_string());
    }
    line
}

/// Whether the error says more than what is below it, which it often repeats.
fn is_ours_to_tell(error: &&(dyn Error + 'static), below: &(dyn Error + 'static)) -> bool {
    !error.to_string().contains(&below.to_string())
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, code: &str, expected: Meaning) {
        let document = format!("<?xml?><Error><Code>{code}</Code><Message>why</Message></Error>");
        assert_eq!(Refusal::read(status, &document).meaning(), expected, "{status} {code}");
    }

    #[test]
    fn every_answer_of_a_store_is_final_or_may_pass() {
        check(404, "NoSuchKey", Meaning::NoObject);
        check(404, "NoSuchBucket", Meaning::NoBucket);
        check(416, "InvalidRange", Meaning::NoSuchRange);
        check(403, "AccessDenied", Meaning::Never(io::ErrorKind::PermissionDenied));
        check(403, "QuotaExceeded", Meaning::Full);
        check(507, "", Meaning::Full);
        check(501, "NotImplemented", Meaning::Never(io::ErrorKind::Unsupported));
        check(400, "InvalidArgument", Meaning::Never(io::ErrorKind::InvalidInput));
        check(400, "RequestTimeout", Meaning::Later(io::ErrorKind::ConnectionReset));
        check(400, "BadDigest", Meaning::Later(io::ErrorKind::ConnectionReset));
        check(503, "SlowDown", Meaning::Later(io::ErrorKind::ResourceBusy));
        check(429, "", Meaning::Later(io::ErrorKind::ResourceBusy));
        check(500, "InternalError", Meaning::Later(io::ErrorKind::Other));
        check(504, "", Meaning::Later(io::ErrorKind::Other));
        for (status, code, word) in [
            (403, "RequestTimeTooSkewed", "clock"),
            (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
            (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
            (400, "ExpiredToken", "AWS_SESSION_TOKEN"),
            (301, "PermanentRedirect", "AWS_REGION"),
        ] {
            let document = format!("<Code>{code}</Code>");
            let meaning = Refusal::read(status, &document).meaning();
            assert!(matches!(meaning, Meaning::Unusable(why) if why.contains(word)), "{code}: {meaning:?}");
        }
    }

    #[test]
    fn a_refusal_is_told_with_the_words_of_the_store_and_no_more_of_them_than_is_good() {
        let refusal = Refusal::read(403, "<Code>AccessDenied</Code><Message>no\nway</Message>");
        assert_eq!(refusal.to_string(), "the store answered 403 AccessDenied noway");
        assert_eq!(Refusal::read(502, "<html>").to_string(), "the store answered 502");
        let long = format!("<Code>{}</Code>", "x".repeat(9_000));
        assert_eq!(Refusal::read(500, &long).code.len(), TOLD_CHARS_MAX);
    }
}
