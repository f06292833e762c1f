//! HTTP to a store that listens at several addresses: one attempt, over all of them in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};
use tokio::time::{Instant, timeout};

use crate::docker::http::{self, Client, boxed, empty, full, read_whole};
use crate::error::{Error, Kind, Result, Side};
use crate::store::fault::{self, Peer};
use crate::store::{Access, Address, DEADLINE};

const TLS_OPTIONS: &str = "kv.cacertfile, kv.certfile and kv.keyfile";

/// The addresses of one store. Cheap to clone.
#[derive(Clone)]
pub struct Hosts {
    name: &'static str,
    clients: Arc<[Client]>,
    /// The one that answered last: the first to be asked next.
    best: Arc<AtomicUsize>,
    secure: bool,
}

/// One request.
#[derive(Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The body and its type.
    pub body: Option<(Bytes, &'static str)>,
    /// Further headers.
    pub headers: HeaderMap,
}

/// One whole answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Call {
        Call { method, path: path.into(), body: None, headers: HeaderMap::new() }
    }

    /// Adds a body.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Bytes>, content_type: &'static str) -> Call {
        self.body = Some((bytes.into(), content_type));
        self
    }
}

impl Hosts {
    /// The endpoints of `address`; `name` is how people call the store. Nothing is contacted yet.
    pub fn new(name: &'static str, address: &Address, access: &Access) -> Hosts {
        let client = |endpoint: &_| Client::new(Clone::clone(endpoint), access.tls.clone());
        Hosts {
            name,
            clients: address.endpoints.iter().map(client).collect(),
            best: Arc::default(),
            secure: access.tls.is_some(),
        }
    }

    /// Sends `call` and reads the whole answer within the deadline.
    pub async fn call(&self, call: &Call) -> Result<Answer> {
        self.call_within(call, DEADLINE).await
    }

    /// As `call`, with this deadline: for calls that the store answers late on purpose.
    pub async fn call_within(&self, call: &Call, deadline: Duration) -> Result<Answer> {
        let (at, response, left) = self.send(call, deadline).await?;
        let (head, body) = response.into_parts();
        let client = &self.clients[at];
        let body = match timeout(left, read_whole(boxed(body))).await {
            Ok(read) => read.map_err(|e| self.explain(client, &e))?,
            Err(_) => return Err(self.explain(client, &client.timed_out(deadline))),
        };
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// Sends `call`; the head of the answer comes within `deadline`, its body takes as long as it likes.
    pub async fn open(&self, call: &Call, deadline: Duration) -> Result<Response<Incoming>> {
        Ok(self.send(call, deadline).await?.1)
    }

    /// Asks one endpoint after the other until one answers at all. Each gets its share of the time that is left.
    async fn send(&self, call: &Call, deadline: Duration) -> Result<(usize, Response<Incoming>, Duration)> {
        let (begun, count) = (Instant::now(), self.clients.len());
        let left = || deadline.saturating_sub(begun.elapsed());
        let first = self.best.load(Ordering::Relaxed);
        let mut problem = None;
        for turn in 0..count {
            let at = (first + turn) % count;
            let client = &self.clients[at];
            let share = left() / u32::try_from(count - turn).unwrap_or(u32::MAX);
            let sent = match timeout(share, client.send(request(call)?)).await {
                Ok(sent) => sent,
                Err(_) => Err(client.timed_out(share)),
            };
            match sent {
                // One that lost its leader, or its disk; another may be well.
                Ok(response) if response.status().is_server_error() && turn + 1 < count => {}
                Ok(response) => {
                    self.best.store(at, Ordering::Relaxed);
                    return Ok((at, response, left()));
                }
                // A mistake of our own is the same everywhere.
                Err(error) if error.side == Side::Client => return Err(error),
                Err(error) => problem = Some(problem.unwrap_or_else(|| self.explain(client, &error))),
            }
        }
        Err(problem.unwrap_or_else(|| Error::us(Kind::Internal, "a store without an address")))
    }

    fn explain(&self, client: &Client, error: &Error) -> Error {
        let shown = self.shown(client);
        let peer = Peer { name: self.name, shown: &shown, secure: self.secure, tls_options: TLS_OPTIONS };
        fault::explain(peer, client, error)
    }

    fn shown(&self, client: &Client) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, client.endpoint())
    }

    /// The address that is asked first, for texts.
    pub fn current(&self) -> String {
        self.shown(&self.clients[self.best.load(Ordering::Relaxed) % self.clients.len()])
    }

    /// The error of an answer that cannot be read.
    pub fn unreadable(&self, why: impl std::fmt::Display) -> Error {
        let message =
            format!("{} at {} answered with something else than expected: {why}", self.name, self.current());
        Error::store(Kind::Protocol, message).advise(format!("is it {} that listens there?", self.name))
    }

    /// The error of an answer that says no. `cure` is what to do about credentials.
    pub fn refused(&self, status: StatusCode, said: &str, cure: &str) -> Error {
        let said = said.trim();
        let said = if said.is_empty() { status.to_string() } else { said.to_string() };
        let (name, shown) = (self.name, self.current());
        if said.contains("HTTP request to an HTTPS server") {
            return Error::store(Kind::Protocol, format!("{name} at {shown} wants https"))
                .advise(format!("give {TLS_OPTIONS}"));
        }
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Error::store(Kind::Permission, format!("{name} at {shown} refuses us: {said}")).advise(cure)
            }
            status if status.is_server_error() => {
                Error::store(Kind::Unavailable, format!("{name} at {shown} cannot serve now: {said}"))
                    .advise("has it a leader, and is its disk writable?")
            }
            status => Error::store(Kind::Status(status.as_u16()), format!("{name} at {shown}: {said}")),
        }
    }
}

fn request(call: &Call) -> Result<hyper::Request<http::Body>> {
    let body = call.body.as_ref().map_or_else(empty, |(bytes, _)| full(bytes.clone()));
    let mut request = http::request(call.method.clone(), &call.path, body)?;
    request.headers_mut().extend(call.headers.clone());
    if let Some((_, content_type)) = &call.body {
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    Ok(request)
}
