//! What a target refuses, what it leaves behind, and who else may touch it meanwhile.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::contract::noise;
use crate::tests::support::{Loop, names, run, text, why};

const SIZE: ByteCount = ByteCount::kib(256);

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn with(content: &[u8]) -> Self {
        let place = Self::new();
        fs::write(place.path(), content).unwrap();
        place
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn partial(&self) -> PathBuf {
        self.folder.path().join("disk.sonae-partial")
    }

    fn names(&self) -> Vec<String> {
        names(self.folder.path())
    }
}

fn create(place: &Place) -> RawTarget {
    RawTarget::create(&place.path(), SIZE).unwrap()
}

#[test]
fn a_new_file_has_its_name_only_when_it_is_finished() {
    let place = Place::new();
    let target = create(&place);
    assert_eq!(target.state(), TargetState::Fresh);
    target.write_at(ByteOffset::ZERO, &noise(1, 1000)).unwrap();
    assert_eq!(place.names(), ["disk.sonae-partial"]);
    target.finish().unwrap();
    assert_eq!(place.names(), ["disk"]);
    drop(target);
    assert_eq!(place.names(), ["disk"]);
    let metadata = fs::metadata(place.path()).unwrap();
    assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (SIZE.get(), 0o600));
    assert!(metadata.blocks() * 512 < SIZE.get(), "a restored disk takes room for its holes");
}

#[test]
fn a_restore_that_wrote_nothing_leaves_nothing() {
    let place = Place::new();
    drop(create(&place));
    assert!(place.names().is_empty());
    let target = create(&place);
    target.write_at(ByteOffset::new(SIZE.get()), b"behind the end").unwrap_err();
    drop(target);
    assert!(place.names().is_empty());
}

#[test]
fn a_disk_of_zeros_needs_no_write_to_be_finished() {
    let place = Place::new();
    create(&place).finish().unwrap();
    assert_eq!(fs::read(place.path()).unwrap(), vec![0; SIZE.as_len()]);
}

#[test]
fn an_interrupted_restore_goes_on_where_it_was() {
    let place = Place::new();
    create(&place).write_at(ByteOffset::ZERO, b"first").unwrap();
    assert_eq!(place.names(), ["disk.sonae-partial"]);
    // Resumed, and interrupted again before anything was written.
    let target = create(&place);
    assert_eq!(target.state(), TargetState::Existing);
    drop(target);
    let target = create(&place);
    let mut found = [0; 5];
    target.read_at(ByteOffset::ZERO, &mut found).unwrap();
    assert_eq!(&found, b"first");
    target.finish().unwrap();
    assert_eq!(place.names(), ["disk"]);
}

#[test]
fn a_left_over_of_another_size_gets_the_right_one() {
    for len in [0, 10, 1 << 20] {
        let place = Place::new();
        fs::write(place.partial(), vec![1; len]).unwrap();
        let target = create(&place);
        assert_eq!(target.state(), TargetState::Existing);
        target.finish().unwrap();
        assert_eq!(fs::metadata(place.path()).unwrap().len(), SIZE.get());
    }
}

#[test]
fn what_is_there_is_never_replaced_by_a_new_file() {
    let place = Place::with(b"precious");
    let text = why(RawTarget::create(&place.path(), SIZE));
    assert!(text.contains("exists; use --existing update to write only what differs"), "{text}");
    assert_eq!(place.names(), ["disk"]);
    fs::remove_file(place.path()).unwrap();
    symlink("nowhere", place.path()).unwrap();
    assert!(why(RawTarget::create(&place.path(), SIZE)).contains("exists"));
    fs::remove_file(place.path()).unwrap();

    let target = create(&place);
    target.write_at(ByteOffset::ZERO, b"restored").unwrap();
    fs::write(place.path(), b"precious").unwrap();
    let text = why(target.finish());
    assert!(text.contains("the restored disk is whole and lies beside it as disk.sonae-partial"), "{text}");
    drop(target);
    assert_eq!(fs::read(place.path()).unwrap(), b"precious");
    assert_eq!(fs::read(place.partial()).unwrap()[..8], *b"restored");
}

