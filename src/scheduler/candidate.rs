//! A node as one decision sees it: its inventory, plus what is promised to it, minus the container that is
//! being replaced. It owns nothing of the inventory.

use std::sync::Arc;

use crate::cluster::View;
use crate::cluster::directory::{Of, SHORTEST, beginning, key};
use crate::cluster::pending::{ByNode, Pending};
use crate::cluster::standing::Standing;
use crate::engine::specs::Specs;
use crate::engine::{Container, Node, Resources};
use crate::scheduler::request::Request;

/// All nodes, and what one decision changes about them.
pub struct Field<'a> {
    view: &'a View,
    promised: ByNode<'a>,
    request: &'a Request,
}

/// One node that might take the container.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// The node.
    pub node: &'a Arc<Node>,
    /// What the node says of itself.
    pub specs: &'a Specs,
    /// Containers promised to this node that it does not show yet.
    pub pending: Vec<&'a Container>,
    replaced: Option<&'a Container>,
    afresh: bool,
}

impl<'a> Field<'a> {
    /// The nodes of a view for a request.
    pub fn new(view: &'a View, pending: &'a Pending, request: &'a Request) -> Field<'a> {
        Field { view, promised: pending.by_node(), request }
    }

    /// The candidate at a place in the view; `None` if the node was never validated.
    pub fn candidate(&self, place: usize) -> Option<Candidate<'a>> {
        let (node, standing) = self.view.ranked(place)?;
        let replaced = self.request.replaces.as_ref();
        Some(Candidate {
            node,
            specs: node.specs.as_deref()?,
            pending: if self.promised.concerns(standing.key) { self.promised.on(node) } else { Vec::new() },
            replaced: replaced.and_then(|id| node.inventory.containers.get(id).map(|c| &**c)),
            afresh: self.request.afresh,
        })
    }

    /// All candidates, in the view's order.
    pub fn candidates(&self) -> impl Iterator<Item = Candidate<'a>> + '_ {
        (0..self.view.nodes().len()).filter_map(|place| self.candidate(place))
    }

    /// The candidates at these places with their standings. Nodes that this decision changes nothing about are
    /// not looked at.
    pub fn standings(&self, places: impl Iterator<Item = usize>) -> impl Iterator<Item = (usize, Standing)> {
        places.filter_map(|place| {
            let (_, standing) = self.view.ranked(place).filter(|(_, s)| s.known)?;
            let changed = self.request.replaces.is_some() || self.promised.concerns(standing.key);
            Some((place, if changed { self.candidate(place)?.standing() } else { *standing }))
        })
    }

    /// Where a container that is meant by this text may be, shown or promised: by its name, with its node's name before
    /// it or not, or by the beginning of an ID. In order, each once; `None` if the text is too short to tell.
    pub fn places_of_container(&self, text: &str) -> Option<Vec<usize>> {
        let name = text.strip_prefix('/').unwrap_or(text);
        let may_begin_an_id = text.bytes().all(|b| b.is_ascii_hexdigit());
        if name.is_empty() || (may_begin_an_id && text.len() < SHORTEST) {
            return None;
        }
        let behind_node = name.split_once('/').map(|(_, own)| own);
        let names = [Some(name), behind_node].into_iter().flatten().map(|name| key(Of::Name, name));
        let shown = names.chain(beginning(text)).flat_map(|key| self.view.with_key(key));
        let promised = self.promised.with_name(name).filter_map(|addr| self.view.at(addr));
        let mut places: Vec<usize> = shown.chain(promised).filter_map(|n| self.view.position(n)).collect();
        places.sort_unstable();
        places.dedup();
        Some(places)
    }

    /// The cluster.
    pub fn view(&self) -> &'a View {
        self.view
    }
}

impl<'a> Candidate<'a> {
    /// Every container here, also the one that is being replaced: what a request may refer to.
    pub fn containers(&self) -> impl Iterator<Item = &'a Container> {
        let gone = self.replaced.filter(|_| self.afresh).map(|c| &c.id);
        self.all_here().filter(move |c| gone != Some(&c.id))
    }

    /// The containers that will still be here: what ports, slots and resources are taken by, and what a
    /// request keeps away from.
    pub fn occupants(&self) -> impl Iterator<Item = &'a Container> {
        let leaving = self.replaced.map(|c| &c.id);
        self.all_here().filter(move |c| leaving != Some(&c.id))
    }

    fn all_here(&self) -> impl Iterator<Item = &'a Container> {
        let shown = self.node.inventory.containers.values().map(|c| &**c);
        shown.chain(self.pending.iter().copied())
    }

    /// Whether a container of this ID or name is among `containers`; with `lasting`, among `occupants`. Finds
    /// it without a look at all of them.
    pub fn holds(&self, name: &str, lasting: bool) -> bool {
        let inventory = &self.node.inventory;
        let named = || inventory.containers.named(name);
        let shown = inventory.containers.get(name).or_else(named).map(|c| &**c);
        let gone = self.replaced.filter(|_| self.afresh || lasting).map(|c| &c.id);
        let means =
            |c: &&Container| !c.names.is_empty() && (c.id == name || c.name() == name) && gone != Some(&c.id);
        shown.iter().chain(&self.pending).any(means)
    }

    /// Whether the container that is being replaced is here.
    pub fn has_replaced(&self) -> bool {
        self.replaced.is_some()
    }

    /// The node's standing, with its `occupants` in the place of its containers.
    pub fn standing(&self) -> Standing {
        let held = |c: &Container| Resources::held(c, self.specs.cpus);
        let shown = Standing::of(self.node);
        let promised: Resources = self.pending.iter().map(|c| held(c)).sum();
        Standing {
            used: shown.used.plus(promised).minus(self.replaced.map(held).unwrap_or_default()),
            containers: shown.containers + self.pending.len() - usize::from(self.has_replaced()),
            ..shown
        }
    }
}
