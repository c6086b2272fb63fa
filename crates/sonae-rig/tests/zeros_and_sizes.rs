//! Zeros in every place, disks of every odd size, and what is stored when little or nothing is new.

use std::fs;

use anyhow::Result;
use serde_json::Value;
use sonae_rig::content::Content;
use sonae_rig::disks::{self, PAGE, Stretch};
use sonae_rig::peer::{Peer, Release};
use sonae_rig::stand::{Stand, claim, number, text};
use sonae_types::ByteCount;

const VM: &str = "odd";
const MIB: ByteCount = ByteCount::mib(1);

fn point(report: &Value) -> Result<&str> {
    text(&report["point"])
}

/// Backs up disks with these names, and compares each with our restore and with restic's dump.
fn come_back(stand: &Stand, disks: &[String]) -> Result<Value> {
    let pairs = disks.iter().map(|name| (name.as_str(), name.as_str())).collect::<Vec<_>>();
    let report = stand.backup(VM, &pairs, &[])?;
    let peer = Peer::find(Release::OfSystem)?;
    peer.run(&stand.place(), ["restore", point(&report)?, "--target", &stand.at("by-restic")])?;
    for name in disks {
        let content = Content::of(&stand.path(name))?;
        assert_eq!(stand.restored(point(&report)?, name)?, content, "{name} restored by us");
        let by_restic = stand.path(&format!("by-restic/{VM}/disk-{name}.raw"));
        assert_eq!(Content::of(&by_restic)?, content, "{name} restored by restic");
    }
    fs::remove_dir_all(stand.path("by-restic"))?;
    Ok(report)
}

#[test]
fn disks_of_every_odd_size_come_back_byte_by_byte() {
    claim(|| {
        let stand = Stand::with_repository()?;
        let sizes = [0, 1, 511, 512, 4_095, 4_096, 4_097, 65_537, (1 << 20) - 1, (1 << 20) + 1];
        let mut names = Vec::new();
        for (seed, size) in (1..).zip(sizes) {
            let name = format!("b{size}");
            disks::make(&stand.path(&name), &[Stretch::Noise(seed, ByteCount::new(size))])?;
            names.push(name);
        }
        let report = come_back(&stand, &names)?;
        for (disk, size) in report["disks"].as_array().into_iter().flatten().zip(sizes) {
            assert_eq!(number(&disk["size_bytes"])?, size);
        }
        let dumped = Peer::find(Release::OfSystem)?
            .run(&stand.place(), ["dump", point(&report)?, &format!("/{VM}/disk-b0.raw")])?;
        assert!(dumped.is_empty(), "an empty disk is dumped empty");
        Peer::find(Release::OfSystem)?.check(&stand.place())
    });
}

#[test]
fn zeros_first_last_everywhere_and_in_turns_with_data_come_back() {
    claim(|| {
        use Stretch::{Hole, Noise, Zeros};
        let stand = Stand::with_repository()?;
        let half = ByteCount::kib(512);
        let disks = [
            ("all-hole", vec![Hole(ByteCount::mib(9))]),
            ("all-zeros", vec![Zeros(ByteCount::mib(9))]),
            ("odd-zeros", vec![Hole(ByteCount::new(4_097))]),
            ("zeros-first", vec![Zeros(half), Noise(1, MIB)]),
            ("zeros-last", vec![Noise(2, MIB), Zeros(half), Hole(ByteCount::new(513))]),
            ("short-runs", vec![Noise(3, PAGE), Zeros(PAGE), Noise(4, PAGE), Zeros(ByteCount::kib(60))]),
        ];
        let mut names = Vec::new();
        for (name, stretches) in disks {
            disks::make(&stand.path(name), &stretches)?;
            names.push(name.to_owned());
        }
        come_back(&stand, &names)?;
        // Data that becomes zeros, zeros that become data: the next point says so.
        disks::overwrite(&stand.path("zeros-first"), MIB, Stretch::Zeros(half))?;
        disks::overwrite(&stand.path("all-hole"), MIB, Stretch::Noise(5, MIB))?;
        disks::overwrite(&stand.path("all-zeros"), ByteCount::ZERO, Stretch::Text(6, PAGE))?;
        come_back(&stand, &names)?;
        Peer::find(Release::OfSystem)?.check(&stand.place())
    });
}

#[test]
fn an_update_zeroes_what_should_be_zero_and_writes_only_what_differs() {
    claim(|| {
        let stand = Stand::with_repository()?;
        disks::make(&stand.path("vda"), &disks::mixed())?;
        let report = stand.backup(VM, &[("vda", "vda")], &[])?;
        let content = Content::of(&stand.path("vda"))?;
        // A target full of somebody else's data, behind which no zero may stay away.
        disks::make(&stand.path("target"), &[Stretch::Noise(30, content.size)])?;
        let to = stand.at("target");
        let update = ["restore", point(&report)?, "--disk", "vda", "--existing", "update", "--to", &to];
        let dirty = stand.sonae(update)?.good()?;
        assert_eq!(Content::of(&stand.path("target"))?, content);
        assert!(0 < number(&dirty["written_bytes"])?);
        let again = stand.sonae(update)?.good()?;
        assert_eq!(number(&again["written_bytes"])?, 0, "nothing differed: {again}");
        assert!(0 < number(&again["in_place_bytes"])?);
        // One page of data and one page of zeros are spoilt.
        disks::overwrite(&stand.path("target"), MIB, Stretch::Noise(31, PAGE))?;
        disks::overwrite(&stand.path("target"), ByteCount::mib(8), Stretch::Noise(32, PAGE))?;
        let mended = stand.sonae(update)?.good()?;
        assert_eq!(Content::of(&stand.path("target"))?, content);
        let written = number(&mended["written_bytes"])?;
        assert!(
            (PAGE.get()..=ByteCount::mib(5).get()).contains(&written),
            "a chunk or two differ, {written} bytes were written"
        );
        Ok(())
    });
}

#[test]
fn the_same_disks_again_store_nothing_and_a_shifted_clone_nearly_nothing() {
    claim(|| {
        let stand = Stand::with_repository()?;
        let mut stretches = Vec::new();
        for seed in 0..8 {
            stretches.extend([Stretch::Text(40 + seed, MIB), Stretch::Noise(50 + seed, ByteCount::mib(2))]);
        }
        disks::make(&stand.path("vda"), &stretches)?;
        disks::make(&stand.path("vdb"), &disks::mixed())?;
        stand.backup(VM, &[("vda", "vda"), ("vdb", "vdb")], &[])?;
        let again = stand.backup(VM, &[("vda", "vda"), ("vdb", "vdb")], &[])?;
        for disk in again["disks"].as_array().into_iter().flatten() {
            assert_eq!(number(&disk["new_chunk_bytes"])?, 0, "{disk}");
            assert_eq!(number(&disk["changed_bytes"])?, 0, "{disk}");
        }
        stretches.insert(0, Stretch::Noise(60, ByteCount::kib(16)));
        disks::make(&stand.path("clone"), &stretches)?;
        let clone = stand.backup("clone", &[("vda", "clone")], &[])?;
        let disk = &clone["disks"][0];
        let (new, size) = (number(&disk["new_chunk_bytes"])?, number(&disk["size_bytes"])?);
        assert!(new * 10 <= size, "{new} of {size} bytes are new");
        assert!(0 < new, "the bytes in front are new");
        assert_eq!(stand.restored(point(&clone)?, "vda")?, Content::of(&stand.path("clone"))?);
        Ok(())
    });
}
