//! What the parts of a run came to: counting tests and skips in printed lines, and the final report. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

/// Minutes that clippy and the build may take together on a fresh machine with two cores.
const BUILD_MINUTES: u64 = 8;
/// Minutes that the tests and the doc tests may take together there.
const TESTS_MINUTES: u64 = 9;

/// Which budget a part draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Budget {
    /// [`BUILD_MINUTES`].
    Build,
    /// [`TESTS_MINUTES`].
    Tests,
    /// Takes too little time to count.
    None,
}

/// How a part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It ran and everything held.
    Passed,
    /// It ran and something did not hold.
    Failed,
    /// It could not run here.
    Skipped,
}

/// One part of a run.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) budget: Budget,
    pub(super) took: Duration,
    pub(super) verdict: Verdict,
    pub(super) tests: Tests,
    /// Why tests or parts were skipped, one entry for each.
    pub(super) skips: Vec<String>,
}

/// A number of tests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tests {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

impl Part {
    /// A part without tests that takes no time worth counting.
    pub(super) const fn of_verdict(name: &'static str, verdict: Verdict) -> Self {
        let tests = Tests { passed: 0, failed: 0, skipped: 0 };
        Self { name, budget: Budget::None, took: Duration::ZERO, verdict, tests, skips: Vec::new() }
    }

    /// Whether the part failed.
    pub(super) fn failed(&self) -> bool {
        self.verdict == Verdict::Failed
    }

    /// Failures to count: the failed tests, or the part itself where it failed without a failed test.
    fn failures(&self) -> u64 {
        self.tests.failed.max(u64::from(self.failed()))
    }
}

impl Tests {
    /// The sum of all summaries in the lines that nextest or libtest printed.
    pub(super) fn counted_in(lines: &[String]) -> Self {
        lines.iter().filter_map(|line| Self::of_summary(line)).fold(Self::default(), |sum, one| Self {
            passed: sum.passed + one.passed,
            failed: sum.failed + one.failed,
            skipped: sum.skipped + one.skipped,
        })
    }

    /// Reads `Summary [ 0.2s] 24 tests run: 23 passed (1 slow), 1 failed, 0 skipped` of nextest and
    /// `test result: ok. 5 passed; 0 failed; 1 ignored; …` of libtest.
    ///
    /// Lines of libtest inside nextest's output are indented, and nextest counts those tests itself.
    fn of_summary(line: &str) -> Option<Self> {
        let counts = match line.strip_prefix("test result: ") {
            Some(result) => result.split_once(". ")?.1.replace(';', ","),
            None => line.trim_start().strip_prefix("Summary [")?.split_once(" run: ")?.1.to_owned(),
        };
        let mut tests = Self::default();
        for (number, word) in
            without_brackets(&counts).split(',').filter_map(|part| part.trim().split_once(' '))
        {
            let Ok(number) = number.parse::<u64>() else { continue };
            match word.trim() {
                "passed" => tests.passed += number,
                "skipped" | "ignored" => tests.skipped += number,
                // The words of libtest that say nothing about how a test ended.
                "measured" | "filtered out" => {}
                // `failed`, `timed out`, `exec failed`, and whatever a later version calls a test that did not pass.
                _ => tests.failed += number,
            }
        }
        Some(tests)
    }
}

/// The reasons in all lines that begin with `skipped:`, however far they are indented.
pub(super) fn skips(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .filter_map(|line| line.trim_start().strip_prefix("skipped:"))
        .map(|why| why.trim().to_owned())
        .collect()
}

/// Whether a person wants to see this line; what libtest prints around each single test is left out.
pub(super) fn worth_showing(line: &str) -> bool {
    let text = line.trim();
    let indented = line.starts_with(' ');
    let around_a_test = text == "running 1 test"
        || text == "stdout ───"
        || (text.starts_with("test ") && text.ends_with("... ok"))
        || text.starts_with("test result: ok.");
    !(text.is_empty() || (indented && around_a_test))
}

/// The report of a whole run. Its last line is `N passed, N failed, N skipped`.
pub(super) fn report(parts: &[Part]) -> Vec<String> {
    let mut lines = vec![String::new(), format!("{:<12} {:>8}  result", "part", "minutes")];
    for part in parts {
        let verdict = match part.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "skipped",
        };
        lines.push(format!("{:<12} {:>8}  {verdict}", part.name, minutes(part.took)));
    }
    lines.push(budget_line("build", parts, Budget::Build, BUILD_MINUTES));
    lines.push(budget_line("tests", parts, Budget::Tests, TESTS_MINUTES));
    lines.push(String::new());

    let mut reasons = BTreeMap::<&str, u64>::new();
    for reason in parts.iter().flat_map(|part| &part.skips) {
        *reasons.entry(reason).or_default() += 1;
    }
    let ignored: u64 = parts.iter().map(|part| part.tests.skipped).sum();
    let skipped = reasons.values().sum::<u64>() + ignored;
    lines.push(format!("{skipped} skipped"));
    lines.extend(reasons.iter().map(|(reason, number)| format!("  {number} x {reason}")));
    if ignored > 0 {
        lines.push(format!("  {ignored} x the test runner passed the test over"));
    }
    let passed: u64 = parts.iter().map(|part| part.tests.passed).sum();
    let failed: u64 = parts.iter().map(Part::failures).sum();
    lines.push(format!("{passed} passed, {failed} failed, {skipped} skipped"));
    lines
}

