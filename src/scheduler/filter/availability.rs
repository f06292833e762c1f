//! Only nodes that the operator lets take new containers. Not one of the configurable filters: a pause holds
//! whatever `--filter` says.

use super::Rule;
use crate::scheduler::candidate::Candidate;
use crate::scheduler::explain::Objection;

/// The rule.
pub struct Availability;

/// Its name, which the classic error text has to know.
pub const NAME: &str = "availability";

impl Rule for Availability {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check<'c>(&'c self, node: &'c Candidate<'_>, _: bool) -> Result<(), Objection<'c>> {
        let orders = &node.node.orders;
        match orders.takes_containers() {
            true => Ok(()),
            false => Err(Objection::Ordered(orders)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::cluster::View;
    use crate::cluster::pending::Pending;
    use crate::cluster::view::tests::node;
    use crate::engine::{Availability, Node, Orders};
    use crate::scheduler::{Options, Rejection, Request, place};

    fn paused(addr: &str, name: &str) -> Arc<Node> {
        let mut orders = Orders::default();
        orders.set_availability(Availability::Paused, "new disk", 0);
        Arc::new(Node { orders: Arc::new(orders), ..node(addr, name, &[]) })
    }

    fn chosen(nodes: Vec<Arc<Node>>) -> Result<String, Rejection> {
        let options =
            Options { strategy: crate::config::Strategy::Spread, filters: Vec::new(), overcommit_percent: 0 };
        let mut rng = fastrand::Rng::with_seed(1);
        place(&View::of(nodes), &Pending::default(), &Request::default(), &options, &mut rng)
            .map(|p| p.node.name().to_string())
    }

    #[test]
    fn a_paused_node_takes_nothing_whatever_the_filters() {
        let both = vec![paused("a:1", "pi1"), Arc::new(node("b:1", "pi2", &["{\"Id\":\"x\"}"]))];
        assert_eq!(chosen(both).unwrap(), "pi2");
        let rejection = chosen(vec![paused("a:1", "pi1")]).unwrap_err();
        assert_eq!(rejection.message, "No node takes new containers");
        let reason = &rejection.reasons[0];
        assert_eq!(reason.filter, "availability");
        assert_eq!(reason.text, "paused by the operator since 1970-01-01T00:00:00Z (new disk)");
    }
}
