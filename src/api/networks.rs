//! Networks: one object for the user, though a local one may have a copy on each node (see `cluster::nets`).

use std::collections::HashSet;
use std::sync::Arc;

use hyper::{Method, Response, StatusCode};

use crate::api::audit::OnNode;
use crate::api::call::{Call, encode};
use crate::api::{Api, error};
use crate::cluster::lookup;
use crate::cluster::nets::{self, Group};
use crate::cluster::view::View;
use crate::docker::filters::Filters;
use crate::docker::http::{Body, CALL_DEADLINE, answered, full, read_whole};
use crate::docker::json::{self, Object};
use crate::docker::types::Labels;
use crate::engine::Node;
use crate::engine::refresh::What;
use crate::error::{Error, Kind, Result};
use crate::scheduler::Request;

/// The engine's own words.
const NOT_DANGLING: &str =
    r#"invalid value for filter 'dangling', must be "true" (or "1"), or "false" (or "0")"#;

impl Api {
    /// `GET /networks`
    pub async fn list_networks(&self, call: &Call) -> Result<Response<Body>> {
        let filters = Filters::parse(call.query.get("filters"))?;
        filters.known(&["dangling", "driver", "id", "label", "name", "node", "scope", "type"])?;
        if let Some(bad) = filters.values("type").iter().find(|t| *t != "custom" && *t != "builtin") {
            return Err(Error::client(Kind::Invalid, format!("invalid filter: 'type'='{bad}'")));
        }
        let dangling = filters.truth("dangling").map_err(|e| Error { message: NOT_DANGLING.into(), ..e })?;
        if dangling.is_some() {
            self.cluster.entries_known().await;
        }
        let view = self.cluster.view();
        let used = dangling.map(|dangling| (dangling, nets::in_use(&view)));
        // Predefined networks are always of use.
        let in_use = |g: &Group<'_>, used: &HashSet<&str>| g.is_predefined() || used.contains(g.id.as_str());
        let groups = nets::all(&view);
        let wanted = groups
            .iter()
            .filter(|g| wanted(&view, g, &filters))
            .filter(|g| used.as_ref().is_none_or(|(dangling, used)| *dangling != in_use(g, used)));
        Ok(error::raw_json(StatusCode::OK, listed(wanted)))
    }

    /// `GET /networks/{name}`: asked of the engines, since only they know who is attached right now. The
    /// containers on copies are shown as this network's.
    pub async fn inspect_network(&self, call: Call, name: &str) -> Result<Response<Body>> {
        let view = self.cluster.view();
        let group = nets::find(&view, name)?;
        let (node, network) = group.representative();
        let path = |id: &str| format!("/networks/{}", encode(id));
        let others: Vec<_> =
            group.members.iter().filter(|(n, _)| n.addr != node.addr && n.is_healthy()).collect();
        let response = self.forward(call, node, &path(&network.fields.id)).await?;
        if others.is_empty() || !response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = read_whole(body).await?;
        let Ok(mut whole) = Object::parse(&body) else { return Ok(Response::from_parts(parts, full(body))) };
        let mut attached = whole.object("Containers");
        for (node, network) in others {
            let Ok(handle) = self.cluster.handle(node) else { continue };
            if let Ok(copy) = handle.client.get_json::<Object>(&path(&network.fields.id), CALL_DEADLINE).await
            {
                for (id, container) in copy.object("Containers").iter() {
                    attached.set(id, &serde_json::from_str::<Object>(container).unwrap_or_default());
                }
            }
        }
        whole.set("Containers", &attached);
        whole.set("Id", &group.id);
        Ok(error::raw_json(StatusCode::OK, whole.to_json()))
    }

    /// `POST /networks/create`: on one node, which the scheduler picks unless the name says `NODE/name`.
    pub async fn create_network(&self, mut call: Call) -> Result<Response<Body>> {
        let body = call.read_body().await?;
        let mut body = Object::parse(&body)
            .map_err(|e| Error::client(Kind::Invalid, format!("invalid request body: {}", json::flaw(&e))))?;
        let view = self.cluster.view();
        let asked: String = body.get("Name").unwrap_or_default();
        let mut request = Request::default();
        match lookup::node_prefix(&view, &asked) {
            Some((node, bare)) => {
                request.extra_constraints.push(format!("node=={}", node.name()));
                body.set("Name", bare);
            }
            // The engine refuses a second one in its own words.
            None if nets::PREDEFINED.contains(&asked.as_str()) => {}
            None if lookup::networks(&view, &asked).iter().any(|(_, net)| net.fields.name == asked) => {
                return Err(Error::client(
                    Kind::Conflict,
                    format!("network with name {asked} already exists"),
                ));
            }
            None => {}
        }
        self.choose_driver(&mut body);
        let node = self.cluster.decide(|view, pending| self.choose(view, pending, &request))?.node;
        let handle = self.cluster.handle(&node)?;
        let prefix = super::proxy::version_prefix(call.version, &node);
        let path = format!("{prefix}/networks/create");
        let (status, answer) = handle.client.post_json(&path, body.to_json(), CALL_DEADLINE * 3).await?;
        if !status.is_success() {
            return Err(answered(status, &answer));
        }
        handle.refresh(What::Networks).await;
        Ok(OnNode::mark(error::raw_json(status, answer), node.name()))
    }

