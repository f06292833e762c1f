//! One immutable picture of the whole cluster.
//!
//! A change on one engine makes a new `View` that shares nearly everything with the old one: the cost is some
//! pointers, never a copy of containers, nor a look at other nodes. It is *not* a place for decisions: those are
//! in `scheduler`.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use crate::cluster::directory::{Directory, Of, key};
use crate::cluster::standing::Standing;
use crate::docker::version::{ApiRange, ApiVersion};
use crate::engine::containers::Containers;
use crate::engine::{Container, Node};

/// Nodes that are copied together when one of them changes while others still read the view before.
const CHUNK: usize = 32;

/// The cluster at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Every known node with what ranks it, in the order of arrival: its slot. A slot is free once its node has left.
    slots: Vec<Arc<Vec<Slot>>>,
    /// The slots of all nodes, in natural order of their names (`node-2` before `node-10`), unnamed ones first.
    order: Arc<Vec<u32>>,
    /// Engines at addresses where they do not answer and that are elsewhere now, as when DHCP gave a machine another
    /// address: one node then, not two, and its containers are there once. Two that both answer are a cloned disk, and
    /// both count. Nobody else sees these.
    left: Arc<Vec<u32>>,
    /// Which slots have what.
    directory: Directory,
    /// The newest API version that every validated node accepts.
    newest: Option<ApiVersion>,
}

type Slot = Option<(Arc<Node>, Standing)>;

impl View {
    /// A view of these nodes.
    pub fn of(nodes: impl IntoIterator<Item = Arc<Node>>) -> View {
        let mut view = View::default();
        nodes.into_iter().for_each(|node| view.put(node));
        view
    }

    /// The next view: each node changed.
    #[must_use]
    pub fn each(&self, change: impl Fn(Arc<Node>) -> Arc<Node>) -> View {
        let changed: Vec<_> = self.known().map(|n| change(Arc::clone(n))).collect();
        let mut view = self.clone();
        changed.into_iter().for_each(|node| view.put(node));
        view
    }

    /// The next view: with this node in the place of the one at the same address.
    #[must_use]
    pub fn with(&self, node: Arc<Node>) -> View {
        let mut view = self.clone();
        view.put(node);
        view
    }

    /// The next view: without the node at this address.
    #[must_use]
    pub fn without(&self, addr: &str) -> View {
        let mut view = self.clone();
        view.take(addr);
        view
    }

    /// Puts a node in the place of the one at the same address. Copies nothing if nobody holds what was before.
    pub fn put(&mut self, node: Arc<Node>) {
        let standing = Standing::of(&node);
        let place = self.place_of(&node.addr).unwrap_or_else(|| self.new_place(&node.addr));
        let before = self.slot(place).map(|(n, _)| Arc::clone(n));
        let was_api = before.as_ref().and_then(|n| n.specs.as_ref()).map(|s| s.api.max);
        let is_api = node.specs.as_ref().map(|s| s.api.max);
        let (old_id, new_id) = (before.as_ref().map_or("", |n| n.id()).to_string(), node.id().to_string());
        let none = Containers::default();
        let old = before.as_ref().map_or(&none, |n| &n.inventory.containers);
        self.directory.exchange(old, &node.inventory.containers, place);
        if old_id != new_id {
            self.directory.remove(key(Of::Engine, &old_id), place);
            if !new_id.is_empty() {
                self.directory.add(key(Of::Engine, &new_id), place);
            }
        }
        let moved = before.as_ref().is_none_or(|b| order(b, &node) != Ordering::Equal);
        let well = before.as_ref().is_some_and(|b| b.is_healthy()) == node.is_healthy();
        *self.slot_mut(place) = Some((node, standing));
        if moved {
            self.arrange(place, before.as_deref());
        }
        match (was_api, is_api) {
            (None, api) => self.newest = self.newest.into_iter().chain(api).min(),
            (was, is) if was == is => {}
            _ => self.newest = self.newest_api(),
        }
        // An engine may be known at another address, too. Who moved is then found anew.
        if old_id != new_id || !well || self.left.contains(&place) {
            self.find_movers(&old_id);
            self.find_movers(&new_id);
        }
    }

