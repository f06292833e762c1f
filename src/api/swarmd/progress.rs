//! What goes over the wire while containers move: one JSON object on a line, told apart by its `step`. As in
//! `talk`, fields are only ever added, and readers pass over what they do not know.

use serde::{Deserialize, Serialize};

use crate::api::swarmd::talk::Node;
use crate::scheduler::moves::load::Loaded;
use crate::scheduler::moves::{Left, Move};

/// Seconds that a drain or a rebalance may take, unless told otherwise.
pub const PATIENCE: u64 = 600;

/// `POST /swarmd/v1/nodes/{name}/drain`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// Only say what would happen.
    pub dry_run: bool,
    /// Why, for whoever wonders.
    pub reason: String,
    /// Seconds after which no further container is begun with.
    pub timeout: u64,
}

/// `POST /swarmd/v1/rebalance`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rebalance {
    /// Only say what would happen.
    pub dry_run: bool,
    /// Moves at most.
    pub max_moves: usize,
    /// Seconds after which no further container is begun with.
    pub timeout: u64,
}

impl Default for Drain {
    fn default() -> Drain {
        Drain { dry_run: false, reason: String::new(), timeout: PATIENCE }
    }
}

impl Default for Rebalance {
    fn default() -> Rebalance {
        let max_moves = crate::scheduler::moves::balance::MOST_MOVES;
        Rebalance { dry_run: false, max_moves, timeout: PATIENCE }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Progress {
    /// The order stands: nothing new is placed on the node.
    Ordered(Node),
    /// What is to be done.
    Planned(Planned),
    /// A container's turn.
    Moving(Moving),
    /// One step of its move is done.
    Did(Did),
    /// It is elsewhere.
    Moved(Moved),
    /// It is not, and why.
    Failed(Left),
    /// The last line.
    Done(Done),
}

/// The plan of a drain or a rebalance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Planned {
    /// The node to be emptied; empty for a rebalance.
    pub node: String,
    /// The strategy that a rebalance serves.
    pub strategy: String,
    /// The nodes that take part in a rebalance, and their loads.
    pub nodes: Vec<Loaded>,
    /// The moves, in order.
    pub moves: Vec<Move>,
    /// What stays, and why.
    pub left: Vec<Left>,
    /// What to know about it.
    pub note: String,
}

/// A container's turn.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Moving {
    pub container: String,
    pub id: String,
    pub from: String,
    /// The how-manieth, counted from 1.
    pub number: usize,
    /// Of how many, as far as is known.
    pub of: usize,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Deed {
    Created,
    Started,
    Healthy,
    Stopped,
    Removed,
    /// Taken back: what was made is removed again.
    Undone,
    /// The old one runs again.
    Restarted,
}

/// A step that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Did {
    pub container: String,
    pub deed: Deed,
    pub node: String,
    /// ID of the container that it was done to.
    pub id: String,
}

/// A move that is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Moved {
    pub container: String,
    pub from: String,
    pub to: String,
    /// The new ID.
    pub id: String,
    /// Volumes without a name that stay behind with their data.
    pub behind: Vec<String>,
}

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Done {
    /// Containers that moved; with `dry_run` those that would.
    pub moved: usize,
    /// What is left, and why.
    pub left: Vec<Left>,
    /// Whether all that was to be done is done, and nothing is left that somebody must see to.
    pub complete: bool,
    /// Why it ended early, if it did.
    pub note: String,
}
