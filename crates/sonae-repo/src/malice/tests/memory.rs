//! How much memory something takes at its peak, as the system counts it.

use std::fs;
use std::sync::{Mutex, PoisonError};

/// Where all tests are threads of one process, each must be counted for itself.
static COUNTING: Mutex<()> = Mutex::new(());

/// Does the work and answers with what it gives. Panics where it took more than so many MiB; the bounds are far from
/// what the attacks would cost.
pub(super) fn within_mib<T>(most: u64, work: impl FnOnce() -> T) -> T {
    let _alone = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    // 5 sets the peak back to what is in use now.
    let counted = fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = kib("VmRSS:");
    let answer = work();
    if let (true, Some(before), Some(peak)) = (counted, before, kib("VmHWM:")) {
        let took = peak.saturating_sub(before) >> 10;
        assert!(took <= most, "took {took} MiB, {most} are allowed");
    }
    answer
}

fn kib(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix(field)?.trim().trim_end_matches(" kB").parse().ok())
}

#[test]
fn memory_that_was_taken_is_counted() {
    let answer =
        std::panic::catch_unwind(|| within_mib(100, || std::hint::black_box(vec![1; 300 << 20]).len()));
    let counted = kib("VmHWM:").is_some() && fs::write("/proc/self/clear_refs", "5").is_ok();
    assert_eq!(answer.is_err(), counted);
}
