//! A repository in a folder, laid out as restic lays it out.
//!
//! Everything is reached from the folder's open handle, so a file system that is unmounted or mounted over while work
//! goes on never makes a repository appear below its mount point. What the files mean is not known here.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use sonae_types::{ByteCount, Timestamp};

use super::{FileKind, FileName, Listed, ObjectStore, StoreError};
use temp::Temp;

mod temp;
#[cfg(test)]
mod tests;

/// Keeps the files of a repository in a folder of a local or mounted file system.
#[derive(Debug)]
pub struct LocalStore {
    root: OwnedFd,
    location: String,
}

/// Where files are written before they get their names; restic does not look there.
const TMP: &str = "tmp";
const FOLDER_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR;
const OPEN_FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// No single file takes longer to write, so an older one in `tmp/` belongs to nobody.
const LEFT_OVER: Duration = Duration::from_hours(24);

impl LocalStore {
    /// The store in the folder `path`, which must exist; nothing is created.
    ///
    /// Whether there is a repository in it is seen by getting [`FileName::Config`]. Errors:
    /// [`StoreError::Unusable`] where there is no folder or no permission, [`StoreError::Io`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let location = path.display().to_string();
        let root = rustix::fs::open(path, OPEN_FOLDER, Mode::empty()).and_then(|root| {
            // A folder may be opened without the right to enter it; better now than at the first file.
            rustix::fs::statat(&root, ".", AtFlags::empty())?;
            Ok(root)
        });
        let why = match root {
            Ok(root) => return Ok(Self { root, location }),
            Err(Errno::NOENT) => "does not exist; check the path and that its file system is mounted",
            Err(Errno::NOTDIR) => "is not a folder; name the folder that holds the repository",
            Err(Errno::ACCESS | Errno::PERM) => {
                "no permission to use this folder; work as the user it belongs to"
            }
            Err(cause) => return Err(failed("open", "the folder", location, cause)),
        };
        Err(StoreError::Unusable { location, why: why.to_owned() })
    }

    /// Makes the folders of an empty repository in `path` and opens it; a creation that was interrupted is completed.
    ///
    /// `path` must be new, or an empty folder; the folder above it must exist, since a missing one is rather a file
    /// system that is not mounted. Errors: [`StoreError::Exists`] where there is a repository,
    /// [`StoreError::Unusable`] where there is anything else, [`StoreError::Io`].
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let location = path.display().to_string();
        let unusable = |why: &str| StoreError::Unusable { location: location.clone(), why: why.to_owned() };
        let made = match rustix::fs::mkdir(path, FOLDER_MODE) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                return Err(unusable("the folder above it does not exist; create or mount it first"));
            }
            Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => {
                return Err(unusable("no permission to create this folder; create it as another user first"));
            }
            Err(cause) => return Err(failed("create", "the folder", location, cause)),
        };
        let store = Self::open(path)?;
        store.refuse_anything_but_an_empty_layout()?;
        let folders = store.make_folders().and_then(|()| if made { store.sync_above() } else { Ok(()) });
        folders.map_err(|cause| failed("create", "the folders", location, cause))?;
        Ok(store)
    }

    /// Removes what interrupted writers left in `tmp/` more than a day before `now`, and says how many files.
    ///
    /// Such files are harmless but take room. Errors: [`StoreError::Io`].
    pub fn sweep(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.sweep_tmp(now).map_err(|cause| self.failed("clean up", TMP, cause))
    }

    fn sweep_tmp(&self, now: Timestamp) -> io::Result<usize> {
        let tmp = match rustix::fs::openat(&self.root, TMP, OPEN_FOLDER, Mode::empty()) {
            Ok(tmp) => tmp,
            Err(Errno::NOENT) => return Ok(0),
            Err(cause) => return Err(cause.into()),
        };
        let mut swept = 0;
        for name in names_in(&tmp)? {
            let Some(stat) = regular_file(&tmp, &name)? else { continue };
            let written = Timestamp::from_micros(stat.st_mtime.saturating_mul(1_000_000));
            if LEFT_OVER < now.since(written) {
                rustix::fs::unlinkat(&tmp, &name, AtFlags::empty())?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    fn make_folders(&self) -> io::Result<()> {
        // Folders in folders are made with their first file.
        let folders = FileKind::ALL.map(FileKind::folder).into_iter().filter(|folder| !folder.contains('/'));
        for folder in folders.chain([TMP]) {
            make_folder(&self.root, folder)?;
        }
        let data = rustix::fs::openat(&self.root, FileKind::Data.folder(), OPEN_FOLDER, Mode::empty())?;
        for first in 0..=u8::MAX {
            make_folder(&data, &format!("{first:02x}"))?;
        }
        sync_folder(&data)?;
        sync_folder(&self.root)
    }

    /// Makes the name of the folder itself durable.
    fn sync_above(&self) -> io::Result<()> {
        sync_folder(&rustix::fs::openat(&self.root, "..", OPEN_FOLDER, Mode::empty())?)
    }

    fn refuse_anything_but_an_empty_layout(&self) -> Result<(), StoreError> {
        let location = || self.location.clone();
        match self.first_foreign_entry().map_err(|cause| self.failed("look into", "the folder", cause))? {
            None => Ok(()),
            Some(entry) if entry == FileName::Config.to_string() => {
                Err(StoreError::Exists { name: FileName::Config, location: location() })
            }
            Some(entry) => Err(StoreError::Unusable {
                location: location(),
                why: format!(
                    "holds {entry:?}, so no repository is created here; choose a new or an empty folder"
                ),
            }),
        }
    }

    /// The first thing found that an empty repository does not have; `config` before anything else.
    fn first_foreign_entry(&self) -> io::Result<Option<String>> {
        let mut names = names_in(&self.root)?;
        names.sort_by_key(|name| name.as_bytes() != b"config");
        for name in names {
            let folder = name.to_string_lossy().into_owned();
            // The root of a new ext4 file system has the latter, and files in the former belong to no repository yet.
            let harmless = [TMP, "lost+found"].contains(&folder.as_str());
            let ours = FileKind::ALL.iter().any(|kind| kind.folder() == folder);
            if !harmless && !ours {
                return Ok(Some(folder));
            }
            let inside = match rustix::fs::openat(&self.root, &name, OPEN_FOLDER, Mode::empty()) {
                Ok(handle) => handle,
                Err(Errno::NOTDIR) => return Ok(Some(folder)),
                Err(cause) => return Err(cause.into()),
            };
            for entry in if harmless { Vec::new() } else { names_in(&inside)? } {
                let empty = folder == FileKind::Data.folder()
                    && rustix::fs::openat(&inside, &entry, OPEN_FOLDER, Mode::empty())
                        .map_err(io::Error::from)
                        .and_then(|handle| names_in(&handle))
                        .is_ok_and(|entries| entries.is_empty());
                if !empty {
                    return Ok(Some(format!("{folder}/{}", entry.to_string_lossy())));
                }
            }
        }
        Ok(None)
    }

    /// The folder of this file; made where a repository written by others does not have it.
    fn folder_for(&self, name: FileName) -> io::Result<OwnedFd> {
        let folder = folder_of(name);
        match rustix::fs::openat(&self.root, &folder, OPEN_FOLDER, Mode::empty()) {
            Err(Errno::NOENT) => {}
            other => return Ok(other?),
        }
        if let Some((above, _)) = folder.split_once('/') {
            make_folder(&self.root, above)?;
            make_folder(&self.root, &folder)?;
            sync_folder(&rustix::fs::openat(&self.root, above, OPEN_FOLDER, Mode::empty())?)?;
        } else {
            make_folder(&self.root, &folder)?;
        }
        sync_folder(&self.root)?;
        Ok(rustix::fs::openat(&self.root, &folder, OPEN_FOLDER, Mode::empty())?)
    }

    fn put_in(&self, name: FileName, bytes: &[u8]) -> io::Result<()> {
        let folder = self.folder_for(name)?;
        let temp = Temp::write(&self.root, bytes)?;
        let leaf = leaf_of(name);
        let placed = match name {
            FileName::Config => temp.place_new(&folder, &leaf),
            FileName::Hashed(..) => temp.place(&folder, &leaf),
        };
        match placed {
            // What is there already may have come from an earlier try that got this far and no further.
            Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => Err(cause),
            other => sync_folder(&folder).and(other),
        }
    }

    /// Opens what must be a file: a named pipe in its place would keep us waiting, and a device never end.
    fn open_file(&self, name: FileName) -> Result<File, StoreError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        retry_on_intr(|| rustix::fs::openat(&self.root, name.to_string(), flags, Mode::empty()))
            .map(File::from)
            .map_err(io::Error::from)
            .and_then(|file| Ok((file.metadata()?.is_file(), file)))
            .map_err(|cause| self.failed_file("open", name, cause))
            .and_then(|(is_file, file)| if is_file { Ok(file) } else { Err(self.no_file(name)) })
    }

    fn no_file(&self, name: FileName) -> StoreError {
        let why =
            format!("{name} is no file; find out who put it there, and put the file of a copy in its place");
        StoreError::Unusable { location: self.location.clone(), why }
    }

    fn list_folder(&self, folder: &str, into: &mut Vec<Listed>) -> io::Result<()> {
        let handle = match rustix::fs::openat(&self.root, folder, OPEN_FOLDER, Mode::empty()) {
            Ok(handle) => handle,
            // Copies of repositories often lack their empty folders.
            Err(Errno::NOENT) => return Ok(()),
            Err(cause) => return Err(cause.into()),
        };
        let prefix = folder.strip_prefix("data/").unwrap_or_default();
        for entry in Dir::new(handle.try_clone()?)? {
            let entry = entry?;
            // A pack in the folder of another cannot be got by its name.
            let id = entry.file_name().to_str().ok().filter(|name| name.starts_with(prefix));
            let Some(id) = id.and_then(|name| name.parse().ok()) else { continue };
            if let Some(stat) = regular_file(&handle, entry.file_name())? {
                into.push(Listed { id, size: size_of(&stat) });
            }
        }
        Ok(())
    }

    fn failed(&self, doing: &'static str, what: &str, cause: impl Into<io::Error>) -> StoreError {
        failed(doing, what, self.location.clone(), cause)
    }

    fn failed_file(&self, doing: &'static str, name: FileName, cause: io::Error) -> StoreError {
        if cause.kind() == io::ErrorKind::NotFound {
            return StoreError::NotFound { name, location: self.location.clone() };
        }
        self.failed(doing, &name.to_string(), cause)
    }
}

impl ObjectStore for LocalStore {
    fn location(&self) -> &str {
        &self.location
    }

    fn put(&self, name: FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.put_in(name, bytes).map_err(|cause| {
            let location = self.location.clone();
            let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&cause.kind());
            if full {
                StoreError::Full { name, location, cause }
            } else if cause.kind() == io::ErrorKind::AlreadyExists {
                StoreError::Exists { name, location }
            } else {
                failed("write", &name.to_string(), location, cause)
            }
        })
    }

    fn get(&self, name: FileName) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        let read = self.open_file(name)?.read_to_end(&mut bytes);
        read.map_err(|cause| self.failed_file("read", name, cause))?;
        Ok(bytes)
    }

    fn get_range(&self, name: FileName, at: u64, into: &mut [u8]) -> Result<(), StoreError> {
        let file = self.open_file(name)?;
        let len = ByteCount::of_len(into.len()).get();
        // The system calls a range that no file can have invalid; here it is a range that this file does not have.
        let conceivable = at.checked_add(len).is_some_and(|end| i64::try_from(end).is_ok());
        if conceivable && 0 < len {
            match file.read_exact_at(into, at) {
                Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => {}
                other => return other.map_err(|cause| self.failed_file("read", name, cause)),
            }
        }
        let size = file.metadata().map_err(|cause| self.failed_file("read", name, cause))?.len();
        if len == 0 && at <= size {
            return Ok(());
        }
        Err(StoreError::Short { name, location: self.location.clone(), at, len, size: ByteCount::new(size) })
    }

    fn size(&self, name: FileName) -> Result<ByteCount, StoreError> {
        rustix::fs::statat(&self.root, name.to_string(), AtFlags::empty())
            .map(|stat| size_of(&stat))
            .map_err(|cause| self.failed_file("look up", name, cause.into()))
    }

    fn stored_at(&self, name: FileName) -> Result<Option<Timestamp>, StoreError> {
        rustix::fs::statat(&self.root, name.to_string(), AtFlags::empty())
            .map(|stat| Some(Timestamp::from_micros(micros_of(&stat))))
            .map_err(|cause| self.failed_file("look up", name, cause.into()))
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>, StoreError> {
        let mut listed = Vec::new();
        let folders = if kind == FileKind::Data {
            (0..=u8::MAX).map(|first| format!("{}/{first:02x}", kind.folder())).collect()
        } else {
            vec![kind.folder().to_owned()]
        };
        for folder in folders {
            self.list_folder(&folder, &mut listed).map_err(|cause| self.failed("list", &folder, cause))?;
        }
        listed.sort_unstable();
        // A folder that changes while it is read may name an entry twice.
        listed.dedup_by_key(|file| file.id);
        Ok(listed)
    }

    fn remove(&self, name: FileName) -> Result<(), StoreError> {
        rustix::fs::openat(&self.root, folder_of(name), OPEN_FOLDER, Mode::empty())
            .map_err(io::Error::from)
            .and_then(|folder| {
                let removed = rustix::fs::unlinkat(&folder, leaf_of(name), AtFlags::empty());
                // Without this, a removed index could come back after the packs that it names are gone for good. The
                // same where the file is gone already: an earlier try may have come this far and no further.
                if matches!(removed, Ok(()) | Err(Errno::NOENT)) {
                    sync_folder(&folder)?;
                }
                Ok(removed?)
            })
            .map_err(|cause| self.failed_file("remove", name, cause))
    }

    fn room(&self) -> Option<ByteCount> {
        let disk = rustix::fs::fstatvfs(&self.root).ok()?;
        Some(ByteCount::new(disk.f_bavail.saturating_mul(disk.f_frsize)))
    }
}

