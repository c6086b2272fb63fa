//! Proving without a key that two places hold the same repository: a root over all names and sizes on each side, every
//! difference, and a sample that is read from both and compared with its names.

use std::collections::BTreeMap;

use sonae_types::{ByteCount, Digest};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::copying::Amount;
use crate::threads::{TRANSFERS, on_threads};
use sonae_repo::environment::{Progress, Stop};
use sonae_repo::hash::sha256;
use sonae_repo::keyless::{KeylessError, Stored, hash_of};
use sonae_repo::manifest::merkle_root;
use sonae_repo::repository::missing_config;
use sonae_repo::store::{FileKind, FileName, ObjectStore};

/// The kinds of files that two copies have in common; locks come and go.
const KINDS: [FileKind; 4] = [FileKind::Key, FileKind::Data, FileKind::Index, FileKind::Snapshot];

/// At least so many packs are read, where there are so many.
pub const SAMPLED_MIN: usize = 16;

/// A share of the packs: 1 to 100 of a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(u8);

/// Which packs are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// How many.
    pub share: Percent,
    /// Which ones: the same number chooses the same packs, and nobody can know them who does not know it.
    pub seed: u64,
}

/// The files of a repository, with their sizes.
pub type Listing = BTreeMap<FileName, ByteCount>;

/// One of the two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one named first.
    First,
    /// The other one.
    Second,
}

/// What a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The root over names and sizes ([`root_of`]).
    pub root: Digest,
    /// All its files but locks.
    pub amount: Amount,
}

/// In what two copies differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The file.
    pub file: FileName,
    /// Its size in the first place; none where it is not there.
    pub first: Option<ByteCount>,
    /// The same in the second.
    pub second: Option<ByteCount>,
}

/// A file that was read and is not what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFile {
    /// Where.
    pub side: Side,
    /// The file.
    pub file: FileName,
    /// What its bytes hash to; none when it is gone or shorter than was listed.
    pub found: Option<Digest>,
}

/// What comparing two places found.
#[derive(Debug)]
pub struct ReplicaReport {
    /// The first place.
    pub first: Holding,
    /// The second one.
    pub second: Holding,
    /// Every file that is not in both with the same size, or, for the configuration, the same bytes.
    pub differences: Vec<Difference>,
    /// Files that were read and are damaged.
    pub bad: Vec<BadFile>,
    /// Packs that are in both places.
    pub packs: u64,
    /// Those of them that were read on both sides.
    pub packs_read: u64,
    /// Everything that was read, each side counted.
    pub read: Amount,
}

impl Percent {
    /// Errors: none for what is no whole number from 1 to 100.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        text.parse().ok().filter(|number| digits && (1..=100).contains(number)).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Sampling {
    /// Which of these packs are read, sorted.
    #[must_use]
    pub fn of(self, packs: &[FileName]) -> Vec<FileName> {
        let share = (packs.len() * usize::from(self.share.0)).div_ceil(100);
        let rank = |pack: &FileName| match pack {
            FileName::Config => 0,
            FileName::Hashed(_, id) => xxh3_64_with_seed(id.as_bytes(), self.seed),
        };
        let mut ranked = packs.to_vec();
        ranked.sort_unstable_by_key(|pack| (rank(pack), *pack));
        ranked.truncate(share.max(SAMPLED_MIN));
        ranked.sort_unstable();
        ranked
    }
}

impl ReplicaReport {
    /// Whether nothing at all differs, and all that was read is sound.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.first.root == self.second.root && self.differences.is_empty() && self.bad.is_empty()
    }
}

/// The root over names and sizes: the Merkle root of RFC 6962 over the SHA-256 of the lines `PATH SIZE`, each with its
/// line feed, sorted by path.
#[must_use]
pub fn root_of(listing: &Listing) -> Digest {
    let mut lines = listing.iter().map(|(file, size)| (file.to_string(), size.get())).collect::<Vec<_>>();
    lines.sort_unstable();
    let leaves = lines.iter().map(|(path, size)| sha256(format!("{path} {size}\n").as_bytes()));
    merkle_root(&leaves.collect::<Vec<_>>())
}

/// Every file that is not in both listings with the same size.
#[must_use]
pub fn differences(first: &Listing, second: &Listing) -> Vec<Difference> {
    let only_second = second.keys().filter(|file| !first.contains_key(*file));
    let mut files = first.keys().chain(only_second).copied().collect::<Vec<_>>();
    files.sort_unstable();
    let compared = files.into_iter().map(|file| Difference {
        file,
        first: first.get(&file).copied(),
        second: second.get(&file).copied(),
    });
    compared.filter(|file| file.first != file.second).collect()
}

