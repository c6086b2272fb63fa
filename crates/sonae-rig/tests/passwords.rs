//! Passwords and key files: wrong, damaged, several, too many, and what plain restic makes of them.

use std::fs;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use sonae_agent::system_environment;
use sonae_repo::Repository;
use sonae_repo::crypto::{KdfCost, Password};
use sonae_repo::repository::{KEYS_TRIED_MAX, OpenError};
use sonae_repo::store::LocalStore;
use sonae_rig::peer::{Peer, Place, Release};
use sonae_rig::stand::{Stand, claim, text};

fn with_password(stand: &Stand, file: &str, bytes: &[u8]) -> Result<Place> {
    fs::write(stand.path(file), bytes)?;
    Ok(Place { password_file: stand.path(file), ..stand.place() })
}

/// Turns one bit of a file that may be written by nobody.
fn flip_a_bit(stand: &Stand, key: &str) -> Result<Vec<u8>> {
    let path = stand.path("repository/keys").join(key);
    let before = fs::read(&path)?;
    let mut bytes = before.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    replace(stand, key, &bytes)?;
    Ok(before)
}

fn replace(stand: &Stand, key: &str, bytes: &[u8]) -> Result<()> {
    let path = stand.path("repository/keys").join(key);
    fs::remove_file(&path)?;
    Ok(fs::write(&path, bytes)?)
}

fn only_key(stand: &Stand) -> Result<String> {
    let list = stand.sonae(["key", "list"])?.good()?;
    let keys = list["keys"].as_array().context("key list lists keys")?;
    ensure!(keys.len() == 1, "there is one key: {list}");
    Ok(text(&keys[0]["key"])?.to_owned())
}

#[test]
fn a_wrong_password_a_missing_and_an_empty_file_are_told_apart() {
    claim(|| {
        let stand = Stand::with_repository()?;
        let wrong = with_password(&stand, "wrong", b"another password\n")?;
        stand.sonae_at(&wrong, ["points"])?.refused(12)?;
        for empty in [&b""[..], b"\n", b"\r\n", b" \n\n"] {
            let empty = with_password(&stand, "empty", empty)?;
            let said = stand.sonae_at(&empty, ["points"])?.refused(1)?;
            assert!(said.contains(&stand.at("empty")), "{said}");
            stand.sonae(["key", "add", "--new-password-file", &stand.at("empty")])?.refused(1)?;
        }
        let missing = Place { password_file: stand.path("missing"), ..stand.place() };
        let said = stand.sonae_at(&missing, ["points"])?.refused(1)?;
        assert!(said.contains(&stand.at("missing")), "{said}");
        only_key(&stand)?;
        Ok(())
    });
}

#[test]
fn line_ends_and_white_space_around_a_password_make_no_difference_to_us_or_to_restic() {
    claim(|| {
        let stand = Stand::new()?;
        let made = with_password(&stand, "made", b" \tsecret word\r\n\r\n")?;
        stand.sonae_at(&made, ["repo", "init"])?.good()?;
        for same in ["secret word", "secret word\n", "\u{feff}secret word\r\n", "\u{3000}secret word\n\n"] {
            let place = with_password(&stand, "same", same.as_bytes())?;
            stand.sonae_at(&place, ["repo", "info"])?.good()?;
            Peer::find(Release::OfSystem)?.run(&place, ["cat", "config"])?;
        }
        Peer::find(Release::Newer)?.run(&made, ["cat", "config"])?;
        let other = with_password(&stand, "other", b"secretword\n")?;
        stand.sonae_at(&other, ["repo", "info"])?.refused(12)?;
        Ok(())
    });
}

#[test]
fn a_damaged_key_file_is_no_wrong_password_and_another_key_still_opens() {
    claim(|| {
        let stand = Stand::with_repository()?;
        let first = only_key(&stand)?;
        let before = flip_a_bit(&stand, &first)?;
        let said = stand.sonae(["points"])?.refused(13)?;
        assert!(said.contains(&first[..8]), "the damaged file is named: {said}");
        replace(&stand, &first, &before)?;
        let second = with_password(&stand, "second", "二つ目\n".as_bytes())?;
        stand.sonae(["key", "add", "--new-password-file", &stand.at("second")])?.good()?;
        flip_a_bit(&stand, &first)?;
        stand.sonae_at(&second, ["points"])?.good()?;
        let list = stand.sonae_at(&second, ["key", "list"])?.good()?;
        for key in list["keys"].as_array().into_iter().flatten() {
            let state = if key["key"] == first.as_str() { "damaged" } else { "current" };
            assert_eq!(key["state"], state, "{key}");
        }
        let wrong = with_password(&stand, "wrong", b"another password\n")?;
        stand.sonae_at(&wrong, ["points"])?.refused(13)?;
        Ok(())
    });
}

#[test]
fn two_passwords_both_open_for_restic_too_and_a_removed_one_opens_no_more() {
    claim(|| {
        let stand = Stand::with_repository()?;
        let first = only_key(&stand)?;
        let second = with_password(&stand, "second", "二つ目の鍵\n".as_bytes())?;
        let added = stand.sonae(["key", "add", "--new-password-file", &stand.at("second")])?.good()?;
        for place in [&stand.place(), &second] {
            stand.sonae_at(place, ["points"])?.good()?;
            for release in [Release::OfSystem, Release::Newer] {
                Peer::find(release)?.run(place, ["cat", "config"])?;
            }
        }
        let in_use = text(&added["key"])?;
        stand.sonae_at(&second, ["key", "remove", in_use])?.refused(1)?;
        stand.sonae_at(&second, ["key", "remove", &first])?.good()?;
        stand.sonae(["points"])?.refused(12)?;
        stand.sonae_at(&second, ["points"])?.good()?;
        ensure!(Peer::find(Release::OfSystem)?.run(&stand.place(), ["snapshots"]).is_err());
        Peer::find(Release::Newer)?.check(&second)
    });
}

#[test]
fn of_twenty_five_keys_twenty_are_tried_and_no_more() {
    claim(|| {
        let folder = tempfile::tempdir()?;
        let store = Arc::new(LocalStore::create(&folder.path().join("repository"))?);
        let password = |n: usize| Password::from_file_bytes(format!("password {n}").as_bytes());
        let repository =
            Repository::init(store.clone(), system_environment(), &password(0), KdfCost::FOR_TESTS)?;
        for n in 1..25 {
            repository.add_key(&password(n), KdfCost::FOR_TESTS)?;
        }
        let open = |password: &Password| Repository::open(store.clone(), system_environment(), password);
        match open(&Password::from_file_bytes(b"none of them")) {
            Err(OpenError::WrongPassword { tried: KEYS_TRIED_MAX, total: 25, .. }) => {}
            other => panic!("{other:?}"),
        }
        let opening = (0..25).filter(|n| open(&password(*n)).is_ok()).count();
        assert_eq!(opening, KEYS_TRIED_MAX);
        Ok(())
    });
}
