//! What is to be done, from what is known: pure. Moments are milliseconds of a clock that only goes forward.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::book::{Book, Record, Superseded};
use crate::cluster::View;
use crate::cluster::moves::Waiting;

/// First pause after a failed attempt to move a container; doubled for each further one.
const FIRST_PAUSE: u64 = 1000;
/// Longest pause: a place that becomes free is found within about this time.
const LONGEST_PAUSE: u64 = 10_000;
/// Calls in a row to an engine off the list that must fail before it counts as silent.
const PROBES: u32 = 3;
/// How long the outcome of a call to an engine is believed.
const BELIEF: u64 = 3000;
/// Clocks of engines are known no better than this; nanoseconds.
const VAGUE: i64 = 2_000_000_000;

/// Whether an engine can be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// It answers, or it is too early to tell.
    Answers,
    /// It is called and does not answer.
    Silent,
    /// Nobody calls it: it is not listed.
    Unlisted,
}

impl Hearing {
    /// Of an engine in a view; `address` is where it was last.
    pub fn of(view: &View, engine: &str, address: &str) -> Hearing {
        let mut known = view.engine(engine).peekable();
        if known.peek().is_some() {
            return if known.any(|node| node.is_healthy()) { Hearing::Answers } else { Hearing::Silent };
        }
        match view.at(address) {
            None => Hearing::Unlisted,
            // Since this manager runs it was never heard of; without an error, it was not called yet.
            Some(node) if node.specs.is_none() && node.error.is_none() => Hearing::Answers,
            // The same, or another engine has taken its address.
            Some(_) => Hearing::Silent,
        }
    }
}

/// What this manager has seen of engines and tried for containers. In memory only.
#[derive(Debug, Default)]
pub struct Watch {
    /// Since when engines are silent.
    silent: HashMap<String, u64>,
    probes: HashMap<String, Probe>,
    tries: HashMap<String, Try>,
    /// Superseded containers whose replacements were seen before they ran.
    met: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Probe {
    failed: u32,
    at: u64,
}

impl Probe {
    fn is_fresh(&self, now: u64) -> bool {
        now < self.at + BELIEF
    }
}

/// How it went with moving a container.
#[derive(Debug, Default, Clone)]
pub struct Try {
    failures: u32,
    next: u64,
    /// Addresses of nodes where it could not be started.
    pub avoid: Vec<String>,
    /// Why it has no place yet.
    pub why: Option<String>,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a container anew elsewhere.
    Make(String),
    /// Start what was made in the place of a container.
    Start(String),
    /// Start a container again that was stopped for a copy which does not run.
    Revive {
        /// Address of its node.
        address: String,
        /// Its ID.
        id: String,
    },
    /// Call an engine: one that is not listed, or one whose containers are about to move. It may answer without
    /// telling all that the view wants to know, and then its containers run.
    Probe {
        /// Its ID.
        engine: String,
        /// Where it was.
        address: String,
    },
    /// Remove a container for good: a superseded one, or a copy that is not needed.
    Remove {
        /// Address of its node.
        address: String,
        /// Its ID.
        id: String,
    },
}

/// A container whose label says whose place it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// ID of the old one.
    pub of: String,
    /// Its own ID.
    pub id: String,
    /// Address of its node.
    pub address: String,
    /// Whether it was started ever.
    pub started: bool,
    /// Whether it was started, and ended with an error.
    pub failed: bool,
    /// When it was made; by our clock, nanoseconds since the epoch.
    pub created: i64,
}

impl Watch {
    /// Notes which engines can be heard. Returns those that have just fallen silent.
    pub fn listen(&mut self, book: &Book, view: &View, now: u64) -> Vec<String> {
        let mut fallen = Vec::new();
        let engines: BTreeMap<&str, &str> =
            book.records.values().map(|r| (r.engine.as_str(), r.address.as_str())).collect();
        self.silent.retain(|engine, _| engines.contains_key(engine.as_str()));
        self.probes.retain(|engine, _| engines.contains_key(engine.as_str()));
        for (engine, address) in engines {
            if self.is_silent(Hearing::of(view, engine, address), engine) {
                if !self.silent.contains_key(engine) {
                    self.silent.insert(engine.to_string(), now);
                    fallen.push(engine.to_string());
                }
            } else {
                self.silent.remove(engine);
            }
        }
        self.tries.retain(|id, _| book.records.contains_key(id));
        fallen
    }

