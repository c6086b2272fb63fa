//! Work on many files at once that mostly waits for a store: more threads than processors, and an end at the first error.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Files on their way at the same time: enough to fill a line on which every answer takes 50 ms.
pub(crate) const TRANSFERS: usize = 8;

/// Does the same to every item on several threads, beginning in their order; answers in their order.
///
/// Errors: the first one; what was not begun then is left undone.
pub(crate) fn on_threads<I: Sync, T: Send, E: Send>(
    threads: usize,
    items: &[I],
    work: impl Fn(&I) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let mut answers = std::thread::scope(|scope| {
        let workers = (0..threads.min(items.len())).map(|_| {
            scope.spawn(|| {
                let mut answers = Vec::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return answers };
                    match work(item) {
                        Ok(answer) => answers.push((at, answer)),
                        Err(error) => {
                            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                            next.store(items.len(), Ordering::Relaxed);
                        }
                    }
                }
            })
        });
        let workers = workers.collect::<Vec<_>>();
        let join =
            |worker: std::thread::ScopedJoinHandle<'_, _>| worker.join().expect("a worker does not panic");
        workers.into_iter().flat_map(join).collect::<Vec<_>>()
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    answers.sort_by_key(|(at, _)| *at);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_the_order_of_the_items_and_the_first_error_ends_the_work() {
        let items = (0..100).collect::<Vec<u32>>();
        assert_eq!(on_threads(8, &items, |item| Ok::<_, ()>(item * 2)).unwrap()[99], 198);
        let begun = AtomicUsize::new(0);
        let refused = on_threads(2, &items, |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *item == 3 { Err(*item) } else { Ok(()) }
        });
        assert_eq!(refused, Err(3));
        assert!(begun.into_inner() <= 100);
    }
}
