//! How full a node is, in one number that people can check by hand: each container that runs counts 1, and so
//! does each tenth of the node's memory or CPUs that is reserved.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cluster::pending::ByNode;
use crate::engine::{Container, Node, Resources};

/// The load of a node, in hundredths of that unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Load(pub i64);

/// What one container counts.
const ONE: i64 = 100;

impl Load {
    /// What a node carries, promised containers included.
    pub fn of(node: &Node, promised: &ByNode<'_>) -> Load {
        let running = node.inventory.containers.values().filter(|c| c.life.running).count();
        let coming = promised.on(node);
        let cpus = node.specs.as_ref().map_or(0, |s| s.cpus);
        let used: Resources = coming.iter().map(|c| Resources::held(c, cpus)).sum();
        let count = i64::try_from(running + coming.len()).unwrap_or(i64::MAX);
        Load(count.saturating_mul(ONE).saturating_add(share(used.plus(node.inventory.used), node)))
    }

    /// What a container adds to a node's.
    pub fn added(container: &Container, node: &Node) -> Load {
        let cpus = node.specs.as_ref().map_or(0, |s| s.cpus);
        Load(ONE + share(Resources::held(container, cpus), node))
    }

    /// For people and JSON: `3.5`.
    pub fn units(self) -> f64 {
        (self.0 as f64 / 10.0).round() / 10.0
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.units())
    }
}

/// Reserved memory and CPUs in thousandths of what the node has: a tenth is 100.
fn share(used: Resources, node: &Node) -> i64 {
    let Some(specs) = &node.specs else { return 0 };
    let of = |used: i64, total: i64| match total {
        ..=0 => 0,
        total => i64::try_from(i128::from(used) * 1000 / i128::from(total)).unwrap_or(i64::MAX),
    };
    of(used.memory, specs.memory).saturating_add(of(used.milli_cpus, specs.cpus.saturating_mul(1000)))
}

/// The load of a node before and after moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// The node.
    pub node: String,
    /// Now.
    pub before: f64,
    /// Then.
    pub after: f64,
}
