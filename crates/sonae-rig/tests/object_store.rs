//! The whole program over a real object store, on good lines and bad ones: what answers late, twice, in part, with 503,
//! or forgets what it accepted is noticed before a point counts as good, or mended by asking again; plain restic reads
//! and writes in the same bucket (requirements 001-20, 002-09, 003-27, 004-22).
//!
//! All claims share one gateway, because to start it takes longer than any of them.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sonae_agent::backup::{BackupRequest, DiskRequest, Format, backup};
use sonae_agent::changes::ChangeMaps;
use sonae_agent::repository::{Access, Address, create_store, open_store};
use sonae_agent::verify::{Selection, Verdict, verify};
use sonae_repo::crypto::KdfCost;
use sonae_repo::store::s3::{S3Login, S3OpenError};
use sonae_repo::store::{
    FileKind, FileName, Limits, Patience, Repeats, S3Access, S3Place, S3Store, contract,
};
use sonae_repo::{Progress, Repository, Stop};
use sonae_rig::content::Content;
use sonae_rig::damage::{folder_in_memory, hasty_environment};
use sonae_rig::disks::{self, Stretch};
use sonae_rig::golden::backup_tree;
use sonae_rig::peer::{Peer, Release};
use sonae_rig::proxy::{Line, Proxy, Seen, Speed, Trouble};
use sonae_rig::radosgw::{KEY_ID, RadosGateway, SECRET};
use sonae_rig::stand::{Stand, claim, number, password, say, text};
use sonae_types::{ByteCount, Digest, DiskName, VmName};

const VM: &str = "jumin-ap01";
/// Claims that run at the same time; most of them wait.
const AT_ONCE: usize = 6;

type Claim = fn(&World) -> Result<()>;

const CLAIMS: &[(&str, Claim)] = &[
    ("a_store_that_was_busy_once_at_any_request_has_no_bad_point", |world| {
        each_request(world, Trouble::Busy, ALL)
    }),
    ("a_line_that_broke_once_at_any_request_leaves_no_bad_point", |world| {
        each_request(world, Trouble::CutRequest(0), ALL)
    }),
    ("an_object_that_broke_off_once_leaves_no_bad_point", |world| {
        each_request(world, Trouble::CutRequest(150), &["PUT"])
    }),
    ("an_answer_that_broke_off_once_leaves_no_bad_point", |world| {
        each_request(world, Trouble::CutAnswer(10), &["GET"])
    }),
    ("a_change_that_arrived_twice_once_leaves_no_bad_point", |world| {
        each_request(world, Trouble::Twice, CHANGES)
    }),
    ("a_change_that_was_accepted_and_forgotten_once_leaves_no_bad_point", |world| {
        each_request(world, Trouble::Forgotten, CHANGES)
    }),
    ("restic_of_this_system_reads_ours_and_writes_beside_us", |world| {
        shared_with_restic(world, Release::OfSystem)
    }),
    ("a_newer_restic_reads_ours_and_writes_beside_us", |world| shared_with_restic(world, Release::Newer)),
    ("the_store_keeps_the_contract_of_stores", keeps_the_contract),
    ("the_first_repository_makes_its_bucket", the_first_repository_makes_its_bucket),
    ("a_pack_that_was_accepted_and_forgotten_ends_the_run_without_a_point", |world| forgotten(world, "data")),
    ("an_index_that_was_accepted_and_forgotten_ends_the_run_without_a_point", |world| {
        forgotten(world, "index")
    }),
    ("a_point_that_was_accepted_and_forgotten_is_none", |world| forgotten(world, "snapshots")),
    ("a_store_that_is_busy_every_third_time_is_asked_again", busy),
    ("what_breaks_off_on_its_way_is_sent_and_got_again", breaks_off),
    ("what_arrives_twice_is_there_once", twice),
    ("on_a_slow_and_distant_line_everything_works", slow_and_distant),
    ("a_listing_of_locks_from_yesterday_ends_the_run_without_a_point", locks_from_yesterday),
    ("other_listings_from_yesterday_harm_no_point", listings_from_yesterday),
    ("other_bytes_under_a_good_name_are_found", other_bytes_under_a_good_name),
    ("wrong_keys_no_keys_and_no_bucket_are_told_apart", wrong_keys),
    ("a_store_out_of_reach_is_told_at_once", out_of_reach),
    ("the_store_is_probed", probed),
];

