//! What `--help` says, in both languages.

use crate::golden;
use crate::world::{Run, World};

const COMMANDS: [&str; 16] = [
    "",
    "repo",
    "repo init",
    "repo info",
    "repo check",
    "key",
    "key add",
    "key list",
    "key remove",
    "backup",
    "points",
    "show",
    "verify",
    "restore",
    "forget",
    "prune",
];

fn help(language: &str, command: &str) -> Run {
    let args = command.split_whitespace().chain(["--help"]).collect::<Vec<_>>();
    Run::of(World::bare().bare_command(&args).env("SONAE_LANG", language))
}

#[track_caller]
fn check(language: &str) {
    let mut all = String::new();
    for command in COMMANDS {
        let run = help(language, command);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{command}");
        all.push_str(&format!("$ sonae {command} --help\n").replace("  ", " "));
        all.push_str(&run.stdout);
        all.push('\n');
    }
    golden::check(&format!("help.{language}.txt"), &all);
}

#[test]
fn the_help_in_english_is_as_agreed() {
    check("en");
}

#[test]
fn the_help_in_japanese_is_as_agreed() {
    check("ja");
}

#[test]
fn the_japanese_help_has_no_english_sentence() {
    for command in COMMANDS {
        let text = help("ja", command).stdout;
        for line in text.lines().filter(|line| line.is_ascii() && !line.is_empty()) {
            // Flags whose text begins on the next line.
            assert!(line.trim_start().starts_with('-'), "{command}: {line}");
        }
    }
}

#[test]
fn the_locale_chooses_the_language_and_our_own_variable_wins() {
    let world = World::bare();
    let speaks = |variables: &[(&str, &str)]| {
        let mut command = world.bare_command(&["--help"]);
        command.env_remove("SONAE_LANG").envs(variables.iter().copied());
        if Run::of(&mut command).stdout.contains("使い方") { "ja" } else { "en" }
    };
    assert_eq!(speaks(&[]), "en");
    assert_eq!(speaks(&[("LANG", "ja_JP.UTF-8")]), "ja");
    assert_eq!(speaks(&[("LANG", "ja_JP.UTF-8"), ("LC_ALL", "C")]), "en");
    assert_eq!(speaks(&[("LANG", "C"), ("LC_MESSAGES", "ja_JP.UTF-8")]), "ja");
    assert_eq!(speaks(&[("LANG", "ja_JP.UTF-8"), ("SONAE_LANG", "en")]), "en");
}

#[test]
fn help_and_version_are_found_the_usual_ways() {
    let world = World::bare();
    let stdout = |args: &[&str]| Run::of(&mut world.bare_command(args)).stdout;
    assert_eq!(stdout(&["help", "key", "add"]), stdout(&["key", "add", "--help"]));
    assert_eq!(stdout(&["-h"]), stdout(&["--help"]));
    assert_eq!(stdout(&["-V"]), format!("sonae {}\n", env!("CARGO_PKG_VERSION")));
    let version = Run::of(&mut world.bare_command(&["--json", "--version"])).document();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(Run::of(&mut world.bare_command(&["--json", "points", "--help"])).document()["help"].is_string());
}
