//! The catalogue: `key = text with {field}`, one message a line, one file per language, compiled in.
//!
//! In a text, `\n` is a line break; a line that begins with `#` is a comment. Both files hold the same keys, and for
//! each key the same fields, in any order.

use std::collections::HashMap;
use std::sync::OnceLock;

use sonae_types::{Message, MessageKey};

use crate::Language;
use crate::visible::visible;

/// The message as its reader gets it.
///
/// A field that the message does not carry stays in the text as `{field}`, and a key that the catalogue does not hold
/// is shown as it is: a message with a fault must still be readable in the night of an outage. What a field carries is
/// made [`visible`]: names come from repositories that anybody may have written.
#[must_use]
pub fn render(message: &Message, language: Language) -> String {
    let Some(text) = catalogue(language).get(message.key.as_str()) else {
        return message.key.as_str().to_owned();
    };
    pieces(text)
        .map(|piece| match piece {
            Piece::Text(text) => text.replace("\\n", "\n"),
            Piece::Field(name) => value(message, name)
                .map_or_else(|| format!("{{{name}}}"), |value| visible(value).into_owned()),
        })
        .collect()
}

/// The text of a message that has neither fields nor line breaks, as it stands in the catalogue.
#[must_use]
pub fn fixed(key: MessageKey, language: Language) -> &'static str {
    catalogue(language).get(key.as_str()).copied().unwrap_or(key.as_str())
}

/// The fields that the text of the message names and the message does not carry, for tests of whoever builds messages.
#[must_use]
pub fn missing_fields(message: &Message) -> Vec<&'static str> {
    let text = catalogue(Language::En).get(message.key.as_str()).copied().unwrap_or_default();
    fields(text).into_iter().filter(|name| value(message, name).is_none()).collect()
}

fn value<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str())
}

fn catalogue(language: Language) -> &'static HashMap<&'static str, &'static str> {
    static JA: OnceLock<HashMap<&str, &str>> = OnceLock::new();
    static EN: OnceLock<HashMap<&str, &str>> = OnceLock::new();
    match language {
        Language::Ja => JA.get_or_init(|| entries(source(language)).collect()),
        Language::En => EN.get_or_init(|| entries(source(language)).collect()),
    }
}

const fn source(language: Language) -> &'static str {
    match language {
        Language::Ja => include_str!("../catalogue/ja.txt"),
        Language::En => include_str!("../catalogue/en.txt"),
    }
}

fn entries(source: &str) -> impl Iterator<Item = (&str, &str)> {
    source.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "))
}

fn fields(text: &str) -> Vec<&str> {
    pieces(text)
        .filter_map(|piece| match piece {
            Piece::Field(name) => Some(name),
            Piece::Text(_) => None,
        })
        .collect()
}

#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Field(&'a str),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((name, behind)) = rest.strip_prefix('{').and_then(|open| open.split_once('}')) {
            rest = behind;
            return Some(Piece::Field(name));
        }
        // A brace without its partner is plain text; searching from the second character on keeps the walk moving.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let end = rest[first..].find('{').map_or(rest.len(), |at| first + at);
        let (text, behind) = rest.split_at(end);
        rest = behind;
        Some(Piece::Text(text))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::keys;
    use proptest::prelude::*;

    fn keys_of(language: Language) -> BTreeSet<&'static str> {
        catalogue(language).keys().copied().collect()
    }

    #[test]
    fn every_line_of_the_catalogues_is_a_comment_blank_or_an_entry_that_stands_once() {
        for language in Language::ALL {
            let mut seen = BTreeSet::new();
            for line in source(language).lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
                let (key, text) = line.split_once(" = ").unwrap_or_else(|| panic!("no entry: {line}"));
                assert!(seen.insert(key), "{key} stands twice");
                assert!(!text.trim().is_empty(), "{key} has no text");
                assert_eq!(text.trim_end(), text, "{key} ends in a space");
            }
        }
    }

    #[test]
    fn both_catalogues_hold_the_same_keys_with_the_same_fields() {
        assert_eq!(keys_of(Language::Ja), keys_of(Language::En));
        let by_key = |language| -> BTreeMap<&str, BTreeSet<&str>> {
            entries(source(language)).map(|(key, text)| (key, fields(text).into_iter().collect())).collect()
        };
        assert_eq!(by_key(Language::Ja), by_key(Language::En));
    }

    #[test]
    fn the_constants_and_the_catalogues_hold_the_same_keys() {
        let constants: BTreeSet<&str> = keys::all().map(MessageKey::as_str).collect();
        assert_eq!(constants.len(), keys::all().count(), "a key has two constants");
        assert_eq!(constants, keys_of(Language::En));
    }

    #[test]
    fn every_key_reads_area_object_event() {
        for key in keys::all() {
            let parts: Vec<_> = key.as_str().split('.').collect();
            assert_eq!(parts.len(), 3, "{key:?}");
            let plain = |part: &&str| {
                !part.is_empty()
                    && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            };
            assert!(parts.iter().all(plain), "{key:?}");
        }
    }

    #[test]
    fn japanese_texts_are_japanese() {
        // These two are the same in both languages: nothing but values, and a word that Japanese shares.
        let mut plain = Vec::new();
        for (key, text) in entries(source(Language::Ja)) {
            if text.is_ascii() {
                plain.push(key);
            }
        }
        assert_eq!(plain, ["progress.line.full", "heading.key.id"]);
    }

    #[test]
    fn values_stand_in_place_of_their_fields() {
        let message = Message::new(keys::ERROR_POINT_UNKNOWN).with("point", "4f2a");
        assert_eq!(render(&message, Language::En), "There is no recovery point 4f2a in this repository.");
        assert_eq!(render(&message, Language::Ja), "この保管庫に復元ポイント「4f2a」はありません。");
        assert!(missing_fields(&message).is_empty());
    }

    #[test]
    fn a_missing_field_stays_visible_and_can_be_asked_for() {
        let message = Message::new(keys::ERROR_POINT_UNKNOWN);
        assert!(render(&message, Language::En).contains("{point}"));
        assert_eq!(missing_fields(&message), ["point"]);
    }

    #[test]
    fn an_unknown_key_is_shown_as_it_is() {
        let message = Message::new(MessageKey::new("no.such.key"));
        assert_eq!(render(&message, Language::Ja), "no.such.key");
    }

    #[test]
    fn a_value_that_looks_like_a_field_is_not_filled_again() {
        let message = Message::new(keys::ERROR_POINT_UNKNOWN).with("point", "{point}");
        assert!(render(&message, Language::En).contains("{point}"));
        assert!(missing_fields(&message).is_empty());
    }

    proptest! {
        #[test]
        fn pieces_joined_again_give_the_text(text in "[a{}あ\\\\]{0,24}") {
            let joined: String = pieces(&text).map(|piece| match piece {
                Piece::Text(text) => text.to_owned(),
                Piece::Field(name) => format!("{{{name}}}"),
            }).collect();
            prop_assert_eq!(joined, text);
        }
    }
}
