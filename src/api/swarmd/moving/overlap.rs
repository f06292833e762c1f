//! While a container moves, there are two of it. Everybody else sees one: the old one, until the new one is
//! well. What the new one takes of its node is held for it meanwhile, and nobody else moves either of them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::cluster::Cluster;
use crate::cluster::members::Reserved;
use crate::cluster::moves::Moving;
use crate::cluster::pending::Reservation;
use crate::engine::{Container, Node};

/// The time in which there are two; it ends with this value.
pub(super) struct Overlap {
    cluster: Arc<Cluster>,
    /// The old one.
    pub moving: Moving,
    held: Mutex<Option<Reserved>>,
}

impl Overlap {
    /// A successor is about to be made. `None`: somebody else is moving the container.
    pub fn begin(cluster: &Arc<Cluster>, old: &str) -> Option<Arc<Overlap>> {
        let moving = cluster.begin_move(old)?;
        cluster.await_successor(old);
        Some(Arc::new(Overlap { cluster: Arc::clone(cluster), moving, held: Mutex::default() }))
    }

    /// Holds what the successor takes, now that it is there.
    pub fn hold(&self, node: &Node, id: &str) {
        let Some(container) = self.successor(node, id) else { return };
        let container = Container { id: String::new(), ..Container::clone(&container) };
        let reservation = Reservation { addr: node.addr.clone(), container };
        let held = self.cluster.decide(|_, pending| Ok(self.cluster.reserve(pending, reservation)));
        self.keep(held.ok());
    }

    /// The successor is gone, and another one is about to be made.
    pub fn let_go(&self) {
        self.keep(None);
    }

    /// The successor is well: it is seen, and the old one is not any more.
    pub fn swap(&self) {
        self.cluster.succeed(self.moving.id());
        self.keep(None);
    }

    fn successor(&self, node: &Node, id: &str) -> Option<Arc<Container>> {
        let view = self.cluster.view();
        let inventory = &view.at(&node.addr)?.inventory;
        inventory.containers.get(id).or_else(|| inventory.awaited.iter().find(|c| c.id == id)).cloned()
    }

    fn keep(&self, held: Option<Reserved>) {
        let before = std::mem::replace(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner), held);
        drop(before);
    }
}

impl Drop for Overlap {
    fn drop(&mut self) {
        self.cluster.forget_successor(self.moving.id());
        self.cluster.unhide(self.moving.id());
    }
}
