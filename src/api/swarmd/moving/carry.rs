//! One container moved: made there, started, watched, and only then gone here; or put back as it was.
//!
//! Whatever fails, one of the two runs on: what was made is taken back, and what was stopped is started again.
//! Volumes are never removed.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Teller;
use super::overlap::Overlap;
use crate::api::Api;
use crate::api::create::Created;
use crate::api::proxy::{build, own_prefix};
use crate::api::swarmd::progress::{Deed, Did, Moved, Progress};
use crate::cluster::Recipe;
use crate::docker::http::{CALL_DEADLINE, answered, empty};
use crate::docker::types::Inspected;
use crate::engine::refresh::What;
use crate::engine::status::Life;
use crate::engine::{Container, Node};
use crate::error::{Error, Kind, Result};
use crate::scheduler::moves::Way;

/// What has no health check must run this long before it counts as started: what is missing there shows at once.
const SETTLED: Duration = Duration::from_secs(1);
/// How often a new container is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// What an engine may take for a start: slow machines, slow cards.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// Pause between attempts to remove what was made.
const AGAIN: Duration = Duration::from_secs(2);
/// What an engine may take for a stop beyond the container's own time.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// Seconds that containers get for their end, unless they ask for more or less.
const GRACE: u64 = 10;

/// Why a container did not move.
pub(super) enum Trouble {
    /// No node takes it (any more).
    Nowhere,
    /// Something went wrong: what, and how things are now.
    Failed(String),
}

type Carried<T> = std::result::Result<T, Trouble>;

/// A move under way.
pub(super) struct Carrier<'a> {
    pub api: &'a Arc<Api>,
    pub teller: &'a Teller,
    pub node: &'a Arc<Node>,
    pub container: &'a Arc<Container>,
    /// Addresses that it must not go to.
    pub excluded: Vec<String>,
}

