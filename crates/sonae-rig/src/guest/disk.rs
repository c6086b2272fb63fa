//! A guest's disks seen from outside, while no guest runs: the register on the data disk, and whether the file systems
//! are clean.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::guest::image;
use crate::host;
use crate::register::{self, Row};

/// The file of the register on the data disk.
const REGISTER: &str = "/register.db";

/// Reads the register out of the image of a data disk, without mounting it.
pub fn read_register(data: &Path, scratch: &Path, log: &Path) -> Result<Vec<Row>> {
    let database = scratch.join("register-outside.db");
    if database.exists() {
        fs::remove_file(&database)?;
    }
    let mut debugfs = host::program("debugfs")?;
    debugfs.arg("-R").arg(format!("dump {REGISTER} \"{}\"", database.display())).arg(data);
    host::run(&mut debugfs, log)?;
    // debugfs ends well even when it found nothing to dump.
    ensure!(database.exists(), "there is no register on {}", data.display());
    let mut sqlite = host::program("sqlite3")?;
    // The question begins with a comment, which sqlite3 would take for an option of its own.
    let said = host::output(sqlite.arg(&database).arg(format!("\n{}", register::QUESTION)), log)?;
    fs::remove_file(&database)?;
    let text = String::from_utf8(said).context("the register is not UTF-8")?;
    text.lines().map(|line| Ok(Row::parse(line)?)).collect()
}

/// Whether both file systems of a stopped guest are clean, as `e2fsck` sees them without touching them.
pub fn check_file_systems(system: &Path, data: &Path, log: &Path) -> Result<()> {
    let root = format!("{}?offset={}", system.display(), image::ROOT_AT.get());
    for (what, file_system) in [("system", root), ("data", data.display().to_string())] {
        match host::exit_code(host::program("e2fsck")?.arg("-fn").arg(file_system), log)? {
            Some(0) => {}
            other => bail!(
                "the {what} disk's file system is not clean: e2fsck says {other:?}; log {}",
                log.display()
            ),
        }
    }
    Ok(())
}
