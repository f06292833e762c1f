//! The questions of a validated engine's task: several may be under way, and each brings its answer back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::docker::json::Object;
use crate::docker::types::Inspected;
use crate::engine::container::{Container, Place};
use crate::engine::fetch::Asker;
use crate::engine::inventory::{Image, Network, Volume};
use crate::engine::refresh::What;
use crate::engine::specs::Specs;
use crate::engine::task::Engine;
use crate::engine::turns::Turn;
use crate::error::{Error, Result};

/// What an engine answered.
pub(super) enum Answer {
    Container(String, Option<Arc<Container>>),
    /// It is this engine's turn to have details read.
    Turn(Option<Turn>),
    /// Of as many as could be read.
    Details(Vec<(String, Result<Option<Inspected>>)>),
    /// The IDs that were asked for, and the entries that there are.
    Entries(Vec<String>, Vec<Object>),
    /// The list of all, as text.
    Containers(Bytes),
    Networks(Vec<Network>),
    Volumes(Vec<Volume>),
    Images(Vec<Image>),
    Specs(Box<Specs>),
    Pong,
}

/// How long others wait at most until one has read details.
const LONGEST_TURN: Duration = Duration::from_secs(2);

/// Asks for something; `ids` are the containers whose entries or details are wanted. With details comes the turn.
pub(super) fn ask(
    engine: &Engine,
    what: &What,
    ids: Vec<String>,
    turn: Option<Turn>,
) -> impl Future<Output = Result<Answer>> + Send + 'static {
    let asker = match what.is_lone() && engine.options.turns.are_for_many() {
        true => engine.asker.alone(),
        false => engine.asker.clone(),
    };
    let place = engine.place();
    let addr = engine.node().addr.clone();
    let turns = Arc::clone(&engine.options.turns);
    let what = what.clone();
    async move {
        match what {
            What::Turn => Ok(Answer::Turn(turns.for_details().await)),
            // Boxed: thousands that wait for their turn would else keep room for the largest call.
            other => {
                let answer = Box::pin(put(asker, other, place, addr, ids)).await;
                drop(turn);
                answer
            }
        }
    }
}

async fn put(mut asker: Asker, what: What, place: Place, addr: String, ids: Vec<String>) -> Result<Answer> {
    match what {
        What::Container(id) => {
            let container = asker.container(&id, &place).await?;
            Ok(Answer::Container(id, container.map(Arc::new)))
        }
        What::Turn => Ok(Answer::Turn(None)),
        What::Details => Ok(Answer::Details(details(&asker, ids).await)),
        What::Stale => {
            let entries = asker.entries(&ids).await?;
            Ok(Answer::Entries(ids, entries))
        }
        What::Containers => asker.list_of_containers().await.map(Answer::Containers),
        What::Networks => asker.networks().await.map(Answer::Networks),
        What::Volumes => asker.volumes().await.map(Answer::Volumes),
        What::Images => asker.images().await.map(Answer::Images),
        What::Specs => asker.specs(&addr).await.map(|s| Answer::Specs(Box::new(s))),
        What::Ping => asker.ping().await.map(|()| Answer::Pong),
    }
}

/// One after the other: nobody waits for them. Ends where the connection fails, so as not to fail for each anew.
async fn details(asker: &Asker, ids: Vec<String>) -> Vec<(String, Result<Option<Inspected>>)> {
    let (mut details, end) = (Vec::with_capacity(ids.len()), Instant::now() + LONGEST_TURN);
    for id in ids {
        let inspected = asker.inspect(&id).await;
        let failed = inspected.as_ref().is_err_and(Error::is_connection);
        details.push((id, inspected));
        if failed || Instant::now() > end {
            break;
        }
    }
    details
}
