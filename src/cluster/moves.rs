//! What is said about containers that take each other's place: which ones do not count any more since another
//! has taken their place, which ones wait for a place, and which ones a user has stopped.
//!
//! `rescheduler` decides and writes; the view, lists and explanations read. It is *not* a book: nothing here
//! survives a restart.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::cluster::members::Cluster;
use crate::engine::container::REPLACES;
use crate::engine::{Container, Inventory, Node};

/// Stops that are remembered until the container is seen to have stopped.
const STOPS: usize = 10_000;

/// A container that waits for a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its name.
    pub name: String,
    /// Name of its node.
    pub node: String,
    /// Why: `waits: …`
    pub why: String,
}

/// All by the engines' IDs of the containers.
#[derive(Default)]
pub struct Moves {
    hidden: RwLock<Arc<HashSet<String>>>,
    /// Those whose successors do not count yet.
    awaited: RwLock<Arc<HashSet<String>>>,
    waiting: RwLock<Arc<HashMap<String, Waiting>>>,
    stopped: Mutex<HashSet<String>>,
    given_up: Mutex<HashSet<String>>,
    remembered: RwLock<HashMap<String, Arc<Inventory>>>,
    moving: Mutex<HashSet<String>>,
}

/// A container that is being moved, by whoever holds this: nobody else moves it meanwhile, nor takes a new copy
/// of it that does not run yet for a left-over.
pub struct Moving {
    cluster: Arc<Cluster>,
    id: String,
}

impl Moving {
    /// The engine's ID of the container.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.cluster.moves().moving().remove(&self.id);
    }
}

impl Moves {
    /// The node without the containers that do not count. One that was not heard of yet is shown with what is
    /// remembered of it.
    pub fn complete(&self, node: Arc<Node>) -> Arc<Node> {
        self.only_counting(self.with_remembered(node))
    }

    fn with_remembered(&self, node: Arc<Node>) -> Arc<Node> {
        let remembered = self.remembered.read().unwrap_or_else(PoisonError::into_inner);
        match remembered.get(&node.addr).filter(|_| node.specs.is_none()) {
            Some(inventory) => Arc::new(Node { inventory: Arc::clone(inventory), ..Node::clone(&node) }),
            None => node,
        }
    }

    /// What lists show of nodes until they are heard of, by address.
    pub fn remember(&self, containers: HashMap<String, Vec<Container>>) {
        let inventory = |all: Vec<Container>| Arc::new(Inventory::of(all.into_iter().map(Arc::new), 0));
        let remembered = containers.into_iter().map(|(address, all)| (address, inventory(all)));
        *self.remembered.write().unwrap_or_else(PoisonError::into_inner) = remembered.collect();
    }

    fn only_counting(&self, node: Arc<Node>) -> Arc<Node> {
        let (hidden, awaited) = (snapshot(&self.hidden), snapshot(&self.awaited));
        let comes = |c: &Container| c.labels.get(REPLACES).is_some_and(|old| awaited.contains(old));
        let inventory = &node.inventory;
        let to_hide = hidden.iter().any(|id| inventory.containers.contains_key(id))
            || inventory.hidden.iter().any(|c| !hidden.contains(&c.id));
        let to_await = (!awaited.is_empty() && inventory.containers.values().any(|c| comes(c)))
            || inventory.awaited.iter().any(|c| !comes(c));
        if !to_hide && !to_await {
            return node;
        }
        let cpus = node.specs.as_ref().map_or(0, |s| s.cpus);
        let inventory = inventory.awaiting(comes, cpus).hiding(|id| hidden.contains(id), cpus);
        Arc::new(Node { inventory: Arc::new(inventory), ..Node::clone(&node) })
    }

    /// Why a container waits for a place, if it does.
    pub fn why_waiting(&self, id: &str) -> Option<String> {
        self.waiting().get(id).map(|w| w.why.clone())
    }

    /// The waiting container that has this name or ID. Its node may not have been heard of since we run, and
    /// then the view does not know it.
    pub fn find_waiting(&self, query: &str) -> Option<Waiting> {
        let bare = query.rsplit('/').next().unwrap_or(query);
        self.waiting().iter().find(|(id, w)| w.name == bare || *id == bare).map(|(_, w)| w.clone())
    }

    /// The containers that wait, by ID.
    pub fn waiting(&self) -> Arc<HashMap<String, Waiting>> {
        Arc::clone(&self.waiting.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Which containers wait, and why: all of them.
    pub fn set_waiting(&self, waiting: HashMap<String, Waiting>) {
        *self.waiting.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(waiting);
    }

    /// A user has asked for a container to stop.
    pub fn user_stops(&self, id: &str) {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if stopped.len() < STOPS {
            stopped.insert(id.to_string());
        }
    }

    /// Whether a user has asked for it. The question is answered once.
    pub fn take_stop(&self, id: &str) -> bool {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    /// A user has removed a container that waits for a place.
    pub fn give_up(&self, id: &str) {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_string());
    }

    /// The containers that users have removed while they waited. Each is told once.
    pub fn take_given_up(&self) -> HashSet<String> {
        std::mem::take(&mut *self.given_up.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change_awaited(&self, change: impl FnOnce(&mut HashSet<String>) -> bool) -> bool {
        let mut awaited = self.awaited.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut awaited))
    }

    /// The containers that are being moved just now.
    pub fn under_way(&self) -> Vec<String> {
        self.moving().iter().cloned().collect()
    }

    fn moving(&self) -> MutexGuard<'_, HashSet<String>> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if that changed anything.
    fn change(&self, change: impl FnOnce(&mut HashSet<String>) -> bool) -> bool {
        let mut hidden = self.hidden.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut hidden))
    }
}

