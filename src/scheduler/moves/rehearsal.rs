//! The cluster as it would be after some moves.

use std::sync::Arc;

use super::Mover;
use crate::cluster::View;
use crate::cluster::pending::{Pending, Reservation};
use crate::engine::Node;
use crate::scheduler::{self, Options, Rejection, Request};

/// The nodes, with moves so far carried out in thought.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// Without what left.
    pub view: View,
    /// With what came.
    pub pending: Pending,
    options: Options,
    chance: fastrand::Rng,
}

impl Rehearsal {
    /// Before any move.
    pub fn new(view: View, pending: Pending, options: Options, chance: fastrand::Rng) -> Rehearsal {
        Rehearsal { view, pending, options, chance }
    }

    /// How nodes are chosen.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The nodes that would take a request, best first.
    pub fn rank(&mut self, request: &Request) -> Result<Vec<Arc<Node>>, Rejection> {
        scheduler::rank(&self.view, &self.pending, request, &self.options, &mut self.chance)
    }

    /// Carries a move out.
    pub fn moved(&mut self, mover: &Mover, to: &Node) {
        if let Some(from) = self.view.at(&mover.node.addr) {
            let cpus = from.specs.as_ref().map_or(0, |s| s.cpus);
            let id = &mover.container.id;
            let gone = |c: &str| c == id || from.inventory.hidden.iter().any(|h| h.id == c);
            let inventory = Arc::new(from.inventory.hiding(gone, cpus));
            self.view = self.view.with(Arc::new(Node { inventory, ..Node::clone(from) }));
        }
        let container = mover.request.reservation(to);
        self.pending.reserve(Reservation { addr: to.addr.clone(), container });
    }
}
