//! A value as it came from a file, the environment or a flag, before it is known to be right.
//!
//! The readers turn it into what a key needs. They know units, not keys: texts contain `{name}` where the
//! key or flag belongs, and [`super::problem`] puts that in.

use std::collections::BTreeMap;
use std::time::Duration;

use super::names::{Named, nearest};
use super::units;

/// An unchecked value.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Value>),
    Table(BTreeMap<String, Value>),
    /// TOML has it and no key of ours takes it (a date); the word names it.
    Other(&'static str),
}

/// Why a value cannot be taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Bad {
    /// The classic text where there is one; `{name}` stands for the key or flag.
    pub text: String,
    /// What to do next.
    pub advice: Option<String>,
}

impl Bad {
    /// A text without advice.
    pub fn new(text: impl Into<String>) -> Bad {
        Bad { text: text.into(), advice: None }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Bad {
        self.advice = Some(advice.into());
        self
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_string())
    }
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Boolean(_) => "a boolean",
            Value::List(_) => "an array",
            Value::Table(_) => "a table",
            Value::Other(word) => word,
        }
    }

    fn mismatch(&self, wanted: &str) -> Bad {
        Bad::new(format!("{{name}} must be {wanted}, not {}", self.kind()))
    }

    /// A string.
    pub fn text(&self) -> Result<String, Bad> {
        match self {
            Value::Text(text) => Ok(text.clone()),
            other => Err(other.mismatch("a string")),
        }
    }

    /// A string, where the empty one means "not set".
    pub fn optional(&self) -> Result<Option<String>, Bad> {
        self.text().map(|text| Some(text).filter(|text| !text.is_empty()))
    }

    /// `true` or `false`; from text the words of Go's flags.
    pub fn boolean(&self) -> Result<bool, Bad> {
        match self {
            Value::Boolean(value) => Ok(*value),
            Value::Text(text) => units::parse_boolean(text)
                .ok_or_else(|| Bad::new(format!("{{name}} must be true or false, not {text:?}"))),
            other => Err(other.mismatch("true or false")),
        }
    }

    /// An integer; from text decimal, `0x…` or `0…`.
    pub fn integer(&self) -> Result<i64, Bad> {
        match self {
            Value::Integer(value) => Ok(*value),
            Value::Text(text) => units::parse_integer(text)
                .ok_or_else(|| Bad::new(format!("{{name}} must be an integer, not {text:?}"))),
            other => Err(other.mismatch("an integer")),
        }
    }

    /// A finite number.
    #[allow(clippy::cast_precision_loss)]
    pub fn float(&self) -> Result<f64, Bad> {
        let number = match self {
            Value::Float(value) => Some(*value),
            Value::Integer(value) => Some(*value as f64),
            Value::Text(text) => text.parse().ok(),
            other => return Err(other.mismatch("a number")),
        };
        number.filter(|value| value.is_finite()).ok_or_else(|| Bad::new("{name} must be a number"))
    }

    /// Signed nanoseconds from Go syntax; integers of a file are seconds.
    pub fn nanos(&self) -> Result<i64, Bad> {
        match self {
            Value::Integer(seconds) => seconds
                .checked_mul(1_000_000_000)
                .ok_or_else(|| Bad::new(format!("invalid {{name}}: {seconds} seconds is out of range"))),
            Value::Text(text) => units::parse_nanos(text).map_err(|why| {
                Bad::new(format!("invalid {{name}}: {why}")).advise("write for example 30s or 1m30s")
            }),
            other => Err(other.mismatch("a duration like \"1m30s\" or a number of seconds")),
        }
    }

    /// A duration of at least `least`; below it, the text `too_short`.
    pub fn duration(&self, least: Duration, too_short: &str) -> Result<Duration, Bad> {
        let signed = self.nanos()?;
        u64::try_from(signed)
            .ok()
            .map(Duration::from_nanos)
            .filter(|duration| *duration >= least)
            .ok_or_else(|| Bad::new(too_short))
    }

    /// A list of strings; one string counts as a list of one.
    pub fn list(&self) -> Result<Vec<String>, Bad> {
        match self {
            Value::Text(text) => Ok(vec![text.clone()]),
            Value::List(items) => {
                items.iter().map(|item| item.text().map_err(|_| self.mismatch_of(item))).collect()
            }
            other => Err(other.mismatch("a list of strings")),
        }
    }

    fn mismatch_of(&self, item: &Value) -> Bad {
        Bad::new(format!("{{name}} must be a list of strings, and one item is {}", item.kind()))
    }

    /// Options: a table of strings, or a list of `key=value` where the last of equal keys wins.
    pub fn options(&self) -> Result<BTreeMap<String, String>, Bad> {
        if let Value::Table(table) = self {
            let pair = |(key, value): (&String, &Value)| match value.text() {
                Ok(text) => Ok((key.clone(), text)),
                Err(_) => Err(value.mismatch("a table of strings")),
            };
            return table.iter().map(pair).collect();
        }
        let pair = |item: String| match item.split_once('=') {
            Some((key, value)) => Ok((key.to_string(), value.to_string())),
            None => Err(Bad::new("{name} must contain key=value strings")),
        };
        self.list()?.into_iter().map(pair).collect()
    }

    /// One of the words of `T`; else `refusal`, with the known words as advice.
    pub fn named<T: Named>(&self, refusal: &str) -> Result<T, Bad> {
        let text = self.text()?;
        T::from_word(&text).ok_or_else(|| {
            let advice = match nearest(&text, T::WORDS.iter().map(|(word, _)| *word)) {
                Some(word) => format!("{text:?} is unknown; did you mean {word:?}?"),
                None => format!("{text:?} is unknown; there is {}", T::list()),
            };
            Bad::new(refusal.replace("{value}", &text)).advise(advice)
        })
    }
}

