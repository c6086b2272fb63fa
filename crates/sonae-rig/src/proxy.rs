//! A bad line to an object store: a proxy for plain HTTP/1.1 that makes every request late and, by plan, refuses, cuts,
//! doubles, swallows or answers from yesterday.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::host;

const BUFFER_BYTES: usize = 256 << 10;
const HEAD_LINES_MAX: usize = 200;

/// What the line is like for every request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    /// How much later a request arrives.
    pub latency: Duration,
    /// How fast one connection carries what is put and got.
    pub speed: Speed,
}

/// How fast a connection is.
#[derive(Clone, Copy, Debug, Default)]
pub enum Speed {
    /// As fast as it goes.
    #[default]
    Full,
    /// So many bytes a second.
    BytesPerSecond(u32),
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is answered with 503 and does not arrive.
    Busy,
    /// Its body breaks off after so many bytes; the store gets no more of it.
    CutRequest(u64),
    /// It arrives, and the body of the answer breaks off after so many bytes.
    CutAnswer(u64),
    /// It arrives twice, and the second answer is given.
    Twice,
    /// It is answered with 200 and does not arrive.
    Forgotten,
    /// It is answered with what the same question was answered first.
    Yesterday,
}

/// A request, as a plan sees it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The how manieth of this proxy, from 1.
    pub number: u64,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
}

/// A proxy that listens until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    seen: Arc<AtomicU64>,
}

type Plan = Box<dyn Fn(&Seen) -> Option<Trouble> + Send + Sync>;

/// Both ends of a connection.
struct Ends<'a> {
    client: &'a TcpStream,
    store: &'a TcpStream,
    asks: BufReader<&'a TcpStream>,
    answers: BufReader<&'a TcpStream>,
}

/// A request whose body has not been read.
struct Ask {
    head: Head,
    body: Body,
}

struct Shared {
    to: SocketAddr,
    line: Line,
    plan: Plan,
    seen: Arc<AtomicU64>,
    /// First answers to questions, for [`Trouble::Yesterday`].
    first: Mutex<HashMap<String, Vec<u8>>>,
}

impl Seen {
    /// Whether it writes, reads or removes an object below this folder of the repository.
    #[must_use]
    pub fn is(&self, method: &str, folder: &str) -> bool {
        self.method == method && self.target.contains(&format!("/{folder}/"))
    }

    /// Whether it asks for names.
    #[must_use]
    pub fn is_list(&self) -> bool {
        self.method == "GET" && self.target.contains("list-type=")
    }
}

impl Proxy {
    /// A line to `to` on which nothing but time is lost.
    pub fn plain(to: SocketAddr, line: Line) -> Result<Self> {
        Self::planned(to, line, |_seen| None)
    }

    /// A line to `to` on which each request has the trouble that the plan gives it.
    pub fn planned(
        to: SocketAddr,
        line: Line,
        plan: impl Fn(&Seen) -> Option<Trouble> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (ended, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let shared =
            Shared { to, line, plan: Box::new(plan), seen: Arc::clone(&seen), first: Mutex::default() };
        let (shared, end) = (Arc::new(shared), Arc::clone(&ended));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(client) = client else { continue };
                let shared = Arc::clone(&shared);
                // A connection that breaks is what this is for; whoever asked sees it.
                std::thread::spawn(move || shared.carry(&client).ok());
            }
        });
        Ok(Self { address, ended, seen })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests came so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, which then ends; where nobody listens any more, it has.
        TcpStream::connect(self.address).ok();
    }
}

