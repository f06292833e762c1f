//! What an engine holds: the published `Inventory`, and the `Ledger` that folds lists and single answers
//! into the next one.
//!
//! Answers may overtake each other: a full list that was asked for before a container was removed may arrive
//! after the removal is known. Every question therefore carries the number of its asking, and an answer never
//! undoes what a later question learned.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::docker::form::Form;
use crate::docker::json::Object;
use crate::docker::reference;
use crate::docker::types::{ListedImage, ListedNetwork, ListedVolume};
use crate::engine::container::Container;
use crate::engine::containers::Containers;
use crate::engine::resources::Resources;
use crate::engine::shared::Shared;

/// A network on an engine, with its list entry but for its name and ID.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Network {
    pub fields: ListedNetwork,
    pub form: Form,
}

pub use crate::access::ORIGIN;

impl Network {
    /// Reads a list entry; `None` if it is none.
    pub fn read(entry: &Object) -> Option<Network> {
        let fields = serde_json::from_str(&entry.to_json()).ok()?;
        Some(Network { fields, form: Form::of(entry, &["Name", "Id"]) })
    }

    /// Appends its list entry, with this name and ID, to a list under construction.
    pub fn write(&self, name: &str, id: &str, out: &mut Vec<u8>) {
        self.form.write(&[name, id], out);
    }

    /// Its list entry, as the engine has it.
    pub fn entry(&self) -> Object {
        let mut text = Vec::new();
        self.write(&self.fields.name, &self.fields.id, &mut text);
        Object::parse(&text).unwrap_or_default()
    }

    /// The ID that users know it by: a copy's is that of the first one.
    pub fn known_id(&self) -> &str {
        let origin = self.fields.labels.get(ORIGIN).filter(|_| self.fields.scope == "local");
        origin.map_or(&self.fields.id, |id| id)
    }

    /// Whether it is a copy.
    pub fn is_copy(&self) -> bool {
        self.known_id() != self.fields.id
    }
}

/// A volume on an engine, with its list entry.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Volume {
    pub fields: ListedVolume,
    pub entry: Object,
}

/// An image on an engine, with its list entry.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Image {
    pub fields: ListedImage,
    pub entry: Object,
}

/// Everything on one engine. Immutable.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Containers.
    pub containers: Containers,
    /// Networks.
    pub networks: Arc<[Network]>,
    /// Volumes.
    pub volumes: Arc<[Volume]>,
    /// Images, intermediate layers included.
    pub images: Arc<[Image]>,
    /// A number for all images and what they are called: equal for equal ones, and hardly ever for others.
    pub images_key: u64,
    /// What the containers reserve, together.
    pub used: Resources,
    /// All their names, one on each line: what is in none of them is found out at a glance.
    pub names: Box<str>,
    /// When the newest of them was made, in nanoseconds since the epoch; 0 if there is none.
    pub newest: i64,
    /// How many of them are known roughly: what those reserve is not in that.
    pub rough: usize,
    /// About how many of them events have not told all: see `Container::stale`.
    pub stale: usize,
    /// Containers that are here and do not count: others have taken their place. See `cluster::moves`.
    pub hidden: Vec<Arc<Container>>,
    /// Containers that are here and do not count yet: they are about to take others' places.
    pub awaited: Vec<Arc<Container>>,
}

impl Inventory {
    /// The image that a name, a digest, an ID or the beginning of one means here.
    pub fn image(&self, name: &str) -> Option<&Image> {
        let means =
            |i: &&Image| reference::matches(name, &i.fields.id, &i.fields.repo_tags, &i.fields.repo_digests);
        self.images.iter().find(means)
    }

    /// The same, where the containers for which `hide` holds do not count.
    #[must_use]
    pub fn hiding(&self, hide: impl Fn(&str) -> bool, cpus: i64) -> Inventory {
        let all = self.containers.values().chain(&self.hidden).cloned();
        let (hidden, counting): (Vec<_>, Vec<_>) = all.partition(|c| hide(&c.id));
        Inventory { hidden, awaited: self.awaited.clone(), ..self.with(counting, cpus) }
    }

