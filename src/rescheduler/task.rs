//! The one who keeps the book: looks at each new view, decides with `plan`, has the steps done, takes in what
//! came of them. Everything that decides who wins happens here, one thing after the other.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::book::{Book, Record, Superseded};
use super::plan::{Replacement, Step, Watch, replacement_of, taken_over};
use super::shelf::Shelf;
use super::work::{self, Done};
use super::{MayAct, Rescheduler};
use crate::api::Api;
use crate::clock;
use crate::cluster::View;
use crate::cluster::moves::{Moving, Waiting};
use crate::engine::container::REPLACES;
use crate::engine::{Inventory, Node};
use crate::systemd::beat::{self, Beat};

/// Pause between two looks when nothing happens: pauses and delays end by themselves.
const TICK: Duration = Duration::from_secs(1);
/// Shortest pause between two looks: changes that come in a crowd are looked at together.
const GATHERING: Duration = Duration::from_millis(200);
/// Containers that are made at once: engines and disks have other things to do, too, and images take their time.
const MAKES: usize = 4;
/// Other steps under way at once.
const STEPS: usize = 16;

pub(super) struct Task {
    pub(super) api: Arc<Api>,
    pub(super) may_act: MayAct,
    /// Whether we may act, and have looked anew at what was decided before.
    leads: bool,
    begun: Instant,
    pub(super) book: Book,
    pub(super) shelf: Shelf,
    pub(super) watch: Watch,
    /// Nodes as they were looked at last, by address.
    seen: HashMap<String, Seen>,
    /// When engines were heard of, by ID; nanoseconds since the epoch.
    heard: HashMap<String, i64>,
    /// IDs of containers and engines that a step is about.
    pub(super) busy: BTreeSet<String>,
    pub(super) steps: JoinSet<Done>,
    /// How many of them make a container.
    pub(super) making: usize,
    told: HashMap<String, Waiting>,
}

struct Seen {
    inventory: Arc<Inventory>,
    healthy: bool,
    replacements: Vec<Replacement>,
}

impl Task {
    pub(super) fn new(rescheduler: Rescheduler) -> Task {
        let Rescheduler { api, may_act, book, shelf } = rescheduler;
        Task {
            begun: Instant::now(),
            watch: Watch::default(),
            seen: HashMap::new(),
            heard: HashMap::new(),
            busy: BTreeSet::new(),
            steps: JoinSet::new(),
            making: 0,
            // Alone from the beginning: what is on disk was decided by nobody else.
            leads: may_act(),
            told: HashMap::new(),
            api,
            may_act,
            book,
            shelf,
        }
    }

    pub(super) async fn run(mut self, beat: &Beat, cancel: CancellationToken) {
        let mut changes = self.api.cluster.changes();
        let mut is_new = true;
        while !cancel.is_cancelled() {
            // A look may write the book, and so may what came of a step.
            beat.within(beat::SAVING * 2 + TICK);
            let view = self.api.cluster.view();
            // It may have changed since.
            is_new |= changes.has_changed().unwrap_or(true);
            self.look(&view, is_new).await;
            // Who holds a view while it waits has each change copy what the view shares with the next.
            drop(view);
            let looked = Instant::now();
            tokio::select! {
                Some(done) = self.steps.join_next() => {
                    is_new = true;
                    if let Ok(done) = done {
                        self.take(done).await;
                    }
                }
                changed = timeout(TICK, changes.changed()) => {
                    is_new = changed.is_ok();
                    if is_new {
                        sleep_until(looked + GATHERING).await;
                        changes.borrow_and_update();
                    }
                }
                () = cancel.cancelled() => {}
            }
        }
        self.shelf.keep(&self.book, true).await;
    }

