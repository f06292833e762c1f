//! A validated engine at work: events in, questions out, answers folded, waiters woken, pings in between.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::engine::container::Container;
use crate::engine::events::{Event, EventStream};
use crate::engine::handle::{Command, Ear};
use crate::engine::ledger::Asked;
use crate::engine::news;
use crate::engine::questions::{self, Answer};
use crate::engine::refresh::{What, Wishes};
use crate::engine::task::Engine;
use crate::engine::turns::{LONGEST_PING_PAUSE, Turn};
use crate::error::Result;

/// An answer that takes longer makes the engine suspect.
const SUSPICIOUS: Duration = Duration::from_secs(3);
/// How long the event of a start that succeeded is waited for, before the container is read instead.
const EVENT_PATIENCE: Duration = Duration::from_millis(100);
/// How long after the last answer idle connections are kept.
const REST_AFTER: Duration = Duration::from_secs(3);
/// Events held back until what they tell of is read. Beyond that the stream is not read on.
const HELD_EVENTS: usize = 4096;

pub(super) enum Waiter {
    Caller(oneshot::Sender<()>),
    Event(u64),
}

pub(super) struct Held {
    pub(super) number: u64,
    pub(super) event: Event,
    pub(super) ready: bool,
}

/// One stretch of life between a successful connect and the next trouble.
pub(super) struct Serving<'a> {
    pub(super) engine: &'a mut Engine,
    pub(super) wishes: Wishes<Waiter>,
    /// Under way. In this task: another one for each would cost more than most of them.
    questions: FuturesUnordered<BoxFuture<'static, (What, Asked, Result<Answer>)>>,
    pub(super) held: VecDeque<Held>,
    numbered: u64,
    /// IDs of containers about which something happened, and when they are read again.
    pub(super) stale: BTreeSet<String>,
    pub(super) stale_due: Option<Instant>,
    /// IDs of containers whose details are to be read.
    pub(super) rough: BTreeSet<String>,
    /// The turn to read those.
    turn: Option<Turn>,
    /// Who waits for the event of a start, and until when.
    pub(super) expecting: VecDeque<(Instant, String, oneshot::Sender<()>)>,
    /// Events about new containers that may be ours, whose makers then tell of them in a moment; until when, the
    /// containers' IDs, and the events' numbers.
    pub(super) arriving: VecDeque<(Instant, String, u64)>,
    next_ping: Instant,
    next_refresh: Instant,
    next_specs: Instant,
    refreshes: usize,
    /// When idle connections are let go.
    next_rest: Option<Instant>,
}