impl Shared {
    fn carry(&self, client: &TcpStream) -> Result<()> {
        let store = TcpStream::connect(self.to)?;
        for stream in [client, &store] {
            stream.set_nodelay(true)?;
        }
        let reader = |stream| BufReader::with_capacity(BUFFER_BYTES, stream);
        let mut ends = Ends { client, store: &store, asks: reader(client), answers: reader(&store) };
        while let Some(head) = Head::read(&mut ends.asks)? {
            let seen = head.seen(self.seen.fetch_add(1, Ordering::SeqCst) + 1)?;
            host::take_time(self.line.latency);
            let ask = Ask { body: Body::of_request(&head)?, head };
            if ask.head.value("expect").is_some() {
                ends.client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            match (self.plan)(&seen) {
                None if seen.is_list() => {
                    let answer = self.asked(&ask, &mut ends)?;
                    self.first().entry(seen.target).or_insert_with(|| answer.clone());
                    ends.client.write_all(&answer)?;
                }
                None => self.through(&ask, &mut ends)?,
                Some(trouble @ (Trouble::CutRequest(_) | Trouble::CutAnswer(_))) => {
                    return self.cut(trouble, &ask, &mut ends);
                }
                Some(trouble) => self.troubled(trouble, &ask, &seen, &mut ends)?,
            }
        }
        Ok(())
    }

    /// The request and its answer as they are.
    fn through(&self, ask: &Ask, ends: &mut Ends<'_>) -> Result<()> {
        ask.head.forward(&mut ends.store)?;
        self.pass(ask.body, &mut ends.asks, &mut ends.store)?;
        let answer = Head::read(&mut ends.answers)?.context("the store hung up")?;
        answer.forward(&mut ends.client)?;
        self.pass(Body::of_answer(&answer, ask.head.method())?, &mut ends.answers, &mut ends.client)
    }

    /// Breaks the connection off in the middle.
    fn cut(&self, trouble: Trouble, ask: &Ask, ends: &mut Ends<'_>) -> Result<()> {
        if let Trouble::CutAnswer(bytes) = trouble {
            let answer = self.asked(ask, ends)?;
            let head =
                answer.windows(4).position(|four| four == b"\r\n\r\n").context("an answer has a head")?;
            let len = answer.len().min(head + 4 + usize::try_from(bytes)?);
            return Ok(ends.client.write_all(&answer[..len])?);
        }
        let (Trouble::CutRequest(bytes), Body::Sized(len)) = (trouble, ask.body) else {
            bail!("a body without a length is not cut")
        };
        ask.head.forward(&mut ends.store)?;
        // Never the whole of it: the store would answer, and nobody would hear.
        let bytes = bytes.min(len.saturating_sub(1));
        std::io::copy(&mut (&mut ends.asks).take(bytes), &mut ends.store)?;
        Ok(())
    }

    fn troubled(&self, trouble: Trouble, ask: &Ask, seen: &Seen, ends: &mut Ends<'_>) -> Result<()> {
        match trouble {
            Trouble::Busy => {
                self.pass(ask.body, &mut ends.asks, &mut std::io::sink())?;
                let text = "<Error><Code>SlowDown</Code><Message>by plan</Message></Error>";
                let len = text.len();
                write!(ends.client, "HTTP/1.1 503 Slow Down\r\nContent-Length: {len}\r\n\r\n{text}")?;
            }
            Trouble::Forgotten => {
                self.pass(ask.body, &mut ends.asks, &mut std::io::sink())?;
                write!(ends.client, "HTTP/1.1 200 OK\r\nETag: \"forgotten\"\r\nContent-Length: 0\r\n\r\n")?;
            }
            Trouble::Twice => {
                let mut body = Vec::new();
                self.pass(ask.body, &mut ends.asks, &mut body)?;
                let mut answer = Vec::new();
                for _ in 0..2 {
                    ask.head.forward(&mut ends.store)?;
                    ends.store.write_all(&body)?;
                    answer = self.answer(ask, ends)?;
                }
                ends.client.write_all(&answer)?;
            }
            Trouble::Yesterday => {
                let today = self.asked(ask, ends)?;
                let answer = self.first().get(&seen.target).cloned().unwrap_or(today);
                ends.client.write_all(&answer)?;
            }
            Trouble::CutRequest(_) | Trouble::CutAnswer(_) => self.cut(trouble, ask, ends)?,
        }
        Ok(())
    }

    fn first(&self) -> MutexGuard<'_, HashMap<String, Vec<u8>>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the request on and gives the whole answer.
    fn asked(&self, ask: &Ask, ends: &mut Ends<'_>) -> Result<Vec<u8>> {
        ask.head.forward(&mut ends.store)?;
        self.pass(ask.body, &mut ends.asks, &mut ends.store)?;
        self.answer(ask, ends)
    }

    fn answer(&self, ask: &Ask, ends: &mut Ends<'_>) -> Result<Vec<u8>> {
        let answer = Head::read(&mut ends.answers)?.context("the store hung up")?;
        let mut whole = Vec::new();
        answer.forward(&mut whole)?;
        self.pass(Body::of_answer(&answer, ask.head.method())?, &mut ends.answers, &mut whole)?;
        Ok(whole)
    }

    fn pass(&self, body: Body, from: &mut impl BufRead, to: &mut impl Write) -> Result<()> {
        match body {
            Body::Sized(len) => self.pass_bytes(len, from, to),
            Body::Chunks => loop {
                let mut line = Vec::new();
                from.read_until(b'\n', &mut line)?;
                to.write_all(&line)?;
                let text = std::str::from_utf8(&line)?.trim();
                let len = u64::from_str_radix(text.split(';').next().unwrap_or_default(), 16)?;
                self.pass_bytes(len + 2, from, to)?;
                if len == 0 {
                    return Ok(());
                }
            },
        }
    }

    fn pass_bytes(&self, len: u64, from: &mut impl BufRead, to: &mut impl Write) -> Result<()> {
        let mut left = len;
        while 0 < left {
            let here = from.fill_buf()?;
            if here.is_empty() {
                bail!("a body broke off");
            }
            let n = here.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            to.write_all(&here[..n])?;
            from.consume(n);
            left -= n as u64;
            if let Speed::BytesPerSecond(rate) = self.line.speed {
                host::take_time(Duration::from_secs_f64(n as f64 / f64::from(rate)));
            }
        }
        Ok(())
    }
}

/// First line and headers of a message.
struct Head(Vec<String>);

/// How long the body of a message is.
#[derive(Clone, Copy)]
enum Body {
    Sized(u64),
    Chunks,
}

impl Head {
    /// The next one; none where the other side is done.
    fn read(from: &mut impl BufRead) -> Result<Option<Self>> {
        let mut lines = Vec::new();
        while lines.len() < HEAD_LINES_MAX {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            if line.trim_end().is_empty() {
                return Ok(Some(Self(lines)));
            }
            lines.push(line.trim_end().to_owned());
        }
        bail!("a head has too many lines")
    }

    fn forward(&self, to: &mut impl Write) -> Result<()> {
        let mut text = String::new();
        for line in self.0.iter().filter(|line| !line.to_ascii_lowercase().starts_with("expect:")) {
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        Ok(to.write_all(text.as_bytes())?)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn method(&self) -> &str {
        self.0.first().and_then(|line| line.split(' ').next()).unwrap_or_default()
    }

    fn seen(&self, number: u64) -> Result<Seen> {
        let mut words = self.0.first().context("a head has a first line")?.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        Ok(Seen { number, method: word(), target: word() })
    }
}

impl Body {
    fn of_request(head: &Head) -> Result<Self> {
        match head.value("content-length") {
            Some(len) => Ok(Self::Sized(len.parse()?)),
            None if head.value("transfer-encoding").is_some() => Ok(Self::Chunks),
            None => Ok(Self::Sized(0)),
        }
    }

    fn of_answer(head: &Head, method: &str) -> Result<Self> {
        let status = head.0.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        if method == "HEAD" || ["204", "304"].contains(&status) {
            Ok(Self::Sized(0))
        } else {
            Self::of_request(head)
        }
    }
}
