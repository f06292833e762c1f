//! Why containers were placed where they are: the last decisions, in memory. After a restart only the present
//! can be told.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::api::Api;
use crate::api::create::{Circumstances, Wanted};
use crate::api::swarmd::talk::Then;
use crate::clock;
use crate::scheduler::{self, Decision};

/// Decisions that are remembered: with `NAMED`, a few MiB.
const REMEMBERED: usize = 1000;
/// Nodes of each kind that are remembered with a decision.
const NAMED: usize = 20;

/// Nodes up to which each of them is looked at again for the record. In bigger clusters that would cost more than the
/// decision itself.
const LOOKED_AT: usize = 100;

/// Nodes that are remembered then.
const BEST: usize = 5;

/// The last decisions, oldest first, by the containers' swarm IDs.
#[derive(Default)]
pub struct Log(Mutex<VecDeque<(String, Then)>>);

impl Api {
    /// Keeps in mind why a container was created where it was.
    pub(in crate::api) fn remember(&self, wanted: &Wanted, circumstances: Circumstances) {
        let Circumstances { view, pending, mut chance } = circumstances;
        let (request, nodes) = (&wanted.request, view.nodes().len());
        let options = self.placement();
        let then = match nodes > LOOKED_AT {
            false => shortened(scheduler::explain(&view, &pending, request, &options, &mut chance), 0),
            true => {
                let best = scheduler::explain_best(&view, &pending, request, &options, &mut chance, BEST);
                let told = best.ranking.len();
                shortened(best, nodes - told)
            }
        };
        self.decisions.keep(wanted.swarm_id(), then);
    }
}

impl Log {
    /// The last decision about a container.
    pub fn find(&self, swarm_id: &str) -> Option<Then> {
        self.entries().iter().rev().find(|(id, _)| id == swarm_id).map(|(_, then)| then.clone())
    }

    fn keep(&self, swarm_id: &str, then: Then) {
        let mut entries = self.entries();
        if entries.len() == REMEMBERED {
            entries.pop_front();
        }
        entries.push_back((swarm_id.to_string(), then));
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<(String, Then)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shortened(mut decision: Decision, unseen: usize) -> Then {
    let more_candidates = decision.ranking.len().saturating_sub(NAMED);
    let more_turned_away = decision.turned_away.len().saturating_sub(NAMED);
    decision.ranking.truncate(NAMED);
    decision.turned_away.truncate(NAMED);
    Then { at: clock::rfc3339(clock::unix_seconds()), decision, more_candidates, more_turned_away, unseen }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::decision::DecidedBy;

    #[test]
    fn the_oldest_are_forgotten_and_the_newest_counts() {
        let log = Log::default();
        let decision = Decision {
            strategy: "spread".into(),
            node: None,
            decided_by: DecidedBy::Nothing,
            soft_dropped: false,
            ranking: Vec::new(),
            turned_away: Vec::new(),
            error: None,
        };
        let then = |n: usize| Then { at: n.to_string(), ..shortened(decision.clone(), 0) };
        for n in 0..REMEMBERED + 1 {
            log.keep(&format!("c{n}"), then(n));
        }
        log.keep("c5", then(7));
        assert_eq!(log.find("c0"), None);
        assert_eq!(log.find("c1"), None);
        assert_eq!(log.find("c5"), Some(then(7)));
        assert_eq!(log.entries().len(), REMEMBERED);
    }
}
