//! Containers: the list from the view, and calls that their owner answers.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::join_all;
use hyper::{Method, Response, StatusCode};

use crate::api::call::{Call, Query, encode};
use crate::api::fanout::together;
use crate::api::gap::Gap;
use crate::api::proxy::{rewritten, version_prefix};
use crate::api::selection::{Hit, Selection};
use crate::api::{Api, error};
use crate::clock;
use crate::cluster::events::ip;
use crate::cluster::lookup::{self, Found};
use crate::docker::filters::Filters;
use crate::docker::http::{Body, empty, request};
use crate::docker::json::Object;
use crate::engine::container::{at_node, patch_networks};
use crate::engine::inventory::copies;
use crate::engine::refresh::What;
use crate::engine::{Container, Node};
use crate::error::Result;

/// Most containers whose IDs go into one question; beyond that it is for all.
const LONGEST_LIST: usize = 500;

impl Api {
    /// `GET /containers/json`
    pub async fn list_containers(&self, call: &Call) -> Result<Response<Body>> {
        let filters = Filters::parse(call.query.get("filters"))?;
        self.refresh_for(&filters).await;
        let view = self.cluster.view();
        let selection = Selection::new(&call.query, &view, filters)?;
        let hits = selection.pick(&view);
        let sizes = match call.query.flag("size") {
            true => Some(self.sizes(call, &hits).await?),
            false => None,
        };
        let now = clock::unix_nanos();
        let mut list = Vec::with_capacity(2 + hits.len() * 1024);
        list.push(b'[');
        for (i, (node, container)) in hits.iter().enumerate() {
            if i > 0 {
                list.push(b',');
            }
            let start = list.len();
            let waits = self.cluster.moves().why_waiting(&container.id);
            container.entry.write(&status_text(node, container, waits, now), &mut list);
            if let Some(sizes) = &sizes {
                let sized = with_size(&list[start..], sizes.get(&container.id));
                list.splice(start.., sized);
            }
        }
        list.extend_from_slice(b"]\n");
        Ok(error::raw_json(StatusCode::OK, list))
    }

