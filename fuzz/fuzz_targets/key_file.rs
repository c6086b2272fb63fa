//! A key file as it is stored.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonae_repo::malice::parse::parser;

fuzz_target!(|bytes: &[u8]| {
    let _answer = (parser("key file").read)(bytes);
});
