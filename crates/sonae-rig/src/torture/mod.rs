//! Torture: the program is killed in the middle of its work, again and again, and what it leaves is judged every time by
//! its own next run, by its own check, and by plain restic.
//!
//! A round aims at a phase of a backup by watching the repository grow, and afterwards tells by what was left which
//! phase it really hit: a kill is never sure of its moment, so the histogram counts what was hit and not what was
//! aimed at.

mod kill;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use sonae_agent::system_environment;
use sonae_types::ByteCount;

use crate::content::Content;
use crate::corpus::random::Random;
use crate::disks::{self, Stretch};
use crate::host;
use crate::peer::{Peer, Release};
use crate::stand::{Stand, text};
use kill::{Killed, kill_when};
use watch::{Left, Watch};

/// Kills backups, prunes, restores and repairs of the index in the middle of their work, and judges what they leave.
#[derive(Clone, Copy, Debug, Args)]
pub struct TortureArgs {
    /// Kills of a backup, and as many of a prune; restores and repairs are killed besides, one for each ten of these.
    #[arg(long, default_value_t = 200)]
    pub rounds: u32,
    /// Decides what is aimed at and the bytes of the disks.
    #[arg(long, default_value_t = 4)]
    pub seed: u64,
}

/// What a backup was doing when it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// It had written its lock and waited whether anybody objects.
    Lock,
    /// It read its sources and had stored nothing of them.
    Read,
    /// It had stored packs, or parts of one.
    Pack,
    /// It had stored its index.
    Index,
    /// It had stored its point.
    Snapshot,
}

/// What a prune was doing when it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrunePhase {
    /// It had written its lock, and read.
    Lock,
    /// It had stored copies, or parts of one.
    Pack,
    /// It had listed its copies in the index, or taken something out of it.
    Index,
    /// It had removed a pack.
    Remove,
}

/// What all rounds together came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many backups were killed in which phase.
    pub phases: BTreeMap<Phase, u32>,
    /// Backups that were killed before they had their lock.
    pub early: u32,
    /// Backups that ended before they could be killed.
    pub escaped: u32,
    /// Killed backups that had written something.
    pub wrote: u32,
    /// Restores that were killed, and those of them that the next one went on with.
    pub restores: (u32, u32),
    /// Repairs of the index that were killed.
    pub repairs: u32,
    /// How many prunes were killed in which phase.
    pub prunes: BTreeMap<PrunePhase, u32>,
    /// How often plain restic read and checked all data.
    pub judged: u32,
}

const VM: &str = "jumin-ap01";
const DISKS: [(&str, &str); 2] = [("vda", "vda"), ("vdb", "vdb")];
/// A repository is left behind after so many rounds, so that judging it stays quick.
const ROUNDS_A_STAND: u32 = 20;
/// For how long phases that were not hit yet are aimed at beyond the rounds that were asked for.
const PATIENCE: u32 = 3;

impl Phase {
    /// Every phase, in the order of a backup.
    pub const ALL: [Self; 5] = [Self::Lock, Self::Read, Self::Pack, Self::Index, Self::Snapshot];
}

impl PrunePhase {
    /// Every phase, in the order of a prune.
    pub const ALL: [Self; 4] = [Self::Lock, Self::Pack, Self::Index, Self::Remove];
}

impl Tally {
    /// Backups that were killed.
    #[must_use]
    pub fn killed(&self) -> u32 {
        self.phases.values().sum::<u32>() + self.early
    }

    /// Whether some phase was not hit yet.
    fn misses(&self) -> bool {
        self.phases.len() < Phase::ALL.len() || self.prunes.len() < PrunePhase::ALL.len()
    }

    /// The histogram and the rest in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let phases = Phase::ALL.map(|phase| {
            let count = self.phases.get(&phase).copied().unwrap_or(0);
            format!("{} {count}", format!("{phase:?}").to_lowercase())
        });
        let prunes = PrunePhase::ALL.map(|phase| {
            let count = self.prunes.get(&phase).copied().unwrap_or(0);
            format!("{} {count}", format!("{phase:?}").to_lowercase())
        });
        format!(
            "killed {} backups: {}, before the lock {}; {} ended before; {} had written something; {} restores killed, {} gone on with; \
             {} repairs of the index killed; prunes killed: {}; restic judged {} times",
            self.killed(),
            phases.join(", "),
            self.early,
            self.escaped,
            self.wrote,
            self.restores.0,
            self.restores.1,
            self.repairs,
            prunes.join(", "),
            self.judged
        )
    }

    /// Errors: a phase was never hit, or too many kills hit nothing.
    pub fn ensure_met_its_danger(&self) -> Result<()> {
        for phase in Phase::ALL {
            ensure!(self.phases.contains_key(&phase), "no backup was killed in the phase {phase:?}");
        }
        ensure!(
            self.killed() * 9 <= self.wrote * 10,
            "only {} of {} killed backups had written anything",
            self.wrote,
            self.killed()
        );
        ensure!(0 < self.restores.1, "no killed restore was gone on with");
        ensure!(0 < self.repairs, "no repair was killed");
        for phase in PrunePhase::ALL {
            ensure!(self.prunes.contains_key(&phase), "no prune was killed in the phase {phase:?}");
        }
        Ok(())
    }
}

