//! The second day of a pass: what changed, one increment, and getting rid of the first day.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::commands::{self, Commands, Places, disk_map, first_point, stem};
use super::corpus::Days;
use super::engine::Bench;
use super::figures::{Contender, Step, Stored};
use super::machine::{self, quoted};
use super::peers::Column;

/// Grain of the maps that borg 2 gets: its chunks are cut at fixed places, and QEMU's bitmaps have this grain.
const BORG_GRAIN: u64 = 64 << 10;

impl Bench<'_> {
    /// Moves the images to a day.
    pub(super) fn day(&self, day: u8) -> Result<()> {
        match self.corpus.days {
            Days::One => Ok(()),
            Days::Two => {
                let folder = quoted(&self.corpus.folder);
                machine::shown(&format!("{} corpus-day {folder} {day}", quoted(&self.rig)))
                    .with_context(|| format!("cannot move the corpus to day {day}"))
            }
        }
    }

    /// What borg 2 must know of the first day already: which parts of an image are data.
    pub(super) fn maps_before(&self, of: Contender, places: &Places) -> Result<()> {
        if of == Contender::Borg2Map {
            for image in &places.images {
                self.map(
                    &format!("--borg-data {BORG_GRAIN}"),
                    image,
                    &places.maps.join(format!("{}.full", stem(image))),
                )?;
            }
        }
        Ok(())
    }

    /// Changes a day's work, and measures the increment and the pruning of the day before.
    pub(super) fn second_day(
        &mut self,
        of: Contender,
        column: &Column,
        commands: &Commands,
        places: &Places,
        title: &str,
        round: u32,
    ) -> Result<()> {
        let (Days::Two, Some(increment)) = (self.corpus.days, &commands.increment) else { return Ok(()) };
        self.day(2)?;
        // After the day, as hypervisors do: a map from before the last write is not believed.
        let done = self
            .maps_after(of, column, places)
            .and_then(|()| self.second_day_measured(of, commands, increment, places, title, round));
        self.day(1)?;
        done
    }

    fn second_day_measured(
        &mut self,
        of: Contender,
        commands: &Commands,
        increment: &str,
        places: &Places,
        title: &str,
        round: u32,
    ) -> Result<()> {
        if !self.step(of, Step::Increment, Some(increment), &places.images, title) {
            return Ok(());
        }
        if of == Contender::Ours {
            let share = listing_percent(&self.machine.last_said()?).context("our report has no sizes")?;
            self.figures.listing_percent.push(share);
        }
        self.count(of, places, Step::Increment, round)?;
        let repo = [places.repo.clone()];
        if commands.prune.is_some() && self.step(of, Step::Prune, commands.prune.as_deref(), &repo, title) {
            self.count(of, places, Step::Prune, round)?;
        }
        if of == Contender::Ours {
            self.compare_second_day(of, commands, places)?;
        }
        Ok(())
    }

    /// An increment that does not restore to the second day is none.
    fn compare_second_day(&mut self, of: Contender, commands: &Commands, places: &Places) -> Result<()> {
        let Some(restore) = &commands.restore else { return Ok(()) };
        match self.machine.run(&restore.command) {
            Err(bad) => self.fail(of, Step::Increment, format!("it cannot be restored: {bad}")),
            Ok(()) if !machine::same(&restore.arrives, &places.images[0])? => {
                self.fail(of, Step::Increment, "the restored image differs".to_owned());
            }
            Ok(()) => {}
        }
        self.machine.fresh("pass/out").map(drop)
    }

    /// What a hypervisor would hand over: the pages that the day changes.
    fn maps_after(&self, of: Contender, column: &Column, places: &Places) -> Result<()> {
        match of {
            Contender::Ours => {
                let points = commands::points_of_ours(&column.program, places);
                let point = machine::said(&points, &[])
                    .as_deref()
                    .and_then(newest)
                    .context("our point is not listed")?;
                std::fs::write(first_point(places), &point).context("cannot keep the point's id")?;
                for (number, image) in (1..).zip(&places.images) {
                    self.map(&format!("--sonae {point}"), image, &disk_map(places, number))?;
                }
            }
            Contender::Borg2Map => {
                for image in &places.images {
                    let map = places.maps.join(format!("{}.day2", stem(image)));
                    self.map(&format!("--borg-changes {BORG_GRAIN}"), image, &map)?;
                }
            }
            Contender::Restic
            | Contender::Rustic
            | Contender::RusticFixed
            | Contender::Borg2
            | Contender::Copy
            | Contender::Primitives => {}
        }
        Ok(())
    }

    fn map(&self, form: &str, image: &Path, to: &Path) -> Result<()> {
        let (rig, folder) = (quoted(&self.rig), quoted(&self.corpus.folder));
        let command = format!("{rig} corpus-map {folder} {} {form} > {}", stem(image), quoted(to));
        machine::shown(&command).with_context(|| format!("cannot write the map {}", to.display()))
    }

    /// Counts what is stored after a step.
    pub(super) fn count(&mut self, of: Contender, places: &Places, step: Step, round: u32) -> Result<()> {
        let (allocated_bytes, apparent_bytes) = machine::size(&places.repo)
            .with_context(|| format!("cannot count the bytes in {}", places.repo.display()))?;
        let chunks = if round == 1 && step == Step::Full { self.chunks(of, &places.repo) } else { None };
        let stored = Stored { allocated_bytes, apparent_bytes, chunks };
        self.figures.stored.entry((of, step)).or_default().push(stored);
        Ok(())
    }
}

/// What the lists of chunks took of everything that a backup stored.
fn listing_percent(said: &str) -> Option<f64> {
    let mut documents = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let report = documents.rfind(|document| document.get("point").is_some())?;
    let disks = report["disks"].as_array()?;
    let stored: f64 = disks.iter().filter_map(|disk| disk["stored_bytes"].as_f64()).sum();
    let listing = report["listing_bytes"].as_f64()?;
    Some(100.0 * listing / (stored + listing))
}

/// The id of the last point in our list.
fn newest(document: &str) -> Option<String> {
    let points = serde_json::from_str::<serde_json::Value>(document).ok()?;
    Some(points["points"].as_array()?.last()?["point"].as_str()?.to_owned())
}