#[test]
fn an_object_store_is_as_good_as_a_folder() {
    claim(|| {
        let gateway = RadosGateway::start()?;
        let world = World { gateway, count: AtomicU64::new(0) };
        let (next, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let Some((name, holds)) = CLAIMS.get(next.fetch_add(1, Ordering::SeqCst)) {
                        let outcome = catch_unwind(AssertUnwindSafe(|| holds(&world)));
                        match outcome {
                            Ok(Ok(())) => say(&format!("holds: {name}")),
                            // A part of this machine is missing; `claim` says so in its one line.
                            Ok(Err(error)) if error.is::<sonae_rig::host::Missing>() => claim(|| Err(error)),
                            Ok(Err(error)) => {
                                say(&format!("DOES NOT HOLD: {name}: {error:#}"));
                                wrong.fetch_add(1, Ordering::SeqCst);
                            }
                            Err(_) => {
                                say(&format!("DOES NOT HOLD: {name}: see above"));
                                wrong.fetch_add(1, Ordering::SeqCst);
                            }
                        }
                    }
                });
            }
        });
        ensure!(wrong.load(Ordering::SeqCst) == 0, "claims that do not hold are named above");
        Ok(())
    });
}

struct World {
    gateway: RadosGateway,
    count: AtomicU64,
}

impl World {
    /// A place that nobody else has, in a bucket that is there after the first repository.
    fn path(&self) -> String {
        format!("rig/claim-{}", self.count.fetch_add(1, Ordering::SeqCst))
    }

    /// A stand whose repository lies at this path of the store itself, made, with a disk and a cheap key.
    fn stand(&self, path: &str) -> Result<Stand> {
        let address = format!("s3:http://{}/{path}", self.gateway.address());
        make(&address)?;
        let stand = Stand::new()?.at_address(&address);
        disk_of_the_day(&stand, 1)?;
        Ok(stand)
    }

    /// The same stand behind a line.
    fn behind(proxy: &Proxy, path: &str) -> String {
        format!("s3:http://{}/{path}", proxy.address())
    }
}

/// Makes a repository that opens at nearly no cost.
fn make(address: &str) -> Result<Repository> {
    let environment = hasty_environment();
    let store = create_store(&Address::parse(address)?, &access(), &environment)?;
    Ok(Repository::init(store, environment, &password(), KdfCost::FOR_TESTS)?)
}

fn access() -> Access {
    let login = S3Login::Keys { id: KEY_ID.to_owned(), secret: SECRET.to_owned().into() };
    Access {
        stop: Stop::default(),
        limits: Limits::default(),
        s3: S3Access { login, ..S3Access::default() },
        repeats: Repeats::default(),
    }
}

fn disk_of_the_day(stand: &Stand, day: u64) -> Result<()> {
    let (kib, mib) = (ByteCount::kib, ByteCount::mib);
    disks::make(
        &stand.path("vda"),
        &[
            Stretch::Noise(1, mib(5)),
            Stretch::Hole(mib(2)),
            Stretch::Text(day, mib(3)),
            Stretch::Noise(day + 100, kib(700)),
        ],
    )
}

/// Backs up the disk of the stand over the line; gives the exit code and the document.
fn back_up(stand: &Stand, address: &str) -> Result<sonae_rig::stand::Answer> {
    let place = sonae_rig::peer::Place { repository: address.into(), ..stand.place() };
    stand.sonae_at(&place, ["backup", "--vm", VM, "--disk", &format!("vda={}", stand.at("vda"))])
}

