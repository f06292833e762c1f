//! The HTTP client towards engines, registries and other managers: pooled, upgradable, with deadlines.
//!
//! One `Client` belongs to one endpoint: dropping it drops its connections. It never retries: the owner of
//! a call decides that. Only what was never sent, since its connection had just ended, goes out on another.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::{Builder, Client as Pool};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::docker::alone::{self, Alone};
use crate::docker::bulk::{self, Bulk};
use crate::docker::connect::{Connector, Stream};
use crate::docker::endless::Endless;
use crate::docker::endpoint::Endpoint;
use crate::docker::failure::is_unsent;
use crate::docker::fence::{self, Fence};
use crate::docker::framing::FRONT_SAYS;
use crate::docker::lent::lend;
use crate::error::{Error, Kind, Result};
use crate::tls::ClientTls;

pub use crate::docker::failure::{Failed, answered};

/// Any body that we send or pass on.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;
/// The error of a body that breaks off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Deadline of a small call to an engine: connect, head and body together.
pub const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// How long the rest of an answer is waited for that is none of what was asked for.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(2);
/// Largest answer that we read whole. A list of 10,000 containers is below 20 MiB.
const LARGEST_ANSWER: usize = 64 << 20;
/// Largest answer of those that are small: pings, versions.
const SMALL_ANSWER: usize = 1 << 20;
/// Idle connections kept for each engine: a burst of parallel calls reuses them.
const IDLE_CONNECTIONS: usize = 16;
/// How long they are kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes that are read at once: more is no faster, and dearer to come by.
const LARGE_BUFFER: usize = 128 << 10;
/// Bytes of a thrifty client's buffers. A head must be shorter; engines' have some hundred bytes.
const SMALL_BUFFER: usize = 8 << 10;
/// Connections that are tried for one call at most. Not left to the pool: it would not ask the fence again.
const CONNECTIONS_TRIED: usize = 3;

/// A body without bytes.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of known bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Makes any body of ours into the common type.
pub fn boxed<B>(body: B) -> Body
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// A pooled client of one endpoint. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    endpoint: Endpoint,
    authority: String,
    scheme: &'static str,
    connector: Connector,
    how: fn(&mut Builder) -> &mut Builder,
    pool: Pool<Connector, Body>,
    /// Whether whole answers are read over connections of their own.
    alone: bool,
    fence: Option<Arc<dyn Fence>>,
}

impl Client {
    /// A client for `endpoint`, with TLS if a configuration is given.
    pub fn new(endpoint: Endpoint, tls: Option<ClientTls>) -> Client {
        let connector = Connector::new(endpoint, tls);
        Client::over(connector, |builder| builder.http1_max_buf_size(LARGE_BUFFER))
    }

    /// One for many small questions to many endpoints: what an idle connection holds in memory counts there.
    pub fn thrifty(endpoint: Endpoint, tls: Option<ClientTls>) -> Client {
        let connector = Connector::new(endpoint, tls).thrifty();
        Client::over(connector, |builder| builder.http1_read_buf_exact_size(SMALL_BUFFER))
    }

    fn over(connector: Connector, how: fn(&mut Builder) -> &mut Builder) -> Client {
        let endpoint = connector.endpoint().clone();
        let authority = match &endpoint {
            Endpoint::Tcp { .. } => endpoint.to_string(),
            Endpoint::Unix(_) => "localhost".to_string(),
        };
        let scheme = if connector.is_encrypted() { "https" } else { "http" };
        let pool = pool(&connector, how);
        Client { endpoint, authority, scheme, connector, how, pool, alone: false, fence: None }
    }

    /// Lets idle connections go where new ones are cheap: without TLS, and without a name to be looked up.
    pub fn rest(&mut self) {
        if self.connector.is_cheap() {
            self.pool = pool(&self.connector, self.how);
        }
    }

    /// Whether a new connection costs next to nothing: see [`Connector::is_cheap`].
    pub fn is_cheap(&self) -> bool {
        self.connector.is_cheap()
    }

    /// The same client, which reads whole answers over connections of their own, see [`alone`], if those are cheap. Of its
    /// calls nobody learns whether they were never sent.
    #[must_use]
    pub fn alone(self) -> Client {
        Client { alone: self.connector.is_cheap(), ..self }
    }

    /// The same client, which asks `fence` before each call that may change something.
    pub fn fenced(self, fence: Arc<dyn Fence>) -> Client {
        Client { fence: Some(fence), ..self }
    }

