//! The questions of a validated engine's task: each runs by itself and brings its answer back.

use std::sync::Arc;

use crate::docker::json::Object;
use crate::docker::types::Inspected;
use crate::engine::container::Container;
use crate::engine::inventory::{Image, Network, Volume};
use crate::engine::refresh::What;
use crate::engine::specs::Specs;
use crate::engine::task::Engine;
use crate::error::Result;

/// What an engine answered.
pub(super) enum Answer {
    Container(String, Option<Arc<Container>>),
    Details(String, Option<Box<Inspected>>),
    /// The IDs that were asked for, and the entries that there are.
    Entries(Vec<String>, Vec<Object>),
    Containers(Vec<Object>),
    Networks(Vec<Network>),
    Volumes(Vec<Volume>),
    Images(Vec<Image>),
    Specs(Box<Specs>),
    Pong,
}

/// Asks for something; `stale` are the containers whose entries are wanted.
pub(super) fn ask(
    engine: &Engine,
    what: &What,
    stale: Vec<String>,
) -> impl Future<Output = Result<Answer>> + Send + 'static {
    let mut asker = engine.asker.clone();
    let place = engine.place();
    let addr = engine.node().addr.clone();
    let turns = Arc::clone(&engine.options.turns);
    let what = what.clone();
    async move {
        match what {
            What::Container(id) => {
                let container = asker.container(&id, &place).await?;
                Ok(Answer::Container(id, container.map(Arc::new)))
            }
            What::Details(id) => {
                // Nobody waits for them: some at a time, whatever the number of engines.
                let _turn = turns.details.acquire().await;
                let inspected = asker.inspect(&id).await?;
                Ok(Answer::Details(id, inspected.map(Box::new)))
            }
            What::Stale => {
                let entries = asker.entries(&stale).await?;
                Ok(Answer::Entries(stale, entries))
            }
            What::Containers => asker.containers().await.map(Answer::Containers),
            What::Networks => asker.networks().await.map(Answer::Networks),
            What::Volumes => asker.volumes().await.map(Answer::Volumes),
            What::Images => asker.images().await.map(Answer::Images),
            What::Specs => asker.specs(&addr).await.map(|s| Answer::Specs(Box::new(s))),
            What::Ping => asker.ping().await.map(|()| Answer::Pong),
        }
    }
}
