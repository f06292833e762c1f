//! Networks, and who is in them. Addresses are given out, nothing is connected.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::clock::rfc3339;
use super::container::string_map;
use super::create::endpoint;
use super::profile::hex_id;
use super::query::Query;
use super::reply::{Fail, Outcome, fail, json_ok, json_with, status};
use super::state::{Engine, State};

/// A network.
#[derive(Debug, Clone)]
pub struct Network {
    /// 64 hex digits.
    pub id: String,
    /// Name.
    pub name: String,
    /// Driver.
    pub driver: String,
    /// Nanoseconds since 1970.
    pub created: i64,
    /// The body of its creation.
    pub spec: Value,
    /// First two numbers of its /16.
    pub prefix: String,
}

/// Networks that are always there.
const PREDEFINED: [&str; 3] = ["bridge", "host", "none"];

/// The predefined networks of an engine.
pub fn predefined(engine: &str, now: i64) -> Vec<Network> {
    let make = |name: &str| Network {
        id: hex_id(&format!("{engine} network {name}")),
        name: name.to_string(),
        driver: if name == "none" { "null" } else { name }.to_string(),
        created: now,
        spec: json!({}),
        prefix: if name == "bridge" { "172.17".to_string() } else { String::new() },
    };
    PREDEFINED.iter().map(|n| make(n)).collect()
}

impl Network {
    fn labels(&self) -> BTreeMap<String, String> {
        string_map(self.spec.get("Labels"))
    }

    fn json(&self, members: Option<Value>) -> Value {
        let config = match self.prefix.is_empty() {
            true => Value::Null,
            false => {
                json!([{"Subnet": format!("{}.0.0/16", self.prefix), "Gateway": format!("{}.0.1", self.prefix)}])
            }
        };
        let given = &self.spec["IPAM"]["Config"];
        let config = if given.as_array().is_some_and(|a| !a.is_empty()) { given.clone() } else { config };
        let flag = |key: &str| self.spec[key].as_bool().unwrap_or(false);
        json!({
            "Name": self.name, "Id": self.id, "Created": rfc3339(self.created),
            "Scope": if self.driver == "overlay" { "swarm" } else { "local" }, "Driver": self.driver,
            "EnableIPv4": true, "EnableIPv6": flag("EnableIPv6"),
            "IPAM": {"Driver": "default", "Options": null, "Config": config}, "Internal": flag("Internal"),
            "Attachable": flag("Attachable"), "Ingress": flag("Ingress"), "ConfigFrom": {"Network": ""},
            "ConfigOnly": false, "Containers": members.unwrap_or_else(|| json!({})),
            "Options": self.spec.get("Options").filter(|o| o.is_object()).cloned().unwrap_or_else(|| json!({})),
            "Labels": self.labels(),
        })
    }
}

impl State {
    /// Finds a network by ID, name or unambiguous ID prefix.
    pub fn network(&self, wanted: &str) -> Result<&Network, Fail> {
        let wanted = if wanted == "default" { "bridge" } else { wanted };
        if let Some(exact) = self.networks.iter().find(|n| n.id == wanted || n.name == wanted) {
            return Ok(exact);
        }
        let mut hits = self.networks.iter().filter(|n| n.id.starts_with(wanted));
        match (hits.next(), hits.next()) {
            (Some(network), None) if !wanted.is_empty() => Ok(network),
            _ => fail(404, format!("network {wanted} not found")),
        }
    }

    fn members(&self, name: &str) -> Vec<(usize, &Value)> {
        let running = self.containers.iter().enumerate().filter(|(_, c)| c.running());
        running.filter_map(|(i, c)| Some((i, c.endpoints.get(name)?))).collect()
    }

