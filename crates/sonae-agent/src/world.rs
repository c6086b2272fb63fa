//! The edge to the system: its clock, its randomness, who we are, and whether processes live.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sonae_repo::environment::{Environment, Liveness, Processes, Worker};
use sonae_types::{Clock, Entropy, Timestamp};

struct SystemClock;

struct SystemEntropy;

struct SystemProcesses;

/// The real world.
#[must_use]
pub fn system_environment() -> Environment {
    Environment {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        worker: worker(),
        processes: Arc::new(SystemProcesses),
    }
}

fn worker() -> Worker {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Worker { hostname, username: username(uid), pid: std::process::id(), uid, gid }
}

/// The user's name as `/etc/passwd` has it, or else the number: good enough to tell a colleague who holds a lock.
fn username(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| uid.to_string())
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the edge where the system's clock enters")]
    fn now(&self) -> Timestamp {
        // A clock before 1970 is plainly wrong; the epoch says so and sorts first.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// Counts on while the machine is suspended: a lock is as old then as others take it for.
    fn monotonic(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the edge that really waits")]
    fn sleep(&self, span: Duration) {
        std::thread::sleep(span);
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, into: &mut [u8]) {
        // Without randomness there is no encryption; the system has none only when it is broken.
        getrandom::fill(into).expect("the system's random source answers");
    }
}

impl Processes for SystemProcesses {
    fn lives(&self, pid: u32) -> Liveness {
        // Where /proc is not to be seen, nobody can tell, and that counts as living.
        let proc_is_there = Path::new("/proc/self").exists();
        if proc_is_there && !Path::new(&format!("/proc/{pid}")).exists() {
            Liveness::Gone
        } else {
            Liveness::Lives
        }
    }
}
