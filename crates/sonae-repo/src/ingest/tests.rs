//! Disks go in and come back, whatever they hold; nothing of a failed run is a point.

mod increment;

use std::sync::Arc;

use proptest::prelude::*;
use sonae_types::{ByteCount, Digest};

use super::*;
use crate::crypto::Password;
use crate::index::INDEX_BLOBS_MAX;
use crate::store::fault::{Fault, FaultStore};
use crate::store::wrap::Verb;
use crate::store::{FileKind, MemoryStore};
use crate::testing::{Holes, MemoryDisk, environment, image, memory_repository, restore_disk, save_disk};

fn target() -> ChunkTarget {
    ChunkTarget::new(64 << 10).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_disk_comes_back_as_it_went_in_and_a_second_time_costs_nothing(recipe in "[ztn]{0,60}", tail in 0..9000usize, told: bool) {
        let repository = memory_repository(&MemoryStore::new());
        let bytes = image(&recipe, tail);
        let holes = if told { Holes::Told } else { Holes::Untold };
        let first = save_disk(&repository, bytes.clone(), holes).unwrap();
        let packs = repository.store().list(FileKind::Data).unwrap();
        let again = save_disk(&repository, bytes.clone(), Holes::Untold).unwrap();
        prop_assert_eq!(repository.store().list(FileKind::Data).unwrap(), packs);
        prop_assert_eq!(first.snapshot.tree, again.snapshot.tree);
        let disk = MemoryDisk::fresh(bytes.len());
        let outcome = restore_disk(&repository, &first, &disk).unwrap();
        prop_assert_eq!(outcome.written.get() + outcome.zeros.get(), bytes.len() as u64);
        prop_assert_eq!(disk.times_finished(), 1);
        prop_assert!(disk.content() == bytes);
    }

    #[test]
    fn restoring_over_anything_gives_the_disk_and_a_second_time_writes_nothing(recipe in "[ztn]{1,40}", older in "[ztn]{40}", tail in 0..9000usize) {
        let repository = memory_repository(&MemoryStore::new());
        let bytes = image(&recipe, tail);
        let point = save_disk(&repository, bytes.clone(), Holes::Told).unwrap();
        let mut dirty = image(&older, 9000);
        dirty.resize(bytes.len(), 1);
        let disk = MemoryDisk::source(dirty, Holes::Told);
        restore_disk(&repository, &point, &disk).unwrap();
        prop_assert!(disk.content() == bytes);
        let again = restore_disk(&repository, &point, &disk).unwrap();
        prop_assert_eq!(again.written, ByteCount::ZERO);
        prop_assert_eq!(again.in_place.get() + again.zeros.get(), bytes.len() as u64);
    }
}

#[test]
fn one_unreadable_disk_of_many_fails_the_run_and_hangs_nobody() {
    let repository = memory_repository(&MemoryStore::new());
    let index = repository.load_index().unwrap();
    let (stop, progress) = (Stop::default(), Progress::default());
    let mut ingest = Ingest::new(&repository, &index, &stop, &progress);
    let good = MemoryDisk::source(image("tntntn", 0), Holes::Untold);
    let bad = MemoryDisk::failing_at(image("tntntntntntn", 0), 300_000);
    let disks = (0..40)
        .map(|n| DiskInput {
            disk: if n % 2 == 1 { &bad } else { &good },
            target: target(),
            reading: Reading::Whole,
        })
        .collect::<Vec<_>>();
    let error = ingest.disks(&disks).unwrap_err();
    let IngestError::Source { disk, cause } = error else { panic!("{error}") };
    assert_eq!(disk % 2, 1);
    assert_eq!(cause.to_string(), "cannot read memory at offset 300000");
    assert!(repository.points().unwrap().good.is_empty());
}

#[test]
fn a_run_that_is_asked_to_stop_stops() {
    let repository = memory_repository(&MemoryStore::new());
    let index = repository.load_index().unwrap();
    let (stop, progress) = (Stop::default(), Progress::default());
    stop.request();
    let mut ingest = Ingest::new(&repository, &index, &stop, &progress);
    let disk = MemoryDisk::source(image("tntn", 0), Holes::Untold);
    let error =
        ingest.disks(&[DiskInput { disk: &disk, target: target(), reading: Reading::Whole }]).unwrap_err();
    assert!(matches!(error, IngestError::Stopped(_)), "{error}");
}

#[test]
fn the_same_disk_several_times_in_one_run_is_stored_once() {
    let store = MemoryStore::new();
    let repository = memory_repository(&store);
    let index = repository.load_index().unwrap();
    let (stop, progress) = (Stop::default(), Progress::default());
    let mut ingest = Ingest::new(&repository, &index, &stop, &progress);
    let disk = MemoryDisk::source(image("tnzzznt", 100), Holes::Told);
    let inputs = [DiskInput { disk: &disk, target: target(), reading: Reading::Whole }; 6];
    let answers = ingest.disks(&inputs).unwrap();
    assert!(answers.windows(2).all(|pair| pair[0].chunks == pair[1].chunks));
    assert!(
        answers[1..]
            .iter()
            .all(|answer| (answer.new_chunks, answer.stored) == (ByteCount::ZERO, ByteCount::ZERO))
    );
    let totals = ingest.finish().unwrap();
    assert_eq!(totals.stored, answers[0].stored);
    assert!(answers[0].new_chunks <= answers[0].read);
    assert_eq!(repository.load_index().unwrap().len() as u64, totals.data_blobs);
    let distinct =
        answers[0].chunks.iter().map(|chunk| chunk.id).collect::<std::collections::HashSet<Digest>>();
    assert_eq!(distinct.len() as u64, totals.data_blobs);
}

#[test]
fn whichever_write_fails_no_point_appears_and_the_next_run_succeeds() {
    let bytes = image(&"n".repeat(40), 5);
    let mut failed = 0;
    for nth in 1.. {
        let memory = MemoryStore::new();
        drop(memory_repository(&memory));
        let store = FaultStore::planned(Arc::new(memory.clone()), move |seen| {
            (seen.verb == Verb::Put && seen.number_of_verb == nth).then_some(Fault::Full)
        });
        let password = Password::from_file_bytes(b"secret");
        let repository = Repository::open(Arc::new(store), environment(), &password).unwrap();
        if save_disk(&repository, bytes.clone(), Holes::Untold).is_ok() {
            break;
        }
        failed += 1;
        assert!(repository.points().unwrap().good.is_empty());
        let point = save_disk(&repository, bytes.clone(), Holes::Untold).unwrap();
        let disk = MemoryDisk::fresh(bytes.len());
        restore_disk(&repository, &point, &disk).unwrap();
        assert!(disk.content() == bytes);
    }
    // A pack of data, one of trees, an index and the point itself.
    assert!(4 <= failed, "only {failed} writes were made to fail");
}

#[test]
fn an_index_file_stays_within_the_number_of_blobs_that_readers_expect() {
    const { assert!(crate::pack::PACK_BLOBS_MAX <= INDEX_BLOBS_MAX) };
}
