//! The limit that no backup program can pass on a machine: every byte of the images read, hashed, compressed,
//! encrypted and authenticated once, in fixed chunks, by all cores, with nothing else around it.
//!
//! No format, no index, no check of what was written: a yardstick, not a program to copy.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use aes::Aes256;
use anyhow::{Context as _, Result};
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use sha2::{Digest as _, Sha256};

use crate::corpus::data_ranges;
use crate::host::Stopwatch;

const CHUNK_LEN: usize = 1 << 20;
const CHUNK_BYTES: u64 = 1 << 20;
const LEVEL: i32 = 1;

/// Reads, hashes, compresses and encrypts images with nothing around it, as the limit of the machine.
#[derive(Debug, clap::Args)]
pub struct PrimitivesArgs {
    /// Disk images
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The file that takes the result, flushed to the disk at the end
    #[arg(long)]
    out: PathBuf,
    /// Threads (default: one for each core)
    #[arg(long)]
    threads: Option<usize>,
}

/// What all threads share.
#[derive(Debug)]
struct Bench {
    images: Vec<File>,
    /// Image and position of every chunk that is not wholly a hole.
    work: Vec<(usize, Range<u64>)>,
    next: AtomicUsize,
    known: Mutex<HashSet<[u8; 32]>>,
    out: Mutex<File>,
    read_bytes: AtomicU64,
    unique_bytes: AtomicU64,
    stored_bytes: AtomicU64,
}

/// Runs the loop over the images and prints what it took as JSON.
#[expect(clippy::print_stdout, reason = "the figures are what this command is for")]
pub fn run(args: &PrimitivesArgs) -> Result<()> {
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
    let out = File::create(&args.out).with_context(|| format!("cannot create {}", args.out.display()))?;
    let watch = Stopwatch::start();
    let bench = Bench::open(&args.images, out)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(|| bench.turn())).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a thread's panic is ours"))
    })?;
    bench.out.lock().expect("all threads ended well").sync_all().context("cannot flush the result")?;
    let figure = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed);
    println!(
        "{}",
        serde_json::json!({
            "wall_ms": u64::try_from(watch.elapsed().as_millis())?,
            "cpu_ms": cpu_ms(),
            "threads": threads,
            "read_bytes": figure(&bench.read_bytes),
            "unique_bytes": figure(&bench.unique_bytes),
            "stored_bytes": figure(&bench.stored_bytes),
        })
    );
    Ok(())
}

/// User and system time of this process so far, from its own line in `/proc`; 0 where there is none.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: u64 =
        after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks * 1000 / rustix::param::clock_ticks_per_second()
}

impl Bench {
    fn open(images: &[PathBuf], out: File) -> Result<Self> {
        let open =
            |path: &PathBuf| File::open(path).with_context(|| format!("cannot open {}", path.display()));
        let images = images.iter().map(open).collect::<Result<Vec<_>>>()?;
        let mut work = Vec::new();
        for (number, file) in images.iter().enumerate() {
            let len = file.metadata()?.len();
            let mut next = 0;
            for range in data_ranges(file).context("cannot find the holes of an image")? {
                for chunk in (range.start / CHUNK_BYTES).max(next)..range.end.div_ceil(CHUNK_BYTES) {
                    work.push((number, chunk * CHUNK_BYTES..((chunk + 1) * CHUNK_BYTES).min(len)));
                    next = chunk + 1;
                }
            }
        }
        Ok(Self {
            images,
            work,
            next: AtomicUsize::new(0),
            known: Mutex::default(),
            out: Mutex::new(out),
            read_bytes: AtomicU64::new(0),
            unique_bytes: AtomicU64::new(0),
            stored_bytes: AtomicU64::new(0),
        })
    }

    /// One thread's share of the work.
    fn turn(&self) -> Result<()> {
        let mut chunk = vec![0; CHUNK_LEN];
        let mut packed = vec![0; zstd_safe::compress_bound(CHUNK_LEN)];
        let mut zstd = zstd_safe::CCtx::create();
        while let Some((image, range)) = self.work.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let chunk = &mut chunk[..usize::try_from(range.end - range.start)?];
            self.images[*image].read_exact_at(chunk, range.start).context("cannot read an image")?;
            count(&self.read_bytes, chunk.len());
            if chunk.iter().all(|&byte| byte == 0) || !self.is_new(chunk) {
                continue;
            }
            count(&self.unique_bytes, chunk.len());
            let sealed = seal(&mut zstd, chunk, &mut packed, self.next.load(Ordering::Relaxed))?;
            count(&self.stored_bytes, sealed.len());
            self.out.lock().expect("a thread that panics ends the run").write_all(sealed)?;
        }
        Ok(())
    }

    fn is_new(&self, chunk: &[u8]) -> bool {
        self.known.lock().expect("a thread that panics ends the run").insert(Sha256::digest(chunk).into())
    }
}

/// Compresses and encrypts a chunk; the key is as good as any, for nobody will read this again.
fn seal<'a>(
    zstd: &mut zstd_safe::CCtx<'_>,
    chunk: &[u8],
    packed: &'a mut [u8],
    number: usize,
) -> Result<&'a [u8]> {
    let failed = |code| anyhow::anyhow!("zstd: {}", zstd_safe::get_error_name(code));
    let len = zstd.compress(&mut *packed, chunk, LEVEL).map_err(failed)?;
    let mut iv = [0; 16];
    iv[..8].copy_from_slice(&u64::try_from(number)?.to_be_bytes());
    ctr::Ctr128BE::<Aes256>::new(&[7; 32].into(), &iv.into()).apply_keystream(&mut packed[..len]);
    let tag = Poly1305::new(&[9; 32].into()).compute_unpadded(&packed[..len]);
    packed[0] ^= tag[0];
    Ok(&packed[..len])
}

fn count(counter: &AtomicU64, len: usize) {
    counter.fetch_add(u64::try_from(len).expect("a length fits 64 bits"), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn image(folder: &Path, name: &str, parts: &[(u64, u8)]) -> PathBuf {
        let path = folder.join(name);
        let file = File::create(&path).expect("an image");
        file.set_len(8 * CHUNK_BYTES + 512).expect("its length");
        for &(at, byte) in parts {
            file.write_all_at(&[byte; 4096], at).expect("write");
        }
        path
    }

    #[test]
    fn equal_chunks_are_stored_once_and_holes_are_not_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let a = image(folder.path(), "a", &[(0, 1), (3 * CHUNK_BYTES, 2), (8 * CHUNK_BYTES, 0)]);
        let b = image(folder.path(), "b", &[(5 * CHUNK_BYTES, 1)]);
        let out = File::create(folder.path().join("out")).expect("a file");
        let bench = Bench::open(&[a, b], out).expect("open");
        bench.turn().expect("it runs");
        assert_eq!(bench.unique_bytes.load(Ordering::Relaxed), 2 * CHUNK_BYTES);
        assert!(bench.read_bytes.load(Ordering::Relaxed) < 5 * CHUNK_BYTES);
    }
}
