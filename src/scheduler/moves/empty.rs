//! Emptying a node: which of its containers go where, which stay.

use super::{Left, Move, Mover, Purpose, Rehearsal, Stay, stays};
use crate::engine::{Container, Node};
use crate::scheduler::{NodeReason, Rejection};

/// What would happen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Emptying {
    /// Moves, in order.
    pub moves: Vec<Move>,
    /// What stays.
    pub left: Vec<Left>,
}

/// The containers of a node that may move, oldest first, since younger ones may ask to be near older ones; and
/// those that stay whatever other nodes say.
pub fn sorted(node: &Node) -> (Vec<&std::sync::Arc<Container>>, Vec<Left>) {
    let mut all: Vec<_> = node.inventory.containers.values().collect();
    all.sort_by_key(|c| (c.created, c.id.clone()));
    let (mut movers, mut left) = (Vec::new(), Vec::new());
    for container in all {
        match stays(node, container, Purpose::Empty) {
            Some(why) => left.push(Left::new(node, container, &why)),
            None => movers.push(container),
        }
    }
    (movers, left)
}

/// Works it out. What finds no place is tried again after others moved: it may want to be near one of them.
pub fn plan(mut rehearsal: Rehearsal, movers: Vec<Mover>, left: Vec<Left>) -> Emptying {
    let mut plan = Emptying { moves: Vec::new(), left };
    let mut open = movers;
    loop {
        let (before, mut rejected) = (open.len(), Vec::new());
        for mover in open {
            match rehearsal.rank(&mover.request) {
                Ok(nodes) => match nodes.iter().find(|n| n.addr != mover.node.addr) {
                    Some(to) => {
                        rehearsal.moved(&mover, to);
                        plan.moves.push(Move::new(&mover, to));
                    }
                    None => rejected.push((mover, None)),
                },
                Err(rejection) => rejected.push((mover, Some(rejection))),
            }
        }
        if rejected.is_empty() || rejected.len() == before {
            plan.left.extend(rejected.into_iter().map(|(mover, why)| nowhere(&mover, why)));
            return plan;
        }
        open = rejected.into_iter().map(|(mover, _)| mover).collect();
    }
}

fn nowhere(mover: &Mover, rejection: Option<Rejection>) -> Left {
    let reasons = rejection.map(|r| r.reasons).unwrap_or_default();
    let why = Stay::Nowhere(elsewhere(&reasons, &mover.node.addr));
    Left::new(&mover.node, &mover.container, &why)
}

/// Why the nodes but one do not take it, those of one reason together.
pub fn elsewhere(reasons: &[NodeReason], addr: &str) -> String {
    let mut lines: Vec<(&str, Vec<&str>)> = Vec::new();
    for reason in reasons.iter().filter(|r| r.addr != addr) {
        match lines.iter_mut().find(|(text, _)| *text == reason.text) {
            Some((_, nodes)) => nodes.push(&reason.node),
            None => lines.push((&reason.text, vec![&reason.node])),
        }
    }
    match lines.is_empty() {
        true => "there is none".to_string(),
        false => lines
            .iter()
            .map(|(text, nodes)| format!("{}: {text}", nodes.join(", ")))
            .collect::<Vec<_>>()
            .join("; "),
    }
}
