//! A validated engine at work: events in, questions out, answers folded, waiters woken, pings in between.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::docker::json::Object;
use crate::docker::types::{EventMessage, ListedContainer};
use crate::engine::container::Container;
use crate::engine::events::{Event, EventStream};
use crate::engine::inventory::{Asked, Image, Network, Volume};
use crate::engine::refresh::{What, Wishes};
use crate::engine::specs::Specs;
use crate::engine::task::{Command, Engine};
use crate::error::Result;

/// Pause between two pings of an engine that seems well: finds one that hangs without closing anything.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Pause between two readings of the specs.
const SPECS_INTERVAL: Duration = Duration::from_secs(300);
/// Events held back until what they tell of is read. Beyond that the stream is not read on.
const HELD_EVENTS: usize = 4096;

enum Waiter {
    Caller(oneshot::Sender<()>),
    Event(u64),
}

enum Answer {
    Container(String, Option<Arc<Container>>),
    Containers(Vec<Object>),
    Networks(Vec<Network>),
    Volumes(Vec<Volume>),
    Images(Vec<Image>),
    Specs(Box<Specs>),
    Pong,
}

struct Held {
    number: u64,
    event: Event,
    ready: bool,
}

/// One stretch of life between a successful connect and the next trouble.
pub(super) struct Serving<'a> {
    engine: &'a mut Engine,
    wishes: Wishes<Waiter>,
    questions: JoinSet<(What, Asked, Result<Answer>)>,
    held: VecDeque<Held>,
    numbered: u64,
    next_ping: Instant,
    next_refresh: Instant,
    next_specs: Instant,
}

