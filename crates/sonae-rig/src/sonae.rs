//! The `sonae` program as any script uses it: its flags, its JSON, its exit code. Nothing of its insides is linked here.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use sonae_types::{ByteCount, DiskName, VmName};

use crate::host::{self, Missing};

/// One repository, reached through the program.
#[derive(Clone, Debug)]
pub struct Sonae {
    program: PathBuf,
    repository: PathBuf,
    password_file: PathBuf,
    log: PathBuf,
    environment: Vec<(String, String)>,
}

/// What a backup says of itself. Fields we do not show are left unread.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BackupReport {
    /// Id of the recovery point.
    pub point: String,
    /// The machine.
    pub vm: VmName,
    /// Its disks.
    pub disks: Vec<DiskReport>,
}

/// What a backup says of one disk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DiskReport {
    /// The disk.
    pub name: DiskName,
    /// Its size as the machine sees it.
    pub size_bytes: ByteCount,
    /// `full` or `incremental`.
    pub mode: String,
    /// Why so.
    pub reason: String,
    /// Bytes read from its source; holes are not read.
    pub read_bytes: ByteCount,
    /// Bytes added to the repository, compressed and encrypted.
    pub stored_bytes: ByteCount,
}

#[derive(Deserialize)]
struct Proof {
    verdict: String,
    first: Place,
}

#[derive(Deserialize)]
struct Place {
    root: String,
}

/// The `sonae` program that was built together with this one: in the same folder.
pub fn beside(executable: &Path) -> Result<PathBuf, Missing> {
    let program = executable.with_file_name("sonae");
    if program.is_file() {
        return Ok(program);
    }
    Err(Missing {
        what: program.display().to_string(),
        remedy: "cargo build -p sonae, with --release for the demo",
    })
}

impl Sonae {
    /// The program over one repository, with one password; what it says beyond its answer goes to the log.
    #[must_use]
    pub fn new(program: PathBuf, repository: PathBuf, password_file: PathBuf, log: PathBuf) -> Self {
        Self { program, repository, password_file, log, environment: Vec::new() }
    }

    /// The same, told these variables: the keys of an object store.
    #[must_use]
    pub fn with_environment(self, environment: Vec<(String, String)>) -> Self {
        Self { environment, ..self }
    }

    /// Copies everything to another place.
    pub fn copy(&self, to: &Path) -> Result<()> {
        host::run(self.command().args(["copy", "--to"]).arg(to), &self.log)
    }

    /// Proves without a key that another place holds the same; gives the root that both have.
    pub fn prove(&self, other: &Path) -> Result<String> {
        let mut command = self.bare_command();
        command.args(["--json", "replica", "prove"]).arg(&self.repository).arg(other);
        let said = host::output(&mut command, &self.log)?;
        let proof: Proof = serde_json::from_slice(&said)
            .with_context(|| format!("sonae replica prove answered {:?}", String::from_utf8_lossy(&said)))?;
        ensure!(proof.verdict == "equal", "the copy is {}", proof.verdict);
        Ok(proof.first.root)
    }

    /// Makes the repository.
    pub fn init(&self) -> Result<()> {
        host::run(self.command().args(["repo", "init"]), &self.log)
    }

    /// Backs up a machine that is switched off.
    pub fn backup(
        &self,
        vm: &VmName,
        disks: &[(DiskName, PathBuf)],
        files: &[PathBuf],
    ) -> Result<BackupReport> {
        parse(&host::output(&mut self.backup_command(vm, disks, files), &self.log)?)
    }

    fn backup_command(&self, vm: &VmName, disks: &[(DiskName, PathBuf)], files: &[PathBuf]) -> Command {
        let mut command = self.command();
        command.args(["--json", "backup", "--vm", vm.as_str()]);
        for (name, image) in disks {
            command.arg("--disk").arg(format!("{}={}", name.as_str(), image.display()));
        }
        for file in files {
            command.arg("--file").arg(file);
        }
        command
    }

    /// Backs up what changed on a machine's disks since a point, as these maps of changes tell.
    pub fn backup_changes(
        &self,
        vm: &VmName,
        disks: &[(DiskName, PathBuf)],
        files: &[PathBuf],
        maps: &[PathBuf],
    ) -> Result<BackupReport> {
        let mut command = self.backup_command(vm, disks, files);
        for ((name, _), map) in disks.iter().zip(maps) {
            command.arg("--changed").arg(format!("{}={}", name.as_str(), map.display()));
        }
        parse(&host::output(&mut command, &self.log)?)
    }

    /// Restores one disk of the machine's latest point to a path where nothing is.
    pub fn restore_latest(&self, vm: &VmName, disk: &DiskName, to: &Path) -> Result<()> {
        let mut command = self.command();
        command.args(["restore", "latest", "--vm", vm.as_str(), "--disk", disk.as_str(), "--to"]).arg(to);
        host::run(&mut command, &self.log)
    }

    fn bare_command(&self) -> Command {
        let mut command = host::command(&self.program);
        // Whatever the person has set for their own repository must not reach this one.
        command.env_remove("SONAE_REPO").env_remove("SONAE_PASSWORD_FILE");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn command(&self) -> Command {
        let mut command = self.bare_command();
        command.arg("--repo").arg(&self.repository).arg("--password-file").arg(&self.password_file);
        command
    }
}

fn parse(said: &[u8]) -> Result<BackupReport> {
    serde_json::from_slice(said)
        .with_context(|| format!("sonae backup --json answered {:?}", String::from_utf8_lossy(said)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backups_answer_is_read_and_later_fields_do_not_disturb() {
        let said = r#"{"point":"0a1b","vm":"jumin-ap01","later":1,"duration_ms":7,"disks":[{"name":"vda","size_bytes":9,
            "mode":"full","reason":"first","read_bytes":8,"changed_bytes":8,"new_chunk_bytes":7,"stored_bytes":6}]}"#;
        let report = parse(said.as_bytes()).expect("it is the contract's form");
        assert_eq!((report.point.as_str(), report.vm.as_str()), ("0a1b", "jumin-ap01"));
        assert_eq!(report.disks[0].stored_bytes, ByteCount::new(6));
    }

    #[test]
    fn an_answer_without_a_point_is_an_error() {
        assert!(parse(br#"{"vm":"jumin-ap01","disks":[]}"#).is_err());
        assert!(parse(b"").is_err());
    }
}
