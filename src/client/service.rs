//! One service of a compose project as the create calls for its containers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::swarmd::talk::Create;
use crate::client::compose::{Project, own_labels};
use crate::client::ports::{bytes, nano_cpus};
use crate::docker::json::Object;
use crate::error::{Error, Kind, Result};

/// A service, as compose prints it: what placement looks at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Service {
    pub container_name: String,
    pub image: String,
    pub platform: String,
    pub environment: BTreeMap<String, Option<String>>,
    pub labels: BTreeMap<String, String>,
    pub ports: Vec<Port>,
    pub expose: Vec<String>,
    pub networks: BTreeMap<String, Option<Attachment>>,
    pub network_mode: String,
    pub ipc: String,
    pub pid: String,
    pub links: Vec<String>,
    pub volumes: Vec<Mount>,
    pub volumes_from: Vec<String>,
    pub devices: Vec<Value>,
    pub gpus: Vec<Value>,
    pub depends_on: BTreeMap<String, Value>,
    pub scale: Option<usize>,
    pub mem_limit: Value,
    pub mem_reservation: Value,
    pub cpus: Value,
    pub cpu_shares: i64,
    pub deploy: Option<Deploy>,
}

/// A published port.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Port {
    pub target: u16,
    pub published: String,
    pub protocol: String,
    pub host_ip: String,
}

/// An end of a network.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Attachment {
    pub priority: i64,
}

/// A mount.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Mount {
    pub r#type: String,
    pub source: String,
    pub target: String,
}

/// How many, and of what size.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Deploy {
    pub replicas: Option<usize>,
    pub resources: Resources,
}

/// Limits and reservations.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Resources {
    pub limits: Amounts,
    pub reservations: Amounts,
}

/// Amounts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Amounts {
    pub cpus: Value,
    pub memory: Value,
    pub devices: Vec<Value>,
}

impl Service {
    /// How many containers.
    pub fn replicas(&self) -> usize {
        self.scale.or(self.deploy.as_ref().and_then(|d| d.replicas)).unwrap_or(1)
    }

    /// The services that must be there first.
    pub fn needs(&self) -> Vec<String> {
        let before_colon = |text: &String| text.split(':').next().unwrap_or_default().to_string();
        let shared = [&self.network_mode, &self.ipc, &self.pid];
        let shared = shared.into_iter().filter_map(|m| m.strip_prefix("service:")).map(String::from);
        let from = self.volumes_from.iter().filter(|v| !v.starts_with("container:")).map(before_colon);
        let links = self.links.iter().map(before_colon);
        self.depends_on.keys().cloned().chain(shared).chain(from).chain(links).collect()
    }

    /// The call for one container.
    pub fn create(&self, project: &Project, name: &str, number: usize) -> Result<Create> {
        let image =
            if self.image.is_empty() { format!("{}-{name}", project.name) } else { self.image.clone() };
        let env: Vec<String> = self
            .environment
            .iter()
            .map(|(key, value)| value.as_ref().map_or(key.clone(), |value| format!("{key}={value}")))
            .collect();
        let mut labels = own_labels(&project.name, name, number);
        labels.extend(self.labels.iter().map(|(k, v)| (k.clone(), json!(v))));
        let mut body = Object::default();
        body.set("Image", &image);
        body.set("Env", &env);
        body.set("Labels", &labels);
        body.set("ExposedPorts", &self.exposed());
        body.set("HostConfig", &self.host(project)?);
        body.set("NetworkingConfig", &json!({ "EndpointsConfig": self.endpoints(project) }));
        let platform = Some(self.platform.clone()).filter(|p| !p.is_empty());
        let query = platform.map(|p| ("platform".to_string(), p)).into_iter().collect();
        Ok(Create { name: project.container(name, number), query, body, keep: true })
    }

    fn exposed(&self) -> Map<String, Value> {
        let published = self.ports.iter().map(Port::inside);
        let exposed =
            self.expose.iter().map(|p| if p.contains('/') { p.clone() } else { format!("{p}/tcp") });
        published.chain(exposed).map(|port| (port, json!({}))).collect()
    }

    fn host(&self, project: &Project) -> Result<Map<String, Value>> {
        let deploy = self.deploy.clone().unwrap_or_default().resources;
        let first = |a: &Value, b: &Value| if a.is_null() { b.clone() } else { a.clone() };
        let memory = amount(&first(&deploy.limits.memory, &self.mem_limit), &bytes)?;
        let reserved = amount(&first(&deploy.reservations.memory, &self.mem_reservation), &bytes)?;
        let cpus = amount(&first(&deploy.limits.cpus, &self.cpus), &nano_cpus)?;
        let requests = deploy.reservations.devices.iter().map(request).chain(self.gpus.iter().map(gpu));
        let fields = json!({
            "NetworkMode": self.mode(project),
            "IpcMode": peer(project, &self.ipc),
            "PidMode": peer(project, &self.pid),
            "PortBindings": self.bindings(),
            "Memory": memory,
            "MemoryReservation": reserved,
            "NanoCpus": cpus,
            "CpuShares": self.cpu_shares,
            "VolumesFrom": self.volumes_from.iter().map(|v| sharer(project, v)).collect::<Vec<_>>(),
            "Mounts": self.mounts(project),
            "Devices": self.devices.iter().map(device).collect::<Vec<_>>(),
            "DeviceRequests": requests.collect::<Vec<_>>(),
        });
        match fields {
            Value::Object(fields) => Ok(fields),
            _ => Ok(Map::new()),
        }
    }