    /// The same, where the containers for which `comes` holds do not count yet.
    #[must_use]
    pub fn awaiting(&self, comes: impl Fn(&Container) -> bool, cpus: i64) -> Inventory {
        let all = self.containers.values().chain(&self.awaited).cloned();
        let (awaited, counting): (Vec<_>, Vec<_>) = all.partition(|c| comes(c));
        Inventory { awaited, hidden: self.hidden.clone(), ..self.with(counting, cpus) }
    }

    fn with(&self, counting: Vec<Arc<Container>>, cpus: i64) -> Inventory {
        Inventory {
            networks: Arc::clone(&self.networks),
            volumes: Arc::clone(&self.volumes),
            images: Arc::clone(&self.images),
            images_key: self.images_key,
            ..Inventory::of(counting, cpus)
        }
    }

    /// These containers and nothing else. `cpus` are the engine's.
    pub fn of(containers: impl IntoIterator<Item = Arc<Container>>, cpus: i64) -> Inventory {
        let containers = Containers::of(containers);
        let used = containers.values().map(|c| Resources::held(c, cpus)).sum();
        let rough = containers.values().filter(|c| c.rough).count();
        let stale = containers.values().filter(|c| c.stale).count();
        let names: Vec<&str> = containers.values().flat_map(|c| &c.names).map(String::as_str).collect();
        let (names, newest) = (names.join("\n").into(), containers.values().map(|c| c.created).max());
        Inventory {
            containers,
            used,
            rough,
            stale,
            names,
            newest: newest.unwrap_or(0),
            ..Inventory::default()
        }
    }
}

/// The number of a question; later questions have higher numbers.
pub type Asked = u64;

/// The working copy of an inventory. Owned by the engine's task.
#[derive(Debug, Default)]
pub struct Ledger {
    clock: Asked,
    /// In the order of their IDs, each with the number of the question that told of it.
    containers: Vec<(Asked, Arc<Container>)>,
    /// When containers were last known to be gone.
    gone: HashMap<String, Asked>,
    networks: Arc<[Network]>,
    copies: Arc<HashMap<String, String>>,
    volumes: Arc<[Volume]>,
    images: Arc<[Image]>,
    images_key: u64,
    shared: Shared,
    /// A number for a list of containers that brought nothing new, while they are what they were.
    agreed: Option<u64>,
}

impl Ledger {
    /// Numbers the next question.
    pub fn ask(&mut self) -> Asked {
        self.clock += 1;
        self.clock
    }

    /// Takes in one container; `None` says that there is no such container (any more).
    pub fn learn(&mut self, asked: Asked, id: &str, container: Option<Arc<Container>>) {
        if self.known_since(id) > asked {
            return;
        }
        match container {
            Some(mut container) => {
                self.gone.remove(id);
                if let Some(container) = Arc::get_mut(&mut container) {
                    self.shared.with(container);
                }
                match self.position(id) {
                    Ok(at) => {
                        if !container.is_listed_like(&self.containers[at].1) {
                            self.agreed = None;
                        }
                        self.containers[at] = (asked, container);
                    }
                    Err(at) => {
                        self.agreed = None;
                        self.containers.insert(at, (asked, container));
                    }
                }
            }
            None => {
                if let Ok(at) = self.position(id) {
                    self.agreed = None;
                    self.containers.remove(at);
                }
                self.gone.insert(id.to_string(), asked);
            }
        }
    }

    /// Takes in the IDs of a complete list: what is not in it, and was not learned later, is gone.
    pub fn retain(&mut self, asked: Asked, listed: impl Fn(&str) -> bool) {
        let before = self.containers.len();
        self.containers.retain(|(known, c)| *known > asked || listed(&c.id));
        if self.containers.len() != before {
            self.agreed = None;
        }
        self.gone.retain(|_, known| *known > asked);
    }

