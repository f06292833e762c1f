//! What is known of containers that are to move when their node fails, and of those whose place was taken:
//! pure, and small enough to be on disk as a whole.
//!
//! A *record* says how things stood when the container's engine was heard of for the last time. A
//! *superseded* container is one that is not to run any more: its engine was away while another took its place.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cluster::{Recipe, View};
use crate::docker::json::Object;
use crate::docker::types::{Inspected, Labels};
use crate::engine::container::Place;
use crate::engine::{Container, Node};
use crate::error::{Error, Kind, Result};

/// Version of the form on disk.
const VERSION: u32 = 1;
/// Most containers that are kept, of each kind: a file of some ten MiB.
const MOST: usize = 5000;
/// A container that stopped so shortly before its engine was heard of for the last time has stopped with its
/// node: an engine that is told to end stops its containers first. Nanoseconds.
const LAST_BREATH: i64 = 20_000_000_000;

/// A container that moves if its node fails.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// How to make it anew.
    pub recipe: Recipe,
    /// ID of its engine.
    pub engine: String,
    /// Address of its engine, when that was last seen.
    pub address: String,
    /// When it stopped, if it has; by our clock, nanoseconds since the epoch.
    pub stopped: Option<i64>,
    /// Whether that was a user's wish.
    pub by_user: bool,
    /// When its engine was heard of for the last time, once it is not any more.
    pub silent_since: Option<i64>,
}

impl Record {
    /// Whether its replacement is to run.
    pub fn shall_run(&self) -> bool {
        let with_its_node = |at: i64| self.silent_since.is_some_and(|since| at >= since - LAST_BREATH);
        self.recipe.running || (!self.by_user && self.stopped.is_some_and(with_its_node))
    }

    /// The container as lists show it until its engine is heard of: what is remembered of it.
    fn remembered(&self, node_prefix: bool) -> Option<Container> {
        let body = &self.recipe.body;
        let labels: Labels = body.get("Labels").unwrap_or_default();
        let entry = json!({
            "Id": self.recipe.id, "Names": [format!("/{}", self.recipe.name)],
            "Image": body.get::<String>("Image").unwrap_or_default(), "ImageID": "", "Command": "", "Created": 0,
            "Ports": [], "Labels": labels, "State": "exited", "Status": "", "Mounts": [],
            "HostConfig": {"NetworkMode": body.object("HostConfig").get::<String>("NetworkMode")},
            "NetworkSettings": {"Networks": {}},
        });
        let entry = Object::parse(entry.to_string().as_bytes()).ok()?;
        let prefix = node_prefix.then(|| self.recipe.node.clone());
        Container::build(&entry, &Inspected::default(), &Place { prefix, ..Place::default() })
    }
}

/// A container whose place was taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Superseded {
    /// ID of its engine.
    pub engine: String,
    /// Name of its node.
    pub node: String,
    /// Its own name.
    pub name: String,
    /// Volumes without a name that stay on its node, with their data.
    pub left: Vec<String>,
    /// ID of the container that took its place.
    pub by: String,
    /// How it was, until its replacement runs or is known not to have to.
    pub record: Option<Box<Record>>,
}

/// All of it, by the engines' IDs of the containers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Book {
    version: u32,
    /// Containers that may have to move.
    pub records: BTreeMap<String, Record>,
    /// Containers that are not to come back.
    pub superseded: BTreeMap<String, Superseded>,
    /// Whether the log tells that there is no room for more.
    #[serde(skip)]
    told_full: bool,
}

impl Book {
    /// Takes in what a node holds, or held when it was heard of for the last time. `stops` tells whether a user has
    /// asked for a container to stop. True if anything is different now.
    pub fn learn(&mut self, node: &Node, view: &View, stops: impl Fn(&str) -> bool) -> bool {
        let before = self.records.len();
        let there = |id: &String| node.inventory.containers.contains_key(id);
        // Machines with one ID (a cloned disk) are told apart by address.
        let anothers =
            |r: &Record| r.address != node.addr && view.at(&r.address).is_some_and(|n| n.id() == r.engine);
        self.records.retain(|id, r| r.engine != node.id() || there(id) || anothers(r));
        let mut changed = self.records.len() != before;
        for container in node.inventory.containers.values() {
            let known = self.records.get(&container.id);
            if known.is_none() && self.records.len() >= MOST {
                if !std::mem::replace(&mut self.told_full, true) {
                    tracing::error!(
                        "{MOST} containers that move on failure are known, which is the limit: others stay"
                    );
                }
                continue;
            }
            let stopped_by_user = || stops(&container.id);
            match record(container, node, view, known, stopped_by_user) {
                Some(record) if known.is_none_or(|known| !same(known, &record)) => {
                    self.records.insert(container.id.clone(), record);
                    changed = true;
                }
                _ => {}
            }
        }
        changed | (node.is_healthy() && self.forget_removed(node))
    }

