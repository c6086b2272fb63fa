//! The demo: a real server is backed up, destroyed, restored and booted again, and a program that is not ours checks the
//! same repository. Here: the order of the steps, and what becomes of the folders.

pub mod place;
pub mod report;
pub mod say;
pub mod stage;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::demo::place::Place;
use crate::demo::report::{Done, Figure, Overall, Report, Text, Verdict};
use crate::demo::say::Say;
use crate::demo::stage::{NotReached, Stage};
use crate::guest::Tools;
use crate::host::{self, Interrupted, Missing, Stopwatch};
use crate::register::RowCount;

/// Rows the register must hold before the machine is stopped.
const ROWS: RowCount = RowCount(300);
/// Where the demo lives when a person looks at it.
const FOLDER: &str = ".sonae-demo";

/// For whom the demo runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A person, who wants to look at the repository afterwards.
    Person,
    /// A machine, which wants an answer and no traces.
    Machine,
}

type Action = fn(&mut Stage) -> Result<Vec<Figure>>;

const STEPS: [(Text, Action); 13] = [
    (Text { ja: "小さな本物のサーバを組み立てる", en: "Build a small real server" }, Stage::build),
    (
        Text {
            ja: "起動し、住民登録簿を書かせ、停止する",
            en: "Boot it, let it write its register, stop it",
        },
        Stage::write,
    ),
    (
        Text {
            ja: "別の装置に見立てた場所に保管庫を作る", en: "Make a repository, as if on another array"
        },
        Stage::init,
    ),
    (Text { ja: "バックアップする", en: "Back it up" }, Stage::backup),
    (
        Text {
            ja: "翌日分は、変更箇所だけをバックアップする", en: "Another day: back up only what changed"
        },
        Stage::next_day,
    ),
    (
        Text {
            ja: "別の場所へ複製し、同一と確かめる",
            en: "Copy it to a second place, and prove both equal",
        },
        Stage::copy,
    ),
    (Text { ja: "サーバのディスクを破壊する", en: "Destroy its disks" }, Stage::destroy),
    (Text { ja: "一つ目の保管庫も失う", en: "Lose the first repository, too" }, Stage::lose_repository),
    (Text { ja: "複製から復元する", en: "Restore the disks from the copy" }, Stage::restore),
    (Text { ja: "復元したディスクから起動する", en: "Boot from the restored disks" }, Stage::boot),
    (Text { ja: "住民登録簿を一行ずつ比べる", en: "Compare the register row by row" }, Stage::compare),
    (
        Text {
            ja: "restic 単独で検査し、読み出す", en: "Check and read it with plain restic alone"
        },
        Stage::restic,
    ),
    (
        Text {
            ja: "複製から一つ目の保管庫を作り直す", en: "Make the first repository anew from the copy"
        },
        Stage::two_again,
    ),
];

/// Runs the demo in a folder, or where its audience expects it.
pub fn run(audience: Audience, work: Option<PathBuf>, tools: Tools, say: &mut Say<'_>) -> Result<Overall> {
    let temporary = match (audience, &work) {
        (Audience::Machine, None) => Some(tempfile::Builder::new().prefix("sonae-demo-").tempdir()?),
        (Audience::Machine | Audience::Person, _) => None,
    };
    let root =
        work.unwrap_or_else(|| temporary.as_ref().map_or_else(|| FOLDER.into(), |t| t.path().to_owned()));
    let place = Place::prepare(&root)?;
    let executable = std::env::current_exe().context("cannot tell where this program lies")?;
    let played = play(&executable, &place, tools, say);
    let keep = match (audience, &played) {
        (Audience::Person, _) => true,
        // The logs are the only witnesses of what went wrong.
        (Audience::Machine, Ok(Overall::NotProven)) => true,
        (Audience::Machine, Ok(Overall::AllHeld) | Err(_)) => false,
    };
    if keep {
        temporary.map(tempfile::TempDir::keep);
    } else {
        std::fs::remove_dir_all(place.root())
            .with_context(|| format!("cannot remove {}", place.root().display()))?;
    }
    let overall = played?;
    match audience {
        Audience::Person => farewell(&executable, &place, overall, say)?,
        Audience::Machine if keep => say.line(&format!("\n    記録 logs: {}", place.root().display()))?,
        Audience::Machine => {}
    }
    Ok(overall)
}

