//! How fast the repository may be written and read: `--limit-upload` and `--limit-download`.

use std::num::NonZeroU64;

use sonae_agent::{Failure, Fault};
use sonae_repo::store::{Limit, Limits, Rate};
use sonae_text::keys;
use sonae_types::Message;

use crate::args::Global;

/// The limits that were typed. Errors: one is no speed.
pub(super) fn limits(global: &Global) -> Result<Limits, Failure> {
    let limit = |option: &str, text: Option<&str>| match text.filter(|text| !text.is_empty()) {
        None => Ok(Limit::Unlimited),
        Some(text) => rate(text).map(Limit::at_most).ok_or_else(|| no_rate(option, text)),
    };
    Ok(Limits {
        write: limit("--limit-upload", global.limit_upload.as_deref())?,
        read: limit("--limit-download", global.limit_download.as_deref())?,
    })
}

fn no_rate(option: &str, text: &str) -> Failure {
    let message = Message::new(keys::ERROR_OPTION_VALUE).with("value", text).with("option", option);
    Failure::new(Fault::WrongUse, message)
        .remedy(Message::new(keys::REMEDY_OPTION_RATE).with("option", option))
}

/// Reads `500`, which is KiB a second as in restic, or `500K`, `20M`, `1G`; none for anything else, and for zero.
fn rate(text: &str) -> Option<Rate> {
    let (number, unit) = match text.char_indices().last()? {
        (at, 'K' | 'k') => (&text[..at], 1 << 10),
        (at, 'M' | 'm') => (&text[..at], 1 << 20),
        (at, 'G' | 'g') => (&text[..at], 1 << 30),
        _ => (text, 1 << 10),
    };
    // Rust also reads "+5" as a number; here that is rather a slip.
    let number = Some(number).filter(|number| number.bytes().all(|digit| digit.is_ascii_digit()))?;
    let bytes = number.parse::<u64>().ok()?.checked_mul(unit)?;
    NonZeroU64::new(bytes).map(Rate::bytes_per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, bytes: Option<u64>) {
        assert_eq!(rate(text).map(Rate::get), bytes, "{text}");
    }

    #[test]
    fn a_plain_number_is_kib_a_second_and_a_letter_is_its_binary_unit() {
        check("1", Some(1_024));
        check("500", Some(512_000));
        check("500K", Some(512_000));
        check("20M", Some(20 * 1_024 * 1_024));
        check("20m", Some(20 * 1_024 * 1_024));
        check("3G", Some(3 * 1_024 * 1_024 * 1_024));
        check("18014398509481983", Some(u64::MAX - 1_023));
    }

    #[test]
    fn what_is_no_speed_is_none_rather_than_something_else() {
        for text in ["", "0", "0M", "M", "-1", "+1", "1.5M", "1 M", "1T", "1MB", "1Mi", "１", "1Ｍ", "fast"]
        {
            check(text, None);
        }
        for text in ["18014398509481984", "17179869184G", "99999999999999999999"] {
            check(text, None);
        }
    }
}
