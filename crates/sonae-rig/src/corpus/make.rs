//! Making a corpus: template, machines, the mostly empty disk, and the description of it all.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result};

use super::debian::{self, Origin};
use super::image::{self, FIRST_PARTITION_BYTES, SHIFT_BYTES};
use super::manifest::{Image, Kind, Manifest};
use super::profile::{Profile, Size};
use super::random::Random;
use super::tree::Tree;
use super::{SEED, content, delta, digest, huge as huge_disk, register, sparse};
use crate::host::{self, Stopwatch};

/// Machines made at the same time.
const WORKERS: usize = 2;
/// Where the application's data lies on a machine.
const APPLICATION: &str = "/jumin";

/// What making one image needs to know.
#[derive(Debug)]
struct Shop<'a> {
    folder: &'a Path,
    profile: &'a Profile,
    system: &'a Tree,
    template: PathBuf,
    watch: Stopwatch,
}

/// Makes a corpus in a folder.
pub(crate) fn corpus(size: Size, profile: &Profile, folder: &Path, watch: Stopwatch) -> Result<()> {
    for part in ["img", "delta", "stage"] {
        fs::create_dir_all(folder.join(part)).with_context(|| format!("cannot use {}", folder.display()))?;
    }
    let log = folder.join("stage/template.log");
    let root = folder.join("stage/root");
    let template = debian::template(profile.packages, &root, profile.fallback_bytes, &log)?;
    if let (Origin::ThisMachine, Some(reason)) = (template.origin, &template.reason) {
        note(watch, &format!("Debian packages could not be had, this machine's /usr stands in: {reason}"));
    }
    note(watch, &format!("system files: {} MiB", template.tree.size_bytes() >> 20));
    let shop =
        Shop { folder, profile, system: &template.tree, template: folder.join("stage/template.raw"), watch };
    let place = image::partition(profile.disk_bytes, FIRST_PARTITION_BYTES);
    image::format(&shop.template, place, guid(0), &log)?;
    image::fill(&shop.template, place.start_bytes, shop.system, &folder.join("stage/template.debugfs"))?;
    note(watch, "template");
    let images = shop.machines()?;
    let manifest = Manifest {
        version: 1,
        size: size.name().to_owned(),
        seed: SEED,
        origin: template.origin,
        origin_listing_sha256: digest::of_listing(&template.tree),
        origin_reason: template.reason,
        measured: measured(&images),
        sparse: shop.mostly_empty()?,
        images,
    };
    fs::remove_dir_all(folder.join("stage")).context("cannot remove what the corpus was made from")?;
    let text = serde_json::to_string_pretty(&manifest)? + "\n";
    fs::write(folder.join("corpus.json"), text).context("cannot write corpus.json")?;
    note(watch, "done");
    Ok(())
}

/// Makes only the 1 TiB disk.
pub(crate) fn huge(folder: &Path, watch: Stopwatch) -> Result<()> {
    let path = folder.join("huge.raw");
    let half = folder.join("huge.raw.part");
    huge_disk::write(&half, huge_disk::HUGE, SEED)
        .with_context(|| format!("cannot write {}", half.display()))?;
    fs::rename(&half, &path).with_context(|| format!("cannot rename {}", half.display()))?;
    note(watch, &format!("{}: {} MiB of data", path.display(), sparse::allocated_bytes(&path)? >> 20));
    Ok(())
}