#[test]
fn a_left_over_that_is_no_file_is_refused() {
    let place = Place::new();
    fs::create_dir(place.partial()).unwrap();
    assert!(why(RawTarget::create(&place.path(), SIZE)).contains("is no file of an interrupted restore"));
    fs::remove_dir(place.partial()).unwrap();
    let outside = Place::with(b"precious");
    symlink(outside.path(), place.partial()).unwrap();
    assert!(why(RawTarget::create(&place.path(), SIZE)).contains("is no file of an interrupted restore"));
    assert_eq!(fs::read(outside.path()).unwrap(), b"precious");
}

#[test]
fn a_new_file_needs_a_folder_and_a_name() {
    let place = Place::new();
    let missing = place.folder.path().join("missing/disk");
    assert!(why(RawTarget::create(&missing, SIZE)).contains("the folder above it does not exist"));
    assert!(why(RawTarget::create(Path::new("/"), SIZE)).contains("names no file"));
    assert!(place.names().is_empty());
}

#[test]
fn a_size_that_no_file_can_have_is_an_error_that_leaves_nothing() {
    let place = Place::new();
    let outcome = RawTarget::create(&place.path(), ByteCount::new(u64::MAX));
    assert!(matches!(outcome, Err(DiskError::Io { doing: "set the size of", .. })), "{outcome:?}");
    assert!(place.names().is_empty());
}

#[test]
fn an_existing_file_must_have_the_size_of_the_disk() {
    for len in [0, SIZE.as_len() - 1, SIZE.as_len() + 1] {
        let place = Place::with(&vec![1; len]);
        let text = why(RawTarget::update(&place.path(), SIZE));
        assert!(text.contains(&format!("has {len} bytes, the disk to restore has 262144 bytes")), "{text}");
        assert_eq!(fs::read(place.path()).unwrap(), vec![1; len]);
    }
    let missing = Place::new();
    assert!(why(RawTarget::update(&missing.path(), SIZE)).contains("does not exist"));
    assert!(why(RawTarget::update(missing.folder.path(), SIZE)).contains("is a folder"));
    assert!(missing.names().is_empty());
}

#[test]
fn an_image_in_a_format_of_its_own_is_not_written_over() {
    let mut content = vec![0; SIZE.as_len()];
    content[..4].copy_from_slice(b"QFI\xfb");
    let place = Place::with(&content);
    let text = why(RawTarget::update(&place.path(), SIZE));
    assert!(text.contains("is a qcow2 image, not a raw one; to restore over it, remove it"), "{text}");
    assert_eq!(fs::read(place.path()).unwrap(), content);
}

#[test]
fn two_restores_to_one_target_are_refused() {
    let place = Place::new();
    let first = create(&place);
    first.write_at(ByteOffset::ZERO, b"first").unwrap();
    assert!(why(RawTarget::create(&place.path(), SIZE)).contains("another restore"));
    assert_eq!(place.names(), ["disk.sonae-partial"]);
    first.finish().unwrap();
    assert!(why(RawTarget::update(&place.path(), SIZE)).contains("another restore"));
    drop(first);
    let second = RawTarget::update(&place.path(), SIZE).unwrap();
    assert!(why(RawTarget::update(&place.path(), SIZE)).contains("another restore"));
    drop(second);
    RawTarget::update(&place.path(), SIZE).unwrap();
}

#[test]
fn many_restores_at_once_leave_one_whole_file() {
    for _ in 0..20 {
        let place = Place::new();
        let restore = |seed: u64| {
            let target = RawTarget::create(&place.path(), SIZE)?;
            target.write_at(ByteOffset::ZERO, &noise(seed, SIZE.as_len()))?;
            target.finish()
        };
        let won: Vec<u64> = std::thread::scope(|scope| {
            let all: Vec<_> = (1..5).map(|seed| (seed, scope.spawn(move || restore(seed)))).collect();
            let won = all.into_iter().filter_map(|(seed, one)| one.join().unwrap().ok().map(|()| seed));
            won.collect()
        });
        assert_eq!(won.len(), 1, "{won:?}");
        assert!(fs::read(place.path()).unwrap() == noise(won[0], SIZE.as_len()));
        assert_eq!(place.names(), ["disk"]);
    }
}

/// A QEMU that has an image open until it is dropped.
struct Qemu(Child);