    /// Takes the node at an address out.
    pub fn take(&mut self, addr: &str) {
        let Some(place) = self.place_of(addr) else { return };
        let Some((node, _)) = self.slot_mut(place).take() else { return };
        self.directory.exchange(&node.inventory.containers, &Containers::default(), place);
        self.directory.remove(key(Of::Address, addr), place);
        self.directory.remove(key(Of::Engine, node.id()), place);
        Arc::make_mut(&mut self.order).retain(|p| *p != place);
        Arc::make_mut(&mut self.left).retain(|p| *p != place);
        self.newest = self.newest_api();
        self.find_movers(node.id());
    }

    /// Of the engines with this ID: who has left an address stays gone from there until he answers there again.
    fn find_movers(&mut self, id: &str) {
        let twins: Vec<u32> =
            self.places_of(Of::Engine, id).filter(|p| self.node_in(*p).id() == id).collect();
        if id.is_empty() || (twins.len() < 2 && self.left.is_empty()) {
            return;
        }
        let had_left = |p: &u32| self.left.contains(p);
        let is_well = |p: &u32| self.node_in(*p).is_healthy();
        let well = twins.iter().any(is_well);
        let settled = twins.iter().any(|p| is_well(p) || !had_left(p));
        let gone = |p: &u32| !is_well(p) && if had_left(p) { settled } else { well };
        let changed: Vec<_> =
            twins.iter().filter(|p| gone(p) != had_left(p)).map(|p| (*p, gone(p))).collect();
        for (place, gone) in &changed {
            Arc::make_mut(&mut self.left).retain(|p| p != place);
            if *gone {
                Arc::make_mut(&mut self.left).push(*place);
                Arc::make_mut(&mut self.order).retain(|p| p != place);
            } else {
                self.arrange(*place, None);
            }
        }
        if !changed.is_empty() {
            self.newest = self.newest_api();
        }
    }

    /// Puts a place where it belongs in the order; `before` is who was there.
    fn arrange(&mut self, place: u32, before: Option<&Node>) {
        if self.left.contains(&place) {
            return;
        }
        let mut order_of_places = std::mem::take(&mut self.order);
        let places = Arc::make_mut(&mut order_of_places);
        if before.is_some() {
            places.retain(|p| *p != place);
        }
        let node = self.node_in(place);
        let at = places.partition_point(|p| order(self.node_in(*p), node) == Ordering::Less);
        places.insert(at, place);
        self.order = order_of_places;
    }

    fn newest_api(&self) -> Option<ApiVersion> {
        self.validated().filter_map(|n| n.specs.as_ref()).map(|s| s.api.max).min()
    }

    fn slot(&self, place: u32) -> Option<&(Arc<Node>, Standing)> {
        self.slots.get(place as usize / CHUNK)?.get(place as usize % CHUNK)?.as_ref()
    }

    fn slot_mut(&mut self, place: u32) -> &mut Slot {
        &mut Arc::make_mut(&mut self.slots[place as usize / CHUNK])[place as usize % CHUNK]
    }

    /// The node in a place that is taken.
    fn node_in(&self, place: u32) -> &Arc<Node> {
        match self.slot(place) {
            Some((node, _)) => node,
            None => unreachable!("place {place} is free"),
        }
    }

    fn place_of(&self, addr: &str) -> Option<u32> {
        self.places_of(Of::Address, addr).find(|p| self.slot(*p).is_some_and(|(n, _)| n.addr == addr))
    }

