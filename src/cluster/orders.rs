//! The operator's book: the orders for each node, by engine ID, whether the node is there or not.
//!
//! Pure. `desk` keeps the book on disk and lets one change at a time happen.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cluster::view::View;
use crate::docker::types::Labels;
use crate::engine::{Availability, Node, Orders};
use crate::error::{Error, Kind, Result};

/// The only version of the book's form so far.
const VERSION: u32 = 1;

/// All orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    entries: BTreeMap<String, Entry>,
}

/// The orders for one node, and how people knew it last: a node that is away still has a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The engine's ID.
    pub id: String,
    /// The node's name when it was last spoken of.
    pub name: String,
    /// Its address then.
    pub addr: String,
    /// What was said.
    pub orders: Arc<Orders>,
}

impl Entry {
    /// The entry of a node about which nothing was said yet.
    pub fn of(node: &Node) -> Entry {
        Entry {
            id: node.id().to_string(),
            name: node.name().to_string(),
            addr: node.addr.clone(),
            orders: Arc::clone(&node.orders),
        }
    }
}

impl Book {
    /// Changes the orders for a node; an entry that says nothing any more is dropped.
    pub fn change(&mut self, node: &Entry, change: impl FnOnce(&mut Orders)) {
        let entry = self.entries.entry(node.id.clone()).or_default();
        let mut orders = Orders::clone(&entry.orders);
        change(&mut orders);
        *entry = Entry { orders: Arc::new(orders), ..node.clone() };
        if entry.orders.say_nothing() {
            self.entries.remove(&node.id);
        }
    }

    /// Drops everything that was said about a node.
    pub fn forget(&mut self, id: &str) {
        self.entries.remove(id);
    }

    /// The node as it is with what the operator says about it.
    pub fn complete(&self, node: Arc<Node>) -> Arc<Node> {
        let orders = self.entries.get(node.id()).map(|e| Arc::clone(&e.orders)).unwrap_or_default();
        match node.orders == orders {
            true => node,
            false => Arc::new(Node { orders, ..Node::clone(&node) }),
        }
    }

    /// The entries whose nodes are not in the view.
    pub fn absent<'a>(&'a self, view: &'a View) -> impl Iterator<Item = &'a Entry> + 'a {
        self.entries.values().filter(|e| !view.nodes().any(|n| n.id() == e.id))
    }

    /// Reads the form on disk. The error is the reason, for a person.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Book, String> {
        let document: Document = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        match document.version {
            VERSION => Ok(Book {
                entries: document.nodes.into_iter().map(|s| (s.id.clone(), s.into_entry())).collect(),
            }),
            other => Err(format!("version {other} is not known to this swarmd")),
        }
    }

    /// The form on disk.
    pub fn render(&self) -> Result<Vec<u8>> {
        let nodes = self.entries.values().map(Saved::of).collect();
        let mut bytes = serde_json::to_vec_pretty(&Document { version: VERSION, nodes })
            .map_err(|e| Error::us(Kind::Internal, e.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    nodes: Vec<Saved>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    id: String,
    name: String,
    address: String,
    availability: Availability,
    reason: String,
    /// Unix seconds.
    since: i64,
    labels: Labels,
}

impl Saved {
    fn of(entry: &Entry) -> Saved {
        let orders = Orders::clone(&entry.orders);
        Saved {
            id: entry.id.clone(),
            name: entry.name.clone(),
            address: entry.addr.clone(),
            availability: orders.availability,
            reason: orders.reason,
            since: orders.since,
            labels: orders.labels,
        }
    }

    fn into_entry(self) -> Entry {
        let Saved { id, name, address: addr, availability, reason, since, labels } = self;
        Entry { id, name, addr, orders: Arc::new(Orders { availability, reason, since, labels }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::tests::node;

    fn label(orders: &mut Orders) {
        orders.labels.insert("disk".into(), "ssd".into());
    }

    #[test]
    fn orders_follow_the_engine_wherever_it_is() {
        let before = node("a:1", "pi1", &[]);
        let mut book = Book::default();
        book.change(&Entry::of(&before), |o| o.set_availability(Availability::Paused, "why", 5));
        book.change(&Entry::of(&before), label);
        let mut moved = node("b:1", "pi1", &[]);
        moved.specs.clone_from(&before.specs);
        let moved = book.complete(Arc::new(moved));
        assert_eq!((moved.label("disk"), moved.orders.availability), (Some("ssd"), Availability::Paused));
        assert!(Arc::ptr_eq(&book.complete(Arc::clone(&moved)), &moved));
        let other = book.complete(Arc::new(node("c:1", "pi3", &[])));
        assert!(other.orders.say_nothing());
        assert_eq!(book.absent(&View::of([moved])).count(), 0);
        assert_eq!(book.absent(&View::of([other])).next().map(|e| e.name.as_str()), Some("pi1"));
    }

    #[test]
    fn what_says_nothing_is_not_kept() {
        let node = Entry::of(&node("a:1", "pi1", &[]));
        let mut book = Book::default();
        book.change(&node, label);
        book.change(&node, |o| o.labels.clear());
        assert_eq!(book, Book::default());
        book.change(&node, label);
        book.forget(&node.id);
        assert_eq!(book, Book::default());
    }

    #[test]
    fn it_comes_back_from_disk_as_it_was() {
        let mut book = Book::default();
        for (addr, name) in [("a:1", "pi1"), ("b:1", "pi2")] {
            let node = Entry::of(&node(addr, name, &[]));
            book.change(&node, |o| o.set_availability(Availability::Drained, "move", 5));
            book.change(&node, label);
        }
        let text = book.render().unwrap();
        assert_eq!(Book::parse(&text).unwrap(), book);
        let newer = String::from_utf8(text).unwrap().replace("\"version\": 1", "\"version\": 2");
        assert!(Book::parse(newer.as_bytes()).unwrap_err().contains("version 2"));
        assert!(Book::parse(b"{").is_err());
    }
}
