//! The folders of the demo: one for each array, one for the restored machine, one for logs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Says that a folder is ours, and may be removed by the next demo.
const MARKER: &str = "this-is-a-sonae-demo";
const PASSWORD_BYTES: usize = 24;
const DOMAIN: &str = include_str!("../../assets/domain.xml");

/// The folders of one demo.
#[derive(Clone, Debug)]
pub struct Place {
    root: PathBuf,
}

impl Place {
    /// Makes the folders anew. A folder that no demo made is never touched.
    pub fn prepare(root: &Path) -> Result<Self> {
        if root.exists() {
            let empty = fs::read_dir(root)
                .with_context(|| format!("cannot look into {}", root.display()))?
                .next()
                .is_none();
            ensure!(
                empty || root.join(MARKER).exists(),
                "{} is not empty and was not made by the demo: choose another folder with --work",
                root.display()
            );
            fs::remove_dir_all(root).with_context(|| format!("cannot remove {}", root.display()))?;
        }
        fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
        let place = Self { root: root.canonicalize()? };
        fs::write(place.root.join(MARKER), "")?;
        for folder in [
            place.production(),
            place.other_array(),
            place.second_site(),
            place.restored(),
            place.logs(),
            place.scratch(),
        ] {
            fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(place.domain_file(), DOMAIN)?;
        place.make_password()?;
        Ok(place)
    }

    /// Everything of this demo.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The array the machine runs on, which is going to be lost.
    #[must_use]
    pub fn production(&self) -> PathBuf {
        self.root.join("array-a")
    }

    /// The array that survives.
    #[must_use]
    pub fn other_array(&self) -> PathBuf {
        self.root.join("array-b")
    }

    /// The repository on the array that survives.
    #[must_use]
    pub fn repository(&self) -> PathBuf {
        self.other_array().join("repository")
    }

    /// The second repository, where there is no object store.
    #[must_use]
    pub fn second_repository(&self) -> PathBuf {
        self.second_site().join("repository")
    }

    fn second_site(&self) -> PathBuf {
        self.root.join("second-site")
    }

    /// Where the machine comes back.
    #[must_use]
    pub fn restored(&self) -> PathBuf {
        self.root.join("restored")
    }

    /// The machine's definition.
    #[must_use]
    pub fn domain_file(&self) -> PathBuf {
        self.root.join("domain.xml")
    }

    /// The repository's password.
    #[must_use]
    pub fn password_file(&self) -> PathBuf {
        self.root.join("password")
    }

    /// Parts of the guest that are no part of the machine.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    /// The log of one kind of program.
    #[must_use]
    pub fn log(&self, of: &str) -> PathBuf {
        self.logs().join(format!("{of}.log"))
    }

    fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    fn make_password(&self) -> Result<()> {
        let password: String = random(PASSWORD_BYTES)?.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.password_file())?;
        writeln!(file, "{password}").context("cannot write the password file")
    }
}

/// Bytes nobody can guess.
pub fn random(len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    fs::File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(bytes)
}

/// Bytes the files of a folder take, all the way down.
pub fn bytes_below(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot look into {}", folder.display()))? {
        let entry = entry?;
        let about = entry.metadata()?;
        sum += if about.is_dir() { bytes_below(&entry.path())? } else { about.len() };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_no_demo_made_is_never_touched() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mine = folder.path().join("residents.csv");
        fs::write(&mine, "precious").expect("written");
        assert!(Place::prepare(folder.path()).is_err());
        assert!(mine.exists());
    }

    #[test]
    fn the_next_demo_starts_anew_with_another_password() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().join("demo");
        let first = fs::read(Place::prepare(&root).expect("made").password_file()).expect("a password");
        fs::write(root.join("array-a/vda.raw"), "old").expect("written");
        let second = Place::prepare(&root).expect("made anew");
        assert_ne!(fs::read(second.password_file()).expect("a password"), first);
        assert!(!root.join("array-a/vda.raw").exists());
    }
}