fn snapshot(set: &RwLock<Arc<HashSet<String>>>) -> Arc<HashSet<String>> {
    Arc::clone(&set.read().unwrap_or_else(PoisonError::into_inner))
}

impl Cluster {
    /// Begins to move a container. `None`: somebody does already.
    pub fn begin_move(self: &Arc<Self>, id: &str) -> Option<Moving> {
        let begun = self.moves().moving().insert(id.to_string());
        begun.then(|| Moving { cluster: Arc::clone(self), id: id.to_string() })
    }

    /// From now on a container does not count: another has taken its place. Lists, look-ups, names and ports
    /// are as if it were gone, wherever and whenever its engine shows it.
    pub fn hide(&self, id: &str) {
        if self.moves().change(|hidden| hidden.insert(id.to_string())) {
            self.refold();
        }
    }

    /// A successor of a container is about to be made. It does not count until `succeed`, or `forget_successor`.
    pub fn await_successor(&self, id: &str) {
        self.moves().change_awaited(|awaited| awaited.insert(id.to_string()));
    }

    /// From now on the successor counts, and the container does not: for everybody at the same moment.
    pub fn succeed(&self, id: &str) {
        self.moves().change_awaited(|awaited| awaited.remove(id));
        self.hide(id);
    }

    /// There is no successor any more, or it counts like any other.
    pub fn forget_successor(&self, id: &str) {
        if self.moves().change_awaited(|awaited| awaited.remove(id)) {
            self.refold();
        }
    }

    /// Only those that `keep` names are hidden from now on: the others count again, or are really gone.
    pub fn keep_hidden(&self, keep: impl Fn(&str) -> bool) {
        let forget = |hidden: &mut HashSet<String>| {
            let before = hidden.len();
            hidden.retain(|id| keep(id));
            hidden.len() != before
        };
        if snapshot(&self.moves().hidden).iter().any(|id| !keep(id)) && self.moves().change(forget) {
            self.refold();
        }
    }

    /// It counts again, or is really gone.
    pub fn unhide(&self, id: &str) {
        if self.moves().change(|hidden| hidden.remove(id)) {
            self.refold();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::tests::node;

    #[test]
    fn what_does_not_count_is_kept_aside() {
        let moves = Moves::default();
        let pi = Arc::new(node(
            "a:1",
            "pi",
            &[r#"{"Id":"old","Names":["/web"]}"#, r#"{"Id":"c","Names":["/db"]}"#],
        ));
        assert!(Arc::ptr_eq(&moves.complete(Arc::clone(&pi)), &pi));
        assert!(moves.change(|hidden| hidden.insert("old".into())));
        let without = moves.complete(Arc::clone(&pi));
        assert!(
            without.inventory.containers.named("/db").is_some() && without.inventory.containers.len() == 1
        );
        assert_eq!(without.inventory.hidden[0].id, "old");
        assert!(Arc::ptr_eq(&moves.complete(Arc::clone(&without)), &without));
        assert!(moves.change(|hidden| hidden.remove("old")));
        let again = moves.complete(without);
        assert_eq!((again.inventory.containers.len(), again.inventory.hidden.len()), (2, 0));
    }

    #[test]
    fn a_successor_counts_when_it_is_told_to() {
        let moves = Moves::default();
        let new = r#"{"Id":"new","Names":["/web"],"Labels":{"com.docker.swarm.replaces":"old"}}"#;
        let pi = Arc::new(node("a:1", "pi", &[new]));
        let counts = |moves: &Moves| moves.complete(Arc::clone(&pi)).inventory.containers.len();
        assert_eq!(counts(&moves), 1);
        assert!(moves.change_awaited(|awaited| awaited.insert("old".into())));
        assert_eq!(counts(&moves), 0);
        assert!(moves.change_awaited(|awaited| awaited.remove("old")));
        assert_eq!(counts(&moves), 1);
    }

    #[test]
    fn nodes_that_were_not_heard_of_are_shown_as_remembered() {
        let moves = Moves::default();
        let known = Arc::new(node("a:1", "pi", &[r#"{"Id":"c","Names":["/web"]}"#]));
        let containers = known.inventory.containers.values().map(|c| Container::clone(c)).collect();
        moves.remember(HashMap::from([("a:1".to_string(), containers)]));
        let unheard = |addr: &str| Arc::new(Node::unknown(addr.into(), 0));
        assert_eq!(moves.complete(unheard("a:1")).inventory.containers.len(), 1);
        assert_eq!(moves.complete(unheard("b:1")).inventory.containers.len(), 0);
        let heard = Arc::new(Node { inventory: Arc::default(), ..Node::clone(&known) });
        assert_eq!(moves.complete(heard).inventory.containers.len(), 0);
        assert!(moves.change(|hidden| hidden.insert("c".into())));
        assert_eq!(moves.complete(unheard("a:1")).inventory.containers.len(), 0);
    }

    #[test]
    fn a_stop_is_told_once() {
        let moves = Moves::default();
        moves.user_stops("c");
        assert!(moves.take_stop("c") && !moves.take_stop("c"));
    }
}