impl Qemu {
    #[expect(clippy::disallowed_methods, reason = "only another process shows what QEMU locks")]
    fn open(path: &Path, options: &[&str]) -> Result<Self, String> {
        let mut child = Command::new("qemu-io")
            .args(["-f", "raw"])
            .args(options)
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|cause| format!("qemu-io: {cause}"))?;
        use std::io::Write as _;
        child.stdin.as_mut().unwrap().write_all(b"length\n").unwrap();
        let mut answer = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
        if answer.is_empty() { Err("qemu-io did not open the image".to_owned()) } else { Ok(Self(child)) }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn an_image_that_qemu_has_open_is_not_restored_to() {
    for options in [[].as_slice(), &["-r"]] {
        let place = Place::with(&vec![1; SIZE.as_len()]);
        let qemu = match Qemu::open(&place.path(), options) {
            Ok(qemu) => qemu,
            Err(reason) => return println!("skipped: {reason}"),
        };
        let text = why(RawTarget::update(&place.path(), SIZE));
        assert!(text.contains("a running guest or another program has it open"), "{text}");
        drop(qemu);
        RawTarget::update(&place.path(), SIZE).unwrap();
    }
}

#[test]
fn qemu_does_not_open_an_image_that_is_restored_to() {
    let place = Place::with(&vec![1; SIZE.as_len()]);
    let open = || run("qemu-io", &["-f", "raw", "-c", "read 0 512", text(&place.path())]);
    if let Err(reason) = open() {
        return println!("skipped: {reason}");
    }
    let target = RawTarget::update(&place.path(), SIZE).unwrap();
    let text = open().unwrap_err();
    assert!(text.contains("lock"), "{text}");
    drop(target);
    open().unwrap();
}

#[test]
fn a_device_that_is_mounted_or_too_small_is_refused() {
    let device = match Loop::new(ByteCount::mib(8)) {
        Ok(device) => device,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let text_ = why(RawTarget::update(&device.device, ByteCount::mib(9)));
    assert!(
        text_.contains("has 8388608 bytes, too few for the disk to restore, which has 9437184 bytes"),
        "{text_}"
    );
    let first = RawTarget::update(&device.device, SIZE).unwrap();
    assert!(why(RawTarget::update(&device.device, SIZE)).contains("is in use; unmount it"));
    drop(first);
    let folder = tempfile::tempdir().unwrap();
    let mounted = run("mkfs.ext4", &["-q", text(&device.device)])
        .and_then(|_| run("mount", &[text(&device.device), text(folder.path())]));
    if let Err(reason) = mounted {
        return println!("skipped: {reason}");
    }
    let refused = RawTarget::update(&device.device, SIZE);
    run("umount", &[text(folder.path())]).unwrap();
    assert!(why(refused).contains("is in use; unmount it"));
    RawTarget::update(&device.device, SIZE).unwrap();
}

#[test]
fn a_full_file_system_is_an_error_with_its_cause_and_leaves_the_partial_file() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = run("mount", &["-t", "tmpfs", "-o", "size=256k", "tmpfs", text(folder.path())]);
    if let Err(reason) = mounted {
        return println!("skipped: {reason}");
    }
    let path = folder.path().join("disk");
    let target = RawTarget::create(&path, ByteCount::mib(1)).unwrap();
    let outcome = target.write_at(ByteOffset::ZERO, &noise(1, 1 << 20));
    drop(target);
    let left = names(folder.path());
    run("umount", &[text(folder.path())]).unwrap();
    match outcome {
        Err(DiskError::Io { doing: "write", cause, .. }) => {
            assert_eq!(cause.kind(), std::io::ErrorKind::StorageFull);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(left, ["disk.sonae-partial"]);
}

#[test]
fn zeroing_gives_room_back() {
    let place = Place::new();
    let target = create(&place);
    target.write_at(ByteOffset::ZERO, &noise(1, SIZE.as_len())).unwrap();
    target.zero_at(ByteOffset::ZERO, SIZE).unwrap();
    target.finish().unwrap();
    assert_eq!(fs::metadata(place.path()).unwrap().blocks(), 0);
}

#[test]
fn zeros_are_written_where_nothing_can_be_released() {
    let place = Place::new();
    let target = create(&place);
    target.write_at(ByteOffset::ZERO, &vec![1; SIZE.as_len()]).unwrap();
    zero::write_zeros(&target, ByteOffset::new(1), ByteOffset::new(SIZE.get() - 1)).unwrap();
    target.finish().unwrap();
    let mut expected = vec![0; SIZE.as_len()];
    (expected[0], expected[SIZE.as_len() - 1]) = (1, 1);
    assert!(fs::read(place.path()).unwrap() == expected);
}