fn budget_line(name: &str, parts: &[Part], budget: Budget, limit_minutes: u64) -> String {
    let took: Duration = parts.iter().filter(|part| part.budget == budget).map(|part| part.took).sum();
    let over = if took > Duration::from_secs(limit_minutes * 60) { "  OVER BUDGET" } else { "" };
    format!("{name} budget: {} of {limit_minutes} minutes{over}", minutes(took))
}

fn minutes(span: Duration) -> String {
    let tenths = (span.as_secs() + 3) / 6;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn without_brackets(text: &str) -> String {
    let mut depth = 0_usize;
    text.chars()
        .filter(|c| {
            match c {
                '(' => depth += 1,
                ')' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, passed: u64, failed: u64, skipped: u64) {
        assert_eq!(Tests::counted_in(&[line.to_owned()]), Tests { passed, failed, skipped }, "{line}");
    }

    fn part(name: &'static str, verdict: Verdict) -> Part {
        Part::of_verdict(name, verdict)
    }

    fn last_line(parts: &[Part]) -> String {
        report(parts).pop().unwrap()
    }

    #[test]
    fn summaries_of_nextest_and_libtest_are_counted() {
        check("     Summary [   0.228s] 24 tests run: 23 passed, 1 failed, 0 skipped", 23, 1, 0);
        check(
            "     Summary [   9.1s] 7 tests run: 5 passed (2 slow, 1 leaky), 1 failed, 1 timed out, 3 skipped",
            5,
            2,
            3,
        );
        check("     Summary [   1s] 5/9 tests run: 3 passed, 2 exec failed, 0 skipped", 3, 2, 0);
        check("     Summary [   1s] 1 test run: 1 passed, 0 skipped", 1, 0, 0);
        check(
            "test result: ok. 5 passed; 0 failed; 2 ignored; 0 measured; 1 filtered out; finished in 0.1s",
            5,
            0,
            2,
        );
        check("test result: FAILED. 1 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out", 1, 4, 0);
    }

    #[test]
    fn a_line_of_libtest_inside_nextest_is_not_counted_twice() {
        check("    test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 23 filtered out", 0, 0, 0);
    }

    #[test]
    fn skips_are_found_however_far_they_are_indented() {
        let lines =
            ["    skipped: no qemu here", "skipped: cargo-deny is not installed", "nothing skipped: here"];
        let found = skips(&lines.map(str::to_owned));
        assert_eq!(found, ["no qemu here", "cargo-deny is not installed"]);
    }

    #[test]
    fn a_part_that_fails_without_a_failed_test_counts_as_one_failure() {
        let tests =
            Part { tests: Tests { passed: 9, failed: 0, skipped: 0 }, ..part("tests", Verdict::Failed) };
        assert_eq!(last_line(&[part("fmt", Verdict::Failed), tests]), "9 passed, 2 failed, 0 skipped");
    }

    #[test]
    fn every_skip_is_counted_and_its_reason_printed_once() {
        let skips = vec!["no qemu here".to_owned(), "no qemu here".to_owned()];
        let tests = Part {
            tests: Tests { passed: 4, failed: 0, skipped: 1 },
            skips,
            ..part("tests", Verdict::Passed)
        };
        let lines = report(&[tests]);
        assert!(lines.contains(&"  2 x no qemu here".to_owned()), "{lines:?}");
        assert_eq!(lines.last().unwrap(), "4 passed, 0 failed, 3 skipped");
    }

    #[test]
    fn time_beyond_a_budget_is_named() {
        let slow = |budget, seconds| Part {
            budget,
            took: Duration::from_secs(seconds),
            ..part("slow", Verdict::Passed)
        };
        let lines = report(&[slow(Budget::Build, 300), slow(Budget::Tests, 600)]).join("\n");
        assert!(lines.contains("build budget: 5.0 of 8 minutes\n"), "{lines}");
        assert!(lines.contains("tests budget: 10.0 of 9 minutes  OVER BUDGET"), "{lines}");
    }

    #[test]
    fn what_libtest_prints_around_a_good_test_is_left_out_and_the_rest_is_shown() {
        for line in ["", "    running 1 test", "    test a::b ... ok", "  stdout ───"] {
            assert!(!worth_showing(line), "{line}");
        }
        for line in [
            "    skipped: no qemu here",
            "    assertion failed",
            "        PASS [ 0.1s] a",
            "test a ... FAILED",
        ] {
            assert!(worth_showing(line), "{line}");
        }
    }
}
