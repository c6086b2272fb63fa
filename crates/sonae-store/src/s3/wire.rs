//! Requests over the network behind calls that wait: a small runtime, an allowance of time, an end when a stop is asked
//! for.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use crate::patience::Patience;

/// Most requests under way at once; a store that is asked for more at once answers slower or not at all.
const REQUESTS_MAX: usize = 64;
/// What every request may take before the store has sent or taken anything.
const BASE: Duration = Duration::from_mins(1);
/// A line that carries less is called broken: 16 MiB would take more than four minutes.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;
/// How often it is asked whether going on makes sense.
const TICK: Duration = Duration::from_millis(50);
/// What is under way when a stop is asked for, and what is cleared away after it, may still take this long.
const GRACE: Duration = Duration::from_secs(10);

/// Carries out requests for threads that wait for them.
#[derive(Debug)]
pub(super) struct Wire {
    /// None only while it is dropped.
    runtime: Option<Runtime>,
    turns: Semaphore,
    patience: Patience,
}

/// What a request may still take. It grows with the bytes that come, so a slow line is no broken one.
#[derive(Debug)]
pub(super) struct Allowance(Cell<Duration>);

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Cut {
    /// Its allowance of time is used up.
    Late,
    /// Nobody wants the answer any more.
    Stopped,
}

impl Wire {
    pub(super) fn new(patience: Patience) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("sonae-store")
            .enable_io()
            .enable_time()
            .build()?;
        Ok(Self { runtime: Some(runtime), turns: Semaphore::new(REQUESTS_MAX), patience })
    }

    /// Waits for the request's answer. Not to be called from asynchronous code.
    pub(super) fn run<T>(&self, allowance: &Allowance, request: impl Future<Output = T>) -> Result<T, Cut> {
        let runtime = self.runtime.as_ref().expect("the runtime lives as long as the wire");
        runtime.block_on(async {
            // Whoever is in front ends within its own allowance.
            let _turn = self.turns.acquire().await;
            let mut request = pin!(request);
            let mut grace = GRACE;
            loop {
                if let Ok(answer) = tokio::time::timeout(TICK, request.as_mut()).await {
                    return Ok(answer);
                }
                if allowance.used_up() {
                    return Err(Cut::Late);
                }
                if !self.patience.goes_on() {
                    grace = grace.saturating_sub(TICK);
                    if grace.is_zero() {
                        return Err(Cut::Stopped);
                    }
                }
            }
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Connections that nobody uses are no reason to wait.
            runtime.shutdown_background();
        }
    }
}

impl Allowance {
    /// For a request that sends so many bytes.
    pub(super) fn sending(bytes: usize) -> Self {
        Self(Cell::new(BASE + time_for(bytes)))
    }

    /// For a request that sends none.
    pub(super) fn asking() -> Self {
        Self::sending(0)
    }

    /// So many bytes came.
    pub(super) fn got(&self, bytes: usize) {
        self.0.set((self.0.get() + time_for(bytes)).min(BASE));
    }

    fn used_up(&self) -> bool {
        let left = self.0.get().saturating_sub(TICK);
        self.0.set(left);
        left.is_zero()
    }
}

fn time_for(bytes: usize) -> Duration {
    Duration::from_millis(bytes as u64 * 1_000 / SLOWEST_BYTES_PER_SECOND)
}
