//! `sonae forget` beside `restic forget`: the same points stay for the same reasons, and what is left is whole
//! (requirement 001-19).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sonae_agent::system_environment;
use sonae_repo::crypto::Password;
use sonae_repo::lock::LockKind;
use sonae_repo::snapshot::{Point, Snapshot};
use sonae_repo::store::LocalStore;
use sonae_repo::time::{from_rfc3339, to_rfc3339};
use sonae_repo::{Repository, Stop};
use sonae_rig::content::Content;
use sonae_rig::disks::{self, Stretch};
use sonae_rig::peer::{Peer, Release};
use sonae_rig::stand::{PASSWORD, Stand, claim, text};
use sonae_types::{ByteCount, Timestamp};

const MACHINES: [&str; 2] = ["jumin-ap01", "zaisei-db01"];
/// Points of each machine.
const POINTS: i64 = 160;
/// The newest point: a last day of a month, so that months before it have no such day.
const NEWEST: &str = "2025-03-31T14:30:00Z";
const MINUTE: i64 = 60 * 1_000_000;

/// The same arguments for both programs.
const POLICIES: [&[&str]; 10] = [
    &["--keep-last", "5"],
    &["--keep-hourly", "24"],
    &["--keep-daily", "7", "--keep-weekly", "5", "--keep-monthly", "12", "--keep-yearly", "2"],
    &["--keep-yearly", "9"],
    &["--keep-weekly", "unlimited"],
    &["--keep-within", "1m"],
    &["--keep-within", "1y2m3d4h", "--keep-monthly", "60"],
    &["--keep-tag", "audit"],
    &["--keep-tag", "audit,odd", "--keep-tag", "year-end", "--keep-daily", "3"],
    &["--keep-last", "1", "--keep-hourly", "unlimited"],
];

/// A zone, and how restic is made to see it: by the offset in the time of each snapshot.
#[derive(Clone, Copy)]
struct Calendar {
    zone: &'static str,
    offset: &'static str,
    minutes: i64,
}

const UTC: Calendar = Calendar { zone: "UTC", offset: "Z", minutes: 0 };
const JAPAN: Calendar = Calendar { zone: "Asia/Tokyo", offset: "+09:00", minutes: 9 * 60 };

impl Calendar {
    fn written(self, at: Timestamp) -> String {
        let local = Timestamp::from_micros(at.as_micros() + self.minutes * MINUTE);
        to_rfc3339(local).replace('Z', self.offset)
    }
}

/// The ids of points with the reasons for which they stay.
type Kept = BTreeMap<String, BTreeSet<String>>;

/// Two machines with points over three years, dense at the end; every second one has the content of a second day.
struct History {
    stand: Stand,
    repository: Repository,
}

impl History {
    fn new(calendar: Calendar) -> Result<Self> {
        let stand = Stand::with_cheap_key(system_environment())?;
        let password = Password::from_file_bytes(PASSWORD.as_bytes());
        let store = Arc::new(LocalStore::open(&stand.place().repository)?);
        let repository = Repository::open(store, system_environment(), &password)?;
        for (day, machine) in [(1, MACHINES[0]), (2, MACHINES[0]), (1, MACHINES[1]), (2, MACHINES[1])] {
            let disk = disk_of(day, machine);
            let noise = Stretch::Noise(day * 7 + machine.len() as u64, ByteCount::kib(700));
            disks::make(&stand.path(&disk), &[noise, Stretch::Hole(ByteCount::mib(1))])?;
            stand.backup(machine, &[("vda", &disk)], &[])?;
        }
        let real = repository.points()?.good;
        for machine in MACHINES {
            let days = real.iter().filter(|point| point.snapshot.hostname == machine).collect::<Vec<_>>();
            for number in 0..POINTS {
                save(&repository, calendar, &days, number)?;
            }
        }
        let lock = repository.lock(LockKind::Exclusive)?;
        repository.forget(&real.iter().map(|point| point.id).collect::<Vec<_>>(), &lock, &Stop::default())?;
        drop(lock);
        Ok(Self { stand, repository })
    }

    fn ours(&self, calendar: Calendar, policy: &[&str], mode: &[&str]) -> Result<Value> {
        self.stand.sonae([&["forget", "--zone", calendar.zone], policy, mode].concat())?.good()
    }
}

/// Saves the point of this number, counted back from the newest one: the next is 67 minutes before it, the one after
/// that three times as much before that one, and so on.
fn save(repository: &Repository, calendar: Calendar, days: &[&Point], number: i64) -> Result<()> {
    let newest = from_rfc3339(NEWEST).context("a time")?;
    let taken = Timestamp::from_micros(newest.as_micros() - number * number * 67 * MINUTE);
    let base = &days[usize::try_from(number)? % days.len()].snapshot;
    let mut tags = vec!["sonae".to_owned(), "disk:vda".to_owned(), format!("gen:{}", POINTS - number)];
    for (every, tag) in [(17, "audit"), (2, "odd"), (31, "year-end")] {
        tags.extend((number % every == 0).then(|| tag.to_owned()));
    }
    repository.save_point(&Snapshot { time: calendar.written(taken), tags, ..base.clone() })?;
    Ok(())
}

fn disk_of(day: u64, machine: &str) -> String {
    format!("{machine}-day{day}")
}

