//! Only nodes that have the image. Not one of the configurable filters: a request asks for it, after the
//! image could not be pulled. Digests work, unlike in an affinity.

use super::Rule;
use crate::scheduler::candidate::Candidate;
use crate::scheduler::explain::Objection;

/// The rule, with the image as the request names it.
pub struct Image<'a>(pub &'a str);

impl Rule for Image<'_> {
    fn name(&self) -> &'static str {
        "image"
    }

    fn check<'c>(&'c self, node: &'c Candidate<'_>, _: bool) -> Result<(), Objection<'c>> {
        match node.node.inventory.image(self.0) {
            Some(_) => Ok(()),
            None => Err(Objection::Image(self.0)),
        }
    }

    fn cost(&self) -> u8 {
        2
    }

    fn items(&self) -> Vec<String> {
        vec![format!("image=={} (soft=false)", self.0)]
    }

    fn fails_without_nodes(&self) -> bool {
        true
    }
}