    fn places_of(&self, kind: Of, text: &str) -> impl Iterator<Item = u32> + '_ {
        self.directory.places(key(kind, text))
    }

    fn new_place(&mut self, addr: &str) -> u32 {
        let taken = self.order.len() + self.left.len();
        let all = self.slots.len() * CHUNK;
        // There is a free one only after somebody has left.
        let free = (taken..all).chain(0..taken).find(|p| self.slot(*p as u32).is_none());
        let place = free.unwrap_or_else(|| {
            self.slots.push(Arc::new(vec![None; CHUNK]));
            all
        }) as u32;
        self.directory.add(key(Of::Address, addr), place);
        place
    }

    /// All nodes, with those that are left out because they moved.
    fn known(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.order.iter().chain(self.left.iter()).map(|p| self.node_in(*p))
    }

    /// The nodes that may have a container of this key; look at them.
    pub fn with_key(&self, key: u64) -> impl Iterator<Item = &Arc<Node>> {
        let places = self.directory.places(key).filter(|p| self.left.is_empty() || !self.left.contains(p));
        places.map(|p| self.node_in(p))
    }

    /// All nodes, also those of which nothing is known yet.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = &Arc<Node>> + ExactSizeIterator + Clone {
        self.order.iter().map(|p| self.node_in(*p))
    }

    /// The node at a position in `nodes`, with what ranks it.
    pub fn ranked(&self, position: usize) -> Option<(&Arc<Node>, &Standing)> {
        self.slot(*self.order.get(position)?).map(|(node, standing)| (node, standing))
    }

    /// The nodes that were validated once.
    pub fn validated(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes().filter(|n| n.specs.is_some())
    }

    /// The nodes that can be used now.
    pub fn healthy(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes().filter(|n| n.is_healthy())
    }

    /// Of the nodes that can be used now, one for each different value of this.
    pub fn different(&self, value: impl Fn(&Standing) -> u64) -> impl Iterator<Item = &Arc<Node>> {
        let mut seen = HashSet::new();
        let ranked = (0..self.order.len()).filter_map(|position| self.ranked(position));
        ranked.filter(move |(_, s)| s.well && seen.insert(value(s))).map(|(node, _)| node)
    }

    /// The node at an address.
    pub fn at(&self, addr: &str) -> Option<&Arc<Node>> {
        let place = self.place_of(addr).filter(|p| self.left.is_empty() || !self.left.contains(p))?;
        Some(self.node_in(place))
    }

    /// The nodes that were validated once with this engine ID: one, unless a disk was cloned.
    pub fn engine<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Arc<Node>> + 'a {
        self.with_key(key(Of::Engine, id)).filter(move |n| n.id() == id && n.specs.is_some())
    }

    /// Where a node stands in `nodes`. Costs a few comparisons.
    pub fn position(&self, node: &Node) -> Option<usize> {
        let is = |at: &usize| self.ranked(*at).is_some_and(|(n, _)| n.addr == node.addr);
        self.places(node.name()).find(is)
    }

    /// The nodes that a user means by this name or engine ID. More than one if machines share a host name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<Node>> + 'a {
        let by_name = self.places(name);
        let by_id = self.engine(name).filter(move |n| n.name() != name);
        let by_name = by_name.filter_map(|position| self.ranked(position)).map(|(node, _)| node);
        by_name.chain(by_id).filter(|n| n.specs.is_some())
    }

    /// Where the nodes of this name stand in `nodes`. Costs a few comparisons.
    pub fn places(&self, name: &str) -> Range<usize> {
        let before = self.order.partition_point(|p| natural(self.node_in(*p).name(), name) == Ordering::Less);
        let same = self.order[before..].iter().take_while(|p| self.node_in(**p).name() == name).count();
        before..before + same
    }

    /// Every container with its node.
    pub fn containers(&self) -> impl Iterator<Item = (&Arc<Node>, &Arc<Container>)> {
        self.nodes().flat_map(|n| n.inventory.containers.values().map(move |c| (n, c)))
    }

    /// The API versions that we announce: up to the newest that every validated node accepts, so that nothing is
    /// asked of a node that it does not know; down to our own oldest, since calls older than a node's oldest are
    /// translated. Nodes that blink keep counting, so that the range is steady.
    pub fn api_range(&self) -> ApiRange {
        let ours = ApiRange::OURS;
        ApiRange { max: self.newest.map_or(ours.max, |newest| newest.min(ours.max)), ..ours }
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
#[path = "view_tests.rs"]
pub(crate) mod tests;
