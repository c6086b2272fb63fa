//! The steps of the demo, each an action that checks what it claims. What one step leaves for the next is a value; where
//! it is missing, the next step is skipped and says so.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use sonae_types::{ByteCount, DiskName, VmName};

use crate::content::{Content, Reader};
use crate::demo::place::{self, Place};
use crate::demo::report::{Figure, Text};
use crate::demo::say::{bytes, grouped, seconds};
use crate::guest::{self, Tools, disk};
use crate::host::{self, Missing};
use crate::qemu::{Accelerator, Boot, Guest, Machine, PATIENCE, Writes};
use crate::radosgw::{self, RadosGateway};
use crate::recorded::{Record, Recorded};
use crate::register::{self, Row, RowCount};
use crate::restic::{self, Restic};
use crate::sonae::{self, BackupReport, Sonae};

/// The machine of the demo.
const VM: &str = "jumin-ap01";
/// Rows that it writes on the day after its first backup.
const MORE_ROWS: RowCount = RowCount(100);
/// How much of a disk is overwritten before it is deleted.
const GARBAGE: ByteCount = ByteCount::mib(4);

/// A step needs what an earlier one did not leave.
#[derive(Debug, thiserror::Error)]
#[error("step {step} did not hold")]
pub struct NotReached {
    /// The number of the earlier step.
    pub step: usize,
}

/// What the steps have left so far.
#[derive(Debug)]
pub struct Stage {
    place: Place,
    tools: Tools,
    executable: PathBuf,
    wanted: RowCount,
    vm: VmName,
    disks: [DiskName; 2],
    accelerator: Option<Accelerator>,
    before: Option<Before>,
    repository: Option<Sonae>,
    point: Option<BackupReport>,
    copy: Option<SecondPlace>,
    lost: Option<Destroyed>,
    destroyed: Option<Destroyed>,
    restored: Option<[PathBuf; 2]>,
    guest: Option<Guest>,
}

/// Where the second repository lies.
#[derive(Debug)]
struct SecondPlace {
    repository: Sonae,
    url: PathBuf,
    /// The object store that holds it, where one could be started; else it is a folder.
    gateway: Option<RadosGateway>,
}

/// What was to be lost was looked for, and is gone.
#[derive(Debug)]
struct Destroyed;

/// The machine as it was before its destruction.
#[derive(Debug)]
struct Before {
    register: Vec<Row>,
    contents: [Content; 2],
}

impl Stage {
    /// Nothing has been done yet.
    #[must_use]
    pub fn new(executable: &Path, place: Place, tools: Tools, wanted: RowCount) -> Self {
        Self {
            place,
            tools,
            executable: executable.to_owned(),
            wanted,
            vm: VmName::parse(VM).expect("a constant name is a name"),
            disks: ["vda", "vdb"].map(|name| DiskName::parse(name).expect("a constant name is a name")),
            accelerator: None,
            before: None,
            repository: None,
            point: None,
            copy: None,
            lost: None,
            destroyed: None,
            restored: None,
            guest: None,
        }
    }

    /// Step 1: builds the guest, and finds out what can run it.
    pub fn build(&mut self) -> Result<Vec<Figure>> {
        let log = self.place.log("build");
        let mut images = guest::build(&self.tools, VM, &self.place.scratch(), &log)?;
        let [system, data] = self.production();
        fs::rename(&images.system, &system)?;
        fs::rename(&images.data, &data)?;
        (images.system, images.data) = (system, data);
        let accelerator = Accelerator::choose(&images, &self.place.log("kvm-probe"))?;
        let figures = vec![
            figure("カーネル", "kernel", &images.release),
            figure("システムディスク vda", "system disk vda", &bytes(guest::size(&images.system)?)),
            figure("データディスク vdb", "data disk vdb", &bytes(guest::size(&images.data)?)),
            figure(
                "実行方式",
                "runs on",
                match accelerator {
                    Accelerator::Kvm => "QEMU, KVM",
                    Accelerator::Tcg => "QEMU, TCG (KVM はここでは起動しません; KVM boots nothing here)",
                },
            ),
        ];
        self.accelerator = Some(accelerator);
        Ok(figures)
    }

    /// Step 2: the guest boots, writes, stops; its register and its disks are remembered.
    pub fn write(&mut self) -> Result<Vec<Figure>> {
        let log = self.place.log("guest-before");
        let mut guest = self.start(&self.production(), &log)?;
        let ready = guest.ready(PATIENCE)?;
        guest.rows_at_least(self.wanted)?;
        let rows = guest.power_off()?;
        let [system, data] = self.production();
        let log = self.place.log("disks");
        disk::check_file_systems(&system, &data, &log)?;
        let register = disk::read_register(&data, &self.place.scratch(), &log)?;
        ensure!(register.len() == rows.0, "the guest said {rows} rows, its disk holds {}", register.len());
        let contents = [Content::of(&system)?, Content::of(&data)?];
        self.before = Some(Before { register, contents });
        Ok(vec![
            figure("起動まで", "until it serves", &seconds(ready.after)),
            figure("登録簿の行", "rows of the register", &count(rows)),
            figure("ファイルシステム", "file systems", "e2fsck: clean"),
        ])
    }

