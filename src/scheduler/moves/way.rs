//! In which order a moved container stops here and starts there.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cluster::recipe::volumes::{is_anonymous, is_node_local};
use crate::engine::{Container, Node};

/// Drivers that give containers an address outside of their machine.
const OUTSIDE: [&str; 2] = ["macvlan", "ipvlan"];

/// The order of a move. In any case the new container is created first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The new one starts, and is healthy, before the old one stops: nobody notices.
    StartFirst,
    /// The old one stops before the new one starts: both would be in each other's way.
    StopFirst,
    /// It was never started, so the new one is not, either.
    CreateOnly,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::StartFirst => "starts there, then stops here",
            Way::StopFirst => "stops here, then starts there",
            Way::CreateOnly => "is created there, as it was never started",
        })
    }
}

impl Way {
    /// The way from one node to another.
    pub fn of(container: &Container, from: &Node, to: &Node) -> Way {
        let collides = || {
            shares_volume(container, from)
                || shares_network(container, from)
                || (from.ip.is_some() && from.ip == to.ip && takes_ports(container))
        };
        match container.life.word() {
            "created" => Way::CreateOnly,
            _ if collides() => Way::StopFirst,
            _ => Way::StartFirst,
        }
    }
}

/// Two at once would write into one volume.
fn shares_volume(container: &Container, node: &Node) -> bool {
    container
        .mounts
        .iter()
        .any(|m| m.r#type == "volume" && !is_anonymous(&m.name) && !is_node_local(node, &m.name))
}

/// Two at once would have one name, maybe one address, on one network.
fn shares_network(container: &Container, node: &Node) -> bool {
    let wide = |name: &str| {
        let network = node.inventory.networks.iter().find(|n| n.fields.name == name);
        network.is_some_and(|n| n.fields.scope != "local" || OUTSIDE.contains(&n.fields.driver.as_str()))
    };
    container.networks.iter().any(|(name, _)| wide(name))
}

/// Two engines on one machine: ports are there once.
fn takes_ports(container: &Container) -> bool {
    let fixed = container.host.port_bindings.values().flatten().flatten();
    container.host.network_mode == "host"
        || fixed.into_iter().any(|b| !matches!(b.host_port.as_str(), "" | "0"))
}
