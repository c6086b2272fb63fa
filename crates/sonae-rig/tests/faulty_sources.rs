//! Sources that cannot be read whole: a device with a broken place, images that change, shrink or vanish meanwhile.
//! What could not be read whole never becomes a point.

use std::fs::{self, OpenOptions};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sonae_agent::backup::{BackupRequest, DiskRequest, Format, backup};
use sonae_agent::changes::ChangeMaps;
use sonae_agent::{Failure, Fault, system_environment};
use sonae_repo::chunk::ChunkTarget;
use sonae_repo::crypto::Password;
use sonae_repo::ingest::{DiskInput, Ingest, IngestError, Reading};
use sonae_repo::store::{LocalStore, Repeats};
use sonae_repo::{Progress, Repository, Stop};
use sonae_rig::content::Content;
use sonae_rig::disks::{self, PAGE, Stretch};
use sonae_rig::loop_device::LoopDevice;
use sonae_rig::peer::{Peer, Release};
use sonae_rig::stand::{PASSWORD, Stand, claim, text};
use sonae_source::RawDisk;
use sonae_source::testing::{Fault as DiskFault, FaultyDisk};
use sonae_types::{ByteCount, ByteOffset, Clock, DiskError, DiskName, DiskRead, Timestamp, VmName};

const VM: &str = "jumin-ap01";
const BROKEN_AT: ByteCount = ByteCount::mib(5);

#[test]
fn a_device_that_fails_in_its_middle_ends_with_3_and_leaves_no_point() {
    claim(|| {
        let stand = Stand::with_repository()?;
        disks::make(&stand.path("vda"), &[Stretch::Noise(1, ByteCount::mib(1))])?;
        disks::make(&stand.path("backing"), &[Stretch::Noise(2, ByteCount::mib(8))])?;
        let good = stand.backup(VM, &[("vda", "vda")], &[])?;
        let device = LoopDevice::attach(&stand.path("backing"))?;
        let set_len =
            |len: ByteCount| OpenOptions::new().write(true).open(stand.path("backing"))?.set_len(len.get());
        set_len(BROKEN_AT)?;
        let path = device.path().display().to_string();
        let disks = [format!("vda={}", stand.at("vda")), format!("vdb={path}")];
        let arguments = ["backup", "--vm", VM, "--disk", &disks[0], "--disk", &disks[1]];
        let said = stand.sonae(arguments)?.refused(3)?;
        for fact in ["vdb", &path] {
            assert!(said.contains(fact), "{fact} is not in: {said}");
        }
        // The system fails a whole stretch of its read-ahead, so the place that it lets us see may lie in front of the
        // broken one.
        let said = said.replace(',', "");
        let place = said.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse::<u64>().ok());
        let place = place.filter(|at| (ByteCount::mib(1).get()..=BROKEN_AT.get()).contains(at)).count();
        assert!(0 < place, "no offset is in: {said}");
        assert_eq!(stand.points()?, [text(&good["point"])?], "only the good point is there");
        // Mended, the same run succeeds and uses what the failed one had stored.
        set_len(ByteCount::mib(8))?;
        let report = stand.sonae(arguments)?.good()?;
        let point = text(&report["point"])?;
        assert_eq!(stand.restored(point, "vdb")?, Content::of(&stand.path("backing"))?);
        Peer::find(Release::OfSystem)?.check(&stand.place())
    });
}

