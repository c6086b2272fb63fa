//! What a folder must do beyond the contract of stores: its layout, its modes, and failures that leave nothing behind.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sonae_types::Digest;

use super::temp::create_unique;
use super::*;
use crate::contract::{self, named};

struct Folder {
    temp: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.temp.path().join("repository")
    }

    fn store(&self) -> LocalStore {
        LocalStore::create(&self.path()).unwrap()
    }

    fn store_again(&self) -> LocalStore {
        LocalStore::open(&self.path()).unwrap()
    }
}

/// Path, and mode for everything below a folder.
fn tree(path: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut todo = vec![path.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.path().strip_prefix(path).unwrap().display().to_string();
            found.insert(name, entry.metadata().unwrap().permissions().mode() & 0o7777);
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            }
        }
    }
    found
}

fn ids(store: &LocalStore, kind: FileKind) -> Vec<Digest> {
    store.list(kind).unwrap().into_iter().map(|file| file.id).collect()
}

fn temps(path: &Path) -> usize {
    fs::read_dir(path.join(TMP)).unwrap().count()
}

fn why<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> String {
    match outcome {
        Err(error @ StoreError::Unusable { .. }) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "a full file system is made with mount")]
fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|cause| format!("{program}: {cause}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// A small file system of its own, unmounted at the end.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(options: &str) -> Result<Self, String> {
        let at = tempfile::tempdir().unwrap();
        run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", at.path().to_str().unwrap()])?;
        Ok(Self(at))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.path().to_str().unwrap()]).unwrap();
    }
}

#[test]
fn keeps_the_contract_of_stores() {
    // Hundreds of folders for each claim take long on a disk; the next test runs there.
    let temp = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let count = AtomicU64::new(0);
    contract::check(&|| {
        let path = temp.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
        Box::new(LocalStore::create(&path).unwrap())
    });
}

#[test]
fn keeps_the_contract_in_a_folder_that_had_nothing_but_a_config() {
    let temp = tempfile::tempdir().unwrap();
    let count = AtomicU64::new(0);
    contract::check(&|| {
        let path = temp.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&path).unwrap();
        Box::new(LocalStore::open(&path).unwrap())
    });
}

#[test]
fn the_layout_is_that_of_restic_and_tmp() {
    let folder = Folder::new();
    let store = folder.store();
    let mut expected: BTreeMap<String, u32> = (0..=255).map(|n| (format!("data/{n:02x}"), 0o700)).collect();
    for name in ["data", "index", "keys", "locks", "snapshots", "tmp"] {
        expected.insert(name.to_owned(), 0o700);
    }
    assert_eq!(tree(&folder.path()), expected);
    assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o7777, 0o700);

    store.put(FileName::Config, b"config").unwrap();
    let id = Digest::new([0xab; 32]);
    let hex = "ab".repeat(32);
    expected.insert("config".to_owned(), 0o400);
    for name in ["sonae", "sonae/ballast", "sonae/marks"] {
        expected.insert(name.to_owned(), 0o700);
    }
    for kind in FileKind::ALL {
        store.put(FileName::Hashed(kind, id), b"x").unwrap();
        let between = if kind == FileKind::Data { "/ab" } else { "" };
        expected.insert(format!("{}{between}/{hex}", kind.folder()), 0o400);
    }
    assert_eq!(tree(&folder.path()), expected);
}

#[test]
fn open_creates_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let missing = temp.path().join("missing");
    assert!(why(LocalStore::open(&missing)).contains("does not exist; check the path"));
    let store = LocalStore::open(temp.path()).unwrap();
    assert_eq!(store.location(), temp.path().to_str().unwrap());
    assert!(store.get(FileName::Config).unwrap_err().is_not_found());
    for kind in FileKind::ALL {
        assert_eq!(store.list(kind).unwrap(), []);
    }
    store.remove(named(FileKind::Data, b"")).unwrap_err();
    assert_eq!(tree(temp.path()), BTreeMap::new());
}

#[test]
fn a_file_is_no_folder() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(why(LocalStore::open(&file)).contains("is not a folder"));
    assert!(why(LocalStore::create(&file)).contains("is not a folder"));
    assert!(why(LocalStore::create(&file.join("in"))).contains("the folder above it does not exist"));
}

#[test]
fn a_folder_without_permission_is_refused() {
    if rustix::process::geteuid().is_root() {
        println!("skipped: root may enter every folder");
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    for mode in [0o000, 0o400, 0o300] {
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(mode)).unwrap();
        let outcome = LocalStore::open(temp.path());
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(why(outcome).contains("no permission"), "{mode:o}");
    }
}

#[test]
fn create_needs_the_folder_above() {
    let temp = tempfile::tempdir().unwrap();
    let text = why(LocalStore::create(&temp.path().join("not-mounted/repository")));
    assert!(text.contains("the folder above it does not exist; create or mount it first"), "{text}");
    assert_eq!(tree(temp.path()), BTreeMap::new());
}

