//! Only nodes that can be used now.

use super::Rule;
use crate::scheduler::candidate::Candidate;
use crate::scheduler::explain::Objection;

/// The filter `health`.
pub struct Health;

impl Rule for Health {
    fn name(&self) -> &'static str {
        "health"
    }

    fn check<'c>(&'c self, candidate: &'c Candidate<'_>, _: bool) -> Result<(), Objection<'c>> {
        let node = candidate.node;
        match node.is_healthy() && node.health > 0 {
            true => Ok(()),
            false => Err(Objection::Health(node.state, node.error.as_deref())),
        }
    }

    fn fails_without_nodes(&self) -> bool {
        true
    }
}
