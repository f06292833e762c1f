//! What a serving task makes of an engine's answers: they go into its ledger, and what they leave open is asked next.

use std::collections::HashMap;
use std::sync::Arc;

use crate::docker::json::Object;
use crate::engine::ledger::Asked;
use crate::engine::questions::Answer;
use crate::engine::refresh::What;
use crate::engine::serve::Serving;

impl Serving<'_> {
    /// Takes an answer in. Returns what must be read, too, before it is the whole truth.
    pub(super) fn fold(&mut self, asked: Asked, answer: Answer) -> Option<What> {
        let mut more = None;
        let ledger = &mut self.engine.ledger;
        let changed = match answer {
            Answer::Container(id, container) => {
                ledger.learn(asked, &id, container);
                true
            }
            Answer::Details(details) => {
                more = self.on_details(asked, details);
                true
            }
            Answer::Entries(ids, entries) => {
                self.on_entries(asked, ids, entries);
                true
            }
            Answer::Containers(list) => self.on_list(asked, &list),
            Answer::Networks(networks) => ledger.networks(networks),
            Answer::Volumes(volumes) => ledger.volumes(volumes),
            Answer::Images(images) => {
                let before = ledger.meanings();
                let changed = ledger.images(images);
                more = (changed && ledger.meanings() != before).then_some(What::Containers);
                changed
            }
            Answer::Specs(specs) => {
                self.engine.learn_specs(*specs);
                true
            }
            Answer::Turn(_) => false,
            Answer::Pong => {
                let failed = self.engine.machine.error().is_some();
                if failed {
                    self.engine.machine.succeeded();
                }
                failed
            }
        };
        // Views are not made for nothing: everybody looks at a new one.
        if changed || self.engine.was_published_long_ago() {
            self.engine.publish();
        }
        more
    }

    fn on_entries(&mut self, asked: Asked, ids: Vec<String>, entries: Vec<Object>) {
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
}
