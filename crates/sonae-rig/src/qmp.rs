//! QEMU's monitor protocol, as far as the rig needs it: one command, one answer, over a socket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::host;

/// Longest wait for an answer; none of ours takes QEMU a second.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection to a running QEMU.
#[derive(Debug)]
pub struct Qmp {
    answers: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects as soon as QEMU listens there.
    pub fn connect(socket: &Path) -> Result<Self> {
        let stream = host::poll(PATIENCE, || Ok(UnixStream::connect(socket).ok()))?;
        let stream = stream.with_context(|| format!("QEMU does not listen on {}", socket.display()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut qmp = Self { answers: BufReader::new(stream) };
        qmp.line()?.get("QMP").context("whoever listens there is no QEMU")?;
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Has QEMU do something, and gives its answer. Errors: QEMU refuses.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let line = json!({ "execute": command, "arguments": arguments }).to_string() + "\n";
        self.answers.get_mut().write_all(line.as_bytes()).context("QEMU takes no more commands")?;
        loop {
            let answer = self.line().with_context(|| format!("no answer to {command}"))?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU refuses {command}: {error}");
            }
            // Events come between the answers.
            if let Some(answer) = answer.get("return") {
                return Ok(answer.clone());
            }
        }
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("cannot read from QEMU")?;
        serde_json::from_str(&line).with_context(|| format!("QEMU said {line:?}"))
    }
}
