//! A folder with a repository, images and a password, and the program run on it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use serde_json::Value;
use sonae_agent::system_environment;
use sonae_repo::Repository;
use sonae_repo::crypto::{KdfCost, Password};
use sonae_repo::store::LocalStore;
use tempfile::TempDir;

pub(crate) const MIB: usize = 1 << 20;
const PASSWORD: &[u8] = b"correct horse\n";

/// A folder to work in: `repo`, `password`, and whatever a test adds.
pub(crate) struct World {
    folder: TempDir,
}

/// How the program ended and what it said.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// With a password file and no repository.
    pub(crate) fn bare() -> Self {
        let world = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        world.write("password", PASSWORD);
        world
    }

    /// With an empty repository, whose key is derived cheaply so that each run takes little time.
    pub(crate) fn new() -> Self {
        let world = Self::bare();
        let store = LocalStore::create(&world.path("repo")).expect("a new folder");
        let password = Password::from_file_bytes(PASSWORD);
        Repository::init(Arc::new(store), system_environment(), &password, KdfCost::FOR_TESTS)
            .expect("a repository");
        world
    }

    /// With a repository that holds one point of the machine `web01`: 4 MiB of noise in `vda.raw`, and `web01.xml`.
    pub(crate) fn with_point() -> Self {
        let world = Self::new();
        world.noise("vda.raw", 4 * MIB, 1);
        world.write("web01.xml", b"<domain/>\n");
        let file = ["--file", "web01.xml"];
        world.ok(&[&["backup", "--vm", "web01", "--disk", "vda=vda.raw"], &file[..]].concat());
        world
    }

    /// The repository, opened through the engine.
    pub(crate) fn open(&self) -> Repository {
        let store = LocalStore::open(&self.path("repo")).expect("the folder");
        let password = Password::from_file_bytes(PASSWORD);
        Repository::open(Arc::new(store), system_environment(), &password).expect("the repository")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("a file is written");
    }

    /// An image whose pages all differ from each other and from those of another seed, behind as much of a hole.
    pub(crate) fn noise(&self, name: &str, len: usize, seed: u64) {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut block = vec![0; MIB];
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let mut file = File::create(self.path(name)).expect("an image");
        for at in 0..len / MIB {
            for (page, bytes) in block.chunks_exact_mut(4096).enumerate() {
                bytes[..8].copy_from_slice(&(((at << 8) | page) as u64 ^ seed << 40).to_le_bytes());
            }
            file.write_all(&block).expect("an image is written");
        }
        file.set_len(2 * len as u64).expect("a hole");
    }

    /// Changes one byte of a file.
    pub(crate) fn flip(&self, path: &Path, at: u64) {
        let file = File::options().read(true).write(true).open(path).expect("the file");
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("the byte is there");
        file.write_all_at(&[byte[0] ^ 1], at).expect("the byte is written");
    }

    /// The files of the repository's folder, with their sizes.
    pub(crate) fn files(&self, folder: &str) -> Vec<(PathBuf, u64)> {
        let mut files = Vec::new();
        let mut open = vec![self.path(folder)];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).expect("the folder is read") {
                let entry = entry.expect("an entry");
                let meta = entry.metadata().expect("its properties");
                if meta.is_dir() {
                    open.push(entry.path());
                } else {
                    files.push((entry.path(), meta.len()));
                }
            }
        }
        files.sort();
        files
    }

    /// The program, told by the environment where the repository and the password are, in English.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = self.bare_command(args);
        command.env("SONAE_REPO", self.path("repo")).env("SONAE_PASSWORD_FILE", self.path("password"));
        command
    }

    /// The program without any settings.
    #[expect(clippy::disallowed_methods, reason = "these tests run the program")]
    pub(crate) fn bare_command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sonae"));
        command.args(args).current_dir(self.folder.path()).env_clear().env("SONAE_LANG", "en");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        Run::of(&mut self.command(args))
    }

    /// Runs what must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> Run {
        let run = self.run(args);
        assert_eq!(run.code, 0, "{args:?}: {run:?}");
        run
    }

    /// Runs with `--json` what must end with this code, and answers its document.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str], code: i32) -> Value {
        let run = self.run(&[args, &["--json"]].concat());
        assert_eq!(run.code, code, "{args:?}: {run:?}");
        run.document()
    }

    /// Starts the program and leaves it running.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    }
}

impl Run {
    pub(crate) fn of(command: &mut Command) -> Self {
        command.output().expect("the program runs").into()
    }

    /// The one document on standard output.
    #[track_caller]
    pub(crate) fn document(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "not one line: {self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What people were told, which must have every field filled.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        let text = format!("{}{}", self.stdout, self.stderr);
        assert!(!text.contains('{'), "a field was left open: {text}");
        text
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the program speaks UTF-8");
        Self {
            // A program that a signal ends has no code; no test expects that.
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
