//! A damaged repository: what is damaged is found and named by us wherever plain restic finds it, what is whole comes
//! back, and no damage ends in a panic (requirements 001-20, 002-09, 003-70).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sonae_repo::store::FileName;
use sonae_rig::content::Content;
use sonae_rig::damage::{Base, Copied, Restored, Run};
use sonae_rig::host::Missing;
use sonae_rig::peer::{Peer, Release};
use sonae_rig::stand::{Answer, text};

use Verdict::{Damaged, Good};

mod bits;
mod copies;
mod index;
mod known;
mod lengths;
mod writes;

/// How many programs are started at once: ours mostly wait, to see whether others take a lock at the same time.
const AT_ONCE: usize = 10;

/// How deep a check goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    Structure,
    Data,
}

impl Depth {
    /// The command, ours and restic's.
    fn command(self) -> &'static str {
        match self {
            Self::Structure => "check",
            Self::Data => "check --read-data",
        }
    }
}

/// What a program says of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Good,
    Damaged,
}

/// Everything that our program says of one copy.
struct Ours {
    check: Answer,
    data: Answer,
    verify: Answer,
    keyless: Answer,
    /// By number of the run and name of the disk.
    restores: BTreeMap<(usize, &'static str), Restored>,
}

/// By what was damaged and by command: how often damage was found, and how often it was looked for.
type Counts = BTreeMap<(&'static str, String), (u32, u32)>;

/// How often each program found each sort of damage.
#[derive(Default)]
struct Table {
    counts: Mutex<Counts>,
    /// Where we find damage and a restic does not.
    more: Mutex<BTreeSet<Difference>>,
}

/// Where we find damage and a restic does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Difference {
    /// What was damaged.
    row: &'static str,
    /// By what it is found.
    by: By,
    /// By which restic it is not.
    release: Release,
}

/// What finds damage, in every program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    Check(Depth),
    Restore,
}

/// The plain restics of this machine; for one that is missing, that is said.
#[expect(clippy::print_stdout, reason = "who reads the test's output must see what was not tested")]
fn peers() -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for release in [Release::OfSystem, Release::Newer] {
        match Peer::find(release) {
            Ok(peer) => peers.push(peer),
            Err(error) => match error.downcast_ref::<Missing>() {
                Some(missing) => println!("skipped: {missing}"),
                None => return Err(error),
            },
        }
    }
    Ok(peers)
}

/// What a restic says. It takes no lock, for whose sake it would wait; and what it finds without reading data is not
/// looked for again, because 0.14 tries for most of a minute to read what is not there.
fn verdict_of(peer: &Peer, copy: &Copied<'_>, depth: Depth) -> Verdict {
    if depth == Depth::Data && verdict_of(peer, copy, Depth::Structure) == Damaged {
        return Damaged;
    }
    let args = depth.command().split(' ').chain(["--no-lock"]);
    match peer.run(copy.place(), args) {
        Ok(said) if String::from_utf8_lossy(&said).contains("no errors were found") => Good,
        Ok(_) | Err(_) => Damaged,
    }
}

/// What a restic gives of a disk: good is the disk as it was. It may also give another one and say that it failed.
fn dumped(peer: &Peer, copy: &Copied<'_>, run: &Run, disk: &str) -> Result<Verdict> {
    let (point, path) = (run.point.to_string(), run.path_of(disk));
    let Ok(bytes) = peer.run(copy.place(), ["dump", "--no-lock", &point, &path]) else { return Ok(Damaged) };
    let (_, image) = run.disks.iter().find(|(name, _)| *name == disk).context("a disk of the run")?;
    Ok(if Content::of_bytes(&bytes) == Content::of(image)? { Good } else { Damaged })
}

/// The verdict of an answer. Errors: any other code than those of good and damaged, so above all a panic.
fn verdict(answer: &Answer) -> Result<Verdict> {
    match answer.code {
        0 => Ok(Good),
        13 => Ok(Damaged),
        code => anyhow::bail!("sonae ended with {code}: {}", answer.document),
    }
}

/// The findings of a report.
fn findings(answer: &Answer) -> Result<&Vec<Value>> {
    answer.document["findings"].as_array().with_context(|| format!("no findings in {}", answer.document))
}

/// The findings of one kind.
fn of_kind<'a>(answer: &'a Answer, kind: &str) -> Result<Vec<&'a Value>> {
    Ok(findings(answer)?.iter().filter(|finding| finding["kind"] == kind).collect())
}

/// Whether a report names a file of the repository in a finding of this kind.
fn names(answer: &Answer, kind: &str, file: FileName) -> Result<bool> {
    Ok(of_kind(answer, kind)?.iter().any(|finding| finding["path"] == file.to_string()))
}

