//! Networks as users see them: one object, though it may have a copy on each node.
//!
//! A local (bridge) network is made on one node. Where a container that wants it is placed elsewhere, a copy
//! is made there, labelled with the first one's ID. The first and its copies are one network: listed once,
//! removed together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::cluster::directory::SHORT;
use crate::cluster::lookup::{self, FoundNetwork};
use crate::cluster::view::View;
use crate::docker::json::Object;
use crate::engine::Node;
use crate::engine::inventory::{Network, ORIGIN};
use crate::error::{Error, Kind, Result};

/// On a network for which no driver was named: `auto`. Its containers may go anywhere.
pub const DRIVER: &str = "com.docker.swarm.network.driver";

/// On networks that compose made.
const COMPOSE: &str = "com.docker.compose.network";

/// Networks that every engine has by itself.
pub const PREDEFINED: [&str; 4] = ["bridge", "host", "none", "nat"];

/// One network with all its copies, the first one first.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// Its ID: that of the first one, also when only copies are left.
    pub id: String,
    /// The members.
    pub members: Vec<FoundNetwork<'a>>,
}

impl<'a> Group<'a> {
    /// The member that stands for all: the first one, or any copy on a usable node if that one is away.
    pub fn representative(&self) -> FoundNetwork<'a> {
        let usable = self.members.iter().find(|(n, _)| n.is_healthy());
        *usable.unwrap_or(&self.members[0])
    }

    /// The member on a node.
    pub fn on(&self, node: &Node) -> Option<&'a Network> {
        self.members.iter().find(|(n, _)| n.addr == node.addr).map(|(_, net)| *net)
    }

    /// The bare name.
    pub fn name(&self) -> &'a str {
        &self.members[0].1.fields.name
    }

    /// Whether it exists on single machines only.
    pub fn is_local(&self) -> bool {
        self.members[0].1.fields.scope == "local"
    }

    /// Whether its containers may be spread: no driver was named when it was made.
    pub fn spreads(&self) -> bool {
        self.members[0].1.fields.labels.contains_key(DRIVER)
    }

    /// Whether lists show it as `NODE/name`: it is local and tied to a node. Networks whose containers are
    /// spread belong to no node; and compose 2 takes a network for its own only by its bare name, so what
    /// carries compose's label is listed by that.
    pub fn is_bound(&self) -> bool {
        self.is_local() && !self.spreads() && !self.members[0].1.fields.labels.contains_key(COMPOSE)
    }

    /// The name that lists show.
    pub fn shown(&self) -> String {
        match self.is_bound() {
            true => format!("{}/{}", self.representative().0.name(), self.name()),
            false => self.name().to_string(),
        }
    }

    /// The create body of a copy: driver, options and labels of the first one.
    pub fn copy(&self) -> Object {
        let (_, network) = self.representative();
        let entry = network.entry();
        let mut body = Object::default();
        body.set("Name", self.name());
        body.set("CheckDuplicate", &true);
        for key in ["Driver", "Options", "IPAM", "Internal", "Attachable", "EnableIPv6"] {
            if let Some(value) = entry.get::<Box<RawValue>>(key) {
                body.set(key, &value);
            }
        }
        let mut labels = network.fields.labels.clone();
        labels.insert(ORIGIN.to_string(), self.id.clone());
        body.set("Labels", &labels);
        body
    }

    /// Whether every engine has it by itself.
    pub fn is_predefined(&self) -> bool {
        PREDEFINED.contains(&self.name())
    }
}

/// All networks, each once.
pub fn all(view: &View) -> Vec<Group<'_>> {
    group(view.validated().flat_map(|n| n.inventory.networks.iter().map(move |net| (n, net))))
}

/// The network that `query` means. An ambiguous name lists its candidates.
pub fn find<'a>(view: &'a View, query: &str) -> Result<Group<'a>> {
    let hits: Vec<_> = group(lookup::networks(view, query));
    let missing = || Error::client(Kind::NotFound, format!("network {query} not found"));
    match hits.as_slice() {
        [] => Err(missing()),
        [hit] => all(view).into_iter().find(|g| g.id == hit.id).ok_or_else(missing),
        many => {
            let names = many.iter().map(|g| format!("{}/{}", g.members[0].0.name(), g.name()));
            Err(lookup::ambiguous("network", query, names))
        }
    }
}

