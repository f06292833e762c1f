//! Carries a call to one engine and its answer back, untouched but for path and version.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http_body_util::{BodyStream, StreamBody};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};

use crate::api::Api;
use crate::api::audit::OnNode;
use crate::api::call::{Call, Query};
use crate::api::gap::Gap;
use crate::docker::http::{Body, BoxError, answered, boxed, full, read_whole};
use crate::docker::json::Object;
use crate::docker::version::{ApiRange, ApiVersion, NEWEST};
use crate::engine::Node;
use crate::engine::handle::Handle;
use crate::error::{Error, Result};

/// Headers that belong to one connection, and those that every answer of ours gets anew.
const NOT_PASSED: [HeaderName; 9] = [
    header::CONNECTION,
    header::UPGRADE,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// An engine that leaves a call unanswered for so long is pinged: it may be at work, or hang.
const SUSPICIOUS: Duration = Duration::from_secs(3);

/// What managers tell each other and engines. Coming from anybody else it would be a lie.
const OWN: &str = "x-swarmd-";

impl Api {
    /// Sends the client's call to an engine under another path, and streams the answer back.
    pub async fn forward(&self, call: Call, node: &Node, path: &str) -> Result<Response<Body>> {
        let handle = self.cluster.handle(node)?;
        let query = call.query.clone();
        self.forward_to(&handle, node, call, path, &query).await
    }

    /// Like `forward`, with another query.
    pub async fn forward_to(
        &self,
        handle: &Handle,
        node: &Node,
        call: Call,
        path: &str,
        query: &Query,
    ) -> Result<Response<Body>> {
        let gap = Gap::between(call.version, node);
        let target = format!("{}{path}{}", version_prefix(call.version, node), query.to_text());
        let (parts, body) = call.request.into_parts();
        let request = build(parts.method, &target, &parts.headers, boxed(body))?;
        let mut response = match handle.client.is_cheap() && carries_files(request.method(), path) {
            true => pass_back(self.attend(handle, node, handle.client.fetch(request)).await?),
            false => pass_back(self.exchange(handle, node, request).await?),
        };
        gap.stream(&mut response);
        Ok(OnNode::mark(response, node.name()))
    }

    /// Sends a request and waits for the head of the answer as long as the engine lives. Waiting is the
    /// client's to end: a `stop -t 600` may take its time.
    pub async fn exchange(
        &self,
        handle: &Handle,
        node: &Node,
        request: Request<Body>,
    ) -> Result<Response<hyper::body::Incoming>> {
        self.attend(handle, node, handle.client.send(request)).await
    }

    /// Waits for an answer as long as the engine lives.
    async fn attend<T>(
        &self,
        handle: &Handle,
        node: &Node,
        answer: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let late = async {
            tokio::time::sleep(SUSPICIOUS).await;
            handle.suspect();
            std::future::pending().await
        };
        let answer = tokio::select! {
            answer = answer => answer,
            lost = self.cluster.until_lost(node) => Err(lost),
            never = late => never,
        };
        if answer.as_ref().is_err_and(Error::is_connection) {
            handle.suspect();
        }
        answer
    }

    /// Sends a request of ours and reads the whole answer, as long as the engine lives; any status but 2xx is an
    /// error with the engine's message. For work that takes as long as it takes.
    pub async fn ask(&self, node: &Node, request: Request<Body>) -> Result<Bytes> {
        let handle = self.cluster.handle(node)?;
        let response = self.exchange(&handle, node, request).await?;
        let status = response.status();
        let answer = read_whole(boxed(response.into_body())).await?;
        if status.is_success() { Ok(answer) } else { Err(answered(status, &answer)) }
    }
}

/// An answer whose end comes only after `then`: who reads it to its end finds the view up to date.
pub async fn and_then(
    response: Response<Body>,
    then: impl Future<Output = ()> + Send + 'static,
) -> Result<Response<Body>> {
    let (parts, body) = response.into_parts();
    // With a length, its last byte is the end.
    if parts.headers.contains_key(header::CONTENT_LENGTH) {
        let whole = read_whole(body).await?;
        then.await;
        return Ok(Response::from_parts(parts, full(whole)));
    }
    let frames = BodyStream::new(body).map(Some).chain(then.map(|()| None).into_stream());
    let frames = frames.filter_map(|frame| async { frame });
    Ok(Response::from_parts(parts, boxed(StreamBody::new(frames))))
}

/// Whether the answer is an archive, which may be many GiB.
fn carries_files(method: &Method, path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    method == Method::GET && matches!(last, "export" | "get" | "archive")
}

/// The version that a call is sent in: the client's, or the nearest that the engine accepts.
pub fn version_for(asked: Option<ApiVersion>, node: &Node) -> ApiVersion {
    let accepted = node.specs.as_ref().map_or(ApiRange::OURS, |s| s.api);
    accepted.nearest(asked.unwrap_or(accepted.max.min(NEWEST)))
}

/// `/v1.41`, as `version_for` says.
pub fn version_prefix(asked: Option<ApiVersion>, node: &Node) -> String {
    format!("/v{}", version_for(asked, node))
}

/// An answer whose body is a JSON object, with that object changed. Anything else passes as it came.
pub async fn rewritten(response: Response<Body>, change: impl FnOnce(&mut Object)) -> Result<Response<Body>> {
    let (mut parts, body) = response.into_parts();
    let body = read_whole(body).await?;
    let Ok(mut object) = Object::parse(&body) else { return Ok(Response::from_parts(parts, full(body))) };
    change(&mut object);
    let text = format!("{}\n", object.to_json());
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    Ok(Response::from_parts(parts, full(text)))
}

/// The same for calls of our own: the newest version that the engine and we speak.
pub fn own_prefix(node: &Node) -> String {
    version_prefix(None, node)
}

/// A request to an engine with the client's headers.
pub fn build(method: Method, target: &str, headers: &HeaderMap, body: Body) -> Result<Request<Body>> {
    let mut request = crate::docker::http::request(method, target, body)?;
    for (name, value) in headers {
        if !(NOT_PASSED.contains(name) || name.as_str().starts_with(OWN)) {
            request.headers_mut().append(name, value.clone());
        }
    }
    Ok(request)
}

/// An engine's answer as ours.
pub fn pass_back<B>(response: Response<B>) -> Response<Body>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (mut parts, body) = response.into_parts();
    for name in &NOT_PASSED {
        // The length stays: a HEAD answer has it without a body, and others keep their framing.
        if *name != header::CONTENT_LENGTH {
            parts.headers.remove(name);
        }
    }
    let own: Vec<HeaderName> =
        parts.headers.keys().filter(|n| n.as_str().starts_with(OWN)).cloned().collect();
    for name in own {
        parts.headers.remove(name);
    }
    parts.version = hyper::Version::HTTP_11;
    parts.extensions = hyper::http::Extensions::new();
    Response::from_parts(parts, boxed(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::http::empty;

    #[test]
    fn what_managers_tell_each_other_passes_neither_way() {
        let mut headers = HeaderMap::new();
        for name in ["x-swarmd-primary", "x-swarmd-passed-on", "x-registry-auth"] {
            headers.insert(name, HeaderValue::from_static("1"));
        }
        let request = build(Method::POST, "/x", &headers, empty()).unwrap();
        assert_eq!(request.headers().keys().collect::<Vec<_>>(), ["x-registry-auth"]);
        let mut response = Response::new(empty());
        response.headers_mut().insert("x-swarmd-not-primary", HeaderValue::from_static("1"));
        assert!(pass_back(response).headers().is_empty());
    }
}
