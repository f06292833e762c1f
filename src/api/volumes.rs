//! Volumes: made on every healthy node, so that a container finds its volume wherever it is placed; on a node
//! that came later they are made when a container needs them.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use hyper::{Method, Response, StatusCode};

use crate::api::call::{Call, encode};
use crate::api::create::random_hex;
use crate::api::fanout::together;
use crate::api::{Api, error};
use crate::cluster::lookup;
use crate::cluster::view::View;
use crate::docker::filters::Filters;
use crate::docker::http::{Body, CALL_DEADLINE, answered};
use crate::docker::json::{self, Object};
use crate::engine::inventory::Volume;
use crate::engine::refresh::What;
use crate::engine::{Container, Node};
use crate::error::{Error, Kind, Result};
use crate::scheduler::Request;

/// Label that restricts a new volume to some nodes.
const WHITELISTS: &str = "com.docker.swarm.whitelists";

impl Api {
    /// `GET /volumes`: local ones as `NODE/name`, each; others once.
    pub async fn list_volumes(&self, call: &Call) -> Result<Response<Body>> {
        let filters = Filters::parse(call.query.get("filters"))?;
        filters.known(&["dangling", "driver", "label", "name", "node"])?;
        let dangling = filters.truth("dangling")?;
        if dangling.is_some() {
            self.cluster.entries_known().await;
        }
        let view = self.cluster.view();
        let mut shared = HashSet::new();
        let all = view.validated().flat_map(|n| n.inventory.volumes.iter().map(move |v| (n, v)));
        let mine =
            all.filter(|(n, v)| wanted(n, v, &filters) && dangling.is_none_or(|d| d != in_use(&view, n, v)));
        let once = mine
            .filter(|(_, v)| is_local(v) || shared.insert((v.fields.driver.clone(), v.fields.name.clone())));
        let list: Vec<Object> = once.map(|(node, volume)| listed(node, volume)).collect();
        let mut answer = Object::default();
        answer.set("Volumes", &list);
        answer.set("Warnings", &None::<()>);
        Ok(error::json(StatusCode::OK, &answer))
    }

    /// `GET /volumes/{name}`. All copies of one name are one volume to the user: any usable node answers.
    pub async fn inspect_volume(&self, call: Call, name: &str) -> Result<Response<Body>> {
        let view = self.cluster.view();
        let hits = lookup::volumes(&view, name);
        let usable = hits.iter().find(|(n, _)| n.is_healthy());
        let Some((node, volume)) = usable.or(hits.first()) else {
            return Err(Error::client(Kind::NotFound, format!("get {name}: no such volume")));
        };
        self.cluster.healthy(node, &format!("Volume {name}"))?;
        self.forward(call, node, &format!("/volumes/{}", encode(&volume.fields.name))).await
    }

    /// `POST /volumes/create`: everywhere, on `NODE`, or where the whitelist label says.
    pub async fn create_volume(&self, mut call: Call) -> Result<Response<Body>> {
        let body = call.read_body().await?;
        let mut body = match body.is_empty() {
            true => Object::default(),
            false => Object::parse(&body).map_err(|e| {
                Error::client(Kind::Invalid, format!("invalid request body: {}", json::flaw(&e)))
            })?,
        };
        let nodes = self.volume_nodes(&mut body)?;
        let text = body.to_json();
        let make = async |node: Arc<Node>| -> Result<bytes::Bytes> {
            let handle = self.cluster.handle(&node)?;
            let path = format!("{}/volumes/create", super::proxy::version_prefix(call.version, &node));
            let (status, answer) = handle.client.post_json(&path, text.clone(), CALL_DEADLINE * 3).await?;
            handle.refresh(What::Volumes).await;
            if status.is_success() { Ok(answer) } else { Err(answered(status, &answer)) }
        };
        let results =
            join_all(nodes.iter().map(|n| async { (n.name().to_string(), make(n.clone()).await) })).await;
        let answers = together("volume created", results)?;
        match answers.into_iter().next() {
            Some((_, answer)) => Ok(error::raw_json(StatusCode::CREATED, answer)),
            None => Err(Error::client(Kind::NoNode, "No healthy node available in the cluster")),
        }
    }

