//! Nodes, best first, as far as anybody asks.
//!
//! Filters are dear and weights are cheap. So nodes are weighed first and then asked in their order, until one
//! passes: the same as filtering first and ranking what is left, since a weight does not depend on filters.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Judge;
use crate::cluster::standing::Standing;
use crate::config::Strategy;

/// The order of the nodes with enough resources, as places in the view.
pub struct Ranking {
    /// The best ones, in order.
    settled: Vec<usize>,
    rest: Rest,
}

enum Rest {
    /// By key, then by place.
    Weighed(BinaryHeap<Reverse<((i64, i64), usize)>>),
    /// Still to be drawn from.
    Drawn(Vec<usize>),
}

impl Ranking {
    /// Weighs all nodes.
    pub fn new(standings: impl Iterator<Item = (usize, Standing)>, judge: &Judge) -> Ranking {
        let rest = match judge.strategy {
            Strategy::Random => Rest::Drawn(standings.map(|(place, _)| place).collect()),
            _ => {
                let scored =
                    standings.filter_map(|(place, s)| Some((judge.key(judge.score(&s).ok()?), place)));
                Rest::Weighed(scored.map(Reverse).collect::<Vec<_>>().into())
            }
        };
        Ranking { settled: Vec::new(), rest }
    }

    /// The place of the node at a position, 0 being the best. The same each time.
    pub fn at(&mut self, position: usize, rng: &mut fastrand::Rng) -> Option<usize> {
        while self.settled.len() <= position {
            let next = match &mut self.rest {
                Rest::Weighed(heap) => heap.pop()?.0.1,
                Rest::Drawn(left) if left.is_empty() => return None,
                Rest::Drawn(left) => left.swap_remove(rng.usize(..left.len())),
            };
            self.settled.push(next);
        }
        self.settled.get(position).copied()
    }
}
