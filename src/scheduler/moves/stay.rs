//! Why a container stays where it is: facts about it and its neighbours, before any other node is looked at.
//!
//! A move means that the container begins anew on another machine. So what has data there, what shares
//! something with a neighbour, and what would not come back by itself, stays.

use std::fmt;
use std::sync::Arc;

use crate::cluster::nets;
use crate::cluster::recipe::volumes::{is_anonymous, is_node_local, may_leave};
use crate::engine::{Container, Node};
use crate::scheduler::expr::{Expr, Op};
use crate::scheduler::hints::Hints;

/// What of a host's files is the same on every machine, or is the machine itself: no data is left behind.
const EVERYWHERE: [&str; 6] = ["/dev", "/proc", "/sys", "/lib/modules", "/etc/localtime", "/etc/timezone"];

/// What the move is for: a machine that is to be emptied is worth more than an even load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The node is to be emptied: all that can begin anew elsewhere moves.
    Empty,
    /// The load is to be evened out: only what has nothing to lose moves.
    Even,
}

/// Why a container stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stay {
    /// Not created through a manager.
    Foreign,
    /// It was stopped, or ended.
    Stopped,
    /// It is paused.
    Paused,
    /// It removes itself when it stops.
    Once,
    /// Its data is in a volume of this name, on this node.
    Volume(String),
    /// Its data is in a volume without a name.
    Unnamed(String),
    /// It uses a directory or file of this machine.
    Directory(String),
    /// It shares volumes, links or a namespace with that container.
    Shares(String),
    /// It talks over a network of this node: its name, and who else is on it.
    Talks(String, String),
    /// That container was placed beside it on purpose.
    Wanted(String),
    /// It was created with `reschedule:off`.
    Off,
    /// No other node takes it; why each of them does not.
    Nowhere(String),
}

impl Stay {
    /// Whether a node with such a container is not empty in the eyes of its operator: others are no service of
    /// the cluster, or do not run.
    pub fn holds_up(&self) -> bool {
        !matches!(self, Stay::Foreign | Stay::Stopped)
    }
}

impl fmt::Display for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stay::Foreign => f.write_str("was not created through the manager"),
            Stay::Stopped => {
                f.write_str("is stopped: its files and logs are here; start it to have it moved")
            }
            Stay::Paused => f.write_str("is paused: unpause or stop it first"),
            Stay::Once => f.write_str("removes itself when it stops (--rm)"),
            Stay::Volume(name) => write!(f, "its data is in the volume {name} of this node"),
            Stay::Unnamed(name) => {
                write!(f, "has data in the volume {} of this node", name.get(..12).unwrap_or(name))
            }
            Stay::Directory(path) => write!(f, "uses {path} of this machine"),
            Stay::Shares(other) => write!(f, "belongs together with {other}"),
            Stay::Talks(network, other) => {
                write!(f, "talks to {other} over {network}, which ends at this node")
            }
            Stay::Wanted(other) => write!(f, "{other} was placed beside it (affinity:container)"),
            Stay::Off => f.write_str("has reschedule:off"),
            Stay::Nowhere(why) => write!(f, "no other node will do: {why}"),
        }
    }
}

/// Why a container stays, if that can be told without a look at other nodes.
pub fn stays(node: &Node, container: &Container, purpose: Purpose) -> Option<Stay> {
    of_itself(container)
        .or_else(|| of_mounts(node, container, purpose))
        .or_else(|| companion(node, container).map(Stay::Shares))
        .or_else(|| if purpose == Purpose::Even { of_little_gain(node, container) } else { None })
}

fn of_itself(container: &Container) -> Option<Stay> {
    match container.life.word() {
        _ if container.swarm_id().is_none() => Some(Stay::Foreign),
        "exited" | "dead" => Some(Stay::Stopped),
        "paused" => Some(Stay::Paused),
        _ if container.host.auto_remove => Some(Stay::Once),
        _ => None,
    }
}