    /// Step 3: the repository is made where the production array's loss does not reach.
    pub fn init(&mut self) -> Result<Vec<Figure>> {
        let program = sonae::beside(&self.executable)?;
        let repository = self.place.repository();
        let sonae =
            Sonae::new(program, repository.clone(), self.place.password_file(), self.place.log("sonae"));
        sonae.init()?;
        let size = ByteCount::new(place::bytes_below(&repository)?);
        self.repository = Some(sonae);
        Ok(vec![
            figure("形式", "format", "restic, version 2"),
            figure("場所", "place", &repository.display().to_string()),
            figure("大きさ", "size", &bytes(size)),
        ])
    }

    /// Step 4: the machine that is switched off is backed up.
    pub fn backup(&mut self) -> Result<Vec<Figure>> {
        let before = self.before.as_ref().ok_or(NotReached { step: 2 })?;
        let sonae = self.repository.as_ref().ok_or(NotReached { step: 3 })?;
        let disks: Vec<_> = self.disks.iter().cloned().zip(self.production()).collect();
        let report = sonae.backup(&self.vm, &disks, &[self.place.domain_file()])?;
        ensure!(report.vm == self.vm, "the backup is of {}", report.vm.as_str());
        let mut figures = vec![figure("復元ポイント", "recovery point", &report.point)];
        for (name, content) in self.disks.iter().zip(&before.contents) {
            let said = report.disks.iter().find(|disk| disk.name == *name);
            let said = said.with_context(|| format!("the backup does not tell of disk {}", name.as_str()))?;
            ensure!(said.size_bytes == content.size, "the backup tells another size of {}", name.as_str());
        }
        let read: ByteCount = report.disks.iter().map(|disk| disk.read_bytes).sum();
        let stored: ByteCount = report.disks.iter().map(|disk| disk.stored_bytes).sum();
        let total: ByteCount = report.disks.iter().map(|disk| disk.size_bytes).sum();
        figures.push(figure("ディスクの大きさ", "size of the disks", &bytes(total)));
        figures.push(figure("読んだ量", "read", &bytes(read)));
        figures.push(figure("書いた量", "stored", &bytes(stored)));
        self.point = Some(report);
        Ok(figures)
    }

    /// Step 5: the machine works on under QEMU's record, and only what it wrote is backed up.
    pub fn next_day(&mut self) -> Result<Vec<Figure>> {
        let sonae = self.repository.as_ref().ok_or(NotReached { step: 3 })?;
        let first = self.point.as_ref().ok_or(NotReached { step: 4 })?;
        let accelerator = self.accelerator.ok_or(NotReached { step: 1 })?;
        let (production, log) = (self.production(), self.place.log("guest-next-day"));
        let paths = [production[0].as_path(), production[1].as_path()];
        let machine =
            Machine { accelerator, boot: Boot::OwnDisk, disks: paths, writes: Writes::Kept, log: &log };
        // The path of a socket must be short.
        let sockets = tempfile::Builder::new().prefix("sonae-").tempdir()?;
        let mut guest = Recorded::start(&machine, sockets.path())?;
        let found = guest.guest().ready(PATIENCE)?.rows_found;
        guest.guest().rows_at_least(RowCount(found.0 + MORE_ROWS.0))?;
        let record = guest.power_off()?;
        let register = disk::read_register(&production[1], &self.place.scratch(), &self.place.log("disks"))?;
        let contents = [Content::of(&production[0])?, Content::of(&production[1])?];
        let maps = self.maps(&first.point, &record)?;
        let disks: Vec<_> = self.disks.iter().cloned().zip(production).collect();
        let report = sonae.backup_changes(&self.vm, &disks, &[self.place.domain_file()], &maps)?;
        for disk in &report.disks {
            ensure!(disk.mode == "incremental", "{} was read whole: {}", disk.name.as_str(), disk.reason);
        }
        let sum =
            |figure: fn(&sonae::DiskReport) -> ByteCount| report.disks.iter().map(figure).sum::<ByteCount>();
        let written = record.written.iter().flatten().map(|(_, len)| *len).sum::<u64>();
        let figures = vec![
            figure("新しい行", "new rows", &count(RowCount(record.rows.0 - found.0))),
            figure("QEMU が記録した変更箇所", "written, as QEMU recorded", &bytes(ByteCount::new(written))),
            figure("読んだ量", "read", &bytes(sum(|disk| disk.read_bytes))),
            figure("書いた量", "stored", &bytes(sum(|disk| disk.stored_bytes))),
            figure("復元ポイント", "recovery point", &report.point),
        ];
        self.before = Some(Before { register, contents });
        self.point = Some(report);
        Ok(figures)
    }

