//! A client of etcd 3.4 and later, over the JSON gateway that each server has. One attempt for each call.
//!
//! Writes may have happened although their answer was lost; who needs certainty compares revisions or leases.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{Error, Kind, Result};
use crate::store::codec::{self, encode, end_of};
use crate::store::hosts::{Answer, Call, Hosts};
use crate::store::{Access, Address, DEADLINE, LONGEST_WAIT};

/// What to do when etcd says no.
const CURE: &str =
    "give discovery-opt kv.username and kv.password of a user that may read and write this prefix";
/// Longest line of a watch: an event of one key of ours is some hundred bytes.
const LONGEST_LINE: usize = 1 << 20;

/// A client. Cheap to clone; clones share a login.
#[derive(Clone)]
pub struct Etcd {
    hosts: Hosts,
    login: Option<(String, String)>,
    session: Arc<Mutex<Option<HeaderValue>>>,
}

/// A lease's number. Keys that are bound to it go when it ends.
pub type Lease = i64;

/// One key and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pair {
    /// The whole key.
    #[serde(deserialize_with = "codec::text")]
    pub key: String,
    /// The value.
    #[serde(default, deserialize_with = "codec::bytes")]
    pub value: Vec<u8>,
    /// The lease that it is bound to; 0 for none.
    #[serde(default, deserialize_with = "codec::number")]
    pub lease: Lease,
    /// When it came to be.
    #[serde(default, deserialize_with = "codec::number")]
    pub create_revision: i64,
    /// When it was written last.
    #[serde(default, deserialize_with = "codec::number")]
    pub mod_revision: i64,
}

/// What was read, and when it was true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<T> {
    /// What was read.
    pub value: T,
    /// The store's revision at that time.
    pub revision: i64,
}

