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
    /// What is known of the next day: the maps of changes, and the point of the first day.
    pub(crate) maps: PathBuf,
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
    /// The next day, upon the first.
    pub(crate) increment: Option<String>,
    /// Forgetting the first day, until nothing is left of it.
    pub(crate) prune: Option<String>,
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
        Contender::Borg2Map => borg_map(program, places),
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
    let changed: String = (1..=places.images.len())
        .map(|number| format!(" --changed d{number}={}", quoted(&disk_map(places, number))))
        .collect();
    let arrives = places.out.join("restored.raw");
    let day1 = format!("$(cat {})", quoted(&first_point(places)));
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
        increment: Some(format!(
            "{sonae} backup --vm bench{disks}{changed} --json && {}",
            sync(&places.repo)
        )),
        prune: Some(format!(
            "{sonae} forget {day1} && {sonae} prune --grace 0 --max-unused 0 && {}",
            sync(&places.repo)
        )),
    }
}

fn restic(program: &str, places: &Places) -> Commands {
    let restic = format!("{program} -r {} -q", quoted(&places.repo));
    let first = &places.images[0];
    Commands {
        init: format!("{restic} init"),
        full: format!("{restic} backup --tag day1{} && {}", all(places), sync(&places.repo)),
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
        increment: Some(format!("{restic} backup --tag day2{} && {}", all(places), sync(&places.repo))),
        prune: Some(format!(
            "{restic} forget --tag day1 --keep-last 0 --unsafe-allow-remove-all --prune --max-unused 0 && {}",
            sync(&places.repo)
        )),
    }
}

fn rustic(program: &str, chunking: &str, places: &Places) -> Commands {
    let rustic = format!("{program} -r {} --no-progress --log-level error", quoted(&places.repo));
    let arrives = places.out.join("restored.raw");
    let from = format!("latest:{}", places.images[0].display());
    Commands {
        init: format!("{rustic} init{chunking}"),
        full: format!("{rustic} backup --tag day1{} && {}", all(places), sync(&places.repo)),
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
        increment: Some(format!("{rustic} backup --tag day2{} && {}", all(places), sync(&places.repo))),
        prune: Some(format!(
            "{rustic} forget --filter-tags day1 --keep-none && {rustic} prune --instant-delete --max-unused 0B && {}",
            sync(&places.repo)
        )),
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
        increment: Some(format!("{borg} create day2{} && {}", all(places), sync(&places.repo))),
        prune: Some(format!("{borg} delete full && {borg} compact && {}", sync(&places.repo))),
    }
}

/// borg 2 told what changed: it takes maps for chunks of fixed length only, and one image an archive.
fn borg_map(program: &str, places: &Places) -> Commands {
    let plain = borg(program, places);
    let borg = format!("BORG_REPO={} {program}", quoted(&places.repo));
    let create = format!("{borg} create --chunker-params fixed,1048576");
    let each = |command: &dyn Fn(&str, &Path) -> String| {
        let commands = places.images.iter().map(|image| command(&stem(image), image));
        commands.chain([sync(&places.repo)]).collect::<Vec<_>>().join(" && ")
    };
    let map = |name: &str| quoted(&places.maps.join(name));
    let first = relative(&places.images[0]);
    Commands {
        full: each(&|name, image| {
            format!("{create} --map {} {name}-day1 {}", map(&format!("{name}.full")), quoted(image))
        }),
        restore: Some(Restore {
            command: format!(
                "cd {} && {borg} extract --sparse {}-day1 {} && {}",
                quoted(&places.out),
                stem(&places.images[0]),
                quoted(first),
                sync(&places.out)
            ),
            arrives: places.out.join(first),
        }),
        increment: Some(each(&|name, image| {
            let map = map(&format!("{name}.day2"));
            format!("{create} --map {map} --reuse-from {name}-day1 {name}-day2 {}", quoted(image))
        })),
        prune: Some(format!(
            "{} && {borg} compact && {}",
            places
                .images
                .iter()
                .map(|image| format!("{borg} delete {}-day1", stem(image)))
                .collect::<Vec<_>>()
                .join(" && "),
            sync(&places.repo)
        )),
        ..plain
    }
}

/// The list of our points, as a document.
pub(crate) fn points_of_ours(program: &str, places: &Places) -> String {
    format!(
        "{program} --repo {} --password-file {} points --json",
        quoted(&places.repo),
        quoted(&places.password)
    )
}

/// The map of changes of a disk of ours, by its number from one.
pub(crate) fn disk_map(places: &Places, number: usize) -> PathBuf {
    places.maps.join(format!("d{number}.json"))
}

/// The file with the id of our point of the first day.
pub(crate) fn first_point(places: &Places) -> PathBuf {
    places.maps.join("day1")
}

/// A file's name without its ending.
pub(crate) fn stem(image: &Path) -> String {
    image.file_stem().unwrap_or_default().to_string_lossy().into_owned()
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
        increment: None,
        prune: None,
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
        increment: None,
        prune: None,
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

    const ALL: [(Contender, &str); 8] = [
        (Contender::Ours, "sonae"),
        (Contender::Restic, "restic"),
        (Contender::Rustic, "rustic"),
        (Contender::RusticFixed, "rustic"),
        (Contender::Borg2, "borg2"),
        (Contender::Borg2Map, "borg2"),
        (Contender::Copy, ""),
        (Contender::Primitives, "sonae-rig"),
    ];

    fn places() -> Places {
        Places {
            repo: "/w/repo".into(),
            out: "/w/out".into(),
            password: "/w/password".into(),
            images: vec!["/c/vm1.raw".into(), "/c/vm2.raw".into()],
            maps: "/w/maps".into(),
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
                commands.increment,
                commands.prune,
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
            for command in [Some(commands.full), commands.increment, commands.prune].into_iter().flatten() {
                assert!(command.ends_with("&& sync -f '/w/repo'"), "{command}");
            }
            if let Some(restore) = commands.restore {
                assert!(restore.command.ends_with("&& sync -f '/w/out'"), "{}", restore.command);
            }
        }
    }
}
