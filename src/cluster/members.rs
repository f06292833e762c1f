//! The cluster's state and its one writer each: the view is written by the engines' tasks through `Sink`,
//! the members by discovery, the reservations under one short lock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::cluster::desk::Desk;
use crate::cluster::events::{self, ClusterEvent};
use crate::cluster::moves::Moves;
use crate::cluster::pending::{Pending, Reservation};
use crate::cluster::view::View;
use crate::docker::endpoint::Endpoint;
use crate::docker::http::{CALL_DEADLINE, Client};
use crate::docker::types::Info;
use crate::engine::Node;
use crate::engine::events::Event;
use crate::engine::handle::Handle;
use crate::engine::machine::Transition;
use crate::engine::refresh::What;
use crate::engine::task::{self, Options, Sink};
use crate::error::{Error, Kind, Result};

/// Events that a slow client may lag behind before its stream is closed.
const EVENT_BACKLOG: usize = 4096;
/// Events of the cluster itself that are remembered for `since`: as many as an engine remembers.
const OWN_EVENTS: usize = 256;

/// How long is waited for the details of containers, and how often looked.
const DETAILS_PATIENCE: Duration = Duration::from_secs(5);
const DETAILS_LOOK: Duration = Duration::from_millis(20);

/// How long is waited for list entries.
const ENTRIES_PATIENCE: Duration = Duration::from_secs(1);

/// How often a call that waits for an engine looks whether that still lives.
const LIVENESS: Duration = Duration::from_millis(500);

struct Member {
    handle: Handle,
    cancel: CancellationToken,
}

/// All engines together.
pub struct Cluster {
    view: RwLock<Arc<View>>,
    members: RwLock<HashMap<String, Member>>,
    pending: Mutex<Pending>,
    events: Mutex<Journal>,
    desk: Desk,
    moves: Moves,
    changes: watch::Sender<()>,
    options: Options,
}

/// The events' way out, and what is remembered of those that went it.
struct Journal {
    sender: broadcast::Sender<Arc<ClusterEvent>>,
    /// The latest time, by each engine's own clock, of an event that was sent; by address.
    told: HashMap<String, i64>,
    /// The cluster's own events: no engine remembers those.
    own: VecDeque<Arc<ClusterEvent>>,
}

/// Where a client joins the events: what it gets from now on, and what came before.
pub struct Joined {
    /// All events from now on.
    pub events: broadcast::Receiver<Arc<ClusterEvent>>,
    /// Each engine's clock at its last event before; by address. Engines that told nothing are not here.
    pub told: HashMap<String, i64>,
    /// The cluster's own events before.
    pub own: Vec<Arc<ClusterEvent>>,
}

impl Cluster {
    /// A cluster without engines.
    pub fn new(options: Options, desk: Desk) -> Arc<Cluster> {
        Arc::new(Cluster {
            view: RwLock::default(),
            members: RwLock::default(),
            pending: Mutex::default(),
            events: Mutex::new(Journal {
                sender: broadcast::channel(EVENT_BACKLOG).0,
                told: HashMap::new(),
                own: VecDeque::new(),
            }),
            desk,
            moves: Moves::default(),
            changes: watch::Sender::new(()),
            options,
        })
    }

    /// The cluster as it stands.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the operator says about nodes.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// What is said about containers that take each other's place.
    pub fn moves(&self) -> &Moves {
        &self.moves
    }