impl<'a> Serving<'a> {
    pub(super) fn new(engine: &'a mut Engine) -> Serving<'a> {
        let now = Instant::now();
        let next_refresh = now + engine.refresh_pause();
        Serving {
            engine,
            wishes: Wishes::default(),
            questions: JoinSet::new(),
            held: VecDeque::new(),
            numbered: 0,
            next_ping: now + PING_INTERVAL,
            next_refresh,
            next_specs: now + SPECS_INTERVAL,
        }
    }

    /// Serves until the event stream ends or the engine is lost.
    pub(super) async fn run(mut self, mut stream: EventStream, ear: &mut mpsc::Receiver<Command>) {
        let mut settings = self.engine.options.settings.clone();
        while !self.engine.is_lost() {
            self.engine.beat.within(PING_INTERVAL);
            tokio::select! {
                event = stream.next(), if self.held.len() < HELD_EVENTS => match event {
                    Ok(event) => self.on_event(event),
                    Err(error) => {
                        tracing::debug!(ENGINE = self.engine.node().addr, "{error}; connecting again");
                        break;
                    }
                },
                Some(command) = ear.recv() => self.on_command(command),
                Some(done) = self.questions.join_next() => {
                    if let Ok((what, asked, answer)) = done {
                        self.on_answer(&what, asked, answer);
                    }
                }
                () = sleep_until(self.next_ping) => {
                    self.next_ping = Instant::now() + PING_INTERVAL;
                    self.want(What::Ping, None);
                }
                () = sleep_until(self.next_refresh) => self.refresh(),
                () = settings.changed() => {
                    if self.engine.is_named_otherwise() {
                        break; // and reads everything again
                    }
                    self.next_refresh = Instant::now() + self.engine.refresh_pause();
                }
            }
        }
        self.let_go();
    }

    /// Ends: whoever waits goes on with what is known, and held events are passed on rather than lost.
    fn let_go(mut self) {
        drop(self.wishes.clear());
        for held in std::mem::take(&mut self.held) {
            self.engine.sink.event(self.engine.node(), held.event);
        }
    }

    fn on_event(&mut self, event: Event) {
        if !self.engine.position.advance(&event.message) {
            return;
        }
        let wanted = consequence(&event.message);
        self.numbered += 1;
        self.held.push_back(Held { number: self.numbered, event, ready: wanted.is_none() });
        match wanted {
            Some(what) => self.want(what, Some(Waiter::Event(self.numbered))),
            None => self.pass_on(),
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Refresh(what, done) => self.want(what, Some(Waiter::Caller(done))),
            Command::Forget(id, done) => {
                let asked = self.engine.ledger.ask();
                self.engine.ledger.learn(asked, &id, None);
                self.engine.publish();
                let _ = done.send(());
            }
            Command::Suspect => self.want(What::Ping, None),
        }
    }

    fn refresh(&mut self) {
        self.next_refresh = Instant::now() + self.engine.refresh_pause();
        for what in [What::Containers, What::Networks, What::Volumes, What::Images] {
            self.want(what, None);
        }
        if Instant::now() >= self.next_specs {
            self.next_specs = Instant::now() + SPECS_INTERVAL;
            self.want(What::Specs, None);
        }
    }

    fn want(&mut self, what: What, waiter: Option<Waiter>) {
        if self.wishes.add(&what, waiter) {
            self.ask(what);
        }
    }

    fn ask(&mut self, what: What) {
        let asked = self.engine.ledger.ask();
        let mut asker = self.engine.asker.clone();
        let place = self.engine.place();
        let addr = self.engine.node().addr.clone();
        self.questions.spawn(async move {
            let answer = match &what {
                What::Container(id) => {
                    asker.container(id, &place).await.map(|c| Answer::Container(id.clone(), c.map(Arc::new)))
                }
                What::Containers => asker.containers().await.map(Answer::Containers),
                What::Networks => asker.networks().await.map(Answer::Networks),
                What::Volumes => asker.volumes().await.map(Answer::Volumes),
                What::Images => asker.images().await.map(Answer::Images),
                What::Specs => asker.specs(&addr).await.map(|s| Answer::Specs(Box::new(s))),
                What::Ping => asker.ping().await.map(|()| Answer::Pong),
            };
            (what, asked, answer)
        });
    }

    fn on_answer(&mut self, what: &What, asked: Asked, answer: Result<Answer>) {
        let mut more = None;
        match answer {
            Ok(answer) => more = self.fold(asked, answer),
            Err(error) if *what == What::Ping => {
                self.engine.failed(&error);
                self.next_ping = Instant::now() + self.engine.machine.pause(self.engine.rng.f64());
            }
            Err(error) => {
                tracing::debug!(ENGINE = self.engine.node().addr, "cannot read {what:?}: {error}");
                if error.is_connection() {
                    self.want(What::Ping, None);
                }
            }
        }
        let (waiters, again) = self.wishes.done(what);
        if again {
            self.ask(what.clone());
        }
        match more {
            Some(more) => {
                let mut waiters = waiters.into_iter();
                self.want(more.clone(), waiters.next());
                waiters.for_each(|waiter| self.want(more.clone(), Some(waiter)));
            }
            None => self.wake(waiters),
        }
    }

    /// Takes an answer in. Returns what must be read, too, before it is the whole truth.
    fn fold(&mut self, asked: Asked, answer: Answer) -> Option<What> {
        let mut more = None;
        let ledger = &mut self.engine.ledger;
        match answer {
            Answer::Container(id, container) => ledger.learn(asked, &id, container),
            Answer::Containers(entries) => {
                self.compare(asked, &entries);
                return None;
            }
            Answer::Networks(networks) => ledger.networks(networks),
            Answer::Volumes(volumes) => ledger.volumes(volumes),
            Answer::Images(images) => more = ledger.images(images).then_some(What::Containers),
            Answer::Specs(specs) => self.engine.learn_specs(*specs),
            Answer::Pong if self.engine.machine.error().is_none() => return None,
            Answer::Pong => self.engine.machine.succeeded(),
        }
        self.engine.publish();
        more
    }

    /// Holds a complete list against what is known; only what differs is read again.
    fn compare(&mut self, asked: Asked, entries: &[Object]) {
        let listed: Vec<(&Object, ListedContainer)> =
            entries.iter().filter_map(|e| Some((e, serde_json::from_str(&e.to_json()).ok()?))).collect();
        let ids: HashSet<_> = listed.iter().map(|(_, c)| c.id.as_str()).collect();
        let before = self.engine.node().inventory.containers.len();
        self.engine.ledger.retain(asked, |id| ids.contains(id));
        let mut changed = before != ids.len();
        for (entry, fields) in &listed {
            match self.engine.ledger.container(&fields.id) {
                Some(known) if !differs(known, fields) => {
                    // The image is the same, what it is called may not be.
                    if known.image != fields.image {
                        let known = known.relisted(entry, &self.engine.place());
                        self.engine.ledger.learn(asked, &fields.id, Some(Arc::new(known)));
                        changed = true;
                    }
                }
                _ => self.want(What::Container(fields.id.clone()), None),
            }
        }
        if changed {
            self.engine.publish();
        }
    }

    fn wake(&mut self, waiters: Vec<Waiter>) {
        for waiter in waiters {
            match waiter {
                Waiter::Caller(done) => drop(done.send(())),
                Waiter::Event(number) => {
                    if let Some(held) = self.held.iter_mut().find(|h| h.number == number) {
                        held.ready = true;
                    }
                }
            }
        }
        self.pass_on();
    }

    /// Passes on events in their order, as far as what they tell of is known.
    fn pass_on(&mut self) {
        while self.held.front().is_some_and(|h| h.ready) {
            if let Some(held) = self.held.pop_front() {
                self.engine.sink.event(self.engine.node(), held.event);
            }
        }
    }
}

fn differs(known: &Container, listed: &ListedContainer) -> bool {
    known.life.word() != listed.state || known.names != listed.names || known.ports != listed.ports
}

/// What must be read again after an event.
fn consequence(event: &EventMessage) -> Option<What> {
    const HARMLESS: [&str; 10] = [
        "top",
        "resize",
        "export",
        "exec_create",
        "exec_start",
        "exec_detach",
        "exec_die",
        "attach",
        "detach",
        "archive-path",
    ];
    // `exec_create: cmd …` carries its command line in the action.
    let action = event.action.split(':').next().unwrap_or_default();
    match event.kind.as_str() {
        "container" if action == "commit" => Some(What::Images),
        // It names no container: each that went has an event of its own, too.
        "container" if action == "prune" => Some(What::Containers),
        "container" if HARMLESS.contains(&action) || action == "copy" || action == "extract-to-dir" => None,
        "container" => Some(What::Container(event.actor.id.clone())),
        "image" => Some(What::Images),
        "volume" if matches!(action, "create" | "destroy" | "prune") => Some(What::Volumes),
        "network" if matches!(action, "create" | "destroy" | "remove" | "prune" | "update") => {
            Some(What::Networks)
        }
        // Attaching to a network shows in the container, not in the network's list entry.
        "network" if matches!(action, "connect" | "disconnect") => {
            event.actor.attributes.get("container").map(|id| What::Container(id.clone()))
        }
        "daemon" if action == "reload" => Some(What::Specs),
        _ => None,
    }
}
