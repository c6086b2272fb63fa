//! Room for what is fetched before somebody needs it: a bound that all threads of one piece of work share.

use std::sync::{Condvar, Mutex, PoisonError};

/// So many units that can be taken and come back by themselves.
#[derive(Debug)]
pub(crate) struct Room {
    total: u64,
    left: Mutex<u64>,
    freed: Condvar,
}

/// A part of the room; dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    room: &'a Room,
    units: u64,
}

impl Room {
    pub(crate) fn new(total: u64) -> Self {
        Self { total, left: Mutex::new(total), freed: Condvar::new() }
    }

    /// Waits until there is as much; what is larger than the whole room gets it for itself.
    pub(crate) fn take(&self, units: u64) -> Taken<'_> {
        let units = units.min(self.total);
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left =
            self.freed.wait_while(left, |left| *left < units).unwrap_or_else(PoisonError::into_inner);
        *left -= units;
        Taken { room: self, units }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.room.left.lock().unwrap_or_else(PoisonError::into_inner) += self.units;
        self.room.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn never_more_is_taken_than_there_is_and_everybody_gets_a_turn() {
        let (room, inside, most) = (Room::new(10), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (room, inside, most) = (&room, &inside, &most);
                scope.spawn(move || {
                    for units in [1, 10, 3, 7, 1_000, thread] {
                        let taken = room.take(units);
                        let now = inside.fetch_add(units.min(10), Ordering::SeqCst) + units.min(10);
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(units.min(10), Ordering::SeqCst);
                        drop(taken);
                    }
                });
            }
        });
        assert_eq!((most.into_inner(), room.left.into_inner().unwrap()), (10, 10));
    }
}