impl<'a> Serving<'a> {
    pub(super) fn new(engine: &'a mut Engine) -> Serving<'a> {
        let now = Instant::now();
        let next_refresh = engine.next_refresh();
        let turns = &engine.options.turns;
        // It has just answered.
        let next_ping = turns.after(turns.ping_pause().mul_f64(0.5 + 0.5 * engine.rng.f64()));
        let next_specs = now + engine.specs_pause();
        let rough = engine.ledger.rough().collect();
        Serving {
            engine,
            wishes: Wishes::default(),
            questions: FuturesUnordered::new(),
            held: VecDeque::new(),
            numbered: 0,
            stale: BTreeSet::new(),
            stale_due: None,
            rough,
            turn: None,
            expecting: VecDeque::new(),
            arriving: VecDeque::new(),
            next_ping,
            next_refresh,
            next_specs,
            refreshes: 0,
            next_rest: Some(now + REST_AFTER),
        }
    }

    /// Serves until the event stream ends or the engine is lost.
    pub(super) async fn run(mut self, mut stream: EventStream, ear: &mut Ear) {
        let mut settings = self.engine.options.settings.clone();
        self.ask_details();
        while !self.engine.is_lost() {
            self.engine.beat.within(LONGEST_PING_PAUSE);
            let arrived = self.arriving.front().map_or(self.next_refresh, |(until, _, _)| *until);
            let expected = self.expecting.front().map_or(self.next_refresh, |(until, _, _)| *until);
            tokio::select! {
                event = stream.next(), if self.held.len() < HELD_EVENTS => match event {
                    Ok(event) => self.on_event(event),
                    Err(error) => {
                        tracing::debug!(ENGINE = self.engine.node().addr, "{error}; connecting again");
                        break;
                    }
                },
                Some(command) = ear.recv() => self.on_command(*command),
                Some((what, asked, answer)) = self.questions.next() => self.on_answer(&what, asked, answer),
                () = sleep_until(self.next_ping) => {
                    self.next_ping = self.engine.next_ping();
                    self.want(What::Ping, None);
                }
                () = sleep_until(self.stale_due.unwrap_or(self.next_refresh)), if self.stale_due.is_some() => {
                    self.stale_due = None;
                    self.want(What::Stale, None);
                }
                () = sleep_until(expected), if !self.expecting.is_empty() => {
                    if let Some((_, id, done)) = self.expecting.pop_front() {
                        self.want(What::Container(id), Some(Waiter::Caller(done)));
                    }
                }
                () = sleep_until(arrived), if !self.arriving.is_empty() => {
                    if let Some((_, id, number)) = self.arriving.pop_front() {
                        self.want(What::Container(id), Some(Waiter::Event(number)));
                    }
                }
                () = sleep_until(self.next_rest.unwrap_or(self.next_refresh)), if self.next_rest.is_some() => {
                    self.next_rest = None;
                    self.engine.rest();
                }
                () = sleep_until(self.next_refresh) => self.refresh(),
                () = settings.changed() => {
                    if self.engine.is_named_otherwise() {
                        break; // and reads everything again
                    }
                    self.next_refresh = self.engine.next_refresh();
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
        let (message, id) = (&event.message, &event.message.actor.id);
        let is_new = message.kind == "container"
            && message.action == "create"
            && self.engine.ledger.container(id).is_none();
        let wanted = news::consequence(&event.message).filter(|what| !self.apply(what, &event.message));
        self.numbered += 1;
        self.held.push_back(Held { number: self.numbered, event, ready: wanted.is_none() });
        match wanted {
            Some(What::Container(id)) if is_new => {
                self.arriving.push_back((Instant::now() + EVENT_PATIENCE, id, self.numbered));
            }
            Some(what) => self.want(what, Some(Waiter::Event(self.numbered))),
            None => self.pass_on(),
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Created(container, done) => {
                self.on_created(*container);
                let _ = done.send(());
            }
            Command::Started(id, last, done) => {
                // Many end at once, so that it may have been started and be over already.
                let was = |c: &Container| c.life.running || last.is_some_and(|at| c.life.started > Some(at));
                match self.engine.ledger.container(&id).is_some_and(|c| was(c)) {
                    true => drop(done.send(())),
                    false => self.expecting.push_back((Instant::now() + EVENT_PATIENCE, id, done)),
                }
            }
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
        self.next_refresh = self.engine.next_refresh();
        self.next_ping = self.next_ping.min(Instant::now() + SUSPICIOUS);
        // One light question at a time. Containers matter most: what else there is changes seldom.
        self.refreshes += 1;
        self.want(
            match self.refreshes % 12 {
                4 => What::Networks,
                8 => What::Volumes,
                0 => What::Images,
                _ => What::Containers,
            },
            None,
        );
        if Instant::now() >= self.next_specs {
            self.next_specs = Instant::now() + self.engine.specs_pause();
            self.want(What::Specs, None);
        }
    }

    pub(super) fn want(&mut self, what: What, waiter: Option<Waiter>) {
        if self.wishes.add(&what, waiter) {
            self.ask(what);
        }
    }

    fn ask(&mut self, what: What) {
        let asked = self.engine.ledger.ask();
        let ids = match what {
            What::Stale => {
                self.stale_due = None;
                std::mem::take(&mut self.stale).into_iter().collect()
            }
            What::Details => self.roughest(),
            _ => Vec::new(),
        };
        let question = questions::ask(self.engine, &what, ids, self.turn.take_if(|_| what == What::Details));
        self.questions.push(Box::pin(async move { (what, asked, question.await) }));
    }

    fn on_answer(&mut self, what: &What, asked: Asked, answer: Result<Answer>) {
        let mut more = None;
        if !what.is_lone() {
            self.next_rest = Some(Instant::now() + REST_AFTER);
        }
        match answer {
            Ok(Answer::Turn(turn)) => {
                self.turn = turn;
                more = Some(What::Details);
            }
            Ok(answer) => {
                self.next_ping = self.engine.next_ping();
                more = self.fold(asked, answer);
            }
            Err(error) if *what == What::Ping => {
                self.engine.failed(&error);
                self.next_ping = Instant::now() + self.engine.machine.pause(self.engine.rng.f64());
            }
            Err(error) => {
                tracing::debug!(ENGINE = self.engine.node().addr, "cannot read {what:?}: {error}");
                if *what == What::Stale {
                    self.still_stale();
                }
                if error.is_connection() {
                    self.want(What::Ping, None);
                }
            }
        }
        let (waiters, again) = self.wishes.done(what);
        if again {
            self.ask(what.clone());
        }
        match what {
            What::Details if more.is_none() => {
                // Others want to be read, too, and a connection for each is more than is needed.
                self.engine.rest();
                self.ask_details();
            }
            // What could not be read before perhaps can be now.
            What::Ping if self.engine.machine.error().is_none() => self.ask_details(),
            _ => {}
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
    pub(super) fn pass_on(&mut self) {
        while self.held.front().is_some_and(|h| h.ready) {
            if let Some(held) = self.held.pop_front() {
                self.engine.sink.event(self.engine.node(), held.event);
            }
        }
    }
}
