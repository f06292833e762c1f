//! How consul and etcd write bytes, keys and numbers into JSON and paths.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer};

/// What a segment of a key may carry as it is; slashes separate segments.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');

/// A key as part of a path.
pub fn path_of(key: &str) -> String {
    utf8_percent_encode(key, PLAIN).to_string()
}

/// Bytes as both stores write them into JSON.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// The least key that is greater than all keys that start with `prefix`: etcd's way to say "below".
pub fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0] // no such key: to the end of the store
}

/// For `#[serde(deserialize_with)]`: base64, or nothing.
pub fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    STANDARD.decode(text.unwrap_or_default()).map_err(serde::de::Error::custom)
}

/// As `bytes`, for text.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::from_utf8(bytes(deserializer)?).map_err(serde::de::Error::custom)
}

/// For `#[serde(deserialize_with)]`: etcd's gateway writes 64-bit numbers as strings.
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(i64),
    }
    match Either::deserialize(deserializer)? {
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
        Either::Number(number) => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_paths() {
        assert_eq!(path_of("a/b c/[::1]:2375"), "a/b%20c/%5B::1%5D:2375");
        assert_eq!(path_of("docker/swarm/nodes/10.0.0.1:2375"), "docker/swarm/nodes/10.0.0.1:2375");
    }

    #[test]
    fn a_range_ends_behind_the_last_key_with_the_prefix() {
        assert_eq!(end_of("docker/"), b"docker0");
        assert_eq!(end_of("a\u{7f}"), b"a\x80");
        assert_eq!(end_of(""), b"\0");
    }

    #[test]
    fn numbers_bytes_and_nothing() {
        #[derive(Deserialize)]
        struct Sample {
            #[serde(deserialize_with = "number")]
            n: i64,
            #[serde(deserialize_with = "text")]
            t: String,
        }
        let read = |json: &str| serde_json::from_str::<Sample>(json).map(|s| (s.n, s.t));
        assert_eq!(read(r#"{"n":"-7","t":"aGk="}"#).unwrap(), (-7, "hi".into()));
        assert_eq!(read(r#"{"n":7,"t":null}"#).unwrap(), (7, String::new()));
        assert!(read(r#"{"n":"x","t":null}"#).is_err());
        assert!(read(r#"{"n":1,"t":"*"}"#).is_err());
        assert_eq!(encode("hi"), "aGk=");
    }
}
