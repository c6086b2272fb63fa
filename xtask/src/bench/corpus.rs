//! Which images are measured, and making them where they are missing.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::host;

/// How large a corpus is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Size {
    /// Less than 1 GiB: to see that everything runs
    Small,
    /// 10 GiB, 7.5 of them data: what the goals are set for
    Std,
}

/// The images of one bench run.
#[derive(Clone, Debug)]
pub(crate) struct Corpus {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// Whether it knows the next day of its images.
    pub(crate) days: Days,
    /// Measured as the disks of one machine.
    pub(crate) images: Vec<PathBuf>,
    /// Large and mostly empty.
    pub(crate) sparse: Option<PathBuf>,
}

/// Whether a corpus knows a second day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Days {
    One,
    Two,
}

impl Size {
    fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Std => "std",
        }
    }
}

/// The corpus in a folder that the caller names, or ours of this size, made if it is missing.
pub(crate) fn find_or_make(size: Size, given: Option<&Path>, ours: &Path, rig: &Path) -> Result<Corpus> {
    if let Some(folder) = given {
        return read(folder);
    }
    let folder = ours.join(size.name());
    if !folder.join("corpus.json").exists() {
        host::say(&format!("making the corpus {} (once; std takes some minutes)", folder.display()));
        make(rig, size.name(), &folder)?;
    }
    read(&folder)
}

/// The 1 TiB disk, made if it is missing.
pub(crate) fn huge(ours: &Path, rig: &Path) -> Result<PathBuf> {
    let folder = ours.join("huge");
    let path = folder.join("huge.raw");
    if !path.exists() {
        host::say("making the 1 TiB disk (once; 20 GiB of data)");
        make(rig, "huge", &folder)?;
    }
    Ok(path)
}

/// Lengths and blocks of files together, in bytes.
pub(crate) fn sizes(images: &[PathBuf]) -> Result<(u64, u64)> {
    images.iter().try_fold((0, 0), |(logical, allocated), path| {
        let metadata = path.metadata().with_context(|| format!("cannot read {}", path.display()))?;
        Ok((logical + metadata.len(), allocated + metadata.blocks() * 512))
    })
}

fn make(rig: &Path, what: &str, folder: &Path) -> Result<()> {
    let command = format!("{} corpus {what} {}", super::machine::quoted(rig), super::machine::quoted(folder));
    super::machine::shown(&command).with_context(|| format!("cannot make the corpus {}", folder.display()))
}

fn read(folder: &Path) -> Result<Corpus> {
    let img = folder.join("img").canonicalize();
    let img = img.with_context(|| format!("there is no corpus in {} (no folder img)", folder.display()))?;
    let mut names = Vec::new();
    for entry in fs::read_dir(&img).with_context(|| format!("cannot read {}", img.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "raw") {
            names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
        }
    }
    let machines: Vec<String> = names.iter().filter(|name| name.starts_with("vm")).cloned().collect();
    let described = fs::read_to_string(folder.join("corpus.json")).unwrap_or_default();
    let chosen = described_choice(&described).unwrap_or_else(|| choice(machines));
    ensure!(!chosen.is_empty(), "there is no image vm*.raw in {}", img.display());
    let image = |name: &String| img.join(format!("{name}.raw"));
    for name in &chosen {
        ensure!(image(name).exists(), "{} is missing", image(name).display());
    }
    Ok(Corpus {
        name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        folder: folder.to_owned(),
        days: if chosen.iter().all(|name| has_second_day(folder, name)) { Days::Two } else { Days::One },
        images: chosen.iter().map(image).collect(),
        sparse: names.iter().find(|name| name.starts_with("sparse")).map(image),
    })
}

/// Whether the changes of an image are there, in our form: corpora of others may have such a folder, too.
fn has_second_day(folder: &Path, name: &str) -> bool {
    let mut mark = [0; 8];
    let file = fs::File::open(folder.join("delta").join(format!("{name}.day2")));
    file.and_then(|mut file| file.read_exact(&mut mark)).is_ok() && mark == *b"sonaeday"
}

/// The choice that a corpus makes itself.
fn described_choice(text: &str) -> Option<Vec<String>> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let names = value.get("measured")?.as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

/// The first three machines and the last: clones, and one installed by itself.
fn choice(mut names: Vec<String>) -> Vec<String> {
    names.sort_by_key(|name| (name.len(), name.clone()));
    let last = names.len().saturating_sub(1);
    names.into_iter().enumerate().filter(|(at, _)| *at < 3 || *at == last).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], chosen: &[&str]) {
        assert_eq!(choice(names.iter().map(|&name| name.to_owned()).collect()), chosen);
    }

    #[test]
    fn three_clones_and_the_last_machine_are_measured() {
        check(&["vm10", "vm2", "vm1", "vm3", "vm8"], &["vm1", "vm2", "vm3", "vm10"]);
        check(&["vm1", "vm2"], &["vm1", "vm2"]);
        check(&[], &[]);
    }

    #[test]
    fn a_corpus_may_choose_itself() {
        assert_eq!(described_choice(r#"{"measured":["vm4","vm5"]}"#), Some(vec!["vm4".into(), "vm5".into()]));
        assert_eq!(described_choice(r#"{"vms":[]}"#), None);
        assert_eq!(described_choice(""), None);
    }
}
