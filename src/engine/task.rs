//! The task that owns one engine: it connects, reads everything, follows events, refreshes, notices death.
//!
//! Decisions are in `machine` (states and pauses), `ledger` (folding answers) and `refresh` (what to ask);
//! here are only the sockets and timers. The task asks in parallel and never waits for one answer with the
//! others in line, so a stuck question holds up nobody.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::Settings;
use crate::docker::endpoint::Endpoint;
use crate::docker::fence::Fence;
use crate::docker::http::Client;
use crate::docker::json::Object;
use crate::docker::types::Labels;
use crate::engine::compare;
use crate::engine::container::{Container, Place, moves_on_failure};
use crate::engine::events::{self, Event, EventStream, Position};
use crate::engine::fetch::{self, Asker};
use crate::engine::handle::{self, Ear, Handle};
use crate::engine::ledger::Ledger;
use crate::engine::machine::{Machine, State, Transition};
use crate::engine::node::Node;
use crate::engine::serve::Serving;
use crate::engine::specs::Specs;
use crate::engine::turns::Turns;
use crate::error::{Error, Result};
use crate::systemd::beat::{Beat, Beats};
use crate::tls::ClientTls;

/// Pause between two readings of the specs, which change with a reload or a restart, both of which show by
/// themselves; a wrong clock does not.
const SPECS_INTERVAL: Duration = Duration::from_secs(3600);
/// The same while the engine's clock is known to be wrong.
const CLOCK_INTERVAL: Duration = Duration::from_secs(300);
/// An engine is not connected to again sooner than this after the last time.
const SHORTEST_SERVICE: Duration = Duration::from_millis(300);
/// Seconds after which the node of an engine that answers is published anew, though nothing changed: that it says when
/// there was contact.
const LONGEST_SILENCE: i64 = 300;
/// After a shorter interruption the engine tells what happened meanwhile: it remembers 256 events, unless it is restarted.
const BLINK: Duration = Duration::from_secs(15);
/// Reading everything from an engine takes less than this, or hangs: the sum of many deadlines, and then some. Without the
/// wait for its turn, and with some hundred containers that move and cannot be inspected.
const LONGEST_CONNECT: Duration = Duration::from_secs(1800);

/// How engines are watched.
#[derive(Clone)]
pub struct Options {
    /// Intervals, patience and names, as they are now.
    pub settings: Settings,
    /// TLS towards engines on TCP.
    pub tls: Option<ClientTls>,
    /// Asked before each call that may change something on an engine.
    pub fence: Arc<dyn Fence>,
    /// Where each task says that it turns.
    pub beats: Beats,
    /// What engines take in turns, so that a manager that starts, or whose network blinks, storms nobody.
    pub turns: Arc<Turns>,
}

/// Where a task's findings go. Called from the task; must not block.
pub trait Sink: Send + Sync + 'static {
    /// A new snapshot of the engine.
    fn publish(&self, node: Arc<Node>);
    /// An event of the engine. What it tells of is already in the published snapshot.
    fn event(&self, node: &Node, event: Event);
    /// The engine came or went.
    fn transition(&self, node: &Node, transition: Transition);
}

/// Starts the task of one engine; it ends when `cancel` fires.
pub fn spawn(endpoint: Endpoint, options: Options, sink: Arc<dyn Sink>, cancel: CancellationToken) -> Handle {
    let addr = endpoint.to_string();
    // What the task asks by itself changes nothing, and needs no fence.
    let asker = Asker::new(Client::thrifty(endpoint.clone(), options.tls.clone()));
    let client = Client::new(endpoint, options.tls.clone()).fenced(Arc::clone(&options.fence));
    let (commands, ear) = mpsc::channel(handle::COMMAND_QUEUE);
    // In a box: a task keeps room for whatever it was given twice, and there are thousands.
    let engine = Box::new(Engine {
        asker,
        machine: Machine::new(options.settings.now().manager.engine_failure_retry),
        ledger: Ledger::default(),
        specs: None,
        node: Node::unknown(addr.clone(), clock::unix_seconds()),
        beat: options.beats.join(format!("the watch of engine {addr}")),
        heard: None,
        prefixed: true,
        position: Position::default(),
        options,
        sink,
        rng: fastrand::Rng::new(),
    });
    tokio::spawn(engine.run(ear, cancel));
    Handle { addr, client, making: Arc::new(Semaphore::new(1)), commands }
}

/// Everything that the task owns.
pub(super) struct Engine {
    pub(super) asker: Asker,
    pub(super) machine: Machine,
    pub(super) ledger: Ledger,
    pub(super) specs: Option<Arc<Specs>>,
    node: Node,
    pub(super) position: Position,
    pub(super) options: Options,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) rng: fastrand::Rng,
    pub(super) beat: Beat,
    /// When the stream of its events ended.
    heard: Option<Instant>,
    /// Whether the entries of containers were made with the node's name in front.
    prefixed: bool,
}

