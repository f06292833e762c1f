//! The containers of one engine, in one row in the order of their IDs: small, quick to copy, and an ID or the
//! beginning of one is found by halving. Names are few on one engine, so they are looked through.

use std::ops::Index;
use std::sync::Arc;

use crate::engine::container::Container;

/// Containers, in the order of their IDs.
#[derive(Debug, Clone, Default)]
pub struct Containers(Vec<Arc<Container>>);

impl Containers {
    /// These. Of two with one ID the last counts.
    pub fn of(containers: impl IntoIterator<Item = Arc<Container>>) -> Containers {
        let mut row: Vec<_> = containers.into_iter().collect();
        if !row.is_sorted_by(|a, b| a.id < b.id) {
            row.reverse();
            row.sort_by(|a, b| a.id.cmp(&b.id));
            row.dedup_by(|b, a| a.id == b.id);
        }
        row.shrink_to_fit();
        Containers(row)
    }

    /// All.
    pub fn values(&self) -> std::slice::Iter<'_, Arc<Container>> {
        self.0.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one at a position in this row.
    pub fn at(&self, position: usize) -> Option<&Arc<Container>> {
        self.0.get(position)
    }

    /// The one with this full ID.
    pub fn get(&self, id: &str) -> Option<&Arc<Container>> {
        self.0.binary_search_by(|c| c.id.as_str().cmp(id)).ok().map(|at| &self.0[at])
    }

    /// Whether there is one with this full ID.
    pub fn contains_key(&self, id: &str) -> bool {
        self.get(id).is_some()
    }

    /// Those whose IDs begin so.
    pub fn starting<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Arc<Container>> + 'a {
        let from = self.0.partition_point(|c| c.id.as_str() < prefix);
        self.0[from..].iter().take_while(move |c| c.id.starts_with(prefix))
    }

    /// The one with this name, with or without its leading `/`.
    pub fn named(&self, name: &str) -> Option<&Arc<Container>> {
        let name = name.strip_prefix('/').unwrap_or(name);
        let is = |n: &String| n.strip_prefix('/').unwrap_or(n) == name;
        self.0.iter().rfind(|c| c.names.iter().any(is))
    }
}

impl Index<&str> for Containers {
    type Output = Arc<Container>;

    /// Panics if there is none with this ID: for tests.
    fn index(&self, id: &str) -> &Arc<Container> {
        self.get(id).unwrap_or_else(|| panic!("no container {id}"))
    }
}
