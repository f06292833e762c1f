//! What is to be placed: a container as its create request describes it.
//!
//! `from_create` reads the body and patches it in place: hints leave the environment for labels, resources
//! given in the way of very old clients move to where engines look for them. Everything else stays as it
//! came. It does *not* choose a node, and it does not turn CPUs into the chosen node's shares in the body:
//! who sends it does, once the node is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::{DeserializeOwned, IgnoredAny};

use crate::docker::json::{self, Object};
use crate::docker::platform::Platform;
use crate::docker::types::{Device, DeviceRequest, HostConfig, Labels, PortBinding};
use crate::engine::resources::{cpus_of_shares, shares_of_cpus};
use crate::engine::status::Life;
use crate::engine::{Container, Node, Resources};
use crate::error::{Error, Kind, Result};
use crate::scheduler::hints::Hints;

/// A container that wants a node.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Its name, without a leading `/`, if it has one.
    pub name: Option<String>,
    /// The image as given.
    pub image: String,
    /// Its labels, hints included. Change them with `set_label`, which keeps the body in step.
    pub labels: Labels,
    /// What it asks of its host. `cpu_shares` is a number of CPUs here, as users give it (`-c 2`).
    pub host: HostConfig,
    /// Exposed ports (`80/tcp`).
    pub exposed: Vec<String>,
    /// Links within user-defined networks (`container:alias`): newer clients' `--link` and compose's `links:`.
    pub endpoint_links: Vec<String>,
    /// Expressions and policies.
    pub hints: Hints,
    /// Constraints that the caller adds for this one decision, such as `node==~pi1` for a network of one
    /// node. They are not stored in labels.
    pub extra_constraints: Vec<String>,
    /// Only nodes that have the image will do: the second try after a failed pull.
    pub image_holders_only: bool,
    /// ID of the container that gives way to this one: its ports, slot and resources count as free, and its
    /// node is preferred. See `replacement::of`.
    pub replaces: Option<String>,
    /// What it replaces is as good as gone: its node is no better than others, and nothing refers to it. For
    /// explanations and moves of a container that is there.
    pub afresh: bool,
    /// The platform that the client asks for.
    pub platform: Option<Platform>,
    /// What the image was built for, where that matters and is known.
    pub built_for: Option<BuiltFor>,
}

/// The platforms of the images that nodes have under one name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuiltFor {
    /// ID and platform of each.
    pub copies: Vec<(String, Platform)>,
    /// Whether the registry of that name has it, too, and maybe for other platforms.
    pub elsewhere: bool,
}

impl BuiltFor {
    /// `linux/amd64, linux/arm64`
    pub fn words(&self) -> String {
        self.copies.iter().map(|(_, platform)| platform.to_string()).collect::<Vec<_>>().join(", ")
    }
}

impl Request {
    /// Reads and patches the body of a create request. `name` is that of the query. Malformed fields are
    /// `Kind::Invalid`: better no container than one whose ports or limits were not understood.
    pub fn from_create(body: &mut Object, name: Option<&str>) -> Result<Request> {
        let labels: BTreeMap<String, Option<String>> = field(body, "Labels")?;
        let given: Labels = labels.into_iter().map(|(k, v)| (k, v.unwrap_or_default())).collect();
        let env: Vec<Option<String>> = field(body, "Env")?;
        let mut env: Vec<String> = env.into_iter().map(Option::unwrap_or_default).collect();
        let (entries, mut labels) = (env.len(), given.clone());
        let hints = Hints::extract(&mut env, &mut labels);
        hints.check()?;
        if env.len() != entries {
            body.set("Env", &Some(&env).filter(|env| !env.is_empty()));
        }
        if labels != given {
            body.set("Labels", &labels);
        }
        move_legacy_resources(body)?;
        let exposed: BTreeMap<String, IgnoredAny> = field(body, "ExposedPorts")?;
        Ok(Request {
            name: name.map(|n| n.trim_start_matches('/').to_string()).filter(|n| !n.is_empty()),
            image: field(body, "Image")?,
            labels,
            host: host_config(&field(body, "HostConfig")?)?,
            exposed: exposed.into_keys().collect(),
            endpoint_links: endpoint_links(&field(body, "NetworkingConfig")?)?,
            hints,
            ..Request::default()
        })
    }

    /// The request that would place a container once more, as if it were not there.
    pub fn again(container: &Container, node: &Node) -> Request {
        let mut labels = container.labels.to_labels();
        let hints = Hints::extract(&mut Vec::new(), &mut labels);
        let cpus = node.specs.as_ref().map_or(0, |s| s.cpus);
        let cpu_shares = cpus_of_shares(container.host.cpu_shares, cpus);
        Request {
            name: Some(container.name().to_string()).filter(|n| !n.is_empty()),
            image: container.image.to_string(),
            labels,
            host: HostConfig { cpu_shares, ..HostConfig::clone(&container.host) },
            exposed: container.exposed.to_vec(),
            hints,
            replaces: Some(container.id.clone()),
            afresh: true,
            ..Request::default()
        }
    }

