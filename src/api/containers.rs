//! Containers: the list from the view, and calls that their owner answers.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::join_all;
use hyper::{Method, Response, StatusCode};

use crate::api::call::{Call, Query, encode};
use crate::api::fanout::together;
use crate::api::gap::Gap;
use crate::api::listing::{Listing, Rest, put_status};
use crate::api::proxy::{rewritten, version_prefix};
use crate::api::selection::{Hit, Selection};
use crate::api::{Api, error};
use crate::clock;
use crate::cluster::View;
use crate::cluster::events::ip;
use crate::cluster::lookup::{self, Found};
use crate::cluster::moves::Waiting;
use crate::docker::filters::Filters;
use crate::docker::http::{Body, boxed, empty, request};
use crate::docker::json::Object;
use crate::engine::Node;
use crate::engine::container::{at_node, patch_networks};
use crate::engine::inventory::copies;
use crate::engine::refresh::What;
use crate::error::Result;

/// Filters that look at what events do not tell.
const NOT_TOLD: [&str; 7] = ["ancestor", "expose", "health", "label", "network", "publish", "volume"];
/// Most containers whose IDs go into one question; beyond that it is for all.
const LONGEST_LIST: usize = 500;

impl Api {
    /// `GET /containers/json`
    pub async fn list_containers(&self, call: &Call) -> Result<Response<Body>> {
        let filters = Filters::parse(call.query.get("filters"))?;
        self.refresh_for(&filters).await;
        if NOT_TOLD.iter().any(|key| filters.has(key)) {
            self.cluster.entries_known().await;
        }
        let mut view = self.cluster.view();
        let mut hits = Selection::new(&call.query, &view, filters.clone())?.pick(&view);
        if self.read_stale(&view, &hits).await {
            view = self.cluster.view();
            hits = Selection::new(&call.query, &view, filters)?.pick(&view);
        }
        let (waiting, now) = (self.cluster.moves().waiting(), clock::unix_nanos());
        if call.query.flag("size") {
            let sizes = self.sizes(call, &view, &hits).await?;
            return Ok(error::raw_json(StatusCode::OK, sized(&view, &hits, &waiting, now, &sizes)));
        }
        let mut listing = Listing::new(view, hits, waiting, now);
        let first = listing.piece().unwrap_or_default();
        match listing.is_over() {
            true => Ok(error::raw_json(StatusCode::OK, first)),
            false => {
                let rest = Rest { first: Some(first.into()), listing };
                Ok(error::typed(StatusCode::OK, "application/json", boxed(rest)))
            }
        }
    }

    /// Has entries read again about whose containers something has just happened. False if there were none.
    async fn read_stale(&self, view: &View, hits: &[Hit]) -> bool {
        let stale = hits.iter().filter_map(|hit| hit.find(view)).filter(|(n, c)| c.stale && n.is_healthy());
        let nodes: HashMap<&str, &Node> = stale.map(|(n, _)| (n.addr.as_str(), &**n)).collect();
        self.cluster.read_entries(nodes.into_values()).await
    }

    /// The sizes of containers: engines measure them anew for each call. Those on nodes that are down have none.
    async fn sizes(&self, call: &Call, view: &View, hits: &[Hit]) -> Result<HashMap<String, Object>> {
        let mut wanted: BTreeMap<&str, (&Node, Filters)> = BTreeMap::new();
        let found = hits.iter().filter_map(|hit| hit.find(view));
        for (node, container) in found.filter(|(n, _)| n.is_healthy()) {
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

/// A list with what engines say of sizes.
fn sized(
    view: &View,
    hits: &[Hit],
    waiting: &HashMap<String, Waiting>,
    now: i64,
    sizes: &HashMap<String, Object>,
) -> Vec<u8> {
    let mut list = vec![b'['];
    for (node, container) in hits.iter().filter_map(|hit| hit.find(view)) {
        if list.len() > 1 {
            list.push(b',');
        }
        let (mut entry, mut status) = (Vec::with_capacity(1024), String::new());
        put_status(node, container, waiting, now, &mut status);
        container.entry.write(&status, &mut entry);
        list.extend(with_size(&entry, sizes.get(&container.id)));
    }
    list.extend_from_slice(b"]\n");
    list
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