impl Shop<'_> {
    /// Makes all machines, some at the same time; each one's bytes depend on its number only.
    fn machines(&self) -> Result<Vec<Image>> {
        let count = self.profile.clones + self.profile.separate;
        let next = Mutex::new(1..=count);
        let made = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .map(|_| {
                    scope.spawn(|| -> Result<()> {
                        while let Some(number) = take(&next) {
                            let image = self.machine(number)?;
                            made.lock().expect("a worker that panics ends the run").push((number, image));
                        }
                        Ok(())
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("a worker's panic is ours"))
        })?;
        let mut made = made.into_inner().expect("all workers ended well");
        made.sort_by_key(|(number, _)| *number);
        Ok(made.into_iter().map(|(_, image)| image).collect())
    }

    fn machine(&self, number: u64) -> Result<Image> {
        host::go_on()?;
        let name = format!("vm{number}");
        let kind = if number <= self.profile.clones { Kind::Clone } else { Kind::Separate };
        let stage = self.folder.join("stage").join(&name);
        let path = self.folder.join("img").join(format!("{name}.raw"));
        let application = self.application(&stage, number)?;
        let (log, script) = (stage.join("log"), stage.join("debugfs"));
        let place = match kind {
            Kind::Clone | Kind::Sparse => {
                sparse::copy(&self.template, &path)
                    .with_context(|| format!("cannot make {}", path.display()))?;
                let place = image::partition(self.profile.disk_bytes, FIRST_PARTITION_BYTES);
                image::fill(&path, place.start_bytes, &application, &script)?;
                place
            }
            Kind::Separate => {
                let place = image::partition(self.profile.disk_bytes, FIRST_PARTITION_BYTES + SHIFT_BYTES);
                image::format(&path, place, guid(number), &log)?;
                let tree = application.then(self.system.clone().turned_around());
                image::fill(&path, place.start_bytes, &tree, &script)?;
                place
            }
        };
        fs::remove_dir_all(&stage).with_context(|| format!("cannot remove {}", stage.display()))?;
        let mut image = describe(&path, name, kind, place.start_bytes)?;
        image.sha256 =
            Some(digest::of_file(&path).with_context(|| format!("cannot read {}", path.display()))?);
        let body = place.start_bytes + (1 << 20)..place.start_bytes + place.len_bytes;
        let day = |day: u8| self.folder.join("delta").join(format!("{}.day{day}", image.name));
        let files = delta::Files { redo: &day(2), undo: &day(1) };
        let size = self.profile.day_bytes(image.allocated_bytes);
        image.day2_changed_bytes =
            delta::write(&path, body, size, &files, &mut Random::of(SEED, "day", number))
                .with_context(|| format!("cannot write the next day of {}", image.name))?;
        let (full, day) = (image.allocated_bytes >> 20, image.day2_changed_bytes >> 20);
        note(self.watch, &format!("{}: {full} MiB allocated, the next day changes {day} MiB", image.name));
        Ok(image)
    }

    /// The application data of one machine, as a tree of files made in `stage`.
    fn application(&self, stage: &Path, number: u64) -> Result<Tree> {
        let data = stage.join("data");
        fs::create_dir_all(&data).with_context(|| format!("cannot use {}", data.display()))?;
        let random = |purpose| Random::of(SEED, purpose, number);
        let log = stage.join("log");
        register::write(
            &data.join("resident.db"),
            self.profile.register_bytes,
            &mut random("register"),
            &log,
        )?;
        content::write_log(&data.join("app.log"), self.profile.log_bytes, &mut random("log"))
            .and_then(|()| {
                content::write_scans(&data.join("scan"), self.profile.scan_bytes, &mut random("scan"))
            })
            .and_then(|()| fs::write(data.join("hostname"), format!("city{number:02}-ap01\n")))
            .with_context(|| format!("cannot write into {}", data.display()))?;
        Tree::scan(&data, APPLICATION).with_context(|| format!("cannot read {}", data.display()))
    }

    /// The 40 GiB disk: half of its data scans, half logs.
    fn mostly_empty(&self) -> Result<Image> {
        let stage = self.folder.join("stage/sparse");
        let data = stage.join("data");
        let half = self.profile.sparse_data_bytes / 2;
        fs::create_dir_all(&data)
            .and_then(|()| content::write_scans(&data.join("scan"), half, &mut Random::of(SEED, "scan", 0)))
            .and_then(|()| content::write_log(&data.join("big.log"), half, &mut Random::of(SEED, "log", 0)))
            .with_context(|| format!("cannot write into {}", stage.display()))?;
        let path = self.folder.join("img/sparse40.raw");
        let place = image::partition(self.profile.sparse_disk_bytes, FIRST_PARTITION_BYTES);
        image::format(&path, place, guid(1000), &stage.join("log"))?;
        image::fill(&path, place.start_bytes, &Tree::scan(&data, "/data")?, &stage.join("debugfs"))?;
        let image = describe(&path, "sparse40".to_owned(), Kind::Sparse, place.start_bytes)?;
        note(self.watch, &format!("sparse40: {} MiB allocated", image.allocated_bytes >> 20));
        Ok(image)
    }
}

fn take(next: &Mutex<std::ops::RangeInclusive<u64>>) -> Option<u64> {
    next.lock().expect("a worker that panics ends the run").next()
}

/// The first three and the last: clones, and one installed by itself.
fn measured(images: &[Image]) -> Vec<String> {
    let last = images.len().saturating_sub(1);
    images
        .iter()
        .enumerate()
        .filter(|(n, _)| *n < 3 || *n == last)
        .map(|(_, image)| image.name.clone())
        .collect()
}

fn describe(path: &Path, name: String, kind: Kind, partition_bytes: u64) -> Result<Image> {
    let logical_bytes = path.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
    let allocated_bytes = sparse::allocated_bytes(path)?;
    let file = format!("img/{name}.raw");
    Ok(Image {
        name,
        file,
        kind,
        logical_bytes,
        allocated_bytes,
        partition_bytes,
        day2_changed_bytes: 0,
        sha256: None,
    })
}

/// The name of a disk, unique by its number.
fn guid(number: u64) -> u128 {
    (u128::from(SEED) << 64) | u128::from(number)
}

#[expect(clippy::print_stderr, reason = "making a corpus takes minutes, and somebody waits at the terminal")]
fn note(watch: Stopwatch, what: &str) {
    eprintln!("{:6.1} s  {what}", watch.elapsed().as_secs_f64());
}
