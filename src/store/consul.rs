//! A client of Consul's key-value store and of its sessions, over HTTP. One attempt for each call.
//!
//! Reads say at which index they were true; `since` that index waits for what comes after.

use std::time::Duration;

use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::error::{Error, Kind, Result};
use crate::store::codec::{self, path_of};
use crate::store::hosts::{Answer, Call, Hosts};
use crate::store::{Access, Address, LONGEST_WAIT};

/// Keys that are held by a session carry this mark. The old tool refuses to lock a key without it.
pub const LOCK_MARK: u64 = 0x2ddc_cbc0_58a5_0c18;
/// What to do when consul says no.
const CURE: &str =
    "give discovery-opt kv.token (or CONSUL_HTTP_TOKEN) a token that may write this prefix and sessions";

/// A client. Cheap to clone.
#[derive(Clone)]
pub struct Consul {
    hosts: Hosts,
    headers: HeaderMap,
}

/// One key and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Pair {
    /// The whole key.
    pub key: String,
    /// The value.
    #[serde(deserialize_with = "codec::bytes")]
    pub value: Vec<u8>,
    /// The session that holds the key.
    #[serde(default)]
    pub session: Option<String>,
    /// The mark of whoever wrote it.
    #[serde(default)]
    pub flags: u64,
    /// When it was written last.
    #[serde(default)]
    pub modify_index: u64,
}

/// What was read, and when it was true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<T> {
    /// What was read.
    pub value: T,
    /// Consul's index at that time.
    pub index: u64,
}

/// How to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Read {
    /// Wait until the index passes this one, at most for that long.
    pub since: Option<(u64, Duration)>,
    /// Ask the leader, and have it make sure that it still leads.
    pub consistent: bool,
}

/// What becomes of a session's keys when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// They are released, and keep their value.
    Release,
    /// They are deleted.
    Delete,
}

impl Consul {
    /// A client of the consul at `address`. Nothing is contacted yet.
    pub fn new(address: &Address, access: &Access) -> Result<Consul> {
        let mut headers = HeaderMap::new();
        let secret = |text: String| {
            let mut value = HeaderValue::try_from(text).map_err(|_| {
                Error::us(Kind::Config, "the token of consul holds a character that HTTP cannot carry")
            })?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        };
        if let Some(token) = &access.token {
            headers.insert("X-Consul-Token", secret(token.clone())?);
        }
        if let Some((user, password)) = &access.login {
            let login = codec::encode(format!("{user}:{password}"));
            headers.insert(AUTHORIZATION, secret(format!("Basic {login}"))?);
        }
        Ok(Consul { hosts: Hosts::new("consul", address, access), headers })
    }

    /// All keys that start with `prefix`, which does not end with a slash.
    pub async fn list(&self, prefix: &str, read: Read) -> Result<Seen<Vec<Pair>>> {
        let path = format!("/v1/kv/{}?recurse{}", path_of(prefix), query(read));
        let seen = self.read(path, read).await?;
        Ok(Seen { value: seen.value.unwrap_or_default(), index: seen.index })
    }

    /// One key, if it is there.
    pub async fn get(&self, key: &str, read: Read) -> Result<Seen<Option<Pair>>> {
        let path = format!("/v1/kv/{}?{}", path_of(key), query(read).trim_start_matches('&'));
        let seen: Seen<Option<Vec<Pair>>> = self.read(path, read).await?;
        Ok(Seen { value: seen.value.and_then(|pairs| pairs.into_iter().next()), index: seen.index })
    }

    /// Ends when something below `prefix` may have changed since `index`, or after a while.
    pub async fn changed(&self, prefix: &str, index: u64) -> Result<()> {
        let read = Read { since: Some((index, LONGEST_WAIT)), consistent: false };
        self.list(prefix, read).await.map(drop)
    }

    /// Writes a key.
    pub async fn put(&self, key: &str, value: &[u8], flags: u64) -> Result<()> {
        self.write(&format!("/v1/kv/{}?flags={flags}", path_of(key)), value).await.map(drop)
    }

    /// Writes a key that is not there yet; says whether it was not.
    pub async fn create(&self, key: &str, value: &[u8]) -> Result<bool> {
        self.write(&format!("/v1/kv/{}?cas=0", path_of(key)), value).await
    }

    /// Deletes a key. One that is not there is no error.
    pub async fn delete(&self, key: &str) -> Result<()> {
        let answer = self.call(Method::DELETE, format!("/v1/kv/{}", path_of(key)), None).await?;
        self.good(answer).map(drop)
    }

