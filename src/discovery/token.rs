//! Client of a token registry elsewhere: `token://HOST:3376/TOKEN`. One attempt for each call.
//!
//! The protocol is the classic one, without a `/v1` of our own: the registry that swarmd hosts serves both.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};

use crate::discovery::lan::proof::Question;
use crate::discovery::spec::{RegistryAddress, check_token};
use crate::discovery::{Entry, entry};
use crate::docker::endpoint::Endpoint;
use crate::docker::http::{self, CALL_DEADLINE, answered, empty, full};
use crate::error::{Error, Kind, Result};
use crate::store::fault::{self, Peer};
use crate::tls::ClientTls;

/// How long one address may take to prove itself: several may have to be tried within one attempt.
const PROOF_DEADLINE: Duration = Duration::from_secs(4);

/// A registry, and one token in it. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    registry: Base,
    token: String,
}

/// A registry without a token.
#[derive(Clone)]
struct Base {
    http: http::Client,
    prefix: String,
    secure: bool,
}

impl Client {
    /// A client of `token` in `registry`: https if `tls` is given, else http.
    pub fn new(registry: &RegistryAddress, token: &str, tls: Option<ClientTls>) -> Client {
        Client { registry: Base::new(registry, tls), token: token.to_string() }
    }

    /// Where the registry is.
    pub fn endpoint(&self) -> &Endpoint {
        self.registry.http.endpoint()
    }

    /// Reads the list.
    ///
    /// Errors: no connection, no answer in time, an unknown token, an answer that is no list.
    pub async fn list(&self) -> Result<Vec<Entry>> {
        self.read().await.map(|(entries, _)| entries)
    }

    /// As `list`, with what is wrong with those on it that are no entries.
    pub async fn read(&self) -> Result<(Vec<Entry>, Vec<String>)> {
        let (status, body) = self.registry.call(Method::GET, &self.path(""), None).await?;
        if status != StatusCode::OK {
            // The classic text, which scripts look for.
            let text = format!(
                "Failed to fetch entries, Discovery service returned {} HTTP status code",
                status.as_u16()
            );
            return Err(self.refused(status, &text, &body));
        }
        let entries: Vec<String> = serde_json::from_slice(&body).map_err(|e| {
            Error::store(Kind::Protocol, format!("Failed to decode response: {e}"))
                .advise(format!("is {} a token registry?", self.registry.shown()))
        })?;
        Ok(entry::parse_all(entries))
    }

    /// Asks the manager to prove that it knows the token: its answer, whatever that is worth.
    pub async fn ask(&self, question: &Question) -> Result<String> {
        let path = format!("{}/clusters{}", self.registry.prefix, question.to_query());
        let asked = tokio::time::timeout(PROOF_DEADLINE, self.registry.call(Method::GET, &path, None)).await;
        let (status, body) = asked.unwrap_or_else(|_| {
            let text = format!("{} did not answer in time", self.registry.shown());
            Err(Error::store(Kind::Timeout, text).advise("is that machine up?"))
        })?;
        match status.is_success() {
            true => Ok(String::from_utf8_lossy(&body).trim().to_string()),
            false => Err(self.refused(status, "it does not prove that it knows the token", &body)),
        }
    }

    /// Registers `entry` for `ttl`, or renews it.
    pub async fn register(&self, entry: &Entry, ttl: Duration) -> Result<()> {
        let path = self.path(&format!("?ttl={}", ttl.as_secs().max(1)));
        let body = entry.to_string();
        let (status, body) = self.registry.call(Method::POST, &path, Some(body)).await?;
        match status.is_success() {
            true => Ok(()),
            false => Err(self.refused(status, &format!("cannot register {entry}"), &body)),
        }
    }

    /// Takes `entry` off the list. Registries that do not know how forget it after its ttl.
    pub async fn withdraw(&self, entry: &Entry) -> Result<()> {
        let text = entry.to_string();
        let query: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let path = self.path(&format!("?entry={query}"));
        let (status, body) = self.registry.call(Method::DELETE, &path, None).await?;
        match status {
            s if s.is_success() => Ok(()),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok(()),
            status => Err(self.refused(status, &format!("cannot withdraw {entry}"), &body)),
        }
    }

    fn path(&self, query: &str) -> String {
        format!("{}/clusters/{}{query}", self.registry.prefix, self.token)
    }

    fn refused(&self, status: StatusCode, what: &str, body: &[u8]) -> Error {
        let shown = self.registry.shown();
        let said = said(status, body);
        match status {
            StatusCode::NOT_FOUND => Error::store(Kind::NotFound, format!("{what}: {said}")).advise(format!(
                "{shown} does not know this token: is it spelt right? Make one there with `swarmd create`, or start \
                 that manager with token://TOKEN"
            )),
            status => Error::store(Kind::Status(status.as_u16()), format!("{what} at {shown}: {said}")),
        }
    }
}

/// Makes a new token in `registry`: `swarmd create` towards a running manager.
pub async fn create(registry: &RegistryAddress, tls: Option<ClientTls>) -> Result<String> {
    let base = Base::new(registry, tls);
    let path = format!("{}/clusters", base.prefix);
    let (status, body) = base.call(Method::POST, &path, None).await?;
    if !status.is_success() {
        let message = format!("{} made no token: {}", base.shown(), said(status, &body));
        return Err(Error::store(Kind::Status(status.as_u16()), message));
    }
    let token = String::from_utf8_lossy(&body).trim().to_string();
    check_token(&token).map_err(|_| {
        Error::store(Kind::Protocol, format!("{} answered with something else than a token", base.shown()))
            .advise("is a swarmd manager listening there?")
    })?;
    Ok(token)
}

/// The server's own words, else its status.
fn said(status: StatusCode, body: &[u8]) -> String {
    match body.iter().all(u8::is_ascii_whitespace) {
        true => format!("it answered {status}"),
        false => answered(status, body).message,
    }
}

impl Base {
    fn new(registry: &RegistryAddress, tls: Option<ClientTls>) -> Base {
        Base {
            secure: tls.is_some(),
            http: http::Client::new(registry.endpoint.clone(), tls),
            prefix: registry.prefix.clone(),
        }
    }

    /// The base URL, for people.
    fn shown(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{}", self.http.endpoint(), self.prefix)
    }

    async fn call(&self, method: Method, path: &str, body: Option<String>) -> Result<(StatusCode, Bytes)> {
        // What classic clients send: the bare address, labelled as JSON.
        let json = body.is_some();
        let mut request = http::request(method, path, body.map_or_else(empty, full))?;
        if json {
            let value = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, value);
        }
        let exchanged = self.http.exchange(request, CALL_DEADLINE).await;
        exchanged.map_err(|e| self.explain(&e))
    }

    fn explain(&self, error: &Error) -> Error {
        let shown = self.shown();
        let peer = Peer {
            name: "the token registry",
            shown: &shown,
            secure: self.secure,
            tls_options: "the tls options",
        };
        fault::explain(peer, &self.http, error)
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
pub(crate) mod tests;