/// Everything that is listed is whole, and the newest point restores to the disk as it is.
fn all_good(stand: &Stand, points: usize) -> Result<()> {
    let all = stand.sonae(["verify", "--all"])?.good()?;
    ensure!(all["verdict"] == "good", "{all}");
    stand.sonae(["repo", "check", "--read-data"])?.good()?;
    let listed = stand.points()?;
    ensure!(listed.len() == points, "{} points instead of {points}", listed.len());
    let newest = listed.last().context("there is a point")?;
    ensure!(stand.restored(newest, "vda")? == Content::of(&stand.path("vda"))?, "{newest} is another disk");
    Ok(())
}

fn the_first_repository_makes_its_bucket(world: &World) -> Result<()> {
    let address = format!("s3:http://{}/a-new-bucket", world.gateway.address());
    let stand = Stand::new()?.at_address(&address);
    let refused = back_up(&stand, &address)?.refused(10)?;
    ensure!(refused.contains("no bucket a-new-bucket"), "{refused}");
    let made = stand.sonae(["repo", "init"])?.good()?;
    ensure!(text(&made["location"])? == address, "{made}");
    let again = stand.sonae(["repo", "init"])?.refused(1)?;
    ensure!(again.contains("already"), "{again}");
    stand.sonae(["repo", "check"])?.good()?;
    // Beside it, below a prefix, there is room for another one; around it there is none.
    let inside = Stand::new()?.at_address(&format!("{address}/branch/office"));
    inside.sonae(["repo", "init"])?.good()?;
    let around = Stand::new()?.at_address(&format!("{address}/branch"));
    let refused = around.sonae(["repo", "init"])?.refused(1)?;
    ensure!(refused.contains("office"), "{refused}");
    Ok(())
}

fn keeps_the_contract(world: &World) -> Result<()> {
    let access = access().s3;
    make(&format!("s3:http://{}/contract/first", world.gateway.address()))?;
    let patience = || Patience::endless(hasty_environment().clock);
    contract::check(&|| {
        let number = world.count.fetch_add(1, Ordering::SeqCst);
        let place = format!("http://{}/contract/{number}", world.gateway.address());
        let place = S3Place::parse(&place).expect("a place");
        Box::new(S3Store::create(&place, &access, patience()).expect("the gateway lets us in"))
    });
    Ok(())
}

fn shared_with_restic(world: &World, release: Release) -> Result<()> {
    let peer = Peer::find(release)?;
    let stand = world.stand(&world.path())?;
    let ours = back_up(&stand, &stand.place().repository.to_string_lossy())?.good()?;
    let point = text(&ours["point"])?.to_owned();
    peer.check(&stand.place())?;
    let dumped = peer.run(&stand.place(), ["dump", &point, &format!("/{VM}/disk-vda.raw")])?;
    ensure!(Content::of_bytes(&dumped) == Content::of(&stand.path("vda"))?, "restic dumps another disk");
    peer.run(&stand.place(), ["restore", &point, "--target", &stand.at("theirs")])?;
    let restored = Content::of(&stand.path(&format!("theirs/{VM}/disk-vda.raw")))?;
    ensure!(restored == Content::of(&stand.path("vda"))?, "restic restores another disk");
    std::fs::create_dir(stand.path("tree"))?;
    disks::make(&stand.path("tree/file"), &[Stretch::Noise(9, ByteCount::mib(3))])?;
    let theirs = backup_tree(&stand, &peer, &stand.place())?;
    let read = stand.restored_path(&stand.place(), &theirs.to_string(), "/tree/file")?;
    ensure!(read == Content::of(&stand.path("tree/file"))?, "we read another file than restic saved");
    disk_of_the_day(&stand, 2)?;
    back_up(&stand, &stand.place().repository.to_string_lossy())?.good()?;
    all_good(&stand, 3)?;
    peer.check(&stand.place())
}