    /// Tells of each new view, for who looks at all of it.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Brings the view in line with what the operator says, and with which containers count.
    pub(super) fn refold(&self) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        *view = Arc::new(view.each(|n| self.complete(n)));
        self.changes.send_replace(());
    }

    /// A node as others see it. Called under the lock of the view, so that `refold` is never overtaken.
    fn complete(&self, node: Arc<Node>) -> Arc<Node> {
        self.moves.complete(self.desk.book().complete(node))
    }

    /// Joins the events. Nothing can be sent between the two halves of what this returns.
    pub fn join_events(&self) -> Joined {
        let journal = self.journal();
        Joined {
            events: journal.sender.subscribe(),
            told: journal.told.clone(),
            own: journal.own.iter().cloned().collect(),
        }
    }

    /// How many clients follow the events.
    pub fn listeners(&self) -> usize {
        self.journal().sender.receiver_count()
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the details of all containers on usable nodes are known, without which nobody knows what those
    /// reserve; or after a while. They are missing for some seconds after a start only.
    pub async fn details_known(&self) {
        let mut changes = self.changes();
        let known = async {
            while self.view().healthy().any(|n| n.inventory.rough > 0) && changes.changed().await.is_ok() {
                tokio::time::sleep(DETAILS_LOOK).await;
            }
        };
        if tokio::time::timeout(DETAILS_PATIENCE, known).await.is_err() {
            tracing::warn!("not all containers could be inspected yet: some reservations are not known");
        }
    }

    /// Has read again what events have not told of containers on usable nodes; false if there is nothing like that. Ends
    /// soon in any case: one engine that hangs must not hold up a list for long.
    pub async fn entries_known(&self) -> bool {
        let view = self.view();
        let stale = view.healthy().filter(|n| n.inventory.stale > 0);
        self.read_entries(stale.map(|n| &**n)).await
    }

    /// The same of some nodes.
    pub async fn read_entries(&self, nodes: impl Iterator<Item = &Node>) -> bool {
        let handles: Vec<_> = nodes.filter_map(|n| self.handle(n).ok()).collect();
        let reading = join_all(handles.iter().map(|h| h.refresh(What::Stale)));
        let _ = tokio::time::timeout(ENTRIES_PATIENCE, reading).await;
        !handles.is_empty()
    }

    /// The way to a node.
    pub fn handle(&self, node: &Node) -> Result<Handle> {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        members.get(&node.addr).map(|m| m.handle.clone()).ok_or_else(|| {
            Error::engine(
                Kind::Unavailable,
                format!("Engine no longer exists: {} ({})", node.name(), node.addr),
            )
        })
    }

    /// The way to a node that can be used now; `what` begins the error text.
    pub fn healthy(&self, node: &Node, what: &str) -> Result<Handle> {
        match node.is_healthy() {
            true => self.handle(node),
            false => Err(Error::engine(
                Kind::Unavailable,
                format!("{what} running on unhealthy node {}", node.name_or_addr()),
            )
            .advise(node.error.clone().unwrap_or_else(|| "see docker info".into()))),
        }
    }

    /// Who answers at an address, also at one that is not listed: the ID of the engine there.
    pub async fn who_answers(&self, endpoint: Endpoint) -> Result<String> {
        let client = Client::new(endpoint, self.options.tls.clone());
        Ok(client.get_json::<Info>("/info", CALL_DEADLINE).await?.id)
    }

    /// Ends when a node cannot be used any more: for calls that wait for it.
    pub async fn until_lost(&self, node: &Node) -> Error {
        loop {
            tokio::time::sleep(LIVENESS).await;
            let view = self.view();
            let now = view.at(&node.addr);
            if !now.is_some_and(|n| n.is_healthy()) {
                let why =
                    now.and_then(|n| n.error.clone()).unwrap_or_else(|| "it left the cluster".to_string());
                let text =
                    format!("Possibly lost connection to Engine (name: {}, ID: {}) ", node.name(), node.id());
                return Error::engine(Kind::Broken, text).advise(why);
            }
        }
    }

    /// Adds the engine at an address, if it is not there yet.
    pub fn add(self: &Arc<Self>, endpoint: Endpoint) {
        let addr = endpoint.to_string();
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        members.entry(addr).or_insert_with(|| {
            let cancel = CancellationToken::new();
            let sink: Arc<dyn Sink> = self.clone();
            let handle = task::spawn(endpoint, self.options.clone(), sink, cancel.clone());
            Member { handle, cancel }
        });
    }

    /// Takes the engine at an address out.
    pub fn remove(&self, addr: &str) {
        let member = self.members.write().unwrap_or_else(PoisonError::into_inner).remove(addr);
        if let Some(member) = member {
            member.cancel.cancel();
            self.journal().told.remove(addr);
            let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
            tracing::info!(ENGINE = addr, "Removed Engine {}", view.at(addr).map_or("", |n| n.name()));
            *view = Arc::new(view.without(addr));
            self.changes.send_replace(());
        }
    }

    /// Decides and reserves in one step: no other decision happens in between. `decide` must not block.
    pub fn decide<T>(&self, decide: impl FnOnce(&Arc<View>, &mut Pending) -> Result<T>) -> Result<T> {
        let mut pending = self.pending();
        // The view is read under the lock: a container leaves `pending` only after it is in the view.
        let view = self.view();
        decide(&view, &mut pending)
    }

    /// Ends a reservation when the returned guard is dropped.
    pub fn reserve(self: &Arc<Self>, pending: &mut Pending, reservation: Reservation) -> Reserved {
        Reserved { cluster: Arc::clone(self), ticket: pending.reserve(reservation) }
    }

    /// Keeps a name from everyone else until the returned guard is dropped.
    pub fn hold_name(self: &Arc<Self>, pending: &mut Pending, name: &str) -> HeldName {
        HeldName { cluster: Arc::clone(self), ticket: pending.hold_name(name) }
    }

    /// The reservations, locked. Never hold this across an `.await`.
    pub fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reservation that ends with this value.
pub struct Reserved {
    cluster: Arc<Cluster>,
    ticket: u64,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.cluster.pending().release(self.ticket);
    }
}

/// A name that is held for a rename, until this value goes.
pub struct HeldName {
    cluster: Arc<Cluster>,
    ticket: u64,
}

impl Drop for HeldName {
    fn drop(&mut self) {
        self.cluster.pending().release_name(self.ticket);
    }
}

impl Sink for Cluster {
    fn publish(&self, node: Arc<Node>) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        // A task that was just removed may have one last snapshot on its lips. `try_read` would not do:
        // `add` holds the members only while it spawns, which publishes nothing by itself.
        let member = self.members.read().unwrap_or_else(PoisonError::into_inner).contains_key(&node.addr);
        if member {
            let node = self.complete(node);
            Arc::make_mut(&mut view).put(node);
            self.changes.send_replace(());
        }
    }

    fn event(&self, node: &Node, event: Event) {
        let mut journal = self.journal();
        let told = journal.told.entry(node.addr.clone()).or_default();
        *told = event.message.time_nano.max(*told);
        if journal.sender.receiver_count() > 0 {
            let _ = journal.sender.send(Arc::new(events::of_engine(node, event)));
        }
    }

    fn transition(&self, node: &Node, transition: Transition) {
        let event = Arc::new(events::of_transition(node, transition));
        let mut journal = self.journal();
        if journal.own.len() == OWN_EVENTS {
            journal.own.pop_front();
        }
        journal.own.push_back(Arc::clone(&event));
        let _ = journal.sender.send(event);
    }
}
