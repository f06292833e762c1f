//! JSON, strictly: what two readers could understand differently is refused.
//!
//! Duplicate keys, trailing data, what is no UTF-8 (lone surrogates, too), deep nesting. Texts of errors name places
//! and keys, never values: those may be secrets.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserializer, Serialize, Serializer};

use crate::error::{Error, Kind, Result};

/// No honest body is nested deeper: a create is six levels deep.
const DEEPEST: usize = 24;

/// A JSON document.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Tree {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// Reads a document.
    ///
    /// # Errors
    /// `Invalid`, with what is wrong where.
    pub fn parse(bytes: &[u8]) -> Result<Tree> {
        let wrong = |e: serde_json::Error| {
            let (line, column) = (e.line(), e.column());
            let what = match e.classify() {
                serde_json::error::Category::Data => e.to_string(),
                serde_json::error::Category::Eof => {
                    format!("it ends too early, at line {line} column {column}")
                }
                _ => format!("it is no JSON at line {line} column {column}"),
            };
            Error::client(Kind::Invalid, format!("invalid request body: {what}"))
        };
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let tree = Node { depth: 0 }.deserialize(&mut reader).map_err(wrong)?;
        reader.end().map_err(wrong)?;
        Ok(tree)
    }

    /// The document as text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether it says nothing: what Go has in a field that nobody set.
    pub fn is_nothing(&self) -> bool {
        match self {
            Tree::Null => true,
            Tree::Bool(value) => !value,
            Tree::Number(number) => number.as_f64() == Some(0.0),
            Tree::Text(text) => text.is_empty(),
            Tree::List(items) => items.is_empty(),
            Tree::Map(fields) => fields.is_empty(),
        }
    }

    /// A text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Tree::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// One value at some depth.
struct Node {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Node {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        if self.depth > DEEPEST {
            return Err(D::Error::custom(format!("it is nested deeper than {DEEPEST} levels")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Tree, E> {
        let number = serde_json::Number::from_f64(value).ok_or_else(|| E::custom("a number is too large"));
        Ok(Tree::Number(number?))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Node { depth: self.depth + 1 })? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Tree, A::Error> {
        let mut map: Vec<(String, Tree)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some(key) = fields.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format!("duplicate key {key:?}")));
            }
            let value = fields.next_value_seed(Node { depth: self.depth + 1 })?;
            map.push((key, value));
        }
        Ok(Tree::Map(map))
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Tree::Null => serializer.serialize_unit(),
            Tree::Bool(value) => serializer.serialize_bool(*value),
            Tree::Number(number) => number.serialize(serializer),
            Tree::Text(text) => serializer.serialize_str(text),
            Tree::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Tree::Map(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, value) in fields {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_documents_come_out_as_they_went_in() {
        for text in ["null", "{}", r#"{"a":[1,-2,0.5,"x\n",true,null],"b":{"a":{}}}"#, "18446744073709551615"]
        {
            assert_eq!(Tree::parse(text.as_bytes()).unwrap().to_json(), text);
        }
        assert_eq!(Tree::parse(b" {\"\\u0061\":1}\n").unwrap().to_json(), r#"{"a":1}"#);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let deep = format!("{}{}", "[".repeat(30), "]".repeat(30));
        let deeper = "[".repeat(100_000);
        for (text, why) in [
            (&br#"{"a":1,"a":2}"#[..], "duplicate key"),
            (br#"{"a":1,"\u0061":2}"#, "duplicate key"),
            (br#"{"x":{"a":1,"a":1}}"#, "duplicate key"),
            (b"{} {}", "no JSON"),
            (b"{}x", "no JSON"),
            (b"", "too early"),
            (b"{\"a\":", "too early"),
            (b"{\"a\":\"\xff\"}", "no JSON"),
            (br#"{"a":"\ud800"}"#, "no JSON"),
            (b"\xef\xbb\xbf{}", "no JSON"),
            (b"{a:1}", "no JSON"),
            (b"{\"a\":1,}", "no JSON"),
            (b"{\"a\":NaN}", "no JSON"),
            (b"1e999", "no JSON"),
            (deep.as_bytes(), "deeper"),
            (deeper.as_bytes(), "deeper"),
        ] {
            let error = Tree::parse(text).unwrap_err();
            let shown = String::from_utf8_lossy(&text[..text.len().min(40)]);
            assert!(error.kind == Kind::Invalid && error.message.contains(why), "{shown}: {error}");
        }
    }
}
