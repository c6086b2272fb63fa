//! Texts kept in files. `SONAE_ACCEPT=1 cargo nextest run -p sonae` takes what the program says now as right.

use std::path::Path;

/// Compares with `tests/golden/<name>`.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the edge where a person accepts a new text")]
pub(crate) fn check(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var("SONAE_ACCEPT").is_ok_and(|value| value == "1") {
        std::fs::write(&path, found).expect("the golden file is written");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == found,
        "{} is not what the program says now:\n{}\nIf the new text is right: SONAE_ACCEPT=1 cargo nextest run -p sonae",
        path.display(),
        difference(&expected, found)
    );
}

/// The lines between the first and the last that differ: `-` as kept, `+` as found.
fn difference(expected: &str, found: &str) -> String {
    let (old, new) = (expected.lines().collect::<Vec<_>>(), found.lines().collect::<Vec<_>>());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[same..], &new[same..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let minus = old[..old.len() - tail].iter().map(|line| format!("- {line}"));
    let plus = new[..new.len() - tail].iter().map(|line| format!("+ {line}"));
    minus.chain(plus).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_difference_shows_the_lines_that_differ_and_no_others() {
    assert_eq!(difference("a\nb\nc\nd", "a\nx\nd"), "- b\n- c\n+ x");
    assert_eq!(difference("a", "a\nb"), "+ b");
}
