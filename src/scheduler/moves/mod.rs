//! Containers that are there and should be elsewhere: to empty a node (`empty`), or to even out the load
//! (`balance`).
//!
//! Pure, as all of the scheduler: it says what would move where, and what stays and why. It does *not* move:
//! who does asks anew for each container, since the cluster changes meanwhile.

pub mod balance;
pub mod empty;
pub mod load;
mod rehearsal;
pub mod stay;
pub mod way;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cluster::recipe::volumes::{is_anonymous, is_node_local};
use crate::engine::{Container, Node};
use crate::scheduler::Request;

pub use rehearsal::Rehearsal;
pub use stay::{Purpose, Stay, stays};
pub use way::Way;

/// A container that may move.
#[derive(Debug, Clone)]
pub struct Mover {
    /// Where it is.
    pub node: Arc<Node>,
    /// The container.
    pub container: Arc<Container>,
    /// What would place it once more.
    pub request: Request,
}

/// One proposed move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// The container's name.
    pub container: String,
    /// Its ID.
    pub id: String,
    /// The node that it leaves.
    pub from: String,
    /// The node that takes it.
    pub to: String,
    /// The address of that node.
    pub to_addr: String,
    /// How.
    pub way: Way,
    /// What that is good for, in the unit of the load; 0 where it is not for the load.
    pub gain: f64,
    /// Why there, in words.
    pub why: String,
    /// Volumes that stay behind with their data.
    #[serde(default)]
    pub behind: Vec<String>,
}

/// A container that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The container's name.
    pub container: String,
    /// Its ID.
    pub id: String,
    /// Where it stays.
    pub node: String,
    /// Why.
    pub why: String,
    /// Whether somebody must see to it before the node is empty.
    pub holds_up: bool,
}

impl Left {
    /// A container that stays for a reason.
    pub fn new(node: &Node, container: &Container, why: &Stay) -> Left {
        Left {
            container: container.name().to_string(),
            id: container.id.clone(),
            node: node.name().to_string(),
            holds_up: why.holds_up(),
            why: why.to_string(),
        }
    }
}

impl Move {
    fn new(mover: &Mover, to: &Node) -> Move {
        Move {
            container: mover.container.name().to_string(),
            id: mover.container.id.clone(),
            from: mover.node.name().to_string(),
            to: to.name().to_string(),
            to_addr: to.addr.clone(),
            way: Way::of(&mover.container, &mover.node, to),
            gain: 0.0,
            why: String::new(),
            behind: left_behind(mover),
        }
    }
}

/// What a container has on its node, and gets anew and empty elsewhere.
fn left_behind(mover: &Mover) -> Vec<String> {
    let volumes = mover.container.mounts.iter().filter(|m| m.r#type == "volume").map(|m| &m.name);
    volumes.filter(|name| is_anonymous(name) || is_node_local(&mover.node, name)).cloned().collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
