//! One immutable picture of the whole cluster.
//!
//! A change on one engine makes a new `View` that shares everything else with the old one: the cost is one
//! pointer for each node, never a copy of containers. It is *not* a place for decisions: those are in
//! `scheduler`.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use crate::cluster::standing::Standing;
use crate::docker::version::{ApiRange, ApiVersion};
use crate::engine::{Container, Node};

/// The cluster at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// All nodes, in natural order of their names (`node-2` before `node-10`), unnamed ones first.
    nodes: Vec<Arc<Node>>,
    /// What ranks them, in the same order.
    standings: Vec<Standing>,
    /// Engines at addresses where they do not answer and that are elsewhere now, as when DHCP gave a machine another
    /// address: one node then, not two, and its containers are there once. Two that both answer are a cloned disk, and
    /// both count. Nobody else sees these.
    left: Vec<Arc<Node>>,
}

impl View {
    /// A view of these nodes.
    pub fn of(nodes: impl IntoIterator<Item = Arc<Node>>) -> View {
        View::default().next(nodes.into_iter())
    }

    /// The next view, of all these nodes. Who has left an address stays gone from there until he answers there again.
    fn next(&self, nodes: impl Iterator<Item = Arc<Node>>) -> View {
        let all: Vec<_> = nodes.collect();
        let left: HashSet<&str> = self.left.iter().map(|n| n.addr.as_str()).collect();
        let had_left = |n: &Arc<Node>| left.contains(n.addr.as_str());
        let well: HashSet<&str> = all.iter().filter(|n| n.is_healthy()).map(|n| n.id()).collect();
        let settled: HashSet<&str> =
            all.iter().filter(|n| n.is_healthy() || !had_left(n)).map(|n| n.id()).collect();
        let moved = |n: &Arc<Node>| {
            let elsewhere = if had_left(n) { &settled } else { &well };
            !n.is_healthy() && !n.id().is_empty() && elsewhere.contains(n.id())
        };
        let (left, mut nodes): (Vec<_>, Vec<_>) = all.iter().cloned().partition(moved);
        nodes.sort_by(|a, b| order(a, b));
        let standings = nodes.iter().map(|n| Standing::of(n)).collect();
        View { nodes, standings, left }
    }

    /// The next view: each node changed.
    #[must_use]
    pub fn each(&self, change: impl Fn(Arc<Node>) -> Arc<Node>) -> View {
        self.next(self.known().map(|n| change(Arc::clone(n))))
    }

    /// The next view: with this node in the place of the one at the same address.
    #[must_use]
    pub fn with(&self, node: Arc<Node>) -> View {
        let same = |n: &Arc<Node>| n.id() == node.id() && n.addr != node.addr && !node.id().is_empty();
        let returns = self.left.iter().any(|n| n.addr == node.addr);
        // Rare: an engine that is known at another address, too. Who moved is then found anew.
        if returns || self.known().any(same) {
            let others = self.known().filter(|n| n.addr != node.addr).cloned();
            return self.next(others.chain([Arc::clone(&node)]));
        }
        let View { mut nodes, mut standings, left } = self.clone();
        let standing = Standing::of(&node);
        if let Some(i) = nodes.iter().position(|n| n.addr == node.addr) {
            if order(&nodes[i], &node) == Ordering::Equal {
                (nodes[i], standings[i]) = (node, standing);
                return View { nodes, standings, left };
            }
            nodes.remove(i);
            standings.remove(i);
        }
        let at = nodes.partition_point(|n| order(n, &node) == Ordering::Less);
        nodes.insert(at, node);
        standings.insert(at, standing);
        View { nodes, standings, left }
    }

    /// The next view: without the node at this address.
    #[must_use]
    pub fn without(&self, addr: &str) -> View {
        self.next(self.known().filter(|n| n.addr != addr).cloned())
    }

    /// All nodes, with those that are left out because they moved.
    fn known(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.iter().chain(&self.left)
    }

