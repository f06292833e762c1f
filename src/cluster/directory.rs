//! Where in the cluster something of a name is: from a key to the nodes that may have it, without a look at the
//! others. *Not* what has it: who asks looks at those nodes.
//!
//! Keys are numbers made from texts; two texts with one number cost a look in vain, nothing else. The map is shared
//! between one view and the next: a change copies a thousandth of it, or nothing if nobody holds the old one.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter::repeat_n;
use std::sync::Arc;

use crate::engine::Container;
use crate::engine::containers::Containers;

/// Length of the short form of an ID.
pub const SHORT: usize = 12;
/// Beginnings of IDs of this length or more are found without a look at all nodes.
pub const SHORTEST: usize = 4;
/// Parts of a level.
const PARTS: usize = 32;

/// Keys in order, each with a place.
type Part = Vec<(u64, u32)>;

/// Keys and the places of nodes that have them.
#[derive(Debug, Clone)]
pub struct Directory(Vec<Arc<Vec<Arc<Part>>>>);

impl Default for Directory {
    fn default() -> Directory {
        // All parts are one empty one until something comes in.
        let upper = Arc::new(repeat_n(Arc::default(), PARTS).collect());
        Directory(repeat_n(upper, PARTS).collect())
    }
}

/// A key of one kind of text.
pub fn key(kind: Of, text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (kind as u8).hash(&mut hasher);
    text.hash(&mut hasher);
    hasher.finish()
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The beginning of an engine's or a swarm ID, `SHORTEST` bytes of it.
    Beginning,
    /// A container's name without its leading `/`.
    Name,
    /// The ID of an engine.
    Engine,
    /// The address of an engine.
    Address,
}

impl Directory {
    /// The places with this key.
    pub fn places(&self, key: u64) -> impl Iterator<Item = u32> + '_ {
        let part = &self.0[key as usize % PARTS][key as usize / PARTS % PARTS];
        let from = part.partition_point(|(k, _)| *k < key);
        part[from..].iter().take_while(move |(k, _)| *k == key).map(|(_, place)| *place)
    }

    /// Adds a key of a place.
    pub fn add(&mut self, key: u64, place: u32) {
        let part = self.part(key);
        if let Err(at) = part.binary_search(&(key, place)) {
            part.insert(at, (key, place));
        }
    }

    /// Takes a key of a place out.
    pub fn remove(&mut self, key: u64, place: u32) {
        let part = self.part(key);
        if let Ok(at) = part.binary_search(&(key, place)) {
            part.remove(at);
        }
    }

    /// The containers of a place were `before`, and are `now`.
    pub fn exchange(&mut self, before: &Containers, now: &Containers, place: u32) {
        let gone = different(before, now);
        if !gone.is_empty() {
            // Two containers of a place may share a key.
            let gone = gone.into_iter().flat_map(texts).filter(|text| !now.values().any(|c| has(c, *text)));
            gone.for_each(|(kind, text)| self.remove(key(kind, text), place));
        }
        let new = different(now, before).into_iter().flat_map(texts);
        new.for_each(|(kind, text)| self.add(key(kind, text), place));
    }

    fn part(&mut self, key: u64) -> &mut Part {
        let upper = Arc::make_mut(&mut self.0[key as usize % PARTS]);
        Arc::make_mut(&mut upper[key as usize / PARTS % PARTS])
    }
}

/// Those of `these` that are not the same in `others`. Both are in the order of their IDs, and most are the same: no text
/// is looked at for those.
fn different<'a>(these: &'a Containers, others: &Containers) -> Vec<&'a Container> {
    let mut others = others.values().peekable();
    let mut same = |c: &Arc<Container>| {
        if others.next_if(|other| Arc::ptr_eq(c, other)).is_some() {
            return true;
        }
        while others.next_if(|other| other.id < c.id).is_some() {}
        others.next_if(|other| other.id == c.id).is_some_and(|other| Arc::ptr_eq(c, other) || alike(c, other))
    };
    these.values().filter(|c| !same(c)).map(|c| &**c).collect()
}

fn alike(a: &Container, b: &Container) -> bool {
    a.names == b.names && a.swarm_id() == b.swarm_id()
}

/// The texts by which a container is found.
fn texts(container: &Container) -> impl Iterator<Item = (Of, &str)> {
    let ids = [Some(container.id.as_str()), container.swarm_id()];
    let beginnings = ids.into_iter().flatten().filter_map(|id| id.get(..SHORTEST));
    let names = container.names.iter().map(|name| (Of::Name, bare(name)));
    beginnings.map(|start| (Of::Beginning, start)).chain(names)
}

/// Whether a container is found by this text.
fn has(container: &Container, (kind, text): (Of, &str)) -> bool {
    match kind {
        Of::Name => container.names.iter().any(|name| bare(name) == text),
        _ => container.id.starts_with(text) || container.swarm_id().is_some_and(|id| id.starts_with(text)),
    }
}

fn bare(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

/// The key of the IDs that begin like this text, if it is long enough.
pub fn beginning(text: &str) -> Option<u64> {
    text.get(..SHORTEST).map(|start| key(Of::Beginning, start))
}
