//! What may be read, what is refused, and which changes are noticed.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use super::*;
use crate::contract::noise;
use crate::tests::support::{Loop, run, sparse_file, text, why};

struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn new(content: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("disk"), content).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }
}

#[test]
fn what_is_no_disk_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let below = |name: &str| folder.path().join(name);
    assert!(
        why(RawDisk::open(folder.path())).contains("is a folder; name a raw image file or a block device")
    );
    assert!(why(RawDisk::open(&below("missing"))).contains("does not exist; check the path"));
    assert!(why(RawDisk::open(Path::new("/dev/null"))).contains("is a character device"));
    run("mkfifo", &[text(&below("fifo"))]).unwrap();
    assert!(why(RawDisk::open(&below("fifo"))).contains("is a named pipe"));
    let _listener = UnixListener::bind(below("socket")).unwrap();
    assert!(why(RawDisk::open(&below("socket"))).contains("is a socket"));
    symlink("nowhere", below("link")).unwrap();
    assert!(why(RawDisk::open(&below("link"))).contains("does not exist"));
    fs::write(below("file"), "x").unwrap();
    assert!(why(RawDisk::open(&below("file/disk"))).contains("does not exist"));
    assert!(why(RawDisk::open(&below("fifo"))).starts_with(text(&below("fifo"))));
}

#[test]
fn a_disk_without_permission_is_refused() {
    if rustix::process::geteuid().is_root() {
        println!("skipped: root may read every file");
        return;
    }
    let disk = Disk::new(b"secret");
    fs::set_permissions(disk.path(), fs::Permissions::from_mode(0o000)).unwrap();
    assert!(why(RawDisk::open(&disk.path())).contains("no permission to read it"));
}

#[test]
fn an_image_in_a_format_of_its_own_is_refused_unless_taken_as_it_is() {
    let disk = Disk::new(b"");
    for (format, name) in
        [("qcow2", "qcow2"), ("vmdk", "VMDK"), ("vhdx", "VHDX"), ("vdi", "VDI"), ("vpc", "VHD")]
    {
        if let Err(reason) = run("qemu-img", &["create", "-q", "-f", format, text(&disk.path()), "1M"]) {
            println!("skipped: {format}: {reason}");
            continue;
        }
        let text = why(RawDisk::open(&disk.path()));
        assert!(
            text.contains(&format!("is a {name} image, not a raw one; convert it with `qemu-img")),
            "{text}"
        );
        assert!(text.contains("raw: before the path"), "{text}");
        let as_is = RawDisk::open_as_is(&disk.path()).unwrap();
        assert_eq!(as_is.size(), ByteCount::new(fs::metadata(disk.path()).unwrap().len()));
    }
}

#[test]
fn a_disk_smaller_than_any_mark_opens() {
    for content in [b"".as_slice(), b"QFI", b"\0"] {
        let disk = Disk::new(content);
        assert_eq!(RawDisk::open(&disk.path()).unwrap().size(), ByteCount::of_len(content.len()));
    }
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Changed,
    Same,
}

fn check_change(what: &str, expected: Verdict, change: impl Fn(&Path)) {
    let disk = Disk::new(&noise(1, 10_000));
    let open = RawDisk::open(&disk.path()).unwrap();
    open.confirm_unchanged().unwrap();
    change(&disk.path());
    let verdict = match open.confirm_unchanged() {
        Err(DiskError::Changed { .. }) => Verdict::Changed,
        Ok(()) => Verdict::Same,
        Err(error) => panic!("{what}: {error:?}"),
    };
    assert_eq!(verdict, expected, "{what}");
}

#[test]
fn changes_of_the_disk_are_noticed_and_others_are_not() {
    let writer = |path: &Path| OpenOptions::new().write(true).open(path).unwrap();
    check_change("a write", Verdict::Changed, |path| writer(path).write_all_at(b"x", 5_000).unwrap());
    check_change("growth", Verdict::Changed, |path| {
        OpenOptions::new().append(true).open(path).unwrap().write_all(b"x").unwrap();
    });
    check_change("truncation", Verdict::Changed, |path| writer(path).set_len(9_999).unwrap());
    check_change("removal", Verdict::Changed, |path| fs::remove_file(path).unwrap());
    check_change("replacement by a copy", Verdict::Changed, |path| {
        fs::copy(path, path.with_extension("new")).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    });
    check_change("a change of the mode", Verdict::Same, |path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o400)).unwrap();
    });
    check_change("reading", Verdict::Same, |path| drop(fs::read(path).unwrap()));
}

#[test]
fn a_write_to_a_block_device_is_noticed_once_the_device_has_it() {
    let device = match Loop::new(ByteCount::mib(4)) {
        Ok(device) => device,
        Err(reason) => return println!("skipped: {reason}"),
    };
    // Written before, flushed after opening: no change.
    let writer = OpenOptions::new().write(true).open(&device.device).unwrap();
    writer.write_all_at(&noise(1, 1 << 20), 0).unwrap();
    let open = RawDisk::open(&device.device).unwrap();
    assert_eq!(open.size(), ByteCount::mib(4));
    writer.sync_all().unwrap();
    open.confirm_unchanged().unwrap();
    writer.write_all_at(b"x", 5_000).unwrap();
    writer.sync_all().unwrap();
    if open.seen == Seen::Device(None) {
        println!("skipped: the system does not count what is written to devices");
        return;
    }
    assert!(matches!(open.confirm_unchanged(), Err(DiskError::Changed { .. })));
}

#[test]
fn a_disk_that_became_shorter_is_short_and_no_hole() {
    let disk = Disk::new(b"");
    sparse_file(&disk.path(), 1 << 20, &[(0, noise(1, 1 << 19))]);
    let open = RawDisk::open(&disk.path()).unwrap();
    OpenOptions::new().write(true).open(disk.path()).unwrap().set_len(1 << 18).unwrap();
    let at = ByteOffset::new((1 << 18) - 10);
    match open.read_at(at, &mut [0; 20]) {
        Err(DiskError::Short { at, size, .. }) => {
            assert_eq!((at, size), (ByteOffset::new(1 << 18), ByteCount::mib(1)));
        }
        other => panic!("{other:?}"),
    }
    for at in [1 << 18, 1 << 19] {
        let extent = open.extent_at(ByteOffset::new(at));
        assert!(matches!(extent, Err(DiskError::Short { .. })), "{extent:?}");
    }
}
