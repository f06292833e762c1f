//! The `filters` query parameter: `{"key":{"value":true}}`, or the older `{"key":["value"]}`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use crate::clock;
use crate::docker::types::Labels;
use crate::error::{Error, Kind, Result};

/// Largest compiled pattern, in bytes: a list call must not cost more than it is worth.
const LARGEST_PATTERN: usize = 1 << 20;

/// Parsed filters: values by key. No key, or a key without values, matches everything.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    values: BTreeMap<String, Vec<String>>,
    /// The values as regular expressions, as far as they are any. Compiled when first asked for: once for a
    /// list, not once for each of its objects.
    patterns: OnceLock<BTreeMap<String, Vec<Regex>>>,
}

impl PartialEq for Filters {
    fn eq(&self, other: &Filters) -> bool {
        self.values == other.values
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    Set(BTreeMap<String, bool>),
    List(Vec<String>),
}

impl Filters {
    /// Reads the parameter; absent or empty means no filter. Anything but the two forms is the client's error.
    pub fn parse(parameter: Option<&str>) -> Result<Filters> {
        let Some(text) = parameter.filter(|t| !t.is_empty()) else {
            return Ok(Filters::default());
        };
        let parsed: BTreeMap<String, Values> = serde_json::from_str(text)
            .map_err(|e| Error::client(Kind::Invalid, format!("invalid filter: {e}")))?;
        let values = |values| match values {
            Values::Set(set) => set.into_iter().filter(|(_, on)| *on).map(|(value, _)| value).collect(),
            Values::List(list) => list,
        };
        let values = parsed.into_iter().map(|(key, v)| (key, values(v))).collect();
        Ok(Filters { values, patterns: OnceLock::new() })
    }

    /// The values of a key.
    pub fn values(&self, key: &str) -> &[String] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether a key has any value.
    pub fn has(&self, key: &str) -> bool {
        !self.values(key).is_empty()
    }

    /// The keys that have values.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.iter().filter(|(_, values)| !values.is_empty()).map(|(key, _)| key.as_str())
    }

    /// Refuses keys that the endpoint does not know, as engines do.
    pub fn known(&self, keys: &[&str]) -> Result<()> {
        match self.values.keys().find(|key| !keys.contains(&key.as_str())) {
            Some(key) => Err(invalid(key)),
            None => Ok(()),
        }
    }

    /// Refuses values of a key that are none of these; `what` they tell of.
    pub fn one_of(&self, key: &str, what: &str, allowed: &[&str]) -> Result<()> {
        match self.values(key).iter().find(|v| !allowed.contains(&v.as_str())) {
            Some(bad) => {
                let why = format!("invalid value for {what} ({bad}): must be one of {}", allowed.join(", "));
                Err(Error { message: format!("invalid filter '{key}={bad}': {why}"), ..invalid("") })
            }
            None => Ok(()),
        }
    }

