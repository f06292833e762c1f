//! Prefers the node of the container that gives way to this one. Not one of the configurable filters, and
//! always soft: a recreated service may move if its node is gone or full.

use super::Rule;
use crate::scheduler::candidate::Candidate;
use crate::scheduler::explain::Objection;

/// The rule; the candidate knows whether it holds the old container.
pub struct Replacement;

impl Rule for Replacement {
    fn name(&self) -> &'static str {
        "replacement"
    }

    fn check<'c>(&'c self, node: &'c Candidate<'_>, soft: bool) -> Result<(), Objection<'c>> {
        match !soft || node.has_replaced() {
            true => Ok(()),
            false => Err(Objection::Elsewhere),
        }
    }

    fn has_soft(&self) -> bool {
        true
    }
}
