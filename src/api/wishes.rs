//! What a create body refers to: containers, networks and volumes, maybe as `NODE/name`.
//!
//! Engines know nothing of nodes, so prefixes are resolved here; and where a thing exists on one node only,
//! that becomes part of the placement.

use std::sync::Arc;

use crate::cluster::lookup;
use crate::cluster::nets;
use crate::cluster::view::View;
use crate::docker::json::Object;
use crate::docker::types::Labels;
use crate::engine::Container;
use crate::error::Result;
use crate::scheduler::Request;

/// Networks and volumes that must be on the node before the container is created.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// Networks, as the client named them.
    pub networks: Vec<String>,
    /// Named volumes, bare.
    pub volumes: Vec<String>,
}

impl Wishes {
    /// Reads the body, takes node prefixes out of it, and adds to the request where things are.
    pub fn read(view: &View, body: &mut Object, request: &mut Request) -> Result<Wishes> {
        let mut wishes = Wishes::default();
        let mut host = body.object("HostConfig");
        if body.contains("HostConfig") {
            resolve_containers(view, &mut host);
            wishes.take_volumes(view, &mut host, request);
            wishes.want_network(view, &host.get::<String>("NetworkMode").unwrap_or_default(), request);
            body.set("HostConfig", &host);
        }
        let mut networking = body.object("NetworkingConfig");
        let mut endpoints = networking.object("EndpointsConfig");
        for name in endpoints.keys() {
            wishes.want_network(view, name, request);
        }
        if resolve_links(view, &mut endpoints) {
            networking.set("EndpointsConfig", &endpoints);
            body.set("NetworkingConfig", &networking);
        }
        request.replaces = replaced(view, &request.labels);
        Ok(wishes)
    }

    /// A local network with a named driver draws its containers to its node, as long as that is up;
    /// `NODE/network` insists.
    fn want_network(&mut self, view: &View, name: &str, request: &mut Request) {
        let special = matches!(name, "" | "default" | "bridge" | "host" | "none" | "nat")
            || name.starts_with("container:");
        if special || self.networks.iter().any(|n| n == name) {
            return;
        }
        if let Some((node, _)) = lookup::node_prefix(view, name) {
            request.extra_constraints.push(format!("node=={}", node.name()));
        } else if let Ok(network) = nets::find(view, name)
            && network.is_local()
            && !network.spreads()
            && network.members[0].0.is_healthy()
            && !request.has_node_constraint()
        {
            request.extra_constraints.push(format!("node==~{}", network.members[0].0.name()));
        }
        self.networks.push(name.to_string());
    }

    fn take_volumes(&mut self, view: &View, host: &mut Object, request: &mut Request) {
        if let Some(mut binds) = host.get::<Vec<String>>("Binds") {
            for bind in &mut binds {
                if let Some((source, rest)) =
                    bind.split_once(':').filter(|(s, _)| !s.starts_with(['/', '.', '~']))
                {
                    *bind = format!("{}:{rest}", self.want_volume(view, source, request));
                }
            }
            host.set("Binds", &binds);
        }
        if let Some(mut mounts) = host.get::<Vec<Object>>("Mounts") {
            for mount in &mut mounts {
                let source = mount.get::<String>("Source").filter(|s| !s.is_empty());
                if let (Some("volume"), Some(source)) = (mount.get::<String>("Type").as_deref(), source) {
                    let bare = self.want_volume(view, &source, request);
                    mount.set("Source", &bare);
                }
            }
            host.set("Mounts", &mounts);
        }
    }

