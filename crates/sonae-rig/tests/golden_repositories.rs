//! Repositories that earlier versions of ours and of restic made: this version still opens, lists, verifies and
//! restores every one of them. They are made once, by `sonae-rig golden make`, and never again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use sonae_agent::restore::{Existing, RestoreRequest, What, restore};
use sonae_agent::select::Selector;
use sonae_agent::system_environment;
use sonae_repo::crypto::Password;
use sonae_repo::store::LocalStore;
use sonae_repo::{Progress, Repository, Stop};
use sonae_rig::content::Content;
use sonae_rig::golden::{HOLDS, Holds, REPOSITORY, copy_repository};
use sonae_rig::peer::{Peer, Place, Release};
use sonae_rig::stand::{Stand, claim};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// The folders of the golden repositories whose names begin so.
fn named(prefix: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(golden())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    found.sort();
    ensure!(!found.is_empty(), "there is no golden repository {prefix}*");
    Ok(found)
}

/// A copy of a golden repository, because locks are written, with its password.
fn copied(golden: &Path) -> Result<(Stand, Holds)> {
    let holds =
        fs::read(golden.join(HOLDS)).with_context(|| format!("no {HOLDS} in {}", golden.display()))?;
    let holds: Holds = serde_json::from_slice(&holds)?;
    let stand = Stand::new()?;
    copy_repository(&golden.join(REPOSITORY), &stand.place().repository)?;
    fs::write(stand.path("password"), &holds.password)?;
    Ok((stand, holds))
}

fn opens_lists_and_verifies(stand: &Stand, holds: &Holds) -> Result<()> {
    let info = stand.sonae(["repo", "info"])?.good()?;
    assert_eq!(info["version"], holds.format);
    let list = stand.sonae(["points"])?.good()?;
    let listed = list["points"].as_array().context("points lists points")?;
    assert_eq!(listed.len(), holds.points.len());
    for (listed, held) in listed.iter().zip(&holds.points) {
        assert_eq!(listed["point"], held.point.to_string());
        assert_eq!(listed["vm"], held.vm);
    }
    let verdict = stand.sonae(["verify", "--all"])?.good()?;
    assert_eq!(verdict["verdict"], "good", "{verdict}");
    Ok(())
}

fn every_file_has_its_hash(place: &Place, stand: &Stand, holds: &Holds) -> Result<()> {
    let store = Arc::new(LocalStore::open(&place.repository)?);
    let password = Password::from_file_bytes(holds.password.as_bytes());
    let repository = Repository::open(store, system_environment(), &password)?;
    for point in &holds.points {
        for file in &point.files {
            let to = stand.path("restored");
            let request = RestoreRequest {
                point: Selector::Prefix(point.point.to_string()),
                vm: None,
                what: What::Path(file.path.clone()),
                to: to.clone(),
                existing: Existing::Refuse,
            };
            restore(&repository, &request, &Stop::default(), &Progress::default())?;
            let content = Content::of(&to)?;
            assert_eq!((content.size, content.sha256()), (file.size_bytes, file.sha256), "{}", file.path);
            fs::remove_file(&to)?;
        }
    }
    Ok(())
}

fn is_read(prefix: &str) -> Result<()> {
    for golden in named(prefix)? {
        let (stand, holds) = copied(&golden)?;
        opens_lists_and_verifies(&stand, &holds)?;
        every_file_has_its_hash(&stand.place(), &stand, &holds)?;
    }
    Ok(())
}

#[test]
fn every_repository_that_we_ever_made_is_read() {
    claim(|| is_read("sonae-"));
}

#[test]
fn every_repository_of_format_1_that_restic_made_is_read() {
    claim(|| is_read("restic-0.14.0-format-1"));
}

#[test]
fn every_repository_of_format_2_that_restic_made_is_read() {
    claim(|| {
        is_read("restic-0.14.0-format-2")?;
        is_read("restic-0.18")
    });
}

#[test]
fn every_repository_that_we_ever_made_is_sound_for_restic_old_and_new() {
    claim(|| {
        for golden in named("sonae-")? {
            let (stand, _) = copied(&golden)?;
            Peer::find(Release::OfSystem)?.check(&stand.place())?;
            Peer::find(Release::Newer)?.check(&stand.place())?;
        }
        Ok(())
    });
}
