//! Where a value came from, and what is wrong with one: all that error messages of the configuration need.
//!
//! Not here: the rules themselves (`keys` for single values, `check` across keys).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::keys;
use super::value::Bad;
use crate::error::{Error, Kind, Side};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// Follows from something else; the text says from what.
    Implied(&'static str),
    /// This line (from 1) of this file.
    File(PathBuf, usize),
    /// This environment variable.
    Env(&'static str),
    /// This flag, written with its dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Implied(why) => f.write_str(why),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Env(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// How messages call a key that no file, variable or flag has set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// By its place in the file: `discovery.ttl`.
    #[default]
    Native,
    /// By its flag: `--ttl`. The texts of the classic command line are kept with this.
    Classic,
}

/// For each key that is not at its default: where its value came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins {
    by_key: BTreeMap<&'static str, Origin>,
    /// How messages name keys.
    pub style: Style,
}

impl Origins {
    /// No key set yet.
    pub fn new(style: Style) -> Origins {
        Origins { by_key: BTreeMap::new(), style }
    }

    /// Where the value of `key` (like `manager.host`) came from.
    pub fn get(&self, key: &str) -> &Origin {
        self.by_key.get(key).unwrap_or(&Origin::Default)
    }

    /// Notes where the value of `key` came from; the last note wins, as the last layer does.
    pub fn set(&mut self, key: &'static str, origin: Origin) {
        self.by_key.insert(key, origin);
    }

    /// What to call `key` in a message: where the user wrote it is where they will look.
    pub fn name(&self, key: &str) -> String {
        name_of(key, self.get(key), self.style)
    }
}

fn name_of(key: &str, origin: &Origin, style: Style) -> String {
    let flag = || keys::find(key).map_or(key, |found| found.flag).to_string();
    match (style, origin) {
        (_, Origin::File(..)) => key.to_string(),
        (Style::Classic, _) => flag(),
        (Style::Native, Origin::Env(name)) => (*name).to_string(),
        (Style::Native, Origin::Flag(name)) => name.clone(),
        (Style::Native, _) => key.to_string(),
    }
}

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Where to look.
    pub origin: Origin,
    /// The key it is about; empty for a file as a whole.
    pub key: String,
    /// What is wrong, for a person.
    pub text: String,
    /// What to do next.
    pub advice: Option<String>,
}

impl Problem {
    /// A problem of a file that is not about a key we know.
    pub fn in_file(path: PathBuf, line: usize, text: impl Into<String>) -> Problem {
        Problem { origin: Origin::File(path, line), key: String::new(), text: text.into(), advice: None }
    }

    /// A value of `key` that was refused.
    pub fn of_value(key: &str, origin: &Origin, style: Style, bad: Bad) -> Problem {
        let name = name_of(key, origin, style);
        let mut text = bad.text.replace("{name}", &name);
        // Some classic texts do not say what they are about; a file has many lines, so say it there.
        if style == Style::Native && !text.contains(&name) {
            text = format!("{name}: {text}");
        }
        Problem { origin: origin.clone(), key: key.to_string(), text, advice: bad.advice }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(path, 0) => write!(f, "{}: ", path.display())?,
            Origin::File(path, line) => write!(f, "{}:{line}: ", path.display())?,
            _ => {}
        }
        f.write_str(&self.text)?;
        match &self.advice {
            Some(advice) => write!(f, " ({advice})"),
            None => Ok(()),
        }
    }
}

/// All problems as one error: one a line, in the given order. Exit code 78.
pub fn into_error(problems: &[Problem]) -> Error {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    Error::new(Side::Us, Kind::Config, lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_place_and_the_style() {
        let file = Origin::File("/c.toml".into(), 3);
        for (origin, style, name) in [
            (&file, Style::Native, "discovery.ttl"),
            (&file, Style::Classic, "discovery.ttl"),
            (&Origin::Default, Style::Classic, "--ttl"),
            (&Origin::Default, Style::Native, "discovery.ttl"),
            (&Origin::Env("X"), Style::Native, "X"),
            (&Origin::Env("X"), Style::Classic, "--ttl"),
            (&Origin::Flag("--set t".into()), Style::Native, "--set t"),
        ] {
            assert_eq!(name_of("discovery.ttl", origin, style), name, "{origin} {style:?}");
        }
    }

    #[test]
    fn a_problem_says_file_line_key_and_cure() {
        let bad = Bad::new("strategy not supported").advise("there is spread");
        let origin = Origin::File("/c.toml".into(), 3);
        let problem = Problem::of_value("manager.strategy", &origin, Style::Native, bad.clone());
        assert_eq!(
            problem.to_string(),
            "/c.toml:3: manager.strategy: strategy not supported (there is spread)"
        );
        let problem = Problem::of_value("manager.strategy", &Origin::Default, Style::Classic, bad);
        assert_eq!(problem.to_string(), "strategy not supported (there is spread)");
    }
}