/// The verdict of `verify --all` on the point of each run; none where the point itself cannot be read.
fn points_verified(base: &Base, verify: &Answer) -> Result<Vec<Option<Verdict>>> {
    let points = verify.document["points"].as_array().context("verify tells of points")?;
    let of = |point: &str| points.iter().find(|listed| listed["point"] == point);
    let verdicts = base.runs().iter().map(|run| {
        of(&run.point.to_string())
            .map(|listed| Ok(if text(&listed["verdict"])? == "good" { Good } else { Damaged }))
            .transpose()
    });
    verdicts.collect()
}

impl Ours {
    /// Asks our program everything about a copy.
    fn say(base: &Base, copy: &Copied<'_>) -> Result<Self> {
        let mut restores = BTreeMap::new();
        for (number, run) in base.runs().iter().enumerate() {
            for (disk, _) in &run.disks {
                restores.insert((number, *disk), copy.restore(run, disk)?);
            }
        }
        Ok(Self {
            check: copy.sonae(&["repo", "check"])?,
            data: copy.sonae(&["repo", "check", "--read-data"])?,
            verify: copy.sonae(&["verify", "--all"])?,
            keyless: copy.sonae(&["repo", "keyless-check"])?,
            restores,
        })
    }

    /// Whether exactly these restores were refused, as damage; all others gave back the image.
    fn check_restores(&self, refused: impl Fn(usize, &str) -> bool) -> Result<()> {
        for ((number, disk), restored) in &self.restores {
            match (restored, refused(*number, disk)) {
                (Restored::Same, false) => {}
                (Restored::Refused(answer, _), true) => drop(answer.clone().refused(13)?),
                (other, refused) => {
                    anyhow::bail!("run {number}, {disk}: refused is to be {refused}: {other:?}")
                }
            }
        }
        Ok(())
    }

    /// Whether the verdicts are these: `repo check`, with `--read-data`, `verify --all`, `repo keyless-check`.
    fn check_verdicts(&self, expected: [Verdict; 4]) -> Result<()> {
        let answers = [&self.check, &self.data, &self.verify, &self.keyless];
        for (answer, expected) in answers.into_iter().zip(expected) {
            let found = verdict(answer)?;
            ensure!(found == expected, "{found:?} instead of {expected:?}: {}", answer.document);
        }
        Ok(())
    }
}

impl Table {
    /// Compares our verdicts on a copy with those of each restic. Errors: a restic finds what we do not.
    fn compare(
        &self,
        row: &'static str,
        said: (&Base, &Ours),
        copy: &Copied<'_>,
        peers: &[Peer],
    ) -> Result<()> {
        let (base, ours) = said;
        self.count(row, "verify", verdict(&ours.verify)?);
        self.count(row, "keyless-check", verdict(&ours.keyless)?);
        for (depth, answer) in [(Depth::Structure, &ours.check), (Depth::Data, &ours.data)] {
            let we = verdict(answer)?;
            self.count(row, depth.command(), we);
            for peer in peers {
                let they = verdict_of(peer, copy, depth);
                self.count(row, &format!("restic {} {}", peer.version(), depth.command()), they);
                ensure!(they <= we, "only restic {} finds the damage: {}", peer.version(), answer.document);
                if they < we {
                    self.note(Difference { row, by: By::Check(depth), release: peer.release() });
                }
            }
        }
        let refused = ours.restores.iter().find(|(_, restored)| matches!(restored, Restored::Refused(..)));
        self.count(row, "restore", if refused.is_some() { Damaged } else { Good });
        // Every other disk came back from us as it was, so there restic can only do worse.
        let Some(((number, disk), _)) = refused else { return Ok(()) };
        for peer in peers.iter().filter(|peer| peer.is_newer()) {
            let they = dumped(peer, copy, &base.runs()[*number], disk)?;
            self.count(row, &format!("restic {} dump", peer.version()), they);
            if they == Good {
                self.note(Difference { row, by: By::Restore, release: peer.release() });
            }
        }
        Ok(())
    }

    fn note(&self, difference: Difference) {
        self.more.lock().expect("nobody panics with it").insert(difference);
    }

    fn count(&self, row: &'static str, column: &str, verdict: Verdict) {
        let mut counts = self.counts.lock().expect("nobody panics with it");
        let (damaged, all) = counts.entry((row, column.to_owned())).or_default();
        *damaged += u32::from(verdict == Damaged);
        *all += 1;
    }

    /// The table for people, and what we find that each restic does not.
    fn finish(self) -> (String, BTreeSet<Difference>) {
        let counts = self.counts.into_inner().expect("nobody panics with it");
        let mut printed = String::from("who finds damage, how often of how often:");
        let mut last = "";
        for ((row, column), (damaged, all)) in counts {
            let begins = if row == last { "; ".to_owned() } else { format!("\n  {row}: ") };
            printed.push_str(&format!("{begins}{column} {damaged}/{all}"));
            last = row;
        }
        (printed, self.more.into_inner().expect("nobody panics with it"))
    }
}
