//! Plugins: listed over all nodes, and inspected. Installing one is done on its engine.

use futures_util::future::join_all;
use hyper::{Method, Response, StatusCode};

use crate::api::call::{Call, encode};
use crate::api::fanout::together;
use crate::api::proxy::version_prefix;
use crate::api::{Api, error};
use crate::cluster::lookup;
use crate::docker::filters::Filters;
use crate::docker::http::{Body, empty, request};
use crate::docker::json::Object;
use crate::engine::Node;
use crate::error::{Error, Kind, Result};

impl Api {
    /// `GET /plugins`: each as `NODE/name`.
    pub async fn list_plugins(&self, call: &Call) -> Result<Response<Body>> {
        let nodes = self.chosen(&mut Filters::default())?;
        let asked =
            nodes.iter().map(|node| async { (node.name().to_string(), self.plugins(call, node).await) });
        let all = together("listed", join_all(asked).await)?;
        let list: Vec<Object> = all.into_iter().flat_map(|(_, plugins)| plugins).collect();
        Ok(error::json(StatusCode::OK, &list))
    }

    async fn plugins(&self, call: &Call, node: &Node) -> Result<Vec<Object>> {
        let target = format!("{}/plugins{}", version_prefix(call.version, node), call.query.to_text());
        let answer = self.ask(node, request(Method::GET, &target, empty())?).await?;
        let mut plugins = serde_json::from_slice::<Vec<Object>>(&answer).unwrap_or_default();
        for plugin in &mut plugins {
            let name: String = plugin.get("Name").unwrap_or_default();
            plugin.set("Name", &format!("{}/{name}", node.name()));
        }
        Ok(plugins)
    }

    /// `GET /plugins/{name}/json`: the named node's, or that of the first node that has one.
    pub async fn inspect_plugin(&self, call: Call, name: &str) -> Result<Response<Body>> {
        let view = self.cluster.view();
        let (nodes, bare) = match lookup::node_prefix(&view, name) {
            Some((node, bare)) => (vec![node], bare),
            None => (view.healthy().collect(), name),
        };
        for node in nodes {
            let target = format!("{}/plugins/{}/json", version_prefix(call.version, node), encode(bare));
            match self.ask(node, request(Method::GET, &target, empty())?).await {
                Ok(answer) => return Ok(error::raw_json(StatusCode::OK, answer)),
                Err(e) if e.kind == Kind::Status(404) => {}
                Err(e) => return Err(e),
            }
        }
        Err(Error::client(Kind::NotFound, format!("plugin {name:?} not found")))
    }
}