/// Kills and judges. `program` is the `sonae` to torture. Errors: the first thing that did not hold, with its round.
pub fn torture(args: &TortureArgs, program: &Path, mut tell: impl FnMut(&str)) -> Result<Tally> {
    let restic = Peer::find(Release::OfSystem)?;
    let mut tally = Tally::default();
    let mut random = Random::of(args.seed, "torture", 0);
    let mut round = 0;
    while round < args.rounds || (round < args.rounds * PATIENCE && tally.misses()) {
        let last = args.rounds.saturating_sub(round).clamp(1, ROUNDS_A_STAND);
        let mut scene = Scene::new(program.to_owned(), &restic, args.seed.wrapping_add(u64::from(round)))?;
        for _ in 0..last {
            host::go_on()?;
            let context = || format!("round {round}, seed {}", args.seed);
            scene
                .kill_backup(aim(&Phase::ALL, &tally.phases, &mut random), &mut random, &mut tally)
                .with_context(context)?;
            let aimed = aim(&PrunePhase::ALL, &tally.prunes, &mut random);
            scene.kill_prune(aimed, &mut random, &mut tally).with_context(context)?;
            if round.is_multiple_of(10) {
                scene.kill_restore(&mut random, &mut tally).with_context(context)?;
                scene.kill_repair(&mut random, &mut tally).with_context(context)?;
            }
            round += 1;
        }
        scene.judge(&mut tally)?;
        tell(&tally.line());
    }
    Ok(tally)
}

/// A phase that was never hit, or any.
fn aim<P: Copy + Ord>(all: &[P], hit: &BTreeMap<P, u32>, random: &mut Random) -> P {
    let missed = all.iter().copied().filter(|phase| !hit.contains_key(phase)).collect::<Vec<_>>();
    let choice = if missed.is_empty() { all } else { &missed };
    let at = random.below(choice.len() as u64);
    choice[usize::try_from(at).expect("a small number")]
}

/// One repository, one machine, and who judges them.
struct Scene<'a> {
    stand: Stand,
    restic: &'a Peer,
    seed: u64,
    /// How often the disks were changed.
    day: u64,
    /// Points of backups that succeeded.
    points: Vec<String>,
}

impl<'a> Scene<'a> {
    fn new(program: PathBuf, restic: &'a Peer, seed: u64) -> Result<Self> {
        let stand = Stand::over(program)?.cheap(system_environment())?;
        let (noise, text) = (
            |seed, mib| Stretch::Noise(seed, ByteCount::mib(mib)),
            |seed, mib| Stretch::Text(seed, ByteCount::mib(mib)),
        );
        disks::make(&stand.path("vda"), &[noise(seed, 12), Stretch::Hole(ByteCount::mib(8)), text(seed, 8)])?;
        disks::make(&stand.path("vdb"), &[text(seed + 1, 4), noise(seed + 2, 4)])?;
        let mut scene = Self { stand, restic, seed, day: 0, points: Vec::new() };
        scene.back_up()?;
        Ok(scene)
    }

    /// A day goes by: enough is written anew that a backup fills more than one pack.
    fn change_disks(&mut self) -> Result<()> {
        self.day += 1;
        let fresh =
            |offset: u64, mib| Stretch::Noise(self.seed ^ (self.day << 20) ^ offset, ByteCount::mib(mib));
        disks::overwrite(&self.stand.path("vda"), ByteCount::mib(1), fresh(1, 18))?;
        disks::overwrite(&self.stand.path("vdb"), ByteCount::mib(5), fresh(2, 2))
    }

    /// The run that must succeed, whatever was before; its point gives back the disks.
    fn back_up(&mut self) -> Result<()> {
        let report = self.stand.backup(VM, &DISKS, &[]).context("the backup after")?;
        ensure!(report["findings"] == serde_json::json!([]), "the backup after finds {}", report["findings"]);
        let point = text(&report["point"])?.to_owned();
        for (disk, file) in DISKS {
            let restored = self.stand.restored(&point, disk)?;
            ensure!(restored == Content::of(&self.stand.path(file))?, "{disk} of {point} is another disk");
        }
        self.points.push(point);
        Ok(())
    }

