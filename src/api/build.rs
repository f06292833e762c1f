//! Builds: `POST /build`, and the tunnels of BuildKit.
//!
//! A classic build is placed like a container: build arguments `constraint:…`, `affinity:…` and `whitelist:…` steer
//! it, memory and CPUs count. All else is the engine's: parameters, credentials, context and messages pass through.
//!
//! BuildKit (`docker build` of today, buildx, compose) opens several tunnels at once, `/grpc` and `/session`, which
//! only the engine reads. They all go to the engine that `builders` keeps for the client; the scheduler chooses it,
//! among those that have BuildKit. Build arguments are inside the tunnels, so they *cannot* steer: whoever wants a
//! certain node builds with `DOCKER_BUILDKIT=0`, or on that node's engine.
//!
//! An image is on the node that built it, and nowhere else at first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use tokio::time::Instant;

use crate::api::Api;
use crate::api::builders::{Builders, Ticket};
use crate::api::call::{Call, Peer, Query};
use crate::cluster::View;
use crate::cluster::pending::Reservation;
use crate::docker::http::{Body, boxed};
use crate::docker::types::{HostConfig, Labels};
use crate::docker::version::ApiVersion;
use crate::engine::Node;
use crate::engine::handle::Handle;
use crate::engine::refresh::What;
use crate::error::{Error, Kind, Result};
use crate::scheduler::Request;
use crate::scheduler::hints::Hints;

/// The first version with `/grpc`: what buildx needs.
const BUILDKIT: ApiVersion = ApiVersion::new(1, 39);

/// Which engine builds for which client, behind a lock and with a clock.
#[derive(Clone)]
pub struct Bursts {
    table: Arc<Mutex<Builders>>,
    start: Instant,
}

impl Default for Bursts {
    fn default() -> Bursts {
        Bursts { table: Arc::default(), start: Instant::now() }
    }
}

impl Bursts {
    fn table(&self) -> MutexGuard<'_, Builders> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A build or tunnel under way: its client keeps its engine.
struct Tunnel {
    bursts: Bursts,
    ticket: Ticket,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let now = self.bursts.now();
        self.bursts.table().end(&self.ticket, now);
    }
}

/// Whether builds can use BuildKit somewhere. Nodes that blink keep counting.
pub fn has_buildkit(view: &View) -> bool {
    view.validated().any(|n| speaks_buildkit(n))
}

fn speaks_buildkit(node: &Node) -> bool {
    node.specs.as_ref().is_some_and(|s| s.api.max >= BUILDKIT)
}

impl Api {
    /// `POST /build`. With a session or as version 2 it is a part of a BuildKit build, and goes where that is.
    pub async fn build(&self, mut call: Call) -> Result<Response<Body>> {
        let request = wishes(&mut call.query)?;
        let session = call.query.get("session").is_some_and(|s| !s.is_empty());
        if session || call.query.get("version") == Some("2") {
            let (node, tunnel) = self.builder(call.peer, &request)?;
            return self.build_on(call, &node, tunnel).await;
        }
        let (node, reserved) = self.cluster.decide(|view, pending| {
            let node = self.choose(view, pending, &request)?.node;
            let reservation = Reservation { addr: node.addr.clone(), container: request.reservation(&node) };
            let reserved = self.cluster.reserve(pending, reservation);
            Ok((node, reserved))
        })?;
        self.build_on(call, &node, reserved).await
    }

    /// Streams the build to a node and its messages back; `held` is dropped when it is over.
    async fn build_on<H>(&self, call: Call, node: &Node, held: H) -> Result<Response<Body>>
    where
        H: Send + 'static,
    {
        let handle = self.cluster.handle(node)?;
        let tags = call.query.all("t").join(", ");
        tracing::info!(NODE = node.name(), PEER = %call.peer, TAGS = tags, "building on {}", node.name());
        let response = self.forward(call, node, "/build").await?;
        Ok(match response.status().is_success() {
            true => response.map(|body| then_read_images(body, handle, held)),
            false => response,
        })
    }

    /// `POST /build/cancel?id=…`: a client's builds that have an ID are on its builder.
    pub async fn cancel_build(&self, call: Call) -> Result<Response<Body>> {
        let (node, _tunnel) = self.builder(call.peer, &Request::default())?;
        self.forward(call, &node, "/build/cancel").await
    }

    /// `POST /grpc`, `POST /session`
    pub async fn tunnel_build(&self, call: Call) -> Result<Response<Body>> {
        let (node, tunnel) = self.builder(call.peer, &Request::default())?;
        let handle = self.cluster.handle(&node)?;
        let path = format!("/{}", call.segments.join("/"));
        let after = async move {
            handle.refresh(What::Images).await;
            drop(tunnel);
        };
        self.hijack_then(call, &node, &path, bytes::Bytes::new(), after).await
    }