    /// Returns the bare name. An anonymous volume that exists pins its node: its data is there and nowhere else.
    fn want_volume(&mut self, view: &View, name: &str, request: &mut Request) -> String {
        let bare = match lookup::node_prefix(view, name) {
            Some((node, rest)) => {
                request.extra_constraints.push(format!("node=={}", node.name()));
                rest.to_string()
            }
            None => name.to_string(),
        };
        let anonymous = bare.len() == 64 && bare.bytes().all(|b| b.is_ascii_hexdigit());
        if let (true, [(node, _)]) = (anonymous, lookup::volumes(view, &bare).as_slice()) {
            request.extra_constraints.push(format!("node=={}", node.name()));
        }
        if !anonymous && !self.volumes.contains(&bare) {
            self.volumes.push(bare.clone());
        }
        bare
    }

    /// Puts the names that networks have on the chosen node in the place of what the client wrote.
    pub fn name_networks(body: &mut Object, names: &[(String, String)]) {
        if names.iter().all(|(query, name)| query == name) {
            return;
        }
        let mut host = body.object("HostConfig");
        let mut networking = body.object("NetworkingConfig");
        let mut endpoints = networking.object("EndpointsConfig");
        for (query, name) in names {
            if host.get::<String>("NetworkMode").as_deref() == Some(query) {
                host.set("NetworkMode", name);
            }
            if endpoints.contains(query) && !endpoints.contains(name) {
                endpoints.rename(query, name);
            }
        }
        body.set("HostConfig", &host);
        if body.contains("NetworkingConfig") {
            networking.set("EndpointsConfig", &endpoints);
            body.set("NetworkingConfig", &networking);
        }
    }
}

/// `NODE/name` and swarm IDs become what the owner knows. Links and volumes-from keep their alias or mode.
fn resolve_containers(view: &View, host: &mut Object) {
    for key in ["NetworkMode", "IpcMode", "PidMode"] {
        let Some(value) = host.get::<String>(key) else { continue };
        if let Some(container) = value.strip_prefix("container:").and_then(|query| found(view, query)) {
            host.set(key, &format!("container:{}", container.id));
        }
    }
    // A link's alias defaults to the name, so names stay names.
    resolve_list(view, host, "Links", |container| container.name().to_string());
    resolve_list(view, host, "VolumesFrom", |container| container.id.clone());
}

/// The same for the links of each network. False if there were none.
fn resolve_links(view: &View, endpoints: &mut Object) -> bool {
    let names: Vec<String> = endpoints.keys().map(str::to_string).collect();
    let mut changed = false;
    for name in names {
        let mut endpoint = endpoints.object(&name);
        if resolve_list(view, &mut endpoint, "Links", |container| container.name().to_string()) {
            endpoints.set(&name, &endpoint);
            changed = true;
        }
    }
    changed
}

/// Puts another text for the containers in a list of `container:rest`. False if there is no such list.
fn resolve_list(view: &View, object: &mut Object, key: &str, text: impl Fn(&Container) -> String) -> bool {
    let Some(mut list) = object.get::<Vec<String>>(key) else { return false };
    for entry in &mut list {
        let (query, rest) = entry.split_once(':').map_or((entry.as_str(), None), |(q, r)| (q, Some(r)));
        let Some(container) = found(view, query) else { continue };
        let target = text(&container);
        *entry = rest.map_or(target.clone(), |rest| format!("{target}:{rest}"));
    }
    object.set(key, &list);
    true
}

fn found(view: &View, query: &str) -> Option<Arc<Container>> {
    lookup::container(view, query).ok().map(|(_, container)| container)
}

/// The container that compose is about to replace by this one: the old one still holds the ports.
fn replaced(view: &View, labels: &Labels) -> Option<String> {
    const SAME: [&str; 3] =
        ["com.docker.compose.project", "com.docker.compose.service", "com.docker.compose.container-number"];
    labels.get("com.docker.compose.replace")?;
    let same = |c: &Container| {
        SAME.iter()
            .all(|key| c.labels.get(key).is_some_and(|v| labels.get(*key).is_some_and(|wanted| wanted == v)))
    };
    view.containers().find(|(_, c)| same(c)).map(|(_, c)| c.id.clone())
}
