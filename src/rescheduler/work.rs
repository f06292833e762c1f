//! The steps of a plan, each a task of its own: calls to engines, with deadlines. They decide nothing; what came
//! of them goes back to the one who keeps the book.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::book::{Record, Superseded};
use crate::api::Api;
use crate::api::create::Created;
use crate::cluster::moves::Moving;
use crate::docker::endpoint::Endpoint;
use crate::docker::json::Object;
use crate::error::{Error, Kind, Result};

/// A container may have to wait for its image, which comes over a slow network.
const MAKING: Duration = Duration::from_secs(1800);
/// Engines give up a start by themselves long before.
const STARTING: Duration = Duration::from_secs(120);

/// Pause after a start that failed and that is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Pause after a call that failed and that is made again.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// ID of what runs; or the address where it did not start, and why.
pub type StartOutcome = std::result::Result<String, (String, Error)>;

/// What came of a step.
pub enum Done {
    /// A container was made anew, or was not.
    Made {
        /// That of the old container.
        moving: Moving,
        /// The new one.
        made: Result<Created>,
    },
    /// A replacement was started, or was not and is no more.
    Started {
        /// ID of the old container.
        of: String,
        /// ID of the one that runs; or the address where it did not, and why.
        outcome: StartOutcome,
        /// Whether the copy that did not start is gone.
        gone: bool,
    },
    /// A container was removed, or was not.
    Removed {
        /// Its ID.
        id: String,
        /// Name of its node.
        node: String,
        /// What the book had of it.
        entry: Option<Superseded>,
        /// How it went.
        outcome: Result<()>,
    },
    /// A container was started again, or was not.
    Revived {
        /// Its ID.
        id: String,
    },
    /// An engine was called.
    Probed {
        /// Its ID.
        engine: String,
        /// Whether it answered.
        heard: bool,
    },
}

/// Makes a container anew, on another node than its own and those to avoid.
pub async fn make(api: Arc<Api>, moving: Moving, record: Record, avoid: Vec<String>) -> Done {
    let excluded: Vec<String> = avoid.into_iter().chain([record.address]).collect();
    let making = api.recreate(&moving, &record.recipe, &excluded);
    let made = within(MAKING, making).await;
    Done::Made { moving, made }
}

/// Starts what was made in the place of a container. What cannot be started is removed: its place is not good.
pub async fn start(
    api: Arc<Api>,
    moving: Option<Moving>,
    of: String,
    record: Record,
    (id, address): (String, String),
) -> Done {
    let mut gone = false;
    let view = api.cluster.view();
    let outcome = match view.at(&address) {
        None => Err((address, Error::engine(Kind::Unavailable, "its node has left the cluster"))),
        Some(node) => {
            let mut answer = Object::default();
            answer.set("Id", &id);
            let mut created = Created { node: Arc::clone(node), answer };
            let outcome = try_start(&api, &record, &mut created).await;
            if let Err(error) = &outcome {
                let (node, id) = (&created.node, created.id());
                tracing::warn!(NODE = node.name(), "Failed to start rescheduled container {id}: {error}");
                gone = api.discard(node, &id).await.is_ok();
            }
            outcome.map(|()| created.id()).map_err(|error| (created.node.addr.clone(), error))
        }
    };
    if outcome.is_err() && !gone {
        sleep(AFTER_TROUBLE).await;
    }
    drop(moving);
    Done::Started { of, outcome, gone }
}

async fn try_start(api: &Arc<Api>, record: &Record, created: &mut Created) -> Result<()> {
    let id = created.id();
    tracing::info!(
        CONTAINER = record.recipe.name,
        "Container {} was running, starting container {id}",
        record.recipe.id
    );
    let excluded = [record.address.clone()];
    within(STARTING, api.start_recreated(&record.recipe, created, &excluded, || ())).await
}

/// Starts a container again that was stopped for a copy which does not run.
pub async fn revive(api: Arc<Api>, address: String, id: String) -> Done {
    if let Some(node) = api.cluster.view().at(&address) {
        let name = node.name();
        match within(STARTING, api.start_container(node, &id)).await {
            Ok(()) => {
                tracing::info!(
                    NODE = name,
                    "started container {id} on {name} again: its move was not finished"
                );
            }
            Err(error) => {
                tracing::warn!(NODE = name, "cannot start container {id} on {name} again yet: {error}");
                sleep(AFTER_FAILURE).await;
            }
        }
    }
    Done::Revived { id }
}

/// Removes a container, but none of its volumes.
pub async fn remove(api: Arc<Api>, address: String, id: String, entry: Option<Superseded>) -> Done {
    let view = api.cluster.view();
    let Some(node) = view.at(&address) else {
        let outcome = Err(Error::engine(Kind::Unavailable, "its node has left the cluster"));
        return Done::Removed { id, node: address, entry, outcome };
    };
    let outcome = api.discard(node, &id).await;
    if outcome.is_err() {
        sleep(AFTER_TROUBLE).await;
    }
    Done::Removed { id, node: node.name().to_string(), entry, outcome }
}

/// Calls an engine.
pub async fn probe(api: Arc<Api>, engine: String, address: String) -> Done {
    let heard = match Endpoint::parse(&address) {
        Ok(endpoint) => api.cluster.who_answers(endpoint).await.is_ok_and(|id| id == engine),
        Err(_) => false,
    };
    if !heard {
        sleep(AFTER_TROUBLE).await;
    }
    Done::Probed { engine, heard }
}

async fn within<T>(deadline: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
        let text = format!("it took longer than {} s", deadline.as_secs());
        Err(Error::us(Kind::Timeout, text))
    })
}