    /// No driver named: what the configuration says; `auto` is a bridge as long as no multi-host driver is
    /// there, marked so that its containers may be spread.
    fn choose_driver(&self, body: &mut Object) {
        let named = body.get::<String>("Driver").is_some_and(|d| !d.is_empty() && d != "default");
        if named {
            return;
        }
        let config = self.config();
        let driver = match config.manager.network_driver.as_str() {
            "auto" => "bridge",
            other => other,
        };
        body.set("Driver", driver);
        let mut labels: Labels = body.get("Labels").unwrap_or_default();
        labels.insert(nets::DRIVER.to_string(), "auto".to_string());
        body.set("Labels", &labels);
    }

    /// `DELETE /networks/{name}`: everywhere. Copies go first, so that a refusal leaves the first one.
    pub async fn remove_network(&self, call: Call, name: &str) -> Result<Response<Body>> {
        let view = self.cluster.view();
        let group = nets::find(&view, name)?;
        self.remove_group(&call, &group).await?;
        Ok(error::nothing(StatusCode::NO_CONTENT))
    }

    /// Removes a network with its copies.
    pub async fn remove_group(&self, call: &Call, group: &Group<'_>) -> Result<()> {
        let members: Vec<_> =
            if group.is_local() { group.members.iter().rev().collect() } else { vec![&group.members[0]] };
        for (node, network) in members {
            self.cluster.healthy(node, &format!("Network {}", group.name()))?;
            let handle = self.cluster.handle(node)?;
            let prefix = super::proxy::version_prefix(call.version, node);
            let path = format!("{prefix}/networks/{}", encode(&network.fields.id));
            let (status, answer) = handle.client.call(Method::DELETE, &path, CALL_DEADLINE * 3).await?;
            handle.refresh(What::Networks).await;
            if !status.is_success() && status != StatusCode::NOT_FOUND {
                return Err(answered(status, &answer));
            }
        }
        Ok(())
    }

    /// `POST /networks/{name}/connect` and `/disconnect`: on the container's node, whose copy is made if need be.
    pub async fn connect_network(&self, mut call: Call, name: &str, verb: &str) -> Result<Response<Body>> {
        let body = call.read_body().await?;
        let mut body = Object::parse(&body)
            .map_err(|e| Error::client(Kind::Invalid, format!("invalid request body: {}", json::flaw(&e))))?;
        let wanted: String = body.get("Container").unwrap_or_default();
        if wanted.is_empty() {
            return Err(Error::client(Kind::NotFound, "Container is not specified"));
        }
        let (node, container) = match self.owned(&wanted) {
            // The endpoint of a container that is no more: only its network knows of it.
            Err(e) if e.kind == Kind::NotFound && verb == "disconnect" && body.get("Force") == Some(true) => {
                return self.drop_endpoint(&call, name, &body).await;
            }
            found => found?,
        };
        body.set("Container", &container.id);
        let here = match verb {
            "connect" => self.ensure_network(&node, name, None).await?,
            _ => self.name_on(&node, name)?,
        };
        let handle = self.cluster.handle(&node)?;
        let path = format!(
            "{}/networks/{}/{verb}",
            super::proxy::version_prefix(call.version, &node),
            encode(&here)
        );
        let (status, answer) = handle.client.post_json(&path, body.to_json(), CALL_DEADLINE * 3).await?;
        if !status.is_success() {
            return Err(answered(status, &answer));
        }
        handle.refresh(What::Container(container.id.clone())).await;
        Ok(error::nothing(status))
    }

    /// `disconnect --force` of what is no container any more, on each node that has the network. The engines
    /// say whether there is such an endpoint.
    async fn drop_endpoint(&self, call: &Call, name: &str, body: &Object) -> Result<Response<Body>> {
        let view = self.cluster.view();
        let mut outcome = (StatusCode::NOT_FOUND, bytes::Bytes::new());
        for (node, network) in nets::find(&view, name)?.members {
            let handle = self.cluster.healthy(node, &format!("Network {name}"))?;
            let prefix = super::proxy::version_prefix(call.version, node);
            let path = format!("{prefix}/networks/{}/disconnect", encode(&network.fields.id));
            outcome = handle.client.post_json(&path, body.to_json(), CALL_DEADLINE * 3).await?;
            if outcome.0.is_success() {
                return Ok(error::nothing(outcome.0));
            }
        }
        Err(answered(outcome.0, &outcome.1))
    }

