//! Whatever passes for a deployer: a reader like Go's, which takes keys without regard to case and the last of several,
//! sees nothing in it that is forbidden.
//!
//! The reader is written for this test, from Go's rules, and knows nothing of the forms.

use proptest::prelude::*;
use serde_json::Value;

use super::forms::{Form, check};
use crate::config::Access;

/// All of a document's pairs in the order in which they stand, which `Value` does not keep.
#[derive(Debug)]
enum Go {
    Map(Vec<(String, Go)>),
    Other(Value),
}

impl<'de> serde::Deserialize<'de> for Go {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Go, D::Error> {
        struct Seen;
        impl<'de> serde::de::Visitor<'de> for Seen {
            type Value = Vec<(String, Go)>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    let raw: Box<serde_json::value::RawValue> = map.next_value()?;
                    let value = serde_json::from_str(raw.get()).map_err(serde::de::Error::custom)?;
                    pairs.push((key, value));
                }
                Ok(pairs)
            }
        }
        let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        if text.trim_start().starts_with('{') {
            let mut inner = serde_json::Deserializer::from_str(text);
            return serde::Deserializer::deserialize_map(&mut inner, Seen)
                .map(Go::Map)
                .map_err(serde::de::Error::custom);
        }
        serde_json::from_str(text).map(Go::Other).map_err(serde::de::Error::custom)
    }
}

/// Unicode simple folding, as far as it leads to ASCII.
fn folds(a: &str, b: &str) -> bool {
    let lower = |s: &str| s.replace('\u{17f}', "s").replace('\u{212a}', "k").to_lowercase();
    lower(a) == lower(b)
}

impl Go {
    /// The field as Go's decoder leaves it: the last one that is not `null`.
    fn field(&self, name: &str) -> Option<&Go> {
        let Go::Map(pairs) = self else { return None };
        let mut all = pairs.iter().filter(|(key, _)| folds(key, name)).map(|(_, value)| value);
        all.rfind(|value| !matches!(value, Go::Other(Value::Null)))
    }

    /// Every object that the decoder may put into this field: it merges those that stand there several times.
    fn fields(&self, name: &str) -> Vec<&Go> {
        let Go::Map(pairs) = self else { return Vec::new() };
        pairs.iter().filter(|(key, _)| folds(key, name)).map(|(_, value)| value).collect()
    }

    fn text(&self, name: &str) -> String {
        match self.field(name) {
            Some(Go::Other(Value::String(text))) => text.clone(),
            _ => String::new(),
        }
    }

    fn list(&self, name: &str) -> Vec<Value> {
        match self.field(name) {
            Some(Go::Other(Value::Array(items))) => items.clone(),
            _ => Vec::new(),
        }
    }
}

/// What an engine would do with it that it must not.
fn forbidden(host: &Go) -> Option<String> {
    let truth = matches!(host.field("Privileged"), Some(Go::Other(Value::Bool(true))));
    if truth {
        return Some("privileged".into());
    }
    for mode in ["NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode", "CgroupnsMode"] {
        let value = host.text(mode);
        if value == "host" || value.starts_with("container:") {
            return Some(format!("{mode} {value}"));
        }
    }
    let bind =
        |b: &Value| b.as_str().is_some_and(|b| b.split_once(':').is_some_and(|(s, _)| s.contains("/etc")));
    if host.list("Binds").iter().any(bind) {
        return Some("binds".into());
    }
    let is_bind = |m: &Value| {
        let pairs = m.as_object().into_iter().flatten();
        pairs.filter(|(k, _)| folds(k, "Type")).any(|(_, v)| v == "bind")
    };
    if host.list("Mounts").iter().any(is_bind) {
        return Some("mounts".into());
    }
    ["Devices", "DeviceRequests", "VolumesFrom"]
        .into_iter()
        .find(|name| !host.list(name).is_empty())
        .map(str::to_string)
        .or_else(|| host.list("CapAdd").iter().any(|c| c == "SYS_ADMIN").then(|| "capabilities".into()))
}

/// A key in some spelling that Go takes for it, escapes included, or one that it does not.
fn spelled(name: &'static str) -> impl Strategy<Value = String> {
    let letter = |c: char, how: u8| match (c.to_ascii_lowercase(), how) {
        (_, 0) => c.to_string(),
        (_, 1) => c.to_ascii_lowercase().to_string(),
        (_, 2) => c.to_ascii_uppercase().to_string(),
        (_, 3) => format!("\\u{:04x}", u32::from(c)),
        ('s', 4) => "\u{17f}".to_string(),
        ('s', 5) => "\\u017f".to_string(),
        ('k', 4) => "\u{212a}".to_string(),
        ('k', 5) => "\\u212a".to_string(),
        ('i', 5) => "\u{131}".to_string(),
        _ => c.to_string(),
    };
    prop::collection::vec(0..6u8, name.len())
        .prop_map(move |hows| name.chars().zip(hows).map(|(c, how)| letter(c, how)).collect())
}