fn folder_of(name: FileName) -> String {
    name.to_string().rsplit_once('/').map_or(".", |(folder, _)| folder).to_owned()
}

fn leaf_of(name: FileName) -> String {
    name.to_string().rsplit('/').next().unwrap_or_default().to_owned()
}

fn make_folder(above: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::mkdirat(above, name, FOLDER_MODE) {
        Err(cause) if cause != Errno::EXIST => Err(cause.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &OwnedFd) -> io::Result<()> {
    match retry_on_intr(|| rustix::fs::fsync(folder)) {
        // File systems without the notion (CIFS, some in user space) say so; they offer nothing better.
        Ok(()) | Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(()),
        Err(cause) => Err(cause.into()),
    }
}

fn names_in(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if ![b".".as_slice(), b".."].contains(&entry.file_name().to_bytes()) {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// The file's properties; none for what is no file, or was removed since it was listed.
fn regular_file(folder: impl AsFd, name: &std::ffi::CStr) -> io::Result<Option<rustix::fs::Stat>> {
    match rustix::fs::statat(folder, name, AtFlags::empty()) {
        Ok(stat) => Ok(Some(stat).filter(|stat| FileType::from_raw_mode(stat.st_mode).is_file())),
        Err(Errno::NOENT) => Ok(None),
        Err(cause) => Err(cause.into()),
    }
}

fn size_of(stat: &rustix::fs::Stat) -> ByteCount {
    ByteCount::new(u64::try_from(stat.st_size).unwrap_or(0))
}

/// When the file was last written, by the clock of the machine that holds the file system.
fn micros_of(stat: &rustix::fs::Stat) -> i64 {
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    stat.st_mtime.saturating_mul(1_000_000).saturating_add(nanos / 1_000)
}

fn failed(
    doing: &'static str,
    what: &str,
    location: impl Into<String>,
    cause: impl Into<io::Error>,
) -> StoreError {
    StoreError::Io { doing, what: what.to_owned(), location: location.into(), cause: cause.into() }
}