    /// Notes that a list with this number says what is known.
    pub fn agree(&mut self, list: Option<u64>) {
        self.agreed = list;
    }

    /// Whether a list with this number would say what is known.
    pub fn agrees_with(&self, list: Option<u64>) -> bool {
        list.is_some() && self.agreed == list
    }

    /// Whether a container is known.
    pub fn container(&self, id: &str) -> Option<&Arc<Container>> {
        self.position(id).ok().map(|at| &self.containers[at].1)
    }

    fn position(&self, id: &str) -> std::result::Result<usize, usize> {
        self.containers.binary_search_by(|(_, c)| c.id.as_str().cmp(id))
    }

    /// IDs of the containers whose details were not read yet.
    pub fn rough(&self) -> impl Iterator<Item = String> + '_ {
        self.containers.iter().filter(|(_, c)| c.rough).map(|(_, c)| c.id.clone())
    }

    /// IDs of the containers of which events have not told all.
    pub fn stale(&self) -> impl Iterator<Item = String> + '_ {
        self.containers.iter().filter(|(_, c)| c.stale).map(|(_, c)| c.id.clone())
    }

    /// Takes in the networks. False if they are what they were.
    pub fn networks(&mut self, networks: Vec<Network>) -> bool {
        let changed = replace(&mut self.networks, networks);
        if changed {
            self.copies = Arc::new(copies(&self.networks));
        }
        changed
    }

    /// Takes in the volumes. False if they are what they were.
    pub fn volumes(&mut self, volumes: Vec<Volume>) -> bool {
        replace(&mut self.volumes, volumes)
    }

    /// Takes in the images. False if they are what they were.
    pub fn images(&mut self, images: Vec<Image>) -> bool {
        let changed = replace(&mut self.images, images);
        if changed {
            self.images_key = number(&self.images);
        }
        changed
    }

    /// What the names of images mean. Engines list containers by the name of their image only while it is the name of that
    /// image.
    pub fn meanings(&self) -> HashMap<String, String> {
        let named = |i: &Image| {
            i.fields.repo_tags.iter().map(|t| (t.clone(), i.fields.id.clone())).collect::<Vec<_>>()
        };
        self.images.iter().flat_map(named).collect()
    }

    /// See `copies`.
    pub fn copies(&self) -> Arc<HashMap<String, String>> {
        Arc::clone(&self.copies)
    }

    /// The inventory as it stands. `cpus` are the engine's.
    pub fn publish(&self, cpus: i64) -> Inventory {
        Inventory {
            networks: Arc::clone(&self.networks),
            volumes: Arc::clone(&self.volumes),
            images: Arc::clone(&self.images),
            images_key: self.images_key,
            ..Inventory::of(self.containers.iter().map(|(_, c)| Arc::clone(c)), cpus)
        }
    }

    fn known_since(&self, id: &str) -> Asked {
        let held = self.position(id).ok().map(|at| self.containers[at].0);
        held.into_iter().chain(self.gone.get(id).copied()).max().unwrap_or(0)
    }
}

fn number(images: &[Image]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for ListedImage { id, repo_tags, repo_digests, created, .. } in images.iter().map(|i| &i.fields) {
        (id, repo_tags, repo_digests, created).hash(&mut hasher);
    }
    hasher.finish()
}

/// Puts a list in the place of another. False if they are the same.
fn replace<T: PartialEq>(known: &mut Arc<[T]>, listed: Vec<T>) -> bool {
    let changed = known[..] != listed[..];
    if changed {
        *known = listed.into();
    }
    changed
}