#[test]
fn create_completes_an_interrupted_creation_and_accepts_an_empty_file_system() {
    let folder = Folder::new();
    for made in ["keys", "data/00", "data/7f", "tmp", "lost+found"] {
        fs::create_dir_all(folder.path().join(made)).unwrap();
    }
    fs::write(folder.path().join("tmp/sonae-1-0"), "config of a creation that was killed").unwrap();
    folder.store();
    folder.store().put(FileName::Config, b"config").unwrap();
    assert!(folder.path().join("data/ff").is_dir());
}

#[test]
fn create_refuses_a_folder_that_holds_anything() {
    for entry in ["notes.txt", "keys/ab", "data/00/pack", "data/loose", "index/x", "snapshots/x", "locks/x"] {
        let folder = Folder::new();
        let path = folder.path().join(entry);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        let before = tree(&folder.path());
        let text = why(LocalStore::create(&folder.path()));
        assert!(text.contains(entry.split('/').next().unwrap()), "{text}");
        assert_eq!(tree(&folder.path()), before, "a refused folder was touched");
    }
}

#[test]
fn create_never_touches_a_repository() {
    let folder = Folder::new();
    folder.store().put(FileName::Config, b"config").unwrap();
    put(&folder.store_again(), b"a pack");
    fs::write(folder.path().join("also-foreign"), "").unwrap();
    match LocalStore::create(&folder.path()) {
        Err(StoreError::Exists { name: FileName::Config, .. }) => {}
        other => panic!("{other:?}"),
    }
}

fn put(store: &LocalStore, bytes: &[u8]) -> FileName {
    let name = named(FileKind::Data, bytes);
    store.put(name, bytes).unwrap();
    name
}

#[test]
fn foreign_names_are_passed_over() {
    let folder = Folder::new();
    let store = folder.store();
    let name = put(&store, b"ours");
    let hex = |digit: &str| digit.repeat(64);
    let in_repository = |path: String| folder.path().join(path);
    for foreign in ["data/00/notes", "data/notes", "data/00/.nfs0001"] {
        fs::write(folder.path().join(foreign), "").unwrap();
    }
    fs::write(in_repository(format!("data/00/{}", hex("A"))), "").unwrap();
    fs::write(in_repository(format!("data/00/{}", hex("7"))), "in the folder of another").unwrap();
    fs::write(in_repository(format!("data/00/{}-tmp-1", hex("0"))), "").unwrap();
    fs::create_dir(in_repository(format!("data/00/{}", hex("0")))).unwrap();
    symlink("nowhere", in_repository(format!("data/11/{}", hex("1")))).unwrap();
    let FileName::Hashed(_, id) = name else { unreachable!() };
    assert_eq!(ids(&store, FileKind::Data), [id]);
    fs::write(in_repository(format!("keys/{}", hex("3"))), "key").unwrap();
    fs::write(folder.path().join("keys/readme"), "").unwrap();
    assert_eq!(ids(&store, FileKind::Key), [Digest::new([0x33; 32])]);
}

#[test]
fn thousands_of_packs_are_listed() {
    let folder = Folder::new();
    let store = folder.store();
    for n in 0_u16..5_000 {
        let mut id = [0; 32];
        id[0] = u8::try_from(n % 256).unwrap();
        id[1..3].copy_from_slice(&n.to_be_bytes());
        let name = FileName::Hashed(FileKind::Data, Digest::new(id));
        fs::write(folder.path().join(name.to_string()), [0; 3]).unwrap();
    }
    let listed = store.list(FileKind::Data).unwrap();
    assert_eq!(listed.len(), 5_000);
    assert!(listed.is_sorted());
    assert!(listed.iter().all(|file| file.size == ByteCount::new(3)));
}