impl Engine {
    async fn run(mut self: Box<Self>, mut ear: Ear, cancel: CancellationToken) {
        let turns = Arc::clone(&self.options.turns);
        turns.engines.fetch_add(1, Ordering::Relaxed);
        self.publish();
        tokio::select! {
            () = self.live(&mut ear) => {}
            () = cancel.cancelled() => {}
        }
        turns.engines.fetch_sub(1, Ordering::Relaxed);
        let lost = self.machine.removed();
        self.update_node();
        if let Some(transition) = lost {
            self.sink.transition(&self.node, transition);
        }
    }

    /// Connects and serves, over and over.
    async fn live(&mut self, ear: &mut Ear) {
        loop {
            self.beat.within(LONGEST_CONNECT);
            // Boxed, both of them: thousands of tasks would else keep room for the larger one.
            match Box::pin(self.connect()).await {
                Ok(stream) => {
                    let started = Instant::now();
                    Box::pin(Serving::new(self).run(stream, ear)).await;
                    self.heard = Some(Instant::now());
                    // An engine that closes each stream at once must not be asked for everything in a tight loop.
                    sleep_until(started + SHORTEST_SERVICE).await;
                }
                Err(error) => self.failed(&error),
            }
            if self.machine.error().is_some() {
                let pause = self.machine.pause(self.rng.f64());
                self.beat.within(pause);
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// From nothing to a complete picture: ping, specs, event stream, then everything that the engine holds.
    /// The stream is opened first, so that nothing can change unseen.
    async fn connect(&mut self) -> Result<EventStream> {
        // Before its turn: one that does not answer takes none.
        self.asker.ping().await?;
        self.prefixed = self.options.settings.now().manager.node_prefix;
        let turns = Arc::clone(&self.options.turns);
        // However long that takes.
        self.beat.within(Duration::MAX);
        let _turn = turns.connects.acquire().await;
        self.beat.within(LONGEST_CONNECT);
        self.node.ip = fetch::resolve(self.asker.client.endpoint()).await?;
        self.read_specs().await?;
        self.position.begin(self.specs.as_ref().map_or(0, |s| s.told_at));
        let stream = events::open(&self.asker, &self.position).await?;
        // Networks first: list entries show some of them under another ID.
        self.ledger.networks(self.asker.networks().await?);
        let asked = self.ledger.ask();
        let list = self.asker.list_of_containers().await?;
        let (containers, from_list_alone) = self.listed(self.asker.read_list(&list)?).await;
        let listed: std::collections::HashSet<_> = containers.iter().map(|c| c.id.clone()).collect();
        for container in containers {
            self.ledger.learn(asked, &container.id.clone(), Some(Arc::new(container)));
        }
        self.ledger.retain(asked, |id| listed.contains(id));
        if from_list_alone {
            self.ledger.agree(compare::fingerprint(&list));
        }
        // One after the other, over one connection: there may be thousands.
        self.ledger.volumes(self.asker.volumes().await?);
        self.ledger.images(self.asker.images().await?);
        self.rest();
        let transition = self.machine.validated();
        self.publish();
        turns.was_read();
        if let Some(transition) = transition {
            self.announce(transition);
        }
        Ok(stream)
    }

    /// The containers of a list, and whether all were made of that alone. Their details are read later: the list tells what
    /// look-ups need; after a blink, only of those that are not what they were, so that a network that blinks costs little.
    /// Those that move when their node fails must be known as a whole before anything happens to it.
    async fn listed(&self, entries: Vec<Object>) -> (Vec<Container>, bool) {
        let place = self.place();
        let blink = self.heard.is_some_and(|until| until.elapsed() < BLINK);
        let moves = |entry: &Object| entry.get::<Labels>("Labels").is_some_and(|l| moves_on_failure(&l));
        let count = entries.len();
        let (whole, entries): (Vec<_>, Vec<_>) =
            entries.into_iter().enumerate().partition(|(_, entry)| moves(entry));
        let whole: Vec<_> = whole.into_iter().map(|(_, entry)| entry).collect();
        let sketched = entries.iter().filter_map(|(at, entry)| {
            let id = entry.get::<String>("Id")?;
            match self.ledger.container(&id) {
                Some(known) => Some(known.found_again(entry, &place, blink)),
                None => Container::sketch(entry, &place).map(|c| c.newer_than(count - at)),
            }
        });
        let mut containers: Vec<_> = sketched.collect();
        let from_list_alone = whole.is_empty();
        containers.extend(self.asker.complete(whole, &place).await);
        (containers, from_list_alone)
    }

    /// Lets idle connections go: to thousands of engines they are much. To a few they cost nothing, and ping better over
    /// a bad network than a new one does.
    pub(super) fn rest(&mut self) {
        if self.options.turns.are_for_many() {
            self.asker.client.rest();
        }
    }

    /// Reads the specs. Another engine at the same address starts from an empty inventory.
    pub(super) async fn read_specs(&mut self) -> Result<()> {
        let specs = self.asker.specs(&self.node.addr).await?;
        self.learn_specs(specs);
        Ok(())
    }

    pub(super) fn learn_specs(&mut self, specs: Specs) {
        if let Some(before) = self.specs.as_ref().filter(|b| b.id != specs.id) {
            let text = format!(
                "Engine (ID: {}, Addr: {}) shows up with another ID:{}",
                before.id, self.node.addr, specs.id
            );
            tracing::warn!(ENGINE = self.node.addr, "{text}: taking it as a new engine");
            self.machine.replaced(text);
            self.ledger = Ledger::default();
            self.position = Position::default();
        }
        let known = self.specs.as_ref().map(|s| s.warnings.clone()).unwrap_or_default();
        for warning in specs.warnings.iter().filter(|w| !known.contains(w)) {
            tracing::warn!(ENGINE = self.node.addr, NODE = specs.name, "{warning}");
        }
        self.specs = Some(Arc::new(specs));
    }

    /// Counts a failed contact.
    pub(super) fn failed(&mut self, error: &Error) {
        let text = error.to_string();
        if self.machine.error() != Some(&text) {
            let kind = error.kind.word();
            tracing::info!(ENGINE = self.node.addr, NODE = self.node.name(), KIND = kind, "engine: {text}");
        }
        self.machine.set_limit(self.options.settings.now().manager.engine_failure_retry);
        let transition = self.machine.failed(text);
        self.publish();
        if let Some(transition) = transition {
            self.announce(transition);
        }
    }

    /// Makes the next snapshot and hands it out.
    pub(super) fn publish(&mut self) {
        let cpus = self.specs.as_ref().map_or(0, |s| s.cpus);
        self.node.inventory = Arc::new(self.ledger.publish(cpus));
        self.update_node();
        self.sink.publish(Arc::new(self.node.clone()));
    }

    /// Whether it looks as if there were no contact to the engine.
    pub(super) fn was_published_long_ago(&self) -> bool {
        clock::unix_seconds() - self.node.updated_at > LONGEST_SILENCE
    }

    fn update_node(&mut self) {
        self.node.state = self.machine.state();
        self.node.health = self.machine.health();
        self.node.error = self.machine.error().map(str::to_string);
        self.node.updated_at = clock::unix_seconds();
        self.node.specs = self.specs.clone();
    }

    fn announce(&self, transition: Transition) {
        let (name, addr) = (self.node.name(), &self.node.addr);
        match transition {
            Transition::Connected => {
                tracing::info!(ENGINE = addr, NODE = name, "Registered Engine {name} at {addr}");
            }
            Transition::Reconnected => tracing::info!(ENGINE = addr, NODE = name, "engine {name} is back"),
            Transition::Lost => tracing::warn!(
                ENGINE = addr,
                NODE = name,
                "engine {name} is unhealthy: {}",
                self.machine.error().unwrap_or("no reason known")
            ),
        }
        self.sink.transition(&self.node, transition);
    }

    /// The current snapshot.
    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// What list entries need to know of this node.
    pub(super) fn place(&self) -> Place {
        let name = self.specs.as_ref().map(|s| s.name.clone());
        Place {
            prefix: name.filter(|_| self.prefixed),
            ip: self.node.ip,
            now: clock::unix_nanos() - self.specs.as_ref().map_or(0, |s| s.skew),
            copies: self.ledger.copies(),
        }
    }

    /// When an engine that seems well is pinged next.
    pub(super) fn next_ping(&self) -> Instant {
        let turns = &self.options.turns;
        turns.after(turns.ping_pause())
    }

    /// When it is asked what it holds next, after a random pause.
    pub(super) fn next_refresh(&mut self) -> Instant {
        let settings = self.options.settings.now();
        let shortest = settings.manager.engine_refresh_min_interval;
        let spread = settings.manager.engine_refresh_max_interval.saturating_sub(shortest);
        // The later half: events tell what happens, so that a refresh is a precaution.
        self.options.turns.after(shortest + spread.mul_f64(0.5 + 0.5 * self.rng.f64()))
    }

    /// Whether entries would be made otherwise now than they were: then all is read again.
    pub(super) fn is_named_otherwise(&self) -> bool {
        self.prefixed != self.options.settings.now().manager.node_prefix
    }

    /// The pause between two readings of the specs.
    pub(super) fn specs_pause(&self) -> Duration {
        match self.specs.as_ref().is_some_and(|s| s.skew != 0) {
            true => CLOCK_INTERVAL,
            false => SPECS_INTERVAL,
        }
    }

    /// Whether it is out of use.
    pub(super) fn is_lost(&self) -> bool {
        self.machine.state() != State::Healthy
    }
}