impl Carrier<'_> {
    /// Moves it.
    pub async fn carry(&self) -> Carried<Moved> {
        let recipe = self.api.recipe_of(self.node, &self.container.id).await;
        let recipe = recipe.map_err(|e| self.as_before("it cannot be read", &e))?;
        // The plan may have been made before its volumes were known.
        if let [first, ..] = recipe.kept_by.as_slice() {
            return Err(self.as_before("its volume is on this node only", first));
        }
        let Some(overlap) = Overlap::begin(&self.api.cluster, &self.container.id) else {
            return Err(self.as_before("it does not move now", &"something else moves it"));
        };
        let created = self.create(&overlap, &recipe).await?;
        overlap.hold(&created.node, &created.id());
        self.did(Deed::Created, &created.node, &created.id()).await;
        let created = match Way::of(self.container, self.node, &created.node) {
            Way::CreateOnly => {
                self.unless_changed(&overlap, &created, false).await?;
                created
            }
            Way::StartFirst => self.start_first(&overlap, &recipe, created).await?,
            Way::StopFirst => self.stop_first(&overlap, &recipe, created).await?,
        };
        overlap.swap();
        let (from, to) = (self.node.name(), created.node.name());
        if let Err(error) = self.api.discard(self.node, &self.container.id).await {
            self.remove_later(&overlap, self.node, &self.container.id);
            return Err(Trouble::Failed(format!(
                "it is on {to} now, but could not be removed from {from}, which the manager tries again: {error}"
            )));
        }
        self.did(Deed::Removed, self.node, &self.container.id).await;
        let name = self.container.name().to_string();
        tracing::info!(CONTAINER = name, "moved {name} from {from} to {to}");
        if !recipe.left.is_empty() {
            let volumes = recipe.left.join(", ");
            tracing::warn!(
                CONTAINER = name,
                "{name} has new volumes on {to}; its old ones stay on {from}: {volumes}"
            );
        }
        Ok(Moved { container: name, from: from.into(), to: to.into(), id: created.id(), behind: recipe.left })
    }

    /// Creates the new one. If that takes longer than there is time, it is removed as soon as it is there.
    async fn create(&self, overlap: &Arc<Overlap>, recipe: &Recipe) -> Carried<Created> {
        let (api, wanted, excluded) = (Arc::clone(self.api), recipe.clone(), self.excluded.clone());
        let held = Arc::clone(overlap);
        let mut making = tokio::spawn(async move { api.recreate(&held.moving, &wanted, &excluded).await });
        match timeout_at(self.teller.until, &mut making).await {
            Ok(Ok(Ok(created))) => Ok(created),
            Ok(Ok(Err(error))) if error.kind == Kind::NoNode => Err(Trouble::Nowhere),
            Ok(Ok(Err(error))) => Err(self.as_before("it could not be created elsewhere", &error)),
            Ok(Err(panic)) => Err(self.as_before("it could not be created elsewhere", &panic)),
            Err(_) => {
                let (api, held) = (Arc::clone(self.api), Arc::clone(overlap));
                self.api.streams.spawn(async move {
                    if let Ok(Ok(late)) = making.await {
                        remove_for_sure(&api, &late.node, &late.id()).await;
                    }
                    drop(held);
                });
                Err(self.as_before("it could not be created elsewhere", &"the time is up (--timeout)"))
            }
        }
    }

    async fn start_first(
        &self,
        overlap: &Arc<Overlap>,
        recipe: &Recipe,
        mut created: Created,
    ) -> Carried<Created> {
        let runs = self.container.life.running;
        self.unless_changed(overlap, &created, runs).await?;
        if let Err(error) = self.start(overlap, recipe, &mut created).await {
            self.take_back(overlap, &created.node, &created.id()).await;
            return Err(self.as_before(&format!("it does not run on {}", created.node.name()), &error));
        }
        self.unless_changed(overlap, &created, runs).await?;
        overlap.swap();
        if let Err(error) = self.stop(recipe).await {
            let (from, to) = (self.node.name(), created.node.name());
            self.remove_later(overlap, self.node, &self.container.id);
            return Err(Trouble::Failed(format!(
                "it runs on {to} now, but could not be stopped on {from}, where the manager removes it: {error}"
            )));
        }
        Ok(created)
    }

    async fn stop_first(
        &self,
        overlap: &Arc<Overlap>,
        recipe: &Recipe,
        mut created: Created,
    ) -> Carried<Created> {
        self.unless_changed(overlap, &created, self.container.life.running).await?;
        if let Err(error) = self.stop(recipe).await {
            self.take_back(overlap, &created.node, &created.id()).await;
            // An engine that was only slow may stop it yet; one that has not stopped it has nothing to do.
            let _ = self.start_again().await;
            return Err(self.as_before("it could not be stopped", &error));
        }
        let mut outcome = self.unless_changed(overlap, &created, false).await;
        if outcome.is_ok() {
            if let Err(error) = self.start(overlap, recipe, &mut created).await {
                return Err(self.back_from(overlap, &created, &error).await);
            }
            outcome = self.unless_changed(overlap, &created, false).await;
        }
        if let Err(trouble) = outcome {
            // Under another name, maybe; if it is gone, there is nothing to start.
            let _ = self.start_again().await;
            return Err(trouble);
        }
        Ok(created)
    }

    /// The new one does not run, and the old one was stopped for it.
    async fn back_from(&self, overlap: &Arc<Overlap>, created: &Created, error: &Error) -> Trouble {
        self.take_back(overlap, &created.node, &created.id()).await;
        let (from, to) = (self.node.name(), created.node.name());
        Trouble::Failed(match self.start_again().await {
            Ok(()) => {
                self.did(Deed::Restarted, self.node, &self.container.id).await;
                format!("it does not run on {to}: {error}; it runs on {from} again")
            }
            Err(again) => {
                format!(
                    "it does not run on {to}: {error}; and it could not be started on {from} again: {again}"
                )
            }
        })
    }

    /// Starts the old one again.
    async fn start_again(&self) -> Result<()> {
        let client = self.api.cluster.handle(self.node)?.client;
        let starting = self.api.start_container(self.node, &self.container.id);
        timeout(START_PATIENCE, starting).await.unwrap_or_else(|_| Err(client.timed_out(START_PATIENCE)))
    }

    /// Takes the new one back if somebody has removed, renamed, stopped or started the old one since the move
    /// began: what a user wants now counts. `runs`: whether it is to run still.
    async fn unless_changed(&self, overlap: &Arc<Overlap>, created: &Created, runs: bool) -> Carried<()> {
        let Some(what) = self.what_changed(runs) else { return Ok(()) };
        self.take_back(overlap, &created.node, &created.id()).await;
        Err(Trouble::Failed(format!("it was {what} on {} meanwhile, so it did not move", self.node.name())))
    }

    fn what_changed(&self, runs: bool) -> Option<&'static str> {
        let (view, before) = (self.api.cluster.view(), self.container);
        match view.at(&self.node.addr)?.inventory.containers.get(&before.id) {
            None => Some("removed"),
            Some(now) if now.name() != before.name() => Some("renamed"),
            Some(now) if runs && !now.life.running => Some("stopped"),
            Some(now) if now.life.running && !before.life.running => Some("started"),
            Some(_) => None,
        }
    }

    /// Starts the new one and waits until it is well.
    async fn start(&self, overlap: &Overlap, recipe: &Recipe, created: &mut Created) -> Result<()> {
        let client = self.api.cluster.handle(&created.node)?.client;
        let first = created.id();
        let starting = self.api.start_recreated(recipe, created, &self.excluded, || overlap.let_go());
        timeout(START_PATIENCE, starting).await.unwrap_or_else(|_| Err(client.timed_out(START_PATIENCE)))?;
        if created.id() != first {
            overlap.hold(&created.node, &created.id());
        }
        self.did(Deed::Started, &created.node, &created.id()).await;
        if self.watch(created).await? {
            self.did(Deed::Healthy, &created.node, &created.id()).await;
        }
        Ok(())
    }

    /// Waits until a new container is healthy, or has run for a moment. Returns whether it said that it is
    /// healthy. What was not well before need not be well there. Its engine is asked, not the view: that may not
    /// know yet that the engine is gone.
    async fn watch(&self, created: &Created) -> Result<bool> {
        let client = self.api.cluster.handle(&created.node)?.client;
        let path = format!("{}/containers/{}/json", own_prefix(&created.node), created.id());
        let before = &self.container.life;
        let (begun, was_ill) = (Instant::now(), before.restarting || before.health == "unhealthy");
        let ill = |text: String| Err(Error::engine(Kind::Unavailable, text));
        loop {
            let new: Inspected = client.get_json(&path, CALL_DEADLINE).await?;
            let settled = begun.elapsed() >= SETTLED;
            match verdict(&Life::read(&new.state), settled) {
                Verdict::Healthy => return Ok(true),
                Verdict::Runs => return Ok(false),
                Verdict::Ended(_) if before.restarting && settled => return Ok(false),
                Verdict::Ill | Verdict::Wait if was_ill && settled => return Ok(false),
                Verdict::Ended(code) => return ill(format!("it ended at once with code {code}")),
                Verdict::Ill => return ill("its health check fails".into()),
                Verdict::Wait if Instant::now() >= self.teller.until => {
                    return ill("it is not healthy, and the time is up (--timeout)".into());
                }
                Verdict::Wait => sleep(LOOK).await,
            }
        }
    }

    async fn stop(&self, recipe: &Recipe) -> Result<()> {
        let handle = self.api.cluster.handle(self.node)?;
        let path = format!("{}/containers/{}/stop", own_prefix(self.node), self.container.id);
        let request = build(Method::POST, &path, &hyper::HeaderMap::new(), empty())?;
        let grace = recipe.body.get("StopTimeout").unwrap_or(GRACE);
        let (status, answer) =
            handle.client.exchange(request, Duration::from_secs(grace.min(86_400)) + STOP_PATIENCE).await?;
        handle.refresh(What::Container(self.container.id.clone())).await;
        // Engines answer 304 to what does not run.
        if !status.is_success() && status != hyper::StatusCode::NOT_MODIFIED {
            return Err(answered(status, &answer));
        }
        self.did(Deed::Stopped, self.node, &self.container.id).await;
        Ok(())
    }

    /// Removes what was made. Where its engine does not let it now, it is kept out of sight and tried again:
    /// a new one that ran must never win over an old one that runs.
    async fn take_back(&self, overlap: &Arc<Overlap>, node: &Arc<Node>, id: &str) {
        if self.api.discard(node, id).await.is_ok() {
            return self.did(Deed::Undone, node, id).await;
        }
        self.remove_later(overlap, node, id);
    }

    /// Removes one of the two as soon as its engine lets it. Until then it is out of sight, and nobody moves
    /// either.
    fn remove_later(&self, overlap: &Arc<Overlap>, node: &Arc<Node>, id: &str) {
        let (api, node, id, held) =
            (Arc::clone(self.api), Arc::clone(node), id.to_string(), Arc::clone(overlap));
        tracing::warn!(
            NODE = node.name(),
            "cannot remove container {id} of {} now, trying again",
            node.name()
        );
        self.api.streams.spawn(async move {
            remove_for_sure(&api, &node, &id).await;
            drop(held);
        });
    }

    async fn did(&self, deed: Deed, node: &Node, id: &str) {
        let container = self.container.name().to_string();
        let did = Did { container, deed, node: node.name().to_string(), id: id.to_string() };
        self.teller.tell(&Progress::Did(did)).await;
    }

    fn as_before(&self, what: &str, error: &dyn std::fmt::Display) -> Trouble {
        Trouble::Failed(format!("{what}: {error}; it is on {} as before", self.node.name()))
    }
}