#[test]
fn a_failed_put_leaves_nothing() {
    let folder = Folder::new();
    let store = folder.store();
    let name = named(FileKind::Data, b"x");
    let path = folder.path().join(name.to_string());
    // The folder of the pack is a file, so the temporary file cannot get its name.
    fs::create_dir(&path).unwrap();
    match store.put(name, b"x") {
        Err(StoreError::Io { doing: "write", .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(temps(&folder.path()), 0);
    assert_eq!(ids(&store, FileKind::Data), []);
    fs::remove_dir(&path).unwrap();
    store.put(name, b"x").unwrap();
}

#[test]
fn a_full_file_system_is_said_to_be_full_and_keeps_what_it_had() {
    let mounted = match Mounted::new("size=3m") {
        Ok(mounted) => mounted,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let path = mounted.0.path().join("repository");
    let store = LocalStore::create(&path).unwrap();
    let kept = put(&store, &[1; 4096]);
    let large = vec![2; 4 * 1024 * 1024];
    for name in [named(FileKind::Data, &large), FileName::Config] {
        match store.put(name, &large) {
            Err(StoreError::Full { name: told, .. }) => assert_eq!(told, name),
            other => panic!("{other:?}"),
        }
        assert!(store.get(name).unwrap_err().is_not_found());
    }
    assert_eq!(temps(&path), 0, "a failed put kept its room");
    assert_eq!(store.get(kept).unwrap(), [1; 4096]);
    put(&store, &[3; 4096]);
    store.remove(kept).unwrap();
}

#[test]
fn a_read_only_file_system_is_readable_and_refuses_to_change() {
    let mounted = match Mounted::new("size=3m") {
        Ok(mounted) => mounted,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let path = mounted.0.path().join("repository");
    let kept = put(&LocalStore::create(&path).unwrap(), b"kept");
    run("mount", &["-o", "remount,ro", mounted.0.path().to_str().unwrap()]).unwrap();
    let store = LocalStore::open(&path).unwrap();
    assert_eq!(store.get(kept).unwrap(), b"kept");
    assert!(matches!(store.put(named(FileKind::Data, b"n"), b"n"), Err(StoreError::Io { .. })));
    assert!(matches!(store.remove(kept), Err(StoreError::Io { .. })));
    let text = why(LocalStore::create(&mounted.0.path().join("new")));
    assert!(text.contains("no permission to create"), "{text}");
}

#[test]
fn a_store_never_writes_below_the_mount_point_of_a_file_system_that_is_gone() {
    let mounted = match Mounted::new("size=3m") {
        Ok(mounted) => mounted,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let store = LocalStore::open(mounted.0.path()).unwrap();
    run("umount", &["-l", mounted.0.path().to_str().unwrap()]).unwrap();
    let outcome = store.put(named(FileKind::Data, b"x"), b"x");
    assert_eq!(tree(mounted.0.path()), BTreeMap::new(), "{outcome:?}");
    // Something must be mounted for the guard to unmount.
    run("mount", &["-t", "tmpfs", "tmpfs", mounted.0.path().to_str().unwrap()]).unwrap();
}

#[test]
fn config_is_never_replaced_where_a_file_system_can_only_link() {
    let folder = Folder::new();
    let store = folder.store();
    let link = |bytes: &[u8]| Temp::write(&store.root, bytes).unwrap().link_new(&store.root, "config");
    link(b"first").unwrap();
    assert_eq!(link(b"second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(store.get(FileName::Config).unwrap(), b"first");
    assert_eq!(temps(&folder.path()), 0);
}

#[test]
fn a_left_over_with_the_next_temporary_name_does_not_disturb() {
    let folder = Folder::new();
    let store = folder.store();
    let (_, name) = create_unique(&store.root).unwrap();
    let next: u64 = name.rsplit('-').next().unwrap().parse().unwrap();
    for n in next..next + 50 {
        fs::write(folder.path().join(format!("tmp/sonae-{}-{n}", std::process::id())), "left over").unwrap();
    }
    let bytes = b"new";
    assert_eq!(store.get(put(&store, bytes)).unwrap(), bytes);
}

#[test]
fn a_sweep_removes_left_overs_of_more_than_a_day_ago_only() {
    let folder = Folder::new();
    let store = folder.store();
    let kept = put(&store, b"kept");
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    for (name, age_hours) in [("old", 25), ("new", 23), ("from-the-future", 0)] {
        let path = folder.path().join(TMP).join(name);
        let file = File::create(path).unwrap();
        let ahead = Duration::from_hours(if age_hours == 0 { 100 } else { 25 - age_hours });
        file.set_modified(written + ahead).unwrap();
    }
    let now = Timestamp::from_micros((1_000_000 + 25 * 3600) * 1_000_000);
    assert_eq!(store.sweep(now).unwrap(), 1);
    assert_eq!(temps(&folder.path()), 2);
    assert!(!folder.path().join("tmp/old").exists());
    assert_eq!(store.get(kept).unwrap(), b"kept");
    fs::remove_dir_all(folder.path().join(TMP)).unwrap();
    assert_eq!(store.sweep(now).unwrap(), 0);
}

#[test]
fn what_lies_in_the_place_of_a_file_and_is_none_is_refused_at_once() {
    let folder = Folder::new();
    let store = folder.store();
    let config = folder.path().join("config");
    let pipe =
        || rustix::fs::mknodat(rustix::fs::CWD, &config, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let device = || symlink("/dev/zero", &config).unwrap();
    let nothing = || fs::create_dir(&config).unwrap();
    for place in [&pipe as &dyn Fn(), &device, &nothing] {
        place();
        for answer in
            [store.get(FileName::Config).err(), store.get_range(FileName::Config, 0, &mut [0]).err()]
        {
            assert!(matches!(answer, Some(StoreError::Unusable { .. })), "{answer:?}");
        }
        fs::remove_file(&config).or_else(|_folder| fs::remove_dir(&config)).unwrap();
    }
}