    /// Brings the book in line with the view, if that has changed since the last look, then acts.
    async fn look(&mut self, view: &View, is_new: bool) {
        let now = self.now();
        if is_new {
            self.learn(view);
        }
        self.listen(view);
        let replacements: Vec<Replacement> =
            self.seen.values().flat_map(|s| s.replacements.clone()).collect();
        let given_up = self.give_up();
        let leads = self.takes_lead(view, &replacements);
        // Who wins is for the one to say who acts: others do not see what it takes back.
        let settled = leads && self.settle(view, &replacements);
        self.shelf.keep(&self.book, settled || given_up).await;
        self.tell_who_waits(now);
        if leads {
            let busy = self.busy_now();
            for step in self.watch.plan(&self.book, view, &replacements, &busy, self.delay(), now) {
                let room = match step {
                    Step::Make(_) => self.making < MAKES,
                    _ => self.steps.len() < self.making + STEPS,
                };
                if room {
                    self.begin(step, &replacements);
                }
            }
        }
    }

    /// What users have removed while it waited is removed from its node when that is back. True if there is any.
    fn give_up(&mut self) -> bool {
        let given_up = self.api.cluster.moves().take_given_up();
        for id in &given_up {
            self.book.supersede(id, "");
            self.book.runs(id, "");
            self.api.cluster.hide(id);
            self.shelf.touch();
        }
        !given_up.is_empty()
    }