fn group<'a>(networks: impl IntoIterator<Item = FoundNetwork<'a>>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut index = HashMap::new();
    for found in networks {
        let id = found.1.known_id();
        let at = *index.entry(id).or_insert_with(|| {
            groups.push(Group { id: id.to_string(), members: Vec::new() });
            groups.len() - 1
        });
        // The first one stands before its copies.
        let first = found.1.fields.id == id;
        let position = if first { 0 } else { groups[at].members.len() };
        groups[at].members.insert(position, found);
    }
    groups
}

/// Whether a query may mean the network of a host: as engines read it (a whole ID, else a name, else the begin of an
/// ID), or as `find` does. In doubt it does: a name may be free again before the engine reads it.
pub fn may_be_hosts(view: &View, query: &str) -> bool {
    let bare = query.rsplit('/').next().unwrap_or_default();
    let all = || view.validated().flat_map(|n| n.inventory.networks.iter());
    let hosts = || all().filter(|net| is_hosts(net));
    let begins = !bare.is_empty() && hosts().any(|net| net.fields.id.starts_with(bare));
    // A name as short as that begins some ID by chance.
    let by_chance = bare.len() < 4 && all().any(|net| net.fields.name == bare);
    // What carries the label of a copy of a host's network is one with it.
    let one_with_hosts = |net: &Network| hosts().any(|host| host.known_id() == net.known_id());
    let mut hits = [query, bare].into_iter().flat_map(|query| lookup::networks(view, query));
    bare == "host" || (begins && !by_chance) || hits.any(|(_, net)| is_hosts(net) || one_with_hosts(net))
}

/// Whether it is the network of the host, whatever it is called.
fn is_hosts(network: &Network) -> bool {
    network.fields.driver == "host" || network.fields.name == "host"
}

/// The last look before an engine is told a network's name: whether nothing that was asked for by another word becomes
/// the network of the host.
///
/// # Errors
/// `NotFound`
pub fn not_hosts_by_another_word(network: &Network, query: &str) -> Result<()> {
    let bare = query.rsplit('/').next().unwrap_or_default();
    let Network { fields, .. } = network;
    let said =
        bare == fields.name || bare == fields.id || (bare.len() == SHORT && fields.id.starts_with(bare));
    match is_hosts(network) && !said {
        true => Err(Error::client(Kind::NotFound, format!("network {query} not found"))),
        false => Ok(()),
    }
}

/// The same for a name that the node may not know yet: its engine would take it for the begin of an ID.
///
/// # Errors
/// `NotFound`
pub fn not_hosts_by_its_begin(node: &Node, name: &str) -> Result<()> {
    let networks = &node.inventory.networks;
    let known = networks.iter().any(|net| net.fields.name == name || net.fields.id == name);
    match !known && networks.iter().any(|net| is_hosts(net) && net.fields.id.starts_with(name)) {
        true => Err(Error::client(Kind::NotFound, format!("network {name} not found"))),
        false => Ok(()),
    }
}

/// The IDs, as users know them, of all networks to which a running container of any node is attached. Stopped ones do
/// not count: so engines see it.
pub fn in_use(view: &View) -> HashSet<&str> {
    let running = view.containers().filter(|(_, c)| c.life.running);
    running.flat_map(|(_, c)| c.networks.iter().map(|(_, id)| id.as_str())).collect()
}