    /// The engine that builds for a client: the one it has, as long as that is healthy, else the scheduler's
    /// best that has BuildKit.
    fn builder(&self, peer: Peer, request: &Request) -> Result<(Arc<Node>, Tunnel)> {
        let client = peer.client();
        let now = self.bursts.now();
        // Held over the choice: of two first tunnels, one chooses and the other follows.
        let mut table = self.bursts.table();
        let node = self.cluster.decide(|view, pending| {
            let kept = table.of(&client, now).and_then(|addr| view.at(addr)).filter(|n| n.is_healthy());
            if let Some(kept) = kept.filter(|_| !request.hints.any()) {
                return Ok(Arc::clone(kept));
            }
            let mut fit = self.rank(view, pending, request)?.into_iter().filter(|n| speaks_buildkit(n));
            match kept {
                None => fit.next().ok_or_else(no_buildkit),
                Some(kept) => fit.find(|n| n.addr == kept.addr).ok_or_else(|| elsewhere(kept)),
            }
        })?;
        if table.of(&client, now) != Some(&node.addr) {
            tracing::info!(NODE = node.name(), PEER = %peer, "BuildKit of {client} is on {}", node.name());
        }
        let ticket = table.begin(&client, &node.addr, now);
        drop(table);
        Ok((node, Tunnel { bursts: self.bursts.clone(), ticket }))
    }

    /// BuildKit tells a client inside its tunnels that an image is done, and the client may ask us for it before
    /// we could hear of it: while a client has tunnels open, its questions about images read its builder first.
    pub async fn settle_build(&self, peer: Peer) {
        let busy = self.bursts.table().busy(&peer.client()).map(str::to_string);
        let view = self.cluster.view();
        let node = busy.and_then(|addr| view.at(&addr)).filter(|n| n.is_healthy());
        if let Some(handle) = node.and_then(|n| self.cluster.handle(n).ok()) {
            handle.refresh(What::Images).await;
        }
    }
}

/// What a build asks of its node. Hints leave the build arguments; an argument without a value keeps that, for
/// the builder takes it from its own environment.
fn wishes(query: &mut Query) -> Result<Request> {
    let mut request = Request {
        host: HostConfig {
            memory: query.number("memory"),
            cpu_shares: query.number("cpushares"),
            ..HostConfig::default()
        },
        ..Request::default()
    };
    // What is no such map is the engine's to refuse.
    let arguments = query.get("buildargs").and_then(|text| serde_json::from_str(text).ok());
    let mut arguments: BTreeMap<String, Option<String>> = arguments.unwrap_or_default();
    let entry = |key: &str, value: &Option<String>| match value {
        // `--build-arg constraint:node==pi1` is split at its first `=`.
        Some(value) => format!("{key}={value}"),
        None => key.to_string(),
    };
    let mut left: Vec<String> = arguments.iter().map(|(k, v)| entry(k, v)).collect();
    request.hints = Hints::extract(&mut left, &mut Labels::new());
    request.hints.check()?;
    if left.len() != arguments.len() {
        arguments.retain(|k, v| left.contains(&entry(k, v)));
        query.set("buildargs", &serde_json::to_string(&arguments).unwrap_or_default());
    }
    Ok(request)
}

/// The same body; before it ends, the images of the node are read again, and `held` is dropped.
fn then_read_images<H: Send + 'static>(body: Body, handle: Handle, held: H) -> Body {
    let frames = stream::unfold(Some((body, handle, held)), |state| async {
        let (mut body, handle, held) = state?;
        match body.frame().await {
            Some(Ok(frame)) => Some((Ok(frame), Some((body, handle, held)))),
            Some(Err(e)) => Some((Err(e), None)),
            None => {
                handle.refresh(What::Images).await;
                drop(held);
                None
            }
        }
    });
    boxed(StreamBody::new(frames))
}

fn no_buildkit() -> Error {
    Error::client(Kind::NoNode, "No node of the cluster has BuildKit")
        .advise("build with DOCKER_BUILDKIT=0, or add an engine of version 18.09 or later")
}

fn elsewhere(kept: &Node) -> Error {
    let text = format!(
        "the BuildKit builds of this client are on {}, which the build arguments rule out",
        kept.name()
    );
    Error::client(Kind::NoNode, text).advise("build with DOCKER_BUILDKIT=0 to choose a node")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> (Request, Query) {
        let mut query = Query::parse(query);
        (wishes(&mut query).unwrap(), query)
    }

    #[test]
    fn hints_steer_and_leave_the_build_arguments() {
        let (request, query) = read(
            r#"t=a:1&t=b:2&buildargs={"constraint:node":"=pi1","affinity:image":"=~busybox","constraint:disk!":"hdd","A":null,"a":"x=y","E":""}"#,
        );
        assert_eq!(request.hints.constraints, ["disk!=hdd", "node==pi1"]);
        assert_eq!(request.hints.affinities, ["image==~busybox"]);
        assert_eq!(query.get("buildargs"), Some(r#"{"A":null,"E":"","a":"x=y"}"#));
        assert_eq!(query.all("t"), ["a:1", "b:2"]);
    }

    #[test]
    fn without_hints_nothing_changes() {
        for arguments in [r#"{ "b":"1", "A":null}"#, "null", "", "[1]", r#"{"a":1}"#] {
            let (request, query) = read(&format!("buildargs={arguments}"));
            assert!(!request.hints.any(), "{arguments}");
            assert_eq!(query.get("buildargs"), Some(arguments));
        }
    }

    #[test]
    fn resources_count() {
        let (request, query) = read("memory=64&cpushares=2&cpuquota=9");
        assert_eq!((request.host.memory, request.host.cpu_shares), (64, 2));
        assert_eq!(query.to_text(), "?memory=64&cpushares=2&cpuquota=9");
    }

    #[test]
    fn bad_policies_are_refused() {
        let mut query = Query::parse(r#"buildargs={"reschedule:maybe":null}"#);
        assert_eq!(wishes(&mut query).unwrap_err().kind, Kind::Invalid);
    }
}