/// Removes a container, however often that must be tried; gives up when the manager ends.
async fn remove_for_sure(api: &Api, node: &Node, id: &str) {
    let removing = async {
        while api.discard(node, id).await.is_err() {
            sleep(AGAIN).await;
        }
    };
    api.closing.run_until_cancelled(removing).await;
}

/// How a new container is doing.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Healthy,
    Runs,
    Wait,
    Ended(i64),
    Ill,
}

fn verdict(life: &Life, settled: bool) -> Verdict {
    match (life.word(), life.health.as_str()) {
        ("created", _) => Verdict::Wait,
        ("running", "healthy") => Verdict::Healthy,
        ("running", "unhealthy") => Verdict::Ill,
        ("running", "") if settled => Verdict::Runs,
        ("running", _) => Verdict::Wait,
        _ => Verdict::Ended(life.exit_code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_container_is_watched_until_it_is_well() {
        let up = || Life { running: true, started: Some(1), ..Life::default() };
        let health = |word: &str| Life { health: word.into(), ..up() };
        let ended = Life { started: Some(1), exit_code: 3, ..Life::default() };
        for (life, settled, expected) in [
            (Life::default(), true, Verdict::Wait),
            (up(), false, Verdict::Wait),
            (up(), true, Verdict::Runs),
            (health("starting"), true, Verdict::Wait),
            (health("healthy"), false, Verdict::Healthy),
            (health("unhealthy"), false, Verdict::Ill),
            (Life { restarting: true, exit_code: 1, ..up() }, true, Verdict::Ended(1)),
            (ended, false, Verdict::Ended(3)),
        ] {
            assert_eq!(verdict(&life, settled), expected, "{life:?}");
        }
    }
}
