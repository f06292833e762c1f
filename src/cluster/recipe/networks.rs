//! A container's networks: what it was given of each, without what it happened to get.

use serde_json::value::RawValue;

use crate::cluster::nets;
use crate::cluster::view::View;
use crate::docker::json::Object;
use crate::engine::Node;

/// Length of the short form of an ID, which older engines give as an alias.
const SHORT: usize = 12;

/// The endpoints of a create body, from the networks of an inspect answer. Puts the name of its first network
/// into the mode, which may have an ID or a network that it has left.
pub(super) fn endpoints(id: &str, host: &mut Object, networks: &Object) -> Object {
    let mode: String = host.get("NetworkMode").unwrap_or_default();
    let mut endpoints = Object::default();
    if matches!(mode.as_str(), "host" | "none") || mode.starts_with("container:") {
        return endpoints;
    }
    let names: Vec<&str> = networks.keys().collect();
    if !matches!(mode.as_str(), "" | "default" | "bridge") && !names.contains(&mode.as_str()) {
        let of_id = |name: &&&str| {
            let network: String = networks.object(name).get("NetworkID").unwrap_or_default();
            network.starts_with(&mode)
        };
        if let Some(name) = names.iter().find(of_id).or(names.first()) {
            host.set("NetworkMode", name);
        }
    }
    for name in names {
        endpoints.set(name, &endpoint(&networks.object(name), id));
    }
    endpoints
}

fn endpoint(had: &Object, id: &str) -> Object {
    let mut given = Object::default();
    for key in ["IPAMConfig", "DriverOpts", "GwPriority"] {
        if let Some(value) = had.get::<Box<RawValue>>(key).filter(|v| !matches!(v.get(), "{}" | "0")) {
            given.set(key, &value);
        }
    }
    let short = id.get(..SHORT).unwrap_or(id);
    let aliases: Vec<String> = had.get("Aliases").unwrap_or_default();
    let aliases: Vec<_> = aliases.into_iter().filter(|a| a != short).collect();
    if !aliases.is_empty() {
        given.set("Aliases", &aliases);
    }
    let links: Vec<String> = had.get("Links").unwrap_or_default();
    if !links.is_empty() {
        given.set("Links", &links.iter().map(|l| super::as_given(l)).collect::<Vec<_>>());
    }
    given
}

/// How to make those of the networks that are of single machines.
pub(super) fn models(view: &View, node: &Node, endpoints: &Object) -> Vec<Object> {
    let groups = nets::all(view);
    let here = |name: &str| groups.iter().find(|g| g.on(node).is_some_and(|n| n.fields.name == name));
    let local = endpoints.keys().filter_map(here).filter(|g| g.is_local() && !g.is_predefined());
    local.map(nets::Group::copy).collect()
}

pub(super) fn has_addresses(body: &Object) -> bool {
    let endpoints = body.object("NetworkingConfig").object("EndpointsConfig");
    body.contains("MacAddress") || endpoints.keys().any(|name| endpoints.object(name).contains("IPAMConfig"))
}

pub(super) fn drop_addresses(body: &mut Object) {
    body.remove("MacAddress");
    let mut networking = body.object("NetworkingConfig");
    let mut endpoints = networking.object("EndpointsConfig");
    let names: Vec<String> = endpoints.keys().map(str::to_string).collect();
    for name in names {
        let mut endpoint = endpoints.object(&name);
        endpoint.remove("IPAMConfig");
        endpoints.set(&name, &endpoint);
    }
    if !endpoints.is_empty() {
        networking.set("EndpointsConfig", &endpoints);
        body.set("NetworkingConfig", &networking);
    }
}