    /// All nodes, also those of which nothing is known yet.
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// What ranks the nodes, in the order of `nodes`.
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }

    /// The nodes that were validated once.
    pub fn validated(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.iter().filter(|n| n.specs.is_some())
    }

    /// The nodes that can be used now.
    pub fn healthy(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.iter().filter(|n| n.is_healthy())
    }

    /// The node at an address.
    pub fn at(&self, addr: &str) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|n| n.addr == addr)
    }

    /// The nodes that a user means by this name or engine ID. More than one if machines share a host name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<Node>> + 'a {
        self.validated().filter(move |n| n.name() == name || n.id() == name)
    }

    /// Where the nodes of this name stand in `nodes`. Costs a few comparisons.
    pub fn places(&self, name: &str) -> Range<usize> {
        let before = self.nodes.partition_point(|n| natural(n.name(), name) == Ordering::Less);
        let same = self.nodes[before..].iter().take_while(|n| n.name() == name).count();
        before..before + same
    }

    /// Every container with its node.
    pub fn containers(&self) -> impl Iterator<Item = (&Arc<Node>, &Arc<Container>)> {
        self.nodes.iter().flat_map(|n| n.inventory.containers.values().map(move |c| (n, c)))
    }

    /// The API versions that we announce: up to the newest that every validated node accepts, so that nothing is
    /// asked of a node that it does not know; down to our own oldest, since calls older than a node's oldest are
    /// translated. Nodes that blink keep counting, so that the range is steady.
    pub fn api_range(&self) -> ApiRange {
        let newest = self.validated().filter_map(|n| n.specs.as_ref()).map(|s| s.api.max);
        ApiRange { max: newest.fold(ApiRange::OURS.max, ApiVersion::min), ..ApiRange::OURS }
    }
}

fn order(a: &Node, b: &Node) -> Ordering {
    natural(a.name(), b.name()).then_with(|| natural(&a.addr, &b.addr))
}

