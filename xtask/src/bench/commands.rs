//! The command lines of every contender, so that a reader sees at one place whether the race is fair. Pure.
//!
//! Every command that writes ends with `sync -f`, so that nobody gains by leaving work to the kernel.

use std::path::{Path, PathBuf};

use super::figures::Contender;
use super::machine::quoted;

/// Where one pass reads and writes.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) repo: PathBuf,
    pub(crate) out: PathBuf,
    /// The password, for programs that want it in a file.
    pub(crate) password: PathBuf,
    /// The disks of the machine, the first of which is restored.
    pub(crate) images: Vec<PathBuf>,
}

/// What one contender is told to do; a step that it does not know has no command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Commands {
    pub(crate) init: String,
    pub(crate) full: String,
    pub(crate) open: Option<String>,
    pub(crate) restore: Option<Restore>,
    pub(crate) verify: Option<String>,
    pub(crate) verify_points: Option<String>,
}

/// A restore of the first image, and where it arrives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Restore {
    pub(crate) command: String,
    pub(crate) arrives: PathBuf,
}

/// The password of every repository of the bench; it protects nothing.
pub(crate) const PASSWORD: &str = "bench";

/// The environment of every command: passwords, and homes inside the work folder.
pub(crate) fn environment(work: &Path) -> Vec<(String, String)> {
    let inside = |name: &str| work.join("state").join(name).display().to_string();
    [
        ("HOME", inside("home")),
        ("XDG_CACHE_HOME", inside("cache")),
        ("XDG_CONFIG_HOME", inside("config")),
        ("RESTIC_PASSWORD", PASSWORD.to_owned()),
        ("RESTIC_CACHE_DIR", inside("restic")),
        ("RUSTIC_PASSWORD", PASSWORD.to_owned()),
        ("RUSTIC_CACHE_DIR", inside("rustic")),
        ("RUSTIC_NO_PROGRESS", "true".to_owned()),
        ("BORG_PASSPHRASE", PASSWORD.to_owned()),
        ("BORG_BASE_DIR", inside("borg")),
        ("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes".to_owned()),
        ("BORG_CHECK_I_KNOW_WHAT_I_AM_DOING", "YES".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// The commands of a contender whose program is started by `program`.
pub(crate) fn of(contender: Contender, program: &str, places: &Places) -> Commands {
    match contender {
        Contender::Ours => ours(program, places),
        Contender::Restic => restic(program, places),
        Contender::Rustic => rustic(program, "", places),
        Contender::RusticFixed => rustic(program, " --set-chunker fixed_size --set-chunk-size 1MiB", places),
        Contender::Borg2 => borg(program, places),
        Contender::Copy => copy(places),
        Contender::Primitives => primitives(program, places),
    }
}

fn ours(program: &str, places: &Places) -> Commands {
    let sonae =
        format!("{program} --repo {} --password-file {}", quoted(&places.repo), quoted(&places.password));
    let disks: String = (1..)
        .zip(&places.images)
        .map(|(number, image)| format!(" --disk d{number}={}", quoted(image)))
        .collect();
    let arrives = places.out.join("restored.raw");
    Commands {
        init: format!("{sonae} repo init"),
        full: format!("{sonae} backup --vm bench{disks} --json && {}", sync(&places.repo)),
        open: Some(format!("{sonae} points")),
        restore: Some(Restore {
            command: format!(
                "{sonae} restore latest --vm bench --disk d1 --to {} && {}",
                quoted(&arrives),
                sync(&places.out)
            ),
            arrives,
        }),
        verify: Some(format!("{sonae} repo check --read-data")),
        verify_points: Some(format!("{sonae} verify --all")),
    }
}

fn restic(program: &str, places: &Places) -> Commands {
    let restic = format!("{program} -r {} -q", quoted(&places.repo));
    let first = &places.images[0];
    Commands {
        init: format!("{restic} init"),
        full: format!("{restic} backup{} && {}", all(places), sync(&places.repo)),
        open: Some(format!("{restic} snapshots")),
        restore: Some(Restore {
            command: format!(
                "{restic} restore latest --sparse --include {} --target {} && {}",
                quoted(first),
                quoted(&places.out),
                sync(&places.out)
            ),
            arrives: places.out.join(relative(first)),
        }),
        verify: Some(format!("{restic} check --read-data")),
        verify_points: None,
    }
}

fn rustic(program: &str, chunking: &str, places: &Places) -> Commands {
    let rustic = format!("{program} -r {} --no-progress --log-level error", quoted(&places.repo));
    let arrives = places.out.join("restored.raw");
    let from = format!("latest:{}", places.images[0].display());
    Commands {
        init: format!("{rustic} init{chunking}"),
        full: format!("{rustic} backup{} && {}", all(places), sync(&places.repo)),
        open: Some(format!("{rustic} snapshots")),
        restore: Some(Restore {
            command: format!(
                "{rustic} restore --sparse by-content {} {} && {}",
                quoted(Path::new(&from)),
                quoted(&arrives),
                sync(&places.out)
            ),
            arrives,
        }),
        verify: Some(format!("{rustic} check --read-data")),
        verify_points: None,
    }
}

fn borg(program: &str, places: &Places) -> Commands {
    let borg = format!("BORG_REPO={} {program}", quoted(&places.repo));
    let first = relative(&places.images[0]);
    Commands {
        init: format!("{borg} repo-create -e aes256-ocb -i blake3"),
        full: format!("{borg} create full{} && {}", all(places), sync(&places.repo)),
        open: Some(format!("{borg} repo-list")),
        restore: Some(Restore {
            command: format!(
                "cd {} && {borg} extract --sparse full {} && {}",
                quoted(&places.out),
                quoted(first),
                sync(&places.out)
            ),
            arrives: places.out.join(first),
        }),
        verify: Some(format!("{borg} check --verify-data")),
        verify_points: None,
    }
}

fn copy(places: &Places) -> Commands {
    let arrives = places.out.join("restored.raw");
    let first = places.images[0].file_name().unwrap_or_default();
    let (repo, out) = (&places.repo, &places.out);
    Commands {
        init: format!("mkdir {}", quoted(repo)),
        full: format!("cp --sparse=always{} {}/ && {}", all(places), quoted(repo), sync(repo)),
        open: None,
        restore: Some(Restore {
            command: format!(
                "cp --sparse=always {} {} && {}",
                quoted(&repo.join(first)),
                quoted(&arrives),
                sync(out)
            ),
            arrives,
        }),
        verify: None,
        verify_points: None,
    }
}

fn primitives(program: &str, places: &Places) -> Commands {
    let result = places.repo.join("result");
    Commands {
        init: format!("mkdir {}", quoted(&places.repo)),
        full: format!(
            "{program} primitives --out {}{} && {}",
            quoted(&result),
            all(places),
            sync(&places.repo)
        ),
        open: None,
        restore: None,
        verify: None,
        verify_points: None,
    }
}

fn all(places: &Places) -> String {
    places.images.iter().map(|image| format!(" {}", quoted(image))).collect()
}

fn sync(folder: &Path) -> String {
    format!("sync -f {}", quoted(folder))
}

/// A path as programs keep it that drop the slash at its start.
fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(Contender, &str); 7] = [
        (Contender::Ours, "sonae"),
        (Contender::Restic, "restic"),
        (Contender::Rustic, "rustic"),
        (Contender::RusticFixed, "rustic"),
        (Contender::Borg2, "borg2"),
        (Contender::Copy, ""),
        (Contender::Primitives, "sonae-rig"),
    ];

    fn places() -> Places {
        Places {
            repo: "/w/repo".into(),
            out: "/w/out".into(),
            password: "/w/password".into(),
            images: vec!["/c/vm1.raw".into(), "/c/vm2.raw".into()],
        }
    }

    #[test]
    fn the_command_lines_are_the_ones_that_were_agreed() {
        let mut text = String::new();
        for (contender, program) in ALL {
            let commands = of(contender, program, &places());
            let restore = commands.restore.map(|restore| restore.command);
            for command in [
                Some(commands.init),
                Some(commands.full),
                commands.open,
                restore,
                commands.verify,
                commands.verify_points,
            ] {
                text += &format!("{}: {}\n", contender.name(), command.as_deref().unwrap_or("-"));
            }
        }
        assert_eq!(text, include_str!("golden/commands.txt"));
    }

    #[test]
    fn whoever_writes_waits_for_the_disk() {
        for (contender, program) in ALL {
            let commands = of(contender, program, &places());
            assert!(commands.full.ends_with("&& sync -f '/w/repo'"), "{}", commands.full);
            if let Some(restore) = commands.restore {
                assert!(restore.command.ends_with("&& sync -f '/w/out'"), "{}", restore.command);
            }
        }
    }
}
