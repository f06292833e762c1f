//! All places at which the engine registers: one task for each, started and ended here.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::agent::choice::{Kept, Step, choose};
use crate::agent::place::Place;
use crate::agent::registrar::{Plan, Standing, serve};
use crate::discovery::lan::Found;
use crate::discovery::lan::seen::label;
use crate::systemd::beat::Beats;
use crate::tls::ClientTls;

/// What it takes to register with managers that are found.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) token: String,
    pub(super) tls: Option<ClientTls>,
}

/// The places.
pub(super) struct Registrars {
    plan: Arc<Plan>,
    beats: Beats,
    places: BTreeMap<String, Member>,
    found: Vec<Found>,
    changed: Arc<Notify>,
}

struct Member {
    place: Arc<Place>,
    kick: Arc<Notify>,
    stop: CancellationToken,
    standing: watch::Receiver<Standing>,
    task: JoinHandle<()>,
    /// Where to tell what is new of a manager that was found.
    news: Option<watch::Sender<Found>>,
}

/// One place as others see it.
pub(super) struct Look {
    /// What people call it.
    pub(super) name: String,
    /// Where it is.
    pub(super) address: String,
    /// How things stand there.
    pub(super) standing: Standing,
}

impl Registrars {
    /// No places yet.
    pub(super) fn new(plan: Plan, beats: Beats) -> Registrars {
        Registrars {
            plan: Arc::new(plan),
            beats,
            places: BTreeMap::new(),
            found: Vec::new(),
            changed: Arc::new(Notify::new()),
        }
    }

    /// Begins to register at a place that stays.
    pub(super) fn add(&mut self, name: &str, place: Place) {
        self.begin(name.to_string(), place, None);
    }

    /// Brings the places in line with the managers that are seen now.
    pub(super) fn follow(&mut self, terms: &Terms, now: Vec<Found>) {
        let kept: Vec<Kept> = self
            .places
            .iter()
            .filter_map(|(name, member)| {
                let addresses = member.news.as_ref()?.borrow().addresses.clone();
                let standing = member.standing.borrow();
                let failing = standing.error.is_some();
                let proven = standing.attempts > 0 && !failing;
                Some(Kept { instance: name.clone(), addresses, failing, proven })
            })
            .collect();
        for step in choose(&kept, &self.found, &now) {
            self.take(terms, step);
        }
        self.found = now;
    }

    /// Leaves those that are neither seen any more nor answer.
    pub(super) fn sweep(&mut self, terms: &Terms) {
        self.follow(terms, self.found.clone());
    }

    fn take(&mut self, terms: &Terms, step: Step) {
        match step {
            Step::Begin(found) => {
                tracing::info!("Found the manager {} at {}", found.label(), listed(&found));
                let instance = found.instance.clone();
                let (news, seen) = watch::channel(found);
                let place = Place::found(seen, terms.token.clone(), terms.tls.clone());
                self.begin(instance, place, Some(news));
            }
            Step::Follow(found) => {
                tracing::info!("The manager {} is at {} now", found.label(), listed(&found));
                if let Some(member) = self.places.get(&found.instance) {
                    if let Some(news) = &member.news {
                        news.send_replace(found);
                    }
                    member.kick.notify_one();
                }
            }
            Step::Check(name) => {
                if let Some(member) = self.places.get(&name) {
                    member.kick.notify_one();
                }
            }
            Step::Leave(name) => {
                tracing::info!("The manager {} is gone", label(&name));
                if let Some(member) = self.places.remove(&name) {
                    // Nobody is there to withdraw from.
                    member.task.abort();
                }
            }
        }
    }

    fn begin(&mut self, name: String, place: Place, news: Option<watch::Sender<Found>>) {
        let (tell, standing) = watch::channel(Standing::default());
        let (place, kick, stop) = (Arc::new(place), Arc::new(Notify::new()), CancellationToken::new());
        let beat = self.beats.join(format!("the registration with {}", label(&name)));
        let task = tokio::spawn({
            let (plan, place, kick, stop) =
                (Arc::clone(&self.plan), Arc::clone(&place), Arc::clone(&kick), stop.clone());
            let (changed, mut told) = (Arc::clone(&self.changed), standing.clone());
            async move {
                let pass_on = async {
                    while told.changed().await.is_ok() {
                        changed.notify_one();
                    }
                };
                tokio::select! {
                    () = serve(&*place, &plan, &kick, &beat, &stop, &tell) => {}
                    () = pass_on => {}
                }
            }
        });
        self.places.insert(name, Member { place, kick, stop, standing, task, news });
    }

    /// Ends when something has changed at some place.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Has every place try at once: the way there may have changed.
    pub(super) fn kick(&self) {
        self.places.values().for_each(|member| member.kick.notify_one());
    }

    /// All places, in the order of their names.
    pub(super) fn look(&self) -> Vec<Look> {
        let look = |(name, member): (&String, &Member)| Look {
            name: label(name).to_string(),
            address: member.place.address(),
            standing: member.standing.borrow().clone(),
        };
        self.places.iter().map(look).collect()
    }

    /// Whether somebody is missing: no place at all, or one that fails.
    pub(super) fn is_incomplete(&self) -> bool {
        self.places.is_empty() || self.places.values().any(|m| m.standing.borrow().error.is_some())
    }

    /// Withdraws everywhere at once.
    pub(super) async fn leave(self) {
        let leaving = self.places.into_values().map(|member| {
            member.stop.cancel();
            member.task
        });
        join_all(leaving).await;
    }
}

fn listed(found: &Found) -> String {
    found.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
