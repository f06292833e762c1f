//! What `GET /info` says of the nodes: dear to word for many of them, and the same as long as the view is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::clock;
use crate::cluster::View;
use crate::engine::Node;
use crate::scheduler::explain::size;
use crate::scheduler::strategy::with_overcommit;

/// Rows of two columns, in order.
pub type Rows = Vec<(String, String)>;

/// Numbers and rows of one view.
pub struct Sums {
    /// Not kept alive by this: all that has changed since would be in memory twice.
    view: Weak<View>,
    overcommit: i64,
    /// Containers by what they do.
    pub counts: Counts,
    /// Images of all nodes.
    pub images: usize,
    /// CPUs of all nodes, with overcommit.
    pub cpus: i64,
    /// Memory of all nodes in bytes, with overcommit.
    pub memory: i64,
    /// The rows of each node, as JSON, with a comma before each.
    pub rows: String,
    /// What is wrong with nodes.
    pub warnings: Vec<String>,
}

/// The sums of the last view that was asked about.
#[derive(Default)]
pub struct Memory(Mutex<Option<Arc<Sums>>>);

impl Memory {
    /// The sums of a view; `overcommit` is in percent.
    pub fn of(&self, view: &Arc<View>, overcommit: i64) -> Arc<Sums> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last.as_ref().filter(|sums| sums.is_of(view) && sums.overcommit == overcommit) {
            Some(sums) => Arc::clone(sums),
            None => Arc::clone(last.insert(Arc::new(Sums::new(view, overcommit)))),
        }
    }
}

impl Sums {
    /// A view that changes is another one, also if nobody else holds it: `Arc::make_mut` then leaves its `Weak`s behind.
    fn is_of(&self, view: &Arc<View>) -> bool {
        self.view.upgrade().is_some_and(|of| Arc::ptr_eq(&of, view))
    }

    fn new(view: &Arc<View>, overcommit: i64) -> Sums {
        let specs = || view.validated().filter_map(|n| n.specs.as_ref());
        let mut rows = String::new();
        for node in view.nodes() {
            for row in node_rows(node, overcommit) {
                rows.push(',');
                rows.push_str(&serde_json::to_string(&row).unwrap_or_default());
            }
        }
        Sums {
            counts: Counts::of(view.containers().map(|(_, c)| c.life.word())),
            images: view.validated().map(|n| n.inventory.images.len()).sum(),
            memory: specs().map(|s| with_overcommit(s.memory, overcommit)).sum(),
            cpus: specs().map(|s| with_overcommit(s.cpus, overcommit)).sum(),
            rows,
            warnings: warnings(view),
            view: Arc::downgrade(view),
            overcommit,
        }
    }

    /// All rows in one list, between two texts: those before the nodes', theirs, and those behind. The nodes' are most of
    /// it, and copied once.
    pub fn framed(&self, head: &str, before: &Rows, after: &Rows, tail: &str) -> String {
        let text = |rows: &Rows| serde_json::to_string(rows).unwrap_or_default();
        let (before, after) = (text(before), text(after));
        let open = before.strip_suffix(']').unwrap_or("[");
        [head, open, &self.rows, ",", after.strip_prefix('[').unwrap_or("]"), tail].concat()
    }
}

