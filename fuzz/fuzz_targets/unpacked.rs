//! What is sealed as an index, a snapshot or a lock: a mark and zstd frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonae_repo::malice::parse::parser;

fuzz_target!(|bytes: &[u8]| {
    let _answer = (parser("unpacked file").read)(bytes);
});
