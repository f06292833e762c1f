//! What a serving task is told of single containers, by events and by whoever had them made, without a question.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::docker::types::{EventMessage, Inspected};
use crate::engine::container::Container;
use crate::engine::ledger::Asked;
use crate::engine::news::{self, News};
use crate::engine::refresh::What;
use crate::engine::serve::Serving;
use crate::error::{Kind, Result};

/// Details that are read in one turn.
const DETAILS_AT_ONCE: usize = 32;
/// Pause between an event and the question for what it did not tell: what happens within it is asked for together. Who
/// must know asks at once (`Cluster::entries_known`).
const STALE_PAUSE: Duration = Duration::from_secs(1);

impl Serving<'_> {
    /// Applies an event to its container. False: it does not tell enough, the container must be read.
    pub(super) fn apply(&mut self, what: &What, event: &EventMessage) -> bool {
        let What::Container(id) = what else { return false };
        let known = self.engine.ledger.container(id);
        let news = match event.kind.as_str() {
            "container" => news::apply(known.map(|c| &**c), event),
            // Its networks show in its list entry.
            _ => match known.filter(|c| c.whole.is_none()) {
                Some(known) => News::Now(Box::new(Container { stale: true, ..Container::clone(known) })),
                None => News::Unclear,
            },
        };
        match news {
            News::Unclear => return false,
            News::Gone => self.take_in(id, None),
            News::Now(container) => self.take_in(id, Some(*container)),
        }
        true
    }

    /// What an event or a caller told of a container. Questions that are under way know less.
    fn take_in(&mut self, id: &str, container: Option<Container>) {
        let asked = self.engine.ledger.ask();
        match &container {
            None => {
                self.stale.remove(id);
            }
            Some(_) => {
                self.stale.insert(id.to_string());
                self.stale_due.get_or_insert_with(|| Instant::now() + STALE_PAUSE);
            }
        }
        let place = self.engine.place();
        let container = container.map(|c| c.with_entry(&place));
        let runs = container.as_ref().is_none_or(|c| c.life.running);
        self.engine.ledger.learn(asked, id, container.map(Arc::new));
        self.engine.publish();
        if runs {
            let expecting = std::mem::take(&mut self.expecting);
            let (told, others): (VecDeque<_>, _) =
                expecting.into_iter().partition(|(_, expected, _)| expected == id);
            self.expecting = others;
            for (_, _, done) in told {
                let _ = done.send(());
            }
        }
    }

    /// A container that we had made: what was asked for, and what its event told meanwhile.
    pub(super) fn on_created(&mut self, ours: Container) {
        let id = ours.id.clone();
        // Read already: it is all there.
        if self.engine.ledger.container(&id).is_some() {
            return;
        }
        let now = self.engine.place().now;
        self.take_in(&id, Some(Container { created: now, ..ours }));
        let arrived = self.arriving.iter().position(|(_, arriving, _)| *arriving == id);
        if let Some((_, _, number)) = arrived.and_then(|at| self.arriving.remove(at)) {
            let held = self.held.iter_mut().find(|held| held.number == number);
            let message = held.map(|held| {
                held.ready = true;
                held.event.message.clone()
            });
            // The engine may have given it its name.
            if let Some(message) = message {
                self.apply(&What::Container(id), &message);
            }
            self.pass_on();
        }
    }

    /// The question for what events did not tell was not answered: it is asked again.
    pub(super) fn still_stale(&mut self) {
        self.stale.extend(self.engine.ledger.stale());
        self.stale_due.get_or_insert_with(|| Instant::now() + STALE_PAUSE);
    }

    /// Has the details read of containers of which only the list entry is known.
    pub(super) fn ask_details(&mut self) {
        self.rough.retain(|id| self.engine.ledger.container(id).is_some_and(|c| c.rough));
        let asks = self.wishes.is_under_way(&What::Turn) || self.wishes.is_under_way(&What::Details);
        if !self.rough.is_empty() && !asks {
            self.want(What::Turn, None);
        }
    }

    /// Some of those containers.
    pub(super) fn roughest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.rough.pop_first()).take(DETAILS_AT_ONCE).collect()
    }

    /// Takes details in. Says if it is to be found out whether the engine is still there.
    pub(super) fn on_details(
        &mut self,
        asked: Asked,
        details: Vec<(String, Result<Option<Inspected>>)>,
    ) -> Option<What> {
        let mut trouble = None;
        for (id, inspected) in details {
            let ledger = &mut self.engine.ledger;
            let Some(known) = ledger.container(&id) else { continue };
            let container = match inspected {
                Ok(inspected) => inspected.map(|inspected| known.inspected(&inspected)),
                // Not a word about this container: it is asked for again when the engine answers.
                Err(error) if error.kind == Kind::Connect => {
                    trouble = Some(What::Ping);
                    continue;
                }
                Err(error) => {
                    trouble = error.is_connection().then_some(What::Ping).or(trouble);
                    // It is kept with what its list entry says.
                    tracing::warn!(
                        CONTAINER = id,
                        "cannot inspect a container, using its list entry alone: {error}"
                    );
                    Some(Container { rough: false, guessed: true, ..Container::clone(known) })
                }
            };
            ledger.learn(asked, &id, container.map(Arc::new));
        }
        // Those that were not reached, and those to which something happened meanwhile.
        self.rough.extend(self.engine.ledger.rough());
        trouble
    }
}
