//! Exec sessions: made on the container's node, and found again by their ID.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::{Method, Response};

use crate::api::Api;
use crate::api::call::{Call, encode};
use crate::cluster::lookup;
use crate::docker::http::{Body, CALL_DEADLINE, full, read_whole};
use crate::docker::json::Object;
use crate::engine::Node;
use crate::error::{Error, Kind, Result};

/// Sessions remembered; an older one is asked for at the engines.
const REMEMBERED: usize = 4096;

/// Which node has which exec session.
#[derive(Default)]
pub struct Execs(Mutex<Known>);

#[derive(Default)]
struct Known {
    nodes: HashMap<String, String>,
    order: VecDeque<String>,
}

impl Execs {
    fn remember(&self, id: &str, addr: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.nodes.insert(id.to_string(), addr.to_string()).is_none() {
            known.order.push_back(id.to_string());
        }
        if known.order.len() > REMEMBERED
            && let Some(oldest) = known.order.pop_front()
        {
            known.nodes.remove(&oldest);
        }
    }

    fn addr(&self, id: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).nodes.get(id).cloned()
    }
}

impl Api {
    /// `POST /containers/{name}/exec`
    pub async fn create_exec(&self, call: Call, name: &str) -> Result<Response<Body>> {
        let found = self.owned(name)?;
        let node = &found.0;
        let path = format!("/containers/{}/exec", encode(lookup::spoken(&found, name)));
        let response = self.forward(call, node, &path).await?;
        if !response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = read_whole(body).await?;
        if let Some(id) = Object::parse(&body).ok().and_then(|o| o.get::<String>("Id")) {
            self.execs.remember(&id, &node.addr);
        }
        Ok(Response::from_parts(parts, full(body)))
    }

    /// `POST /exec/{id}/start`: a stream, or a plain answer for a detached one. The engine decides which.
    pub async fn start_exec(&self, mut call: Call, id: &str) -> Result<Response<Body>> {
        let node = self.exec_node(id).await?;
        let body = call.read_body().await?;
        self.hijack(call, &node, &format!("/exec/{}/start", encode(id)), body).await
    }

    /// Inspect and resize.
    pub async fn pass_exec(&self, call: Call, id: &str, action: &str) -> Result<Response<Body>> {
        let node = self.exec_node(id).await?;
        let path = format!("/exec/{}/{}", encode(id), encode(action));
        self.forward(call, &node, &path).await
    }

    /// The node that has a session.
    pub async fn exec_node(&self, id: &str) -> Result<Arc<Node>> {
        let view = self.cluster.view();
        let known = self.execs.addr(id).and_then(|addr| view.at(&addr).cloned());
        let node = match known {
            Some(node) => Some(node),
            None => self.ask_for_exec(id).await,
        };
        let node =
            node.ok_or_else(|| Error::client(Kind::NotFound, format!("No such exec instance: {id}")))?;
        self.cluster.healthy(&node, &format!("Exec {id}"))?;
        Ok(node)
    }

    /// A session that was made through another manager, or before a restart: the engines know.
    async fn ask_for_exec(&self, id: &str) -> Option<Arc<Node>> {
        let view = self.cluster.view();
        let path = format!("/exec/{}/json", encode(id));
        let mut asked: FuturesUnordered<_> = view
            .healthy()
            .filter_map(|node| Some((node, self.cluster.handle(node).ok()?)))
            .map(|(node, handle)| {
                let path = &path;
                async move {
                    let (status, _) = handle.client.call(Method::GET, path, CALL_DEADLINE).await.ok()?;
                    status.is_success().then(|| Arc::clone(node))
                }
            })
            .collect();
        while let Some(answer) = asked.next().await {
            if let Some(node) = answer {
                self.execs.remember(id, &node.addr);
                return Some(node);
            }
        }
        None
    }
}
