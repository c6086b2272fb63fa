//! The table that people read, and the lines below it. Pure: figures in, text out.

use super::figures::{Contender, Figures, Presence, Sample, Step};
use super::goals::Verdict;
use super::stats::Spread;

const NOT_MEASURED: &str = "not measured";
const FAILED: &str = "failed";
/// What a contender does not do at all.
const NOTHING: &str = "-";

/// A row: its name, and the cell of each column.
struct Row {
    name: &'static str,
    step: Step,
    figure: fn(&Figures, Contender) -> Option<String>,
}

const ROWS: [Row; 26] = [
    Row { name: "full, wall s", step: Step::Full, figure: |f, of| wall(f, of, Step::Full) },
    Row { name: "full, CPU s", step: Step::Full, figure: |f, of| cpu(f, of, Step::Full) },
    Row { name: "full, peak MiB", step: Step::Full, figure: |f, of| peak(f, of, Step::Full) },
    Row { name: "stored GB (blocks)", step: Step::Full, figure: |f, of| stored(f, of, Step::Full) },
    Row { name: "stored GB (lengths)", step: Step::Full, figure: |f, of| apparent(f, of, Step::Full) },
    Row { name: "chunks", step: Step::Full, figure: chunks },
    Row { name: "open and list, wall s", step: Step::Open, figure: |f, of| wall(f, of, Step::Open) },
    Row { name: "restore one, wall s", step: Step::Restore, figure: |f, of| wall(f, of, Step::Restore) },
    Row { name: "restore one, CPU s", step: Step::Restore, figure: |f, of| cpu(f, of, Step::Restore) },
    Row { name: "restore one, peak MiB", step: Step::Restore, figure: |f, of| peak(f, of, Step::Restore) },
    Row { name: "verify all data, wall s", step: Step::Verify, figure: |f, of| wall(f, of, Step::Verify) },
    Row { name: "verify all data, CPU s", step: Step::Verify, figure: |f, of| cpu(f, of, Step::Verify) },
    Row { name: "verify all data, peak MiB", step: Step::Verify, figure: |f, of| peak(f, of, Step::Verify) },
    Row {
        name: "verify all points, wall s",
        step: Step::VerifyPoints,
        figure: |f, of| wall(f, of, Step::VerifyPoints),
    },
    Row { name: "increment, wall s", step: Step::Increment, figure: |f, of| wall(f, of, Step::Increment) },
    Row { name: "increment, CPU s", step: Step::Increment, figure: |f, of| cpu(f, of, Step::Increment) },
    Row { name: "increment, peak MiB", step: Step::Increment, figure: |f, of| peak(f, of, Step::Increment) },
    Row {
        name: "stored after both days, GB",
        step: Step::Increment,
        figure: |f, of| stored(f, of, Step::Increment),
    },
    Row { name: "prune day 1, wall s", step: Step::Prune, figure: |f, of| wall(f, of, Step::Prune) },
    Row { name: "prune day 1, peak MiB", step: Step::Prune, figure: |f, of| peak(f, of, Step::Prune) },
    Row { name: "stored after prune, GB", step: Step::Prune, figure: |f, of| stored(f, of, Step::Prune) },
    Row { name: "40 GiB disk, wall s", step: Step::Sparse, figure: |f, of| wall(f, of, Step::Sparse) },
    Row { name: "40 GiB disk, peak MiB", step: Step::Sparse, figure: |f, of| peak(f, of, Step::Sparse) },
    Row { name: "1 TiB disk, wall s", step: Step::Huge, figure: |f, of| wall(f, of, Step::Huge) },
    Row { name: "1 TiB disk, peak MiB", step: Step::Huge, figure: |f, of| peak(f, of, Step::Huge) },
    Row { name: "--help, wall ms", step: Step::Help, figure: help },
];

const FOOTNOTES: &str = "\
Median (smallest..largest) of the rounds; one round of everybody, then the next. Every command that writes ends with
`sync -f` of its folder inside the timed command, for everybody alike. CPU: user and system time of all processes of the
command. Peak: largest resident memory of its largest process. Every restored image was compared byte by byte.
cp is `cp --sparse=always`; primitives is SHA-256 + zstd 1 + AES-256-CTR + Poly1305 on fixed 1 MiB chunks and nothing else:
limits, no backup programs.
";