/// Compares two places. Errors: one of them is no repository, or could not be listed or read: then nothing is known.
pub fn compare_places(
    places: [&dyn ObjectStore; 2],
    sampling: Sampling,
    stop: &Stop,
    progress: &Progress,
) -> Result<ReplicaReport, KeylessError> {
    let [one, other] = places;
    let (first, second) = (listing_of(one)?, listing_of(other)?);
    let mut differences = differences(&first, &second);
    let common = first.iter().filter(|(file, size)| second.get(*file) == Some(*size)).map(|(file, _)| *file);
    let (packs, mut small): (Vec<_>, Vec<_>) =
        common.partition(|file| matches!(file, FileName::Hashed(FileKind::Data, _)));
    small.retain(|file| *file != FileName::Config);
    if first.get(&FileName::Config) == second.get(&FileName::Config)
        && one.get(FileName::Config)? != other.get(FileName::Config)?
    {
        let size = first.get(&FileName::Config).copied();
        differences.insert(0, Difference { file: FileName::Config, first: size, second: size });
    }
    let sampled = sampling.of(&packs);
    let reads = small.iter().chain(&sampled).flat_map(|file| [(Side::First, *file), (Side::Second, *file)]);
    let reads = reads.collect::<Vec<_>>();
    let size_of = |file: &FileName| first.get(file).copied().unwrap_or(ByteCount::ZERO);
    let mut read = Amount::default();
    reads.iter().for_each(|(_, file)| read.add(size_of(file)));
    progress.expect(read.bytes);
    let bad = on_threads(TRANSFERS, &reads, |(side, file)| {
        stop.check()?;
        let store = match side {
            Side::First => one,
            Side::Second => other,
        };
        let found = match hash_of(store, *file, size_of(file), stop)? {
            Stored::As(found) => Some(found),
            Stored::Shorter | Stored::Gone => None,
        };
        progress.advance(size_of(file));
        let sound = matches!((file, found), (FileName::Hashed(_, id), Some(found)) if *id == found);
        Ok::<_, KeylessError>((!sound).then_some(BadFile { side: *side, file: *file, found }))
    })?;
    Ok(ReplicaReport {
        first: holding(&first),
        second: holding(&second),
        differences,
        bad: bad.into_iter().flatten().collect(),
        packs: packs.len() as u64,
        packs_read: sampled.len() as u64,
        read,
    })
}

fn listing_of(store: &dyn ObjectStore) -> Result<Listing, KeylessError> {
    let mut listing = Listing::new();
    match store.size(FileName::Config) {
        Ok(size) => drop(listing.insert(FileName::Config, size)),
        Err(error) if error.is_not_found() => return Err(missing_config(store).into()),
        Err(error) => return Err(error.into()),
    }
    for kind in KINDS {
        listing
            .extend(store.list(kind)?.into_iter().map(|file| (FileName::Hashed(kind, file.id), file.size)));
    }
    Ok(listing)
}