    fn kill_backup(&mut self, aim: Phase, random: &mut Random, tally: &mut Tally) -> Result<()> {
        self.change_disks()?;
        let watch = Watch::over(&self.stand.place().repository)?;
        let mut args = vec!["backup".to_owned(), "--vm".to_owned(), VM.to_owned()];
        for (name, file) in DISKS {
            args.extend(["--disk".to_owned(), format!("{name}={}", self.stand.at(file))]);
        }
        let grace = Duration::from_micros(match aim {
            Phase::Lock => random.below(150_000),
            Phase::Read => random.below(20_000),
            Phase::Pack => random.below(60_000),
            // These last no longer than a few writes take.
            Phase::Index | Phase::Snapshot => random.below(300),
        });
        let mut command = self.stand.command(args);
        match kill_when(&mut command, grace, |elapsed| watch.reached(aim, elapsed))? {
            Killed::EndedBefore => tally.escaped += 1,
            Killed::After(since_lock) => {
                let Left { phase, bytes } = watch.left(since_lock)?;
                match phase {
                    Some(phase) => *tally.phases.entry(phase).or_insert(0) += 1,
                    None => tally.early += 1,
                }
                tally.wrote += u32::from(ByteCount::ZERO < bytes);
            }
        }
        self.check_points()?;
        self.back_up()
    }

    /// Every point that a backup told of is still there and whole, and so is every other that is listed.
    fn check_points(&self) -> Result<()> {
        let listed = self.stand.points()?;
        for point in &self.points {
            ensure!(listed.contains(point), "the point {point} is gone");
        }
        let check = self.stand.sonae(["repo", "check"])?.good()?;
        ensure!(check["findings"] == serde_json::json!([]), "the check finds {}", check["findings"]);
        // The last two: one that a killed run may have left, and the one before it.
        for point in listed.iter().rev().take(2) {
            self.stand.sonae(["verify", point])?.good()?;
        }
        Ok(())
    }

    fn kill_restore(&self, random: &mut Random, tally: &mut Tally) -> Result<()> {
        let (point, to) = (self.points.last().context("a point")?, self.stand.path("restored"));
        let partial = self.stand.path("restored.sonae-partial");
        let args = ["restore", point, "--disk", "vda", "--to", &self.stand.at("restored")];
        let grace = Duration::from_micros(random.below(8_000));
        let killed = kill_when(&mut self.stand.command(args), grace, |_| {
            Ok(disks::taken_now(&partial).is_some_and(|taken| ByteCount::ZERO < taken))
        })?;
        if matches!(killed, Killed::After(_)) && !to.exists() {
            let report = self.stand.sonae(args)?.good().context("the restore after")?;
            tally.restores.0 += 1;
            tally.restores.1 += u32::from(report["begun"] == "resumed");
        }
        ensure!(Content::of(&to)? == Content::of(&self.stand.path("vda"))?, "another disk was restored");
        std::fs::remove_file(to).context("cannot remove the restored disk")
    }

    /// Loses the index, kills its repair, and repairs again.
    fn kill_repair(&self, random: &mut Random, tally: &mut Tally) -> Result<()> {
        let index = self.stand.place().repository.join("index");
        for file in std::fs::read_dir(&index)? {
            std::fs::remove_file(file?.path())?;
        }
        let watch = Watch::over(&self.stand.place().repository)?;
        let aim = if random.below(2) == 0 { Phase::Lock } else { Phase::Index };
        let grace = Duration::from_micros(random.below(250_000));
        let mut command = self.stand.command(["repo", "repair-index"]);
        if let Killed::After(_) = kill_when(&mut command, grace, |elapsed| watch.reached(aim, elapsed))? {
            tally.repairs += 1;
        }
        self.stand.sonae(["repo", "repair-index"])?.good().context("the repair after")?;
        self.check_points()
    }

    /// Forgets all points but the newest, kills the prune of what only they needed, and prunes again.
    fn kill_prune(&mut self, aim: PrunePhase, random: &mut Random, tally: &mut Tally) -> Result<()> {
        self.stand.sonae(["forget", "--keep-last", "1"])?.good()?;
        self.points = self.stand.points()?;
        let watch = Watch::over(&self.stand.place().repository)?;
        let grace = Duration::from_micros(match aim {
            PrunePhase::Lock => random.below(220_000),
            PrunePhase::Pack => random.below(30_000),
            // These last no longer than a few writes take.
            PrunePhase::Index | PrunePhase::Remove => random.below(300),
        });
        let all = ["prune", "--grace", "0", "--max-unused", "0"];
        // One that only marks never removes, so it is killed earlier.
        let args = if aim < PrunePhase::Index && random.below(2) == 0 { &all[..1] } else { &all[..] };
        let mut command = self.stand.command(args);
        if let Killed::After(_) = kill_when(&mut command, grace, |_| watch.reached_in_prune(aim))?
            && let Some(phase) = watch.left_by_prune()?
        {
            *tally.prunes.entry(phase).or_insert(0) += 1;
        }
        self.check_points().context("after a killed prune")?;
        let pruned = self.stand.sonae(all)?.good().context("the prune after")?;
        ensure!(pruned["unused_left_bytes"] == 0 && pruned["waiting_packs"] == 0, "{pruned}");
        self.check_points().context("after the prune")
    }

    /// Plain restic reads everything.
    fn judge(&self, tally: &mut Tally) -> Result<()> {
        self.restic.check(&self.stand.place())?;
        let verified = self.stand.sonae(["verify", "--all"])?.good()?;
        ensure!(verified["verdict"] == "good", "verify --all says {verified}");
        tally.judged += 1;
        Ok(())
    }
}