/// The copies among networks: their IDs, with those that users know them by.
pub fn copies(networks: &[Network]) -> HashMap<String, String> {
    let copies = networks.iter().filter(|n| n.is_copy());
    copies.map(|n| (n.fields.id.clone(), n.known_id().to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::types::Inspected;
    use crate::engine::container::Place;
    use proptest::prelude::*;

    fn container(id: &str) -> Arc<Container> {
        let entry = Object::parse(format!(r#"{{"Id":"{id}","Names":["/n{id}"]}}"#).as_bytes()).unwrap();
        Arc::new(Container::build(&entry, &Inspected::default(), &Place::default()).unwrap())
    }

    fn ids(ledger: &Ledger) -> Vec<String> {
        ledger.publish(1).containers.values().map(|c| c.id.clone()).collect()
    }

    #[test]
    fn a_late_list_undoes_nothing() {
        let mut ledger = Ledger::default();
        let list = ledger.ask();
        let single = ledger.ask();
        ledger.learn(single, "new", Some(container("new")));
        let removal = ledger.ask();
        ledger.learn(removal, "old", None);
        // The list was asked for first and arrives last: it lacks "new" and still has "old".
        ledger.learn(list, "old", Some(container("old")));
        ledger.retain(list, |id| id == "old");
        let held = ids(&ledger);
        assert_eq!(held, ["new"]);
    }

    #[test]
    fn a_later_list_removes_what_is_gone() {
        let mut ledger = Ledger::default();
        let asked = ledger.ask();
        ledger.learn(asked, "a", Some(container("a")));
        ledger.learn(asked, "b", Some(container("b")));
        let list = ledger.ask();
        ledger.retain(list, |id| id == "b");
        assert_eq!(ids(&ledger), ["b"]);
        assert!(ledger.publish(1).containers.named("/nb").is_some());
    }

    #[test]
    fn a_list_is_familiar_until_something_changes() {
        let mut ledger = Ledger::default();
        let learn = |ledger: &mut Ledger, id: &str, c: Option<Container>| {
            let asked = ledger.ask();
            ledger.learn(asked, id, c.map(Arc::new));
        };
        let a = Container::clone(&container("a"));
        learn(&mut ledger, "a", Some(a.clone()));
        ledger.agree(Some(7));
        let details = Container { created: 1, exposed: ["80/tcp".to_string()].into(), ..a.clone() };
        learn(&mut ledger, "a", Some(details));
        ledger.retain(9, |_| true);
        assert!(ledger.agrees_with(Some(7)) && !ledger.agrees_with(Some(8)), "details are in no list");
        let renamed = Container { names: vec!["/other".to_string()], ..a.clone() };
        for changed in [Some(renamed), Some(Container { stale: true, ..a.clone() }), None] {
            ledger.agree(Some(7));
            learn(&mut ledger, "a", changed);
            assert!(!ledger.agrees_with(Some(7)));
        }
        learn(&mut ledger, "b", Some(Container { id: "b".into(), ..a }));
        ledger.agree(Some(7));
        ledger.retain(99, |_| false);
        assert!(!ledger.agrees_with(Some(7)));
    }

    proptest! {
        /// Whatever the order of arrival, the answer to the latest question about a container decides.
        #[test]
        fn the_latest_question_decides(answers in proptest::collection::vec((0u8..3, any::<bool>()), 1..12), seed in any::<u64>()) {
            let mut ledger = Ledger::default();
            let mut asked: Vec<_> = answers.iter().map(|(id, there)| (ledger.ask(), id.to_string(), *there)).collect();
            let mut truth = std::collections::BTreeMap::new();
            for (_, id, there) in &asked {
                truth.insert(id.clone(), *there);
            }
            fastrand::Rng::with_seed(seed).shuffle(&mut asked);
            for (n, id, there) in &asked {
                ledger.learn(*n, id, there.then(|| container(id)));
            }
            let expected: Vec<_> = truth.into_iter().filter(|(_, there)| *there).map(|(id, _)| id).collect();
            prop_assert_eq!(ids(&ledger), expected);
        }
    }
}