    /// Superseded containers that a node does not have any more are really gone.
    fn forget_removed(&mut self, node: &Node) -> bool {
        let before = self.superseded.len();
        let inventory = &node.inventory;
        let there = |id: &String| {
            inventory.containers.contains_key(id) || inventory.hidden.iter().any(|c| c.id == *id)
        };
        self.superseded.retain(|id, s| s.record.is_some() || s.engine != node.id() || there(id));
        self.superseded.len() != before
    }

    /// An engine does not answer any more since a moment.
    pub fn silence(&mut self, engine: &str, since: i64) -> bool {
        let mut changed = false;
        let unaware = |r: &&mut Record| r.engine == engine && r.silent_since.is_none();
        for record in self.records.values_mut().filter(unaware) {
            record.silent_since = Some(since);
            changed = true;
        }
        changed
    }

    /// A container's place was taken by the one with the ID `by`.
    pub fn supersede(&mut self, id: &str, by: &str) {
        // What was to be started in its stead was lost before that.
        for entry in self.superseded.values_mut().filter(|s| s.record.is_some() && s.by == id) {
            entry.by = by.to_string();
        }
        if let Some(record) = self.records.remove(id) {
            let entry = Superseded {
                engine: record.engine.clone(),
                node: record.recipe.node.clone(),
                name: record.recipe.name.clone(),
                left: record.recipe.left.clone(),
                by: by.to_string(),
                record: record.shall_run().then(|| Box::new(record)),
            };
            if self.superseded.len() < MOST {
                self.superseded.insert(id.to_string(), entry);
            }
        }
    }

    /// The replacement runs, as the container with the ID `by`.
    pub fn runs(&mut self, id: &str, by: &str) {
        if let Some(entry) = self.superseded.get_mut(id) {
            entry.record = None;
            entry.by = by.to_string();
        }
    }

    /// The replacement is no more: the container is what it was before.
    pub fn restore(&mut self, id: &str) {
        if let Some(record) = self.superseded.remove(id).and_then(|s| s.record) {
            self.records.insert(id.to_string(), *record);
        }
    }

    /// Takes back what was decided for replacements that are not there. Others may have decided otherwise since,
    /// and have removed them. Returns the IDs of the containers that count again.
    pub fn reconsider(&mut self, is_there: impl Fn(&str, &Superseded) -> bool) -> Vec<String> {
        let lost = self.superseded.iter().filter(|(id, entry)| !is_there(id, entry));
        let lost: Vec<String> = lost.map(|(id, _)| id.clone()).collect();
        lost.iter().for_each(|id| self.restore(id));
        lost
    }

    /// The containers of all nodes as lists show them until their engines are heard of, by address.
    pub fn remembered(&self, node_prefix: bool) -> HashMap<String, Vec<Container>> {
        let mut all: HashMap<String, Vec<Container>> = HashMap::new();
        for record in self.records.values() {
            all.entry(record.address.clone()).or_default().extend(record.remembered(node_prefix));
        }
        all
    }

    /// Reads the form on disk. The error is the reason, for a person.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Book, String> {
        let book: Book = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        match book.version {
            VERSION => Ok(book),
            other => Err(format!("version {other} is not known to this swarmd")),
        }
    }

    /// The form on disk.
    pub fn render(&self) -> Result<Vec<u8>> {
        let book = Book { version: VERSION, ..self.clone() };
        serde_json::to_vec(&book).map_err(|e| Error::us(Kind::Internal, e.to_string()))
    }
}

/// A container's record, if it is one that moves.
fn record(
    container: &Container,
    node: &Node,
    view: &View,
    known: Option<&Record>,
    stopped_by_user: impl Fn() -> bool,
) -> Option<Record> {
    let recipe = Recipe::read(container.whole.as_ref()?, node, view)?;
    let skew = node.specs.as_ref().map_or(0, |s| s.skew);
    let stopped = container.life.finished.filter(|_| !recipe.running).map(|at| at + skew);
    // What was known to have stopped before has stopped for the reason that is known.
    let by_user = match known.filter(|k| k.stopped.is_some() && stopped.is_some()) {
        Some(known) => known.by_user || stopped_by_user(),
        None => stopped.is_some() && stopped_by_user(),
    };
    let (engine, address) = (node.id().to_string(), node.addr.clone());
    let silent_since = known.filter(|_| !node.is_healthy()).and_then(|k| k.silent_since);
    Some(Record { recipe, engine, address, stopped, by_user, silent_since })
}

fn same(a: &Record, b: &Record) -> bool {
    let text = |r: &Record| serde_json::to_string(r).unwrap_or_default();
    text(a) == text(b)
}