/// The store says yes to one file of a folder of the repository and has nothing: no point then, and the next run is good.
fn forgotten(world: &World, folder: &'static str) -> Result<()> {
    let path = world.path();
    let stand = world.stand(&path)?;
    back_up(&stand, &stand.place().repository.to_string_lossy())?.good()?;
    disk_of_the_day(&stand, 2)?;
    let once = AtomicUsize::new(0);
    let proxy = Proxy::planned(world.gateway.address(), Line::default(), move |seen| {
        let hit = seen.is("PUT", folder) && once.fetch_add(1, Ordering::SeqCst) == 0;
        hit.then_some(Trouble::Forgotten)
    })?;
    let said = back_up(&stand, &World::behind(&proxy, &path))?.refused(2)?;
    ensure!(said.contains(&format!("{folder}/")), "{said}");
    ensure!(stand.points()?.len() == 1, "a point is listed");
    back_up(&stand, &stand.place().repository.to_string_lossy())?.good()?;
    all_good(&stand, 2)
}

fn busy(world: &World) -> Result<()> {
    let path = world.path();
    let stand = world.stand(&path)?;
    let proxy = Proxy::planned(world.gateway.address(), Line::default(), |seen| {
        (seen.number.is_multiple_of(3) && !(seen.is_list() && seen.target.contains("delimiter")))
            .then_some(Trouble::Busy)
    })?;
    let report = back_up(&stand, &World::behind(&proxy, &path))?.good()?;
    ensure!(0 < number(&report["repeated_operations"])?, "{report}");
    all_good(&stand, 1)
}

fn breaks_off(world: &World) -> Result<()> {
    let path = world.path();
    let stand = world.stand(&path)?;
    let (puts, gets) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let proxy = Proxy::planned(world.gateway.address(), Line::default(), move |seen| {
        let every_other = |count: &AtomicUsize| count.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        if seen.method == "PUT" && every_other(&puts) {
            return Some(Trouble::CutRequest(100));
        }
        let get = seen.method == "GET" && !seen.is_list();
        (get && every_other(&gets)).then_some(Trouble::CutAnswer(100))
    })?;
    let behind = World::behind(&proxy, &path);
    let report = back_up(&stand, &behind)?.good()?;
    ensure!(1 < number(&report["repeated_operations"])?, "{report}");
    all_good(&stand, 1)?;
    let distant = sonae_rig::peer::Place { repository: behind.into(), ..stand.place() };
    let to = stand.at("restored");
    stand.sonae_at(&distant, ["restore", "latest", "--vm", VM, "--disk", "vda", "--to", &to])?.good()?;
    ensure!(Content::of(&stand.path("restored"))? == Content::of(&stand.path("vda"))?, "another disk");
    Ok(())
}

fn twice(world: &World) -> Result<()> {
    let path = world.path();
    let stand = world.stand(&path)?;
    let proxy = Proxy::planned(world.gateway.address(), Line::default(), |seen| {
        ["PUT", "DELETE"].contains(&&*seen.method).then_some(Trouble::Twice)
    })?;
    back_up(&stand, &World::behind(&proxy, &path))?.good()?;
    all_good(&stand, 1)
}

fn slow_and_distant(world: &World) -> Result<()> {
    let path = world.path();
    let stand = world.stand(&path)?;
    let line = Line { latency: Duration::from_millis(50), speed: Speed::BytesPerSecond(8 << 20) };
    let proxy = Proxy::plain(world.gateway.address(), line)?;
    let behind = stand.place();
    let behind = sonae_rig::peer::Place { repository: World::behind(&proxy, &path).into(), ..behind };
    back_up(&stand, &World::behind(&proxy, &path))?.good()?;
    stand.sonae_at(&behind, ["verify", "latest", "--vm", VM])?.good()?;
    all_good(&stand, 1)
}

/// Answers what was answered first to the same question about names below this folder.
fn from_yesterday(world: &World, of: impl Fn(&Seen) -> bool + Send + Sync + 'static) -> Result<Proxy> {
    let seen_once = Mutex::new(BTreeSet::new());
    Proxy::planned(world.gateway.address(), Line::default(), move |seen| {
        let again =
            seen.is_list() && of(seen) && !seen_once.lock().expect("whole").insert(seen.target.clone());
        again.then_some(Trouble::Yesterday)
    })
}