    /// A map of changes for each disk, upon this point.
    fn maps(&self, parent: &str, record: &Record) -> Result<Vec<PathBuf>> {
        let disks = self.disks.iter().zip(self.production()).zip(&record.written);
        let maps = disks.map(|((name, image), written)| {
            let size = guest::size(&image)?.get();
            let map = serde_json::json!({ "parent": parent, "size_bytes": size, "ranges": written });
            let path = self.place.scratch().join(format!("{}-changes.json", name.as_str()));
            fs::write(&path, map.to_string())?;
            Ok(path)
        });
        maps.collect()
    }

    /// Step 6: the repository is copied to another place, an object store where one can run, and both are proven equal.
    pub fn copy(&mut self) -> Result<Vec<Figure>> {
        let sonae = self.repository.as_ref().ok_or(NotReached { step: 3 })?;
        self.point.as_ref().ok_or(NotReached { step: 4 })?;
        let (place, why, gateway, url) = match RadosGateway::start() {
            Ok(gateway) => {
                let url = format!("s3:http://{}/second-site/repository", gateway.address());
                ("Ceph RADOS Gateway (S3)".to_owned(), None, Some(gateway), PathBuf::from(url))
            }
            Err(error) if error.is::<Missing>() => {
                ("folder".to_owned(), Some(format!("{error:#}")), None, self.place.second_repository())
            }
            Err(error) => return Err(error),
        };
        let environment = environment(gateway.as_ref());
        let source = sonae.clone().with_environment(environment.clone());
        source.copy(&url)?;
        let proof = source.prove(&url)?;
        let log = self.place.log("sonae-second");
        let program = sonae::beside(&self.executable)?;
        let second = Sonae::new(program, url.clone(), self.place.password_file(), log);
        let mut figures = vec![
            figure("二つ目の場所", "second place", &place),
            figure("鍵なしの照合", "proof without a key", &format!("equal, root {proof:.12}…")),
        ];
        if let Some(why) = why {
            figures.push(figure("S3 を使わない理由", "why not S3", &why));
        }
        self.copy = Some(SecondPlace { repository: second.with_environment(environment), url, gateway });
        Ok(figures)
    }

    /// Step 7: the disks are overwritten, deleted, and looked for in vain.
    pub fn destroy(&mut self) -> Result<Vec<Figure>> {
        self.point.as_ref().ok_or(NotReached { step: 4 })?;
        for disk in self.production() {
            let mut file = fs::OpenOptions::new().write(true).open(&disk)?;
            file.write_all(&place::random(GARBAGE.as_len())?)?;
            file.sync_all()?;
            fs::remove_file(&disk)?;
        }
        let left = fs::read_dir(self.place.production())?.count();
        ensure!(left == 0, "{left} files are still there");
        self.destroyed = Some(Destroyed);
        Ok(vec![
            figure("上書きした先頭", "overwritten at the start", &format!("2 × {}", bytes(GARBAGE))),
            figure("残ったファイル", "files left on the array", &grouped(left as u64)),
        ])
    }

    /// Step 8: the first repository is lost, too.
    pub fn lose_repository(&mut self) -> Result<Vec<Figure>> {
        self.copy.as_ref().ok_or(NotReached { step: 6 })?;
        let repository = self.place.repository();
        let size = place::bytes_below(&repository)?;
        fs::remove_dir_all(&repository)?;
        ensure!(!repository.exists(), "{} is still there", repository.display());
        self.lost = Some(Destroyed);
        Ok(vec![figure("失った保管庫", "repository lost", &bytes(ByteCount::new(size)))])
    }

    /// Step 9: both disks come back from the copy, byte by byte.
    pub fn restore(&mut self) -> Result<Vec<Figure>> {
        let before = self.before.as_ref().ok_or(NotReached { step: 2 })?;
        self.destroyed.as_ref().ok_or(NotReached { step: 7 })?;
        self.lost.as_ref().ok_or(NotReached { step: 8 })?;
        let sonae = &self.copy.as_ref().ok_or(NotReached { step: 6 })?.repository;
        let targets =
            self.disks.each_ref().map(|name| self.place.restored().join(format!("{}.raw", name.as_str())));
        let mut figures = Vec::new();
        for ((name, to), content) in self.disks.iter().zip(&targets).zip(&before.contents) {
            sonae.restore_latest(&self.vm, name, to)?;
            let now = Content::of(to)?;
            ensure!(now == *content, "{} came back with another content", name.as_str());
            let label = match name.as_str() {
                "vda" => Text { ja: "vda 一致 SHA-256", en: "vda equal, SHA-256" },
                _data => Text { ja: "vdb 一致 SHA-256", en: "vdb equal, SHA-256" },
            };
            let value = format!("{}  {}…", bytes(now.size), now.short());
            figures.push(Figure { name: label, value });
        }
        disk::check_file_systems(&targets[0], &targets[1], &self.place.log("disks"))?;
        figures.push(figure("ファイルシステム", "file systems", "e2fsck: clean"));
        self.restored = Some(targets);
        Ok(figures)
    }

