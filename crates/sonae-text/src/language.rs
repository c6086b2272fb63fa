//! Which language a reader gets.

/// A language of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Japanese.
    Ja,
    /// English.
    En,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::Ja, Self::En];
}

/// The language for the reader: `SONAE_LANG` where it names one of ours, otherwise what the locale says.
///
/// `sonae_lang` is the value of `SONAE_LANG`, `locale` that of `LC_ALL` or `LANG`; the edge reads both.
#[must_use]
pub fn choose_language(sonae_lang: Option<&str>, locale: Option<&str>) -> Language {
    sonae_lang.and_then(named).unwrap_or_else(|| language_from(locale))
}

/// The language of a locale such as `ja_JP.UTF-8`: Japanese for `ja`, English for everything else and for none.
#[must_use]
pub fn language_from(locale: Option<&str>) -> Language {
    locale.and_then(named).unwrap_or(Language::En)
}

fn named(locale: &str) -> Option<Language> {
    let tag = locale.split(['_', '-', '.', '@']).next().unwrap_or_default();
    match tag.to_ascii_lowercase().as_str() {
        "ja" => Some(Language::Ja),
        "en" => Some(Language::En),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_japanese_locale_reads_japanese_and_every_other_english() {
        for locale in ["ja", "ja_JP", "ja_JP.UTF-8", "ja-JP", "JA_JP.eucJP"] {
            assert_eq!(language_from(Some(locale)), Language::Ja, "{locale}");
        }
        for locale in ["", "C", "C.UTF-8", "POSIX", "en_US.UTF-8", "de_DE", "jam"] {
            assert_eq!(language_from(Some(locale)), Language::En, "{locale}");
        }
        assert_eq!(language_from(None), Language::En);
    }

    #[test]
    fn our_own_variable_wins_over_the_locale_unless_it_names_no_language_of_ours() {
        assert_eq!(choose_language(Some("en"), Some("ja_JP.UTF-8")), Language::En);
        assert_eq!(choose_language(Some("ja"), Some("C")), Language::Ja);
        assert_eq!(choose_language(Some("tlh"), Some("ja_JP.UTF-8")), Language::Ja);
        assert_eq!(choose_language(Some(""), None), Language::En);
    }
}