/// Which keys.
#[derive(Debug, Clone, Copy)]
pub enum Keys<'a> {
    /// This one.
    One(&'a str),
    /// All that start with this.
    Prefix(&'a str),
}

#[derive(Deserialize)]
struct Header {
    #[serde(default, deserialize_with = "codec::number")]
    revision: i64,
}

#[derive(Deserialize)]
struct Ranged {
    header: Header,
    #[serde(default)]
    kvs: Vec<Pair>,
}

impl Etcd {
    /// A client of the etcd at `address`. Nothing is contacted yet.
    pub fn new(address: &Address, access: &Access) -> Etcd {
        let hosts = Hosts::new("etcd", address, access);
        Etcd { hosts, login: access.login.clone(), session: Arc::default() }
    }

    /// Begins a lease. etcd may grant another time than the one asked for; the granted one is returned, too.
    pub async fn grant(&self, ttl: Duration) -> Result<(Lease, Duration)> {
        let granted: Granted = self.call("lease/grant", json!({ "TTL": whole_seconds(ttl) })).await?;
        Ok((granted.id, granted.ttl()))
    }

    /// Renews a lease; says for how long, or `None` when it has ended.
    pub async fn keep_alive(&self, lease: Lease) -> Result<Option<Duration>> {
        #[derive(Deserialize)]
        struct Kept {
            result: Granted,
        }
        let kept: Kept = self.call("lease/keepalive", json!({ "ID": lease.to_string() })).await?;
        Ok(Some(kept.result.ttl()).filter(|ttl| !ttl.is_zero()))
    }

    /// Ends a lease, and with it the keys that are bound to it. One that has ended is no error.
    pub async fn revoke(&self, lease: Lease) -> Result<()> {
        match self.call::<Value>("lease/revoke", json!({ "ID": lease.to_string() })).await {
            Err(error) if error.kind == Kind::NotFound => Ok(()),
            done => done.map(drop),
        }
    }

    /// The keys, in order.
    pub async fn list(&self, keys: Keys<'_>) -> Result<Seen<Vec<Pair>>> {
        let ranged: Ranged = self.call("kv/range", range(keys)).await?;
        Ok(Seen { value: ranged.kvs, revision: ranged.header.revision })
    }

    /// One key, if it is there.
    pub async fn get(&self, key: &str) -> Result<Seen<Option<Pair>>> {
        let seen = self.list(Keys::One(key)).await?;
        Ok(Seen { value: seen.value.into_iter().next(), revision: seen.revision })
    }

    /// Writes a key, bound to a lease if one is given. Returns the store's revision. A lease that has ended
    /// is `Kind::NotFound`.
    pub async fn put(&self, key: &str, value: &[u8], lease: Option<Lease>) -> Result<i64> {
        let wrote: Headed = self.call("kv/put", put(key, value, lease)).await?;
        Ok(wrote.header.revision)
    }

    /// Writes a key that is not there yet. Returns the one that is there now: ours, or somebody else's.
    pub async fn create(&self, key: &str, value: &[u8], lease: Option<Lease>) -> Result<Seen<Pair>> {
        let absent = json!({ "key": encode(key), "target": "CREATE", "create_revision": "0" });
        let write = json!({ "request_put": put(key, value, lease) });
        let look = json!({ "request_range": range(Keys::One(key)) });
        // Both ways end with a look, so that both answers are read alike.
        let txn = json!({ "compare": [absent], "success": [write, look], "failure": [look] });
        let done: Transacted = self.call("kv/txn", txn).await?;
        let revision = done.header.revision;
        let found = done.responses.into_iter().find_map(|r| r.response_range?.kvs.into_iter().next());
        match found {
            Some(value) => Ok(Seen { value, revision }),
            None => Err(self.hosts.unreadable("a transaction without its key")),
        }
    }

    /// Deletes a key. One that is not there is no error.
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.call::<Value>("kv/deleterange", json!({ "key": encode(key) })).await.map(drop)
    }

    /// Ends when one of the keys was written or deleted after `revision`, or after a while.
    pub async fn changed(&self, keys: Keys<'_>, revision: i64) -> Result<()> {
        let mut wish = range(keys);
        wish["start_revision"] = json!((revision + 1).to_string());
        let call = self.prepare("watch", &json!({ "create_request": wish }));
        match tokio::time::timeout(LONGEST_WAIT, self.watch(&call)).await {
            Ok(ended) => ended,
            Err(_) => Ok(()),
        }
    }

    async fn watch(&self, call: &Call) -> Result<()> {
        let response = self.hosts.open(call, DEADLINE).await?;
        let (head, mut body) = response.into_parts();
        if !head.status.is_success() {
            return Err(self.hosts.refused(head.status, "no watch", CURE));
        }
        let mut line = Vec::new();
        loop {
            let Some(Ok(frame)) = body.frame().await else {
                let message = format!("etcd at {} ended the watch", self.hosts.current());
                return Err(Error::store(Kind::Broken, message));
            };
            for byte in frame.data_ref().map_or(&[][..], |data| data) {
                line.push(*byte);
                if *byte == b'\n' || line.len() > LONGEST_LINE {
                    if self.tells_of_change(&line)? {
                        return Ok(());
                    }
                    line.clear();
                }
            }
        }
    }

    /// Reads one line of a watch. A watch that the server ends (what came since was compacted) is a change, too.
    fn tells_of_change(&self, line: &[u8]) -> Result<bool> {
        #[derive(Deserialize)]
        struct Line {
            result: Option<Told>,
            error: Option<Value>,
        }
        #[derive(Deserialize)]
        struct Told {
            #[serde(default)]
            events: Vec<serde::de::IgnoredAny>,
            #[serde(default)]
            canceled: bool,
            #[serde(default)]
            cancel_reason: String,
        }
        let line: Line = serde_json::from_slice(line).map_err(|e| self.hosts.unreadable(e))?;
        match (line.result, line.error) {
            (Some(told), _) if told.cancel_reason.contains("permission denied") => {
                Err(self.hosts.refused(hyper::StatusCode::FORBIDDEN, &told.cancel_reason, CURE))
            }
            (Some(told), _) => Ok(told.canceled || !told.events.is_empty()),
            (None, Some(error)) => Err(self.hosts.unreadable(error)),
            (None, None) => Ok(false),
        }
    }

    /// Calls one method of the gateway. A login that has run out is made anew, once.
    async fn call<T: DeserializeOwned>(&self, method: &str, body: Value) -> Result<T> {
        if self.login.is_some() && self.token().is_none() {
            self.log_in().await?;
        }
        let mut answer = self.hosts.call(&self.prepare(method, &body)).await?;
        if answer.status.as_u16() == 401 && self.login.is_some() {
            self.log_in().await?;
            answer = self.hosts.call(&self.prepare(method, &body)).await?;
        }
        self.read(&answer)
    }

    async fn log_in(&self) -> Result<()> {
        #[derive(Deserialize)]
        struct Session {
            token: String,
        }
        let Some((name, password)) = &self.login else { return Ok(()) };
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let wish = json!({ "name": name, "password": password });
        let answer = self.hosts.call(&self.prepare("auth/authenticate", &wish)).await?;
        let failed = failure(&answer.body);
        if failed.contains("authentication is not enabled") {
            // Whoever has a password ready for later is not turned away now.
            return Ok(());
        }
        let session: Session = self.read(&answer)?;
        let token = HeaderValue::try_from(session.token).map_err(|e| self.hosts.unreadable(e))?;
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(())
    }

    fn token(&self) -> Option<HeaderValue> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn prepare(&self, method: &str, body: &Value) -> Call {
        let mut call =
            Call::new(Method::POST, format!("/v3/{method}")).body(body.to_string(), "application/json");
        if let Some(token) = self.token() {
            call.headers.insert(AUTHORIZATION, token);
        }
        call
    }

    fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T> {
        if answer.status.is_success() {
            return serde_json::from_slice(&answer.body).map_err(|e| self.hosts.unreadable(e));
        }
        let said = failure(&answer.body);
        let status = match &*said {
            // Said with status 400, as if the request were malformed.
            s if s.contains("user name is empty") || s.contains("authentication failed") => {
                hyper::StatusCode::UNAUTHORIZED
            }
            _ => answer.status,
        };
        let error = self.hosts.refused(status, &said, CURE);
        Err(match said.contains("lease not found") {
            true => Error { kind: Kind::NotFound, ..error },
            false => error,
        })
    }

    /// Whether the server has no v3 gateway: it is older than 3.4, or was started without.
    pub fn lacks_gateway(error: &Error) -> bool {
        error.kind == Kind::Status(404)
    }
}