/// What our report says about a machine: what stays, in restic's words, and what goes.
fn of_ours(report: &Value, machine: &str) -> Result<(Kept, BTreeSet<String>)> {
    let machines = report["machines"].as_array().context("machines")?;
    let found = machines.iter().find(|found| found["vm"] == machine).context("the machine")?;
    let mut kept = Kept::new();
    for point in found["keep"].as_array().context("a list")? {
        let reasons = point["reasons"].as_array().context("reasons")?;
        ensure!(!reasons.is_empty(), "{point} stays for no reason");
        let words = reasons.iter().filter(|reason| reason["rule"] != "newest-good").map(in_restics_words);
        kept.insert(text(&point["point"])?.to_owned(), words.collect::<Result<_>>()?);
    }
    Ok((kept, ids(&found["remove"], "point")?))
}

fn in_restics_words(reason: &Value) -> Result<String> {
    let value = reason["value"].as_str().unwrap_or_default();
    Ok(match text(&reason["rule"])? {
        "within" => format!("within {value}"),
        "tag" => format!("has tags [{}]", value.replace(',', ", ")),
        rule => format!("{} snapshot", rule.replace('-', " ")),
    })
}

/// What restic says about a machine.
fn of_restic(groups: &Value, machine: &str) -> Result<(Kept, BTreeSet<String>)> {
    let groups = groups.as_array().context("groups")?;
    let found = groups.iter().find(|group| group["host"] == machine).context("the machine")?;
    let mut kept = Kept::new();
    for reason in found["reasons"].as_array().context("reasons")? {
        let words = reason["matches"].as_array().context("matches")?;
        let words = words.iter().map(|word| Ok(text(word)?.to_owned())).collect::<Result<_>>()?;
        kept.insert(text(&reason["snapshot"]["id"])?.to_owned(), words);
    }
    Ok((kept, ids(&found["remove"], "id")?))
}

fn ids(points: &Value, field: &str) -> Result<BTreeSet<String>> {
    // restic writes null for an empty list.
    let points = points.as_array().map(Vec::as_slice).unwrap_or_default();
    points.iter().map(|point| Ok(text(&point[field])?.to_owned())).collect()
}

fn both_agree(calendar: Calendar) -> Result<()> {
    let restic = Peer::find(Release::Newer)?;
    let history = History::new(calendar)?;
    let before = history.stand.listing()?;
    let mut removed = BTreeSet::new();
    for policy in POLICIES {
        let ours = history.ours(calendar, policy, &["--dry-run"])?;
        let asked = [&["forget", "--dry-run", "--json", "--group-by", "host"], policy].concat();
        let theirs = restic.run(&history.stand.place(), asked)?;
        // Where it removes something, restic says so in a sentence of its own around the document.
        let document = theirs.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"["));
        let theirs = serde_json::from_slice(document.context("restic answers in JSON")?)?;
        for machine in MACHINES {
            let (ours, theirs) = (of_ours(&ours, machine)?, of_restic(&theirs, machine)?);
            assert_eq!(ours, theirs, "{policy:?} in {}", calendar.zone);
            assert_eq!(ours.0.len() + ours.1.len(), usize::try_from(POINTS)?);
            removed.insert(ours.1.len());
        }
    }
    ensure!(5 <= removed.len(), "the policies are too much alike: {removed:?}");
    assert_eq!(history.stand.listing()?, before, "a dry run changes nothing");
    Ok(())
}

#[test]
fn restic_keeps_the_same_points_for_the_same_reasons_in_utc() {
    claim(|| both_agree(UTC));
}

#[test]
fn restic_keeps_the_same_points_for_the_same_reasons_in_japan() {
    claim(|| both_agree(JAPAN));
}

#[test]
fn after_forgetting_restic_finds_nothing_wrong_and_what_is_left_can_be_restored() {
    claim(|| {
        let (system, newer) = (Peer::find(Release::OfSystem)?, Peer::find(Release::Newer)?);
        let history = History::new(UTC)?;
        let (stand, policy) = (&history.stand, POLICIES[2]);
        let told = history.ours(JAPAN, policy, &["--dry-run"])?;
        let done = history.ours(JAPAN, policy, &[])?;
        assert_eq!(told["machines"], done["machines"]);
        let mut left = BTreeSet::new();
        for machine in MACHINES {
            left.extend(of_ours(&done, machine)?.0.into_keys());
        }
        assert_eq!(done["removed"], 2 * POINTS - i64::try_from(left.len())?);
        assert_eq!(stand.points()?.into_iter().collect::<BTreeSet<_>>(), left);
        for restic in [&system, &newer] {
            restic.check(&stand.place())?;
            assert_eq!(ids(&Value::Array(restic.snapshots(&stand.place())?), "id")?, left);
        }
        let days = |machine| [1, 2].map(|day| Content::of(&stand.path(&disk_of(day, machine))));
        for point in history.repository.points()?.good.iter().step_by(5) {
            let restored = stand.restored(&point.id.to_string(), "vda")?;
            let [first, second] = days(&point.snapshot.hostname);
            ensure!(restored == first? || restored == second?, "{} is another disk", point.id);
        }
        assert_eq!(history.ours(JAPAN, policy, &[])?["removed"], 0, "nothing more goes");
        assert_eq!(stand.sonae(["verify", "--all"])?.good()?["verdict"], "good");
        Ok(())
    });
}
