//! A whole repository of which one part is bent: the first byte says which part, the second which of its kind, and the rest
//! stands in its place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonae_repo::malice::whole::read_replaced;

fuzz_target!(|bytes: &[u8]| read_replaced(bytes));
