//! Repositories made to do harm, read by the real program under a bound on its memory: every one ends with an exit code
//! and a message that names the file, none with a crash, and nothing is written anywhere but to the target.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sonae_repo::blob::BlobKind;
use sonae_repo::malice::forge::{ForgedBlob, Forger, PASSWORD};
use sonae_repo::malice::frame::{Stated, bomb};
use sonae_repo::store::{FileKind, FileName, LocalStore};
use sonae_repo::tree::{Node, NodeKind};
use sonae_rig::host;
use sonae_rig::stand::{Answer, Stand, claim};
use sonae_types::{ByteCount, Digest};

const GIB: u64 = 1 << 30;

/// What a hostile repository may make us take, whatever it claims: address space, which is never less than memory.
///
/// The attacks below ask for 2 GiB to 16 GiB; each thread may hold a chunk of 64 MiB and what it was sealed in.
fn memory_max() -> ByteCount {
    let threads = std::thread::available_parallelism().map_or(2, usize::from) as u64 + 1;
    ByteCount::mib(512 + 256 * threads)
}

/// A repository in a folder whose maker has the key.
struct Trap {
    stand: Stand,
    forger: Forger,
}

impl Trap {
    fn new() -> Result<Self> {
        let stand = Stand::new()?;
        fs::write(stand.path("password"), PASSWORD)?;
        let forger = Forger::over(Arc::new(LocalStore::create(&stand.place().repository)?));
        Ok(Self { stand, forger })
    }

    /// A point whose disk is this one chunk; answers the id of the pack.
    fn disk(&self, blob: &ForgedBlob, size: u64) -> String {
        let pack = self.forger.pack(std::slice::from_ref(blob));
        let id = pack.id.to_string();
        self.forger.index(&[pack]);
        self.forger.disk(size, vec![blob.id]);
        id
    }

    /// Runs the program under the bound. Errors: it was ended by a signal, or gave no document.
    fn sonae(&self, args: &[&str]) -> Result<Answer> {
        let sonae = self.stand.command(args);
        let mut bounded = host::program("prlimit")?;
        bounded
            .arg(format!("--as={}", memory_max().get()))
            .arg("--")
            .arg(sonae.get_program())
            .args(sonae.get_args());
        for (name, value) in sonae.get_envs() {
            match value {
                Some(value) => bounded.env(name, value),
                None => bounded.env_remove(name),
            };
        }
        // The allocator sets address space aside for every thread, which is no memory.
        let ended = bounded.env("MALLOC_ARENA_MAX", "1").stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&ended.stderr);
        let code =
            ended.status.code().with_context(|| format!("{args:?} was ended: {} {said}", ended.status))?;
        ensure!(!said.contains("panicked"), "{args:?}: {said}");
        let document = serde_json::from_slice(&ended.stdout)
            .with_context(|| format!("{args:?} ended with {code} and no document: {said}"))?;
        Ok(Answer { code, document })
    }

    /// Runs the program, which must find damage and name each of these.
    fn finds(&self, args: &[&str], named: &[&str]) -> Result<()> {
        let Answer { code, document } = self.sonae(args)?;
        ensure!(code == 13, "{args:?} ended with {code}: {}", told(&document));
        for name in named {
            ensure!(
                document.to_string().contains(name),
                "{args:?} does not name {name}: {}",
                told(&document)
            );
        }
        Ok(())
    }

    /// Restores the disk, which must be damage and leave no file under the name of the target.
    fn restores_nothing(&self, named: &[&str]) -> Result<()> {
        let to = self.stand.at("target");
        self.finds(&["restore", "latest", "--vm", "vm", "--disk", "vda", "--to", &to], named)?;
        ensure!(!Path::new(&to).exists(), "what is damaged must never look whole");
        Ok(())
    }

    fn path_of(&self, kind: FileKind, id: Digest) -> std::path::PathBuf {
        self.stand.place().repository.join(FileName::Hashed(kind, id).to_string())
    }
}

/// The front of a document, for errors.
fn told(document: &Value) -> String {
    document.to_string().chars().take(2000).collect()
}

/// A file of 1 TiB that takes no room.
fn giant(path: &Path) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(File::create(path)?.set_len(1 << 40)?)
}

#[test]
fn a_chunk_that_expands_without_end_is_damage_in_its_pack() {
    claim(|| {
        for stated in [Stated::Nothing, Stated::Bytes(1024), Stated::Bytes(16 * GIB)] {
            let trap = Trap::new()?;
            let text = bomb(16 * GIB, 0, stated);
            let honest = ForgedBlob::squeezed(BlobKind::Data, &[0; 1024]);
            // The id of zeros would be known without reading.
            let blob = ForgedBlob { text, id: Digest::new([7; 32]), ..honest };
            let pack = trap.disk(&blob, 1024);
            trap.finds(&["repo", "check", "--read-data"], &[&pack])?;
            trap.finds(&["verify", "--all"], &["disk-vda.raw"])?;
            trap.restores_nothing(&[&pack])?;
        }
        Ok(())
    });
}

