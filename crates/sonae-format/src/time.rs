//! Instants as the format writes them: RFC 3339 with up to nine digits of a second.

use sonae_types::Timestamp;

/// The instant in UTC, as Go's `RFC3339Nano` would write it: no trailing zeros, `Z` at the end.
#[must_use]
pub fn to_rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros())
        .map_or_else(|_out_of_range| "0001-01-01T00:00:00Z".to_owned(), |time| time.to_string())
}

/// The instant that the text names, to the microsecond; none when it names none.
#[must_use]
pub fn from_rfc3339(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|time| Timestamp::from_micros(time.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_read_back_and_restics_forms_are_understood() {
        for (text, micros) in [
            ("2019-12-04T02:00:00Z", 1_575_424_800_000_000),
            ("2019-12-04T11:00:00.123456789+09:00", 1_575_424_800_123_456),
            ("1969-12-31T23:59:59.5Z", -500_000),
        ] {
            assert_eq!(from_rfc3339(text).map(Timestamp::as_micros), Some(micros), "{text}");
            let at = Timestamp::from_micros(micros);
            assert_eq!(from_rfc3339(&to_rfc3339(at)), Some(at));
        }
        assert_eq!(to_rfc3339(Timestamp::from_micros(1_575_424_800_120_000)), "2019-12-04T02:00:00.12Z");
        assert_eq!(from_rfc3339("yesterday"), None);
    }
}