/// The whole report.
pub(crate) fn report(figures: &Figures, verdicts: &[Verdict]) -> String {
    let mut text = header(figures) + "\n" + &grid(&cells(figures)) + "\n" + FOOTNOTES;
    for (contender, presence) in &figures.columns {
        if let Presence::NotHere { reason } = presence {
            text += &format!("not measured: {} ({reason})\n", contender.name());
        }
    }
    for failure in &figures.failures {
        text += &format!("failed: {} {}: {}\n", failure.of.name(), failure.step.name(), failure.what);
    }
    if !verdicts.is_empty() {
        text += "\n";
    }
    for verdict in verdicts {
        text += &format!("{:>12}  {}: {}\n", verdict.state.name(), verdict.goal, verdict.figure);
    }
    text
}

fn header(figures: &Figures) -> String {
    let setting = &figures.setting;
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let mut text = format!(
        "corpus {}: {} images, {:.2} GiB, {:.2} GiB allocated; {} cores; cache {}; rounds: {}\n",
        setting.corpus,
        setting.images.len(),
        gib(setting.logical_bytes),
        gib(setting.allocated_bytes),
        setting.cores,
        setting.cache,
        setting.rounds
    );
    if let Some(load) = Spread::of(setting.loads.iter().copied()) {
        text += &format!(
            "load before each pass {:.1}..{:.1} (above {} somebody else was at work, or the pass before)\n",
            load.min, load.max, setting.cores
        );
    }
    text
}

/// Names and versions, then one line for each row that anybody has a figure in.
fn cells(figures: &Figures) -> Vec<Vec<String>> {
    let mut head = vec![String::new()];
    head.extend(figures.columns.iter().map(|(contender, presence)| match presence {
        Presence::Here { version } if version.is_empty() => contender.name().to_owned(),
        Presence::Here { version } => contender.name_with(version),
        Presence::NotHere { .. } => contender.name().to_owned(),
    }));
    let mut lines = vec![head];
    for row in ROWS {
        let cells: Vec<_> =
            figures.columns.iter().map(|(of, presence)| cell(figures, &row, *of, presence)).collect();
        if cells.iter().any(|cell| cell != NOTHING && cell != NOT_MEASURED) {
            lines.push(std::iter::once(row.name.to_owned()).chain(cells).collect());
        }
    }
    lines
}

fn cell(figures: &Figures, row: &Row, of: Contender, presence: &Presence) -> String {
    match presence {
        Presence::NotHere { .. } => NOT_MEASURED.to_owned(),
        Presence::Here { .. } if figures.has_failed(of, row.step) => FAILED.to_owned(),
        Presence::Here { .. } => (row.figure)(figures, of).unwrap_or_else(|| NOTHING.to_owned()),
    }
}

/// A Markdown table whose columns are as wide as their widest cell.
fn grid(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0).max(3))
        .collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text += &format!("| {} |\n", cells.join(" | "));
        if number == 0 {
            let rules: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
            text += &format!("| {} |\n", rules.join(" | "));
        }
    }
    text
}

fn wall(figures: &Figures, of: Contender, step: Step) -> Option<String> {
    figures.spread(of, step, Sample::wall_s).map(|spread| spread.text(2))
}

fn cpu(figures: &Figures, of: Contender, step: Step) -> Option<String> {
    figures.spread(of, step, Sample::cpu_s).map(|spread| spread.text(2))
}

fn peak(figures: &Figures, of: Contender, step: Step) -> Option<String> {
    figures.spread(of, step, Sample::peak_mib).map(|spread| spread.text(0))
}

fn stored(figures: &Figures, of: Contender, step: Step) -> Option<String> {
    let spread =
        Spread::of(figures.stored.get(&(of, step))?.iter().map(|stored| stored.allocated_bytes as f64 / 1e9));
    spread.map(|spread| format!("{:.3}", spread.median))
}