    /// Where this client connects to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends a request whose URI is a path with query. Connecting has a deadline; waiting for the answer
    /// has none, since a `wait` or a `stop -t 600` may take its time: callers add one where it fits.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>> {
        self.try_send(request).await.map_err(|failed| failed.error)
    }

    /// As `send`; who may repeat a call that was never sent learns that, too.
    pub async fn try_send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, Failed> {
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        let uri: Uri = format!("{}://{}{path}", self.scheme, self.authority)
            .parse()
            .map_err(|e| Error::client(Kind::Invalid, format!("malformed request path {path:?}: {e}")))?;
        *request.uri_mut() = uri;
        let (parts, mut body) = request.into_parts();
        let mut tried = 0;
        loop {
            let (lent, back) = lend(body);
            tried += 1;
            match self.attempt(Request::from_parts(parts.clone(), lent)).await {
                Ok(response) => return Ok(response),
                Err(failed) => match back.take() {
                    Some(again) if failed.had_ended() && tried < CONNECTIONS_TRIED => body = again,
                    _ => return Err(failed),
                },
            }
        }
    }

    /// Sends a request on one connection.
    async fn attempt(&self, request: Request<Body>) -> Result<Response<Incoming>, Failed> {
        let send = |request| async {
            match self.pool.request(request).await {
                Ok(response) => self.let_in(response).map_err(|error| Failed { error, unsent: true }),
                Err(e) => Err(Failed { error: self.explain(&e), unsent: is_unsent(&e) }),
            }
        };
        match &self.fence {
            Some(fence) if fence::changes(request.method()) => fence::pass(&**fence, request, send).await,
            _ => send(request).await,
        }
    }

    /// An answer, unless an agent gave it that has no engine.
    fn let_in<B>(&self, response: Response<B>) -> Result<Response<B>> {
        match response.headers().get(FRONT_SAYS) {
            Some(why) => Err(self.turned_away(&String::from_utf8_lossy(why.as_bytes()))),
            None => Ok(response),
        }
    }

    /// As `send`, over a connection of its own, see [`alone`].
    async fn send_alone(&self, request: Request<Body>) -> Result<Response<Alone>> {
        self.send_over(self.connector.connect().await?, None, request).await
    }

    /// The same for an answer that is likely to be large.
    pub async fn fetch(&self, mut request: Request<Body>) -> Result<Response<Alone>> {
        let stream = self.connector.connect().await?;
        let bulk = Bulk::of(&stream);
        // What comes last need not be waited for: the end of the connection comes with it.
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        self.send_over(stream, bulk, request).await
    }

    async fn send_over(
        &self,
        stream: Stream,
        bulk: Option<Bulk>,
        mut request: Request<Body>,
    ) -> Result<Response<Alone>> {
        let host =
            HeaderValue::try_from(&self.authority).map_err(|e| Error::us(Kind::Invalid, e.to_string()))?;
        request.headers_mut().insert(HOST, host);
        if let Some(fence) = self.fence.as_ref().filter(|_| fence::changes(request.method())) {
            fence.pass()?;
            fence::stamp(&**fence, &mut request);
        }
        let buffer = if bulk.is_some() { bulk::BUFFER } else { LARGE_BUFFER };
        match alone::send(stream, bulk, http1::Builder::new().max_buf_size(buffer), request).await {
            Ok(response) => self.let_in(response),
            Err(e) => Err(self.explain(&e)),
        }
    }

    /// A question whose answer is small, at most 1 MiB: one that floods us is cut off early.
    pub async fn ask(&self, path: &str, deadline: Duration) -> Result<(StatusCode, Bytes)> {
        let asked = self.exchange_up_to(SMALL_ANSWER, request(Method::GET, path, empty())?, deadline).await;
        asked.map_err(|failed| failed.error)
    }

    /// A call without body whose whole answer must arrive within `deadline`.
    pub async fn call(&self, method: Method, path: &str, deadline: Duration) -> Result<(StatusCode, Bytes)> {
        self.exchange(request(method, path, empty())?, deadline).await
    }

    /// Sends a request and reads the whole answer, all within `deadline`.
    pub async fn exchange(&self, request: Request<Body>, deadline: Duration) -> Result<(StatusCode, Bytes)> {
        self.exchange_up_to(LARGEST_ANSWER, request, deadline).await.map_err(|failed| failed.error)
    }

    /// As `exchange`; who may repeat a call that was never sent learns that, too.
    pub async fn try_exchange(
        &self,
        request: Request<Body>,
        deadline: Duration,
    ) -> Result<(StatusCode, Bytes), Failed> {
        self.exchange_up_to(LARGEST_ANSWER, request, deadline).await
    }

    /// The same for an answer that is never larger than `largest` bytes.
    async fn exchange_up_to(
        &self,
        largest: usize,
        request: Request<Body>,
        deadline: Duration,
    ) -> Result<(StatusCode, Bytes), Failed> {
        let exchange = async {
            let response = match self.alone {
                true => self.send_alone(request).await?.map(boxed),
                false => self.try_send(request).await?.map(boxed),
            };
            let status = response.status();
            Ok((status, read_up_to(largest, response.into_body()).await?))
        };
        match tokio::time::timeout(deadline, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(self.timed_out(deadline).into()),
        }
    }

    /// `GET`s JSON; any status but 2xx is an error with the engine's message.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str, deadline: Duration) -> Result<T> {
        self.understood(path, &self.get(path, deadline).await?)
    }

    /// `GET`s anything; any status but 2xx is an error with the engine's message.
    pub async fn get(&self, path: &str, deadline: Duration) -> Result<Bytes> {
        let (status, body) = self.call(Method::GET, path, deadline).await?;
        if status.is_success() { Ok(body) } else { Err(answered(status, &body)) }
    }

    /// What `path` answered, read as JSON.
    pub fn understood<'a, T: Deserialize<'a>>(&self, path: &str, body: &'a [u8]) -> Result<T> {
        serde_json::from_slice(body).map_err(|e| {
            Error::engine(
                Kind::Protocol,
                format!("{} answered {path} with something else than expected: {e}", self.endpoint),
            )
            .advise("make sure that a Docker Engine listens there, not another kind of server")
        })
    }

    /// Posts JSON and reads the whole answer within `deadline`, whatever its status.
    pub async fn post_json(
        &self,
        path: &str,
        json: String,
        deadline: Duration,
    ) -> Result<(StatusCode, Bytes)> {
        let mut request = request(Method::POST, path, full(json))?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.exchange(request, deadline).await
    }

    /// `GET`s what does not end, over a connection of its own, which must begin within [`CALL_DEADLINE`].
    ///
    /// # Errors
    /// As of `send`; any status but 2xx, with the engine's message or as much of it as came in time.
    pub async fn follow(&self, path: &str) -> Result<Endless> {
        let path = request(Method::GET, path, empty())?.uri().to_string();
        let begun = async {
            let stream = self.connector.connect().await?;
            Endless::get(stream, &self.authority, &path).await.map_err(|e| self.explain_io(&e))
        };
        let begun = tokio::time::timeout(CALL_DEADLINE, begun).await;
        let mut answer = begun.unwrap_or_else(|_| Err(self.timed_out(CALL_DEADLINE)))?;
        let status = answer.head().status;
        match &answer.head().front_says {
            Some(why) => Err(self.turned_away(why)),
            None if status.is_success() => Ok(answer),
            None => {
                let mut body = BytesMut::new();
                let rest = async {
                    while body.len() < SMALL_ANSWER && answer.read(&mut body).await.is_ok_and(|more| more) {}
                };
                let _ = tokio::time::timeout(REFUSAL_DEADLINE, rest).await;
                Err(answered(status, &body))
            }
        }
    }
}