    fn is_silent(&mut self, hearing: Hearing, engine: &str) -> bool {
        match hearing {
            Hearing::Silent => true,
            Hearing::Answers => {
                self.probes.remove(engine);
                false
            }
            Hearing::Unlisted => self.probes.get(engine).is_some_and(|p| p.failed >= PROBES),
        }
    }

    /// The outcome of a call to an engine.
    pub fn probed(&mut self, engine: &str, heard: bool, now: u64) {
        let probe = self.probes.entry(engine.to_string()).or_default();
        *probe = match heard {
            true => Probe { failed: 0, at: now },
            false => Probe { failed: probe.failed.saturating_add(1), at: now },
        };
    }

    /// Whether an engine has been silent for so long.
    pub fn is_lost(&self, engine: &str, delay: u64, now: u64) -> bool {
        self.silent.get(engine).is_some_and(|since| now.saturating_sub(*since) >= delay)
    }

    /// An attempt to move a container failed; `avoid` is the address of a node that cannot run it.
    pub fn failed(&mut self, id: &str, why: String, avoid: Option<String>, now: u64) {
        let one = self.tries.entry(id.to_string()).or_default();
        let pause = FIRST_PAUSE.saturating_mul(1 << one.failures.min(8)).min(LONGEST_PAUSE);
        one.failures = one.failures.saturating_add(1);
        one.next = now + pause;
        one.why = Some(why);
        match avoid {
            Some(address) => one.avoid.push(address),
            // Nothing else is left: what did not work may work now.
            None => one.avoid.clear(),
        }
    }

    /// How it went so far with a container.
    pub fn attempt(&self, id: &str) -> Try {
        self.tries.get(id).cloned().unwrap_or_default()
    }

    /// Superseded containers whose replacements were to be started and are nowhere any more: somebody has removed
    /// them. That can be told only of those that were seen once, and only if every node can be looked at.
    pub fn abandoned(
        &mut self,
        book: &Book,
        view: &View,
        replacements: &[Replacement],
        busy: &BTreeSet<String>,
    ) -> Vec<String> {
        let waiting = book.superseded.iter().filter(|(_, s)| s.record.is_some());
        let (there, nowhere): (Vec<_>, Vec<_>) =
            waiting.partition(|(id, s)| replacement_of(id, s, replacements).is_some());
        self.met.extend(there.into_iter().map(|(id, _)| id.clone()));
        self.met.retain(|id| book.superseded.contains_key(id));
        let all_up = view.nodes().all(|n| n.is_healthy());
        let gone =
            nowhere.into_iter().map(|(id, _)| id).filter(|id| self.met.contains(*id) && !busy.contains(*id));
        if all_up { gone.cloned().collect() } else { Vec::new() }
    }

    /// What is to be done now. `busy` are the IDs of containers and engines that something is being done about.
    pub fn plan(
        &self,
        book: &Book,
        view: &View,
        replacements: &[Replacement],
        busy: &BTreeSet<String>,
        delay: u64,
        now: u64,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        let idle = |id: &str| !busy.contains(id);
        for node in view.healthy() {
            let gone = |id: &String| book.superseded.get(id).is_none_or(|s| s.record.is_none());
            let hidden = node.inventory.hidden.iter().map(|c| &c.id);
            let remove = hidden.filter(|id| gone(id) && idle(id));
            steps.extend(remove.map(|id| Step::Remove { address: node.addr.clone(), id: id.clone() }));
        }
        let unnoted = |r: &&Replacement| idle(&r.id) && idle(&r.of) && !book.superseded.contains_key(&r.of);
        for copy in replacements.iter().filter(unnoted) {
            let (address, id) = (copy.address.clone(), copy.id.clone());
            match old_one(copy, book, view) {
                Old::Runs => steps.push(Step::Remove { address, id }),
                Old::Stopped(address) => steps.push(Step::Revive { address, id: copy.of.clone() }),
                Old::Rests if !copy.started => steps.push(Step::Remove { address, id }),
                _ => {}
            }
        }
        let made = |(id, s): &(&String, &Superseded)| replacement_of(id, s, replacements).is_some();
        let unstarted = book.superseded.iter().filter(|(_, s)| s.record.is_some()).filter(made);
        steps.extend(unstarted.filter(|(id, _)| idle(id)).map(|(id, _)| Step::Start(id.clone())));
        for (id, record) in book.records.iter().filter(|(id, _)| idle(id)) {
            steps.extend(self.step_for(id, record, view, delay, now).filter(|s| match s {
                Step::Probe { engine, .. } => idle(engine),
                _ => true,
            }));
        }
        steps.dedup();
        steps
    }

