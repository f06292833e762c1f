//! Nodes with the label `containerslots=N` take N containers at most: running or not, ours or not.

use super::Rule;
use crate::scheduler::candidate::Candidate;
use crate::scheduler::explain::Objection;

/// The filter `containerslots`.
pub struct Slots;

impl Rule for Slots {
    fn name(&self) -> &'static str {
        "containerslots"
    }

    /// A label that is no number means no limit.
    fn check<'c>(&'c self, node: &'c Candidate<'_>, _: bool) -> Result<(), Objection<'c>> {
        let label = node.node.label("containerslots");
        let Some(limit) = label.and_then(|l| l.parse::<i64>().ok()) else {
            return Ok(());
        };
        let count = node.standing().containers;
        match i64::try_from(count).is_ok_and(|count| count < limit) {
            true => Ok(()),
            false => Err(Objection::Slots(count, limit)),
        }
    }

    fn items(&self) -> Vec<String> {
        vec!["available container slots".into()]
    }

    fn fails_without_nodes(&self) -> bool {
        true
    }
}
