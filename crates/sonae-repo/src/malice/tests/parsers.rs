//! Every parser of the table over its samples, bent.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::bends::any_bend;
use crate::malice::parse::PARSERS;

/// So many cases, and in proportion more where `PROPTEST_CASES` asks for more than proptest's own 256.
pub(super) fn cases(number: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = (u64::from(number) * u64::from(asked.cases) / 256).max(1);
    ProptestConfig { cases: u32::try_from(cases).unwrap_or(u32::MAX), ..asked }
}

#[test]
fn no_parser_panics_over_its_own_samples() {
    for parser in PARSERS {
        for sample in (parser.samples)() {
            (parser.read)(&sample);
        }
    }
}

#[test]
fn every_parser_comes_to_an_answer_whatever_is_done_to_its_bytes() {
    for parser in PARSERS {
        let samples = (parser.samples)();
        let bends = prop::collection::vec(any_bend(), 1..4);
        let cases = cases(400);
        let answer = TestRunner::new(cases).run(&(any::<prop::sample::Index>(), bends), |(which, bends)| {
            let bytes = which.get(&samples).clone();
            (parser.read)(&bends.iter().fold(bytes, |bytes, bend| bend.of(bytes, &samples)));
            Ok(())
        });
        assert!(answer.is_ok(), "{}: {}", parser.name, answer.expect_err("just seen"));
    }
}

proptest! {
    #![proptest_config(cases(64))]
    #[test]
    fn every_parser_comes_to_an_answer_over_noise(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        PARSERS.iter().for_each(|parser| (parser.read)(&bytes));
    }
}
