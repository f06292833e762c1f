//! JSON objects that keep what they do not understand, byte for byte and in order.
//!
//! An `Object` splits only the outermost level of an object. Fields that we change are replaced; all others,
//! also those of newer engines, leave exactly as they came. It is *not* a document model: a nested change is
//! made by splitting the nested object in turn.

use std::fmt;

use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Why a text could not be read, without what stands in it: that may be a password at the wrong place, and goes to the
/// log.
pub fn flaw(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // "invalid type: string \"...\", expected a sequence at line 1 column 12"
    match text.rfind(", expected ") {
        Some(at) if error.is_data() => text[at + 2..].to_string(),
        _ => text,
    }
}

/// One level of a JSON object: fields in order, values unparsed.
#[derive(Debug, Clone, Default)]
pub struct Object {
    fields: Vec<(String, Box<RawValue>)>,
}

/// The same fields in the same order, byte for byte.
impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Object {
    /// Splits a JSON object. Keys that differ only in case are refused: engines read keys without regard to
    /// case, so of two such fields they might act on the one that we did not look at.
    pub fn parse(bytes: &[u8]) -> Result<Object, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The raw text of a field; keys compare as engines compare them, without regard to ASCII case.
    pub fn raw(&self, key: &str) -> Option<&str> {
        self.position(key).map(|i| self.fields[i].1.get())
    }

    /// A field, parsed. `None` if it is absent, `null`, or of another type.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        serde_json::from_str::<Option<T>>(self.raw(key)?).ok().flatten()
    }

    /// A field as an object of its own; empty if it is absent or not an object.
    pub fn object(&self, key: &str) -> Object {
        self.get(key).unwrap_or_default()
    }

    /// Whether there is such a field, even if `null`.
    pub fn contains(&self, key: &str) -> bool {
        self.position(key).is_some()
    }

    /// Replaces a field where it stands, or appends it.
    pub fn set<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        let raw = to_raw(value);
        match self.position(key) {
            Some(i) => self.fields[i].1 = raw,
            None => self.fields.push((key.to_string(), raw)),
        }
    }

    /// Takes a field out and returns its raw text.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.position(key).map(|i| self.fields.remove(i).1.get().to_string())
    }

    /// Gives a field another key and leaves it where it stands.
    pub fn rename(&mut self, key: &str, to: &str) {
        if let Some(i) = self.position(key) {
            self.fields[i].0 = to.to_string();
        }
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(key, _)| key.as_str())
    }

    /// The fields, in order, with their raw text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(key, value)| (key.as_str(), value.get()))
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The object as JSON text.
    pub fn to_json(&self) -> String {
        to_raw(self).get().to_string()
    }

    fn position(&self, key: &str) -> Option<usize> {
        self.fields.iter().position(|(k, _)| k.eq_ignore_ascii_case(key))
    }
}

/// Serialises to a raw value. Our own types always serialise; should one not, `null` takes its place.
fn to_raw<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Object::default();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if object.contains(&key) {
                        return Err(A::Error::custom(format!("duplicate field {key:?}")));
                    }
                    object.fields.push((key, value));
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (key, value) in &self.fields {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flaw_is_told_without_what_was_said() {
        let told = |text: &str| flaw(&serde_json::from_str::<Vec<u8>>(text).unwrap_err());
        assert_eq!(told(r#""SECRET, expected nothing""#), "expected a sequence at line 1 column 26");
        assert_eq!(told("[1"), "EOF while parsing a list at line 1 column 2");
    }

    #[test]
    fn untouched_fields_leave_as_they_came() {
        let text = r#"{"Id":"a","New":{"x":1.50,"y":"\u003c"},"Names":["/n"]}"#;
        let mut object = Object::parse(text.as_bytes()).unwrap();
        object.set("Names", &["/node/n"]);
        assert_eq!(object.to_json(), r#"{"Id":"a","New":{"x":1.50,"y":"\u003c"},"Names":["/node/n"]}"#);
    }

    #[test]
    fn keys_compare_without_case_and_duplicates_are_refused() {
        let object = Object::parse(br#"{"hostconfig":{"Memory":5}}"#).unwrap();
        assert_eq!(object.object("HostConfig").get::<i64>("Memory"), Some(5));
        assert!(Object::parse(br#"{"Image":"a","image":"b"}"#).is_err());
    }

    #[test]
    fn null_and_wrong_types_read_as_absent() {
        let object = Object::parse(br#"{"a":null,"b":"text"}"#).unwrap();
        assert_eq!(object.get::<i64>("a"), None);
        assert_eq!(object.get::<i64>("b"), None);
        assert!(object.contains("a") && !object.contains("c"));
    }
}
