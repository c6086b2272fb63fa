//! Dates and times of day in Japan (`Asia/Tokyo`), in the Japanese eras and in the western calendar.

use std::sync::OnceLock;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use sonae_types::Timestamp;

use crate::Language;

/// An era of the Japanese calendar.
struct Era {
    name: &'static str,
    /// Its first day as year, month, day. Source: the cabinet orders that changed the era name.
    first_day: (i16, i8, i8),
}

/// The eras from the newest back. A day before the last of them is written in the western calendar only.
const ERAS: [Era; 3] = [
    Era { name: "令和", first_day: (2019, 5, 1) },
    Era { name: "平成", first_day: (1989, 1, 8) },
    Era { name: "昭和", first_day: (1926, 12, 25) },
];

/// The day of the instant: 「令和8年11月22日(日) 2026-11-22」, `2026-11-22`.
#[must_use]
pub fn day(at: Timestamp, language: Language) -> String {
    let Some(local) = in_japan(at) else { return unknown(language) };
    let date = local.date();
    match language {
        Language::Ja => format!("{}({}) {date}", era_date(date), weekday(date)),
        Language::En => date.to_string(),
    }
}

/// The minute of the instant: 「令和8年11月22日(日) 3時10分」, `2026-11-22 03:10 JST`.
#[must_use]
pub fn minute(at: Timestamp, language: Language) -> String {
    let Some(local) = in_japan(at) else { return unknown(language) };
    let (date, hour, minute) = (local.date(), local.hour(), local.minute());
    match language {
        Language::Ja => format!("{}({}) {hour}時{minute:02}分", era_date(date), weekday(date)),
        Language::En => format!("{date} {hour:02}:{minute:02} JST"),
    }
}

/// The second of the instant in few characters, the same in both languages, for tables: `2026-11-22 03:10:05`.
///
/// The time is that of Japan; the heading of the table says so.
#[must_use]
pub fn stamp(at: Timestamp) -> String {
    in_japan(at).map_or_else(
        || unknown(Language::En),
        |local| format!("{} {:02}:{:02}:{:02}", local.date(), local.hour(), local.minute(), local.second()),
    )
}

fn era_date(date: Date) -> String {
    let (year, month, day) = (date.year(), date.month(), date.day());
    let Some(era) = ERAS.iter().find(|era| era.first_day <= (year, month, day)) else {
        return format!("{year}年{month}月{day}日");
    };
    match year - era.first_day.0 + 1 {
        1 => format!("{}元年{month}月{day}日", era.name),
        number => format!("{}{number}年{month}月{day}日", era.name),
    }
}

fn weekday(date: Date) -> &'static str {
    match date.weekday() {
        Weekday::Monday => "月",
        Weekday::Tuesday => "火",
        Weekday::Wednesday => "水",
        Weekday::Thursday => "木",
        Weekday::Friday => "金",
        Weekday::Saturday => "土",
        Weekday::Sunday => "日",
    }
}

/// The instant on the clocks of Japan; none where the instant lies outside the years that the calendar has.
fn in_japan(at: Timestamp) -> Option<jiff::Zoned> {
    static TOKYO: OnceLock<TimeZone> = OnceLock::new();
    let zone =
        TOKYO.get_or_init(|| TimeZone::get("Asia/Tokyo").expect("the bundled zone table holds Asia/Tokyo"));
    let instant = jiff::Timestamp::from_microsecond(at.as_micros()).ok()?;
    Some(instant.to_zoned(zone.clone()))
}

fn unknown(language: Language) -> String {
    match language {
        Language::Ja => "日時不明".to_owned(),
        Language::En => "time unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn a_day_reads_in_both_calendars() {
        let check = |instant: &str, text: &str| assert_eq!(day(at(instant), Language::Ja), text);
        check("2026-11-21T18:10:05Z", "令和8年11月22日(日) 2026-11-22");
        check("2019-12-04T01:56:00Z", "令和元年12月4日(水) 2019-12-04");
        check("2025-12-04T00:00:00Z", "令和7年12月4日(木) 2025-12-04");
    }

    #[test]
    fn an_era_begins_at_midnight_in_japan() {
        let check = |instant: &str, text: &str| {
            assert!(day(at(instant), Language::Ja).starts_with(text), "{instant}");
        };
        check("2019-04-30T14:59:59Z", "平成31年4月30日");
        check("2019-04-30T15:00:00Z", "令和元年5月1日");
        check("2019-12-31T15:00:00Z", "令和2年1月1日");
        check("1989-01-07T14:59:59Z", "昭和64年1月7日");
        check("1989-01-07T15:00:00Z", "平成元年1月8日");
        check("1926-12-24T00:00:00Z", "1926年12月24日");
    }

    #[test]
    fn times_of_day_are_those_of_japan() {
        let instant = at("2026-11-21T18:10:05Z");
        assert_eq!(minute(instant, Language::Ja), "令和8年11月22日(日) 3時10分");
        assert_eq!(minute(instant, Language::En), "2026-11-22 03:10 JST");
        assert_eq!(day(instant, Language::En), "2026-11-22");
        assert_eq!(stamp(instant), "2026-11-22 03:10:05");
    }

    proptest! {
        #[test]
        fn no_instant_makes_a_date_panic(micros in any::<i64>()) {
            let instant = Timestamp::from_micros(micros);
            prop_assert!(!day(instant, Language::Ja).is_empty());
            prop_assert!(!minute(instant, Language::En).is_empty());
            prop_assert!(!stamp(instant).is_empty());
        }
    }
}
