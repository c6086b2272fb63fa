//! Text from outside, made harmless to look at: a name in a repository must not move the cursor, colour the screen or
//! forge a line of a report.

use std::borrow::Cow;

/// The text with every control character and every character that changes the direction of writing shown as
/// `\u{1b}`; anything else stays as it is.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Control characters of C0 and C1, line and paragraph separators, marks of direction, and the byte-order mark.
const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        for (text, shown) in [
            ("\u{1b}[2Jweb01", "\\u{1b}[2Jweb01"),
            ("good\nforged line", "good\\u{a}forged line"),
            ("a\u{202e}b\u{7}", "a\\u{202e}b\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn names_that_people_give_stay_as_they_are() {
        for text in ["", "住民記録-ap01", "𠮷野家 👨‍👩‍👧", "a\\b\"c'", "ﾊﾞｯｸｱｯﾌﾟ"]
        {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }
}
