//! What becomes of which pack: a decision over facts, with no store in sight.

use std::time::Duration;

use sonae_types::{ByteCount, Digest};

use crate::blob::BlobKind;

/// What a prune may leave and do.
#[derive(Clone, Copy, Debug)]
pub struct PruneBounds {
    /// How long marked packs stay.
    pub grace: Duration,
    /// How much may lie unused in packs that stay.
    pub max_unused: MaxUnused,
    /// Most bytes of packs that are copied in one run.
    pub max_repack: ByteCount,
}

/// How much may lie unused in packs that stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxUnused {
    /// So many thousandths of a percent of what is left.
    Share(u32),
    /// So many bytes.
    Bytes(ByteCount),
}

/// What is known of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackFacts {
    /// The pack.
    pub id: Digest,
    /// Whether it is where it should be.
    pub standing: Standing,
    /// Its size as stored.
    pub size: ByteCount,
    /// Bytes of blobs in it that some point needs and that are not kept elsewhere.
    pub used: u64,
    /// Bytes of other blobs in it.
    pub unused: u64,
    /// What it holds; of a pack that holds both, what comes first.
    pub kind: Option<BlobKind>,
    /// Whether it is marked.
    pub marked: Marked,
}

/// Whether a pack is where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is there and listed in the index.
    Listed,
    /// It is there, and no index file lists it: a run that died has left it.
    Unlisted,
    /// It is listed and gone.
    Gone,
}

/// Whether a pack is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// By no mark.
    No,
    /// The grace is not over.
    Waiting,
    /// It may go.
    Ripe,
}

/// What becomes of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays, and marks of it go.
    Keep,
    /// What is used in it is copied; then it goes the way of those that are unused.
    Repack,
    /// It is marked, or stays so.
    Mark,
    /// It goes.
    Remove,
    /// It is gone already, and so is every word of it in the index.
    Unlist,
}

/// Packs below this part of the usual size are small.
const SMALL: usize = 4;
/// So many small packs of one kind are merged.
const SMALL_MANY: usize = 8;

/// Decides. `pack_bytes` is the size at which packs are closed, `room` how much can still be stored, where that is known.
#[must_use]
pub fn decide(
    packs: &[PackFacts],
    bounds: &PruneBounds,
    pack_bytes: usize,
    room: Option<ByteCount>,
) -> Vec<Fate> {
    let mut fates = packs.iter().map(|pack| at_once(pack, bounds)).collect::<Vec<_>>();
    let stays = |fates: &[Fate], at: usize| fates[at] == Fate::Keep;
    let used = packs.iter().map(|pack| pack.used).sum::<u64>();
    let mut unused = (0..packs.len()).filter(|at| stays(&fates, *at)).map(|at| packs[at].unused).sum::<u64>();
    let max_unused = bounds.max_unused.of(used);
    // What is copied is there twice for a while.
    let mut left = bounds.max_repack.get().min(room.map_or(u64::MAX, ByteCount::get));
    let mut candidates =
        (0..packs.len()).filter(|at| stays(&fates, *at) && 0 < packs[*at].unused).collect::<Vec<_>>();
    // Where the most is gained for each byte that is copied.
    candidates.sort_by(|a, b| gain(&packs[*b]).cmp(&gain(&packs[*a])).then(a.cmp(b)));
    for at in candidates {
        if unused <= max_unused {
            break;
        }
        if packs[at].size.get() <= left {
            left -= packs[at].size.get();
            unused -= packs[at].unused;
            fates[at] = Fate::Repack;
        }
    }
    for kind in [BlobKind::Data, BlobKind::Tree] {
        let is_small =
            |pack: &PackFacts| pack.kind == Some(kind) && pack.size.get() < (pack_bytes / SMALL) as u64;
        let small =
            (0..packs.len()).filter(|at| stays(&fates, *at) && is_small(&packs[*at])).collect::<Vec<_>>();
        let sum = small.iter().map(|at| packs[*at].size.get()).sum::<u64>();
        if SMALL_MANY <= small.len() && sum <= left {
            left -= sum;
            small.into_iter().for_each(|at| fates[at] = Fate::Repack);
        }
    }
    fates
}

/// What follows from a pack alone.
fn at_once(pack: &PackFacts, bounds: &PruneBounds) -> Fate {
    match (pack.standing, pack.marked) {
        (Standing::Gone, _) => Fate::Unlist,
        (Standing::Listed, _) if 0 < pack.used => Fate::Keep,
        (Standing::Listed | Standing::Unlisted, Marked::Ripe) => Fate::Remove,
        (Standing::Listed | Standing::Unlisted, _) if bounds.grace.is_zero() => Fate::Remove,
        (Standing::Listed | Standing::Unlisted, Marked::No | Marked::Waiting) => Fate::Mark,
    }
}

/// Thousandths of the pack that are unused.
fn gain(pack: &PackFacts) -> u64 {
    pack.unused.saturating_mul(1_000) / (pack.used + pack.unused).max(1)
}

impl MaxUnused {
    /// restic's default.
    pub const DEFAULT: Self = Self::Share(5_000);
    /// However much it is.
    pub const UNLIMITED: Self = Self::Bytes(ByteCount::new(u64::MAX));

    /// The bytes that may lie unused beside so many that are used.
    fn of(self, used: u64) -> u64 {
        const WHOLE: u128 = 100_000;
        match self {
            Self::Bytes(bytes) => bytes.get(),
            Self::Share(share) => {
                let share = u128::from(share);
                let rest = WHOLE.saturating_sub(share);
                let most = (u128::from(used) * share).checked_div(rest).unwrap_or(u128::MAX);
                u64::try_from(most).unwrap_or(u64::MAX)
            }
        }
    }
}
