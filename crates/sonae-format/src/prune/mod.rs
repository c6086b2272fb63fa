//! What a prune decides, from nothing but an index and facts about packs: which copy of a blob stays, and what becomes of
//! which pack. What is done about it is `sonae-repo`'s.

mod copies;
mod plan;

pub use copies::{Bits, PackNumbers, Worth, kept, relied_upon};
pub use plan::{Fate, Marked, MaxUnused, PackFacts, PruneBounds, Standing, decide};
