//! `drain` and `rebalance`: moves, carried out one after the other while the client reads along.
//!
//! What moves and why is decided in `scheduler::moves`; `carry` moves one container. One call at a time moves
//! containers, so that two never count on the same room. A client that leaves ends it after the container at
//! hand, as does the end of the time allowed, or of the manager.

mod carry;
mod drain;
mod overlap;
mod rebalance;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::{Response, StatusCode};
use tokio::time::Instant;

use crate::api::fanout::Lines;
use crate::api::swarmd::progress::Progress;
use crate::api::{Api, error};
use crate::cluster::View;
use crate::docker::http::Body;
use crate::engine::{Container, Node};
use crate::error::{Error, Kind, Result};
use crate::scheduler::moves::{Mover, Rehearsal};

/// How long a client may take for a line before it counts as gone.
const SLOWEST_READER: Duration = Duration::from_secs(10);

/// Whose turn it is to move containers: what it is doing, in words.
#[derive(Default)]
pub struct Turn(Mutex<Option<String>>);

impl Turn {
    fn holder(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn that was taken, until this value goes.
struct Taken(Arc<Api>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.moving.holder().take();
    }
}

/// The client's side of a run: what it hears, and how long it goes on.
struct Teller {
    lines: Lines,
    until: Instant,
    api: Arc<Api>,
    /// The client is there, and takes nothing any more.
    stuck: AtomicBool,
}

impl Teller {
    async fn tell(&self, progress: &Progress) {
        let Ok(line) = serde_json::to_value(progress) else { return };
        if self.stuck.load(Ordering::Relaxed) {
            return;
        }
        if tokio::time::timeout(SLOWEST_READER, self.lines.send(&line)).await.is_err() {
            self.stuck.store(true, Ordering::Relaxed);
        }
    }

    /// Why no further container should be begun with.
    fn must_stop(&self) -> Option<&'static str> {
        match () {
            () if self.api.closing.is_cancelled() => Some("the manager is stopping"),
            () if self.lines.is_closed() || self.stuck.load(Ordering::Relaxed) => Some("the client left"),
            () if Instant::now() >= self.until => Some("the time is up (--timeout)"),
            () => None,
        }
    }
}

impl Api {
    fn take_turn(self: &Arc<Self>, what: String) -> Result<Taken> {
        let mut holder = self.moving.holder();
        if let Some(other) = &*holder {
            return Err(Error::client(
                Kind::Conflict,
                format!("containers are being moved already: {other}"),
            )
            .advise("wait until that is done, or end it (Ctrl-C there)"));
        }
        *holder = Some(what);
        drop(holder);
        Ok(Taken(Arc::clone(self)))
    }

    /// A stream of progress, made by `work` to its end or to the next container after the client left.
    fn progress<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        timeout: u64,
        work: impl FnOnce(Teller) -> F,
    ) -> Response<Body> {
        let (lines, body) = Lines::channel();
        // A day is more than anybody waits for; and any number of seconds is one that a clock can add.
        let until = Instant::now() + Duration::from_secs(timeout.min(86_400));
        let stuck = AtomicBool::new(false);
        self.streams.spawn(work(Teller { lines, until, api: Arc::clone(self), stuck }));
        error::typed(StatusCode::OK, "application/x-ndjson", body)
    }

    /// The cluster for thinking in.
    fn rehearsal(&self, view: &View) -> Rehearsal {
        let pending = self.cluster.pending().clone();
        let chance = self.chance().clone();
        Rehearsal::new(view.clone(), pending, self.placement(), chance)
    }

    async fn mover(&self, view: &View, node: &Arc<Node>, container: &Arc<Container>) -> Result<Mover> {
        let mut request = self.asked_again(view, node, container).await?;
        // Where its networks were made says nothing about where it should go next.
        let drawn_back = format!("node==~{}", node.name());
        request.extra_constraints.retain(|constraint| *constraint != drawn_back);
        Ok(Mover { node: Arc::clone(node), container: Arc::clone(container), request })
    }
}
