//! Every parser of the table over its samples, bent.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

use super::bends::any_bend;
use crate::malice::parse::{Answer, PARSERS};

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
            let _answer = (parser.read)(&sample);
        }
    }
}

#[test]
fn every_parser_comes_to_an_answer_whatever_is_done_to_its_bytes() {
    for parser in PARSERS {
        let samples = (parser.samples)();
        let bends = prop::collection::vec(any_bend(), 1..4);
        let (understood, refused) = (Cell::new(0), Cell::new(0));
        let answer = TestRunner::new(cases(3000)).run(&(any::<Index>(), bends), |(which, bends)| {
            let bytes = which.get(&samples).clone();
            let count = match (parser.read)(&bends.iter().fold(bytes, |bytes, bend| bend.of(bytes, &samples)))
            {
                Answer::Understood => &understood,
                Answer::Refused => &refused,
            };
            count.set(count.get() + 1);
            Ok(())
        });
        assert!(answer.is_ok(), "{}: {}", parser.name, answer.expect_err("just seen"));
        let (understood, refused) = (understood.get(), refused.get());
        assert!(
            0 < understood && 0 < refused,
            "{}: {understood} were understood, {refused} refused",
            parser.name
        );
    }
}

proptest! {
    #![proptest_config(cases(256))]
    #[test]
    fn every_parser_comes_to_an_answer_over_noise(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for parser in PARSERS {
            let _answer = (parser.read)(&bytes);
        }
    }
}
