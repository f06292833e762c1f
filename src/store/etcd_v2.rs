//! A client of etcd's old API, `/v2/keys`, which old agents and managers speak: a keyspace of its own beside
//! the one of `etcd`. Servers have it up to 3.5, since 3.4 only with `--enable-v2`.

use std::time::Duration;

use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::store::codec::{self, path_of};
use crate::store::hosts::{Answer, Call, Hosts};
use crate::store::{Access, Address, LONGEST_WAIT};

/// What to do when etcd says no.
const CURE: &str =
    "give discovery-opt kv.username and kv.password of a user that may read and write this prefix";

/// A client. Cheap to clone.
#[derive(Clone)]
pub struct EtcdV2 {
    hosts: Hosts,
    login: Option<HeaderValue>,
}

/// One key and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The whole key, with a slash in front.
    #[serde(default)]
    pub key: String,
    /// The value; directories have none.
    #[serde(default)]
    pub value: Option<String>,
    /// When it was written last.
    #[serde(default)]
    pub modified_index: u64,
    #[serde(default)]
    nodes: Vec<Node>,
}

/// What was read, and when it was true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<T> {
    /// What was read.
    pub value: T,
    /// The store's index at that time.
    pub index: u64,
}

/// Under which condition a key is written or deleted.
#[derive(Debug, Clone, Copy)]
pub enum If {
    /// Always.
    Any,
    /// It is not there.
    Absent,
    /// It was written last at this index.
    Unchanged(u64),
}

/// The API's own errors, of those that we expect.
const KEY_NOT_FOUND: u32 = 100;
const COMPARE_FAILED: u32 = 101;
const NODE_EXISTS: u32 = 105;
const INDEX_CLEARED: u32 = 401;

impl EtcdV2 {
    /// A client of the etcd at `address`. Nothing is contacted yet.
    pub fn new(address: &Address, access: &Access) -> EtcdV2 {
        let login = access.login.as_ref().and_then(|(user, password)| {
            let basic = format!("Basic {}", codec::encode(format!("{user}:{password}")));
            HeaderValue::try_from(basic).ok()
        });
        EtcdV2 { hosts: Hosts::new("etcd", address, access), login }
    }

    /// Whether the server has this API.
    pub async fn is_there(&self) -> Result<bool> {
        let answer = self.hosts.call(&self.prepare(Method::GET, "/v2/keys".to_string(), None)).await?;
        // Without it there is no such page, and the text says so in plain words instead of JSON.
        match answer.status {
            StatusCode::NOT_FOUND => Ok(fault_code(&answer).is_some()),
            _ => Ok(true),
        }
    }

    /// All keys below a directory. One that is not there is empty.
    pub async fn list(&self, directory: &str) -> Result<Seen<Vec<Node>>> {
        let seen =
            self.get_from(format!("{}?recursive=true&quorum=true&sorted=true", keys(directory))).await?;
        Ok(Seen { value: seen.value.map(leaves).unwrap_or_default(), index: seen.index })
    }

    /// One key, if it is there.
    pub async fn get(&self, key: &str) -> Result<Seen<Option<Node>>> {
        self.get_from(format!("{}?quorum=true", keys(key))).await
    }

