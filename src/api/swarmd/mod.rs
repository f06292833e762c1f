//! What Docker has no word for, under `/swarmd/v1/`: what an operator says about nodes, and questions to the
//! scheduler. The routes are described in the `README.md` beside this file.
//!
//! `talk` and `progress` are what goes over the wire, both ways; the command line reads the same types.

mod again;
mod authority;
mod explain;
pub mod log;
pub mod moving;
mod nodes;
mod pki;
mod plan;
pub mod progress;
mod status;
pub mod talk;

use std::sync::Arc;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::call::Call;
use crate::api::{Api, error};
use crate::docker::http::Body;
use crate::docker::json::flaw;
use crate::election::Role;
use crate::error::{Error, Kind, Result};

/// One of our own endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Page {
    Leader,
    Nodes,
    Node,
    NodeRemove,
    Labels,
    Pause,
    Resume,
    Drain,
    Rebalance,
    Explain,
    Plan,
    Status,
    Join,
    Renew,
    Trust,
    Authority,
    Tokens,
    NewToken,
    RevokeToken,
    Pki,
    Rotate,
    Finish,
    Revoke,
    NewUser,
}

impl Page {
    /// Whether it is about certificates: any manager answers that, and asks the one with the CA if it must.
    pub fn is_pki(self) -> bool {
        match self {
            Page::Join
            | Page::Renew
            | Page::Trust
            | Page::Authority
            | Page::Tokens
            | Page::NewToken
            | Page::RevokeToken
            | Page::Pki
            | Page::Rotate
            | Page::Finish
            | Page::Revoke
            | Page::NewUser => true,
            Page::Leader
            | Page::Nodes
            | Page::Node
            | Page::NodeRemove
            | Page::Labels
            | Page::Pause
            | Page::Resume
            | Page::Drain
            | Page::Rebalance
            | Page::Explain
            | Page::Plan
            | Page::Status => false,
        }
    }
}

impl Api {
    /// Answers one of our own endpoints; `name` is that of the node or container in its path.
    pub async fn swarmd(self: &Arc<Self>, page: Page, mut call: Call, name: &str) -> Result<Response<Body>> {
        let body = call.read_body().await?;
        match page {
            Page::Leader => Ok(answer(&self.tell_leader())),
            Page::Nodes => Ok(answer(&self.tell_nodes())),
            Page::Node => Ok(answer(&self.tell_node(name)?)),
            Page::NodeRemove => Ok(answer(&self.remove_node(&call, name, call.query.flag("force")).await?)),
            Page::Labels => Ok(answer(&self.label_node(&call, name, read(&body)?).await?)),
            Page::Pause => Ok(answer(&self.pause_node(&call, name, read(&body)?).await?)),
            Page::Resume => Ok(answer(&self.resume_node(&call, name).await?)),
            Page::Drain => self.drain_node(&call, name, read(&body)?).await,
            Page::Rebalance => self.rebalance(read(&body)?).await,
            Page::Explain => Ok(answer(&self.explain(name).await?)),
            Page::Status => Ok(answer(&self.tell_status())),
            Page::Plan => Ok(answer(&self.plan(read(&body)?).await?)),
            Page::Join
            | Page::Renew
            | Page::Trust
            | Page::Authority
            | Page::Tokens
            | Page::NewToken
            | Page::RevokeToken
            | Page::Pki
            | Page::Rotate
            | Page::Finish
            | Page::Revoke
            | Page::NewUser => self.pki(page, &call, name, &body).await,
        }
    }
}

impl Api {
    fn tell_leader(&self) -> talk::Leader {
        let now = self.mandate.leadership();
        let lease = (self.mandate.is_shared() && now.role == Role::Primary).then(|| self.mandate.left());
        talk::Leader {
            role: now.role.word().to_string(),
            primary: now.primary,
            term: now.term,
            lease_ms: lease.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

fn answer<T: Serialize>(value: &T) -> Response<Body> {
    error::json(StatusCode::OK, value)
}

/// A JSON body; none at all says as much as `{}`.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T> {
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(text)
        .map_err(|e| Error::client(Kind::Invalid, format!("invalid request body: {}", flaw(&e))))
}
