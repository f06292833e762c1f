//! The classic parser of flags: one or two dashes, positionals before flags, last one wins.
//!
//! It knows flags only as a table; what they mean is in `classic` and `native`. Deviations of the classic
//! tool that only hid mistakes (extra positionals) are dealt with there too.

/// One flag.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// All names without dashes; the first is the one shown first.
    pub names: &'static [&'static str],
    /// What it takes.
    pub takes: Takes,
    /// Default for the help; empty for none.
    pub default: &'static str,
    /// Environment variable for the help; empty for none.
    pub env: &'static str,
    /// What it does, one line.
    pub help: &'static str,
    /// The configuration key it sets; empty when it is more than another spelling of a key.
    pub key: &'static str,
}

/// What follows a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing, or `=BOOL`.
    Switch,
    /// A value; the last one wins.
    One,
    /// An integer; the last one wins.
    Number,
    /// A value; all are kept.
    Many,
}

/// Tables of flags, as one command has them.
pub type Tables = &'static [&'static [Flag]];

/// What was given.
#[derive(Debug, Default, Clone)]
pub struct Parsed {
    given: Vec<(&'static Flag, String)>,
    /// What is no flag.
    pub positionals: Vec<String>,
}

impl Parsed {
    /// Whether the flag with this first name was given.
    pub fn has(&self, name: &str) -> bool {
        self.last(name).is_some()
    }

    /// The last value.
    pub fn last(&self, name: &str) -> Option<&str> {
        let mut hits = self.given.iter().rev().filter(|(flag, _)| flag.names[0] == name);
        hits.next().map(|(_, value)| value.as_str())
    }

    /// All values.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let hits = self.given.iter().filter(|(flag, _)| flag.names[0] == name);
        hits.map(|(_, value)| value.as_str()).collect()
    }

    /// The last value of a switch; `None` when it was not given.
    pub fn switch(&self, name: &str) -> Option<bool> {
        self.last(name).and_then(crate::config::units::parse_boolean)
    }

    /// Each flag that was given, once.
    pub fn flags(&self) -> Vec<&'static Flag> {
        let mut flags: Vec<&'static Flag> = Vec::new();
        for (flag, _) in &self.given {
            if !flags.iter().any(|seen| seen.names == flag.names) {
                flags.push(flag);
            }
        }
        flags
    }
}

/// Reads flags up to the first word that is none; the rest is positional.
///
/// # Errors
/// The text of the classic tool.
pub fn leading(tables: Tables, args: &[String]) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let mut spelled: Vec<(&'static Flag, &'static str)> = Vec::new();
    let mut rest = args;
    while let Some((word, tail)) = rest.split_first() {
        if word.len() < 2 || !word.starts_with('-') {
            break;
        }
        rest = tail;
        if word == "--" {
            break;
        }
        let bare = &word[if word.starts_with("--") { 2 } else { 1 }..];
        if bare.starts_with(['-', '=']) {
            return Err(format!("bad flag syntax: {word}"));
        }
        let (name, inline) = match bare.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (bare, None),
        };
        let (flag, name) =
            find(tables, name).ok_or_else(|| format!("flag provided but not defined: -{name}"))?;
        let value = match (flag.takes, inline) {
            (_, Some(value)) => value,
            (Takes::Switch, None) => "true".to_string(),
            (_, None) => {
                let (next, tail) =
                    rest.split_first().ok_or_else(|| format!("flag needs an argument: -{name}"))?;
                rest = tail;
                next.clone()
            }
        };
        well_formed(flag, name, &value)?;
        spelled.push((flag, name));
        parsed.given.push((flag, value));
    }
    parsed.positionals = rest.to_vec();
    one_spelling(&spelled)?;
    Ok(parsed)
}

/// Reads what follows a command: words before the first flag count as if they stood behind the flags.
///
/// # Errors
/// As [`leading`].
pub fn command(tables: Tables, args: &[String]) -> Result<Parsed, String> {
    let is_flag = |word: &String| word.len() > 1 && word.starts_with('-');
    let first = args.iter().position(is_flag).unwrap_or(args.len());
    let (before, flags) = args.split_at(first);
    let mut parsed = leading(tables, flags)?;
    parsed.positionals.splice(0..0, before.iter().cloned());
    Ok(parsed)
}

/// Reads flags and words in any order, for the commands that the classic tool did not have; `--` ends the flags.
///
/// # Errors
/// As [`leading`].
pub fn mixed(tables: Tables, args: &[String]) -> Result<Parsed, String> {
    let end = args.iter().position(|word| word == "--").unwrap_or(args.len());
    let (mut rest, behind) = (args[..end].to_vec(), args.get(end + 1..).unwrap_or_default());
    let mut parsed = Parsed::default();
    while !rest.is_empty() {
        let part = leading(tables, &rest)?;
        parsed.given.extend(part.given);
        let (word, tail) = part.positionals.split_at(part.positionals.len().min(1));
        parsed.positionals.extend_from_slice(word);
        rest = tail.to_vec();
    }
    parsed.positionals.extend_from_slice(behind);
    Ok(parsed)
}

