//! The right-hand side of an expression as a matcher: a literal, a glob or a regular expression.
//!
//! The language is that of the predecessor (RE2): `\d \w \s \b` know ASCII only, a `[` inside a class is a
//! plain character, and there are no nested classes or class operators. `translate` rewrites what the
//! `regex` crate reads differently. It is *not* a grammar check: `expr` decides which characters may occur.

use std::iter::Peekable;
use std::str::Chars;

use regex_lite::{Regex, RegexBuilder};

/// Bound of one compiled pattern in bytes: patterns come from clients.
const SIZE_LIMIT: usize = 1 << 18;
/// Bound of nested groups.
const NEST_LIMIT: u32 = 50;
/// The class names of RE2.
const NAMED: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// A compiled value.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// Equal, byte for byte.
    Literal(String),
    /// A glob of plain texts: what stands before, between and behind its `*`s.
    Glob(Vec<String>),
    /// Found anywhere, unless the pattern itself says where.
    Regex(Regex),
    /// Does not compile, so it matches nothing.
    Broken,
}

impl Pattern {
    /// `/…/` is a regular expression, searched for anywhere. Anything else is a glob over the whole text in
    /// which all other regex characters keep their meaning, as ever (`us.east` matches `us-east`).
    pub fn compile(value: &str) -> Pattern {
        let inner = value.strip_prefix('/').and_then(|v| v.strip_suffix('/'));
        match inner {
            Some(regex) => build(translate(regex)),
            None if value.bytes().all(is_plain) => Pattern::Literal(value.to_string()),
            None if value.bytes().all(|b| is_plain(b) || b == b'*') => {
                Pattern::Glob(value.split('*').map(String::from).collect())
            }
            None => build(translate(&value.replace('*', ".*")).map(|glob| format!("^{glob}$"))),
        }
    }

    /// Whether the text matches.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Literal(literal) => literal == text,
            Pattern::Glob(parts) => covers(parts, text),
            Pattern::Regex(regex) => regex.is_match(text),
            Pattern::Broken => false,
        }
    }
}

/// As `.*` between anchors would: from left to right, and never over the end of a line.
fn covers(parts: &[String], text: &str) -> bool {
    let ([first, middle @ .., last], false) = (parts, text.contains('\n')) else { return false };
    let Some(inner) = text.strip_prefix(first.as_str()).and_then(|t| t.strip_suffix(last.as_str())) else {
        return false;
    };
    middle.iter().try_fold(inner, |rest, part| rest.split_once(part.as_str()).map(|(_, rest)| rest)).is_some()
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-:/=!~ ".contains(&byte)
}

fn build(translated: Option<String>) -> Pattern {
    let compiled = translated.and_then(|text| {
        let mut builder = RegexBuilder::new(&text);
        builder.size_limit(SIZE_LIMIT).nest_limit(NEST_LIMIT).build().ok()
    });
    compiled.map_or(Pattern::Broken, Pattern::Regex)
}

/// Rewrites a pattern for the `regex` crate; `None` where RE2 would refuse it and the crate would not.
fn translate(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars().peekable();
    let mut repeated = false;
    while let Some(c) = rest.next() {
        let repeats = matches!(c, '*' | '+' | '?');
        if repeats && repeated {
            return None;
        }
        match c {
            '\\' => escape(rest.next()?, &mut out),
            '[' => class(&mut rest, &mut out)?,
            '(' => group(&mut rest, &mut out)?,
            _ => out.push(c),
        }
        if repeats && rest.next_if_eq(&'?').is_some() {
            out.push('?');
        }
        repeated = repeats;
    }
    Some(out)
}

/// An escape outside of classes.
fn escape(c: char, out: &mut String) {
    match perl(c) {
        Some((negated, ranges)) => {
            out.push_str(if negated { "[^" } else { "[" });
            out.push_str(ranges);
            out.push(']');
        }
        None if matches!(c, 'b' | 'B') => out.push_str(&format!(r"(?-u:\{c})")),
        None => out.extend(['\\', c]),
    }
}

/// The ASCII ranges of `\d`, `\w`, `\s` and whether the letter negates them.
fn perl(c: char) -> Option<(bool, &'static str)> {
    let ranges = match c.to_ascii_lowercase() {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => r"\t\n\x0C\r ",
        _ => return None,
    };
    Some((c.is_ascii_uppercase(), ranges))
}

/// Flags of a group: those that only the `regex` crate knows are refused.
fn group(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Option<()> {
    out.push('(');
    if rest.next_if_eq(&'?').is_some() {
        out.push('?');
        while let Some(flag) = rest.next_if(|c| c.is_ascii_alphabetic() || *c == '-') {
            if !"imsU-".contains(flag) {
                return None;
            }
            out.push(flag);
        }
    }
    Some(())
}

/// A bracketed class, after its `[`.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Option<()> {
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        let c = rest.next()?;
        match c {
            ']' if !first => break,
            '[' if rest.peek() == Some(&':') && named(rest, out)? => {}
            '\\' if rest.peek().is_some_and(|c| perl(*c).is_some()) => {
                let (negated, ranges) = perl(rest.next()?)?;
                let (open, close) = if negated { ("[^", "]") } else { ("", "") };
                out.push_str(&[open, ranges, close].concat());
            }
            c => range(c, rest, out)?,
        }
        first = false;
    }
    out.push(']');
    Some(())
}