    /// Sets a label in the request and in its body, such as the swarm ID.
    pub fn set_label(&mut self, body: &mut Object, key: &str, value: &str) {
        self.labels.insert(key.to_string(), value.to_string());
        body.set("Labels", &self.labels);
    }

    /// Whether some constraint names its node for good: `node==…`, but not `node==~…`.
    pub fn has_node_constraint(&self) -> bool {
        let names = |c: &String| c.strip_prefix("node==").is_some_and(|node| !node.starts_with('~'));
        self.hints.constraints.iter().any(names)
    }

    /// ID of the container that is as good as gone: its name is free. (Compose renames what it replaces by itself.)
    pub fn outgoing(&self) -> Option<&str> {
        self.replaces.as_deref().filter(|_| self.afresh)
    }

    /// What it asks of its node.
    pub fn resources(&self) -> Resources {
        Resources::asked(&self.host, self.host.cpu_shares)
    }

    /// The container as it counts on the chosen node until that shows it: without an ID.
    pub fn reservation(&self, node: &Node) -> Container {
        let cpus = node.specs.as_ref().map_or(0, |s| s.cpus);
        Container {
            id: String::new(),
            names: self.name.iter().map(|n| format!("/{n}")).collect(),
            image: self.image.as_str().into(),
            image_id: Arc::default(),
            created: 0,
            labels: self.labels.clone().into(),
            ports: Arc::default(),
            mounts: Arc::default(),
            networks: Default::default(),
            life: Life::default(),
            host: Arc::new(HostConfig {
                cpu_shares: shares_of_cpus(self.host.cpu_shares, cpus),
                ..self.host.clone()
            }),
            exposed: self.exposed.as_slice().into(),
            ..Container::default()
        }
    }
}

/// Clients of the oldest APIs put resources at the top level; where set, they count, as ever.
fn move_legacy_resources(body: &mut Object) -> Result<()> {
    let mut moved: Vec<(&str, String)> = Vec::new();
    for key in ["Memory", "MemorySwap", "CpuShares"] {
        if field::<i64>(body, key)? != 0 {
            moved.extend(body.remove(key).map(|raw| (key, raw)));
        }
    }
    if !field::<String>(body, "Cpuset")?.is_empty() {
        moved.extend(body.remove("Cpuset").map(|raw| ("CpusetCpus", raw)));
    }
    if moved.is_empty() {
        return Ok(());
    }
    let mut host: Object = field(body, "HostConfig")?;
    for (key, raw) in moved {
        host.set(key, &parse::<Box<serde_json::value::RawValue>>(key, &raw)?);
    }
    body.set("HostConfig", &host);
    Ok(())
}

/// Reads the host configuration as engines do: keys without regard to case, at every level.
fn host_config(host: &Object) -> Result<HostConfig> {
    let ports: BTreeMap<String, Option<Vec<Option<Object>>>> = field(host, "PortBindings")?;
    let binding = |b: Option<Object>| -> Result<PortBinding> {
        let b = b.unwrap_or_default();
        Ok(PortBinding { host_ip: field(&b, "HostIp")?, host_port: field(&b, "HostPort")? })
    };
    let bindings = |list: Option<Vec<_>>| -> Result<Vec<_>> {
        list.unwrap_or_default().into_iter().map(binding).collect()
    };
    let read = |(port, list): (String, _)| -> Result<_> { Ok((port, Some(bindings(list)?))) };
    Ok(HostConfig {
        network_mode: field(host, "NetworkMode")?,
        ipc_mode: field(host, "IpcMode")?,
        pid_mode: field(host, "PidMode")?,
        port_bindings: ports.into_iter().map(read).collect::<Result<_>>()?,
        memory: field(host, "Memory")?,
        cpu_shares: field(host, "CpuShares")?,
        memory_reservation: field(host, "MemoryReservation")?,
        nano_cpus: field(host, "NanoCpus")?,
        cpu_quota: field(host, "CpuQuota")?,
        cpu_period: field(host, "CpuPeriod")?,
        runtime: field(host, "Runtime")?,
        devices: list(host, "Devices", |d| Ok(Device { path_on_host: field(d, "PathOnHost")? }))?,
        device_requests: list(host, "DeviceRequests", |d| {
            Ok(DeviceRequest { driver: field(d, "Driver")?, device_ids: field(d, "DeviceIDs")? })
        })?,
        volumes_from: field(host, "VolumesFrom")?,
        links: field(host, "Links")?,
        auto_remove: field(host, "AutoRemove")?,
    })
}

fn list<T>(host: &Object, key: &str, read: impl Fn(&Object) -> Result<T>) -> Result<Vec<T>> {
    field::<Vec<Object>>(host, key)?.iter().map(read).collect()
}

