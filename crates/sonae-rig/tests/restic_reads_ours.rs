//! Plain restic, old and new, reads what we wrote: checks, restores, dumps, lists, tags, rewrites, forgets, prunes.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sonae_rig::content::Content;
use sonae_rig::disks::{self, PAGE, Stretch};
use sonae_rig::peer::{Peer, Release};
use sonae_rig::stand::{Stand, claim, text};
use sonae_types::ByteCount;

const VM: &str = "住民記録 <&> \"ap01\"";
const FILES: [(&str, &str); 3] =
    [("disk-vda.raw", "vda"), ("disk-vdb.raw", "vdb"), ("domain.xml", "domain.xml")];
/// What a file system may take more than the source for the same data: its own borders and lists of extents.
const ROOM_TO_SPARE: ByteCount = ByteCount::mib(2);

/// A repository with one point of two disks and a file; its sources lie in the folder.
fn backed_up() -> Result<(Stand, Value)> {
    backed_up_with(&[Stretch::Text(30, ByteCount::mib(1)), Stretch::Hole(ByteCount::new(513))])
}

fn backed_up_with(vdb: &[Stretch]) -> Result<(Stand, Value)> {
    let stand = Stand::with_repository()?;
    disks::make(&stand.path("vda"), &disks::mixed())?;
    disks::make(&stand.path("vdb"), vdb)?;
    disks::write(&stand.path("domain.xml"), b"<domain type='kvm'/>\n")?;
    let report = stand.backup(VM, &[("vda", "vda"), ("vdb", "vdb")], &["domain.xml"])?;
    Ok((stand, report))
}

fn restores_and_dumps_the_same(release: Release) -> Result<()> {
    let peer = Peer::find(release)?;
    let (stand, _) = backed_up_with(&disks::sparse_and_odd())?;
    let place = stand.place();
    peer.check(&place)?;
    peer.run(&place, ["restore", "latest", "--target", &stand.at("restored")])?;
    for (name, source) in FILES {
        let content = Content::of(&stand.path(source))?;
        assert_eq!(Content::of(&stand.path(&format!("restored/{VM}/{name}")))?, content, "{name} restored");
        let dumped = peer.run(&place, ["dump", "latest", &format!("/{VM}/{name}")])?;
        assert_eq!(Content::of_bytes(&dumped), content, "{name} dumped");
    }
    let manifest = fs::read(stand.path(&format!("restored/{VM}/sonae/manifest.json")))?;
    let manifest: Value = serde_json::from_slice(&manifest)?;
    assert_eq!(manifest["vm"], VM);
    Ok(())
}

#[test]
fn restic_of_this_system_restores_and_dumps_the_same_bytes() {
    claim(|| restores_and_dumps_the_same(Release::OfSystem));
}

#[test]
fn a_newer_restic_restores_and_dumps_the_same_bytes() {
    claim(|| restores_and_dumps_the_same(Release::Newer));
}

#[test]
fn a_newer_restic_restores_disks_as_sparse_as_they_were() {
    claim(|| {
        let peer = Peer::find(Release::Newer)?;
        let (stand, _) = backed_up_with(&disks::sparse_and_odd())?;
        peer.run(&stand.place(), ["restore", "latest", "--sparse", "--target", &stand.at("restored")])?;
        for (name, source) in FILES {
            let (source, restored) = (stand.path(source), stand.path(&format!("restored/{VM}/{name}")));
            assert_eq!(Content::of(&restored)?, Content::of(&source)?, "{name} restored");
            let (before, after) = (disks::allocated(&source)?, disks::allocated(&restored)?);
            assert!(
                after.get() <= before.get() + ROOM_TO_SPARE.get(),
                "{name} took {before} and takes {after}"
            );
        }
        Ok(())
    });
}

fn lists_what_a_point_says(release: Release) -> Result<()> {
    let peer = Peer::find(release)?;
    let (stand, report) = backed_up()?;
    let snapshots = peer.snapshots(&stand.place())?;
    ensure!(snapshots.len() == 1, "one backup is one snapshot");
    let snapshot = &snapshots[0];
    assert_eq!(snapshot["id"], report["point"]);
    assert_eq!(snapshot["hostname"], VM);
    assert_eq!(snapshot["paths"], serde_json::json!([format!("/{VM}")]));
    assert_eq!(snapshot["tags"], serde_json::json!(["sonae", "gen:1", "disk:vda", "disk:vdb"]));
    let ours = stand.sonae(["points"])?.good()?;
    assert_eq!(snapshot["time"], ours["points"][0]["time"]);
    Ok(())
}

