//! A JSON object that is ready to be sent but for the values of some fields: filled in while it is written, without
//! looking at the rest. For what there are tens of thousands of, and what lists are made of.

use crate::docker::json::Object;

/// The text of an object with gaps.
#[derive(Debug, Clone, Default)]
pub struct Form {
    text: Box<str>,
    /// Where each gap is, in the order of the text, and which of the values goes there.
    gaps: Box<[(u32, u8)]>,
}

impl Form {
    /// An object without the values of these fields, each of which it gets if it has none.
    pub fn of(object: &Object, keys: &[&str]) -> Form {
        let mut text = String::from("{");
        let mut gaps = Vec::with_capacity(keys.len());
        let mut gap = |at: usize, key: usize| gaps.push((at as u32, key as u8));
        for (key, value) in object.iter() {
            write_key(key, &mut text);
            match keys.iter().position(|k| k.eq_ignore_ascii_case(key)) {
                Some(which) => gap(text.len(), which),
                None => text.push_str(value),
            }
        }
        for (which, key) in keys.iter().enumerate().filter(|(_, key)| !object.contains(key)) {
            write_key(key, &mut text);
            gap(text.len(), which);
        }
        text.push('}');
        Form { text: text.into(), gaps: gaps.into() }
    }

    /// Whether it is none: not even an empty object.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Appends the object with these values, which are JSON texts in the order of the keys.
    pub fn write(&self, values: &[&str], out: &mut Vec<u8>) {
        let mut from = 0;
        for (at, which) in &self.gaps {
            out.extend_from_slice(&self.text.as_bytes()[from..*at as usize]);
            out.extend_from_slice(values.get(*which as usize).map_or(b"null", |v| v.as_bytes()));
            from = *at as usize;
        }
        out.extend_from_slice(&self.text.as_bytes()[from..]);
    }
}

fn write_key(key: &str, text: &mut String) {
    if text.len() > 1 {
        text.push(',');
    }
    text.push_str(&quoted(key));
    text.push(':');
}

/// A text as JSON has it.
pub fn quoted(text: &str) -> String {
    // Most need no escapes.
    match text.bytes().all(|b| (b' '..0x7f).contains(&b) && !matches!(b, b'"' | b'\\')) {
        true => format!("\"{text}\""),
        false => serde_json::to_string(text).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(object: &str, keys: &[&str], values: &[&str]) -> String {
        let form = Form::of(&Object::parse(object.as_bytes()).unwrap(), keys);
        let mut out = Vec::new();
        form.write(values, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_stand_where_the_object_had_them_or_at_its_end() {
        let object = r#"{"Name":"n","New":[1.50],"Id":"i"}"#;
        assert_eq!(written(object, &[], &[]), object);
        assert_eq!(
            written(object, &["id", "Name", "More"], &["\"x\"", "\"y\"", "{}"]),
            r#"{"Name":"y","New":[1.50],"Id":"x","More":{}}"#
        );
        assert_eq!(written("{}", &["Status"], &["\"Up\""]), r#"{"Status":"Up"}"#);
    }

    #[test]
    fn texts_are_quoted() {
        for text in ["plain", "", "a \"b\"\\", "\u{1}ü\n"] {
            assert_eq!(quoted(text), serde_json::to_string(text).unwrap());
        }
    }
}