    /// Writes a key that goes after `ttl`; returns when it was written, or `None` if the condition was not met.
    pub async fn put(&self, key: &str, value: &str, ttl: Duration, condition: If) -> Result<Option<u64>> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("value", value)
            .append_pair("ttl", &ttl.as_millis().div_ceil(1000).max(1).to_string())
            .finish();
        let path = format!("{}{}", keys(key), condition.query());
        let answer = self.hosts.call(&self.prepare(Method::PUT, path, Some(form))).await?;
        match fault_code(&answer) {
            Some(COMPARE_FAILED | NODE_EXISTS | KEY_NOT_FOUND) => Ok(None),
            _ => Ok(Some(self.action(&answer)?.modified_index)),
        }
    }

    /// Deletes a key; says whether it did. One that is not there is no error.
    pub async fn delete(&self, key: &str, condition: If) -> Result<bool> {
        let path = format!("{}{}", keys(key), condition.query());
        let answer = self.hosts.call(&self.prepare(Method::DELETE, path, None)).await?;
        match fault_code(&answer) {
            Some(COMPARE_FAILED | KEY_NOT_FOUND) => Ok(false),
            _ => self.action(&answer).map(|_| true),
        }
    }

    /// Ends when the key, or one below it, changed after `index`, or after a while.
    pub async fn changed(&self, key: &str, index: u64) -> Result<()> {
        let path = format!("{}?wait=true&recursive=true&waitIndex={}", keys(key), index + 1);
        let call = self.prepare(Method::GET, path, None);
        match tokio::time::timeout(LONGEST_WAIT, self.hosts.call_within(&call, LONGEST_WAIT * 2)).await {
            Err(_) => Ok(()),
            Ok(answer) => {
                let answer = answer?;
                match (fault_code(&answer), answer.body.is_empty()) {
                    // What came since was forgotten; or the server ended the wait without a word.
                    (Some(INDEX_CLEARED), _) | (None, true) => Ok(()),
                    _ => self.action(&answer).map(drop),
                }
            }
        }
    }

    async fn get_from(&self, path: String) -> Result<Seen<Option<Node>>> {
        let answer = self.hosts.call(&self.prepare(Method::GET, path, None)).await?;
        let header = answer.headers.get("X-Etcd-Index").and_then(|v| v.to_str().ok()?.parse().ok());
        let index = header.unwrap_or(0);
        match fault_code(&answer) {
            Some(KEY_NOT_FOUND) => Ok(Seen { value: None, index }),
            _ => Ok(Seen { value: Some(self.action(&answer)?), index }),
        }
    }

    fn prepare(&self, method: Method, path: String, form: Option<String>) -> Call {
        let call = Call::new(method, path);
        let mut call = match form {
            Some(form) => call.body(form, "application/x-www-form-urlencoded"),
            None => call,
        };
        if let Some(login) = &self.login {
            call.headers.insert(AUTHORIZATION, login.clone());
        }
        call
    }

    /// The node that an answer speaks of.
    fn action(&self, answer: &Answer) -> Result<Node> {
        #[derive(Deserialize)]
        struct Action {
            node: Node,
        }
        if !answer.status.is_success() {
            return Err(self.refused(answer));
        }
        let action: Action = serde_json::from_slice(&answer.body).map_err(|e| self.hosts.unreadable(e))?;
        Ok(action.node)
    }

    fn refused(&self, answer: &Answer) -> Error {
        let said = match serde_json::from_slice::<Fault>(&answer.body) {
            Ok(fault) => format!("{} ({})", fault.message, fault.cause),
            Err(_) => String::from_utf8_lossy(&answer.body[..answer.body.len().min(512)]).into_owned(),
        };
        let error = self.hosts.refused(answer.status, &said, CURE);
        match answer.status {
            StatusCode::NOT_FOUND => Error { kind: Kind::Unsupported, ..error }.advise(
                "this etcd has no API v2: start it with --enable-v2 if old agents or managers are to join",
            ),
            _ => error,
        }
    }
}

impl If {
    fn query(self) -> String {
        match self {
            If::Any => String::new(),
            If::Absent => "?prevExist=false".to_string(),
            If::Unchanged(index) => format!("?prevIndex={index}"),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fault {
    error_code: u32,
    message: String,
    #[serde(default)]
    cause: String,
}

/// The API's own error, if the answer is one.
fn fault_code(answer: &Answer) -> Option<u32> {
    match answer.status.is_success() {
        true => None,
        false => serde_json::from_slice::<Fault>(&answer.body).ok().map(|fault| fault.error_code),
    }
}

fn keys(key: &str) -> String {
    format!("/v2/keys/{}", path_of(key))
}

/// The values in a tree, in order.
fn leaves(node: Node) -> Vec<Node> {
    match node.value {
        Some(_) => vec![node],
        None => node.nodes.into_iter().flat_map(leaves).collect(),
    }
}

#[cfg(test)]
#[path = "etcd_v2_tests.rs"]
mod tests;
