//! Guests in QEMU: start one, read and write its serial line, stop it. A guest never outlives the rig.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::guest::GuestImages;
use crate::host::{self, Running, Stopwatch};
use crate::recorded::node_name;
use crate::register::{Row, RowCount};

/// Longest wait for a guest's word. Generous, as the machine may be busy with other work.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// How long KVM has to boot a guest before it counts as not working.
const KVM_PATIENCE: Duration = Duration::from_secs(8);
/// Between two questions for the count of rows, each of which keeps the guest from writing.
const STATUS_PAUSE: Duration = Duration::from_millis(300);
/// Memory of a guest.
const MEMORY_MIB: u32 = 128;
const END_OF_REGISTER: &str = "SONAE-GUEST REGISTER integrity=";
const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet panic=-1 tsc=reliable mitigations=off cryptomgr.notests \
                                random.trust_cpu=on";

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor itself.
    Kvm,
    /// QEMU's translator: slow, works everywhere.
    Tcg,
}

/// How a guest starts.
#[derive(Clone, Copy, Debug)]
pub enum Boot<'a> {
    /// QEMU loads kernel and first file system: fast.
    Direct(&'a GuestImages),
    /// The BIOS loads what stands on the first disk: the proof that the disk boots by itself.
    OwnDisk,
}

/// What becomes of the guest's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// They go to the disks.
    Kept,
    /// They are gone with the guest.
    Forgotten,
}

/// A guest to be started.
#[derive(Clone, Debug)]
pub struct Machine<'a> {
    /// What executes it.
    pub accelerator: Accelerator,
    /// How it starts.
    pub boot: Boot<'a>,
    /// Its disks, in order: vda, vdb.
    pub disks: [&'a Path; 2],
    /// What becomes of its writes.
    pub writes: Writes,
    /// Where its serial line and QEMU's complaints are written.
    pub log: &'a Path,
}

/// A running guest.
#[derive(Debug)]
pub struct Guest {
    qemu: Running,
    typed: ChildStdin,
    lines: Receiver<String>,
    started: Stopwatch,
    log: PathBuf,
}

/// What a guest says of itself once it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// From power on to serving.
    pub after: Duration,
    /// Rows the register held when the guest came up.
    pub rows_found: RowCount,
}

impl Accelerator {
    /// As QEMU calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// The fastest that really boots this guest here. That KVM's device is there says nothing: only a booted guest does.
    pub fn choose(images: &GuestImages, log: &Path) -> Result<Self> {
        if std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
            return Ok(Self::Tcg);
        }
        let probe = Machine {
            accelerator: Self::Kvm,
            boot: Boot::Direct(images),
            disks: [&images.system, &images.data],
            writes: Writes::Forgotten,
            log,
        };
        let booted = probe.start().and_then(|mut guest| guest.ready(KVM_PATIENCE));
        host::go_on()?;
        Ok(if booted.is_ok() { Self::Kvm } else { Self::Tcg })
    }
}

impl Machine<'_> {
    /// Switches the guest on.
    pub fn start(&self) -> Result<Guest> {
        self.spawn(self.command()?)
    }

    /// Has QEMU ready with a monitor on this socket; the guest waits to be told, and QEMU outlives it.
    pub(crate) fn start_paused(&self, monitor: &Path) -> Result<Guest> {
        let mut qemu = self.command()?;
        let path = monitor.display().to_string().replace(',', ",,");
        qemu.args(["-S", "-no-shutdown", "-qmp"]).arg(format!("unix:{path},server=on,wait=off"));
        self.spawn(qemu)
    }

    fn spawn(&self, mut qemu: Command) -> Result<Guest> {
        let log = host::append(self.log)?;
        let mut child =
            host::spawn(qemu.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log.try_clone()?))?;
        let typed = child.stdin.take().context("a piped program has an input")?;
        let mut serial = child.stdout.take().context("a piped program has an output")?;
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            let mut log = log;
            let mut open = Vec::new();
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = serial.read(&mut piece) {
                // A full log must not stop the guest.
                log.write_all(&piece[..n]).ok();
                open.extend_from_slice(&piece[..n]);
                while let Some(end) = open.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = open.drain(..=end).collect();
                    if tell.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Guest {
            qemu: Running(child),
            typed,
            lines,
            started: Stopwatch::start(),
            log: self.log.to_owned(),
        })
    }

    fn command(&self) -> Result<Command> {
        let qemu = host::find("qemu-system-x86_64")?;
        // The kernel ends QEMU with us even when we are killed and cannot clean up.
        let mut command = match host::find("setpriv") {
            Ok(setpriv) => {
                let mut command = host::command(&setpriv);
                command.args(["--pdeathsig", "KILL"]).arg(qemu);
                command
            }
            Err(_without) => host::command(&qemu),
        };
        let processor = match self.accelerator {
            Accelerator::Kvm => "host",
            Accelerator::Tcg => "qemu64",
        };
        command.args(["-machine", "pc", "-accel", self.accelerator.name(), "-cpu", processor]);
        command.args([
            "-m",
            &MEMORY_MIB.to_string(),
            "-smp",
            "1",
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
        ]);
        command.args(["-chardev", "stdio,id=line,signal=off", "-serial", "chardev:line"]);
        for (n, disk) in self.disks.iter().enumerate() {
            // A comma in a path would end the option: QEMU wants it doubled.
            let path = disk.display().to_string().replace(',', ",,");
            let snapshot = match self.writes {
                Writes::Kept => "off",
                Writes::Forgotten => "on",
            };
            let node = match self.writes {
                Writes::Kept => format!(",node-name={}", node_name(n)),
                // The name would be that of the disk, and not of what the guest writes to.
                Writes::Forgotten => String::new(),
            };
            command
                .arg("-drive")
                .arg(format!("if=none,id=d{n},format=raw,snapshot={snapshot}{node},file={path}"));
            command.arg("-device").arg(format!("virtio-blk-pci,drive=d{n},bootindex={}", n + 1));
        }
        if let Boot::Direct(images) = self.boot {
            command.arg("-kernel").arg(&images.kernel).arg("-initrd").arg(&images.initrd);
            command.args(["-append", KERNEL_ARGUMENTS]);
        }
        Ok(command)
    }
}