fn find(tables: Tables, name: &str) -> Option<(&'static Flag, &'static str)> {
    let mut all = tables.iter().flat_map(|table| table.iter());
    all.find_map(|flag| {
        let hit = flag.names.iter().find(|known| **known == name);
        hit.map(|known| (flag, *known))
    })
}

fn well_formed(flag: &Flag, name: &str, value: &str) -> Result<(), String> {
    use crate::config::units::{parse_boolean, parse_integer};
    match flag.takes {
        Takes::Switch if parse_boolean(value).is_none() => {
            Err(format!("invalid boolean value {value:?} for -{name}: parse error"))
        }
        Takes::Number if parse_integer(value).is_none() => {
            Err(format!("invalid value {value:?} for flag -{name}: parse error"))
        }
        _ => Ok(()),
    }
}

/// Two names of one flag together are an error, since it is unclear which one should count.
fn one_spelling(spelled: &[(&'static Flag, &'static str)]) -> Result<(), String> {
    for (flag, _) in spelled {
        let used = |name: &&&str| spelled.iter().any(|(of, by)| of.names == flag.names && by == *name);
        let forms: Vec<&&str> = flag.names.iter().filter(used).collect();
        if let [first, second, ..] = forms.as_slice() {
            return Err(format!("Cannot use two forms of the same flag: {second} {first}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn flag(names: &'static [&'static str], takes: Takes) -> Flag {
        Flag { names, takes, default: "", env: "", help: "", key: "" }
    }

    static TABLE: Tables = &[
        &[flag(&["advertise", "addr"], Takes::One), flag(&["opt"], Takes::Many)],
        &[flag(&["tls"], Takes::Switch), flag(&["retry"], Takes::Number)],
    ];

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_string).collect()
    }

    #[test]
    fn what_is_accepted() {
        for (line, addr, opts, tls, rest) in [
            ("-advertise a D", Some("a"), vec![], None, vec!["D"]),
            ("--advertise=a D", Some("a"), vec![], None, vec!["D"]),
            ("D --addr a", Some("a"), vec![], None, vec!["D"]),
            ("--addr a --addr b", Some("b"), vec![], None, vec![]),
            ("-opt x --opt=y -opt z", None, vec!["x", "y", "z"], None, vec![]),
            ("--tls true", None, vec![], Some(true), vec!["true"]),
            ("--tls=f D", None, vec![], Some(false), vec!["D"]),
            ("--tls D --addr a", None, vec![], Some(true), vec!["D", "--addr", "a"]),
            ("--tls -- --addr a", None, vec![], Some(true), vec!["--addr", "a"]),
            ("D --tls -- E", None, vec![], Some(true), vec!["D", "E"]),
            ("--addr -1s", Some("-1s"), vec![], None, vec![]),
            ("- --tls", None, vec![], Some(true), vec!["-"]),
            ("--addr= D", Some(""), vec![], None, vec!["D"]),
            ("--opt a=b=c", None, vec!["a=b=c"], None, vec![]),
            ("--retry 0x10", None, vec![], None, vec![]),
        ] {
            let parsed = command(TABLE, &words(line)).unwrap();
            assert_eq!(parsed.last("advertise"), addr, "{line}");
            assert_eq!(parsed.all("opt"), opts, "{line}");
            assert_eq!(parsed.switch("tls"), tls, "{line}");
            assert_eq!(parsed.positionals, rest, "{line}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (line, error) in [
            ("--bogus", "flag provided but not defined: -bogus"),
            ("-bogus=3", "flag provided but not defined: -bogus"),
            ("D --addr", "flag needs an argument: -addr"),
            ("---tls", "bad flag syntax: ---tls"),
            ("--=x", "bad flag syntax: --=x"),
            ("--tls=yes", "invalid boolean value \"yes\" for -tls: parse error"),
            ("--retry x", "invalid value \"x\" for flag -retry: parse error"),
            ("--advertise a --addr b", "Cannot use two forms of the same flag: addr advertise"),
            ("--addr b --advertise a", "Cannot use two forms of the same flag: addr advertise"),
        ] {
            assert_eq!(command(TABLE, &words(line)).unwrap_err(), error, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_command_line_panics(args in proptest::collection::vec("[-=a-z ]{0,8}", 0..6)) {
            let _ = command(TABLE, &args);
        }
    }
}
