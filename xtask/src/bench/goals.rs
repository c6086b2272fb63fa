//! The goals of the engine, and what the figures say to them. Pure.

use super::figures::{Contender, Figures, Presence, Sample, Step};
use super::stats::Spread;

/// What the figures say to a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Held,
    NotHeld,
    /// A figure is missing: neither held nor not.
    NotMeasured,
}

/// A goal and its figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) goal: &'static str,
    pub(crate) state: State,
    pub(crate) figure: String,
}

/// Whether the 1 TiB disk belongs to this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Huge {
    Asked,
    NotAsked,
}

const FULL_TIMES_RESTIC: f64 = 3.0;
const CPU_OF_RESTIC: f64 = 0.45;
const SPARSE_S: f64 = 1.5;
const HUGE_MB: f64 = 400.0;
const TIMES_FASTEST: f64 = 1.2;
const HELP_MS: f64 = 20.0;
const GROWN_GB: f64 = 0.36;
const LISTING_PERCENT: f64 = 2.0;
const LESS_AFTER_BOTH: f64 = 0.15;

/// What the figures say to every goal of this run.
pub(crate) fn judge(figures: &Figures, huge: Huge) -> Vec<Verdict> {
    let ours = |step, figure| median(figures, Contender::Ours, step, figure);
    let mut verdicts = vec![
        full_beside_restic(figures),
        fastest(figures, "the first full is faster than every peer's", Step::Full, 1.0),
        cpu(figures),
        stored(figures),
        limit("the 40 GiB disk takes at most 1.5 s", ours(Step::Sparse, Sample::wall_s), SPARSE_S, " s"),
    ];
    if huge == Huge::Asked {
        // Memory is counted in MiB, the goal in MB.
        let peak = ours(Step::Huge, Sample::peak_mib).map(|mib| mib * 1.048_576);
        verdicts.push(limit("the 1 TiB disk needs at most 400 MB of memory", peak, HUGE_MB, " MB"));
    }
    verdicts.extend(second_day(figures));
    verdicts.push(fastest(
        figures,
        "the restore is at least 1.2 times as fast as the fastest peer's",
        Step::Restore,
        TIMES_FASTEST,
    ));
    verdicts.push(fastest(
        figures,
        "the check of all data is at least 1.2 times as fast as the fastest peer's",
        Step::Verify,
        TIMES_FASTEST,
    ));
    let help = ours(Step::Help, Sample::wall_s).map(|seconds| seconds * 1000.0);
    verdicts.push(limit("sonae --help takes less than 20 ms", help, HELP_MS, " ms"));
    verdicts
}

impl From<bool> for State {
    fn from(met: bool) -> Self {
        if met { Self::Held } else { Self::NotHeld }
    }
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::NotHeld => "not held",
            Self::NotMeasured => "not measured",
        }
    }
}

fn full_beside_restic(figures: &Figures) -> Verdict {
    let goal = "the first full is at least 3 times as fast as restic's (aim 4)";
    let wall = |of| median(figures, of, Step::Full, Sample::wall_s);
    match (wall(Contender::Ours), wall(Contender::Restic)) {
        (Some(ours), Some(restic)) => {
            let times = restic / ours;
            let figure = format!("{times:.2} times ({ours:.2} s, restic {restic:.2} s)");
            Verdict { goal, state: State::from(FULL_TIMES_RESTIC <= times), figure }
        }
        (ours, restic) => missing(goal, &[("ours", ours), ("restic", restic)]),
    }
}

fn cpu(figures: &Figures) -> Verdict {
    let goal = "the first full takes at most 45 % of restic's CPU time";
    let cpu = |of| median(figures, of, Step::Full, Sample::cpu_s);
    match (cpu(Contender::Ours), cpu(Contender::Restic)) {
        (Some(ours), Some(restic)) => {
            let figure = format!("{:.1} % ({ours:.2} s, restic {restic:.2} s)", 100.0 * ours / restic);
            Verdict { goal, state: State::from(ours <= CPU_OF_RESTIC * restic), figure }
        }
        (ours, restic) => missing(goal, &[("ours", ours), ("restic", restic)]),
    }
}

fn stored(figures: &Figures) -> Verdict {
    let goal = "less is stored than by the smallest peer (aim 2 % less)";
    let stored = |of| figures.stored_bytes(of, Step::Full).map(|spread| spread.median / 1e9);
    let peers: Vec<_> = figures.peers().map(|peer| (peer, stored(peer))).collect();
    let Some((ours, (peer, least))) = stored(Contender::Ours).zip(best(&peers)) else {
        return missing(
            goal,
            &[("ours", stored(Contender::Ours)), ("a peer", best(&peers).map(|(_, least)| least))],
        );
    };
    let less = 100.0 * (1.0 - ours / least);
    let figure = format!("{ours:.3} GB, {} {least:.3} GB: {less:.1} % less", peer.name());
    beside_peers(goal, State::from(ours < least), figure, &peers)
}

