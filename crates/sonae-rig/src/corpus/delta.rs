//! The next day of a machine: which 4 KiB pages of its image change, as a file that makes the change and one that
//! takes it back. The image itself stays as it is.
//!
//! The changes have the pattern of a day's work, not its meaning: nobody could mount the result.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::content::Lines;
use super::random::Random;
use super::sparse;

const PAGE_BYTES: u64 = 4096;
const PAGE_LEN: usize = 4096;
/// Of six parts of a day's change, those rewritten in runs; one more goes to single pages and one to new room.
const CLUSTERED: u64 = 4;
const LARGEST_RUN_PAGES: u64 = 128;
const LARGEST_GROWTH_PAGES: u64 = 1024;
/// A day's work on records: so many districts, each kept within so many pages of the register.
const DISTRICTS: u64 = 60;
const DISTRICT_PAGES: u64 = 64;
/// What a file of changes starts with.
const MARK: &[u8; 8] = b"sonaeday";

/// What becomes of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Some bytes of a record inside the page.
    Record,
    /// A page of log text.
    Text,
    /// A page that does not compress.
    Scan,
}

/// The two files of a day.
#[derive(Debug)]
pub(crate) struct Files<'a> {
    /// Makes the day's changes.
    pub(crate) redo: &'a Path,
    /// Takes them back.
    pub(crate) undo: &'a Path,
}

/// Writes the changes of a day to about `size_bytes` of an image; gives the bytes that change.
pub(crate) fn write(
    image: &Path,
    body: Range<u64>,
    size_bytes: u64,
    files: &Files<'_>,
    random: &mut Random,
) -> io::Result<u64> {
    let image = File::open(image)?;
    let data = sparse::data_ranges(&image)?;
    let changes = plan(&data, &body, size_bytes / PAGE_BYTES, random);
    let mut redo = BufWriter::with_capacity(1 << 20, File::create(files.redo)?);
    let mut undo = BufWriter::with_capacity(1 << 20, File::create(files.undo)?);
    redo.write_all(MARK)?;
    undo.write_all(MARK)?;
    let mut old = [0; PAGE_LEN];
    for (&page, &change) in &changes {
        let at = page * PAGE_BYTES;
        image.read_exact_at(&mut old, at)?;
        put(&mut redo, at, &changed(&old, change, random))?;
        put(&mut undo, at, &old)?;
    }
    redo.flush()?;
    undo.flush()?;
    Ok(u64::try_from(changes.len()).map_err(io::Error::other)? * PAGE_BYTES)
}

/// Pages by their position in bytes.
pub(crate) type Pages = BTreeMap<u64, Box<[u8; PAGE_LEN]>>;

/// Brings a file's changes into an image; zeros become holes.
pub(crate) fn apply(delta: &Path, image: &Path) -> io::Result<()> {
    let image = OpenOptions::new().write(true).open(image)?;
    for_each_page(delta, |at, page| {
        if *page == [0; PAGE_LEN] {
            sparse::punch(&image, at..at + PAGE_BYTES)
        } else {
            image.write_all_at(page, at)
        }
    })?;
    image.sync_all()
}

/// A file's changes in memory. Errors: `InvalidData` where the file is of another kind.
pub(crate) fn pages(delta: &Path) -> io::Result<Pages> {
    let mut pages = Pages::new();
    for_each_page(delta, |at, page| {
        pages.insert(at, Box::new(*page));
        Ok(())
    })?;
    Ok(pages)
}

