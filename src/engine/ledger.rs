//! The `Ledger` of an engine's task folds lists and single answers into the next `Inventory`.
//!
//! Answers may overtake each other: a full list that was asked for before a container was removed may arrive
//! after the removal is known. Every question therefore carries the number of its asking, and an answer never
//! undoes what a later question learned.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::docker::types::ListedImage;
use crate::engine::container::Container;
use crate::engine::inventory::{Image, Inventory, Network, Volume, copies};
use crate::engine::shared::Shared;

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
                self.agreed = None;
                if let Ok(at) = self.position(id) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::json::Object;
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