/// What is asked of the increment of a day and of getting rid of the day before.
fn second_day(figures: &Figures) -> [Verdict; 6] {
    let times = |goal, peer, times| beside_one(figures, goal, Step::Increment, peer, times);
    let after = |of, step| figures.stored_bytes(of, step).map(|spread| spread.median / 1e9);
    let grown = after(Contender::Ours, Step::Increment).zip(after(Contender::Ours, Step::Full));
    let both: Vec<_> = figures.peers().map(|peer| (peer, after(peer, Step::Increment))).collect();
    let goal = "after both days at least 15 % less is stored than by the smallest peer";
    let less = match after(Contender::Ours, Step::Increment).zip(best(&both)) {
        None => missing(
            goal,
            &[("ours", after(Contender::Ours, Step::Increment)), ("a peer", best(&both).map(|b| b.1))],
        ),
        Some((ours, (peer, least))) => {
            let figure = format!(
                "{ours:.3} GB, {} {least:.3} GB: {:.1} % less",
                peer.name(),
                100.0 * (1.0 - ours / least)
            );
            beside_peers(goal, State::from(ours <= (1.0 - LESS_AFTER_BOTH) * least), figure, &both)
        }
    };
    [
        times("the increment is at least 4 times as fast as borg 2's with a map", Contender::Borg2Map, 4.0),
        times("the increment is at least 10 times as fast as restic's (aim 15)", Contender::Restic, 10.0),
        limit(
            "the increment adds at most 0.36 GB (aim 0.30)",
            grown.map(|(both, first)| both - first),
            GROWN_GB,
            " GB",
        ),
        less,
        limit(
            "the lists of chunks take at most 2 % of the increment",
            Spread::of(figures.listing_percent.iter().copied()).map(|spread| spread.median),
            LISTING_PERCENT,
            " %",
        ),
        fastest(figures, "pruning the day before is no slower than the fastest peer's", Step::Prune, 1.0),
    ]
}

/// A goal that we meet if one peer takes at least so many times as long as we.
fn beside_one(figures: &Figures, goal: &'static str, step: Step, peer: Contender, times: f64) -> Verdict {
    let wall = |of| median(figures, of, step, Sample::wall_s);
    match (wall(Contender::Ours), wall(peer)) {
        (Some(ours), Some(theirs)) => {
            let ratio = theirs / ours;
            let figure = format!("{ratio:.2} times ({ours:.2} s, {} {theirs:.2} s)", peer.name());
            Verdict { goal, state: State::from(times <= ratio), figure }
        }
        (ours, theirs) => missing(goal, &[("ours", ours), (peer.name(), theirs)]),
    }
}

/// A goal that we meet if every peer takes at least so many times as long as we.
fn fastest(figures: &Figures, goal: &'static str, step: Step, times: f64) -> Verdict {
    let wall = |of| median(figures, of, step, Sample::wall_s);
    let peers: Vec<_> = figures.peers().map(|peer| (peer, wall(peer))).collect();
    let Some((ours, (peer, least))) = wall(Contender::Ours).zip(best(&peers)) else {
        return missing(
            goal,
            &[("ours", wall(Contender::Ours)), ("a peer", best(&peers).map(|(_, least)| least))],
        );
    };
    let ratio = least / ours;
    let figure = format!("{ratio:.2} times ({ours:.2} s, {} {least:.2} s)", peer.name());
    let met = if times > 1.0 { times <= ratio } else { 1.0 < ratio };
    beside_peers(goal, State::from(met), figure, &peers)
}

/// Lost to one peer is lost; won against some, with others missing, is not yet won.
fn beside_peers(
    goal: &'static str,
    state: State,
    figure: String,
    peers: &[(Contender, Option<f64>)],
) -> Verdict {
    let unknown: Vec<_> =
        peers.iter().filter(|(_, figure)| figure.is_none()).map(|(peer, _)| peer.name()).collect();
    if state == State::NotHeld || unknown.is_empty() {
        return Verdict { goal, state, figure };
    }
    Verdict {
        goal,
        state: State::NotMeasured,
        figure: format!("{figure}; not measured: {}", unknown.join(", ")),
    }
}

fn limit(goal: &'static str, figure: Option<f64>, limit: f64, unit: &str) -> Verdict {
    match figure {
        Some(figure) => {
            Verdict { goal, state: State::from(figure <= limit), figure: format!("{figure:.2}{unit}") }
        }
        None => missing(goal, &[("ours", None)]),
    }
}

fn missing(goal: &'static str, figures: &[(&str, Option<f64>)]) -> Verdict {
    let of: Vec<_> = figures.iter().filter(|(_, figure)| figure.is_none()).map(|(of, _)| *of).collect();
    Verdict { goal, state: State::NotMeasured, figure: format!("no figure of {}", of.join(" and ")) }
}

fn best(peers: &[(Contender, Option<f64>)]) -> Option<(Contender, f64)> {
    let known = peers.iter().filter_map(|(peer, figure)| figure.map(|figure| (*peer, figure)));
    known.min_by(|a, b| a.1.total_cmp(&b.1))
}

fn median(figures: &Figures, of: Contender, step: Step, figure: fn(&Sample) -> f64) -> Option<f64> {
    let here = figures
        .columns
        .iter()
        .any(|(contender, presence)| *contender == of && matches!(presence, Presence::Here { .. }));
    figures.spread(of, step, figure).filter(|_| here).map(|spread| spread.median)
}