    /// Writes a key and takes it for `session`; says whether it is ours now.
    pub async fn acquire(&self, key: &str, value: &[u8], session: &str) -> Result<bool> {
        self.write(&format!("/v1/kv/{}?acquire={session}&flags={LOCK_MARK}", path_of(key)), value).await
    }

    /// Begins a session that ends between `ttl` and twice that after its last renewal. Consul refuses less
    /// than its `session_ttl_min`, 10 s on a server as it comes.
    pub async fn create_session(&self, ttl: Duration, behaviour: Behaviour) -> Result<String> {
        #[derive(Deserialize)]
        struct Created {
            #[serde(rename = "ID")]
            id: String,
        }
        let behaviour = match behaviour {
            Behaviour::Release => "release",
            Behaviour::Delete => "delete",
        };
        // Nobody else must wait after an end: holders prove that they hold before they act. And no check of
        // consul's ends a session before its time, while its holder still counts on it.
        let wish =
            json!({ "Behavior": behaviour, "Checks": [], "LockDelay": "1ms", "TTL": go_duration(ttl) });
        let answer =
            self.call(Method::PUT, "/v1/session/create".into(), Some(wish.to_string().into())).await?;
        Ok(self.json::<Created>(&self.good(answer)?)?.id)
    }

    /// Renews a session; says whether it is still there.
    pub async fn renew_session(&self, session: &str) -> Result<bool> {
        let answer = self.call(Method::PUT, format!("/v1/session/renew/{session}"), None).await?;
        match answer.status.as_u16() {
            404 => Ok(false),
            _ => self.good(answer).map(|_| true),
        }
    }

    /// Ends a session, and with it what it holds.
    pub async fn destroy_session(&self, session: &str) -> Result<()> {
        let answer = self.call(Method::PUT, format!("/v1/session/destroy/{session}"), None).await?;
        self.good(answer).map(drop)
    }

    async fn read<T: DeserializeOwned>(&self, path: String, read: Read) -> Result<Seen<Option<T>>> {
        let call = self.prepare(Method::GET, path, None);
        let answer = match read.since {
            // Consul adds up to a sixteenth of the wait, so that waiters do not come back in step.
            Some((_, wait)) => {
                self.hosts.call_within(&call, wait + wait / 16 + crate::store::DEADLINE).await?
            }
            None => self.hosts.call(&call).await?,
        };
        let index = answer.headers.get("X-Consul-Index").and_then(|v| v.to_str().ok()?.parse().ok());
        // Consul wants a waiter to begin anew when the index went back; 0 would not wait at all.
        let index = index.unwrap_or(0).max(1);
        if answer.status.as_u16() == 404 && answer.body.is_empty() {
            return Ok(Seen { value: None, index });
        }
        Ok(Seen { value: Some(self.json(&self.good(answer)?)?), index })
    }

    async fn write(&self, path: &str, value: &[u8]) -> Result<bool> {
        let answer = self.call(Method::PUT, path.to_string(), Some(value.to_vec())).await?;
        self.json(&self.good(answer)?)
    }

    async fn call(&self, method: Method, path: String, body: Option<Vec<u8>>) -> Result<Answer> {
        self.hosts.call(&self.prepare(method, path, body)).await
    }

    fn prepare(&self, method: Method, path: String, body: Option<Vec<u8>>) -> Call {
        let call = Call::new(method, path);
        let call = match body {
            Some(bytes) => call.body(bytes, "application/octet-stream"),
            None => call,
        };
        Call { headers: self.headers.clone(), ..call }
    }

    fn good(&self, answer: Answer) -> Result<Answer> {
        match answer.status.is_success() {
            true => Ok(answer),
            false => Err(self.refused(&answer)),
        }
    }

    fn refused(&self, answer: &Answer) -> Error {
        let said = String::from_utf8_lossy(&answer.body[..answer.body.len().min(512)]);
        match said.contains("Invalid Session TTL") {
            true => Error::store(Kind::Config, format!("consul at {}: {}", self.hosts.current(), said.trim())).advise(
                "a session of consul lasts at least 10 s: make ttl at least 20s, or lower session_ttl_min of the server",
            ),
            false => self.hosts.refused(answer.status, &said, CURE),
        }
    }

    fn json<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T> {
        serde_json::from_slice(&answer.body).map_err(|e| self.hosts.unreadable(e))
    }
}

fn query(read: Read) -> String {
    let mut query = String::new();
    if let Some((index, wait)) = read.since {
        query += &format!("&index={index}&wait={}ms", wait.as_millis());
    }
    if read.consistent {
        query += "&consistent";
    }
    query
}

fn go_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

#[cfg(test)]
#[path = "consul_tests.rs"]
mod tests;
