//! `GET /swarmd/v1/containers/{name}/explain`: why a container is where it is.
//!
//! Two answers: what was decided when it was created, if that is remembered, and what would be decided now if
//! the container were not there.

use crate::api::Api;
use crate::api::swarmd::talk::{Explanation, Expressions};
use crate::clock;
use crate::cluster::View;
use crate::cluster::lookup::{self, Found};
use crate::error::Result;
use crate::scheduler;
use crate::scheduler::hints::Hints;

const FORGOTTEN: &str = "why it was placed there is not known any more (decisions are kept in memory, the last \
                         thousand of them); what follows is how things stand now";
const FOREIGN: &str = "it was not created through this manager, so nothing was decided";

impl Api {
    /// Explains where a container is.
    pub(super) async fn explain(&self, name: &str) -> Result<Explanation> {
        let view = self.cluster.view();
        let (node, container) = self.explainable(&view, name)?;
        let request = self.asked_again(&view, &node, &container).await?;
        let pending = self.cluster.pending().clone();
        let mut chance = self.chance().clone();
        let now = scheduler::explain(&view, &pending, &request, &self.placement(), &mut chance);
        let then = container.swarm_id().and_then(|id| self.decisions.find(id));
        let note = match (&then, container.swarm_id()) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(FORGOTTEN.to_string()),
            (None, None) => Some(FOREIGN.to_string()),
        };
        Ok(Explanation {
            container: container.name().to_string(),
            id: container.id.clone(),
            node: node.name().to_string(),
            created: clock::rfc3339(container.created / 1_000_000_000),
            expressions: expressions(request.hints),
            then,
            note,
            waits: self.cluster.moves().why_waiting(&container.id),
            now,
        })
    }

    /// The container of this name. One that waits on a node that was not heard of since this manager runs is not among
    /// those that can be explained; and its name (`db`) may be how another's ID begins, which is not meant.
    fn explainable(&self, view: &View, name: &str) -> Result<Found> {
        let waits = self.cluster.moves().find_waiting(name);
        match waits.filter(|w| lookup::holder_of_name(view, &w.name).next().is_none()) {
            Some(w) => {
                let why = format!("{} was on {}, which does not answer; it {}", w.name, w.node, w.why);
                Err(lookup::no_container(name).advise(why))
            }
            None => lookup::container(view, name),
        }
    }
}

fn expressions(hints: Hints) -> Expressions {
    Expressions {
        constraints: hints.constraints,
        affinities: hints.affinities,
        whitelists: hints.whitelists,
        reschedule: hints.reschedule,
    }
}