    /// The truth value of a key; `None` if it is absent.
    pub fn truth(&self, key: &str) -> Result<Option<bool>> {
        match self.values(key).iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [] => Ok(None),
            ["true" | "1"] => Ok(Some(true)),
            ["false" | "0"] => Ok(Some(false)),
            bad => Err(invalid(&format!("{key}=[{}]", bad.join(" ")))),
        }
    }

    /// The moment that a key tells, in nanoseconds since the epoch; `now` is what durations count back from.
    pub fn moment(&self, key: &str, now: i64) -> Result<Option<i64>> {
        match self.values(key) {
            [] => Ok(None),
            [one] => match clock::parse_moment(one, now) {
                Some(moment) => Ok(Some(moment)),
                None => Err(invalid(&format!("{key}={one}"))),
            },
            _ => Err(Error::client(Kind::Invalid, format!("more than one {key} filter specified"))),
        }
    }

    /// Adds a value.
    pub fn add(&mut self, key: &str, value: &str) {
        self.values.entry(key.to_string()).or_default().push(value.to_string());
        self.patterns.take();
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) {
        self.values.remove(key);
        self.patterns.take();
    }

    /// No values, or one of them equals `text`.
    pub fn exact(&self, key: &str, text: &str) -> bool {
        !self.has(key) || self.values(key).iter().any(|v| v == text)
    }

    /// No values, or one of them equals `text` or matches it as an unanchored regular expression. A value
    /// that is no regular expression only compares.
    pub fn pattern(&self, key: &str, text: &str) -> bool {
        let matches = || self.compiled().get(key).is_some_and(|all| all.iter().any(|r| r.is_match(text)));
        self.exact(key, text) || matches()
    }

    fn compiled(&self) -> &BTreeMap<String, Vec<Regex>> {
        let compile = |value: &String| RegexBuilder::new(value).size_limit(LARGEST_PATTERN).build().ok();
        self.patterns.get_or_init(|| {
            let keys = self.values.iter();
            keys.map(|(key, values)| (key.clone(), values.iter().filter_map(compile).collect())).collect()
        })
    }

    /// Every `k` or `k=v` given is among the labels.
    pub fn labels(&self, key: &str, labels: &Labels) -> bool {
        self.labelled(key, |k| labels.get(k).map(String::as_str))
    }

    /// The same for labels that are looked up in some other way.
    pub fn labelled<'a>(&self, key: &str, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.values(key).iter().all(|wanted| match wanted.split_once('=') {
            Some((k, v)) => label(k) == Some(v),
            None => label(wanted).is_some(),
        })
    }

    /// The parameter's text in the newer form; engines of every age read it.
    pub fn to_json(&self) -> String {
        let set = |values: &Vec<String>| values.iter().map(|v| (v.clone(), true)).collect::<BTreeMap<_, _>>();
        let all: BTreeMap<_, _> = self.values.iter().map(|(k, v)| (k, set(v))).collect();
        serde_json::to_string(&all).unwrap_or_default()
    }

    /// Whether there are no filters at all.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// An engine's words.
fn invalid(what: &str) -> Error {
    Error::client(Kind::Invalid, format!("invalid filter '{what}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_read_the_same() {
        let new = Filters::parse(Some(r#"{"label":{"a=b":true,"c":true,"off":false}}"#)).unwrap();
        let old = Filters::parse(Some(r#"{"label":["a=b","c"]}"#)).unwrap();
        assert_eq!(new, old);
        let labels = Labels::from([("a".into(), "b".into()), ("c".into(), String::new())]);
        assert!(new.labels("label", &labels));
        assert!(!new.labels("label", &Labels::from([("a".into(), "x".into())])));
    }

    #[test]
    fn patterns_are_unanchored_and_absent_keys_match() {
        let f = Filters::parse(Some(r#"{"name":["web.*1","a["]}"#)).unwrap();
        assert!(f.pattern("name", "my-web-01") && f.pattern("name", "a[") && !f.pattern("name", "db"));
        assert!(f.exact("node", "anything"));
    }

    #[test]
    fn unknown_keys_and_values_are_refused_in_an_engines_words() {
        let f = Filters::parse(Some(r#"{"type":["odd"],"dangling":["1"],"until":["10m"]}"#)).unwrap();
        assert_eq!(f.known(&["type"]).unwrap_err().message, "invalid filter 'dangling'");
        assert_eq!(
            f.one_of("type", "kind", &["a", "b"]).unwrap_err().message,
            "invalid filter 'type=odd': invalid value for kind (odd): must be one of a, b"
        );
        assert_eq!(f.truth("type").unwrap_err().message, "invalid filter 'type=[odd]'");
        assert_eq!((f.truth("dangling").unwrap(), f.truth("x").unwrap()), (Some(true), None));
        assert_eq!(f.moment("until", 600_000_000_001).unwrap(), Some(1));
        assert!(f.moment("type", 0).is_err());
    }

    #[test]
    fn nonsense_is_the_clients_error() {
        for text in ["[", "{\"a\":1}", "[]", "{\"a\":{\"b\":2}}"] {
            assert!(Filters::parse(Some(text)).is_err(), "{text}");
        }
        assert!(Filters::parse(Some("")).unwrap().is_empty());
    }
}
