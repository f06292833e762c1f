//! Query strings and the `filters` parameter. *Not* the meaning of each filter: the lists know that.

use std::collections::BTreeMap;

use serde_json::Value;

use super::reply::{Fail, fail};

/// A decoded query string; the first of equal keys counts unless all are asked for.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes.
    pub fn parse(text: &str) -> Query {
        Query(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The value, if it is there and not empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        let first = self.0.iter().find(|(k, _)| k == key);
        first.map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// All values of a repeated key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Engines read anything but these words as true.
    pub fn flag(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|v| !matches!(v.to_ascii_lowercase().as_str(), "0" | "no" | "false" | "none"))
    }

    /// Like `flag`, but true when absent.
    pub fn flag_or_true(&self, key: &str) -> bool {
        self.get(key).is_none() || self.flag(key)
    }

    /// The `filters`, each of them one of `known`.
    pub fn filters(&self, known: &[&str]) -> Result<Filters, Fail> {
        let filters = Filters::parse(self.get("filters").unwrap_or("{}"))?;
        match filters.0.keys().find(|k| !known.contains(&k.as_str())) {
            Some(unknown) => fail(400, format!("invalid filter '{unknown}'")),
            None => Ok(filters),
        }
    }
}

/// `{"label":["a","b=c"]}`, also in the form `{"label":{"a":true}}`.
#[derive(Debug, Clone, Default)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    fn parse(text: &str) -> Result<Filters, Fail> {
        let malformed = || Fail { status: 400, message: format!("invalid filter: {text}") };
        let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
            return Err(malformed());
        };
        let mut filters = BTreeMap::new();
        for (key, values) in fields {
            let values = match values {
                Value::Object(set) => {
                    set.into_iter().filter(|(_, on)| on == &Value::Bool(true)).map(|(v, _)| v).collect()
                }
                Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_string).collect(),
                _ => return Err(malformed()),
            };
            filters.insert(key, values);
        }
        Ok(Filters(filters))
    }

    /// The values of one filter; empty if it was not given.
    pub fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether a filter was given with at least one value.
    pub fn has(&self, key: &str) -> bool {
        !self.values(key).is_empty()
    }

    /// Whether the filter is absent or one of its values passes.
    pub fn any(&self, key: &str, passes: impl Fn(&str) -> bool) -> bool {
        !self.has(key) || self.values(key).iter().any(|v| passes(v))
    }

    /// All `label` filters hold: `k`, or `k=v`.
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let holds = |want: &String| match want.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
            None => labels.contains_key(want),
        };
        self.values("label").iter().all(holds) && !self.values("label!").iter().any(holds)
    }

    /// Names match a filter as a regular expression that may hit anywhere.
    pub fn name(&self, name: &str) -> bool {
        self.any("name", |want| {
            want == name
                || regex::Regex::new(want).is_ok_and(|r| r.is_match(name) || r.is_match(&format!("/{name}")))
        })
    }
}