    /// What a network is called on a node, by a name that is unique there.
    fn name_on(&self, node: &Node, query: &str) -> Result<String> {
        let view = self.cluster.view();
        let here = lookup::networks(&view, query).into_iter().find(|(n, _)| n.addr == node.addr);
        match (here, nets::find(&view, query)) {
            (Some((_, network)), _) => Ok(network.fields.name.clone()),
            (None, Ok(group)) => Ok(group.on(node).map_or(group.name(), |n| &n.fields.name).to_string()),
            (None, Err(e)) => Err(e),
        }
    }

    /// Makes sure that a node has the network that `query` means, and returns its name there. A network that
    /// nobody knows is made by its model, if there is one; else it is left to the engine, whose answer names it.
    pub async fn ensure_network(
        &self,
        node: &Arc<Node>,
        query: &str,
        model: Option<&Object>,
    ) -> Result<String> {
        let view = self.cluster.view();
        let here = lookup::networks(&view, query).into_iter().find(|(n, _)| n.addr == node.addr);
        if let Some((_, network)) = here {
            nets::not_hosts_by_another_word(network, query)?;
            return Ok(network.fields.name.clone());
        }
        let group = match nets::find(&view, query) {
            Ok(group) => group,
            // As `NODE/name` it was meant for us.
            Err(e) if query.contains('/') => return Err(e),
            Err(e) => {
                match (e.kind, model) {
                    (Kind::NotFound, Some(model)) => self.make_network(node, query, model.clone()).await?,
                    _ => nets::not_hosts_by_its_begin(node, query)?,
                }
                return Ok(query.to_string());
            }
        };
        nets::not_hosts_by_another_word(group.members[0].1, query)?;
        // Networks of wider scope reach every node by themselves; predefined ones are everywhere.
        if !group.is_local() || group.is_predefined() || group.on(node).is_some() {
            nets::not_hosts_by_its_begin(node, group.name())?;
            return Ok(group.name().to_string());
        }
        self.make_network(node, group.name(), group.copy()).await?;
        Ok(group.name().to_string())
    }

    /// Makes a network on a node, unless it got one of that name meanwhile.
    async fn make_network(&self, node: &Arc<Node>, name: &str, mut body: Object) -> Result<()> {
        let handle = self.cluster.handle(node)?;
        let _alone = handle.making.acquire().await;
        let view = self.cluster.view();
        if lookup::networks(&view, name).iter().any(|(n, _)| n.addr == node.addr) {
            return Ok(());
        }
        let (mut status, mut answer) =
            handle.client.post_json("/networks/create", body.to_json(), CALL_DEADLINE).await?;
        // The subnet may be taken on that machine; a bridge behind NAT can have any.
        if !status.is_success() && String::from_utf8_lossy(&answer).contains("overlap") {
            body.remove("IPAM");
            (status, answer) =
                handle.client.post_json("/networks/create", body.to_json(), CALL_DEADLINE).await?;
        }
        if !status.is_success() && status != StatusCode::CONFLICT {
            let error = answered(status, &answer);
            let text = format!("cannot make network {name} on {}: {}", node.name(), error.message);
            return Err(Error { message: text, ..error });
        }
        tracing::info!(NODE = node.name(), "made network {name} on {}", node.name());
        handle.refresh(What::Networks).await;
        Ok(())
    }
}

/// The list of these networks, as JSON.
fn listed<'g>(groups: impl Iterator<Item = &'g Group<'g>>) -> Vec<u8> {
    let mut list = vec![b'['];
    for group in groups {
        if list.len() > 1 {
            list.push(b',');
        }
        let (_, network) = group.representative();
        network.write(&group.shown(), &group.id, &mut list);
    }
    list.extend_from_slice(b"]\n");
    list
}

fn wanted(view: &View, group: &Group<'_>, filters: &Filters) -> bool {
    let (_, network) = group.representative();
    let fields = &network.fields;
    let builtin = if group.is_predefined() { "builtin" } else { "custom" };
    let meant = |key: &str| {
        let values = filters.values(key).iter();
        values.flat_map(|v| nets::find(view, v)).any(|hit| hit.id == group.id)
    };
    let on_node = |n: &Arc<Node>| filters.values("node").iter().any(|v| v == n.name() || v == n.id());
    filters.exact("type", builtin)
        && filters.exact("driver", &fields.driver)
        && filters.exact("scope", &fields.scope)
        && filters.labels("label", &fields.labels)
        && (!filters.has("node") || nets::nodes(group).any(on_node))
        && (filters.pattern("name", &fields.name) || meant("name"))
        && (!filters.has("id")
            || filters.values("id").iter().any(|v| group.id.contains(v.as_str()))
            || meant("id"))
}