fn of_mounts(node: &Node, container: &Container, purpose: Purpose) -> Option<Stay> {
    let may_go = purpose == Purpose::Empty && may_leave(&container.labels.to_labels());
    container.mounts.iter().find_map(|mount| match mount.r#type.as_str() {
        "bind" if !is_everywhere(&mount.source) => Some(Stay::Directory(mount.source.clone())),
        "volume" if is_anonymous(&mount.name) => (!may_go).then(|| Stay::Unnamed(mount.name.clone())),
        "volume" if is_node_local(node, &mount.name) && !may_go => Some(Stay::Volume(mount.name.clone())),
        _ => None,
    })
}

fn is_everywhere(path: &str) -> bool {
    EVERYWHERE
        .iter()
        .any(|e| path.strip_prefix(e).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// A neighbour with which it shares volumes, links or a namespace, in either direction.
fn companion(node: &Node, container: &Container) -> Option<String> {
    let own = references(container).next().map(|text| {
        let found = node.inventory.containers.values().find(|c| means(text, c));
        found.map_or_else(|| text.to_string(), |c| c.name().to_string())
    });
    let needs_it = |c: &&Arc<Container>| references(c).any(|text| means(text, container));
    own.or_else(|| node.inventory.containers.values().find(needs_it).map(|c| c.name().to_string()))
}

/// The containers that one refers to, by name or ID.
fn references(container: &Container) -> impl Iterator<Item = &str> {
    let host = &container.host;
    let modes = [&host.network_mode, &host.ipc_mode, &host.pid_mode];
    let spaces = modes.into_iter().filter_map(|mode| mode.strip_prefix("container:"));
    let listed =
        host.volumes_from.iter().chain(&host.links).map(|text| text.split(':').next().unwrap_or(text));
    spaces.chain(listed).map(|text| text.trim_start_matches('/'))
}

fn means(text: &str, container: &Container) -> bool {
    const SHORT: usize = 12;
    text == container.name() || (text.len() >= SHORT && container.id.starts_with(text))
}

fn of_little_gain(node: &Node, container: &Container) -> Option<Stay> {
    let hints = Hints::extract(&mut Vec::new(), &mut container.labels.to_labels());
    if hints.reschedule.iter().any(|policy| policy == "off") {
        return Some(Stay::Off);
    }
    let peer = |network: &str| {
        let on_it =
            |c: &&Arc<Container>| c.id != container.id && c.networks.iter().any(|(name, _)| name == network);
        node.inventory.containers.values().find(on_it).map(|c| c.name().to_string())
    };
    let local = container.networks.iter().map(|(name, _)| name.as_str()).filter(|name| ends_here(node, name));
    let talks = local.filter_map(|name| Some(Stay::Talks(name.to_string(), peer(name)?))).next();
    talks.or_else(|| wanted_by(node, container).map(Stay::Wanted))
}

/// A neighbour that asked to be where this container is, and for nothing less.
fn wanted_by(node: &Node, container: &Container) -> Option<String> {
    let names = || [container.id.as_str(), container.name()].into_iter();
    let asks = |text: &String| {
        let expr = Expr::parse(text).ok();
        expr.is_some_and(|e| e.key == "container" && e.op == Op::Equal && !e.soft && e.holds(names()))
    };
    let wants_it = |c: &&Arc<Container>| {
        c.id != container.id
            && Hints::extract(&mut Vec::new(), &mut c.labels.to_labels()).affinities.iter().any(asks)
    };
    node.inventory.containers.values().find(wants_it).map(|c| c.name().to_string())
}

/// Whether containers can talk to each other by name over the network, and only those on this node.
fn ends_here(node: &Node, network: &str) -> bool {
    let is_local =
        |n: &crate::engine::inventory::Network| n.fields.name == network && n.fields.scope == "local";
    !nets::PREDEFINED.contains(&network) && node.inventory.networks.iter().any(is_local)
}
