//! Plain restic over a repository of ours: the witness that it can be read without us.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use sonae_types::{ByteCount, DiskName};

use crate::host::{self, Missing};

/// restic over one repository, with one password.
#[derive(Clone, Debug)]
pub struct Restic {
    program: PathBuf,
    repository: PathBuf,
    password_file: PathBuf,
    log: PathBuf,
    environment: Vec<(String, String)>,
}

/// A file inside a point.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// Its last component.
    #[serde(default)]
    pub name: String,
    /// Its path inside the point.
    #[serde(default)]
    pub path: String,
    /// "file" for files.
    #[serde(default, rename = "type")]
    kind: String,
    /// Its size.
    #[serde(default)]
    pub size: ByteCount,
}

impl Restic {
    /// The restic of this machine; what it says goes to the log.
    pub fn of_system(repository: PathBuf, password_file: PathBuf, log: PathBuf) -> Result<Self, Missing> {
        Ok(Self { program: host::find("restic")?, repository, password_file, log, environment: Vec::new() })
    }

    /// The same, told these variables: the keys of an object store.
    #[must_use]
    pub fn with_environment(self, environment: Vec<(String, String)>) -> Self {
        Self { environment, ..self }
    }

    /// Its version, as it says it.
    pub fn version(&self) -> Result<String> {
        let said = host::output(host::command(&self.program).arg("version"), &self.log)?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let version = said.split_whitespace().nth(1).context("restic tells no version")?;
        Ok(version.to_owned())
    }

    /// Reads and checks every byte of the repository.
    pub fn check_all_data(&self) -> Result<()> {
        host::run(self.command().args(["check", "--read-data"]), &self.log)
    }

    /// The files of the latest point.
    pub fn files_of_latest(&self) -> Result<Vec<Entry>> {
        let said = host::output(self.command().args(["ls", "latest", "--json"]), &self.log)?;
        files(&String::from_utf8(said).context("restic answers in UTF-8")?)
    }

    /// Hands over one file of the latest point, piece by piece.
    pub fn dump(&self, path: &str, take: impl FnMut(&[u8])) -> Result<()> {
        host::stream(self.command().args(["dump", "latest"]).arg(path), &self.log, take)
    }

    fn command(&self) -> Command {
        let mut command = host::command(&self.program);
        command.env("RESTIC_PASSWORD_FILE", &self.password_file).env_remove("RESTIC_PASSWORD");
        command.env_remove("RESTIC_REPOSITORY").env_remove("RESTIC_PASSWORD_COMMAND");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.arg("--no-cache").arg("--repo").arg(&self.repository);
        command
    }
}

/// The file in which a disk of this name and size lies.
pub fn disk_among<'a>(files: &'a [Entry], disk: &DiskName, size: ByteCount) -> Result<&'a Entry> {
    let found: Vec<&Entry> = files
        .iter()
        .filter(|file| {
            let stem = Path::new(&file.name).file_stem().unwrap_or_default().to_string_lossy();
            file.size == size && (stem == disk.as_str() || stem.strip_prefix("disk-") == Some(disk.as_str()))
        })
        .collect();
    ensure!(found.len() == 1, "restic lists {} files for disk {} of {size}", found.len(), disk.as_str());
    Ok(found[0])
}

fn files(lines: &str) -> Result<Vec<Entry>> {
    let entries: Result<Vec<Entry>, _> = lines.lines().map(serde_json::from_str).collect();
    Ok(entries
        .context("restic ls --json answers in lines of JSON")?
        .into_iter()
        .filter(|e| e.kind == "file")
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = r#"{"time":"2026-04-01T00:00:00Z","tree":"00","paths":["/jumin-ap01"],"struct_type":"snapshot"}
{"name":"jumin-ap01","type":"dir","path":"/jumin-ap01","struct_type":"node"}
{"name":"disk-vda.raw","type":"file","path":"/jumin-ap01/disk-vda.raw","size":7,"struct_type":"node"}
{"name":"domain.xml","type":"file","path":"/jumin-ap01/domain.xml","size":3,"struct_type":"node"}"#;

    #[test]
    fn a_disk_is_found_by_name_and_size() {
        let files = files(LISTING).expect("the lines are restic's");
        assert_eq!(files.len(), 2);
        let vda = DiskName::parse("vda").expect("a name");
        assert_eq!(
            disk_among(&files, &vda, ByteCount::new(7)).expect("there").path,
            "/jumin-ap01/disk-vda.raw"
        );
        assert!(disk_among(&files, &vda, ByteCount::new(8)).is_err());
        assert!(disk_among(&files, &DiskName::parse("vdb").expect("a name"), ByteCount::new(7)).is_err());
    }
}
