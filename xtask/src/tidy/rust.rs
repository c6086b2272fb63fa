//! Just enough of Rust's syntax for the checks: code without comments and strings, functions, modules, test modules.

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    /// The line of the word `fn`, counted from 1.
    pub(super) line: usize,
    /// Lines from there to the closing brace.
    pub(super) lines: usize,
}

/// The code with every comment, string and character literal blanked out; each line keeps its number.
pub(super) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let blank = blank_len(rest, code.chars().next_back());
        let len = blank.unwrap_or(first.len_utf8());
        let (token, behind) = rest.split_at(len);
        if blank.is_some() {
            code.extend(token.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            code.push_str(token);
        }
        rest = behind;
    }
    code
}

/// Lines of the file without its inline test modules.
pub(super) fn without_tests(text: &str) -> Vec<&str> {
    let code = code_only(text);
    let code: Vec<&str> = code.lines().collect();
    let mut inside = false;
    let mut kept = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if !inside && code[at].starts_with("#[cfg(test)]") {
            inside = begins_module(&code[at + 1..]);
        }
        if !inside {
            kept.push(line);
        } else if code[at].starts_with('}') {
            inside = false;
        }
    }
    kept
}

/// Every function with a body, nested ones too.
pub(super) fn functions(code: &str) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if code[..at].chars().next_back().is_some_and(is_word) {
            continue;
        }
        let name = word_at(&code[at + 3..]);
        let Some(body) = body_of(&code[at..]).filter(|_| !name.is_empty()) else { continue };
        let line = code[..at].matches('\n').count() + 1;
        found.push(Function { name, line, lines: body.matches('\n').count() + 1 });
    }
    found
}

/// Names of the modules that the code declares and keeps in files of their own.
pub(super) fn declared_modules(code: &str) -> Vec<&str> {
    code.lines()
        .filter_map(|line| {
            let line = line.trim();
            let line = line
                .split_once("mod ")
                .filter(|(before, _)| before.is_empty() || before.starts_with("pub"))?
                .1;
            line.strip_suffix(';').filter(|name| !name.is_empty() && name.chars().all(is_word))
        })
        .collect()
}

/// The words of the code.
pub(super) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

/// Whether the character can stand in a name.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How many bytes from here on are a comment, a string or a character literal; `before` is the character in front.
fn blank_len(rest: &str, before: Option<char>) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment_len(rest));
    }
    if rest.starts_with('"') {
        return Some(quoted_len(rest, '"'));
    }
    if rest.starts_with('r') && !before.is_some_and(|c| is_word(c) && c != 'b' && c != 'c') {
        return raw_string_len(rest);
    }
    if let Some(inside) = rest.strip_prefix('\'') {
        let mut chars = inside.chars();
        let is_literal = chars.next() == Some('\\') || chars.next() == Some('\'');
        return is_literal.then(|| quoted_len(rest, '\''));
    }
    None
}

fn block_comment_len(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted_len(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_string_len(rest: &str) -> Option<usize> {
    let behind = &rest[1..];
    let hashes = behind.len() - behind.trim_start_matches('#').len();
    let inside = behind[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let content = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(1 + hashes + 1 + content)
}

fn begins_module(code: &[&str]) -> bool {
    let declaration =
        code.iter().map(|line| line.trim()).find(|line| !line.is_empty() && !line.starts_with("#["));
    declaration.is_some_and(|line| {
        let is_module = line.starts_with("mod ") || (line.starts_with("pub") && line.contains(" mod "));
        is_module && line.ends_with('{')
    })
}

/// The text from `fn` to the closing brace of its body; none for a function without a body.
fn body_of(code: &str) -> Option<&str> {
    let (mut brackets, mut braces) = (0_usize, 0_usize);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            ';' if brackets == 0 && braces == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 {
                    return Some(&code[..=at]);
                }
            }
            _ => {}
        }
    }
    None
}

fn word_at(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_characters_are_blanked_and_lifetimes_are_not() {
        let check = |text: &str, code: &str| {
            let blanked = code_only(text);
            assert_eq!(blanked.chars().count(), text.chars().count(), "{text}");
            assert_eq!(blanked.split_whitespace().collect::<Vec<_>>().join(" "), code, "{text}");
        };
        check("a // b", "a");
        check("a /* b /* c */ d */ e", "a e");
        check(r#"f("x\"{", 1)"#, "f( , 1)");
        check(r##"f(r#"{"}"#, br"{")"##, "f( , b )");
        check(r"m('{', '\'', b'\\', '備')", "m( , , b , )");
        check("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)");
        check("bar\"{\"", "bar");
        assert_eq!(code_only("\"\n\n\"").lines().count(), 3);
    }

    #[test]
    fn a_function_is_measured_from_its_name_to_its_closing_brace() {
        let code = "trait T {\n    fn none(&self) -> [u8; 4];\n    fn one() {}\n}\nfn two(\n    x: X,\n) {\n    if x {\n    }\n}\n";
        let found: Vec<_> = functions(code).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(found, [("one", 3, 1), ("two", 5, 6)]);
        assert!(functions("type F = fn (u8);").is_empty());
    }

    #[test]
    fn test_modules_are_left_out_and_code_behind_them_is_not() {
        let text = "a\n#[cfg(test)]\nmod tests {\n    b\n}\nc\n#[cfg(test)]\nmod other;\nd";
        assert_eq!(without_tests(text), ["a", "c", "#[cfg(test)]", "mod other;", "d"]);
        assert_eq!(without_tests("#[cfg(test)]\nfn only_in_tests() {\n}\nx").len(), 4);
    }

    #[test]
    fn modules_in_files_of_their_own_are_found() {
        let code = "pub mod a;\nmod b;\npub(crate) mod c;\nmod d {\n    mod e;\n}\nuse mod_f;";
        assert_eq!(declared_modules(code), ["a", "b", "c", "e"]);
    }
}