/// Does something once, in the pause in which a run waits for its lock: then its sources are open and not yet read.
struct Meddling {
    clock: Arc<dyn Clock>,
    meddle: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Clock for Meddling {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn sleep(&self, _span: Duration) {
        if let Some(meddle) = self.meddle.lock().expect("nobody panics with it").take() {
            meddle();
        }
    }
}

/// Backs up `vda` (16 MiB) while something happens to it.
fn backup_while(stand: &Stand, meddle: impl FnOnce() + Send + 'static) -> Result<Failure> {
    let mut environment = system_environment();
    let clock = Arc::clone(&environment.clock);
    environment.clock = Arc::new(Meddling { clock, meddle: Mutex::new(Some(Box::new(meddle))) });
    let store = Arc::new(LocalStore::open(&stand.place().repository)?);
    let repository = Repository::open(store, environment, &Password::from_file_bytes(PASSWORD.as_bytes()))?;
    let disk = DiskRequest { name: DiskName::parse("vda")?, path: stand.path("vda"), format: Format::Raw };
    let request = BackupRequest {
        vm: VmName::parse(VM)?,
        disks: vec![disk],
        files: Vec::new(),
        changes: ChangeMaps::default(),
    };
    backup(&repository, &request, &Repeats::default(), &Stop::default(), &Progress::default())
        .err()
        .context("a disk that was not read whole must not become a point")
}

fn ends_without_a_point(stand: &Stand, meddle: impl FnOnce() + Send + 'static) -> Result<Failure> {
    disks::make(&stand.path("vda"), &[Stretch::Noise(3, ByteCount::mib(16))])?;
    let before = stand.points()?;
    let failure = backup_while(stand, meddle)?;
    ensure!(failure.fault == Fault::SourceUnreadable, "{failure:?}");
    let said = format!("{:?}", failure.message);
    for fact in ["vda", &stand.at("vda")] {
        assert!(said.contains(fact), "{fact} is not in: {said}");
    }
    assert_eq!(stand.points()?, before);
    Ok(failure)
}

#[test]
fn an_image_that_changes_shrinks_or_vanishes_while_it_is_read_leaves_no_point() {
    claim(|| {
        let stand = Stand::with_repository()?;
        let image = stand.path("vda");
        let written = image.clone();
        ends_without_a_point(&stand, move || {
            disks::overwrite(&written, ByteCount::mib(9), Stretch::Noise(4, PAGE)).unwrap();
        })?;
        let grown = image.clone();
        ends_without_a_point(&stand, move || {
            OpenOptions::new().write(true).open(&grown).unwrap().set_len(ByteCount::mib(17).get()).unwrap();
        })?;
        let shrunk = image.clone();
        let failure = ends_without_a_point(&stand, move || {
            OpenOptions::new().write(true).open(&shrunk).unwrap().set_len(BROKEN_AT.get()).unwrap();
        })?;
        let said = format!("{:?}", failure.message).replace(',', "");
        assert!(said.contains(&BROKEN_AT.get().to_string()), "where it ends is not in: {said}");
        let vanished = image.clone();
        ends_without_a_point(&stand, move || fs::remove_file(&vanished).unwrap())?;
        let replaced = image.clone();
        ends_without_a_point(&stand, move || {
            fs::rename(&replaced, replaced.with_extension("old")).unwrap();
            disks::make(&replaced, &[Stretch::Noise(3, ByteCount::mib(16))]).unwrap();
        })?;
        // Left alone, it becomes a point.
        let report = stand.backup(VM, &[("vda", "vda")], &[])?;
        assert_eq!(stand.points()?, [text(&report["point"])?]);
        Peer::find(Release::OfSystem)?.check(&stand.place())
    });
}

#[test]
fn of_several_disks_the_one_that_fails_is_named_with_its_place() {
    claim(|| {
        let stand = Stand::with_repository()?;
        disks::make(&stand.path("vda"), &[Stretch::Noise(5, ByteCount::mib(16))])?;
        let store = Arc::new(LocalStore::open(&stand.place().repository)?);
        let password = Password::from_file_bytes(PASSWORD.as_bytes());
        let repository = Repository::open(store, system_environment(), &password)?;
        let at = ByteOffset::new(BROKEN_AT.get() + 17);
        for fault in [DiskFault::Unreadable(at), DiskFault::Short(at), DiskFault::Changed] {
            let good = RawDisk::open(&stand.path("vda"))?;
            let bad = FaultyDisk::new(RawDisk::open(&stand.path("vda"))?, fault);
            let target = ChunkTarget::for_disk(good.size());
            let disks: [&dyn DiskRead; 3] = [&good, &bad, &good];
            let inputs = disks.map(|disk| DiskInput { disk, target, reading: Reading::Whole });
            let (index, stop, progress) = (repository.load_index()?, Stop::default(), Progress::default());
            let error = Ingest::new(&repository, &index, &stop, &progress).disks(&inputs);
            let Err(IngestError::Source { disk: 1, cause }) = error else {
                panic!("{fault:?} gave {error:?}")
            };
            match (fault, cause) {
                (DiskFault::Unreadable(_), DiskError::Io { at: found, .. })
                | (DiskFault::Short(_), DiskError::Short { at: found, .. }) => assert_eq!(found, at),
                (DiskFault::Changed, DiskError::Changed { .. }) => {}
                (fault, cause) => panic!("{fault:?} gave {cause:?}"),
            }
        }
        assert!(stand.points()?.is_empty());
        stand.backup(VM, &[("vda", "vda")], &[])?;
        Peer::find(Release::OfSystem)?.check(&stand.place())
    });
}
