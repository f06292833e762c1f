//! Calls that turn their connection into a raw stream: attach, exec, BuildKit.
//!
//! Only a 101 of the engine makes a tunnel. Any other answer is an ordinary one and the connection stays
//! ours, so that no later request of the client can slip past the manager.

use std::future::{Future, ready};

use bytes::Bytes;
use hyper::ext::ReasonPhrase;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::{Response, StatusCode, Version};
use hyper_util::rt::TokioIo;

use crate::api::Api;
use crate::api::audit::OnNode;
use crate::api::call::Call;
use crate::api::gap::Gap;
use crate::api::proxy::{build, pass_back, version_prefix};
use crate::docker::http::{Body, empty, full};
use crate::engine::Node;
use crate::error::Result;
use crate::stream::relay::{Progress, relay};

impl Api {
    /// Sends a call that may take the connection over. `body` is what the client sent before the stream.
    pub async fn hijack(&self, call: Call, node: &Node, path: &str, body: Bytes) -> Result<Response<Body>> {
        self.hijack_then(call, node, path, body, ready(())).await
    }

    /// Like `hijack`, and when the stream has ended, `after` runs. It is dropped if there never was a stream.
    pub async fn hijack_then(
        &self,
        call: Call,
        node: &Node,
        path: &str,
        body: Bytes,
        after: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Response<Body>> {
        let handle = self.cluster.handle(node)?;
        let gap = Gap::between(call.version, node);
        let target = format!("{}{path}{}", version_prefix(call.version, node), call.query.to_text());
        let body = if body.is_empty() { empty() } else { full(body) };
        let mut request = build(call.method().clone(), &target, call.request.headers(), body)?;
        if let Some(protocol) = call.request.headers().get(UPGRADE) {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            request.headers_mut().insert(UPGRADE, protocol.clone());
        }
        let mut response = self.exchange(&handle, node, request).await?;
        gap.stream(&mut response);
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(OnNode::mark(until_close(pass_back(response)), node.name()));
        }
        let cut = self.breaks_off(&call);
        Ok(OnNode::mark(self.tunnel(call, response, cut, after), node.name()))
    }

    /// Joins the client's connection to that of an answered upgrade, until either side or `cut` ends it; then runs
    /// `after`.
    pub fn tunnel(
        &self,
        call: Call,
        mut answer: Response<hyper::body::Incoming>,
        cut: impl Future<Output = ()> + Send + 'static,
        after: impl Future<Output = ()> + Send + 'static,
    ) -> Response<Body> {
        let far_side = hyper::upgrade::on(&mut answer);
        let client_side = hyper::upgrade::on(call.request);
        self.streams.spawn(async move {
            match tokio::try_join!(client_side, far_side) {
                Ok((client, far)) => {
                    let progress = Progress::default();
                    tokio::select! {
                        () = relay(TokioIo::new(client), TokioIo::new(far), &progress) => {}
                        () = cut => {}
                    }
                    after.await;
                }
                Err(e) => tracing::debug!("an upgrade did not come about: {e}"),
            }
        });
        switched(&answer)
    }
}

/// To a client that asked for no upgrade an engine sends 200 and the stream, bare, until it closes. So do we:
/// an HTTP/1.0 answer without a length carries no chunk marks and ends with its connection.
pub fn until_close(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    let stream =
        headers.get(CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/vnd.docker."));
    if stream && !headers.contains_key(CONTENT_LENGTH) {
        *response.version_mut() = Version::HTTP_10;
    }
    response
}

/// The engine's 101 for the client: clients read how the stream is framed from its headers.
fn switched(engine: &Response<hyper::body::Incoming>) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = engine.headers().clone();
    // Old clients look for the engine's own word.
    if let Some(phrase) = engine.extensions().get::<ReasonPhrase>() {
        response.extensions_mut().insert(phrase.clone());
    }
    response
}
