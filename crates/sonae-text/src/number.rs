//! Numbers as people read them: sizes, rates, counts and durations. Integer arithmetic only, so that every machine
//! prints the same digits.

use std::time::Duration;

use sonae_types::ByteCount;

use crate::Language;

/// IEC units from the smallest up; sizes are the same in both languages.
const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// The size with three significant digits: `1.66 GiB`, `10.0 MiB`, `512 B`.
#[must_use]
pub fn bytes(count: ByteCount) -> String {
    let exact = u128::from(count.get());
    if exact < 1024 {
        return format!("{exact} B");
    }
    let mut power = 1;
    while power + 1 < UNITS.len() && hundredths(exact, power) >= 102_400 {
        power += 1;
    }
    let hundredths = hundredths(exact, power);
    let unit = UNITS[power];
    match hundredths {
        0..1_000 => format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100),
        1_000..10_000 => {
            let tenths = (hundredths + 5) / 10;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        _ => format!("{} {unit}", (hundredths + 50) / 100),
    }
}

/// The speed at which `count` bytes went by in `span`: `213 MiB/s`. None when no time passed.
#[must_use]
pub fn rate(count: ByteCount, span: Duration) -> Option<String> {
    let per_second =
        u128::from(count.get()) * 1_000_000 / Some(span.as_micros()).filter(|micros| *micros > 0)?;
    Some(format!("{}/s", bytes(ByteCount::new(u64::try_from(per_second).unwrap_or(u64::MAX)))))
}

/// The number with its digits in groups of three: `1,234,567`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The span in its two largest units: 「3分12秒」, `3 min 12 s`. Under ten seconds with one decimal, cut and not rounded.
#[must_use]
pub fn duration(span: Duration, language: Language) -> String {
    let whole = span.as_secs();
    if whole < 10 {
        let text = format!("{whole}.{}", span.subsec_millis() / 100);
        return match language {
            Language::Ja => format!("{text}秒"),
            Language::En => format!("{text} s"),
        };
    }
    let parts = [
        (whole / 86_400, "日", "d"),
        (whole / 3_600 % 24, "時間", "h"),
        (whole / 60 % 60, "分", "min"),
        (whole % 60, "秒", "s"),
    ];
    let first = parts.iter().position(|(number, ..)| *number > 0).unwrap_or(parts.len() - 1);
    let shown = parts[first..].iter().take(2).filter(|(number, ..)| *number > 0);
    match language {
        Language::Ja => shown.map(|(number, ja, _)| format!("{number}{ja}")).collect(),
        Language::En => shown.map(|(number, _, en)| format!("{number} {en}")).collect::<Vec<_>>().join(" "),
    }
}

fn hundredths(exact: u128, power: usize) -> u128 {
    let unit = 1_u128 << (10 * power);
    (exact * 100 + unit / 2) / unit
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_read_with_three_digits_and_their_unit() {
        let check = |count, text: &str| assert_eq!(bytes(ByteCount::new(count)), text);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1.00 KiB");
        check(10 << 20, "10.0 MiB");
        check(100 << 20, "100 MiB");
        check((1 << 30) - 1, "1.00 GiB");
        check(1_782_411_264, "1.66 GiB");
        check(40 << 30, "40.0 GiB");
        check(1 << 40, "1.00 TiB");
        check(u64::MAX, "16.0 EiB");
    }

    #[test]
    fn a_rate_needs_time_to_have_passed() {
        assert_eq!(rate(ByteCount::mib(426), Duration::from_secs(2)), Some("213 MiB/s".to_owned()));
        assert_eq!(rate(ByteCount::mib(426), Duration::ZERO), None);
        assert_eq!(
            rate(ByteCount::new(u64::MAX), Duration::from_nanos(1_000)),
            Some("16.0 EiB/s".to_owned())
        );
    }

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_318, "1,318"), (33_000, "33,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn durations_read_as_people_say_them() {
        let check = |millis, ja: &str, en: &str| {
            assert_eq!(duration(Duration::from_millis(millis), Language::Ja), ja);
            assert_eq!(duration(Duration::from_millis(millis), Language::En), en);
        };
        check(0, "0.0秒", "0.0 s");
        check(1_490, "1.4秒", "1.4 s");
        check(12_900, "12秒", "12 s");
        check(192_000, "3分12秒", "3 min 12 s");
        check(180_000, "3分", "3 min");
        check(3_600_000 + 59_000, "1時間", "1 h");
        check(3_600_000 * 5 + 60_000 * 7, "5時間7分", "5 h 7 min");
        check(86_400_000 * 2 + 3_600_000 * 3, "2日3時間", "2 d 3 h");
    }

    proptest! {
        #[test]
        fn a_size_never_shows_more_than_four_digits(count in any::<u64>()) {
            let text = bytes(ByteCount::new(count));
            let digits = text.chars().filter(char::is_ascii_digit).count();
            prop_assert!(digits <= 4, "{text}");
            prop_assert!(!text.starts_with("1024"), "{text}");
        }

        #[test]
        fn grouping_changes_no_digit(number in any::<u64>()) {
            prop_assert_eq!(grouped(number).replace(',', ""), number.to_string());
        }
    }
}