fn endpoint_links(networking: &Object) -> Result<Vec<String>> {
    let endpoints: Object = field(networking, "EndpointsConfig")?;
    let mut links = Vec::new();
    for network in endpoints.keys() {
        let endpoint: Object = field(&endpoints, network)?;
        links.extend(field::<Vec<String>>(&endpoint, "Links")?);
    }
    Ok(links)
}

/// A field, or its default if it is absent or `null`. Another type is an error.
fn field<T: DeserializeOwned + Default>(object: &Object, key: &str) -> Result<T> {
    let value: Option<T> = object.raw(key).map_or(Ok(None), |raw| parse(key, raw))?;
    Ok(value.unwrap_or_default())
}

fn parse<T: DeserializeOwned>(key: &str, raw: &str) -> Result<T> {
    serde_json::from_str(raw)
        .map_err(|e| Error::client(Kind::Invalid, format!("invalid {key}: {}", json::flaw(&e))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(body: &str) -> (Request, String) {
        let mut body = Object::parse(body.as_bytes()).unwrap();
        let request = Request::from_create(&mut body, Some("/web")).unwrap();
        (request, body.to_json())
    }

    #[test]
    fn a_body_without_hints_is_not_touched() {
        let text = r#"{"Image":"busybox", "Env":[ "A=\u003c" ],"Labels":{"b":"1","B":"2"},"New":[1.0],"HostConfig":{"Memory":5}}"#;
        let before = Object::parse(text.as_bytes()).unwrap().to_json();
        let (request, after) = create(text);
        assert_eq!(after, before);
        assert_eq!(request.name.as_deref(), Some("web"));
        assert_eq!((request.image.as_str(), request.host.memory), ("busybox", 5));
        assert_eq!(request.labels.len(), 2);
    }

    #[test]
    fn hints_move_and_the_rest_stays() {
        let (request, body) =
            create(r#"{"Env":["constraint:node==pi1","X=1"],"Cmd":["a"],"Labels":{"k":"v"}}"#);
        assert_eq!(
            body,
            r#"{"Env":["X=1"],"Cmd":["a"],"Labels":{"com.docker.swarm.constraints":"[\"node==pi1\"]","k":"v"}}"#
        );
        assert!(request.has_node_constraint());
        let (_, body) = create(r#"{"Env":["affinity:image==a"]}"#);
        assert!(body.starts_with(r#"{"Env":null,"Labels":{"#), "{body}");
    }

    #[test]
    fn legacy_resources_override() {
        let (request, body) = create(
            r#"{"Memory":7,"MemorySwap":0,"CpuShares":2,"Cpuset":"0,1","HostConfig":{"memory":5,"x":1.0}}"#,
        );
        assert_eq!((request.host.memory, request.host.cpu_shares), (7, 2));
        assert_eq!(
            body,
            r#"{"MemorySwap":0,"HostConfig":{"memory":7,"x":1.0,"CpuShares":2,"CpusetCpus":"0,1"}}"#
        );
    }

    #[test]
    fn keys_compare_as_engines_compare_them() {
        let (request, _) = create(
            r#"{"exposedports":{"80/tcp":{}},"hostconfig":{"networkmode":null,"portbindings":{"80/tcp":[{"hostport":"80","HOSTIP":"127.0.0.1"},null],"81/tcp":null}}}"#,
        );
        let first = &request.host.port_bindings["80/tcp"].as_ref().unwrap()[0];
        assert_eq!((first.host_port.as_str(), first.host_ip.as_str()), ("80", "127.0.0.1"));
        assert_eq!(request.exposed, ["80/tcp"]);
    }

    #[test]
    fn malformed_fields_are_the_callers_mistake() {
        for body in [
            r#"{"Labels":[]}"#,
            r#"{"Env":"A=1"}"#,
            r#"{"HostConfig":{"Memory":"5"}}"#,
            r#"{"HostConfig":{"Memory":5,"memory":6}}"#,
            r#"{"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":80}]}}}"#,
            r#"{"Memory":1.5}"#,
            r#"{"Env":["reschedule:maybe"]}"#,
        ] {
            let mut object = Object::parse(body.as_bytes()).unwrap();
            let error = Request::from_create(&mut object, None).unwrap_err();
            assert_eq!(error.kind, Kind::Invalid, "{body}");
        }
    }

    #[test]
    fn which_constraints_name_a_node() {
        for (constraint, names) in [
            ("node==pi1", true),
            ("node==*", true),
            ("node==/re/", true),
            ("node==~pi1", false),
            ("node!=pi1", false),
            ("disk==ssd", false),
        ] {
            let mut request = Request::default();
            request.hints.constraints.push(constraint.into());
            assert_eq!(request.has_node_constraint(), names, "{constraint}");
        }
    }
}
