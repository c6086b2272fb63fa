//! The store against answers that are written here. Against a real object store it is tested in the rig.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sonae_types::Digest;

use super::*;
use crate::Retry;
use crate::testing::{TestClock, sort};

const LIST: &str = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
const NAME: FileName = FileName::Hashed(FileKind::Data, Digest::new([7; 32]));

fn answer(status: &str, body: &str) -> Vec<u8> {
    let date = "Last-Modified: Sun, 22 Nov 2026 09:00:00 GMT\r\nETag: \"e\"";
    format!(
        "HTTP/1.1 {status}\r\n{date}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn refused(status: &str, code: &str) -> Vec<u8> {
    answer(status, &format!("<Error><Code>{code}</Code><Message>so it is</Message></Error>"))
}

/// Answers each request by its first line, and counts them.
struct Server {
    place: S3Place,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn new(answers: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/bucket/pre/fix", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        // It ends with the process: a thread that waits for connections disturbs nobody.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                let lower = head.to_ascii_lowercase();
                let body = lower.split_once("content-length: ").map_or(0, |(_, behind)| {
                    behind.split_once("\r\n").and_then(|(number, _)| number.parse().ok()).unwrap_or(0)
                });
                stream.read_exact(&mut vec![0; body]).ok();
                count.fetch_add(1, Ordering::SeqCst);
                stream.write_all(&answers(head.lines().next().unwrap_or_default())).ok();
            }
        });
        Self { place: S3Place::parse(&address).unwrap(), asked }
    }

    fn open(&self) -> Result<S3Store, S3OpenError> {
        S3Store::open(&self.place, &access(), patience())
    }
}

fn access() -> S3Access {
    let secret = "secret-of-the-test".to_owned().into();
    S3Access { login: S3Login::Keys { id: "id".to_owned(), secret }, ..S3Access::default() }
}

fn patience() -> Patience {
    Patience::endless(Arc::new(TestClock::default()))
}

/// A store whose listing is empty and that answers everything else with this.
fn store_that_says(said: Vec<u8>) -> S3Store {
    Server::new(move |line| if line.contains("list-type") { answer("200 OK", LIST) } else { said.clone() })
        .open()
        .unwrap()
}

#[test]
fn what_a_store_refuses_is_told_with_its_words_and_the_place_and_without_the_secret() {
    let server = Server::new(|_line| refused("403 Forbidden", "SignatureDoesNotMatch"));
    let Err(S3OpenError::Store(error)) = server.open() else { panic!("it opened") };
    let text = error.to_string();
    assert_eq!(sort(&error), "unusable");
    assert!(text.contains("AWS_SECRET_ACCESS_KEY") && text.contains("/bucket/pre/fix"), "{text}");
    assert!(text.contains("so it is") && !text.contains("secret-of-the-test"), "{text}");
}

#[test]
fn a_bucket_that_is_not_there_is_no_missing_file() {
    let error = Server::new(|_line| refused("404 Not Found", "NoSuchBucket")).open().unwrap_err();
    assert!(matches!(&error, S3OpenError::NoBucket { bucket, .. } if bucket == "bucket"), "{error:?}");
    // It may also go while it is worked in.
    let error = store_that_says(refused("404 Not Found", "NoSuchBucket")).get(NAME).unwrap_err();
    assert_eq!((sort(&error), error.retry()), ("unusable", Retry::Never));
}

#[test]
fn without_keys_nothing_is_asked() {
    let server = Server::new(|_line| answer("200 OK", LIST));
    let error = S3Store::open(&server.place, &S3Access::default(), patience()).unwrap_err();
    assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
    assert_eq!(server.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_request_is_made_once_and_its_repetition_left_to_who_counts() {
    let server = Server::new(|line| {
        if line.contains("list-type") { answer("200 OK", LIST) } else { refused("503 Slow Down", "SlowDown") }
    });
    let store = server.open().unwrap();
    let before = server.asked.load(Ordering::SeqCst);
    for outcome in [store.get(NAME).map(drop), store.put(NAME, b"x"), store.get_range(NAME, 0, &mut [0])] {
        let error = outcome.unwrap_err();
        assert_eq!((sort(&error), error.retry()), ("io", Retry::Later), "{error:?}");
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), before + 3);
}

#[test]
fn a_file_that_may_not_be_removed_is_not_asked_for_again_and_again() {
    let error = store_that_says(refused("403 Forbidden", "AccessDenied")).put(NAME, b"x").unwrap_err();
    assert_eq!((sort(&error), error.retry()), ("io", Retry::Never));
}

#[test]
fn a_full_store_is_told_as_full() {
    let error = store_that_says(refused("403 Forbidden", "QuotaExceeded")).put(NAME, b"x").unwrap_err();
    assert_eq!(sort(&error), "full");
}

#[test]
fn an_answer_that_breaks_off_is_an_error_and_may_be_asked_for_again() {
    let mut cut = answer("200 OK", "the whole file");
    cut.truncate(cut.len() - 5);
    let error = store_that_says(cut).get(NAME).unwrap_err();
    assert_eq!((sort(&error), error.retry()), ("io", Retry::Later), "{error:?}");
}

#[test]
fn another_range_than_asked_for_is_never_taken_for_it() {
    let mut other = answer("206 Partial Content", "four");
    let at = other.windows(4).position(|four| four == b"ETag").unwrap();
    other.splice(at..at, *b"Content-Range: bytes 0-3/8\r\n");
    let error = store_that_says(other).get_range(NAME, 4, &mut [0; 4]).unwrap_err();
    assert!(["io", "short"].contains(&sort(&error)), "{error:?}");
    // A gateway that does not know ranges sends the whole file.
    let error =
        store_that_says(answer("200 OK", "the whole file")).get_range(NAME, 4, &mut [0; 4]).unwrap_err();
    assert_eq!(sort(&error), "io", "{error:?}");
}

#[test]
fn only_what_lies_where_a_file_of_its_name_belongs_is_listed() {
    let id = "07".repeat(32);
    let entry = |key: String| {
        format!(
            "<Contents><Key>{key}</Key><Size>5</Size><LastModified>2026-11-22T09:00:00.000Z</LastModified></Contents>"
        )
    };
    let list = [
        entry(format!("pre/fix/data/07/{id}")),
        entry(format!("pre/fix/data/08/{id}")),
        entry(format!("pre/fix/data/{id}")),
        entry("pre/fix/data/07/readme".to_owned()),
        entry("pre/fix/data/07/".to_owned()),
    ];
    let list = format!("<ListBucketResult>{}</ListBucketResult>", list.concat());
    let store = Server::new(move |_line| answer("200 OK", &list)).open().unwrap();
    let listed = store.list(FileKind::Data).unwrap();
    assert_eq!(listed, [Listed { id: Digest::new([7; 32]), size: ByteCount::new(5) }]);
}

#[test]
fn a_new_repository_goes_to_no_place_where_something_else_lies() {
    let found = |key: &str| {
        let list = format!(
            "<ListBucketResult><CommonPrefixes><Prefix>pre/fix/{key}/</Prefix></CommonPrefixes></ListBucketResult>"
        );
        let server = Server::new(move |_line| answer("200 OK", &list));
        S3Store::create(&server.place, &access(), patience()).map(drop)
    };
    assert!(found("photos").unwrap_err().to_string().contains("photos"));
    found("keys").unwrap();
}