#[test]
fn lengths_that_nobody_has_are_damage_and_take_no_memory() {
    claim(|| {
        for claimed in [u32::MAX, 1 << 31, (64 << 20) + 1] {
            let trap = Trap::new()?;
            let blob = ForgedBlob::squeezed(BlobKind::Data, b"tiny").claiming(claimed);
            let pack = trap.disk(&blob, claimed.into());
            trap.finds(&["repo", "check", "--read-data"], &[&pack])?;
            trap.finds(&["verify", "--all"], &["disk-vda.raw"])?;
            trap.restores_nothing(&[&pack])?;
        }
        for length in [u32::MAX, 64 << 20] {
            let trap = Trap::new()?;
            let mut pack = trap.forger.pack(&[ForgedBlob::raw(BlobKind::Data, b"tiny")]);
            pack.blobs[0].length = length;
            trap.forger.index(&[pack.clone()]);
            trap.forger.disk((length - 32).into(), vec![pack.blobs[0].id]);
            trap.finds(&["repo", "check", "--read-data"], &[&pack.id.to_string()])?;
            trap.finds(&["verify", "--all"], &["disk-vda.raw"])?;
            trap.restores_nothing(&[])?;
        }
        Ok(())
    });
}

#[test]
fn a_listing_that_claims_2_gib_and_has_ten_bytes_is_damage() {
    claim(|| {
        let trap = Trap::new()?;
        let tree = ForgedBlob::squeezed(BlobKind::Tree, b"{\"nodes\":[]}").claiming(2 << 30);
        trap.forger.index(&[trap.forger.pack(std::slice::from_ref(&tree))]);
        let point = trap.forger.point(Forger::snapshot(tree.id)).id.to_string();
        trap.finds(&["repo", "check", "--read-data"], &["data/", &point])?;
        trap.finds(&["verify", &point], &[&point])?;
        trap.finds(&["show", &point], &["data/"])?;
        trap.restores_nothing(&["data/"])
    });
}

