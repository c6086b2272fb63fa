//! What tests of real files and devices need: programs, loop devices, folders on several file systems.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sonae_types::{ByteCount, DiskError};

/// Runs a program of the system; its output, or why it could not.
#[expect(
    clippy::disallowed_methods,
    reason = "devices and other programs' locks are made with the system's programs"
)]
pub(crate) fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output().map_err(|cause| format!("{program}: {cause}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// A block device over a file, removed at the end.
pub(crate) struct Loop {
    pub(crate) device: PathBuf,
    _file: tempfile::NamedTempFile,
}

impl Loop {
    /// Errors: why this machine cannot make one.
    pub(crate) fn new(size: ByteCount) -> Result<Self, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(size.get()).unwrap();
        let device = run("losetup", &["--find", "--show", text(file.path())])?;
        Ok(Self { device: PathBuf::from(device), _file: file })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run("losetup", &["--detach", text(&self.device)]).unwrap();
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A new folder on every file system at hand: that of temporary files, and one in memory.
pub(crate) fn folders() -> Vec<tempfile::TempDir> {
    let mut folders = vec![tempfile::tempdir().unwrap()];
    match tempfile::tempdir_in("/dev/shm") {
        Ok(folder) => folders.push(folder),
        Err(cause) => println!("skipped: tmpfs: {cause}"),
    }
    folders
}

/// A file with holes except for the given pieces; its content.
pub(crate) fn sparse_file(path: &Path, size: usize, pieces: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let file = File::create(path).unwrap();
    file.set_len(size as u64).unwrap();
    let mut content = vec![0; size];
    for (at, bytes) in pieces {
        file.write_all_at(bytes, *at as u64).unwrap();
        content[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    content
}

/// The text of a refusal.
pub(crate) fn why<T>(outcome: Result<T, DiskError>) -> String {
    match outcome {
        Err(error @ DiskError::Unusable { .. }) => error.to_string(),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("not refused"),
    }
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
    names.sort();
    names
}
