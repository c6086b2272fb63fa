//! The guest's first file system, as the archive Linux unpacks at boot ("newc" cpio): busybox, the disk drivers, and a
//! script that hands over to the system on the disk.
//!
//! Written here, not by a tool, so that the same parts always give the same bytes.

use std::fs;

use anyhow::{Context as _, Result};

use crate::host;

const EARLY_INIT: &[u8] = include_bytes!("../../assets/guest/early-init.sh");

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const TEXT: u32 = 0o100_644;

/// Builds the archive from this machine's busybox and the kernel's drivers, in their loading order.
pub fn build(modules: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let busybox = fs::read(host::find("busybox")?).context("cannot read busybox")?;
    let order: String = modules.iter().map(|(name, _)| format!("{name}\n")).collect();
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "modules", "new", "proc", "sys"] {
        archive.add(folder, FOLDER, b"");
    }
    archive.add("bin/busybox", PROGRAM, &busybox);
    archive.add("init", PROGRAM, EARLY_INIT);
    archive.add("modules/order", TEXT, order.as_bytes());
    for (name, content) in modules {
        archive.add(&format!("modules/{name}"), TEXT, content);
    }
    Ok(archive.finish())
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: usize,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let number = |n: usize| format!("{n:08x}");
        let links = if mode == FOLDER { 2 } else { 1 };
        let header: String = [
            "070701".to_owned(),
            number(self.entries),
            format!("{mode:08x}"),
            // Owner and group: root.
            number(0),
            number(0),
            number(links),
            // Time, always the same.
            number(0),
            number(content.len()),
            // The device, in four parts, of no meaning here.
            number(0).repeat(4),
            number(name.len() + 1),
            // A checksum this format does not use.
            number(0),
        ]
        .concat();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, b"");
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpio_reads_back_what_was_written() {
        let mut archive = Archive::default();
        archive.add("bin", FOLDER, b"");
        archive.add("bin/five", PROGRAM, b"12345");
        archive.add("odd", TEXT, b"");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("a.cpio");
        fs::write(&file, archive.finish()).expect("written");
        let Ok(mut cpio) = host::program("cpio") else {
            println!("skipped: cpio is not on this machine");
            return;
        };
        let list = host::output(cpio.args(["-itv", "--quiet", "-F"]).arg(&file), &folder.path().join("log"));
        let list = String::from_utf8(list.expect("cpio reads it")).expect("text");
        let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
        let seen: Vec<_> =
            lines.iter().map(|words| (words[0], words[4], *words.last().expect("a name"))).collect();
        assert_eq!(
            seen,
            [("drwxr-xr-x", "0", "bin"), ("-rwxr-xr-x", "5", "bin/five"), ("-rw-r--r--", "0", "odd")]
        );
    }
}
