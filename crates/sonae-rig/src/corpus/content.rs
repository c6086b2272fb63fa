//! What a municipal application leaves on a disk beside its register: logs that compress well, and scanned papers
//! that do not compress at all.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use super::random::Random;

/// 2019-12-04T00:00:00Z in milliseconds: the day the corpus plays on.
const DAY_MS: u64 = 1_575_417_600_000;
const SCAN_SMALLEST_BYTES: u64 = 200_000;
const SCAN_LARGEST_BYTES: u64 = 4 << 20;

/// Writes a log of exactly `size_bytes`.
pub(crate) fn write_log(path: &Path, size_bytes: u64, random: &mut Random) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut lines = Lines::new(random);
    let mut left = usize::try_from(size_bytes).map_err(io::Error::other)?;
    while 0 < left {
        let line = lines.next_line();
        let part = &line.as_bytes()[..line.len().min(left)];
        file.write_all(part)?;
        left -= part.len();
    }
    file.flush()
}

/// The lines of a log, one after another.
pub(crate) struct Lines<'a> {
    random: &'a mut Random,
    at_ms: u64,
    line: String,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(random: &'a mut Random) -> Self {
        Self { random, at_ms: DAY_MS, line: String::new() }
    }

    pub(crate) fn next_line(&mut self) -> &str {
        self.at_ms += self.random.below(200);
        let (server, resident, number) =
            (self.random.below(8), self.random.below(1 << 19), self.random.below(512));
        self.line.clear();
        write!(self.line, "{}.{:03} app{server} ", self.at_ms / 1000, self.at_ms % 1000).expect(NEVER);
        match self.random.below(5) {
            0 => writeln!(self.line, "INFO  [jumin] 住民票照会 uid={resident:06} ms={number}"),
            1 => writeln!(self.line, "INFO  [tax] 課税計算 uid={resident:06} ms={number}"),
            2 => writeln!(self.line, "WARN  [auth] ログイン失敗 uid={resident:06} retry={number}"),
            3 => writeln!(self.line, "INFO  [http] GET /api/v1/resident/{resident:06} 200 {number}"),
            _ => {
                writeln!(self.line, "DEBUG [sql] SELECT * FROM resident WHERE id={resident:06} rows={number}")
            }
        }
        .expect(NEVER);
        &self.line
    }
}

const NEVER: &str = "writing to a string cannot fail";

/// Writes scanned papers of together exactly `size_bytes` into a new folder.
pub(crate) fn write_scans(folder: &Path, size_bytes: u64, random: &mut Random) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, size) in scan_sizes(size_bytes, random).into_iter().enumerate() {
        let mut bytes = vec![0; size];
        random.fill(&mut bytes);
        let start = bytes.len().min(4);
        bytes[..start].copy_from_slice(&[0xff, 0xd8, 0xff, 0xe0][..start]);
        fs::write(folder.join(format!("scan{number:05}.jpg")), bytes)?;
    }
    Ok(())
}

fn scan_sizes(size_bytes: u64, random: &mut Random) -> Vec<usize> {
    let mut sizes = Vec::new();
    let mut left = size_bytes;
    while 0 < left {
        let size = (SCAN_SMALLEST_BYTES + random.below(SCAN_LARGEST_BYTES - SCAN_SMALLEST_BYTES)).min(left);
        sizes.push(usize::try_from(size).expect("a scan fits memory"));
        left -= size;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_text(seed: u64, size_bytes: u64) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("app.log");
        write_log(&path, size_bytes, &mut Random::of(seed, "log", 1)).expect("a log");
        fs::read(path).expect("the log")
    }

    #[test]
    fn a_log_has_exactly_its_size_and_its_seed_decides_every_byte() {
        assert_eq!(log_text(1, 100_000).len(), 100_000);
        assert_eq!(log_text(1, 5_000), log_text(1, 100_000)[..5_000]);
        assert_ne!(log_text(1, 5_000), log_text(2, 5_000));
    }

    #[test]
    fn time_never_runs_backwards_in_a_log() {
        let mut random = Random::of(1, "log", 1);
        let mut lines = Lines::new(&mut random);
        let times: Vec<String> = (0..500).map(|_| lines.next_line()[..14].to_owned()).collect();
        assert!(times.is_sorted());
    }

    #[test]
    fn scans_add_up_to_the_size_asked_for() {
        for size in [1, 200_000, 33 << 20] {
            let sizes = scan_sizes(size, &mut Random::of(9, "scan", 1));
            assert_eq!(sizes.iter().map(|&s| u64::try_from(s).expect("small")).sum::<u64>(), size);
        }
    }
}
