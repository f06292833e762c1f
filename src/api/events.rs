//! `GET /events`: one JSON object a line, filtered: first what happened since a time, as engines remember it, then
//! what happens, until the client goes or `until` comes.
//!
//! History and stream meet without gap or double: the stream is joined first; each engine is asked for what came
//! before the last event that it had told by then; and what is in both is said once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::{Response, StatusCode};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::api::call::Call;
use crate::api::{Api, error};
use crate::clock;
use crate::cluster::events::{ClusterEvent, of_engine};
use crate::cluster::members::{Cluster, Joined};
use crate::docker::filters::Filters;
use crate::docker::http::{Body, BoxError, boxed};
use crate::docker::version::NEWEST;
use crate::engine::Node;
use crate::engine::events::history;
use crate::error::{Error, Kind, Result};

/// Seconds between the epoch and now that make sense as a wait.
const LONGEST_WAIT: u64 = 1_000_000_000;

/// The times that a client gives, in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy)]
struct Span {
    since: Option<i64>,
    until: Option<i64>,
}

impl Span {
    fn read(call: &Call) -> Result<Span> {
        let now = clock::unix_nanos();
        let time = |name: &str| match call.query.get(name).filter(|t| !t.is_empty()) {
            None => Ok(None),
            Some(text) => match clock::parse_moment(text, now) {
                Some(time) => Ok(Some(time)),
                None => {
                    let text =
                        format!("invalid value {text:?} for {name}: want seconds since 1970, or a time");
                    Err(Error::client(Kind::Invalid, text))
                }
            },
        };
        let span = Span { since: time("since")?, until: time("until")?.filter(|t| *t > 0) };
        match (span.since, span.until) {
            (Some(since), Some(until)) if since > until => {
                // As the client wrote them: engines repeat that.
                let said = |name| call.query.get(name).unwrap_or_default();
                let text = format!(
                    "`since` time ({}) cannot be after `until` time ({})",
                    said("since"),
                    said("until")
                );
                Err(Error::client(Kind::Invalid, text))
            }
            _ => Ok(span),
        }
    }

    /// Whether history is wanted. Engines give it also to those who only say until when.
    fn reaches_back(self) -> bool {
        self.since.is_some() || self.until.is_some()
    }
}

impl Api {
    /// Streams the cluster's events. The headers leave at once: clients wait for them.
    pub fn stream_events(&self, call: &Call) -> Result<Response<Body>> {
        let filters = Filters::parse(call.query.get("filters"))?;
        let span = Span::read(call)?;
        let (joined, cluster) = (self.cluster.join_events(), Arc::clone(&self.cluster));
        let follower = Follower::Joining(Box::new((cluster, joined, span, filters, self.closing.clone())));
        let lines = futures_util::stream::unfold(follower, |follower| async {
            match follower {
                Follower::Joining(start) => {
                    let (cluster, joined, span, filters, closing) = *start;
                    let (past, following) = Following::start(&cluster, joined, span, filters, closing).await;
                    Some((Ok(Frame::data(Bytes::from(past))), Follower::Following(following)))
                }
                Follower::Following(mut following) => {
                    Some((following.next().await?, Follower::Following(following)))
                }
            }
        });
        Ok(error::typed(StatusCode::OK, "application/json", boxed(StreamBody::new(lines))))
    }
}

/// What happened before a client joined, in order of time.
async fn look_back(cluster: &Cluster, joined: &Joined, span: Span) -> Vec<Arc<ClusterEvent>> {
    if !span.reaches_back() {
        return Vec::new();
    }
    let view = cluster.view();
    let asked = view.healthy().map(|node| remembered(cluster, node, joined.told.get(&node.addr), span));
    let mut past: Vec<_> = join_all(asked).await.into_iter().flatten().map(Arc::new).collect();
    let within = |t: i64| span.since.is_none_or(|s| t >= s) && span.until.is_none_or(|u| t <= u);
    past.extend(joined.own.iter().filter(|e| within(e.message.time_nano)).cloned());
    past.sort_by_key(|e| e.message.time_nano);
    past
}

/// What an engine remembers of the time before a client joined. What comes later comes by the stream.
async fn remembered(cluster: &Cluster, node: &Node, told: Option<&i64>, span: Span) -> Vec<ClusterEvent> {
    let Some(specs) = node.specs.as_deref() else { return Vec::new() };
    // Of an engine that told no event yet the stream has all since it was connected to.
    let joined = *told.unwrap_or(&specs.told_at);
    let (since, until) = (span.since.unwrap_or(0).max(0), span.until.unwrap_or(joined).min(joined));
    let Ok(handle) = cluster.handle(node) else { return Vec::new() };
    if since > until {
        return Vec::new();
    }
    match history(&handle.client, specs.api.nearest(NEWEST), since, until).await {
        Ok(events) => events.into_iter().map(|event| of_engine(node, event)).collect(),
        Err(e) => {
            tracing::warn!(NODE = node.name(), "no history of events from {}: {e}", node.name());
            Vec::new()
        }
    }
}

/// One client's way into the stream.
enum Follower {
    Joining(Box<(Arc<Cluster>, Joined, Span, Filters, CancellationToken)>),
    Following(Following),
}

/// One client's place in the stream.
struct Following {
    events: Receiver<Arc<ClusterEvent>>,
    /// What the history told already.
    seen: HashSet<(i64, String)>,
    filters: Filters,
    until: Option<i64>,
    closing: CancellationToken,
}

impl Following {
    /// Looks back, and lays what is found there before the stream.
    async fn start(
        cluster: &Cluster,
        joined: Joined,
        span: Span,
        filters: Filters,
        closing: CancellationToken,
    ) -> (String, Following) {
        let past = look_back(cluster, &joined, span).await;
        let seen = past.iter().map(|e| e.key()).collect();
        let lines = past.iter().filter(|e| e.passes(&filters)).map(|e| format!("{}\n", e.json)).collect();
        (lines, Following { events: joined.events, seen, filters, until: span.until, closing })
    }

    /// The next line for this client; `None` ends its stream.
    async fn next(&mut self) -> Option<std::result::Result<Frame<Bytes>, BoxError>> {
        let deadline = Instant::now() + self.until.map_or(Duration::ZERO, from_now);
        loop {
            let next = tokio::select! {
                biased;
                () = self.closing.cancelled() => return None,
                next = self.events.recv() => next,
                () = sleep_until(deadline), if self.until.is_some() => return None,
            };
            match next {
                // Somewhat later than wanted by another clock: the deadline ends the stream, not this.
                Ok(event) if self.until.is_some_and(|until| event.message.time_nano > until) => {
                    if Instant::now() > deadline {
                        return None;
                    }
                }
                Ok(event) if event.passes(&self.filters) && !self.told(&event) => {
                    return Some(Ok(Frame::data(Bytes::from(format!("{}\n", event.json)))));
                }
                Ok(_) => {}
                // Better an end that the client sees than a gap that it does not.
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!("an event client is too slow: closing its stream after {missed} events");
                    return None;
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Whether the history had it. Each is met once, so that this costs nothing soon.
    fn told(&mut self, event: &ClusterEvent) -> bool {
        !self.seen.is_empty() && self.seen.remove(&event.key())
    }
}

fn from_now(until: i64) -> Duration {
    let nanos = u64::try_from(until.saturating_sub(clock::unix_nanos())).unwrap_or(0);
    Duration::from_nanos(nanos).min(Duration::from_secs(LONGEST_WAIT))
}