    /// Gives the body a bare name, or a random one, and finds the nodes for it.
    fn volume_nodes(&self, body: &mut Object) -> Result<Vec<Arc<Node>>> {
        let view = self.cluster.view();
        let name: String = body.get("Name").unwrap_or_default();
        let mut request = Request::default();
        match lookup::node_prefix(&view, &name) {
            Some((node, bare)) => {
                request.extra_constraints.push(format!("node=={}", node.name()));
                body.set("Name", bare);
            }
            None if name.is_empty() => body.set("Name", &random_hex(32)?),
            None => {}
        }
        let labels: crate::docker::types::Labels = body.get("Labels").unwrap_or_default();
        if let Some(list) = labels.get(WHITELISTS).and_then(|l| serde_json::from_str(l).ok()) {
            request.hints.whitelists = list;
        }
        self.cluster.decide(|view, pending| self.rank(view, pending, &request))
    }

    /// `DELETE /volumes/{name}`: wherever it is. With `force` a missing one is fine.
    pub async fn remove_volume(&self, call: Call, name: &str) -> Result<Response<Body>> {
        let view = self.cluster.view();
        let hits = lookup::volumes(&view, name);
        if hits.is_empty() {
            return match call.query.flag("force") {
                true => Ok(error::nothing(StatusCode::NO_CONTENT)),
                false => Err(Error::client(Kind::NotFound, format!("get {name}: no such volume"))),
            };
        }
        let remove = async |node: &Node, volume: &Volume| -> Result<()> {
            let handle = self.cluster.healthy(node, &format!("Volume {name}"))?;
            let prefix = super::proxy::version_prefix(call.version, node);
            let path = format!("{prefix}/volumes/{}{}", encode(&volume.fields.name), call.query.to_text());
            let (status, answer) = handle.client.call(Method::DELETE, &path, CALL_DEADLINE * 3).await?;
            handle.refresh(What::Volumes).await;
            match status.is_success() || status == StatusCode::NOT_FOUND {
                true => Ok(()),
                false => Err(answered(status, &answer)),
            }
        };
        let results =
            join_all(hits.iter().map(|(n, v)| async { (n.name().to_string(), remove(n, v).await) })).await;
        together("volume removed", results)?;
        Ok(error::nothing(StatusCode::NO_CONTENT))
    }

    /// Makes sure that a node has a volume that other nodes have, with the same driver, options and labels. A
    /// volume that nobody has is made by the engine, as ever.
    pub async fn ensure_volume(&self, node: &Arc<Node>, name: &str) -> Result<()> {
        let Some(body) = self.missing_volume(node, name) else { return Ok(()) };
        let handle = self.cluster.handle(node)?;
        let _alone = handle.making.acquire().await;
        let (status, answer) =
            handle.client.post_json("/volumes/create", body.to_json(), CALL_DEADLINE).await?;
        if !status.is_success() {
            return Err(answered(status, &answer));
        }
        handle.refresh(What::Volumes).await;
        Ok(())
    }

    fn missing_volume(&self, node: &Node, name: &str) -> Option<Object> {
        let view = self.cluster.view();
        let hits = lookup::volumes(&view, name);
        let (_, model) = hits.first()?;
        if hits.iter().any(|(n, _)| n.addr == node.addr) {
            return None;
        }
        let mut body = Object::default();
        body.set("Name", name);
        body.set("Driver", &model.fields.driver);
        body.set("DriverOpts", &model.fields.options);
        body.set("Labels", &model.fields.labels);
        Some(body)
    }
}

fn is_local(volume: &Volume) -> bool {
    volume.fields.driver == "local" || volume.fields.scope != "global"
}

fn listed(node: &Node, volume: &Volume) -> Object {
    let mut entry = volume.entry.clone();
    if is_local(volume) {
        entry.set("Name", &format!("{}/{}", node.name(), volume.fields.name));
    }
    entry
}

fn wanted(node: &Node, volume: &Volume, filters: &Filters) -> bool {
    let fields = &volume.fields;
    let full = format!("{}/{}", node.name(), fields.name);
    (filters.pattern("name", &fields.name) || filters.values("name").contains(&full))
        && filters.exact("driver", &fields.driver)
        && filters.labels("label", &fields.labels)
        && (!filters.has("node") || filters.values("node").iter().any(|v| v == node.name() || v == node.id()))
}

/// Whether a container mounts it, running or not: one of its node, or of any node where a volume reaches all.
fn in_use(view: &View, node: &Node, volume: &Volume) -> bool {
    let mounts = |c: &Container| c.mounts.iter().any(|m| m.name == volume.fields.name);
    view.containers().any(|(n, c)| (n.addr == node.addr || !is_local(volume)) && mounts(c))
}