    /// The sizes of containers: engines measure them anew for each call. Those on nodes that are down have none.
    async fn sizes(&self, call: &Call, hits: &[Hit<'_>]) -> Result<HashMap<String, Object>> {
        let mut wanted: BTreeMap<&str, (&Node, Filters)> = BTreeMap::new();
        for (node, container) in hits.iter().filter(|(n, _)| n.is_healthy()) {
            let filters = &mut wanted.entry(&node.addr).or_insert_with(|| (node, Filters::default())).1;
            filters.add("id", &container.id);
        }
        let asked = wanted.values().map(|(node, filters)| async {
            let mut query = Query::parse("all=1&size=1");
            if filters.values("id").len() <= LONGEST_LIST {
                query.set("filters", &filters.to_json());
            }
            let target = format!("{}/containers/json{}", version_prefix(call.version, node), query.to_text());
            let answer = match request(Method::GET, &target, empty()) {
                Ok(request) => self.ask(node, request).await,
                Err(e) => Err(e),
            };
            (node.name().to_string(), answer)
        });
        let answers = together("measured", join_all(asked).await)?;
        let entries =
            answers.iter().flat_map(|(_, a)| serde_json::from_slice::<Vec<Object>>(a).unwrap_or_default());
        Ok(entries.filter_map(|entry| Some((entry.get::<String>("Id")?, entry))).collect())
    }

    /// `refresh-on-node-filter` and `container-name-refresh-filter`: lists that name what was set there
    /// read the engines anew first.
    async fn refresh_for(&self, filters: &Filters) {
        let config = self.config();
        let manager = &config.manager;
        let by_node = manager.refresh_on_node_filter && filters.has("node");
        let by_name = manager
            .container_name_refresh_filter
            .as_ref()
            .is_some_and(|n| filters.values("name").contains(n));
        if !by_node && !by_name {
            return;
        }
        let view = self.cluster.view();
        let meant = view.healthy().filter(|n| by_name || filters.pattern("node", n.name()));
        let handles: Vec<_> = meant.filter_map(|n| self.cluster.handle(n).ok()).collect();
        join_all(handles.iter().map(|h| h.refresh(What::Containers))).await;
    }

    /// The container that `name` means, on a node that can be used now.
    pub fn owned(&self, name: &str) -> Result<Found> {
        let (node, container) = lookup::container(&self.cluster.view(), name)?;
        self.cluster.healthy(&node, &format!("Container {name}"))?;
        Ok((node, container))
    }

    /// `GET /containers/{name}/json`, with the node added and "all interfaces" replaced by its address.
    pub async fn inspect_container(&self, call: Call, name: &str) -> Result<Response<Body>> {
        let (node, container) = self.owned(name)?;
        let gap = Gap::between(call.version, &node);
        let response = self.forward(call, &node, &format!("/containers/{}/json", container.id)).await?;
        if !response.status().is_success() {
            return Ok(response);
        }
        rewritten(response, |inspected| {
            gap.container(inspected);
            add_node(inspected, &node);
        })
        .await
    }

    /// Calls that change nothing: logs, top, stats, cp, wait, …
    pub async fn pass_container(&self, call: Call, name: &str, action: &str) -> Result<Response<Body>> {
        let found = self.owned(name)?;
        let path = format!("/containers/{}/{}", encode(lookup::spoken(&found, name)), encode(action));
        self.forward(call, &found.0, &path).await
    }

    /// `attach`: the connection becomes the container's terminal.
    pub async fn attach_container(&self, mut call: Call, name: &str, action: &str) -> Result<Response<Body>> {
        let found = self.owned(name)?;
        let node = &found.0;
        if action == "attach/ws" {
            Gap::between(call.version, node).websocket(node, &mut call.query)?;
        }
        let path = format!("/containers/{}/{action}", encode(lookup::spoken(&found, name)));
        self.hijack(call, node, &path, bytes::Bytes::new()).await
    }
}

/// The STATUS text; a container on a node that cannot be reached says so, and why it stays there.
fn status_text(node: &Node, container: &Container, waits: Option<String>, now: i64) -> String {
    let skew = node.specs.as_ref().map_or(0, |s| s.skew);
    match node.is_healthy() {
        true => container.life.text(now - skew),
        false => waits.map_or_else(|| "Host Down".to_string(), |why| format!("Host Down ({why})")),
    }
}

/// A list entry with what an engine's own entry says of its size.
fn with_size(entry: &[u8], measured: Option<&Object>) -> Vec<u8> {
    let (Ok(mut entry), Some(measured)) = (Object::parse(entry), measured) else { return entry.to_vec() };
    for key in ["SizeRw", "SizeRootFs"] {
        if let Some(size) = measured.get::<i64>(key) {
            entry.set(key, &size);
        }
    }
    entry.to_json().into_bytes()
}

/// Adds `Node` to an inspect answer, as the classic manager's clients read it.
fn add_node(inspected: &mut Object, node: &Node) {
    if let Some(specs) = &node.specs {
        let mut object = Object::default();
        object.set("ID", node.id());
        object.set("IP", &ip(node));
        object.set("Addr", &node.addr);
        object.set("Name", node.name());
        object.set("Cpus", &specs.cpus);
        object.set("Memory", &specs.memory);
        object.set("Labels", &node.labels());
        inspected.set("Node", &object);
    }
    patch_networks(inspected, &copies(&node.inventory.networks));
    if let Some(address) = node.ip {
        let mut settings = inspected.object("NetworkSettings");
        if let Some(mut ports) =
            settings.get::<std::collections::BTreeMap<String, Option<Vec<Object>>>>("Ports")
        {
            for bindings in ports.values_mut().flatten() {
                at_node(bindings, "HostIp", address);
            }
            settings.set("Ports", &ports);
            inspected.set("NetworkSettings", &settings);
        }
    }
}
