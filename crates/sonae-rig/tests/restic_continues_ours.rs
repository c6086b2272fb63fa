//! Plain restic and we work in one repository, whoever made it.

use anyhow::{Result, ensure};
use sonae_rig::content::Content;
use sonae_rig::disks::{self, Stretch};
use sonae_rig::golden::backup_tree;
use sonae_rig::peer::{Peer, Release};
use sonae_rig::stand::{Stand, claim, number, text};
use sonae_types::ByteCount;

const VM: &str = "jumin-ap01";
const TREE: [&str; 3] = ["large.bin", "empty", "内/台帳.txt"];

/// A folder tree as restic saves it, with a file that restic cuts into several chunks by the repository's polynomial.
fn make_tree(stand: &Stand) -> Result<()> {
    std::fs::create_dir_all(stand.path("tree/内"))?;
    let (kib, mib) = (ByteCount::kib, ByteCount::mib);
    disks::make(
        &stand.path("tree/large.bin"),
        &[
            Stretch::Noise(1, mib(5)),
            Stretch::Hole(mib(2)),
            Stretch::Text(2, mib(3)),
            Stretch::Noise(3, kib(11)),
        ],
    )?;
    disks::write(&stand.path("tree/empty"), b"")?;
    disks::write(&stand.path("tree/内/台帳.txt"), "氏名\n".as_bytes())?;
    Ok(std::os::unix::fs::symlink("large.bin", stand.path("tree/link"))?)
}

fn reads_theirs(stand: &Stand, point: &str) -> Result<()> {
    for name in TREE {
        let restored = stand.restored_path(&stand.place(), point, &format!("/tree/{name}"))?;
        assert_eq!(restored, Content::of(&stand.path(&format!("tree/{name}")))?, "{name}");
    }
    let all = stand.sonae(["verify", "--all"])?.good()?;
    ensure!(all["verdict"] == "good", "{all}");
    Ok(())
}

fn backs_up_into_ours(release: Release) -> Result<()> {
    let peer = Peer::find(release)?;
    let stand = Stand::with_repository()?;
    disks::make(&stand.path("vda"), &disks::mixed())?;
    make_tree(&stand)?;
    let first = stand.backup(VM, &[("vda", "vda")], &[])?;
    let theirs = backup_tree(&stand, &peer, &stand.place())?;
    peer.check(&stand.place())?;
    let first = text(&first["point"])?.to_owned();
    assert_eq!(stand.points()?, [first.clone(), theirs.to_string()]);
    reads_theirs(&stand, &theirs.to_string())?;
    let again = stand.backup(VM, &[("vda", "vda")], &[])?;
    assert_eq!(
        number(&again["disks"][0]["new_chunk_bytes"])?,
        0,
        "the point before it is ours, not restic's"
    );
    assert_eq!(stand.restored(&first, "vda")?, Content::of(&stand.path("vda"))?);
    peer.check(&stand.place())
}

#[test]
fn restic_of_this_system_backs_up_into_our_repository_and_we_read_it_and_go_on() {
    claim(|| backs_up_into_ours(Release::OfSystem));
}

#[test]
fn a_newer_restic_backs_up_into_our_repository_and_we_read_it_and_go_on() {
    claim(|| backs_up_into_ours(Release::Newer));
}

fn takes_our_backup(made_by: Release) -> Result<()> {
    let (maker, system, newer) =
        (Peer::find(made_by)?, Peer::find(Release::OfSystem)?, Peer::find(Release::Newer)?);
    let stand = Stand::new()?;
    maker.run(&stand.place(), ["init", "--repository-version", "2"])?;
    disks::make(&stand.path("vda"), &disks::mixed())?;
    make_tree(&stand)?;
    let theirs = backup_tree(&stand, &maker, &stand.place())?;
    let ours = stand.backup(VM, &[("vda", "vda")], &[])?;
    system.check(&stand.place())?;
    newer.check(&stand.place())?;
    assert_eq!(stand.restored(text(&ours["point"])?, "vda")?, Content::of(&stand.path("vda"))?);
    reads_theirs(&stand, &theirs.to_string())?;
    let dumped =
        newer.run(&stand.place(), ["dump", text(&ours["point"])?, &format!("/{VM}/disk-vda.raw")])?;
    assert_eq!(Content::of_bytes(&dumped), Content::of(&stand.path("vda"))?);
    Ok(())
}

#[test]
fn a_repository_that_restic_of_this_system_made_takes_our_backups() {
    claim(|| takes_our_backup(Release::OfSystem));
}

#[test]
fn a_repository_that_a_newer_restic_made_takes_our_backups() {
    claim(|| takes_our_backup(Release::Newer));
}

#[test]
fn what_a_restic_inside_the_machine_saves_is_never_taken_for_the_latest_point_of_the_machine() {
    claim(|| {
        let peer = Peer::find(Release::OfSystem)?;
        let stand = Stand::with_repository()?;
        disks::make(&stand.path("vda"), &[Stretch::Text(1, ByteCount::mib(1))])?;
        let ours = stand.backup(VM, &[("vda", "vda")], &[])?["point"].clone();
        std::fs::write(stand.path("passwd"), "root:x:0:0\n")?;
        peer.run_in(&stand.path("."), &stand.place(), ["backup", "--host", VM, "passwd"])?;
        assert_eq!(stand.points()?.len(), 2);
        let verified = stand.sonae(["verify", "latest", "--vm", VM])?.good()?;
        assert_eq!(verified["points"][0]["point"], ours);
        let to = stand.at("restored");
        stand.sonae(["restore", "latest", "--vm", VM, "--disk", "vda", "--to", &to])?.good()?;
        assert_eq!(Content::of(&stand.path("restored"))?, Content::of(&stand.path("vda"))?);
        // Without our tags it is still a point of the whole machine.
        peer.run(&stand.place(), ["tag", "--set", "other", text(&ours)?])?;
        let shown = stand.sonae(["show", "latest", "--vm", VM])?.good()?;
        assert_eq!(shown["manifest"]["vm"], VM);
        Ok(())
    });
}