/// A pair of a `HostConfig`, harmless or not.
fn pair() -> impl Strategy<Value = String> {
    let pairs: Vec<(&'static str, Vec<&'static str>)> = vec![
        ("Privileged", vec!["true", "false", "null", "\"true\"", "1"]),
        ("NetworkMode", vec!["\"host\"", "\"bridge\"", "\"container:x\"", "null", "\"\""]),
        ("PidMode", vec!["\"host\"", "\"\"", "null"]),
        ("IpcMode", vec!["\"host\"", "\"private\""]),
        ("UTSMode", vec!["\"host\"", "\"\""]),
        ("UsernsMode", vec!["\"host\"", "\"\""]),
        ("CgroupnsMode", vec!["\"host\"", "\"private\""]),
        ("Binds", vec!["[\"/etc:/x\"]", "[\"data:/x\"]", "[]", "[\"pi//etc:/x\"]", "[\"/etc/../etc:/x\"]"]),
        (
            "Mounts",
            vec![
                "[{\"Type\":\"bind\",\"Source\":\"/etc\"}]",
                "[{\"type\":\"tmpfs\",\"TYPE\":\"bind\"}]",
                "[]",
            ],
        ),
        ("Devices", vec!["[{}]", "[]", "null"]),
        ("VolumesFrom", vec!["[\"x\"]", "null"]),
        ("CapAdd", vec!["[\"SYS_ADMIN\"]", "[\"CHOWN\"]"]),
        ("Memory", vec!["5", "0"]),
    ];
    prop::sample::select(pairs).prop_flat_map(|(name, values)| {
        (spelled(name), prop::sample::select(values)).prop_map(|(key, value)| format!("\"{key}\":{value}"))
    })
}

fn body() -> impl Strategy<Value = String> {
    let host = || {
        (spelled("HostConfig"), prop::collection::vec(pair(), 0..5))
            .prop_map(|(key, pairs)| format!("\"{key}\":{{{}}}", pairs.join(",")))
    };
    let member = prop_oneof![3 => host(), 1 => pair(), 1 => Just("\"Image\":\"a\"".to_string())];
    let end = prop::sample::select(vec!["", " ", "\n", "{}", "x", ",", "\u{0}"]);
    (prop::collection::vec(member, 0..4), end).prop_map(|(all, end)| format!("{{{}}}{end}", all.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_passes_holds_nothing_forbidden(body in body()) {
        if let Ok(checked) = check(Form::Create, body.as_bytes(), &Access::default()) {
            let go: Go = serde_json::from_str(&checked.body).unwrap();
            // Older engines take the same fields outside of `HostConfig`.
            prop_assert_eq!(forbidden(&go), None, "{}", body);
            for host in go.fields("HostConfig") {
                prop_assert_eq!(forbidden(host), None, "{}", body);
            }
            // Written once, nothing is left to be changed.
            let again = check(Form::Create, checked.body.as_bytes(), &Access::default()).unwrap();
            prop_assert_eq!(again.body, checked.body);
        }
    }

    #[test]
    fn harmless_bodies_pass_however_they_are_spelled(key in spelled("HostConfig"), inner in spelled("Memory")) {
        let body = format!("{{\"{key}\":{{\"{inner}\":5}}}}");
        let known = !key.contains('\u{131}') && !inner.contains('\u{131}');
        prop_assert_eq!(check(Form::Create, body.as_bytes(), &Access::default()).is_ok(), known, "{}", body);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for form in [Form::Create, Form::Exec, Form::Volume, Form::Network, Form::Nothing] {
            let _ = check(form, &bytes, &Access::default());
        }
    }
}

/// The reader of this test does see what it should.
#[test]
fn the_reader_sees_forbidden_things() {
    for body in [
        r#"{"PRIVILEGED":true}"#,
        r#"{"Privileged":false,"privileged":true}"#,
        r#"{"privileged":true,"Privileged":null}"#,
        "{\"networ\u{212a}mode\":\"host\"}",
        r#"{"Mounts":[{"TYPE":"bind"}]}"#,
        r#"{"\u0042inds":["/etc:/x"]}"#,
    ] {
        assert!(forbidden(&serde_json::from_str(body).unwrap()).is_some(), "{body}");
    }
    assert!(forbidden(&serde_json::from_str(r#"{"Memory":1}"#).unwrap()).is_none());
}