#[test]
fn restic_of_this_system_lists_host_paths_tags_and_time() {
    claim(|| lists_what_a_point_says(Release::OfSystem));
}

#[test]
fn a_newer_restic_lists_host_paths_tags_and_time() {
    claim(|| lists_what_a_point_says(Release::Newer));
}

#[test]
fn a_rewrite_without_a_change_finds_our_trees_canonical_and_changes_nothing() {
    claim(|| {
        let peer = Peer::find(Release::Newer)?;
        let (stand, report) = backed_up()?;
        let before = peer.snapshots(&stand.place())?;
        peer.run(&stand.place(), ["rewrite", "--exclude", "no such file anywhere"])?;
        assert_eq!(peer.snapshots(&stand.place())?, before);
        // One that does change something decodes and encodes every tree, and refuses any that it would write otherwise.
        peer.run(&stand.place(), ["rewrite", "--forget", "--exclude", "domain.xml"])?;
        let rewritten = stand.points()?;
        assert_eq!(rewritten.len(), 1);
        assert_ne!(rewritten[0], text(&report["point"])?);
        stand.sonae(["verify", "--all"])?.good()?;
        assert_eq!(stand.restored(&rewritten[0], "vda")?, Content::of(&stand.path("vda"))?);
        peer.check(&stand.place())
    });
}

fn a_tag_leaves_the_point_ours(release: Release) -> Result<()> {
    let peer = Peer::find(release)?;
    let (stand, report) = backed_up()?;
    let point = text(&report["point"])?;
    peer.run(&stand.place(), ["tag", "--add", "保存", point])?;
    let list = stand.sonae(["points", "--vm", VM])?.good()?;
    let points = list["points"].as_array().context("points lists points")?;
    assert_eq!(points.len(), 1);
    assert_eq!(points[0]["disks"], serde_json::json!(["vda", "vdb"]));
    assert_eq!(points[0]["tags"], serde_json::json!(["sonae", "gen:1", "disk:vda", "disk:vdb", "保存"]));
    let tagged = text(&points[0]["point"])?;
    assert_ne!(tagged, point, "a tag gives another id");
    let verdict = stand.sonae(["verify", tagged])?.good()?;
    assert_eq!(verdict["verdict"], "good");
    assert_eq!(stand.restored(tagged, "vdb")?, Content::of(&stand.path("vdb"))?);
    stand.backup(VM, &[("vda", "vda"), ("vdb", "vdb")], &[])?;
    peer.check(&stand.place())
}

#[test]
fn a_point_that_restic_of_this_system_tagged_is_still_ours() {
    claim(|| a_tag_leaves_the_point_ours(Release::OfSystem));
}

#[test]
fn a_point_that_a_newer_restic_tagged_is_still_ours() {
    claim(|| a_tag_leaves_the_point_ours(Release::Newer));
}

fn forgetting_leaves_the_rest(release: Release) -> Result<()> {
    let peer = Peer::find(release)?;
    let (stand, first) = backed_up()?;
    disks::overwrite(&stand.path("vda"), PAGE, Stretch::Noise(20, ByteCount::mib(2)))?;
    disks::overwrite(&stand.path("vdb"), PAGE, Stretch::Text(21, PAGE))?;
    let second = stand.backup(VM, &[("vda", "vda"), ("vdb", "vdb")], &["domain.xml"])?;
    let first = text(&first["point"])?;
    peer.run(&stand.place(), ["forget", first, "--prune", "--max-unused", "0"])?;
    let second = text(&second["point"])?;
    assert_eq!(stand.points()?, [second]);
    assert_eq!(stand.sonae(["verify", "--all"])?.good()?["verdict"], "good");
    for disk in ["vda", "vdb"] {
        assert_eq!(stand.restored(second, disk)?, Content::of(&stand.path(disk))?, "{disk}");
    }
    stand.sonae(["show", first])?.refused(1)?;
    let checked = stand.sonae(["repo", "check", "--read-data"])?.good()?;
    assert_eq!(checked["unreferenced_packs"], 0, "restic has removed what only the other point needed");
    Ok(())
}

#[test]
fn the_point_that_restic_of_this_system_did_not_forget_stays_whole() {
    claim(|| forgetting_leaves_the_rest(Release::OfSystem));
}

#[test]
fn the_point_that_a_newer_restic_did_not_forget_stays_whole() {
    claim(|| forgetting_leaves_the_rest(Release::Newer));
}
