//! What ranks a node, small and in one row for the whole cluster: a placement reads this of every node, and
//! looks at few nodes themselves.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::engine::{Node, Resources};

/// Capacity, use and health of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// A number for its address; see `key`.
    pub key: u64,
    /// Whether it was validated once: else it cannot take anything.
    pub known: bool,
    /// 0 to 100; 0 unless Healthy.
    pub health: i64,
    /// Whether it can be used now.
    pub well: bool,
    /// A number for what its containers are made for, and one for its images: equal for equal ones.
    pub platform: u64,
    /// See there.
    pub images: u64,
    /// CPUs, without overcommit.
    pub cpus: i64,
    /// Memory in bytes, without overcommit.
    pub memory: i64,
    /// What its containers reserve.
    pub used: Resources,
    /// How many there are, running or not.
    pub containers: usize,
    /// When the newest of them was made, in nanoseconds since the epoch.
    pub newest: i64,
}

impl Standing {
    /// That of a node.
    pub fn of(node: &Node) -> Standing {
        let specs = node.specs.as_deref();
        Standing {
            key: key(&node.addr),
            known: specs.is_some(),
            health: node.health,
            well: node.is_healthy(),
            platform: specs.map_or(0, |s| key(&s.platform.to_string())),
            images: node.inventory.images_key,
            cpus: specs.map_or(0, |s| s.cpus),
            memory: specs.map_or(0, |s| s.memory),
            used: node.inventory.used,
            containers: node.inventory.containers.len(),
            newest: node.inventory.newest,
        }
    }
}

/// A number for an address: equal for equal ones, and hardly ever for others.
pub fn key(addr: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    addr.hash(&mut hasher);
    hasher.finish()
}
