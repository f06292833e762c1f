//! What a serving task makes of an engine's answers: they go into its ledger, and what they leave open is asked next.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::docker::json::Object;
use crate::docker::types::Glance;
use crate::engine::container::Container;
use crate::engine::inventory::Asked;
use crate::engine::questions::Answer;
use crate::engine::refresh::What;
use crate::engine::serve::Serving;

impl Serving<'_> {
    /// Takes an answer in. Returns what must be read, too, before it is the whole truth.
    pub(super) fn fold(&mut self, asked: Asked, answer: Answer) -> Option<What> {
        let mut more = None;
        let ledger = &mut self.engine.ledger;
        match answer {
            Answer::Container(id, container) => ledger.learn(asked, &id, container),
            Answer::Details(details) => more = self.on_details(asked, details),
            Answer::Entries(ids, entries) => {
                let place = self.engine.place();
                let listed: HashMap<String, Object> =
                    entries.into_iter().filter_map(|e| Some((e.get::<String>("Id")?, e))).collect();
                for id in ids {
                    let known = self.engine.ledger.container(&id);
                    let entry = known.and_then(|known| Some(known.relisted(listed.get(&id)?, &place)));
                    if entry.as_ref().is_some_and(|c| c.rough) {
                        self.rough.insert(id.clone());
                    }
                    self.engine.ledger.learn(asked, &id, entry.map(Arc::new));
                }
                self.ask_details();
            }
            Answer::Containers(entries) => {
                self.compare(asked, &entries);
                return None;
            }
            Answer::Networks(networks) => ledger.networks(networks),
            Answer::Volumes(volumes) => ledger.volumes(volumes),
            Answer::Images(images) => more = ledger.images(images).then_some(What::Containers),
            Answer::Specs(specs) => self.engine.learn_specs(*specs),
            Answer::Turn(_) => return None,
            Answer::Pong if self.engine.machine.error().is_none() => return None,
            Answer::Pong => self.engine.machine.succeeded(),
        }
        self.engine.publish();
        more
    }

    /// Holds a complete list against what is known; only what differs is read again. Cheap, for mostly nothing does, and
    /// this is asked of each engine all the time.
    fn compare(&mut self, asked: Asked, listed: &[(Glance, Box<RawValue>)]) {
        let ids: HashSet<_> = listed.iter().map(|(glance, _)| glance.id.as_str()).collect();
        let before = self.engine.node().inventory.containers.len();
        self.engine.ledger.retain(asked, |id| ids.contains(id));
        let mut changed = before != ids.len();
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
                _ => self.want(What::Container(glance.id.clone()), None),
            }
        }
        if changed {
            self.engine.publish();
        }
        self.ask_details();
    }
}

fn differs(known: &Container, listed: &Glance) -> bool {
    known.life.word() != listed.state || known.names != listed.names || *known.ports != *listed.ports
}