    /// A container that starts gets its addresses. Endpoints named by ID take the network's name.
    pub fn join_networks(&mut self, position: usize) {
        let names: Vec<String> = self.containers[position].endpoints.keys().cloned().collect();
        for key in names {
            let Ok(network) = self.network(&key).cloned() else {
                continue;
            };
            let serial = self.next_serial();
            let container = &mut self.containers[position];
            let Some(mut settings) = container.endpoints.remove(&key) else {
                continue;
            };
            settings["NetworkID"] = json!(network.id);
            settings["EndpointID"] = json!(hex_id(&format!("{}{}", container.id, network.id)));
            if !network.prefix.is_empty() {
                let fixed = settings["IPAMConfig"]["IPv4Address"]
                    .as_str()
                    .filter(|a| !a.is_empty())
                    .map(str::to_string);
                let address = fixed.unwrap_or_else(|| {
                    format!("{}.{}.{}", network.prefix, (serial >> 8) & 255, serial & 255)
                });
                settings["Gateway"] = json!(format!("{}.0.1", network.prefix));
                settings["IPAddress"] = json!(address);
                settings["IPPrefixLen"] = json!(16);
                settings["MacAddress"] =
                    json!(format!("02:42:ac:11:{:02x}:{:02x}", (serial >> 8) & 255, serial & 255));
            }
            container.endpoints.insert(network.name, settings);
        }
    }

    /// A container that ended gives its addresses back.
    pub fn leave_networks(&mut self, position: usize) {
        for settings in self.containers[position].endpoints.values_mut() {
            for key in ["EndpointID", "Gateway", "IPAddress", "MacAddress"] {
                settings[key] = json!("");
            }
            settings["IPPrefixLen"] = json!(0);
        }
    }

    /// `connect` or `disconnect` for all networks of a container.
    pub fn network_events(&mut self, position: usize, action: &str) {
        let container = &self.containers[position];
        let (id, names) = (container.id.clone(), container.endpoints.keys().cloned().collect::<Vec<_>>());
        for name in names {
            self.network_event(action, &name, Some(&id));
        }
    }

    fn network_event(&mut self, action: &str, name: &str, container: Option<&str>) {
        let Ok(network) = self.network(name).cloned() else {
            return;
        };
        let mut attributes =
            BTreeMap::from([("name".to_string(), network.name), ("type".to_string(), network.driver)]);
        if let Some(id) = container {
            attributes.insert("container".to_string(), id.to_string());
        }
        self.event("network", action, &network.id, attributes);
    }
}

/// `GET /networks`.
pub fn list(engine: &Engine, query: &Query) -> Outcome {
    let filters = query.filters(&["dangling", "driver", "id", "label", "label!", "name", "scope", "type"])?;
    for kind in filters.values("type") {
        if !matches!(kind.as_str(), "builtin" | "custom") {
            return fail(400, format!("invalid filter 'type={kind}'"));
        }
    }
    let state = engine.state();
    let hits = state.networks.iter().filter(|n| {
        let builtin = PREDEFINED.contains(&n.name.as_str());
        filters.name(&n.name)
            && filters.any("id", |want| n.id.starts_with(want))
            && filters.any("driver", |want| n.driver == want)
            && filters.any("scope", |want| (n.driver == "overlay") == (want == "swarm"))
            && filters.any("type", |want| builtin == (want == "builtin"))
            && filters.any("dangling", |want| {
                (!builtin && state.members(&n.name).is_empty()) == matches!(want, "true" | "1")
            })
            && filters.labels(&n.labels())
    });
    json_ok(&Value::Array(hits.map(|n| n.json(None)).collect()))
}

/// `GET /networks/{id}`.
pub fn inspect(engine: &Engine, wanted: &str) -> Outcome {
    let state = engine.state();
    let network = state.network(wanted)?;
    let mut members = json!({});
    for (i, settings) in state.members(&network.name) {
        let container = &state.containers[i];
        members[container.id.as_str()] = json!({
            "Name": container.name, "EndpointID": settings["EndpointID"], "MacAddress": settings["MacAddress"],
            "IPv4Address": format!("{}/16", settings["IPAddress"].as_str().unwrap_or("")), "IPv6Address": "",
        });
    }
    json_ok(&network.json(Some(members)))
}