    fn step_for(&self, id: &str, record: &Record, view: &View, delay: u64, now: u64) -> Option<Step> {
        let call = || Step::Probe { engine: record.engine.clone(), address: record.address.clone() };
        let fresh = self.probes.get(&record.engine).filter(|p| p.is_fresh(now));
        if self.is_lost(&record.engine, delay, now) {
            let due = self.tries.get(id).is_none_or(|t| t.next <= now);
            return match fresh {
                _ if !due || !record.recipe.kept_by.is_empty() => None,
                Some(probe) => (probe.failed > 0).then(|| Step::Make(id.to_string())),
                None => Some(call()),
            };
        }
        let unlisted = Hearing::of(view, &record.engine, &record.address) == Hearing::Unlisted;
        (unlisted && fresh.is_none_or(|p| p.failed > 0)).then(call)
    }

    /// Whether an engine was called lately and answered.
    fn answers(&self, engine: &str, now: u64) -> bool {
        self.probes.get(engine).is_some_and(|p| p.failed == 0 && p.is_fresh(now))
    }

    /// Why containers wait for a place, by their IDs.
    pub fn waiting(&self, book: &Book, delay: u64, now: u64) -> HashMap<String, Waiting> {
        let lost = book.records.iter().filter(|(_, r)| self.is_lost(&r.engine, delay, now));
        let why = |(id, record): (&String, &Record)| {
            let why = match record.recipe.kept_by.as_slice() {
                [] if self.answers(&record.engine, now) => {
                    format!("the engine of {} answers, though not to all questions", record.recipe.node)
                }
                [] => self.tries.get(id)?.why.clone()?,
                [volume] => format!("the data of volume {volume} is on {} alone", record.recipe.node),
                several => {
                    format!("the data of volumes {} is on {} alone", several.join(", "), record.recipe.node)
                }
            };
            let (name, node) = (record.recipe.name.clone(), record.recipe.node.clone());
            Some((id.clone(), Waiting { name, node, why: format!("waits: {why}") }))
        };
        lost.filter_map(why).collect()
    }
}

/// Replacements that are not in the book, left by a manager that was killed, say: those that have taken over.
/// An old one that runs where it can be seen has not lost its place.
pub fn taken_over<'a>(
    watch: &'a Watch,
    book: &'a Book,
    view: &'a View,
    replacements: &'a [Replacement],
    busy: &'a BTreeSet<String>,
) -> impl Iterator<Item = &'a Replacement> {
    let silent = |of: &str| book.records.get(of).is_some_and(|r| watch.silent.contains_key(&r.engine));
    replacements.iter().filter(move |r| {
        let open = !busy.contains(&r.of) && !book.superseded.contains_key(&r.of);
        open && match old_one(r, book, view) {
            Old::Runs | Old::Stopped(_) | Old::Unheard => false,
            Old::Rests => r.started,
            Old::Away => r.started || silent(&r.of),
        }
    })
}

/// What was made in the place of a superseded container.
pub fn replacement_of<'a>(
    id: &str,
    superseded: &Superseded,
    replacements: &'a [Replacement],
) -> Option<&'a Replacement> {
    let noted = replacements.iter().find(|r| r.id == superseded.by);
    noted.or_else(|| replacements.iter().find(|r| r.of == id))
}

/// The container whose place a copy should take, as far as it can be seen.
enum Old {
    /// It runs on a node that answers.
    Runs,
    /// It was stopped after the copy was made, and the copy does not run: the move ended in between. Address of
    /// its node.
    Stopped(String),
    /// It is on a node that answers, and does not run.
    Rests,
    /// No node that answers has it, or it does not count any more.
    Away,
    /// Some nodes were not called yet.
    Unheard,
}

fn old_one(copy: &Replacement, book: &Book, view: &View) -> Old {
    let found = view.healthy().find_map(|n| Some((n, n.inventory.containers.get(&copy.of)?)));
    let Some((node, old)) = found else {
        let called = view.nodes().all(|n| n.specs.is_some() || n.error.is_some());
        return if called { Old::Away } else { Old::Unheard };
    };
    let skew = node.specs.as_ref().map_or(0, |s| s.skew);
    let since = old.life.finished.is_some_and(|at| at + skew >= copy.created - VAGUE);
    let by_user = book.records.get(&copy.of).is_some_and(|r| r.by_user);
    match old.life.running {
        true => Old::Runs,
        false if since && !by_user && (!copy.started || copy.failed) => Old::Stopped(node.addr.clone()),
        false => Old::Rests,
    }
}