#[test]
fn an_index_of_ten_million_entries_and_documents_that_expand_without_end_are_damage() {
    claim(|| {
        let trap = Trap::new()?;
        trap.disk(&ForgedBlob::raw(BlobKind::Data, b"sound"), 5);
        let id = "0a".repeat(32);
        let entry = format!(r#"{{"id":"{id}","type":"data","offset":0,"length":99}},"#);
        let squeezed = |text: &str| ForgedBlob::squeezed(BlobKind::Data, text.as_bytes()).text;
        let mut plain = vec![2];
        plain.extend(squeezed(&format!(r#"{{"packs":[{{"id":"{id}","blobs":["#)));
        plain.extend(squeezed(&entry.repeat(1000)).repeat(10_000));
        plain.extend(squeezed(&format!("{}]}}]}}", entry.trim_end_matches(','))));
        let index = trap.forger.put_sealed(FileKind::Index, &plain).to_string();
        let endless = [vec![2], bomb(16 * GIB, b' ', Stated::Nothing)].concat();
        let other = trap.forger.put_sealed(FileKind::Index, &endless).to_string();
        let point = trap.forger.put_sealed(FileKind::Snapshot, &endless).to_string();
        trap.finds(&["repo", "check", "--read-data"], &[&index, &other, &point])?;
        trap.finds(&["points"], &[&point])?;
        trap.finds(&["verify", "--all"], &[&point])?;
        // What the others list can still be restored.
        let to = trap.stand.at("target");
        trap.sonae(&["restore", "latest", "--vm", "vm", "--disk", "vda", "--to", &to])?.good()?;
        assert_eq!(fs::read(&to)?, b"sound");
        Ok(())
    });
}

#[test]
fn files_of_a_tebibyte_are_damage_and_are_not_read() {
    claim(|| {
        let trap = Trap::new()?;
        let pack = trap.forger.pack(&[ForgedBlob::raw(BlobKind::Data, b"sound")]);
        trap.forger.index(std::slice::from_ref(&pack));
        trap.forger.disk(5, vec![pack.blobs[0].id]);
        let id = Digest::new([0; 32]);
        giant(&trap.path_of(FileKind::Key, id))?;
        for (kind, args) in [(FileKind::Snapshot, "points"), (FileKind::Index, "check")] {
            giant(&trap.path_of(kind, id))?;
            let args: &[&str] = if args == "points" { &[args] } else { &["repo", args] };
            trap.finds(args, &[&FileName::Hashed(kind, id).to_string()])?;
            fs::remove_file(trap.path_of(kind, id))?;
        }
        giant(&trap.path_of(FileKind::Lock, id))?;
        let said = trap.sonae(&["verify", "--all"])?.refused(11)?;
        ensure!(said.contains(&format!("locks/{id}")), "{said}");
        fs::remove_file(trap.path_of(FileKind::Lock, id))?;
        let path = trap.path_of(FileKind::Data, pack.id);
        let sound = fs::read(&path)?;
        fs::remove_file(&path)?;
        giant(&path)?;
        trap.finds(&["repo", "check", "--read-data"], &[&pack.id.to_string()])?;
        fs::remove_file(&path)?;
        fs::write(&path, sound)?;
        trap.sonae(&["verify", "--all"])?.good()?;
        let config = trap.stand.place().repository.join("config");
        fs::remove_file(&config)?;
        giant(&config)?;
        let said = trap.sonae(&["points"])?.refused(13)?;
        ensure!(said.contains("too many for a configuration"), "{said}");
        Ok(())
    });
}

#[test]
fn a_name_that_leaves_its_folder_is_damage_and_nothing_is_written_there() {
    claim(|| {
        for name in ["..", "../../../escaped", "\\\\x2e\\\\x2e\\\\x2fescaped"] {
            let trap = Trap::new()?;
            let blob = ForgedBlob::raw(BlobKind::Data, b"harm");
            trap.forger.index(&[trap.forger.pack(std::slice::from_ref(&blob))]);
            let node = format!(r#"{{"name":"{name}","type":"file","size":4,"content":["{}"]}}"#, blob.id);
            let tree = trap.forger.tree(format!(r#"{{"nodes":[{node}]}}"#).as_bytes());
            let point = trap.forger.point(Forger::snapshot(tree)).id.to_string();
            trap.finds(&["verify", &point], &[&point])?;
            trap.finds(&["show", &point], &["damaged"])?;
            let before = everything(&trap.stand.path(""))?;
            for path in ["/../../../escaped", "/escaped", ".."] {
                let answer =
                    trap.sonae(&["restore", &point, "--path", path, "--to", &trap.stand.at("out")])?;
                ensure!([1, 13].contains(&answer.code), "{name} {path}: {}", told(&answer.document));
            }
            assert_eq!(everything(&trap.stand.path(""))?, before, "{name}");
        }
        Ok(())
    });
}

/// Every path below a folder, locks excepted.
fn everything(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            paths.extend(everything(&path)?);
        }
        paths.push(path);
    }
    paths.sort();
    Ok(paths)
}

#[test]
fn a_disk_of_endless_missing_chunks_is_told_in_a_bearable_report() {
    claim(|| {
        let trap = Trap::new()?;
        let point = trap.forger.disk(1 << 40, vec![Digest::new([7; 32]); 20_000]).id.to_string();
        for args in [&["verify", "--all"][..], &["repo", "check"]] {
            trap.finds(args, &[&point])?;
            ensure!(trap.sonae(args)?.document.to_string().len() < 2 << 20);
        }
        trap.restores_nothing(&[])
    });
}

#[test]
fn folders_in_folders_with_long_names_are_walked_within_bounds() {
    claim(|| {
        let trap = Trap::new()?;
        let folder = |name: String, tree| Node { name, kind: NodeKind::Folder(tree) };
        let mut tree = trap.forger.folder(vec![]);
        for level in 0..6u8 {
            let other = |n: u32| Digest::new([level + 1; 32].map(|byte| byte ^ n.to_le_bytes()[0]));
            let mut nodes = (1..200).map(|n| folder(format!("{n:0>4000}"), other(n))).collect::<Vec<_>>();
            nodes.push(folder("0".to_owned(), tree));
            tree = trap.forger.folder(nodes);
        }
        let point = trap.forger.point(Forger::snapshot(tree)).id.to_string();
        trap.finds(&["verify", "--all"], &[&point])?;
        trap.finds(&["repo", "check"], &[&point])
    });
}

#[test]
fn what_lies_in_the_place_of_a_file_and_is_none_ends_the_run_at_once() {
    claim(|| {
        let trap = Trap::new()?;
        let config = trap.stand.place().repository.join("config");
        fs::remove_file(&config)?;
        std::os::unix::fs::symlink("/dev/zero", &config)?;
        let said = trap.sonae(&["points"])?.refused(1)?;
        ensure!(said.contains("config is no file"), "{said}");
        fs::remove_file(&config)?;
        let made = host::program("mkfifo")?.arg(&config).status()?;
        ensure!(made.success(), "mkfifo failed");
        let said = trap.sonae(&["points"])?.refused(1)?;
        ensure!(said.contains("config is no file"), "{said}");
        Ok(())
    });
}