impl Guest {
    /// Waits until the guest serves.
    pub fn ready(&mut self, limit: Duration) -> Result<Ready> {
        let line = self.line_with("SONAE-GUEST READY", limit)?;
        Ok(Ready { after: self.started.elapsed(), rows_found: field(&line, "rows=")? })
    }

    /// How many rows the guest's register holds now.
    pub fn rows(&mut self) -> Result<RowCount> {
        self.type_in("status")?;
        let line = self.line_with("SONAE-GUEST STATUS", PATIENCE)?;
        field(&line, "rows=")
    }

    /// Waits until the guest has written at least so many rows.
    pub fn rows_at_least(&mut self, wanted: RowCount) -> Result<RowCount> {
        let rows = host::poll_every(STATUS_PAUSE, PATIENCE, || {
            let rows = self.rows()?;
            Ok((rows >= wanted).then_some(rows))
        })?;
        rows.with_context(|| format!("the guest did not write {wanted} rows within {} s", PATIENCE.as_secs()))
    }

    /// Every row of the register, as the running guest reads them, after its database found itself whole.
    pub fn register(&mut self) -> Result<Vec<Row>> {
        self.type_in("register")?;
        let mut rows = Vec::new();
        loop {
            let line = self.line(END_OF_REGISTER, PATIENCE)?;
            if line.starts_with("ROW|") {
                rows.push(Row::parse(&line)?);
            } else if let Some(said) = line.split(END_OF_REGISTER).nth(1) {
                ensure!(said == "ok", "the guest's database is damaged: {said}");
                return Ok(rows);
            }
        }
    }

    /// Ends the writing, unmounts the disks and switches the guest off; gives the rows the register held at the end.
    pub fn power_off(mut self) -> Result<RowCount> {
        let rows = self.switch_off()?;
        self.ended()?;
        Ok(rows)
    }

    /// Has the guest end its writing, unmount its disks and switch itself off.
    pub(crate) fn switch_off(&mut self) -> Result<RowCount> {
        self.type_in("poweroff")?;
        let line = self.line_with("SONAE-GUEST STOPPED", PATIENCE)?;
        let log = self.log.display();
        ensure!(line.contains("clean"), "the guest could not unmount its disks; log {log}");
        field(&line, "rows=")
    }

    /// Waits until QEMU has ended.
    pub(crate) fn ended(mut self) -> Result<()> {
        let status = host::poll(PATIENCE, || Ok(self.qemu.0.try_wait()?))?;
        let status =
            status.with_context(|| format!("the guest did not switch off; log {}", self.log.display()))?;
        ensure!(status.success(), "QEMU ended with {status}; log {}", self.log.display());
        Ok(())
    }

    fn type_in(&mut self, word: &str) -> Result<()> {
        self.typed
            .write_all(format!("{word}\n").as_bytes())
            .and_then(|()| self.typed.flush())
            .with_context(|| format!("cannot type {word:?} into the guest's serial line"))
    }

    fn line_with(&mut self, mark: &str, limit: Duration) -> Result<String> {
        let watch = Stopwatch::start();
        loop {
            let line = self.line(mark, limit.saturating_sub(watch.elapsed()))?;
            if line.contains(mark) {
                return Ok(line);
            }
        }
    }

    /// The next line; `awaited` says what for, should none come.
    fn line(&mut self, awaited: &str, limit: Duration) -> Result<String> {
        let (lines, qemu, log) = (&self.lines, &mut self.qemu, &self.log);
        let line = host::poll(limit, || match lines.try_recv() {
            Ok(line) => Ok(Some(line)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => {
                bail!("QEMU ended with {}; log {}: {}", qemu.wait()?, log.display(), host::tail(log))
            }
        })?;
        let line =
            line.with_context(|| format!("the guest never said {awaited:?}; log {}", log.display()))?;
        for trouble in ["SONAE-GUEST FAILED", "SONAE-GUEST WRITE-ERROR"] {
            ensure!(!line.contains(trouble), "the guest says {line:?}; log {}", log.display());
        }
        Ok(line)
    }
}

fn field(line: &str, name: &str) -> Result<RowCount> {
    let said = line.split_whitespace().find_map(|word| word.strip_prefix(name));
    let number = said.and_then(|digits| digits.parse().ok());
    number.map(RowCount).with_context(|| format!("the guest says {line:?}, without {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_count_is_read_from_the_guests_line() {
        assert_eq!(field("SONAE-GUEST STATUS rows=42", "rows=").expect("a count"), RowCount(42));
    }

    #[test]
    fn a_line_without_a_count_is_an_error_and_not_zero() {
        assert!(field("SONAE-GUEST STATUS rows=", "rows=").is_err());
        assert!(field("SONAE-GUEST STATUS", "rows=").is_err());
    }
}
