//! A stand for tests: a folder of its own with one repository, and the `sonae` program run as a script would run it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sonae_repo::Repository;
use sonae_repo::crypto::{KdfCost, Password};
use sonae_repo::environment::Environment;
use sonae_repo::store::LocalStore;
use sonae_types::ByteCount;

use crate::content::Content;
use crate::golden::copy_repository;
use crate::host::{self, Missing};
use crate::peer::Place;
use crate::radosgw;

/// The password of every stand.
pub const PASSWORD: &str = "a password for a test";

/// A folder that goes with the value, and what is in it.
#[derive(Debug)]
pub struct Stand {
    folder: tempfile::TempDir,
    program: PathBuf,
    repository: PathBuf,
}

/// How a run of the program ended.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its exit code.
    pub code: i32,
    /// The one document on its standard output.
    pub document: Value,
}

/// Says with what a claim was tested, for who reads the test's output.
#[expect(clippy::print_stdout, reason = "who reads the test's output must see which programs took part")]
pub fn say(line: &str) {
    println!("{line}");
}

/// Runs a claim; where this machine lacks a part, that is said and nothing is claimed. Panics where it does not hold.
#[expect(clippy::print_stdout, reason = "who reads the test's output must see what was not tested")]
pub fn claim(claim: impl FnOnce() -> Result<()>) {
    if let Err(error) = claim() {
        match error.downcast_ref::<Missing>() {
            Some(missing) => println!("skipped: {missing}"),
            None => panic!("{error:#}"),
        }
    }
}

impl Stand {
    /// A folder with a password file and no repository. Errors: the program was not built, which is no skip.
    pub fn new() -> Result<Self> {
        let program = match std::env::var_os("SONAE_BIN") {
            Some(named) => PathBuf::from(named),
            None => {
                let test = std::env::current_exe()?;
                test.ancestors().nth(2).context("a test lies in a folder of the target folder")?.join("sonae")
            }
        };
        Self::over(program)
    }

    /// The same with a program at a known place.
    pub fn over(program: PathBuf) -> Result<Self> {
        ensure!(program.is_file(), "{} is not there: cargo build -p sonae", program.display());
        let folder = tempfile::tempdir()?;
        let repository = folder.path().join("repository");
        let stand = Self { folder, program, repository };
        std::fs::write(stand.path("password"), format!("{PASSWORD}\n"))?;
        Ok(stand)
    }

    /// The same stand with its repository at another place, which may be an address in an object store.
    #[must_use]
    pub fn at_address(mut self, address: &str) -> Self {
        self.repository = PathBuf::from(address);
        self
    }

    /// A folder with an empty repository.
    pub fn with_repository() -> Result<Self> {
        let stand = Self::new()?;
        stand.sonae(["repo", "init"])?.good()?;
        Ok(stand)
    }

    /// A folder with an empty repository that opens at nearly no cost, for tests that open it a hundred times.
    pub fn with_cheap_key(environment: Environment) -> Result<Self> {
        Self::new()?.cheap(environment)
    }

    /// The same stand with an empty repository that opens at nearly no cost.
    pub fn cheap(self, environment: Environment) -> Result<Self> {
        let store = Arc::new(LocalStore::create(&self.place().repository)?);
        Repository::init(store, environment, &password(), KdfCost::FOR_TESTS)?;
        Ok(self)
    }

    /// Puts a key that costs nearly nothing in the place of all others of a repository that somebody else made.
    pub fn cheapen_key(&self, environment: Environment) -> Result<()> {
        let repository = self.place().repository;
        let opened = Repository::open(Arc::new(LocalStore::open(&repository)?), environment, &password())?;
        let cheap = opened.add_key(&password(), KdfCost::FOR_TESTS)?.to_string();
        for key in std::fs::read_dir(repository.join("keys"))? {
            let key = key?;
            if key.file_name() != cheap.as_str() {
                std::fs::remove_file(key.path())?;
            }
        }
        Ok(())
    }

    /// A stand of its own with a copy of this one's repository, for a tool that changes it. Disks are no part of it.
    pub fn copied(&self) -> Result<Self> {
        let copy = Self::over(self.program.clone())?;
        copy_repository(&self.place().repository, &copy.place().repository)?;
        Ok(copy)
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as text, for arguments.
    #[must_use]
    pub fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The repository and its password.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { repository: self.repository.clone(), password_file: self.path("password") }
    }

    /// Runs the program over the repository.
    pub fn sonae<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<Answer> {
        self.sonae_at(&self.place(), args)
    }

    /// Runs the program over another repository or with another password.
    pub fn sonae_at<A: AsRef<OsStr>>(
        &self,
        place: &Place,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Answer> {
        let mut command = self.command_at(place, args);
        let ended = command.stdin(std::process::Stdio::null()).output().context("cannot start sonae")?;
        let code = ended.status.code().with_context(|| format!("sonae was ended: {}", ended.status))?;
        let document = serde_json::from_slice(&ended.stdout).with_context(|| {
            let [said, complained] = [&ended.stdout, &ended.stderr].map(|text| String::from_utf8_lossy(text));
            format!("sonae ended with {code} and no document: {said} {complained}")
        })?;
        Ok(Answer { code, document })
    }

    /// The program over the repository, ready to be started.
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        self.command_at(&self.place(), args)
    }