fn locks_from_yesterday(world: &World) -> Result<()> {
    let path = world.path();
    let stand = world.stand(&path)?;
    let proxy = from_yesterday(world, |seen| seen.target.contains("locks"))?;
    let said = back_up(&stand, &World::behind(&proxy, &path))?.refused(2)?;
    ensure!(said.contains("lock"), "{said}");
    ensure!(stand.points()?.is_empty(), "a point is listed");
    back_up(&stand, &stand.place().repository.to_string_lossy())?.good()?;
    all_good(&stand, 1)
}

/// Points and index files that are not seen yet are missed, never mistaken for something else.
fn listings_from_yesterday(world: &World) -> Result<()> {
    let path = world.path();
    let stand = world.stand(&path)?;
    let proxy = from_yesterday(world, |seen| !seen.target.contains("locks"))?;
    for day in 1..=3 {
        disk_of_the_day(&stand, day)?;
        back_up(&stand, &World::behind(&proxy, &path))?.good()?;
    }
    let listed = stand.points()?;
    ensure!(listed.len() == 3, "{listed:?}");
    stand.sonae(["verify", "--all"])?.good()?;
    stand.sonae(["repo", "check", "--read-data"])?.good().map(drop)
}

fn other_bytes_under_a_good_name(world: &World) -> Result<()> {
    let path = world.path();
    let stand = world.stand(&path)?;
    let address = stand.place().repository.to_string_lossy().into_owned();
    back_up(&stand, &address)?.good()?;
    let store = open_store(&Address::parse(&address)?, &access(), &hasty_environment())?;
    let pack = store.list(FileKind::Data)?.first().context("there is a pack")?.id;
    let name = FileName::Hashed(FileKind::Data, pack);
    let whole = store.get(name)?;
    let mut other = whole.clone();
    other[100] ^= 1;
    store.put(name, &other)?;
    let found = stand.sonae(["repo", "keyless-check"])?;
    ensure!(found.code == 13 && found.document.to_string().contains(&pack.to_string()), "{found:?}");
    ensure!(stand.sonae(["repo", "check", "--read-data"])?.code == 13, "a check finds it, too");
    store.put(name, &whole)?;
    all_good(&stand, 1)
}

fn wrong_keys(world: &World) -> Result<()> {
    let address = format!("s3:http://{}/{}", world.gateway.address(), world.path());
    make(&address)?;
    let stand = Stand::new()?.at_address(&address);
    let with = |name: &str, value: &str| -> Result<String> {
        let ended = stand.command(["points"]).env(name, value).output()?;
        let document: serde_json::Value = serde_json::from_slice(&ended.stdout)?;
        ensure!(ended.status.code() == Some(1), "{document}");
        Ok(document["error"].to_string())
    };
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "nobody"),
        ("AWS_SECRET_ACCESS_KEY", "wrong-secret"),
        ("AWS_ACCESS_KEY_ID", ""),
    ] {
        let said = with(name, value)?;
        ensure!(said.contains(name) && !said.contains("wrong-secret") && !said.contains(SECRET), "{said}");
    }
    let place = format!("http://{}/no-such-bucket", world.gateway.address());
    let patience = Patience::endless(hasty_environment().clock);
    let opened = S3Store::open(&S3Place::parse(&place)?, &access().s3, patience);
    ensure!(matches!(opened, Err(S3OpenError::NoBucket { .. })), "{opened:?}");
    Ok(())
}

fn out_of_reach(_world: &World) -> Result<()> {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let address = format!("s3:http://{closed}/bucket");
    let stand = Stand::new()?.at_address(&address);
    let said = stand.sonae(["points"])?.refused(2)?;
    ensure!(said.contains(&address) && said.to_lowercase().contains("refused"), "{said}");
    Ok(())
}

