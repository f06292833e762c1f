//! What an engine holds: the published `Inventory`, and the `Ledger` that folds lists and single answers
//! into the next one.
//!
//! Answers may overtake each other: a full list that was asked for before a container was removed may arrive
//! after the removal is known. Every question therefore carries the number of its asking, and an answer never
//! undoes what a later question learned.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::docker::json::Object;
use crate::docker::reference;
use crate::docker::types::{ListedImage, ListedNetwork, ListedVolume};
use crate::engine::container::Container;
use crate::engine::resources::Resources;

/// A network on an engine, with its list entry.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Network {
    pub fields: ListedNetwork,
    pub entry: Object,
}

/// On a network that is a copy of another node's: the ID of the first one. See `cluster::nets`.
pub const ORIGIN: &str = "com.docker.swarm.network.origin";

impl Network {
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
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Volume {
    pub fields: ListedVolume,
    pub entry: Object,
}

/// An image on an engine, with its list entry.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Image {
    pub fields: ListedImage,
    pub entry: Object,
}

/// Everything on one engine. Immutable.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Containers by full ID: ordered, so that an ID prefix is a range.
    pub containers: BTreeMap<String, Arc<Container>>,
    /// Container IDs by name (with leading `/`).
    pub names: HashMap<String, String>,
    /// Networks.
    pub networks: Arc<[Network]>,
    /// Volumes.
    pub volumes: Arc<[Volume]>,
    /// Images, intermediate layers included.
    pub images: Arc<[Image]>,
    /// What the containers reserve, together.
    pub used: Resources,
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
            ..Inventory::of(counting, cpus)
        }
    }

    /// These containers and nothing else. `cpus` are the engine's.
    pub fn of(containers: impl IntoIterator<Item = Arc<Container>>, cpus: i64) -> Inventory {
        let containers: BTreeMap<_, _> = containers.into_iter().map(|c| (c.id.clone(), c)).collect();
        let names =
            containers.values().flat_map(|c| c.names.iter().map(|n| (n.clone(), c.id.clone()))).collect();
        let used = containers.values().map(|c| Resources::held(c, cpus)).sum();
        Inventory { containers, names, used, ..Inventory::default() }
    }
}

/// The number of a question; later questions have higher numbers.
pub type Asked = u64;

/// The working copy of an inventory. Owned by the engine's task.
#[derive(Debug, Default)]
pub struct Ledger {
    clock: Asked,
    containers: BTreeMap<String, (Asked, Arc<Container>)>,
    /// When containers were last known to be gone.
    gone: HashMap<String, Asked>,
    networks: Arc<[Network]>,
    volumes: Arc<[Volume]>,
    images: Arc<[Image]>,
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
            Some(container) => {
                self.gone.remove(id);
                self.containers.insert(id.to_string(), (asked, container));
            }
            None => {
                self.containers.remove(id);
                self.gone.insert(id.to_string(), asked);
            }
        }
    }

    /// Takes in the IDs of a complete list: what is not in it, and was not learned later, is gone.
    pub fn retain(&mut self, asked: Asked, listed: impl Fn(&str) -> bool) {
        self.containers.retain(|id, (known, _)| *known > asked || listed(id));
        self.gone.retain(|_, known| *known > asked);
    }

    /// Whether a container is known.
    pub fn container(&self, id: &str) -> Option<&Arc<Container>> {
        self.containers.get(id).map(|(_, c)| c)
    }

    /// Takes in the networks.
    pub fn networks(&mut self, networks: Vec<Network>) {
        self.networks = networks.into();
    }

    /// Takes in the volumes.
    pub fn volumes(&mut self, volumes: Vec<Volume>) {
        self.volumes = volumes.into();
    }

    /// Takes in the images. True if a name means another image now: engines list containers by the name of
    /// their image only while it is the name of that image.
    pub fn images(&mut self, images: Vec<Image>) -> bool {
        let before = meanings(&self.images);
        self.images = images.into();
        before != meanings(&self.images)
    }

    /// See `copies`.
    pub fn copies(&self) -> HashMap<String, String> {
        copies(&self.networks)
    }

    /// The inventory as it stands. `cpus` are the engine's.
    pub fn publish(&self, cpus: i64) -> Inventory {
        Inventory {
            networks: Arc::clone(&self.networks),
            volumes: Arc::clone(&self.volumes),
            images: Arc::clone(&self.images),
            ..Inventory::of(self.containers.values().map(|(_, c)| Arc::clone(c)), cpus)
        }
    }

    fn known_since(&self, id: &str) -> Asked {
        let held = self.containers.get(id).map(|(asked, _)| *asked);
        held.into_iter().chain(self.gone.get(id).copied()).max().unwrap_or(0)
    }
}

fn meanings(images: &[Image]) -> BTreeMap<String, String> {
    let named =
        |i: &Image| i.fields.repo_tags.iter().map(|t| (t.clone(), i.fields.id.clone())).collect::<Vec<_>>();
    images.iter().flat_map(named).collect()
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
        let held: Vec<_> = ledger.publish(1).containers.into_keys().collect();
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
        assert_eq!(ledger.publish(1).names.into_keys().collect::<Vec<_>>(), ["/nb"]);
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
            prop_assert_eq!(ledger.publish(1).containers.into_keys().collect::<Vec<_>>(), expected);
        }
    }
}
