//! JSON byte for byte as Go's encoder writes it, because plain restic refuses to rewrite trees that are not.
//!
//! Compact, fields in the order of their struct, `<`, `>`, `&`, U+2028 and U+2029 escaped, and names quoted by the rules of
//! Go's `strconv.Quote` (docs/format.md, "Tree").

use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};

struct GoFormatter(CompactFormatter);

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut plain_from = 0;
        for (at, char) in fragment.char_indices() {
            let escaped = match char {
                '<' => "\\u003c",
                '>' => "\\u003e",
                '&' => "\\u0026",
                '\u{2028}' => "\\u2028",
                '\u{2029}' => "\\u2029",
                _ => continue,
            };
            self.0.write_string_fragment(writer, &fragment[plain_from..at])?;
            writer.write_all(escaped.as_bytes())?;
            plain_from = at + char.len_utf8();
        }
        self.0.write_string_fragment(writer, &fragment[plain_from..])
    }
}

/// The value as Go would write it, without a line end.
pub fn to_go_json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, GoFormatter(CompactFormatter));
    value.serialize(&mut serializer).expect("our own types have text keys and finite numbers");
    bytes
}

/// A file name as a tree holds it: the inside of `strconv.Quote`.
///
/// Characters that Go does not call printable are written as escapes. We never write names with control characters, so
/// the short table of what else is not printable (unassigned and private code points are rare in names) errs on the
/// side of escaping nothing: readers unquote both forms alike.
pub fn quote_name(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len());
    for char in name.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => {
                escape(&mut quoted, format_args!("\\x{:02x}", u32::from(c)));
            }
            c if is_unprintable(c) && u32::from(c) < 0x1_0000 => {
                escape(&mut quoted, format_args!("\\u{:04x}", u32::from(c)));
            }
            c if is_unprintable(c) => escape(&mut quoted, format_args!("\\U{:08x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted
}

fn escape(quoted: &mut String, form: std::fmt::Arguments<'_>) {
    quoted.write_fmt(form).expect("writing to a text cannot fail");
}

/// Spaces other than U+0020, format characters, private use and non-characters: what `strconv.IsPrint` refuses.
fn is_unprintable(char: char) -> bool {
    matches!(u32::from(char),
        0x80..=0xa0 | 0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x1680 | 0x180e | 0x2000..=0x200f | 0x2028..=0x202f
        | 0x205f..=0x206f | 0x3000 | 0xe000..=0xf8ff | 0xfeff | 0xfff0..=0xfffb | 0xfffe..=0xffff | 0x1bca0..=0x1bca3
        | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff | 0xf0000..=0x0010_ffff)
}

/// The file name that a tree's text stands for; none when its escapes are invalid or yield no UTF-8.
#[cfg(any(test, feature = "testing"))]
pub fn unquote_name(quoted: &str) -> Option<String> {
    String::from_utf8(unquote_bytes(quoted)?).ok()
}

/// A name that is no UTF-8, as people can read and type it: each byte that is none as `\xNN`, as in the tree itself.
pub fn quote_bytes(name: &[u8]) -> String {
    let mut quoted = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        quoted.push_str(&quote_name(chunk.valid()));
        for byte in chunk.invalid() {
            escape(&mut quoted, format_args!("\\x{byte:02x}"));
        }
    }
    quoted
}

/// The bytes of the file name that a tree's text stands for; none when its escapes are invalid.
pub fn unquote_bytes(quoted: &str) -> Option<Vec<u8>> {
    if !quoted.contains('\\') {
        return if quoted.contains(['"', '\n']) { None } else { Some(quoted.as_bytes().to_vec()) };
    }
    let mut bytes = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        match char {
            '"' | '\n' => return None,
            '\\' => rest = unescape(rest, &mut bytes)?,
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Some(bytes)
}

/// Reads one escape (its backslash already read), appends what it means and answers what follows it.
fn unescape<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let kind = text.bytes().next()?;
    let simple = match kind {
        b'a' => Some(7),
        b'b' => Some(8),
        b'f' => Some(12),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'v' => Some(11),
        b'\\' | b'"' => Some(kind),
        _ => None,
    };
    if let Some(byte) = simple {
        bytes.push(byte);
        return text.get(1..);
    }
    let (digits, radix, rest) = match kind {
        b'x' => (text.get(1..3)?, 16, text.get(3..)?),
        b'u' => (text.get(1..5)?, 16, text.get(5..)?),
        b'U' => (text.get(1..9)?, 16, text.get(9..)?),
        b'0'..=b'7' => (text.get(..3)?, 8, text.get(3..)?),
        _ => return None,
    };
    if digits.starts_with('+') {
        return None;
    }
    let number = u32::from_str_radix(digits, radix).ok()?;
    match kind {
        b'u' | b'U' => bytes.extend_from_slice(char::from_u32(number)?.encode_utf8(&mut [0; 4]).as_bytes()),
        _ => bytes.push(u8::try_from(number).ok()?),
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_escaped_as_go_escapes_it() {
        let json = String::from_utf8(to_go_json(&"a<b>&\u{2028}\u{2029}\"\\\n\u{1}住民")).unwrap();
        assert_eq!(json, r#""a\u003cb\u003e\u0026\u2028\u2029\"\\\n\u0001住民""#);
    }

    #[test]
    fn names_are_quoted_as_go_quotes_them() {
        for (name, quoted) in [
            ("plain-01.raw", "plain-01.raw"),
            ("a\"b\\c", r#"a\"b\\c"#),
            ("t\tn\nx\u{1}", r"t\tn\nx\x01"),
            ("住民\u{3000}記録", r"住民\u3000記録"),
            ("\u{e0001}", r"\U000e0001"),
        ] {
            assert_eq!(quote_name(name), quoted);
            assert_eq!(unquote_name(quoted).as_deref(), Some(name));
        }
        assert_eq!(unquote_name(r"\xe4\xbd\x8f\052").as_deref(), Some("住*"));
        let shift_jis = b"\x93\xfa\x96{\"";
        assert_eq!(quote_bytes(shift_jis), r#"\x93\xfa\x96{\""#);
        assert_eq!(unquote_bytes(&quote_bytes(shift_jis)).as_deref(), Some(&shift_jis[..]));
        for bad in [r"\", r"\q", r"\x1", r"\u12", r"\400", r"\xff", "\"", r"\x+1"] {
            assert_eq!(unquote_name(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_name_survives_quoting(name in any::<String>()) {
            let quoted = quote_name(&name);
            prop_assert_eq!(unquote_name(&quoted), Some(name));
        }

        #[test]
        fn any_text_ends_in_an_answer(text in "\\PC*|(\\\\[a-zA-Z0-9\"]{0,3})*") {
            let _answer = unquote_name(&text);
        }
    }
}
