//! How many columns a text takes on a terminal, where a Japanese character takes two.

/// Columns of the text. Control and combining characters are not expected here and count as one.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

/// The text with spaces behind it up to `width` columns; a wider text stays as it is.
#[must_use]
pub fn pad(text: &str, width: usize) -> String {
    let spaces = width.saturating_sub(columns(text));
    format!("{text}{}", " ".repeat(spaces))
}

/// Whether the character is wide or full-width by UAX #11, for the blocks that Japanese text uses.
const fn is_wide(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_japanese_character_takes_two_columns_and_a_half_width_one_takes_one() {
        for (text, width) in
            [("", 0), ("vda", 3), ("保管庫", 6), ("復元ポイント", 12), ("ﾊﾞｯｸ", 4), ("𠮷野", 4)]
        {
            assert_eq!(columns(text), width, "{text}");
        }
    }

    #[test]
    fn padding_reaches_the_column_and_cuts_nothing() {
        assert_eq!(pad("保管庫", 8), "保管庫  ");
        assert_eq!(pad("保管庫", 3), "保管庫");
    }
}