    fn command_at<A: AsRef<OsStr>>(&self, place: &Place, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = host::command(&self.program);
        // Whatever the person has set for their own repository must not reach this one.
        command.env_remove("SONAE_REPO").env_remove("SONAE_PASSWORD_FILE").env("SONAE_LANG", "en");
        radosgw::give_keys(&mut command);
        command.args(["--json", "--quiet", "--repo"]).arg(&place.repository);
        command.arg("--password-file").arg(&place.password_file).args(args);
        command
    }

    /// Backs up disks, each of a file in the folder, and gives the report.
    pub fn backup(&self, vm: &str, disks: &[(&str, &str)], files: &[&str]) -> Result<Value> {
        self.try_backup(vm, disks, files)?.good()
    }

    /// The same for backups that may fail.
    pub fn try_backup(&self, vm: &str, disks: &[(&str, &str)], files: &[&str]) -> Result<Answer> {
        let mut args = vec!["backup".to_owned(), "--vm".to_owned(), vm.to_owned()];
        for (name, file) in disks {
            args.extend(["--disk".to_owned(), format!("{name}={}", self.at(file))]);
        }
        for file in files {
            args.extend(["--file".to_owned(), self.at(file)]);
        }
        self.sonae(args)
    }

    /// Restores a disk of a point to a new file in the folder, and gives what is in it then.
    pub fn restored(&self, point: &str, disk: &str) -> Result<Content> {
        let to = self.path(&format!("restored-{point}-{disk}"));
        self.sonae(["restore", point, "--disk", disk, "--to", &to.display().to_string()])?.good()?;
        taken(&to)
    }

    /// Restores a file of a point by its path, and gives what is in it then.
    pub fn restored_path(&self, place: &Place, point: &str, path: &str) -> Result<Content> {
        let to = self.path(&format!("restored-{point}-{}", Content::of_bytes(path.as_bytes()).short()));
        self.sonae_at(place, ["restore", point, "--path", path, "--to", &to.display().to_string()])?
            .good()?;
        taken(&to)
    }

    /// Ids of all points, oldest first.
    pub fn points(&self) -> Result<Vec<String>> {
        let list = self.sonae(["points"])?.good()?;
        let points = list["points"].as_array().context("points lists points")?;
        points.iter().map(|point| Ok(text(&point["point"])?.to_owned())).collect()
    }

    /// Name and size of every pack.
    pub fn packs(&self) -> Result<Vec<(String, ByteCount)>> {
        let mut packs = Vec::new();
        for folder in std::fs::read_dir(self.path("repository/data"))? {
            for pack in std::fs::read_dir(folder?.path())? {
                let pack = pack?;
                let name = pack.file_name().to_string_lossy().into_owned();
                packs.push((name, ByteCount::new(pack.metadata()?.len())));
            }
        }
        Ok(packs)
    }

    /// Bytes of all packs.
    pub fn pack_bytes(&self) -> Result<ByteCount> {
        Ok(self.packs()?.into_iter().map(|(_, size)| size).sum())
    }

    /// Every file below the repository with its content; two equal listings are one repository.
    pub fn listing(&self) -> Result<Vec<(PathBuf, Option<Content>)>> {
        let mut listing = Vec::new();
        list(&self.path("repository"), &mut listing)?;
        listing.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(listing)
    }
}

impl Answer {
    /// The document of a run that succeeded. Errors: it did not.
    pub fn good(self) -> Result<Value> {
        ensure!(self.code == 0, "sonae ended with {}: {}", self.code, self.document);
        Ok(self.document)
    }

    /// Everything said by a run that was refused with this code. Errors: it succeeded, or ended otherwise.
    pub fn refused(self, code: i32) -> Result<String> {
        ensure!(self.code == code, "sonae ended with {} instead of {code}: {}", self.code, self.document);
        let error = &self.document["error"];
        ensure!(error["code"] == code, "the document names another code: {}", self.document);
        let causes = error["causes"].as_array().context("an error has causes")?;
        let causes = causes.iter().map(text).collect::<Result<Vec<_>>>()?.join(": ");
        Ok(format!("{} {causes} {}", text(&error["message"])?, error["remedy"].as_str().unwrap_or_default()))
    }
}

/// The text in a JSON value.
pub fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("{value} is no text"))
}

/// The number in a JSON value.
pub fn number(value: &Value) -> Result<u64> {
    value.as_u64().with_context(|| format!("{value} is no number"))
}

/// The password of every stand as a repository takes it.
#[must_use]
pub fn password() -> Password {
    Password::from_file_bytes(PASSWORD.as_bytes())
}

fn taken(file: &Path) -> Result<Content> {
    let content = Content::of(file)?;
    std::fs::remove_file(file)?;
    Ok(content)
}

fn list(folder: &Path, into: &mut Vec<(PathBuf, Option<Content>)>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            into.push((entry.path(), None));
            list(&entry.path(), into)?;
        } else {
            into.push((entry.path(), Some(Content::of(&entry.path())?)));
        }
    }
    Ok(())
}