fn probed(world: &World) -> Result<()> {
    let address = format!("s3:http://{}/{}", world.gateway.address(), world.path());
    make(&address)?;
    let stand = Stand::new()?;
    let report = stand.sonae(["store", "probe", &address])?.good()?;
    let answer = |ability: &str| -> Result<String> {
        let all = report["abilities"].as_array().context("a list")?;
        let found = all.iter().find(|tried| tried["ability"] == ability).context("each is tried")?;
        Ok(text(&found["answer"])?.to_owned())
    };
    for can in ["write", "ranged-read", "listed-at-once", "overwrite", "delete", "gone-at-once"] {
        ensure!(answer(can)? == "yes", "{can}: {report}");
    }
    for cannot in ["object-lock", "keeps-versions"] {
        ensure!(answer(cannot)? == "no", "{cannot}: {report}");
    }
    // Gateways of this version differ from run to run in what they make of it.
    ensure!(["yes", "no", "unknown"].contains(&&*answer("conditional-put")?), "{report}");
    ensure!(report["left_behind"] == serde_json::json!([]), "{report}");
    ensure!(report["clock_ahead_ms"].as_i64().is_some_and(|ahead| ahead.abs() < 5_000), "{report}");
    let store = open_store(&Address::parse(&address)?, &access(), &hasty_environment())?;
    store.get(FileName::Config)?;
    Ok(())
}

const ALL: &[&str] = &["PUT", "GET", "HEAD", "DELETE"];
const CHANGES: &[&str] = &["PUT", "DELETE"];

/// The first, the second, … request of these methods has the trouble, until a backup has fewer: each time a point that
/// counts is whole, and so is the one of the next run.
fn each_request(world: &World, trouble: Trouble, methods: &'static [&'static str]) -> Result<()> {
    let folder = folder_in_memory()?;
    let image = folder.path().join("vda");
    disks::make(&image, &[Stretch::Noise(1, ByteCount::kib(900)), Stretch::Text(2, ByteCount::mib(1))])?;
    let mut refused = 0;
    for n in 1.. {
        // A repository that grows would have one request more for each that was hit.
        let path = world.path();
        let direct = Address::parse(&format!("s3:http://{}/{path}", world.gateway.address()))?;
        make(&direct.to_string())?;
        let (count, hit) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&hit);
        let proxy = Proxy::planned(world.gateway.address(), Line::default(), move |seen: &Seen| {
            let now = methods.contains(&&*seen.method) && count.fetch_add(1, Ordering::SeqCst) + 1 == n;
            told.fetch_or(now, Ordering::SeqCst);
            now.then_some(trouble)
        })?;
        let outcome = point_at(&Address::parse(&World::behind(&proxy, &path))?, &image);
        if !hit.load(Ordering::SeqCst) {
            outcome.context("a run without any trouble")?;
            say(&format!("{trouble:?}: {} requests went wrong, {refused} runs ended without a point", n - 1));
            ensure!(4 < n, "hardly a request was hit");
            return Ok(());
        }
        let next = point_at(&direct, &image).with_context(|| format!("after {trouble:?} at {n}"))?;
        refused += usize::from(outcome.is_err());
        let made = outcome.into_iter().chain([next]).collect();
        whole(&direct, &made).with_context(|| format!("{trouble:?} at {n}"))?;
    }
    Ok(())
}

fn open(address: &Address) -> Result<Repository> {
    let environment = hasty_environment();
    let store = open_store(address, &access(), &environment)?;
    Ok(Repository::open(store, environment, &password())?)
}

fn point_at(address: &Address, image: &std::path::Path) -> Result<Digest> {
    let disk = DiskRequest { name: DiskName::parse("vda")?, path: image.to_owned(), format: Format::Raw };
    let changes = ChangeMaps::default();
    let request = BackupRequest { vm: VmName::parse(VM)?, disks: vec![disk], files: vec![], changes };
    let repository = open(address)?;
    let report = backup(&repository, &request, &Repeats::default(), &Stop::default(), &Progress::default())?;
    Ok(report.point)
}

/// These points are listed and no others, and each is read whole.
fn whole(address: &Address, made: &BTreeSet<Digest>) -> Result<()> {
    let repository = open(address)?;
    let report = verify(&repository, &Selection::All, None, &Stop::default(), &Progress::default())?;
    ensure!(report.verdict == Verdict::Good, "{report:?}");
    let listed = repository.points()?.good.iter().map(|point| point.id).collect::<BTreeSet<_>>();
    ensure!(listed == *made, "other points are listed than runs said to have made");
    Ok(())
}
