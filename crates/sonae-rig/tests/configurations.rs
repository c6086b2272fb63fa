//! Configurations that are gone, foreign, older or newer, and places where no repository is or may be made.

use std::fs;
use std::sync::Arc;

use anyhow::{Result, ensure};
use sonae_agent::system_environment;
use sonae_repo::Repository;
use sonae_repo::config::Config;
use sonae_repo::crypto::Password;
use sonae_repo::store::LocalStore;
use sonae_repo::testing::replace_config;
use sonae_rig::content::Content;
use sonae_rig::disks::{self, PAGE, Stretch};
use sonae_rig::golden::backup_tree;
use sonae_rig::peer::{Peer, Place, Release};
use sonae_rig::stand::{PASSWORD, Stand, claim, text};
use sonae_types::ByteCount;

const VM: &str = "jumin-ap01";

fn opened(stand: &Stand) -> Result<Repository> {
    let store = Arc::new(LocalStore::open(&stand.place().repository)?);
    Ok(Repository::open(store, system_environment(), &Password::from_file_bytes(PASSWORD.as_bytes()))?)
}

/// Nothing that is refused with this code changes anything that lies there.
fn refused_and_untouched(stand: &Stand, args: &[&str], code: i32) -> Result<String> {
    let before = stand.listing()?;
    let said = stand.sonae(args)?.refused(code)?;
    assert_eq!(stand.listing()?, before, "{args:?} changed something");
    Ok(said)
}

#[test]
fn a_repository_whose_config_is_gone_is_damaged_and_never_made_anew() {
    claim(|| {
        let stand = Stand::with_repository()?;
        disks::make(&stand.path("vda"), &[Stretch::Noise(1, ByteCount::mib(1))])?;
        let point = stand.backup(VM, &[("vda", "vda")], &[])?;
        let config = stand.path("repository/config");
        let bytes = fs::read(&config)?;
        fs::remove_file(&config)?;
        let vda = format!("vda={}", stand.at("vda"));
        for args in [
            &["points"][..],
            &["repo", "info"],
            &["verify", "--all"],
            &["repo", "init"],
            &["backup", "--vm", VM, "--disk", &vda],
        ] {
            let said = refused_and_untouched(&stand, args, 13)?;
            assert!(said.contains("config"), "{said}");
        }
        fs::write(&config, bytes)?;
        assert_eq!(stand.points()?, [text(&point["point"])?]);
        assert_eq!(stand.sonae(["verify", "--all"])?.good()?["verdict"], "good");
        Ok(())
    });
}

#[test]
fn a_damaged_config_is_damage_and_no_wrong_password() {
    claim(|| {
        let stand = Stand::with_repository()?;
        let config = stand.path("repository/config");
        let mut bytes = fs::read(&config)?;
        fs::remove_file(&config)?;
        bytes[40] ^= 4;
        fs::write(&config, &bytes)?;
        refused_and_untouched(&stand, &["points"], 13)?;
        fs::write(&config, b"")?;
        refused_and_untouched(&stand, &["points"], 13)?;
        Ok(())
    });
}

#[test]
fn where_nothing_is_there_is_no_repository() {
    claim(|| {
        let stand = Stand::new()?;
        stand.sonae(["points"])?.refused(10)?;
        assert!(!stand.place().repository.exists(), "looking makes nothing");
        fs::create_dir(stand.place().repository)?;
        refused_and_untouched(&stand, &["points"], 10)?;
        let above = Place { repository: stand.path("not/there"), ..stand.place() };
        stand.sonae_at(&above, ["repo", "info"])?.refused(10)?;
        Ok(())
    });
}

#[test]
fn a_repository_is_made_only_in_a_new_or_empty_folder_and_only_once() {
    claim(|| {
        let stand = Stand::new()?;
        let below = Place { repository: stand.path("not/there"), ..stand.place() };
        stand.sonae_at(&below, ["repo", "init"])?.refused(1)?;
        assert!(!stand.path("not").exists());
        fs::create_dir(stand.place().repository)?;
        fs::write(stand.path("repository/letter.txt"), "somebody's")?;
        let said = refused_and_untouched(&stand, &["repo", "init"], 1)?;
        assert!(said.contains("letter.txt"), "what is in the way is named: {said}");
        fs::remove_file(stand.path("repository/letter.txt"))?;
        stand.sonae(["repo", "init"])?.good()?;
        let id = stand.sonae(["repo", "info"])?.good()?["id"].clone();
        refused_and_untouched(&stand, &["repo", "init"], 1)?;
        assert_eq!(stand.sonae(["repo", "info"])?.good()?["id"], id);
        Ok(())
    });
}

#[test]
fn a_format_newer_than_ours_is_refused_by_its_number_and_left_alone() {
    claim(|| {
        let stand = Stand::with_repository()?;
        let repository = opened(&stand)?;
        let newer = Config { version: 3, ..repository.config().clone() };
        replace_config(&repository, &newer)?;
        let said = refused_and_untouched(&stand, &["points"], 1)?;
        assert!(said.contains('3') && said.contains('2'), "both versions are named: {said}");
        refused_and_untouched(&stand, &["repo", "init"], 1)?;
        Ok(())
    });
}

#[test]
fn a_repository_of_format_1_is_read_and_nothing_compressed_is_written_to_it() {
    claim(|| {
        let (system, newer) = (Peer::find(Release::OfSystem)?, Peer::find(Release::Newer)?);
        let stand = Stand::new()?;
        let place = stand.place();
        system.run(&place, ["init", "--repository-version", "1"])?;
        fs::create_dir(stand.path("tree"))?;
        disks::make(&stand.path("tree/text"), &[Stretch::Text(1, ByteCount::mib(2))])?;
        let theirs = backup_tree(&stand, &system, &place)?.to_string();
        assert_eq!(stand.sonae(["verify", "--all"])?.good()?["verdict"], "good");
        assert_eq!(
            stand.restored_path(&place, &theirs, "/tree/text")?,
            Content::of(&stand.path("tree/text"))?
        );
        disks::make(&stand.path("vda"), &disks::mixed())?;
        let first = stand.backup(VM, &[("vda", "vda")], &[])?;
        disks::overwrite(&stand.path("vda"), PAGE, Stretch::Text(2, PAGE))?;
        let second = stand.backup(VM, &[("vda", "vda")], &[])?;
        let compressed = opened(&stand)?.load_index()?.iter().filter(|it| it.blob.expanded.is_some()).count();
        ensure!(compressed == 0, "{compressed} blobs are compressed");
        system.check(&place)?;
        newer.check(&place)?;
        let content = Content::of(&stand.path("vda"))?;
        let point = text(&second["point"])?;
        for peer in [&system, &newer] {
            let dumped = peer.run(&place, ["dump", point, &format!("/{VM}/disk-vda.raw")])?;
            assert_eq!(Content::of_bytes(&dumped), content);
        }
        assert_eq!(stand.restored(point, "vda")?, content);
        assert_eq!(stand.points()?, [theirs.as_str(), text(&first["point"])?, point]);
        assert_eq!(stand.sonae(["repo", "check", "--read-data"])?.good()?["verdict"], "good");
        Ok(())
    });
}
