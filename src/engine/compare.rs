//! A complete list of an engine's containers held against what is known: only what differs is read again. Cheap, for mostly
//! nothing does, and this is asked of each engine all the time: a text that was told before is not even parsed.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::docker::json::Object;
use crate::docker::types::Glance;
use crate::engine::container::Container;
use crate::engine::ledger::Asked;
use crate::engine::refresh::What;
use crate::engine::serve::Serving;

/// What a list says that is of no interest here: `Up 3 minutes` becomes `Up 4 minutes` all by itself.
const STATUS: &str = "\"Status\":\"";

/// A number for a list but for how long its containers have been what they are; none if it is no text.
pub(super) fn fingerprint(list: &[u8]) -> Option<u64> {
    let mut pieces = std::str::from_utf8(list).ok()?.split(STATUS);
    let mut hasher = DefaultHasher::new();
    hasher.write(pieces.next()?.as_bytes());
    for piece in pieces {
        hasher.write(piece.find('"').map_or(piece, |end| &piece[end..]).as_bytes());
    }
    Some(hasher.finish())
}

impl Serving<'_> {
    /// Takes a list in. False if nothing changed, as far as it goes: what differs is about to be read.
    pub(super) fn on_list(&mut self, asked: Asked, list: &[u8]) -> bool {
        let print = fingerprint(list);
        if self.knows_all() && self.engine.ledger.agrees_with(print) {
            return false;
        }
        let read = |entry: &RawValue| serde_json::from_str(entry.get()).ok();
        let entries = match serde_json::from_slice::<Option<Vec<&RawValue>>>(list) {
            Ok(entries) => entries.unwrap_or_default(),
            Err(error) => {
                tracing::debug!(ENGINE = self.engine.node().addr, "its list of containers is none: {error}");
                self.want(What::Ping, None);
                return false;
            }
        };
        let listed: Vec<_> = entries.into_iter().filter_map(|e| Some((read(e)?, e))).collect();
        let (changed, differ) = self.compare(asked, &listed);
        if self.knows_all() && !changed && !differ {
            self.engine.ledger.agree(print);
        }
        self.ask_details();
        changed
    }

    fn knows_all(&self) -> bool {
        self.stale.is_empty() && self.rough.is_empty()
    }

    /// Whether something changed, and whether something must be read again first.
    fn compare(&mut self, asked: Asked, listed: &[(Glance, &RawValue)]) -> (bool, bool) {
        let ids: HashSet<_> = listed.iter().map(|(glance, _)| glance.id.as_str()).collect();
        let before = self.engine.node().inventory.containers.len();
        self.engine.ledger.retain(asked, |id| ids.contains(id));
        let (mut changed, mut differ) = (before != ids.len(), false);
        for (glance, entry) in listed {
            match self.engine.ledger.container(&glance.id) {
                // It is about to be read anyway.
                Some(_) if self.stale.contains(&glance.id) => {}
                Some(known) if !known.stale && !differs(known, glance) => {
                    if known.rough {
                        self.rough.insert(glance.id.clone());
                    }
                    // The image is the same, what it is called may not be.
                    if *known.image != *glance.image
                        && let Ok(entry) = Object::parse(entry.get().as_bytes())
                    {
                        let known = known.relisted(&entry, &self.engine.place());
                        self.engine.ledger.learn(asked, &glance.id, Some(Arc::new(known)));
                        changed = true;
                    }
                }
                _ => {
                    self.want(What::Container(glance.id.clone()), None);
                    differ = true;
                }
            }
        }
        (changed, differ)
    }
}

/// Whether a container is not what a list says, which is what [`crate::engine::ledger::Ledger::agree`] is about.
fn differs(known: &Container, listed: &Glance) -> bool {
    known.life.word() != listed.state || known.names != listed.names || *known.ports != *listed.ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_the_same_while_only_time_goes_by() {
        let list = |id: &str, state: &str, status: &str| {
            let entry = format!(r#"{{"Id":"{id}","State":"{state}","Status":"{status}","Names":["/x"]}}"#);
            fingerprint(format!("[{entry},{entry}]").as_bytes()).expect("a text")
        };
        let known = list("a", "running", "Up 3 minutes");
        assert_eq!(known, list("a", "running", "Up About an hour (healthy)"));
        assert_ne!(known, list("b", "running", "Up 3 minutes"));
        assert_ne!(known, list("a", "paused", "Up 3 minutes"));
        assert_ne!(fingerprint(b"[]"), fingerprint(b"null"));
        assert_eq!(fingerprint(b"[\xff]"), None);
        assert!(fingerprint(br#"[{"Status":"cut"#).is_some());
    }
}