/// A TOML basic string.
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_string()).to_string()
}

/// A TOML array of strings.
pub fn quoted_list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.map(|item| quoted(&item)).collect();
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::Strategy;
    use super::*;

    #[test]
    fn readers_take_what_users_write() {
        assert_eq!(Value::Integer(90).nanos(), Ok(90_000_000_000));
        assert_eq!(Value::from("1m30s").nanos(), Ok(90_000_000_000));
        assert_eq!(Value::from("0x10").integer(), Ok(16));
        assert_eq!(Value::Integer(1).float(), Ok(1.0));
        assert_eq!(Value::from("").optional(), Ok(None));
        assert_eq!(Value::from("x").list(), Ok(vec!["x".to_string()]));
        let options = Value::List(vec!["a=1".into(), "b=x=y".into(), "a=2".into()]).options();
        assert_eq!(options, Ok(BTreeMap::from([("a".into(), "2".into()), ("b".into(), "x=y".into())])));
    }

    #[test]
    fn readers_say_what_is_wrong() {
        let text = |bad: Bad| bad.text;
        for (found, error) in [
            (Value::Boolean(true).text().map_err(text).err(), "{name} must be a string, not a boolean"),
            (Value::from("yes").boolean().map_err(text).err(), "{name} must be true or false, not \"yes\""),
            (Value::from("inf").float().map_err(text).err(), "{name} must be a number"),
            (
                Value::List(vec![Value::Integer(1)]).list().map_err(text).err(),
                "{name} must be a list of strings, and one item is an integer",
            ),
            (Value::from("novalue").options().map_err(text).err(), "{name} must contain key=value strings"),
            (
                Value::Integer(i64::MAX).nanos().map_err(text).err(),
                "invalid {name}: 9223372036854775807 seconds is out of range",
            ),
        ] {
            assert_eq!(found.as_deref(), Some(error));
        }
        let bad = Value::from("spraed").named::<Strategy>("strategy not supported");
        assert_eq!(
            bad.unwrap_err().advice.as_deref(),
            Some("\"spraed\" is unknown; did you mean \"spread\"?")
        );
    }
}
