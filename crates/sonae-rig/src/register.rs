//! The register of residents that the tiny guest keeps: its rows as values, and the comparison row by row.
//!
//! Pure: where rows are read from (a serial line, a disk image) is not known here.

use std::fmt;

/// The question both readers ask: the guest of itself, the host of the disk image.
pub const QUESTION: &str = include_str!("../assets/guest/register.sql");

/// A number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowCount(pub usize);

/// The number of a row in the register. Ascending and gapless, as the guest only ever adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowId(pub u64);

/// One row: what was written, and the SHA-3 of the record itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub id: RowId,
    /// When the guest wrote it, UTC.
    pub written_at: String,
    /// The resident's number.
    pub number: String,
    /// The resident's name.
    pub name: String,
    /// The resident's address.
    pub address: String,
    /// SHA-3-256 over the record, as hex.
    pub record_hash: String,
}

/// Text that is not a row.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a row of the register: {line:?}")]
pub struct NotARow {
    /// The text.
    pub line: String,
}

/// What two readings have in common when nothing was lost or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Equal {
    /// Rows of the first reading, each found unchanged in the second.
    pub rows: RowCount,
    /// Rows that the second reading has after the last of the first: written since.
    pub written_since: RowCount,
}

/// Why two readings are not the same register.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// Comparing nothing proves nothing.
    #[error("the first reading has no rows, so nothing is proven")]
    NothingToCompare,
    /// A row stands in the first reading only.
    #[error("row {} is gone; it was {before}", before.id)]
    Gone {
        /// The row as it was.
        before: Row,
    },
    /// A row stands in both, not the same.
    #[error("row {} differs in {field}: it was {before}, it is {after}", before.id)]
    Changed {
        /// The first column that differs.
        field: &'static str,
        /// The row as it was.
        before: Row,
        /// The row as it is.
        after: Row,
    },
    /// A row stands in the second reading where the first has none.
    #[error("row {} was never written before: {after}", after.id)]
    Foreign {
        /// The row.
        after: Row,
    },
}

impl Row {
    /// Reads a line that [`QUESTION`] gives.
    pub fn parse(line: &str) -> Result<Self, NotARow> {
        let parts: Vec<&str> = line.trim_end_matches('\r').split('|').collect();
        let bad = || NotARow { line: line.to_owned() };
        let ["ROW", id, written_at, number, name, address, record_hash] = parts[..] else {
            return Err(bad());
        };
        if record_hash.len() != 64 || !record_hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        Ok(Self {
            id: RowId(id.parse().map_err(|_not_a_number| bad())?),
            written_at: written_at.to_owned(),
            number: number.to_owned(),
            name: name.to_owned(),
            address: address.to_owned(),
            record_hash: record_hash.to_owned(),
        })
    }

    /// The first column in which another row differs.
    fn first_difference(&self, other: &Self) -> Option<&'static str> {
        let columns = [
            ("id", self.id == other.id),
            ("written_at", self.written_at == other.written_at),
            ("number", self.number == other.number),
            ("name", self.name == other.name),
            ("address", self.address == other.address),
            ("record", self.record_hash == other.record_hash),
        ];
        columns.into_iter().find(|(_, same)| !same).map(|(name, _)| name)
    }
}

/// Compares two readings row by row, and names the first row that is not the same.
///
/// The second reading may go on where the first ended, since a restored guest writes again at once.
pub fn compare(before: &[Row], after: &[Row]) -> Result<Equal, Box<Difference>> {
    first_difference(before, after).map_err(Box::new)?;
    let written_since = after.len() - before.len();
    Ok(Equal { rows: RowCount(before.len()), written_since: RowCount(written_since) })
}

#[expect(clippy::result_large_err, reason = "boxed by the one caller")]
fn first_difference(before: &[Row], after: &[Row]) -> Result<(), Difference> {
    if before.is_empty() {
        return Err(Difference::NothingToCompare);
    }
    let mut rest = after.iter();
    for old in before {
        match rest.next() {
            None => return Err(Difference::Gone { before: old.clone() }),
            Some(new) if new.id > old.id => return Err(Difference::Gone { before: old.clone() }),
            Some(new) if new.id < old.id => return Err(Difference::Foreign { after: new.clone() }),
            Some(new) => {
                if let Some(field) = old.first_difference(new) {
                    return Err(Difference::Changed { field, before: old.clone(), after: new.clone() });
                }
            }
        }
    }
    let last = before.last().map_or(RowId(0), |row| row.id);
    match rest.find(|row| row.id <= last) {
        None => Ok(()),
        Some(foreign) => Err(Difference::Foreign { after: foreign.clone() }),
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for RowCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = self.record_hash.get(..12).unwrap_or(&self.record_hash);
        write!(f, "{} {} {} {} {hash}…", self.written_at, self.number, self.name, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: u64, name: &str, record: u8) -> String {
        format!(
            "ROW|{id}|2026-04-01T00:00:00.000Z|0000000042|{name}|備え市試験町1丁目1番地|{}",
            format!("{record:02X}").repeat(32)
        )
    }

    fn register(lines: &[(u64, &str, u8)]) -> Vec<Row> {
        lines.iter().map(|(id, name, record)| Row::parse(&line(*id, name, *record)).expect("a row")).collect()
    }

    fn check(before: &[(u64, &str, u8)], after: &[(u64, &str, u8)], claim: &str) {
        let said = match compare(&register(before), &register(after)) {
            Ok(equal) => format!("{} equal, {} since", equal.rows, equal.written_since),
            Err(difference) => difference.to_string(),
        };
        assert!(said.starts_with(claim), "{said}");
    }

    const THREE: &[(u64, &str, u8)] = &[(1, "一", 1), (2, "二", 2), (3, "三", 3)];

    #[test]
    fn the_same_register_is_equal() {
        check(THREE, THREE, "3 equal, 0 since");
    }

    #[test]
    fn rows_written_after_the_restore_are_no_difference() {
        check(&THREE[..2], THREE, "2 equal, 1 since");
    }

    #[test]
    fn one_changed_record_is_found_and_named() {
        check(THREE, &[(1, "一", 1), (2, "二", 9), (3, "三", 3)], "row 2 differs in record");
    }

    #[test]
    fn one_changed_name_is_found_and_named() {
        check(THREE, &[(1, "一", 1), (2, "弐", 2), (3, "三", 3)], "row 2 differs in name");
    }

    #[test]
    fn a_lost_row_is_found_and_named() {
        check(THREE, &[(1, "一", 1), (3, "三", 3)], "row 2 is gone");
        check(THREE, &THREE[..2], "row 3 is gone");
        check(THREE, &[], "row 1 is gone");
    }

    #[test]
    fn a_row_nobody_wrote_is_found_and_named() {
        check(&THREE[1..], THREE, "row 1 was never written before");
        check(
            THREE,
            &[(1, "一", 1), (2, "二", 2), (3, "三", 3), (3, "三", 3)],
            "row 3 was never written before",
        );
    }

    #[test]
    fn an_empty_register_proves_nothing() {
        check(&[], THREE, "the first reading has no rows");
    }

    #[test]
    fn a_torn_line_is_not_a_row() {
        let whole = line(1, "一", 1);
        for end in 0..whole.len() {
            if let Some(torn) = whole.get(..end) {
                assert!(Row::parse(torn).is_err(), "{torn}");
            }
        }
        assert!(Row::parse(&whole).is_ok());
    }
}