/// The nodes of a group's members.
pub fn nodes<'a>(group: &Group<'a>) -> impl Iterator<Item = &'a Arc<Node>> {
    group.members.iter().map(|(n, _)| *n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::tests::node;
    use crate::engine::Inventory;

    fn with_networks(addr: &str, name: &str, networks: &[&str]) -> Arc<Node> {
        let mut node = node(addr, name, &[]);
        let build = |text: &&str| Network::read(&Object::parse(text.as_bytes()).unwrap()).unwrap();
        let mut inventory = Inventory::clone(&node.inventory);
        inventory.networks = networks.iter().map(build).collect();
        node.inventory = Arc::new(inventory);
        Arc::new(node)
    }

    fn view() -> View {
        View::of([
            with_networks(
                "a:1",
                "pi1",
                &[
                    r#"{"Id":"c1","Name":"app","Scope":"local","Labels":{"com.docker.swarm.network.origin":"o1"}}"#,
                    r#"{"Id":"b1","Name":"bridge","Scope":"local"}"#,
                    r#"{"Id":"g","Name":"wide","Scope":"swarm"}"#,
                ],
            ),
            with_networks(
                "b:1",
                "pi2",
                &[
                    r#"{"Id":"o1","Name":"app","Scope":"local","Labels":{"com.docker.swarm.network.driver":"auto"}}"#,
                    r#"{"Id":"b2","Name":"bridge","Scope":"local"}"#,
                    r#"{"Id":"g","Name":"wide","Scope":"swarm"}"#,
                ],
            ),
        ])
    }

    #[test]
    fn a_network_and_its_copies_are_one() {
        let view = view();
        assert_eq!(all(&view).len(), 4);
        for query in ["app", "o1", "c1", "pi1/app", "pi2/app", "o"] {
            let app = find(&view, query).unwrap();
            assert_eq!((app.id.as_str(), app.members.len(), app.spreads()), ("o1", 2, true), "{query}");
            assert_eq!(app.members[0].1.fields.id, "o1");
        }
        assert_eq!(find(&view, "wide").unwrap().members.len(), 2);
    }

    #[test]
    fn no_other_word_means_the_network_of_a_host() {
        const HOST: &str = "abcdef0123456789";
        let forged = format!(
            r#"{{"Id":"e1","Name":"evil","Scope":"local","Driver":"bridge","Labels":{{"{ORIGIN}":"{HOST}"}}}}"#
        );
        let named = r#"{"Id":"e2","Name":"abcdef012345","Scope":"local","Driver":"bridge"}"#;
        let short = r#"{"Id":"e3","Name":"ab","Scope":"local","Driver":"bridge"}"#;
        let wide = r#"{"Id":"e4","Name":"abcdef01234","Scope":"swarm","Driver":"overlay"}"#;
        let host = format!(r#"{{"Id":"{HOST}","Name":"host","Scope":"local","Driver":"host"}}"#);
        let view = View::of([
            with_networks("a:1", "pi1", &[&host]),
            with_networks("b:1", "pi2", &[&forged, named, short, wide]),
        ]);
        for query in
            ["evil", "pi2/evil", "e1", "abcdef012345", "abcdef01234", "abcdef", HOST, "host", "pi1/host", "a"]
        {
            assert!(may_be_hosts(&view, query), "{query}");
        }
        for query in ["ab", "pi2/ab", "e3", "bridge", "nope", ""] {
            assert!(!may_be_hosts(&view, query), "{query}");
        }
        let host = find(&view, "evil").unwrap().members[0];
        assert_eq!(host.1.fields.id, HOST, "it is one with the host's");
        for (query, fine) in
            [("evil", false), ("abcdef", false), ("abcdef012345", true), (HOST, true), ("pi1/host", true)]
        {
            assert_eq!(not_hosts_by_another_word(host.1, query).is_ok(), fine, "{query}");
        }
        assert!(not_hosts_by_its_begin(host.0, "abcdef01234").is_err());
        assert!(not_hosts_by_its_begin(host.0, "host").is_ok());
        assert!(not_hosts_by_its_begin(host.0, "other").is_ok());
    }

    #[test]
    fn independent_networks_of_one_name_are_ambiguous() {
        let view = view();
        assert!(find(&view, "bridge").unwrap_err().message.contains("pi1/bridge, pi2/bridge"));
        assert_eq!(find(&view, "pi2/bridge").unwrap().id, "b2");
        assert_eq!(find(&view, "nope").unwrap_err().kind, Kind::NotFound);
    }
}
