//! A real guest, end to end: what it wrote comes back row by row, from its disks and through a repository.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sonae_rig::content::Content;
use sonae_rig::guest::{self, GuestImages, Tools, disk};
use sonae_rig::host::Missing;
use sonae_rig::qemu::{Accelerator, Boot, Guest, Machine, PATIENCE, Writes};
use sonae_rig::recorded::{Record, Recorded};
use sonae_rig::register::{self, Row, RowCount};
use sonae_rig::restic::Restic;
use sonae_rig::sonae::{BackupReport, Sonae};
use sonae_types::{DiskName, VmName};

const VM: &str = "jumin-ap01";
const ROWS: RowCount = RowCount(30);

struct Bench {
    folder: tempfile::TempDir,
    images: GuestImages,
}

impl Bench {
    fn new() -> Result<Self> {
        let tools = std::env::var_os("SONAE_TOOLS")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools"), PathBuf::from);
        let folder = tempfile::tempdir()?;
        let images =
            guest::build(&Tools::at(tools), VM, &folder.path().join("guest"), &folder.path().join("log"))?;
        Ok(Self { folder, images })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Software emulation always: it is what every machine can do.
    fn start(&self, boot: Boot<'_>, disks: [&Path; 2]) -> Result<Guest> {
        let log = self.path("serial.log");
        let accelerator = Accelerator::Tcg;
        Machine { accelerator, boot, disks, writes: Writes::Kept, log: &log }.start()
    }

    /// Lets the guest write more rows under QEMU's record.
    fn another_day(&self) -> Result<Record> {
        let log = self.path("serial.log");
        let disks = [self.images.system.as_path(), self.images.data.as_path()];
        let boot = Boot::Direct(&self.images);
        let machine = Machine { accelerator: Accelerator::Tcg, boot, disks, writes: Writes::Kept, log: &log };
        let mut guest = Recorded::start(&machine, self.folder.path())?;
        let found = guest.guest().ready(PATIENCE)?.rows_found;
        guest.guest().rows_at_least(RowCount(found.0 + ROWS.0))?;
        guest.power_off()
    }

    /// Lets a new guest write its register, stops it, and reads the register from its disk.
    fn written(&self) -> Result<Vec<Row>> {
        let mut guest = self.start(Boot::Direct(&self.images), [&self.images.system, &self.images.data])?;
        assert_eq!(guest.ready(PATIENCE)?.rows_found, RowCount(0), "a new guest has an empty register");
        guest.rows_at_least(ROWS)?;
        let rows = guest.power_off()?;
        disk::check_file_systems(&self.images.system, &self.images.data, &self.path("log"))?;
        let register = disk::read_register(&self.images.data, self.folder.path(), &self.path("log"))?;
        assert_eq!(RowCount(register.len()), rows, "the disk holds what the guest said it holds");
        Ok(register)
    }
}

/// Runs a claim; where this machine lacks a part, that is said and nothing is claimed.
#[expect(clippy::print_stdout, reason = "who reads the test's output must see what was not tested")]
fn check(claim: impl FnOnce() -> Result<()>) {
    if let Err(error) = claim() {
        match error.downcast_ref::<Missing>() {
            Some(missing) => println!("skipped: {missing}"),
            None => panic!("{error:#}"),
        }
    }
}

#[test]
fn a_guest_that_was_stopped_boots_from_its_own_disk_with_every_row() {
    check(|| {
        let bench = Bench::new()?;
        let before = bench.written()?;
        let mut guest = bench.start(Boot::OwnDisk, [&bench.images.system, &bench.images.data])?;
        assert_eq!(guest.ready(PATIENCE)?.rows_found, RowCount(before.len()));
        let after = guest.register()?;
        guest.power_off()?;
        assert_eq!(register::compare(&before, &after)?.rows, RowCount(before.len()));
        let mut other = before.clone();
        other[7].record_hash = before[8].record_hash.clone();
        let difference = register::compare(&other, &after).expect_err("one record is another").to_string();
        assert!(difference.starts_with("row 8 differs in record"), "{difference}");
        Ok(())
    });
}

#[test]
fn a_guest_that_was_backed_up_destroyed_and_restored_boots_with_every_row() {
    check(|| {
        let bench = Bench::new()?;
        let sonae = repository(&bench)?;
        sonae.init()?;
        let before = bench.written()?;
        let vm = VmName::parse(VM)?;
        let disks = [("vda", &bench.images.system), ("vdb", &bench.images.data)]
            .map(|(name, image)| (DiskName::parse(name).expect("a name"), image.clone()));
        let contents = disks.iter().map(|(_, image)| Content::of(image)).collect::<Result<Vec<_>>>()?;
        let report = sonae.backup(&vm, &disks, &[])?;
        assert_eq!((report.vm, report.disks.len()), (vm.clone(), 2));
        let mut restored = Vec::new();
        for ((name, image), content) in disks.iter().zip(contents) {
            fs::remove_file(image)?;
            let to = bench.path(&format!("restored-{}.raw", name.as_str()));
            sonae.restore_latest(&vm, name, &to)?;
            assert_eq!(Content::of(&to)?, content, "{} comes back byte by byte", name.as_str());
            restored.push(to);
        }
        disk::check_file_systems(&restored[0], &restored[1], &bench.path("log"))?;
        let mut guest = bench.start(Boot::Direct(&bench.images), [&restored[0], &restored[1]])?;
        guest.ready(PATIENCE)?;
        register::compare(&before, &guest.register()?)?;
        let (repository, password) = (bench.path("repository"), bench.path("password"));
        Restic::of_system(repository, password, bench.path("log"))?.check_all_data()
    });
}

#[test]
fn what_qemu_recorded_of_a_days_writing_is_all_that_an_increment_reads() {
    check(|| {
        let bench = Bench::new()?;
        let sonae = repository(&bench)?;
        sonae.init()?;
        bench.written()?;
        let vm = VmName::parse(VM)?;
        let disks = [("vda", &bench.images.system), ("vdb", &bench.images.data)]
            .map(|(name, image)| (DiskName::parse(name).expect("a name"), image.clone()));
        let first = sonae.backup(&vm, &disks, &[])?;
        let record = bench.another_day()?;
        let mut maps = Vec::new();
        for ((name, image), written) in disks.iter().zip(&record.written) {
            assert!(!written.is_empty(), "a running guest writes to {}", name.as_str());
            let map = serde_json::json!({
                "parent": first.point, "size_bytes": fs::metadata(image)?.len(), "ranges": written,
            });
            let path = bench.path(&format!("{}.json", name.as_str()));
            fs::write(&path, map.to_string())?;
            maps.push(path);
        }
        let second = sonae.backup_changes(&vm, &disks, &[], &maps)?;
        assert!(second.disks.iter().all(|disk| disk.mode == "incremental"), "{second:?}");
        let read = |report: &BackupReport| report.disks.iter().map(|disk| disk.read_bytes.get()).sum::<u64>();
        assert!(read(&second) * 2 < read(&first), "{second:?} {first:?}");
        for (name, image) in &disks {
            let to = bench.path(&format!("restored-{}.raw", name.as_str()));
            sonae.restore_latest(&vm, name, &to)?;
            assert_eq!(Content::of(&to)?, Content::of(image)?, "{} comes back", name.as_str());
        }
        let (repository, password) = (bench.path("repository"), bench.path("password"));
        Restic::of_system(repository, password, bench.path("log"))?.check_all_data()
    });
}

/// The program under test: named by the environment, or built beside this test. Its absence is a mistake, not a skip.
fn repository(bench: &Bench) -> Result<Sonae> {
    let program = match std::env::var_os("SONAE_BIN") {
        Some(named) => PathBuf::from(named),
        None => {
            let test = std::env::current_exe()?;
            test.ancestors().nth(2).context("a test lies in a folder of the target folder")?.join("sonae")
        }
    };
    assert!(program.is_file(), "{} is not there: cargo build -p sonae", program.display());
    fs::write(bench.path("password"), "a password for a test\n")?;
    Ok(Sonae::new(program, bench.path("repository"), bench.path("password"), bench.path("log")))
}
