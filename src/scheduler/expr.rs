//! Expressions of affinities, constraints and whitelists: `key==value`, `key!=~value`.
//!
//! It knows the grammar and when an expression holds for a set of texts. It does *not* know which texts a
//! key stands for: the filters do.

use std::fmt;

use crate::scheduler::pattern::Pattern;

/// The two operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Op {
    Equal,
    NotEqual,
}

/// A parsed and compiled expression. Displayed as `<key><op><value>`, without the `~` of soft ones.
#[derive(Debug, Clone)]
pub struct Expr {
    /// What is compared.
    pub key: String,
    /// How.
    pub op: Op,
    /// With what, without a leading `~`.
    pub value: String,
    /// Given up if no node satisfies it.
    pub soft: bool,
    pattern: Pattern,
}

impl Expr {
    /// Parses one expression. The error texts are those of the predecessor.
    pub fn parse(text: &str) -> Result<Expr, String> {
        let equal = text.split_once("==").map(|(k, v)| (k, Op::Equal, v));
        let split = equal.or_else(|| text.split_once("!=").map(|(k, v)| (k, Op::NotEqual, v)));
        let Some((key, op, value)) = split else {
            return Err("One of operator ==, != is expected".into());
        };
        if !is_key(key) {
            return Err(format!("Key '{key}' is invalid"));
        }
        if !is_value(value) {
            return Err(format!("Value '{value}' is invalid"));
        }
        let hard = value.trim_start_matches('~');
        Ok(Expr {
            key: key.to_string(),
            op,
            value: hard.to_string(),
            soft: value.starts_with('~'),
            pattern: Pattern::compile(hard),
        })
    }

    /// Parses all; the first error counts for all of them.
    pub fn parse_all<'a>(texts: impl IntoIterator<Item = &'a String>) -> Result<Vec<Expr>, String> {
        texts.into_iter().map(|t| Expr::parse(t)).collect()
    }

    /// `==` holds if any of the texts matches, `!=` if none does. So without any text `!=` holds.
    pub fn holds<'a>(&self, mut texts: impl Iterator<Item = &'a str>) -> bool {
        texts.any(|t| self.pattern.matches(t)) == (self.op == Op::Equal)
    }

    /// The value, if it is neither a glob nor a regular expression.
    pub fn literal(&self) -> Option<&str> {
        match &self.pattern {
            Pattern::Literal(text) => Some(text),
            _ => None,
        }
    }

    /// Whether the value is a pattern that cannot be compiled.
    pub fn is_broken(&self) -> bool {
        matches!(self.pattern, Pattern::Broken)
    }

    /// With the mark that affinities and whitelists carry in error texts.
    pub fn with_mark(&self) -> String {
        format!("{self} (soft={})", self.soft)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            Op::Equal => "==",
            Op::NotEqual => "!=",
        };
        write!(f, "{}{op}{}", self.key, self.value)
    }
}

/// A letter or `_`, then at least one of letters, digits, `_`, `.`, `-`.
pub fn is_key(key: &str) -> bool {
    let mut bytes = key.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && key.len() > 1
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// At most one of `=`, `!`, `/`; at most one `~`; then a body.
fn is_value(value: &str) -> bool {
    let softened = |v: &str| is_body(v.strip_prefix('~').unwrap_or(v));
    softened(value) || value.strip_prefix(['=', '!', '/']).is_some_and(softened)
}

fn is_body(body: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b":-_.*/()?+[]\\^$| \t\n\r\x0c".contains(&b);
    !body.is_empty() && body.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_verified_table_accepted() {
        for (text, value, soft) in [
            ("ab==~b", "b", true),
            ("ab===b", "=b", false),
            ("ab==!b", "!b", false),
            ("ab==!~b", "!~b", false),
            ("ab==/~b", "/~b", false),
            ("ab== b", " b", false),
            ("ab==a\t\nb", "a\t\nb", false),
            ("ab==/", "/", false),
            ("ab==~/", "/", true),
            ("ab==/us\\d+/", "/us\\d+/", false),
            ("_a.B-9==x", "x", false),
        ] {
            let expr = Expr::parse(text).unwrap();
            assert_eq!((expr.value.as_str(), expr.soft, expr.op), (value, soft, Op::Equal), "{text}");
            // Nothing crashes the matcher, and a lone slash is a literal.
            assert_eq!(expr.holds(["/"].into_iter()), value == "/", "{text}");
        }
    }

    #[test]
    fn the_verified_table_refused() {
        for (text, error) in [
            ("a==b", "Key 'a' is invalid"),
            ("1a==b", "Key '1a' is invalid"),
            ("a b==b", "Key 'a b' is invalid"),
            ("a*==b", "Key 'a*' is invalid"),
            ("$ab==b", "Key '$ab' is invalid"),
            ("ab!==b", "Key 'ab!' is invalid"),
            ("ab!=b==c", "Key 'ab!=b' is invalid"),
            ("ab==~~b", "Value '~~b' is invalid"),
            ("ab==~", "Value '~' is invalid"),
            ("ab==b~", "Value 'b~' is invalid"),
            ("ab==~b~", "Value '~b~' is invalid"),
            ("ab==", "Value '' is invalid"),
            ("ab!=", "Value '' is invalid"),
            ("ab==b!=c", "Value 'b!=c' is invalid"),
            ("ab==a=b", "Value 'a=b' is invalid"),
            ("ab==b,c", "Value 'b,c' is invalid"),
            ("ab==i@sha256:a", "Value 'i@sha256:a' is invalid"),
            ("ab==a{2}", "Value 'a{2}' is invalid"),
            ("ab==é", "Value 'é' is invalid"),
            ("ab=b", "One of operator ==, != is expected"),
            ("ab=!b", "One of operator ==, != is expected"),
            ("ab", "One of operator ==, != is expected"),
            ("", "One of operator ==, != is expected"),
        ] {
            assert_eq!(Expr::parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn equal_needs_one_and_not_equal_needs_none() {
        let holds = |text: &str, offered: &[&str]| Expr::parse(text).unwrap().holds(offered.iter().copied());
        assert!(holds("ab==b", &["a", "b"]) && !holds("ab!=b", &["a", "b"]));
        assert!(!holds("ab==b", &["a"]) && holds("ab!=b", &["a"]));
        assert!(!holds("ab==*", &[]) && holds("ab!=*", &[]));
        assert!(holds("ab==*", &[""]));
        // What does not compile never matches.
        assert!(!holds("ab==foo[", &["foo["]) && holds("ab!=foo[", &["foo["]));
    }

    proptest! {
        #[test]
        fn printed_and_parsed_again_it_is_the_same(key in "[A-Za-z_][A-Za-z0-9_.-]{1,8}", op in "==|!=", soft: bool, value in "[a-z0-9:._*/()?+ |^$-]{1,12}") {
            let mark = if soft { "~" } else { "" };
            let expr = Expr::parse(&format!("{key}{op}{mark}{value}")).unwrap();
            prop_assert_eq!(expr.soft, soft);
            let again = Expr::parse(&expr.to_string()).unwrap();
            prop_assert_eq!((again.key, again.op, again.value), (expr.key, expr.op, expr.value));
        }

        #[test]
        fn no_text_is_too_strange(text in ".{0,32}", offered in ".{0,8}") {
            if let Ok(expr) = Expr::parse(&text) {
                expr.holds([offered.as_str()].into_iter());
            }
        }
    }
}