fn for_each_page(
    delta: &Path,
    mut take: impl FnMut(u64, &[u8; PAGE_LEN]) -> io::Result<()>,
) -> io::Result<()> {
    let mut delta = BufReader::with_capacity(1 << 20, File::open(delta)?);
    let mut head = [0; 8];
    let mut page = [0; PAGE_LEN];
    delta.read_exact(&mut head)?;
    if head != *MARK {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no changes of a corpus of ours"));
    }
    loop {
        match delta.read_exact(&mut head) {
            Ok(()) => delta.read_exact(&mut page)?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        take(u64::from_le_bytes(head), &page)?;
    }
}

/// One record: position in bytes, little-endian, and the page.
fn put(file: &mut impl io::Write, at: u64, page: &[u8; PAGE_LEN]) -> io::Result<()> {
    file.write_all(&at.to_le_bytes())?;
    file.write_all(page)
}

/// Which pages change, and how: never more than `pages`, never outside `body`.
fn plan(data: &[Range<u64>], body: &Range<u64>, pages: u64, random: &mut Random) -> BTreeMap<u64, Change> {
    let inside = Range { start: body.start.div_ceil(PAGE_BYTES), end: body.end / PAGE_BYTES };
    let used: Vec<u64> = data
        .iter()
        .flat_map(|range| range.start.div_ceil(PAGE_BYTES)..range.end / PAGE_BYTES)
        .filter(|page| inside.contains(page))
        .collect();
    let mut changes = BTreeMap::new();
    let count = u64::try_from(used.len()).expect("a number of pages fits 64 bits");
    let pages = pages.min(count / 2);
    let clustered = pages * CLUSTERED / 6;
    while 0 < count && len(&changes) < clustered {
        let change = if random.below(2) == 0 { Change::Text } else { Change::Scan };
        let run = 1 + random.below(LARGEST_RUN_PAGES.min(clustered - len(&changes)));
        let start = random.below(count);
        for at in start..(start + run).min(count) {
            changes.insert(used[usize::try_from(at).expect("an index fits memory")], change);
        }
    }
    records(&mut changes, &used, pages * (CLUSTERED + 1) / 6, random);
    grow(&mut changes, &used, &inside, pages, random);
    changes
}

/// Changed records: single pages, near each other in a few places.
fn records(changes: &mut BTreeMap<u64, Change>, used: &[u64], until: u64, random: &mut Random) {
    let count = u64::try_from(used.len()).expect("a number of pages fits 64 bits");
    let missing = until.saturating_sub(len(changes));
    for district in 0..DISTRICTS {
        let start = if count == 0 { return } else { random.below(count) };
        for _ in 0..missing * (district + 1) / DISTRICTS - missing * district / DISTRICTS {
            let at = (start + random.below(DISTRICT_PAGES)).min(count - 1);
            changes.entry(used[usize::try_from(at).expect("an index fits memory")]).or_insert(Change::Record);
        }
    }
}

/// New files: runs of pages that held nothing so far.
fn grow(
    changes: &mut BTreeMap<u64, Change>,
    used: &[u64],
    inside: &Range<u64>,
    pages: u64,
    random: &mut Random,
) {
    let room = inside.end.saturating_sub(inside.start);
    for _ in 0..1000 {
        if room == 0 || pages <= len(changes) {
            return;
        }
        let start = inside.start + random.below(room);
        let run = 1 + random.below(LARGEST_GROWTH_PAGES.min(pages - len(changes)));
        let change = if random.below(4) == 0 { Change::Text } else { Change::Scan };
        for page in start..(start + run).min(inside.end) {
            if used.binary_search(&page).is_err() {
                changes.insert(page, change);
            }
        }
    }
}

fn len(changes: &BTreeMap<u64, Change>) -> u64 {
    u64::try_from(changes.len()).expect("a number of pages fits 64 bits")
}

fn changed(old: &[u8; PAGE_LEN], change: Change, random: &mut Random) -> [u8; PAGE_LEN] {
    let mut page = *old;
    match change {
        Change::Record => {
            let at = usize::try_from(random.below(PAGE_BYTES - 120)).expect("a position in a page");
            random.fill(&mut page[at..at + 120]);
        }
        Change::Text => {
            let mut lines = Lines::new(random);
            let mut at = 0;
            while at < PAGE_LEN {
                let line = lines.next_line().as_bytes();
                let part = line.len().min(PAGE_LEN - at);
                page[at..at + part].copy_from_slice(&line[..part]);
                at += part;
            }
        }
        Change::Scan => random.fill(&mut page),
    }
    page
}

#[cfg(test)]
mod tests {
    use super::super::digest::of_file;
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_plan_is_decided_by_the_seed_and_keeps_inside_the_partition() {
        let data = [0..4 * MIB, 10 * MIB..40 * MIB];
        let make = |seed| plan(&data, &(MIB..60 * MIB), 600, &mut Random::of(seed, "day", 1));
        let changes = make(1);
        assert_eq!(changes, make(1));
        assert_ne!(changes, make(2));
        assert_eq!(changes.len(), 600);
        assert!(changes.keys().all(|page| (256..15_360).contains(page)));
        for kind in [Change::Record, Change::Text, Change::Scan] {
            assert!(changes.values().any(|&change| change == kind), "{kind:?}");
        }
    }

    #[test]
    fn an_empty_image_has_no_next_day() {
        assert!(plan(&[], &(0..MIB), 10, &mut Random::of(1, "day", 1)).is_empty());
    }

    #[test]
    fn what_a_day_changes_can_be_taken_back_with_its_holes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name| folder.path().join(name);
        let (image, redo, undo) = (at("image"), at("redo"), at("undo"));
        let file = sparse::create(&image, 16 * MIB).expect("an image");
        let mut bytes = vec![0; 4 << 20];
        Random::of(1, "image", 0).fill(&mut bytes);
        file.write_all_at(&bytes, 2 * MIB).expect("write");
        let before = (of_file(&image).expect("read"), sparse::data_ranges(&file).expect("ranges"));
        let files = Files { redo: &redo, undo: &undo };
        let size = write(&image, MIB..15 * MIB, MIB, &files, &mut Random::of(1, "day", 1)).expect("a day");
        assert!((MIB..2 * MIB).contains(&size), "{size}");
        apply(&redo, &image).expect("redo");
        assert_ne!(of_file(&image).expect("read"), before.0);
        apply(&undo, &image).expect("undo");
        assert_eq!((of_file(&image).expect("read"), sparse::data_ranges(&file).expect("ranges")), before);
    }
}
