//! Brings the cluster's members in line with what discovery says. Who is a member is decided in `discovery::roster`;
//! here are the clock, the engines' states and the cluster.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::{Receiver, Sender};
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::cluster::Cluster;
use crate::config::Discovery;
use crate::discovery::memory::Memory;
use crate::discovery::outlook::Outlook;
use crate::discovery::roster::{Roster, Terms};
use crate::discovery::{Entry, State};
use crate::error::{Error, Kind};
use crate::systemd::beat::{self, Beat};

/// How often those whom the list does not name are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long agents have at most to write themselves in again after somebody cleared the list.
const MOMENT: Duration = Duration::from_secs(5);

/// The only one who adds members, and takes them out. (An operator takes out by way of discovery, too.)
pub(super) struct Follower {
    cluster: Arc<Cluster>,
    roster: Roster,
    memory: Memory,
    beat: Beat,
    started: Instant,
    told: Sender<Outlook>,
    /// Why the members cannot be saved, so that it is told once.
    trouble: Option<Error>,
}

impl Follower {
    /// With the members of `memory`, if it has any.
    pub(super) fn new(
        cluster: Arc<Cluster>,
        config: &Discovery,
        mut memory: Memory,
        beat: Beat,
        told: Sender<Outlook>,
    ) -> Follower {
        let terms = Terms { ttl: config.ttl, moment: config.heartbeat.min(MOMENT) };
        let mut roster = Roster::new(terms);
        match memory.load() {
            Ok(None) => {}
            Ok(Some((entries, proof))) => {
                for entry in &entries {
                    cluster.add(entry.clone());
                }
                roster.recall(entries, proof);
            }
            // The store will tell.
            Err(error) => tracing::warn!(KIND = error.kind.word(), "{error}"),
        }
        Follower { cluster, roster, memory, beat, started: Instant::now(), told, trouble: None }
    }

    /// Runs until discovery ends.
    pub(super) async fn follow(mut self, mut discovery: Receiver<State>) {
        let mut beats = tokio::time::interval(beat::PERIOD);
        loop {
            self.beat.within(beat::SAVING);
            let state = discovery.borrow_and_update().clone();
            self.take(&state);
            self.tell(&state);
            self.keep().await;
            loop {
                tokio::select! {
                    changed = discovery.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    () = sleep(LOOK), if self.roster.kept() > 0 => {
                        self.settle();
                        break;
                    }
                    _ = beats.tick() => {
                        self.beat.within(beat::SAVING);
                        if self.trouble.is_some() {
                            self.keep().await;
                        }
                    }
                }
            }
        }
    }

    fn take(&mut self, state: &State) {
        let now = self.started.elapsed();
        if state.last_error.is_some() {
            self.roster.failed(now);
            return;
        }
        let (Some(listed), Some(proof)) = (&state.entries, &state.proof) else { return };
        let kept = self.roster.kept();
        let change = self.roster.delivered(listed, proof, now);
        // Removals first: an engine that changed its address is never known twice.
        self.remove(&change.removed);
        for entry in change.added {
            self.cluster.add(entry);
        }
        if self.roster.kept() > kept {
            tracing::warn!(
                "entries are gone from discovery, and it is not clear why: keeping {} of {} nodes for now",
                self.roster.kept(),
                self.roster.len()
            );
        }
    }

    /// Keeps the members for the next start. A disk that fails is told once, and tried again while it does.
    async fn keep(&mut self) {
        let Some(page) = self.memory.news(&self.roster) else { return };
        let written = page.clone();
        let saved = tokio::task::spawn_blocking(move || written.save()).await;
        match saved.unwrap_or_else(|e| Err(Error::us(Kind::Internal, e.to_string()))) {
            Ok(()) => {
                self.memory.saved(page);
                if self.trouble.take().is_some() {
                    tracing::info!("the list of engines can be saved again");
                }
            }
            Err(error) => {
                if self.trouble.as_ref() != Some(&error) {
                    tracing::error!(KIND = error.kind.word(), "{error}");
                }
                self.trouble = Some(error);
            }
        }
    }

    fn settle(&mut self) {
        let view = self.cluster.view();
        let answers = |entry: &Entry| view.at(&entry.to_string()).is_some_and(|node| node.is_healthy());
        let out = self.roster.settle(self.started.elapsed(), answers);
        self.remove(&out);
    }

    fn remove(&self, entries: &[Entry]) {
        for entry in entries {
            self.cluster.remove(&entry.to_string());
        }
    }

    fn tell(&self, state: &State) {
        let (members, kept) = (self.roster.len(), self.roster.kept());
        self.told.send_if_modified(|told| {
            let since = told.failing.as_ref().map_or_else(clock::unix_seconds, |(since, _)| *since);
            let failing = state.last_error.clone().map(|error| (since, error));
            let now = Outlook { members, kept, failing };
            let changed = *told != now;
            *told = now;
            changed
        });
    }
}