/// `[:name:]`, after its `[`. False if it is not of that form, so that the `[` is a plain character.
fn named(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Option<bool> {
    let ahead: String = rest.clone().collect();
    let Some((name, _)) = ahead[1..].split_once(":]") else {
        out.push_str(r"\[");
        return Some(true);
    };
    if !NAMED.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return None;
    }
    out.push_str(&format!("[:{name}:]"));
    for _ in 0..name.len() + 3 {
        rest.next();
    }
    Some(true)
}

/// One character of a class, or a range that begins with it.
fn range(low: char, rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Option<()> {
    member(low, rest, out)?;
    let mut ahead = rest.clone();
    if ahead.next() == Some('-') && ahead.peek().is_some_and(|c| *c != ']') {
        rest.next();
        out.push('-');
        let high = rest.next()?;
        member(high, rest, out)?;
    }
    Some(())
}

fn member(c: char, rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Option<()> {
    match c {
        '\\' => out.extend(['\\', rest.next()?]),
        c if c.is_ascii_punctuation() && c != '_' => out.extend(['\\', c]),
        c => out.push(c),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literals_globs_and_regexes() {
        for (value, text, hit) in [
            ("us", "us", true),
            ("us", "us-west", false),
            ("us*", "us-west", true),
            ("*us*", "eu-us-1", true),
            ("us.east", "us-east", true),
            ("a|b", "abc", true), // begins with a, or ends with b
            ("a|b", "xb", true),
            ("a|b", "xbx", false),
            ("(?i)abc", "ABC", true),
            ("abc", "ABC", false),
            ("*", "", true),
            ("*", "a\nb", false),
            ("/", "/", true),
            ("/", "x", false),
            ("//", "anything", true),
            ("/node\\d/", "my-node1x", true),
            ("/node[12]/", "node3", false),
            ("/^a$/", "a", true),
            ("!b", "!b", true),
            ("=b", "b", false),
            ("a.c", "aéc", true),
        ] {
            assert_eq!(Pattern::compile(value).matches(text), hit, "{value} on {text:?}");
        }
    }

    #[test]
    fn classes_are_ascii_and_flat() {
        for (value, text, hit) in [
            (r"/^\d$/", "٣", false),
            (r"/^\w$/", "é", false),
            (r"/^\W$/", "é", true),
            (r"/^[\d]$/", "7", true),
            (r"/^[\D]$/", "7", false),
            (r"/^[^\s]$/", " ", false),
            (r"/^[a[b]$/", "[", true),
            (r"/^[a[b]$/", "b", true),
            (r"/^[]a]$/", "]", true),
            (r"/^[[:digit:]x]$/", "5", true),
            (r"/^[[:x]$/", ":", true),
            (r"/^[--b]$/", "Z", true),
            (r"/^[a-]$/", "-", true),
            (r"/\bus\b/", "eu-us-1", true),
        ] {
            assert_eq!(Pattern::compile(value).matches(text), hit, "{value} on {text:?}");
        }
    }

    #[test]
    fn what_does_not_compile_matches_nothing() {
        for value in
            ["foo[", "foo(", "foo\\", "/a**/", "/a*+/", "/*/", "/[a--b]/", "/[[:nope:]]/", "/(?x)a/", r"/\C/"]
        {
            let pattern = Pattern::compile(value);
            assert!(matches!(pattern, Pattern::Broken), "{value}: {pattern:?}");
            assert!(!pattern.matches("foo") && !pattern.matches(""), "{value}");
        }
        assert!(Pattern::compile("/a*?b/").matches("aab"));
        let deep = format!("/{}a{}/", "(".repeat(300), ")".repeat(300));
        assert!(matches!(Pattern::compile(&deep), Pattern::Broken));
    }

    proptest! {
        #[test]
        fn any_text_compiles_or_is_broken(value in "[a-c:\\-_.*/()?+\\[\\]\\\\^$|dwsbQ ~=!]{0,24}", text in ".{0,8}") {
            Pattern::compile(&value).matches(&text);
        }

        #[test]
        fn plain_globs_match_as_the_regex_would(value in "[ab*]{0,6}", text in "[ab\n]{0,8}") {
            let regex = build(translate(&value.replace('*', ".*")).map(|glob| format!("^{glob}$")));
            prop_assert_eq!(Pattern::compile(&value).matches(&text), regex.matches(&text));
        }

        #[test]
        fn a_plain_value_matches_itself_only(value in "[a-zA-Z0-9_:-]{1,12}", other in "[a-zA-Z0-9_:-]{1,12}") {
            prop_assert_eq!(Pattern::compile(&value).matches(&other), value == other);
        }
    }
}