fn apparent(figures: &Figures, of: Contender, step: Step) -> Option<String> {
    let spread =
        Spread::of(figures.stored.get(&(of, step))?.iter().map(|stored| stored.apparent_bytes as f64 / 1e9));
    spread.map(|spread| format!("{:.3}", spread.median))
}

fn chunks(figures: &Figures, of: Contender) -> Option<String> {
    figures
        .stored
        .get(&(of, Step::Full))?
        .iter()
        .find_map(|stored| stored.chunks)
        .map(|chunks| chunks.to_string())
}

fn help(figures: &Figures, of: Contender) -> Option<String> {
    figures.spread(of, Step::Help, |sample| sample.wall_s * 1000.0).map(|spread| spread.text(1))
}

#[cfg(test)]
mod tests {
    use super::super::figures::{Failure, Setting, Stored};
    use super::super::goals::{self, Huge};
    use super::*;

    /// Invented figures: two rounds, borg 2 not here, a failed restore.
    fn example() -> Figures {
        let here = |version: &str| Presence::Here { version: version.to_owned() };
        let mut figures = Figures {
            setting: Setting {
                corpus: "std".to_owned(),
                images: (1..=4).map(|n| format!("vm{n}.raw")).collect(),
                logical_bytes: 10 << 30,
                allocated_bytes: 15 << 29,
                cache: "warm".to_owned(),
                rounds: 2,
                cores: 2,
                loads: vec![0.25, 1.5],
            },
            columns: vec![
                (Contender::Ours, here("0.1.0")),
                (Contender::Restic, here("0.19.1")),
                (Contender::RusticFixed, here("0.11.4")),
                (Contender::Borg2, Presence::NotHere { reason: "run tools/install-peers".to_owned() }),
                (Contender::Copy, here("")),
            ],
            ..Figures::default()
        };
        let mut add = |of, step, wall_s, cpu_s| {
            let sample = Sample { wall_s, cpu_s, peak_mib: 100.0 };
            figures.samples.entry((of, step)).or_default().push(sample);
        };
        for round in [0.0, 1.0] {
            add(Contender::Ours, Step::Full, 10.0 + round, 20.0);
            add(Contender::Restic, Step::Full, 40.0 + round, 50.0);
            add(Contender::RusticFixed, Step::Full, 16.0 + round, 30.0);
            add(Contender::Copy, Step::Full, 3.0 + round, 2.0);
            add(Contender::Ours, Step::Restore, 3.0, 3.0);
            add(Contender::Restic, Step::Restore, 3.5, 4.0);
            add(Contender::RusticFixed, Step::Restore, 2.0, 4.0);
            add(Contender::Ours, Step::Help, 0.004, 0.0);
            add(Contender::Ours, Step::Sparse, 1.75, 1.0);
        }
        let stored =
            |bytes, chunks| vec![Stored { allocated_bytes: bytes, apparent_bytes: bytes - 4096, chunks }];
        figures.stored.insert((Contender::Ours, Step::Full), stored(1_600_000_000, Some(40_000)));
        figures.stored.insert((Contender::Restic, Step::Full), stored(1_660_000_000, Some(5_000)));
        figures.stored.insert((Contender::RusticFixed, Step::Full), stored(2_200_000_000, None));
        figures.failures.push(Failure {
            of: Contender::RusticFixed,
            step: Step::Restore,
            what: "the restored image differs".to_owned(),
        });
        figures
    }

    #[test]
    fn the_report_reads_as_agreed() {
        let figures = example();
        let text = report(&figures, &goals::judge(&figures, Huge::NotAsked));
        assert_eq!(text, include_str!("golden/report.txt"), "now:\n{text}");
    }

    #[test]
    fn a_goal_without_a_figure_is_neither_held_nor_lost() {
        let verdicts = goals::judge(&Figures::default(), Huge::Asked);
        assert!(verdicts.iter().all(|verdict| verdict.state == goals::State::NotMeasured), "{verdicts:?}");
    }

    #[test]
    fn without_goals_there_are_no_verdicts() {
        assert!(report(&example(), &[]).ends_with("the restored image differs\n"));
    }
}