fn play(executable: &Path, place: &Place, tools: Tools, say: &mut Say<'_>) -> Result<Overall> {
    say.text(Text {
        ja: "備え Sonae — 本物のサーバを失い、取り戻します。",
        en: "A real server is going to be lost, and brought back.",
    })?;
    let mut stage = Stage::new(executable, place.clone(), tools, ROWS);
    let mut report = Report::default();
    for (n, (title, action)) in STEPS.into_iter().enumerate() {
        say.begin(n + 1, title)?;
        let watch = Stopwatch::start();
        let (figures, verdict) = judge(action(&mut stage))?;
        let took = watch.elapsed();
        for figure in &figures {
            say.figure(figure)?;
        }
        say.verdict(&verdict, took)?;
        report.steps.push(Done { title, took, verdict });
    }
    say.summary(&report)?;
    Ok(report.overall())
}

/// What an action's end means. Only an interrupt ends the demo; everything else is a verdict of its step.
fn judge(end: Result<Vec<Figure>>) -> Result<(Vec<Figure>, Verdict)> {
    host::go_on()?;
    match end {
        Ok(figures) => Ok((figures, Verdict::Good)),
        Err(error) if error.is::<Interrupted>() => Err(error),
        Err(error) if error.is::<Missing>() || error.is::<NotReached>() => {
            Ok((Vec::new(), Verdict::Skipped(format!("{error:#}"))))
        }
        Err(error) => Ok((Vec::new(), Verdict::Bad(format!("{error:#}")))),
    }
}

fn farewell(executable: &Path, place: &Place, overall: Overall, say: &mut Say<'_>) -> Result<()> {
    let sonae = executable.with_file_name("sonae");
    let (repository, password) = (place.repository(), place.password_file());
    let (repository, password, sonae) = (repository.display(), password.display(), sonae.display());
    match overall {
        Overall::AllHeld => say.text(Text {
            ja: "\n保管庫はそのまま残してあります。次のように試せます。",
            en: "The repository is still there. You may try:",
        })?,
        Overall::NotProven => say.text(Text {
            ja: "\n調べられるように、すべて残してあります。",
            en: "Everything is still there for you to look at.",
        })?,
    }
    for line in [
        format!("\n    保管庫     repository    {repository}"),
        format!("    パスワード password      {password}"),
        format!("    記録       logs          {}\n", place.root().join("logs").display()),
        format!("    {sonae} --repo {repository} --password-file {password} points"),
        format!("    {sonae} --repo {repository} --password-file {password} verify --all"),
        format!("    restic --repo {repository} --password-file {password} snapshots"),
        format!("    restic --repo {repository} --password-file {password} ls latest"),
    ] {
        say.line(&line)?;
    }
    say.text(Text {
        ja: "\nウェブ画面はまだありません。管理プレーンとともに加わります。",
        en: "There is no web interface yet: it comes with the control plane.",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(end: Result<Vec<Figure>>, claim: &Verdict) {
        assert_eq!(&judge(end).expect("nobody interrupts").1, claim);
    }

    #[test]
    fn what_is_not_on_the_machine_is_skipped_and_never_good() {
        let missing = Missing { what: "restic".into(), remedy: "tools/install-deps test" };
        let reason = missing.to_string();
        check(Err(missing.into()), &Verdict::Skipped(reason));
    }

    #[test]
    fn what_needs_a_failed_step_is_skipped_and_names_it() {
        check(Err(NotReached { step: 4 }.into()), &Verdict::Skipped("step 4 did not hold".into()));
    }

    #[test]
    fn every_other_end_is_bad() {
        check(Err(anyhow::anyhow!("row 2 differs")), &Verdict::Bad("row 2 differs".into()));
        check(Ok(Vec::new()), &Verdict::Good);
    }

    #[test]
    fn an_interrupt_ends_the_demo() {
        assert!(judge(Err(Interrupted.into())).is_err());
    }
}