#[derive(Deserialize)]
struct Headed {
    header: Header,
}

#[derive(Deserialize)]
struct Granted {
    #[serde(rename = "ID", deserialize_with = "codec::number")]
    id: Lease,
    /// Missing when it has ended.
    #[serde(rename = "TTL", default, deserialize_with = "codec::number")]
    ttl: i64,
}

impl Granted {
    fn ttl(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.ttl).unwrap_or(0))
    }
}

#[derive(Deserialize)]
struct Transacted {
    header: Header,
    #[serde(default)]
    responses: Vec<Response>,
}

#[derive(Deserialize)]
struct Response {
    response_range: Option<RangedKeys>,
}

#[derive(Deserialize)]
struct RangedKeys {
    #[serde(default)]
    kvs: Vec<Pair>,
}

fn range(keys: Keys<'_>) -> Value {
    match keys {
        Keys::One(key) => json!({ "key": encode(key) }),
        Keys::Prefix(prefix) => json!({ "key": encode(prefix), "range_end": encode(end_of(prefix)) }),
    }
}

fn put(key: &str, value: &[u8], lease: Option<Lease>) -> Value {
    json!({ "key": encode(key), "value": encode(value), "lease": lease.unwrap_or(0).to_string() })
}

/// etcd counts in seconds, from 1.
fn whole_seconds(ttl: Duration) -> String {
    ttl.as_millis().div_ceil(1000).max(1).to_string()
}

/// What the gateway says about a failure.
fn failure(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Failure {
        error: Option<String>,
        message: Option<String>,
    }
    let failure = serde_json::from_slice::<Failure>(body).ok();
    failure
        .and_then(|failure| failure.error.or(failure.message))
        .unwrap_or_else(|| String::from_utf8_lossy(&body[..body.len().min(512)]).trim().to_string())
}

#[cfg(test)]
#[path = "etcd_tests.rs"]
mod tests;