/// The rows in the order and spelling of the classic manager: people and scripts read them.
fn node_rows(node: &Node, overcommit: i64) -> Rows {
    let name = if node.name().is_empty() { "(unknown)" } else { node.name() };
    let mut rows = vec![(format!(" {name}"), node.addr.clone())];
    let mut row = |key: &str, value: String| rows.push((format!("  └ {key}"), value));
    let specs = node.specs.as_deref();
    let counts = Counts::of(node.inventory.containers.values().map(|c| c.life.word()));
    let total = |sum: i64| with_overcommit(sum, overcommit);
    let (cpus, memory) = specs.map_or((0, 0), |s| (total(s.cpus), total(s.memory)));
    let labels: Vec<_> = node.labels().iter().map(|(k, v)| format!("{k}={v}")).collect();
    row("ID", node.id().to_string());
    row("Status", node.state.word().to_string());
    if !node.orders.takes_containers() {
        let since = clock::rfc3339(node.orders.since);
        row("Availability", format!("{} since {since}", node.orders.availability.word()));
        if !node.orders.reason.is_empty() {
            row("Availability Reason", node.orders.reason.clone());
        }
    }
    row(
        "Containers",
        match node.is_healthy() {
            true => format!(
                "{} ({} Running, {} Paused, {} Stopped)",
                counts.total,
                counts.running,
                counts.paused,
                counts.stopped()
            ),
            false => counts.total.to_string(),
        },
    );
    row("Reserved CPUs", format!("{} / {cpus}", node.inventory.used.cpus()));
    row("Reserved Memory", format!("{} / {}", size(node.inventory.used.memory), size(memory)));
    row("Labels", labels.join(", "));
    if let Some(error) = &node.error {
        row("Error", error.clone());
    }
    row("UpdatedAt", clock::rfc3339(node.updated_at));
    row("ServerVersion", specs.map_or_else(String::new, |s| s.version.clone()));
    rows
}

/// Shown by newer clients under the rows.
fn warnings(view: &View) -> Vec<String> {
    let unhealthy = view.nodes().filter(|n| !n.is_healthy()).map(|n| {
        let name = if n.name().is_empty() { &n.addr } else { n.name() };
        format!(
            "WARNING: node {name} is {}: {}",
            n.state.word(),
            n.error.as_deref().unwrap_or("not connected yet")
        )
    });
    let specs = view.validated().filter_map(|n| n.specs.as_ref());
    let told = specs.flat_map(|s| s.warnings.iter().map(|w| format!("WARNING: node {}: {w}", s.name)));
    unhealthy.chain(told).chain(twins(view)).collect()
}

/// Engines with one ID.
fn twins(view: &View) -> Vec<String> {
    let mut by_id: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut warnings = Vec::new();
    for node in view.validated() {
        let others = by_id.entry(node.id()).or_default();
        for other in others.iter() {
            let (first, second) = (node.addr.as_str().min(other), node.addr.as_str().max(other));
            warnings.push(format!(
                "WARNING: {first} and {second} are engines with one ID (a cloned disk?): on one of them stop docker, \
                 remove /etc/docker/key.json and /var/lib/docker/engine-id, start docker"
            ));
        }
        others.push(&node.addr);
    }
    warnings
}

/// Containers by what they do.
#[derive(Default)]
pub struct Counts {
    /// All.
    pub total: usize,
    /// Those that run.
    pub running: usize,
    /// Those that are paused.
    pub paused: usize,
}

impl Counts {
    /// Counts these words of `Life::word`.
    pub fn of(words: impl Iterator<Item = &'static str>) -> Counts {
        words.fold(Counts::default(), |mut counts, word| {
            counts.total += 1;
            match word {
                "paused" => counts.paused += 1,
                "running" | "restarting" => counts.running += 1,
                _ => {}
            }
            counts
        })
    }

    /// Those that do nothing.
    pub fn stopped(&self) -> usize {
        self.total - self.running - self.paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_view_does_not_outlive_it() {
        let node = |addr: &str| Arc::new(Node::unknown(addr.to_string(), 0));
        let (memory, mut view) = (Memory::default(), Arc::new(View::of([node("a:1")])));
        let said = memory.of(&view, 0);
        assert!(Arc::ptr_eq(&said, &memory.of(&view, 0)), "worded once");
        assert!(!Arc::ptr_eq(&said, &memory.of(&view, 5)));
        assert_eq!(Arc::strong_count(&view), 1, "nobody holds it");
        Arc::make_mut(&mut view).put(node("b:1"));
        assert!(memory.of(&view, 0).rows.contains("b:1"));
    }
}
