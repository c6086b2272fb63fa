//! Where an object store keeps a repository, written as restic writes it.

use std::fmt;

/// A place in an object store: `s3:http://HOST:PORT/BUCKET/PREFIX`.
///
/// It holds no secrets: an address with a name or a password in it is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Place {
    endpoint: String,
    bucket: String,
    prefix: String,
}

/// A text names no place in an object store; says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoPlace(&'static str);

impl S3Place {
    /// The place that `text` names behind its `s3:`, in restic's forms: `http://HOST:PORT/BUCKET/PREFIX`, the same with
    /// `https://`, and `HOST/BUCKET/PREFIX`, which means `https://`.
    pub fn parse(text: &str) -> Result<Self, NoPlace> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
            Some(("", _)) | None => ("https", text.strip_prefix("//").unwrap_or(text)),
            Some(_) => return Err(NoPlace("an object store is reached by http or https")),
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            return Err(NoPlace("keys do not belong into the address"));
        }
        let host_ok = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        if host.is_empty() || !host.chars().all(host_ok) {
            return Err(NoPlace("there is no host"));
        }
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let bucket = parts.next().ok_or(NoPlace("there is no bucket behind the host"))?;
        if !bucket.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)) {
            return Err(NoPlace("a bucket has letters, digits, dots and hyphens in its name"));
        }
        let parts = parts.collect::<Vec<_>>();
        // Some gateways take these for parts of an address, and keys with them cannot be got back.
        let odd =
            |part: &&str| [".", ".."].contains(part) || part.contains(|c: char| c.is_control() || c == '?');
        if parts.iter().any(odd) {
            return Err(NoPlace("the prefix behind the bucket has a part that no key can have"));
        }
        let endpoint = format!("{scheme}://{host}");
        Ok(Self { endpoint, bucket: bucket.to_owned(), prefix: parts.join("/") })
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// What every key begins with, without a `/` at its end; empty where the repository has the bucket to itself.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The place of this name inside this one.
    #[must_use]
    pub fn inside(&self, name: &str) -> Self {
        let prefix = if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) };
        Self { prefix, ..self.clone() }
    }
}

impl fmt::Display for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3:{}/{}", self.endpoint, self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(S3Place::parse(text).unwrap().to_string(), shown, "{text}");
    }

    #[test]
    fn every_form_that_restic_writes_is_read() {
        check("http://127.0.0.1:9000/b/p/q", "s3:http://127.0.0.1:9000/b/p/q");
        check("https://store.example.jp/b", "s3:https://store.example.jp/b");
        check("s3.amazonaws.com/b/p", "s3:https://s3.amazonaws.com/b/p");
        check("//s3.amazonaws.com/b", "s3:https://s3.amazonaws.com/b");
        check("http://h:1/b//p/", "s3:http://h:1/b/p");
        check("http://[::1]:9000/b/役場", "s3:http://[::1]:9000/b/役場");
    }

    #[test]
    fn what_is_no_place_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "no host"),
            ("http://", "no host"),
            ("http:///b", "no host"),
            ("http://h:1", "no bucket"),
            ("http://h:1/", "no bucket"),
            ("ftp://h/b", "http or https"),
            ("http://key:secret@h/b", "keys do not belong"),
            ("http://h/b ket", "letters, digits"),
            ("http://h/b/../c", "no key can have"),
            ("http://h/b/p?x", "no key can have"),
        ] {
            let refused = S3Place::parse(text).unwrap_err().to_string();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn a_place_inside_another_is_below_it() {
        let place = S3Place::parse("http://h/b").unwrap();
        assert_eq!(place.inside("p").inside("q").to_string(), "s3:http://h/b/p/q");
    }
}
