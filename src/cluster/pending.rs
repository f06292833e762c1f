//! What is promised but not there yet: containers between the choice of their node and the moment when that
//! node's inventory shows them. They count for names, ports and resources like real ones.
//!
//! Also the promise that two parallel creates never get the same name: `reserve` is called under one short
//! lock together with the choice of the node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::cluster::lookup;
use crate::cluster::standing::key;
use crate::cluster::view::View;
use crate::engine::{Container, Node};
use crate::error::{Error, Kind, Result};

/// A container that a node is about to create. Its `id` is empty.
#[derive(Debug, Clone)]
pub struct Reservation {
    /// Address of the chosen node.
    pub addr: String,
    /// The container as requested.
    pub container: Container,
}

/// All reservations, and names held during a rename. Both by ticket: clients may give two containers one
/// swarm ID, and the end of one create must not end the promise to the other.
#[derive(Debug, Default, Clone)]
pub struct Pending {
    reserved: BTreeMap<u64, Arc<Reservation>>,
    renames: HashMap<u64, String>,
    next: u64,
}

/// The reservations of one moment, by node.
#[derive(Debug, Default)]
pub struct ByNode<'a> {
    by_addr: HashMap<&'a str, Vec<&'a Container>>,
    /// Keys of the addresses, sorted.
    keys: Vec<u64>,
}

impl<'a> ByNode<'a> {
    /// Whether something may be reserved on the node with this key.
    pub fn concerns(&self, key: u64) -> bool {
        self.keys.binary_search(&key).is_ok()
    }

    /// The addresses where a container of this name, without its leading `/`, is reserved.
    pub fn with_name(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let here = move |reserved: &[&Container]| reserved.iter().any(|c| c.name() == name);
        self.by_addr.iter().filter(move |(_, reserved)| here(reserved)).map(|(addr, _)| *addr)
    }

    /// Those of a node that its inventory does not show yet, oldest first.
    pub fn on(&self, node: &Node) -> Vec<&'a Container> {
        let Some(reserved) = self.by_addr.get(node.addr.as_str()) else { return Vec::new() };
        let shown = |id: &str| node.inventory.containers.values().any(|c| c.swarm_id() == Some(id));
        reserved.iter().filter(|c| !c.swarm_id().is_some_and(shown)).copied().collect()
    }
}

impl Pending {
    /// Adds a reservation; give the ticket back with `release`. Call `check_name` first, under the same lock.
    pub fn reserve(&mut self, reservation: Reservation) -> u64 {
        self.next += 1;
        self.reserved.insert(self.next, Arc::new(reservation));
        self.next
    }

    /// Drops a reservation: the container is there, or will never be.
    pub fn release(&mut self, ticket: u64) {
        self.reserved.remove(&ticket);
    }

    /// Holds a name for a rename; give the ticket back with `release_name`.
    pub fn hold_name(&mut self, name: &str) -> u64 {
        self.next += 1;
        self.renames.insert(self.next, name.to_string());
        self.next
    }

    /// Ends `hold_name`.
    pub fn release_name(&mut self, ticket: u64) {
        self.renames.remove(&ticket);
    }

    /// The reservations, sorted by node.
    pub fn by_node(&self) -> ByNode<'_> {
        let mut nodes = ByNode::default();
        for reservation in self.reserved.values() {
            nodes.by_addr.entry(&reservation.addr).or_default().push(&reservation.container);
        }
        nodes.keys = nodes.by_addr.keys().map(|addr| key(addr)).collect();
        nodes.keys.sort_unstable();
        nodes
    }

    /// Refuses a name that any container of the cluster has or is about to get; `outgoing` is the ID of one that
    /// gives its name up.
    pub fn check_name(&self, view: &View, name: &str, outgoing: Option<&str>) -> Result<()> {
        let name = name.trim_start_matches('/');
        let slashed = format!("/{name}");
        let mut holders = lookup::holder_of_name(view, name).map(|c| c.id.as_str());
        let holder = holders.find(|id| outgoing != Some(*id));
        let reserved = || self.reserved.values().any(|r| r.container.name() == name);
        let renamed = || self.renames.values().any(|held| held == name);
        if name.is_empty() || (holder.is_none() && !reserved() && !renamed()) {
            return Ok(());
        }
        // The engine's words: compose and others look for them. Who has not got its ID yet has none to tell.
        let by = holder.map(|id| format!(" by container \"{id}\"")).unwrap_or_default();
        let text = format!(
            "Conflict. The container name \"{slashed}\" is already in use{by}. You have to remove (or rename) \
             that container to be able to reuse that name."
        );
        Err(Error::client(Kind::Conflict, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::tests::node;

    fn reservation(addr: &str, name: &str) -> Reservation {
        let listed = format!(r#"{{"Id":"","Names":["/{name}"],"Labels":{{"com.docker.swarm.id":"s1"}}}}"#);
        let listed = crate::docker::json::Object::parse(listed.as_bytes()).unwrap();
        let place = crate::engine::container::Place::default();
        Reservation {
            addr: addr.into(),
            container: Container::build(&listed, &Default::default(), &place).unwrap(),
        }
    }

    #[test]
    fn names_are_taken_by_containers_reservations_and_renames() {
        let view = View::of([Arc::new(node("a:1", "a", &[r#"{"Id":"1","Names":["/web","/x/alias"]}"#]))]);
        let mut pending = Pending::default();
        let taken = |p: &Pending, n: &str| p.check_name(&view, n, None).is_err();
        assert!(
            taken(&pending, "web")
                && taken(&pending, "/web")
                && !taken(&pending, "db")
                && !taken(&pending, "")
        );
        let reserved = pending.reserve(reservation("a:1", "db"));
        let other = pending.reserve(reservation("a:1", "db2"));
        assert!(taken(&pending, "db"));
        pending.release(reserved);
        assert!(taken(&pending, "db2"), "one swarm ID, two promises");
        pending.release(other);
        let ticket = pending.hold_name("new");
        assert!(!taken(&pending, "db") && taken(&pending, "new"));
        pending.release_name(ticket);
        assert!(!taken(&pending, "new"));
        assert!(pending.check_name(&view, "web", Some("1")).is_ok(), "its holder goes");
    }

    #[test]
    fn a_reservation_counts_until_its_container_shows() {
        let mut pending = Pending::default();
        pending.reserve(reservation("a:1", "db"));
        let before = node("a:1", "a", &[]);
        let shown = r#"{"Id":"1","Names":["/db"],"Labels":{"com.docker.swarm.id":"s1"}}"#;
        let after = node("a:1", "a", &[shown]);
        let promised = pending.by_node();
        assert_eq!(promised.on(&before).len(), 1);
        assert_eq!(promised.on(&after).len(), 0);
        assert_eq!(promised.on(&node("b:1", "b", &[])).len(), 0);
    }
}