fn pool(connector: &Connector, how: fn(&mut Builder) -> &mut Builder) -> Pool<Connector, Body> {
    let mut builder = Pool::builder(TokioExecutor::new());
    builder.pool_max_idle_per_host(IDLE_CONNECTIONS).pool_idle_timeout(IDLE_TIMEOUT);
    builder.pool_timer(TokioTimer::new()).retry_canceled_requests(false);
    how(&mut builder).build(connector.clone())
}

/// Builds a request for a path of ours. Names in it come from clients, so whatever an engine would clean up
/// (`..`, `//`) and thus read as another path is refused here, where every request passes.
pub fn request(method: Method, path: &str, body: Body) -> Result<Request<Body>> {
    if leads_elsewhere(path) {
        return Err(Error::client(Kind::Invalid, format!("malformed name in {path:?}")));
    }
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = path
        .parse()
        .map_err(|e| Error::client(Kind::Invalid, format!("malformed request path {path:?}: {e}")))?;
    Ok(request)
}

fn leads_elsewhere(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    decoded.split('/').skip(1).any(|part| matches!(part, "" | "." | ".."))
}

/// Reads a body whole, up to a bound that no honest answer reaches.
pub async fn read_whole(body: Body) -> Result<Bytes> {
    read_up_to(LARGEST_ANSWER, body).await
}

async fn read_up_to(largest: usize, mut body: Body) -> Result<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Error::engine(Kind::Broken, format!("the answer broke off: {e}")))?;
        whole.extend_from_slice(frame.data_ref().map_or(&[], |d| d.as_ref()));
        if whole.len() > largest {
            return Err(Error::engine(Kind::Protocol, "the answer is endless"));
        }
    }
    Ok(whole.freeze())
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
