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
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

use crate::api::Api;
use crate::api::audit::OnNode;
use crate::api::call::Call;
use crate::api::gap::Gap;
use crate::api::proxy::{build, pass_back, version_prefix};
use crate::docker::http::{Body, empty, full};
use crate::engine::Node;
use crate::error::Result;

/// Bytes carried at once in each direction.
const BUFFER: usize = 64 << 10;

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
        let cut = self.breaks_off(&call.caller);
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
                    tokio::select! {
                        () = relay(TokioIo::new(client), TokioIo::new(far)) => {}
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

/// Carries bytes both ways. The client may end its direction and still read: `echo x | docker attach`. When
/// the engine ends, all is said.
async fn relay<C, E>(client: C, engine: E)
where
    C: AsyncRead + AsyncWrite,
    E: AsyncRead + AsyncWrite,
{
    let (mut from_client, mut to_client) = split(client);
    let (mut from_engine, mut to_engine) = split(engine);
    let up = async {
        let copied = copy(&mut from_client, &mut to_engine).await;
        let _ = to_engine.shutdown().await;
        // A client that is gone leaves nobody to read. One that only ended its direction, or still sends to a
        // program that has ended, is to hear the rest: `cat big | docker run -i busybox head -1`. Reading on
        // after the end fails once nobody is there any more, see `line`.
        let gone = match copied {
            Ok(()) => from_client.read(&mut [0]).await.is_err(),
            Err(broken) => matches!(broken, Broken::Source),
        };
        if !gone {
            std::future::pending::<()>().await;
        }
    };
    let down = async {
        let _ = copy(&mut from_engine, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// Which end of a copy broke.
enum Broken {
    Source,
    Sink,
}

async fn copy<R, W>(from: &mut R, to: &mut W) -> Result<(), Broken>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(n) => to.write_all(&buffer[..n]).await.map_err(|_| Broken::Sink)?,
            Err(_) => return Err(Broken::Source),
        }
        to.flush().await.map_err(|_| Broken::Sink)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{duplex, join};

    /// Both directions may be ready at once, in any order.
    const ROUNDS: usize = 32;

    #[tokio::test]
    async fn what_the_engine_said_is_heard_though_it_takes_no_more() {
        for _ in 0..ROUNDS {
            let (mut client, ours) = duplex(64);
            let (deaf, gone) = duplex(64);
            drop(gone);
            client.write_all(b"more").await.unwrap();
            relay(ours, join(&b"the rest"[..], deaf)).await;
            let mut heard = String::new();
            client.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "the rest");
        }
    }

    #[tokio::test]
    async fn either_end_may_end_its_direction_first() {
        for client_first in [true, false] {
            let ((mut client, a), (b, mut engine)) = (duplex(64), duplex(64));
            let relayed = tokio::spawn(relay(a, b));
            client.write_all(b"up").await.unwrap();
            if client_first {
                client.shutdown().await.unwrap();
                let mut said = String::new();
                engine.read_to_string(&mut said).await.unwrap();
                assert_eq!(said, "up");
            }
            engine.write_all(b"down").await.unwrap();
            drop(engine);
            let mut said = String::new();
            client.read_to_string(&mut said).await.unwrap();
            assert_eq!(said, "down");
            relayed.await.unwrap();
        }
    }
}