fn holding(listing: &Listing) -> Holding {
    let mut amount = Amount::default();
    listing.values().for_each(|size| amount.add(*size));
    Holding { root: root_of(listing), amount }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;
    use sonae_repo::store::fault::{Fault, FaultStore};
    use sonae_repo::store::wrap::Verb;
    use sonae_repo::store::{MemoryStore, StoreError};
    use sonae_repo::testing::{Holes, image, memory_repository, save_disk};

    const ALL: Sampling = Sampling { share: Percent(100), seed: 7 };

    fn name() -> impl Strategy<Value = FileName> {
        let id = vec(0..3u8, 2).prop_map(|bytes| {
            let mut id = [0; 32];
            id[..2].copy_from_slice(&bytes);
            Digest::new(id)
        });
        (0..KINDS.len(), id).prop_map(|(kind, id)| FileName::Hashed(KINDS[kind], id))
    }

    fn listing() -> impl Strategy<Value = Listing> {
        btree_map(name(), (0..3u64).prop_map(ByteCount::new), 0..5)
    }

    proptest! {
        #[test]
        fn roots_are_equal_exactly_where_all_names_and_sizes_are(one in listing(), other in listing()) {
            prop_assert_eq!(root_of(&one) == root_of(&other), one == other);
            prop_assert_eq!(differences(&one, &other).is_empty(), one == other);
        }

        #[test]
        fn a_sample_is_of_the_share_never_too_small_and_the_same_for_the_same_seed(
            packs in 0..3_000usize, share in 1..=100u8, seed: u64,
        ) {
            let packs = (0..packs).map(|n| FileName::Hashed(FileKind::Data, sha256(&n.to_le_bytes())));
            let packs = packs.collect::<Vec<_>>();
            let sampling = Sampling { share: Percent(share), seed };
            let sample = sampling.of(&packs);
            prop_assert_eq!(&sample, &sampling.of(&packs));
            prop_assert!(sample.len() * 100 >= packs.len() * usize::from(share));
            prop_assert!(sample.len() >= packs.len().min(SAMPLED_MIN) && sample.iter().all(|pack| packs.contains(pack)));
        }
    }

    /// A repository and a copy of its files.
    fn two() -> [MemoryStore; 2] {
        let one = MemoryStore::new();
        save_disk(&memory_repository(&one), image("tnzt", 9), Holes::Told).unwrap();
        [again(&one), one]
    }

    fn again(store: &MemoryStore) -> MemoryStore {
        let twin = MemoryStore::new();
        for name in listing_of(store).unwrap().into_keys() {
            twin.put(name, &store.get(name).unwrap()).unwrap();
        }
        twin
    }

    fn compare([one, other]: &[MemoryStore; 2]) -> ReplicaReport {
        compare_places([one, other], ALL, &Stop::default(), &Progress::default()).unwrap()
    }

    #[test]
    fn two_places_with_the_same_files_are_equal_whatever_locks_they_have() {
        let places = two();
        places[0].put(FileName::Hashed(FileKind::Lock, Digest::new([1; 32])), b"a lock").unwrap();
        let report = compare(&places);
        assert!(report.is_equal(), "{report:?}");
        assert_eq!(report.first, report.second);
        assert_eq!(report.packs, report.packs_read);
    }

    #[test]
    fn whatever_one_place_lacks_has_more_of_or_has_changed_makes_them_differ() {
        let sound = two();
        for name in listing_of(&sound[0]).unwrap().into_keys() {
            for side in [0, 1] {
                let bytes = sound[side].get(name).unwrap();
                let mut flipped = bytes.clone();
                flipped[bytes.len() / 2] ^= 4;
                for changed in [None, Some(&bytes[..bytes.len() - 1]), Some(&flipped[..])] {
                    let places = sound.each_ref().map(again);
                    places[side].remove(name).unwrap();
                    if let Some(changed) = changed {
                        places[side].put(name, changed).unwrap();
                    } else if name == FileName::Config {
                        continue;
                    }
                    let report = compare(&places);
                    let same_size = changed.is_some_and(|changed| changed.len() == bytes.len());
                    assert!(!report.is_equal(), "{name}");
                    assert_eq!(report.first.root == report.second.root, same_size, "{name}");
                    let told = report.differences.iter().any(|difference| difference.file == name)
                        || report.bad.iter().any(|bad| bad.file == name);
                    assert!(told, "{name}: {report:?}");
                }
            }
        }
    }

    #[test]
    fn a_place_that_cannot_be_listed_or_read_is_unknown_and_never_equal() {
        let [one, other] = two();
        for verb in [Verb::List, Verb::Get, Verb::Size] {
            let failing = FaultStore::planned(std::sync::Arc::new(other.clone()), move |seen| {
                (seen.verb == verb).then_some(Fault::Fail)
            });
            let refused = compare_places([&one, &failing], ALL, &Stop::default(), &Progress::default());
            assert!(matches!(refused, Err(KeylessError::Store(StoreError::Io { .. }))), "{refused:?}");
        }
        let empty = MemoryStore::new();
        let refused = compare_places([&one, &empty], ALL, &Stop::default(), &Progress::default());
        assert!(matches!(refused, Err(KeylessError::Open(_))), "{refused:?}");
    }

    #[test]
    fn a_share_is_a_whole_number_of_a_hundred() {
        for text in ["1", "50", "100"] {
            assert_eq!(Percent::parse(text).unwrap().get().to_string(), text);
        }
        for text in ["", "0", "101", "-1", "+1", "1.5", "10%", "１"] {
            assert_eq!(Percent::parse(text), None, "{text}");
        }
    }
}
