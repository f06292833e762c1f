//! A JSON object that is ready to be sent but for the texts of some fields: filled in while it is written, without
//! looking at the rest. For what there are tens of thousands of, and what lists are made of.
//!
//! Such objects resemble each other, so that one can be kept as its differences to another's text: see `alike`.

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;

use crate::docker::alike::{LONGEST_MODEL, Piece, differences, next, tell};
use crate::docker::json::Object;

/// The text of an object with gaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// What it is put together from, in order; see `alike`.
    pieces: Box<[u8]>,
    /// A text that has what is not told there.
    model: Option<Arc<[u8]>>,
}

impl Form {
    /// An object without the values of these fields, which are texts; it gets each that it lacks.
    pub fn of(object: &Object, keys: &[&str]) -> Form {
        let (mut pieces, mut text) = (Vec::new(), vec![b'{']);
        let mut gap = |text: &mut Vec<u8>, which: usize| {
            text.push(b'"');
            tell(Piece::Own(text), &mut pieces);
            tell(Piece::Gap(which as u8), &mut pieces);
            text.clear();
            text.push(b'"');
        };
        let mut first = true;
        let mut key_of = |key: &str, text: &mut Vec<u8>| {
            text.extend_from_slice(if std::mem::take(&mut first) { b"" } else { b"," });
            text.push(b'"');
            text.extend_from_slice(escaped(key).as_bytes());
            text.extend_from_slice(b"\":");
        };
        for (key, value) in object.iter() {
            key_of(key, &mut text);
            match keys.iter().position(|k| k.eq_ignore_ascii_case(key)) {
                Some(which) => gap(&mut text, which),
                None => text.extend_from_slice(value.as_bytes()),
            }
        }
        for (which, key) in keys.iter().enumerate().filter(|(_, key)| !object.contains(key)) {
            key_of(key, &mut text);
            gap(&mut text, which);
        }
        text.push(b'}');
        tell(Piece::Own(&text), &mut pieces);
        Form { pieces: pieces.into(), model: None }
    }

    /// Whether it is none: not even an empty object.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The same, kept as its differences to a text if that takes less than half; `None` if it does not, or is kept
    /// so already.
    pub fn like(&self, model: &Arc<[u8]>) -> Option<Form> {
        if self.model.is_some() {
            return None;
        }
        let (mut pieces, mut reached) = (Vec::with_capacity(self.pieces.len() / 2), 0);
        for piece in self.pieces() {
            match piece {
                Piece::Own(text) => differences(text, model, &mut reached, &mut pieces),
                other => tell(other, &mut pieces),
            }
        }
        let form = || Form { pieces: pieces.as_slice().into(), model: Some(Arc::clone(model)) };
        (pieces.len() * 2 < self.pieces.len()).then(form)
    }

    /// Its text as a model for others, as far as pieces can tell; `None` if it is not kept as a whole.
    pub fn as_model(&self) -> Option<Arc<[u8]>> {
        let mut text = Vec::new();
        for piece in self.pieces() {
            match piece {
                Piece::Own(own) => text.extend_from_slice(own),
                Piece::Gap(_) => {}
                Piece::Model { .. } => return None,
            }
        }
        text.truncate(LONGEST_MODEL);
        Some(text.into())
    }

    /// Appends the object with these texts, in the order of the keys.
    pub fn write(&self, texts: &[&str], out: &mut Vec<u8>) {
        let model = self.model.as_deref().unwrap_or_default();
        for piece in self.pieces() {
            match piece {
                Piece::Own(text) => out.extend_from_slice(text),
                Piece::Model { from, len } => {
                    out.extend_from_slice(model.get(from..from + len).unwrap_or_default());
                }
                Piece::Gap(which) => {
                    let text = texts.get(usize::from(which)).copied().unwrap_or_default();
                    out.extend_from_slice(escaped(text).as_bytes());
                }
            }
        }
    }

    /// Has what it is put together from brought from memory, without waiting for it: for who is about to write several.
    pub fn reach(&self) {
        const CACHE_LINE: usize = 64;
        let lines = |bytes: &[u8]| bytes.iter().step_by(CACHE_LINE).fold(0, |all, byte| all ^ byte);
        black_box((lines(&self.pieces), self.model.as_deref().map(lines)));
    }

    fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let mut rest = &self.pieces[..];
        std::iter::from_fn(move || next(&mut rest))
    }
}

/// A text as JSON has it between the quotes.
fn escaped(text: &str) -> Cow<'_, str> {
    // Most need no escapes.
    if text.bytes().all(|b| (b' '..0x7f).contains(&b) && !matches!(b, b'"' | b'\\')) {
        return Cow::Borrowed(text);
    }
    let quoted = serde_json::to_string(text).unwrap_or_default();
    let between = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Cow::Owned(between.unwrap_or_default().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(object: &str, keys: &[&str]) -> Form {
        Form::of(&Object::parse(object.as_bytes()).unwrap(), keys)
    }

    fn written(form: &Form, values: &[&str]) -> String {
        let mut out = Vec::new();
        form.write(values, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_stand_where_the_object_had_them_or_at_its_end() {
        let object = r#"{"Name":"n","New":[1.50],"Id":"i"}"#;
        assert_eq!(written(&form(object, &[]), &[]), object);
        assert_eq!(
            written(&form(object, &["id", "Name", "More"]), &["x", "y", "z"]),
            r#"{"Name":"y","New":[1.50],"Id":"x","More":"z"}"#
        );
        assert_eq!(written(&form("{}", &["Status"]), &["Up"]), r#"{"Status":"Up"}"#);
        assert_eq!(written(&form("{}", &[]), &[]), "{}");
    }

    #[test]
    fn one_that_is_kept_as_differences_reads_the_same() {
        let long = "a text that many have and that is long enough to be worth it";
        let object = |id: &str, more: &str| {
            format!(r#"{{"Id":"{id}","Text":"{long}","Status":"x","Labels":{{"a":"{long}"{more}}},"End":1}}"#)
        };
        let model = form(&object("one", ""), &["Status"]).as_model().unwrap();
        for (id, more) in [("two", ""), ("three", r#","z":"ü""#), ("one", "")] {
            let whole = form(&object(id, more), &["Status"]);
            let short = whole.like(&model).unwrap();
            assert!(short.pieces.len() * 3 < whole.pieces.len(), "{short:?}");
            assert_eq!(written(&short, &["Up"]), object(id, more).replace("\"x\"", "\"Up\""));
            assert!(short.as_model().is_none() && short.like(&model).is_none());
        }
        assert!(form(r#"{"Id":"something else altogether"}"#, &[]).like(&model).is_none());
    }

    #[test]
    fn texts_are_escaped() {
        for text in ["plain", "", "\"a\" \"b\"", "b\\", "\u{1}ü\n"] {
            assert_eq!(format!("\"{}\"", escaped(text)), serde_json::to_string(text).unwrap());
        }
    }
}