/// Compares runs of digits as numbers and the rest as text.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (x, y) = (digits(a), digits(b));
        if x > 0 && y > 0 {
            let number = |s: &[u8]| s.iter().position(|d| *d != b'0').unwrap_or(s.len());
            let (p, q) = (&a[number(&a[..x])..x], &b[number(&b[..y])..y]);
            let ordering = p.len().cmp(&q.len()).then_with(|| p.cmp(q)).then_with(|| x.cmp(&y));
            if ordering != Ordering::Equal {
                return ordering;
            }
            (a, b) = (&a[x..], &b[y..]);
            continue;
        }
        match (a.split_first(), b.split_first()) {
            (Some((p, rest_a)), Some((q, rest_b))) if p == q => (a, b) = (rest_a, rest_b),
            (p, q) => return p.map(|(c, _)| c).cmp(&q.map(|(c, _)| c)),
        }
    }
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|c| c.is_ascii_digit()).count()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::docker::json::Object;
    use crate::docker::types::{Info, Inspected, Version};
    use crate::engine::container::Place;
    use crate::engine::inventory::Ledger;
    use crate::engine::machine::State;
    use crate::engine::specs::Specs;
    use proptest::prelude::*;

    /// A healthy node with containers given as list entries.
    pub(crate) fn node(addr: &str, name: &str, entries: &[&str]) -> Node {
        let info = Info {
            id: format!("ID-{addr}"),
            name: name.into(),
            cpus: 4,
            mem_total: 1 << 30,
            architecture: "x86_64".into(),
            ..Info::default()
        };
        let version = Version {
            version: "28".into(),
            api_version: "1.51".into(),
            min_api_version: "1.24".into(),
            ..Version::default()
        };
        let mut ledger = Ledger::default();
        for entry in entries {
            let listed = Object::parse(entry.as_bytes()).unwrap();
            let c = Container::build(&listed, &Inspected::default(), &Place::default()).unwrap();
            let asked = ledger.ask();
            ledger.learn(asked, &c.id.clone(), Some(Arc::new(c)));
        }
        Node {
            state: State::Healthy,
            health: 100,
            specs: Some(Arc::new(Specs::read(addr, &info, &version, 0).unwrap())),
            inventory: Arc::new(ledger.publish(4)),
            ..Node::unknown(addr.into(), 0)
        }
    }

    #[test]
    fn nodes_stay_in_natural_order_as_they_come_and_change() {
        let mut view = View::default();
        for (addr, name) in [("a:1", "node-10"), ("b:1", "node-2"), ("c:1", "node-1")] {
            view = view.with(Arc::new(Node::unknown(addr.into(), 0)));
            view = view.with(Arc::new(node(addr, name, &[])));
        }
        let names = |v: &View| v.nodes().iter().map(|n| n.name().to_string()).collect::<Vec<_>>();
        assert_eq!(names(&view), ["node-1", "node-2", "node-10"]);
        assert_eq!(names(&view.without("b:1")), ["node-1", "node-10"]);
        assert_eq!(view.named("node-2").count(), 1);
        assert_eq!((view.places("node-2"), view.places("node-3").len()), (1..2, 0));
        assert_eq!(view.named("ID-b:1").count(), 1);
    }

    #[test]
    fn the_announced_range_ends_where_the_oldest_node_does() {
        let with = |addr: &str, min, max| {
            let mut node = node(addr, addr, &[]);
            let mut specs = Specs::clone(node.specs.as_ref().unwrap());
            specs.api = ApiRange { min: ApiVersion::new(1, min), max: ApiVersion::new(1, max) };
            node.specs = Some(Arc::new(specs));
            node.state = State::Unhealthy;
            Arc::new(node)
        };
        let range = |nodes: &[&Arc<Node>]| {
            let range = View::of(nodes.iter().map(|n| Arc::clone(n))).api_range();
            (range.min.minor, range.max.minor)
        };
        let (old, new) = (with("a:1", 12, 41), with("b:1", 44, 52));
        assert_eq!(range(&[]), (24, 51));
        assert_eq!(range(&[&new]), (24, 51));
        assert_eq!(range(&[&old]), (24, 41));
        assert_eq!(range(&[&old, &new]), (24, 41));
    }

    #[test]
    fn an_engine_that_moved_is_one_node() {
        let at = |addr: &str, id: &str, state| {
            let mut node = node(addr, "pi1", &[]);
            let mut specs = Specs::clone(node.specs.as_ref().unwrap());
            specs.id = id.into();
            (node.specs, node.state) = (Some(Arc::new(specs)), state);
            Arc::new(node)
        };
        let addresses = |v: &View| v.nodes().iter().map(|n| n.addr.clone()).collect::<Vec<_>>();
        let view = View::of([at("old:1", "X", State::Healthy)]);
        let both = view.with(at("new:1", "X", State::Healthy));
        assert_eq!(addresses(&both), ["new:1", "old:1"], "both answer: a cloned disk");
        let moved = both.with(at("old:1", "X", State::Unhealthy));
        assert_eq!((addresses(&moved), moved.standings().len()), (vec!["new:1".to_string()], 1));
        assert!(moved.at("old:1").is_none());
        let again = moved.with(at("old:1", "X", State::Unhealthy)).with(at("b:1", "Y", State::Unhealthy));
        assert_eq!(addresses(&again), ["b:1", "new:1"], "one that is merely down stays");
        assert_eq!(
            addresses(&again.with(at("new:1", "X", State::Unhealthy))),
            ["b:1", "new:1"],
            "nor is it back then"
        );
        assert_eq!(addresses(&again.with(at("old:1", "X", State::Healthy))), ["b:1", "new:1", "old:1"]);
        assert_eq!(addresses(&again.without("new:1")), ["b:1", "old:1"], "nothing is lost");
        assert_eq!(again.each(|n| n).known().count(), 3);
    }

    proptest! {
        #[test]
        fn natural_order_is_total(a in "[a-z0-9]{0,8}", b in "[a-z0-9]{0,8}", c in "[a-z0-9]{0,8}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            prop_assert_eq!(natural(&a, &b) == Ordering::Equal, a == b);
            let mut sorted = [a, b, c];
            sorted.sort_by(|x, y| natural(x, y));
            prop_assert!(natural(&sorted[0], &sorted[2]) != Ordering::Greater);
        }
    }
}
