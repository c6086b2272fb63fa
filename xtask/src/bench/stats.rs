//! What several measurements of one thing say together. Pure.

use serde::Serialize;

/// The middle of some measurements, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) count: usize,
}

impl Spread {
    /// Of some measurements; none where nothing was measured.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let half = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) };
        Some(Self { median, min, max, count: sorted.len() })
    }

    /// The median, and the spread where there is more than one measurement.
    pub(crate) fn text(&self, decimals: usize) -> String {
        if self.count == 1 {
            format!("{:.decimals$}", self.median)
        } else {
            format!("{:.decimals$} ({:.decimals$}..{:.decimals$})", self.median, self.min, self.max)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], text: &str) {
        let spread = Spread::of(values.iter().copied());
        assert_eq!(spread.map_or("nothing".to_owned(), |spread| spread.text(1)), text);
    }

    #[test]
    fn nothing_measured_is_no_figure() {
        check(&[], "nothing");
    }

    #[test]
    fn one_measurement_has_no_spread() {
        check(&[4.25], "4.2");
    }

    #[test]
    fn an_odd_number_of_measurements_has_one_in_the_middle() {
        check(&[9.0, 1.0, 2.0], "2.0 (1.0..9.0)");
    }

    #[test]
    fn an_even_number_of_measurements_has_the_middle_between_two() {
        check(&[4.0, 1.0, 2.0, 9.0], "3.0 (1.0..9.0)");
    }
}