    /// The first network decides: that of the highest priority, else by name.
    fn attached(&self) -> Vec<&str> {
        let mut keys: Vec<(i64, &str)> = self
            .networks
            .iter()
            .map(|(key, end)| (-end.as_ref().map_or(0, |e| e.priority), key.as_str()))
            .collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    fn mode(&self, project: &Project) -> String {
        match (self.network_mode.as_str(), self.attached().first()) {
            ("", Some(key)) => project.network(key),
            ("", None) => "none".into(),
            (mode, _) => peer(project, mode),
        }
    }

    fn endpoints(&self, project: &Project) -> Map<String, Value> {
        let links: Vec<String> = self.links.iter().flat_map(|link| linked(project, link)).collect();
        let end = |(n, key): (usize, &str)| {
            let end = if n == 0 && !links.is_empty() { json!({ "Links": links }) } else { json!({}) };
            (project.network(key), end)
        };
        self.attached().into_iter().enumerate().map(end).collect()
    }

    fn bindings(&self) -> Map<String, Value> {
        let mut bindings = Map::new();
        for port in &self.ports {
            let binding = json!({ "HostIp": port.host_ip, "HostPort": port.published });
            if let Value::Array(list) = bindings.entry(port.inside()).or_insert_with(|| json!([])) {
                list.push(binding);
            }
        }
        bindings
    }

    fn mounts(&self, project: &Project) -> Vec<Value> {
        let named = self.volumes.iter().filter(|m| m.r#type == "volume" && !m.source.is_empty());
        let mount =
            |m: &Mount| json!({ "Type": "volume", "Source": project.volume(&m.source), "Target": m.target });
        named.map(mount).collect()
    }
}

impl Port {
    fn inside(&self) -> String {
        let protocol = if self.protocol.is_empty() { "tcp" } else { &self.protocol };
        format!("{}/{protocol}", self.target)
    }
}

/// `service:NAME` becomes the container that it means.
fn peer(project: &Project, mode: &str) -> String {
    match mode.strip_prefix("service:") {
        Some(service) => format!("container:{}", project.container(service, 1)),
        None => mode.to_string(),
    }
}

/// `SERVICE[:ro]` or `container:NAME[:ro]`.
fn sharer(project: &Project, text: &str) -> String {
    if let Some(container) = text.strip_prefix("container:") {
        return container.to_string();
    }
    let (service, mode) = text.split_once(':').map_or((text, None), |(s, m)| (s, Some(m)));
    let container = project.container(service, 1);
    mode.map_or(container.clone(), |mode| format!("{container}:{mode}"))
}

/// `SERVICE[:ALIAS]`, for each container of the service.
fn linked(project: &Project, text: &str) -> Vec<String> {
    let (service, alias) = text.split_once(':').unwrap_or((text, text));
    project.containers(service).iter().map(|container| format!("{container}:{alias}")).collect()
}

/// An amount, printed as a number or as text; `null` is none.
fn amount(value: &Value, read: &dyn Fn(&str) -> Result<i64, String>) -> Result<i64> {
    let text = match value {
        Value::Null => return Ok(0),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    read(&text).map_err(|e| Error::client(Kind::Invalid, e))
}

fn device(device: &Value) -> Value {
    let field = |key: &str, other: &str| device.get(key).and_then(Value::as_str).unwrap_or(other).to_string();
    let short = device.as_str().unwrap_or_default();
    let source = field("source", short.split(':').next().unwrap_or_default());
    json!({
        "PathInContainer": field("target", &source),
        "CgroupPermissions": field("permissions", "rwm"),
        "PathOnHost": source,
    })
}

fn request(device: &Value) -> Value {
    let count = device.get("count").and_then(Value::as_i64).unwrap_or(0);
    json!({
        "Driver": device.get("driver").cloned().unwrap_or(json!("")),
        "Count": count,
        "DeviceIDs": device.get("device_ids").cloned().unwrap_or(json!([])),
        "Capabilities": [device.get("capabilities").cloned().unwrap_or(json!([]))],
    })
}

/// A request whose capability goes without saying.
fn gpu(device: &Value) -> Value {
    let mut request = request(device);
    if let Some(Value::Array(capabilities)) = request.pointer_mut("/Capabilities/0") {
        capabilities.push(json!("gpu"));
    }
    request
}