    /// Whether we may act. Who could not until now first gives up what it believes to be decided and cannot see:
    /// another one has acted since. It looks anew before it acts.
    fn takes_lead(&mut self, view: &View, replacements: &[Replacement]) -> bool {
        let led = std::mem::replace(&mut self.leads, (self.may_act)());
        if led || !self.leads {
            return self.leads;
        }
        if view.nodes().any(|n| n.specs.is_none() && n.error.is_none()) {
            self.leads = false; // Not all were called yet.
            return false;
        }
        let there = |id: &str, entry: &Superseded| replacement_of(id, entry, replacements).is_some();
        let again = self.book.reconsider(there);
        if !again.is_empty() {
            tracing::info!("{} containers count again: what took their place is gone", again.len());
            self.shelf.touch();
        }
        let busy = self.busy_now();
        let superseded = &self.book.superseded;
        self.api.cluster.keep_hidden(|id| superseded.contains_key(id) || busy.contains(id));
        false
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Looks at the nodes that have changed.
    pub(super) fn learn(&mut self, view: &View) {
        let cluster = Arc::clone(&self.api.cluster);
        let mut known = 0;
        for node in view.validated() {
            known += 1;
            let same =
                |s: &Seen| Arc::ptr_eq(&s.inventory, &node.inventory) && s.healthy == node.is_healthy();
            if self.seen.get(&node.addr).is_some_and(same) {
                continue;
            }
            let healthy = node.is_healthy();
            if self.book.learn(node, view, |id| cluster.moves().take_stop(id)) {
                self.shelf.touch();
            }
            let replacements = if healthy { replacements_on(node) } else { Vec::new() };
            let inventory = Arc::clone(&node.inventory);
            self.seen.insert(node.addr.clone(), Seen { inventory, healthy, replacements });
        }
        if self.seen.len() > known {
            self.seen.retain(|address, _| view.at(address).is_some());
        }
    }

    /// Listens for the engines of records.
    pub(super) fn listen(&mut self, view: &View) {
        let engines: HashSet<&String> = self.book.records.values().map(|r| &r.engine).collect();
        self.heard.retain(|engine, _| engines.contains(engine));
        for engine in engines {
            if view.engine(engine).any(|node| node.is_healthy()) {
                self.heard.insert(engine.clone(), clock::unix_nanos());
            }
        }
        for engine in self.watch.listen(&self.book, view, self.now()) {
            let since = self.heard.get(&engine).copied().unwrap_or_else(clock::unix_nanos);
            if self.book.silence(&engine, since) {
                self.shelf.touch();
            }
        }
    }

    /// Takes replacements into the book that are not in it. True if that changed it.
    fn settle(&mut self, view: &View, replacements: &[Replacement]) -> bool {
        let busy = self.busy_now();
        let found: Vec<_> = taken_over(&self.watch, &self.book, view, replacements, &busy).cloned().collect();
        let mut changed = false;
        for replacement in found {
            if self.book.records.contains_key(&replacement.of) {
                self.book.supersede(&replacement.of, &replacement.id);
                changed = true;
            }
            if replacement.started {
                self.book.runs(&replacement.of, &replacement.id);
            }
            self.api.cluster.hide(&replacement.of);
        }
        self.forget_hidden(view, replacements, &busy);
        for id in self.watch.abandoned(&self.book, view, replacements, &busy) {
            self.book.runs(&id, "");
            changed = true;
        }
        if changed {
            self.shelf.touch();
        }
        changed
    }

    /// What is nowhere any more need not be hidden.
    fn forget_hidden(&self, view: &View, replacements: &[Replacement], busy: &BTreeSet<String>) {
        let replaced: HashSet<&str> = replacements.iter().map(|r| r.of.as_str()).collect();
        let aside = view.nodes().flat_map(|n| n.inventory.hidden.iter());
        let aside: HashSet<&str> = aside.map(|c| c.id.as_str()).collect();
        let superseded = &self.book.superseded;
        self.api.cluster.keep_hidden(|id| {
            superseded.contains_key(id) || busy.contains(id) || replaced.contains(id) || aside.contains(id)
        });
    }

    /// `reschedule-delay` as it is now, in milliseconds.
    fn delay(&self) -> u64 {
        u64::try_from(self.api.config().manager.reschedule_delay.as_millis()).unwrap_or(u64::MAX)
    }

    fn busy_now(&self) -> BTreeSet<String> {
        self.busy.iter().cloned().chain(self.api.cluster.moves().under_way()).collect()
    }

    /// Shows why containers wait; the log tells of each reason once.
    fn tell_who_waits(&mut self, now: u64) {
        let waiting = self.watch.waiting(&self.book, self.delay(), now);
        if waiting == self.told {
            return;
        }
        for (id, Waiting { name, node, why }) in
            waiting.iter().filter(|(id, w)| self.told.get(*id) != Some(w))
        {
            tracing::warn!(CONTAINER = name, NODE = node, "Container {name} ({id}) of {node} {why}");
        }
        self.api.cluster.moves().set_waiting(waiting.clone());
        self.told = waiting;
    }

    fn begin(&mut self, step: Step, replacements: &[Replacement]) {
        let api = Arc::clone(&self.api);
        match step {
            Step::Make(id) => {
                let moving = self.api.cluster.begin_move(&id);
                if let (Some(moving), Some(record)) = (moving, self.book.records.get(&id).cloned()) {
                    self.busy.insert(id.clone());
                    self.making += 1;
                    self.steps.spawn(work::make(api, moving, record, self.watch.attempt(&id).avoid));
                }
            }
            Step::Start(of) => {
                let Some(entry) = self.book.superseded.get(&of) else { return };
                let at = replacement_of(&of, entry, replacements);
                if let (Some(record), Some(at)) = (entry.record.clone(), at) {
                    self.start(None, of, *record, (at.id.clone(), at.address.clone()));
                }
            }
            Step::Probe { engine, address } => {
                if self.busy.insert(engine.clone()) {
                    self.steps.spawn(work::probe(api, engine, address));
                }
            }
            Step::Revive { address, id } => {
                if self.busy.insert(id.clone()) {
                    self.steps.spawn(work::revive(api, address, id));
                }
            }
            Step::Remove { address, id } => {
                let entry = self.book.superseded.get(&id).cloned();
                if self.busy.insert(id.clone()) {
                    self.steps.spawn(work::remove(api, address, id, entry));
                }
            }
        }
    }

    pub(super) fn start(
        &mut self,
        moving: Option<Moving>,
        of: String,
        record: Record,
        whom: (String, String),
    ) {
        self.busy.insert(of.clone());
        self.steps.spawn(work::start(Arc::clone(&self.api), moving, of, record, whom));
    }
}

/// The containers of a node whose labels say whose place they took.
fn replacements_on(node: &Node) -> Vec<Replacement> {
    let skew = node.specs.as_ref().map_or(0, |s| s.skew);
    let replacement = |c: &Arc<crate::engine::Container>| {
        Some(Replacement {
            of: c.labels.get(REPLACES)?.to_string(),
            id: c.id.clone(),
            address: node.addr.clone(),
            started: c.life.started.is_some(),
            failed: c.life.started.is_some() && !c.life.running && c.life.exit_code != 0,
            created: c.created + skew,
        })
    };
    node.inventory.containers.values().filter_map(replacement).collect()
}
