//! The clock jumps a day forward or back at every single look at it: a backup still succeeds, the newest point is the
//! one that was taken last, no living lock is lost, and plain restic has nothing to say (requirement 001-20).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sonae_agent::backup::{BackupReport, BackupRequest, DiskRequest, Format, backup};
use sonae_agent::changes::ChangeMaps;
use sonae_agent::prune::{PruneMode, prune};
use sonae_agent::system_environment;
use sonae_repo::crypto::Password;
use sonae_repo::environment::Environment;
use sonae_repo::lock::LockKind;
use sonae_repo::prune::{MaxUnused, PruneBounds};
use sonae_repo::store::{LocalStore, Repeats};
use sonae_repo::{Progress, Repository, Stop};
use sonae_rig::disks::{self, Stretch};
use sonae_rig::peer::{Peer, Release};
use sonae_rig::stand::{PASSWORD, Stand, claim, text};
use sonae_types::{ByteCount, Clock, DiskName, Timestamp, VmName};

const VM: &str = "jumin-ap01";
const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

/// A wall clock that is put forward or back at one look, and from then on stays so. What counts the time between two
/// moments is not hit, as on a real machine.
struct Jumping {
    clock: Arc<dyn Clock>,
    looks: AtomicU64,
    at_look: u64,
    by_micros: i64,
    off_micros: AtomicI64,
}

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        if self.looks.fetch_add(1, Ordering::SeqCst) + 1 == self.at_look {
            self.off_micros.store(self.by_micros, Ordering::SeqCst);
        }
        Timestamp::from_micros(self.clock.now().as_micros() + self.off_micros.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn sleep(&self, _span: Duration) {}
}

fn jumping(at_look: u64, by_micros: i64) -> (Environment, Arc<Jumping>) {
    let mut environment = system_environment();
    let clock = Arc::new(Jumping {
        clock: Arc::clone(&environment.clock),
        looks: AtomicU64::new(0),
        at_look,
        by_micros,
        off_micros: AtomicI64::new(0),
    });
    environment.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    (environment, clock)
}

fn open(stand: &Stand, environment: Environment) -> Result<Repository> {
    let store = Arc::new(LocalStore::open(&stand.place().repository)?);
    Ok(Repository::open(store, environment, &Password::from_file_bytes(PASSWORD.as_bytes()))?)
}

fn run(stand: &Stand, environment: Environment) -> Result<BackupReport> {
    let disk = DiskRequest {
        name: DiskName::parse("vda").expect("a name"),
        path: stand.path("vda"),
        format: Format::Raw,
    };
    let request = BackupRequest {
        vm: VmName::parse(VM).expect("a name"),
        disks: vec![disk],
        files: Vec::new(),
        changes: ChangeMaps::default(),
    };
    let (stop, progress) = (Stop::default(), Progress::default());
    Ok(backup(&open(stand, environment)?, &request, &Repeats::default(), &stop, &progress)?)
}

#[test]
fn whenever_the_clock_jumps_a_day_the_newest_point_is_the_last_one_taken() {
    claim(|| {
        let restic = Peer::find(Release::OfSystem)?;
        let mut looks = 0;
        for by_micros in [DAY_MICROS, -DAY_MICROS] {
            let stand = Stand::with_cheap_key(system_environment())?;
            disks::make(&stand.path("vda"), &[Stretch::Noise(1, ByteCount::mib(1))])?;
            // Somebody else works there all the time, by a clock that is right.
            let other = open(&stand, jumping(0, 0).0)?.lock(LockKind::Shared)?;
            let mut number = 0;
            loop {
                number += 1;
                let seed = number << 1 | u64::from(by_micros < 0);
                disks::overwrite(
                    &stand.path("vda"),
                    ByteCount::ZERO,
                    Stretch::Noise(seed, ByteCount::kib(8)),
                )?;
                let (environment, clock) = jumping(number, by_micros);
                let report = run(&stand, environment).with_context(|| format!("a jump at look {number}"))?;
                let latest = stand.sonae(["show", "latest", "--vm", VM])?.good()?;
                ensure!(
                    text(&latest["point"])? == report.point.to_string(),
                    "after a jump at look {number} the latest point is {}",
                    latest["point"]
                );
                other.confirm().context("the lock of somebody else")?;
                if clock.looks.load(Ordering::SeqCst) < number {
                    break;
                }
                looks += 1;
            }
            drop(other);
            let verified = stand.sonae(["verify", "--all"])?.good()?;
            ensure!(verified["verdict"] == "good", "{verified}");
            restic.check(&stand.place())?;
        }
        ensure!(6 <= looks, "the clock was looked at {looks} times only");
        println!("clock jumps: {looks} looks, each hit once, forward or back");
        Ok(())
    });
}

#[test]
fn whenever_the_clock_jumps_a_day_nothing_that_is_marked_goes_before_its_grace_is_over() {
    claim(|| {
        let stand = Stand::with_cheap_key(system_environment())?;
        for seed in 1..=2 {
            disks::make(&stand.path("vda"), &[Stretch::Noise(seed, ByteCount::mib(2))])?;
            run(&stand, jumping(0, 0).0)?;
        }
        stand.sonae(["forget", "--keep-last", "1"])?.good()?;
        let bounds = PruneBounds {
            grace: Duration::from_hours(12),
            max_unused: MaxUnused::Bytes(ByteCount::ZERO),
            max_repack: ByteCount::gib(1),
        };
        let (stop, progress) = (Stop::default(), Progress::default());
        let mut looks = 0;
        for by_micros in [DAY_MICROS, -DAY_MICROS] {
            for number in 1.. {
                let (environment, clock) = jumping(number, by_micros);
                let report = prune(&open(&stand, environment)?, &bounds, PruneMode::Done, &stop, &progress)?;
                ensure!(report.removed_packs == 0, "at look {number} packs went: {report:?}");
                ensure!(0 < report.waiting_packs, "nothing waits: {report:?}");
                if clock.looks.load(Ordering::SeqCst) < number {
                    break;
                }
                looks += 1;
            }
        }
        ensure!(6 <= looks, "the clock was looked at {looks} times only");
        println!("clock jumps in a prune: {looks} looks, each hit once, forward or back");
        Ok(())
    });
}
