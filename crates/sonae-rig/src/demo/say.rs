//! What the demo shows a person: calm, aligned, Japanese first, English below. The one place that knows widths.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use sonae_types::ByteCount;

use crate::demo::report::{Figure, Overall, Report, Text, Verdict};

/// Widths of the columns, in cells of a terminal; a Japanese letter takes two.
const JA_CELLS: usize = 26;
const EN_CELLS: usize = 30;
const TITLE_JA_CELLS: usize = 42;
const TITLE_EN_CELLS: usize = 44;
const RULE_CELLS: usize = 117;

/// Writes the demo's words to one place.
pub struct Say<'a> {
    to: &'a mut dyn Write,
}

impl std::fmt::Debug for Say<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Say")
    }
}

impl<'a> Say<'a> {
    /// Writes there.
    pub fn to(to: &'a mut dyn Write) -> Self {
        Self { to }
    }

    /// A text of its own, in both languages.
    pub fn text(&mut self, text: Text) -> Result<()> {
        writeln!(self.to, "{}\n{}", text.ja, text.en)?;
        Ok(())
    }

    /// One line in no language: a path, a command.
    pub fn line(&mut self, line: &str) -> Result<()> {
        writeln!(self.to, "{line}")?;
        Ok(())
    }

    /// A step begins.
    pub fn begin(&mut self, number: usize, title: Text) -> Result<()> {
        writeln!(self.to, "\n{number:>2}  {}\n    {}", title.ja, title.en)?;
        self.to.flush()?;
        Ok(())
    }

    /// One figure of a step.
    pub fn figure(&mut self, figure: &Figure) -> Result<()> {
        let (ja, en) = (pad(figure.name.ja, JA_CELLS), pad(figure.name.en, EN_CELLS));
        writeln!(self.to, "      {ja}{en}{}", figure.value)?;
        Ok(())
    }

    /// A step is over.
    pub fn verdict(&mut self, verdict: &Verdict, took: Duration) -> Result<()> {
        let word = verdict.word();
        writeln!(self.to, "      {}{}{}", pad(word.ja, JA_CELLS), pad(word.en, EN_CELLS), seconds(took))?;
        if let Some(reason) = verdict.reason() {
            writeln!(self.to, "      理由 reason: {reason}")?;
        }
        self.to.flush()?;
        Ok(())
    }

    /// The table of all steps and the one answer.
    pub fn summary(&mut self, report: &Report) -> Result<()> {
        let rule = "─".repeat(RULE_CELLS);
        writeln!(self.to, "\n    結果  Summary\n    {rule}")?;
        for (n, step) in report.steps.iter().enumerate() {
            let (ja, en) = (pad(step.title.ja, TITLE_JA_CELLS), pad(step.title.en, TITLE_EN_CELLS));
            let word = step.verdict.word();
            let verdict = format!("{}{}", pad(word.ja, 8), word.en);
            writeln!(self.to, "    {:>2}  {ja}{en}{:>9}   {verdict}", n + 1, seconds(step.took))?;
        }
        writeln!(self.to, "    {rule}")?;
        match report.overall() {
            Overall::AllHeld => self.text(Text {
                ja: "    すべての手順が成立し、確かめられました。",
                en: "    Every step held, and was checked.",
            }),
            Overall::NotProven => self.text(Text {
                ja: "    証明されていません。良でない手順があります。",
                en: "    Not proven: there are steps that are not good.",
            }),
        }
    }
}

/// Bytes for a person: in MiB, and exactly.
#[must_use]
pub fn bytes(count: ByteCount) -> String {
    let tenths = count.get() * 10 / ByteCount::mib(1).get();
    format!("{}.{} MiB ({} B)", grouped(tenths / 10), tenths % 10, grouped(count.get()))
}

/// A span for a person.
#[must_use]
pub fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

/// A number with its digits in groups of three.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn pad(text: &str, cells: usize) -> String {
    // One cell stays free at least, so that two columns never touch.
    let free = cells.saturating_sub(width(text)).max(1);
    format!("{text}{}", " ".repeat(free))
}

/// Cells a terminal needs: two for each letter of the Japanese blocks our own texts use.
fn width(text: &str) -> usize {
    text.chars()
        .map(|c| {
            if ('\u{2e80}'..='\u{9fff}').contains(&c) || ('\u{ff01}'..='\u{ff60}').contains(&c) {
                2
            } else {
                1
            }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::report::Done;

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!(
            [0, 7, 999, 1000, 1_234_567].map(grouped),
            ["0", "7", "999", "1,000", "1,234,567"].map(str::to_owned)
        );
    }

    #[test]
    fn bytes_are_told_rounded_down_and_exactly() {
        assert_eq!(bytes(ByteCount::mib(96)), "96.0 MiB (100,663,296 B)");
        assert_eq!(bytes(ByteCount::new(1)), "0.0 MiB (1 B)");
    }

    #[test]
    fn japanese_letters_take_two_cells() {
        assert_eq!(width("備え (KVM)"), 10);
        assert_eq!(pad("備え", 6), "備え  ");
        assert_eq!(pad("備えよ", 4), "備えよ ");
    }

    #[test]
    fn the_summary_names_what_is_not_good() {
        let title = Text { ja: "復元する", en: "restore" };
        let took = Duration::from_millis(1250);
        let steps = vec![
            Done { title, took, verdict: Verdict::Good },
            Done { title, took, verdict: Verdict::Skipped("no restic".into()) },
        ];
        let mut out = Vec::new();
        Say::to(&mut out).summary(&Report { steps }).expect("memory takes everything");
        let out = String::from_utf8(out).expect("text");
        assert!(out.contains("未実施  skipped") && out.contains("Not proven"), "{out}");
    }
}