    /// Step 10: the restored machine boots by itself, from what stands on its disks.
    pub fn boot(&mut self) -> Result<Vec<Figure>> {
        let restored = self.restored.as_ref().ok_or(NotReached { step: 9 })?;
        let mut guest = self.start(restored, &self.place.log("guest-after"))?;
        let ready = guest.ready(PATIENCE)?;
        self.guest = Some(guest);
        Ok(vec![
            figure("起動まで", "until it serves", &seconds(ready.after)),
            figure("起動時の行", "rows it found", &count(ready.rows_found)),
        ])
    }

    /// Step 11: the running guest reads its register, and every row is compared with what was there before.
    pub fn compare(&mut self) -> Result<Vec<Figure>> {
        let mut guest = self.guest.take().ok_or(NotReached { step: 10 })?;
        let before = self.before.as_ref().ok_or(NotReached { step: 2 })?;
        let after = guest.register()?;
        let equal = register::compare(&before.register, &after)?;
        guest.power_off()?;
        Ok(vec![
            figure(
                "同じ行",
                "rows equal",
                &format!("{} / {}", count(equal.rows), grouped(before.register.len() as u64)),
            ),
            figure("異なる行", "rows different or lost", "0"),
            figure("復旧後に書かれた行", "rows written since", &count(equal.written_since)),
        ])
    }

    /// Step 12: a program that is not ours reads the copy, and gives the same disks.
    pub fn restic(&mut self) -> Result<Vec<Figure>> {
        let before = self.before.as_ref().ok_or(NotReached { step: 2 })?;
        let SecondPlace { url, gateway, .. } = self.copy.as_ref().ok_or(NotReached { step: 6 })?;
        let restic = Restic::of_system(url.clone(), self.place.password_file(), self.place.log("restic"))?
            .with_environment(environment(gateway.as_ref()));
        let version = restic.version()?;
        restic.check_all_data()?;
        let files = restic.files_of_latest()?;
        let mut same = ByteCount::ZERO;
        for (name, content) in self.disks.iter().zip(&before.contents) {
            let file = restic::disk_among(&files, name, content.size)?;
            let mut reader = Reader::default();
            restic.dump(&file.path, |piece| reader.take(piece))?;
            ensure!(reader.finish() == *content, "restic gives another content of {}", name.as_str());
            same += content.size;
        }
        Ok(vec![
            figure("restic の版", "restic version", &version),
            figure("全データ検査", "check --read-data", "no errors"),
            figure("一致したディスク", "disks equal, byte by byte", &bytes(same)),
        ])
    }

    /// Step 13: the first repository is made anew from the copy, so that there are two again.
    pub fn two_again(&mut self) -> Result<Vec<Figure>> {
        self.lost.as_ref().ok_or(NotReached { step: 8 })?;
        let second = &self.copy.as_ref().ok_or(NotReached { step: 6 })?.repository;
        let repository = self.place.repository();
        second.copy(&repository)?;
        let root = second.prove(&repository)?;
        let size = ByteCount::new(place::bytes_below(&repository)?);
        Ok(vec![
            figure("戻した保管庫", "repository made anew", &bytes(size)),
            figure("鍵なしの照合", "proof without a key", &format!("equal, root {root:.12}…")),
        ])
    }

    fn production(&self) -> [PathBuf; 2] {
        self.disks.each_ref().map(|name| self.place.production().join(format!("{}.raw", name.as_str())))
    }

    fn start(&self, disks: &[PathBuf; 2], log: &Path) -> Result<Guest> {
        let accelerator = self.accelerator.ok_or(NotReached { step: 1 })?;
        host::go_on()?;
        let disks = [disks[0].as_path(), disks[1].as_path()];
        Machine { accelerator, boot: Boot::OwnDisk, disks, writes: Writes::Kept, log }.start()
    }
}

/// What programs must be told to reach an object store.
fn environment(gateway: Option<&RadosGateway>) -> Vec<(String, String)> {
    gateway.map(|_running| radosgw::keys()).unwrap_or_default()
}

fn figure(ja: &'static str, en: &'static str, value: &str) -> Figure {
    Figure { name: Text { ja, en }, value: value.to_owned() }
}

fn count(rows: RowCount) -> String {
    grouped(rows.0 as u64)
}