/// `POST /networks/create`.
pub fn create(engine: &Arc<Engine>, body: &[u8]) -> Outcome {
    let Ok(spec @ Value::Object(_)) = serde_json::from_slice::<Value>(body) else {
        return fail(400, "invalid JSON: got EOF while reading request body");
    };
    let name = spec["Name"].as_str().unwrap_or("").to_string();
    if name.trim().is_empty() {
        return fail(400, "invalid network name: name is empty");
    }
    if PREDEFINED.contains(&name.as_str()) {
        return fail(403, format!("operation is not permitted on predefined {name} network"));
    }
    let driver = spec["Driver"].as_str().filter(|d| !d.is_empty()).unwrap_or("bridge").to_string();
    if driver == "overlay" {
        return fail(
            503,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to \
             swarm and try again.",
        );
    }
    if !matches!(driver.as_str(), "bridge" | "macvlan" | "ipvlan") {
        return fail(404, format!("plugin \"{driver}\" not found"));
    }
    let now = engine.now();
    let mut state = engine.state();
    if state.networks.iter().any(|n| n.name == name) {
        return fail(409, format!("network with name {name} already exists"));
    }
    let serial = state.next_serial();
    let id = format!("{:032x}{:032x}", fastrand::u128(..), fastrand::u128(..));
    let prefix = format!("{}.{}", 10 + serial / 256 % 100, serial % 256);
    state.networks.push(Network { id: id.clone(), name: name.clone(), driver, created: now, spec, prefix });
    state.network_event("create", &name, None);
    drop(state);
    engine.bump();
    Ok(json_with(201, &json!({"Id": id, "Warning": ""})))
}

/// `POST /networks/{id}/connect`.
pub fn connect(engine: &Arc<Engine>, wanted: &str, body: &[u8]) -> Outcome {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let mut state = engine.state();
    let network = state.network(wanted)?.name.clone();
    let position = state.position(body["Container"].as_str().unwrap_or(""))?;
    let container = &mut state.containers[position];
    let (running, id) = (container.running(), container.id.clone());
    if container.endpoints.contains_key(&network) {
        return fail(
            403,
            format!("endpoint with name {} already exists in network {network}", container.name),
        );
    }
    if matches!(network.as_str(), "host" | "none") {
        return fail(403, "container cannot be disconnected from host network or connected to host network");
    }
    container.endpoints.insert(network.clone(), endpoint(body["EndpointConfig"].clone()));
    if running {
        state.join_networks(position);
        state.network_event("connect", &network, Some(&id));
    }
    drop(state);
    engine.bump();
    Ok(status(200))
}

/// `POST /networks/{id}/disconnect`.
pub fn disconnect(engine: &Arc<Engine>, wanted: &str, body: &[u8]) -> Outcome {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let mut state = engine.state();
    let network = state.network(wanted)?.name.clone();
    let position = state.position(body["Container"].as_str().unwrap_or(""))?;
    let container = &mut state.containers[position];
    let id = container.id.clone();
    if container.endpoints.remove(&network).is_none() {
        return fail(403, format!("container {id} is not connected to network {network}"));
    }
    if container.running() {
        state.network_event("disconnect", &network, Some(&id));
    }
    drop(state);
    engine.bump();
    Ok(status(200))
}

/// `DELETE /networks/{id}`.
pub fn delete(engine: &Arc<Engine>, wanted: &str) -> Outcome {
    let mut state = engine.state();
    let network = state.network(wanted)?.clone();
    if PREDEFINED.contains(&network.name.as_str()) {
        return fail(403, format!("{} is a pre-defined network and cannot be removed", network.name));
    }
    let members = state.members(&network.name);
    if !members.is_empty() {
        let who = members.iter().map(|(i, _)| {
            let container = &state.containers[*i];
            format!("name:\"{}\" id:\"{}\"", container.name, &container.id[..12])
        });
        let who = who.collect::<Vec<_>>().join(", ");
        return fail(
            403,
            format!("error while removing network: network {} has active endpoints ({who})", network.name),
        );
    }
    state.network_event("destroy", &network.name, None);
    state.networks.retain(|n| n.id != network.id);
    drop(state);
    engine.bump();
    Ok(status(204))
}

/// `POST /networks/prune`.
pub fn prune(engine: &Arc<Engine>, query: &Query) -> Outcome {
    let filters = query.filters(&["label", "label!", "until"])?;
    let mut state = engine.state();
    let unused = state.networks.iter().filter(|n| {
        !PREDEFINED.contains(&n.name.as_str())
            && state.members(&n.name).is_empty()
            && filters.labels(&n.labels())
    });
    let names: Vec<String> = unused.map(|n| n.name.clone()).collect();
    for name in &names {
        state.network_event("destroy", name, None);
        state.networks.retain(|n| n.name != *name);
    }
    drop(state);
    engine.bump();
    json_ok(&json!({"NetworksDeleted": if names.is_empty() { Value::Null } else { json!(names) }}))
}
