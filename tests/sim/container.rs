//! A container: what was asked for, how it is doing, and its two faces: list entry and inspect. *Not* its
//! life: `lifecycle` changes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::clock::{human, rfc3339};
use super::output::Output;

/// `HostConfig` of a container that asks for nothing.
const HOST_DEFAULTS: &str = include_str!("host-defaults.json");

/// A published port.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// Within the container.
    pub private: u16,
    /// `tcp`, `udp` or `sctp`.
    pub proto: String,
    /// Address on the host; empty means all.
    pub ip: String,
    /// On the host.
    pub public: u16,
}

/// A container.
#[derive(Debug)]
pub struct Container {
    /// 64 hex digits.
    pub id: String,
    /// Without slash.
    pub name: String,
    /// As named at creation.
    pub image: String,
    /// ID of that image.
    pub image_id: String,
    /// When, in nanoseconds since 1970.
    pub created: i64,
    /// The body of creation without `HostConfig` and `NetworkingConfig`.
    pub config: Map<String, Value>,
    /// `HostConfig` as given.
    pub host: Map<String, Value>,
    /// Endpoint settings by network name.
    pub endpoints: BTreeMap<String, Value>,
    /// Entry point and command together, with the image's defaults.
    pub argv: Vec<String>,
    /// `created`, `running`, `paused`, `restarting`, `exited`, `dead`.
    pub status: &'static str,
    /// Process number; 0 unless running.
    pub pid: u32,
    /// Of the last run.
    pub exit_code: i64,
    /// Why the last start failed.
    pub error: String,
    /// Whether the kernel ended it for memory.
    pub oom: bool,
    /// `healthy`, `unhealthy`, `starting`, or nothing.
    pub health: String,
    /// Nanoseconds since 1970; 0 is never.
    pub started: i64,
    /// Nanoseconds since 1970; 0 is never.
    pub finished: i64,
    /// How often it ended: waiters for the next exit compare.
    pub exits: u64,
    /// Restarts by policy.
    pub restarts: u64,
    /// Published ports, while running.
    pub ports: Vec<Port>,
    /// Rows and columns last set.
    pub size: (u32, u32),
    /// Streams.
    pub output: Arc<Output>,
    /// Ends the present run.
    pub run: CancellationToken,
}

impl Container {
    /// Whether a process runs, paused or not.
    pub fn running(&self) -> bool {
        matches!(self.status, "running" | "paused" | "restarting")
    }

    /// Whether a flag of the creation body is set.
    pub fn flag(&self, key: &str) -> bool {
        self.config.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        string_map(self.config.get("Labels"))
    }

    /// `HostConfig.NetworkMode`, with the default by its API-dependent name.
    pub fn network_mode(&self, api: u32) -> String {
        match self.host.get("NetworkMode").and_then(Value::as_str).unwrap_or("") {
            "" | "default" if api >= 44 => "bridge".to_string(),
            "" => "default".to_string(),
            mode => mode.to_string(),
        }
    }

    /// `Up 3 minutes (Paused)` and its kin.
    pub fn status_text(&self, now: i64) -> String {
        let since = |then: i64| human((now - then) / 1_000_000_000);
        let health = match self.health.as_str() {
            "" => String::new(),
            "starting" => " (health: starting)".to_string(),
            word => format!(" ({word})"),
        };
        match self.status {
            "created" => "Created".to_string(),
            "running" => format!("Up {}{health}", since(self.started)),
            "paused" => format!("Up {} (Paused)", since(self.started)),
            "restarting" => format!("Restarting ({}) {} ago", self.exit_code, since(self.finished)),
            "dead" => "Dead".to_string(),
            _ => format!("Exited ({}) {} ago", self.exit_code, since(self.finished)),
        }
    }

    fn command_text(&self) -> String {
        let quoted = self.argv.iter().map(|word| match word.contains([' ', '"']) {
            true => format!("'{word}'"),
            false => word.clone(),
        });
        quoted.collect::<Vec<_>>().join(" ")
    }

    /// The entry of `GET /containers/json`.
    pub fn entry(&self, now: i64, api: u32, size: bool) -> Value {
        let mut ports = Vec::new();
        for port in &self.ports {
            for ip in host_addresses(port) {
                ports.push(json!({"IP": ip, "PrivatePort": port.private, "PublicPort": port.public, "Type": port.proto}));
            }
        }
        for exposed in self.exposed() {
            if let Some((private, proto)) = split_port(&exposed)
                && !self.ports.iter().any(|p| p.private == private && p.proto == proto)
            {
                ports.push(json!({"PrivatePort": private, "Type": proto}));
            }
        }
        let mut entry = json!({
            "Id": self.id, "Names": [format!("/{}", self.name)], "Image": self.image, "ImageID": self.image_id,
            "Command": self.command_text(), "Created": self.created / 1_000_000_000, "Ports": ports,
            "Labels": self.labels(), "State": self.status, "Status": self.status_text(now),
            "HostConfig": {"NetworkMode": self.network_mode(api)},
            "NetworkSettings": {"Networks": self.endpoints}, "Mounts": self.mounts(),
        });
        if size {
            entry["SizeRootFs"] = json!(4_261_550);
        }
        entry
    }

    /// Exposed ports, from the creation body and from published ones.
    pub fn exposed(&self) -> Vec<String> {
        let keys =
            |v: Option<&Value>| v.and_then(Value::as_object).map(|o| o.keys().cloned().collect::<Vec<_>>());
        let mut all = keys(self.config.get("ExposedPorts")).unwrap_or_default();
        all.extend(keys(self.host.get("PortBindings")).unwrap_or_default());
        all.sort();
        all.dedup();
        all
    }

    /// Binds and mounts.
    pub fn mounts(&self) -> Vec<Value> {
        let binds = self.host.get("Binds").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut mounts: Vec<Value> =
            binds.iter().filter_map(Value::as_str).filter_map(mount_of_bind).collect();
        for mount in self.host.get("Mounts").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| mount[key].as_str().unwrap_or("").to_string();
            let read_only = mount["ReadOnly"].as_bool().unwrap_or(false);
            mounts.push(mount_point(&text("Type"), &text("Source"), &text("Target"), read_only));
        }
        mounts
    }

    /// The answer of `GET /containers/{id}/json`.
    pub fn inspect(&self, api: u32, size: bool) -> Value {
        let mut ports = Map::new();
        for exposed in self.exposed() {
            let bound: Vec<Value> = self
                .ports
                .iter()
                .filter(|p| format!("{}/{}", p.private, p.proto) == exposed)
                .flat_map(|p| {
                    host_addresses(p)
                        .into_iter()
                        .map(|ip| json!({"HostIp": ip, "HostPort": p.public.to_string()}))
                })
                .collect();
            if self.running() {
                ports.insert(exposed, if bound.is_empty() { Value::Null } else { Value::Array(bound) });
            }
        }
        let first = self.endpoints.get("bridge").cloned().unwrap_or_else(|| json!({}));
        let mut inspect = json!({
            "Id": self.id, "Created": rfc3339(self.created), "Path": self.argv.first(),
            "Args": self.argv.get(1..).unwrap_or(&[]), "State": self.state(), "Image": self.image_id,
            "ResolvConfPath": format!("/var/lib/docker/containers/{}/resolv.conf", self.id),
            "HostnamePath": format!("/var/lib/docker/containers/{}/hostname", self.id),
            "HostsPath": format!("/var/lib/docker/containers/{}/hosts", self.id),
            "LogPath": format!("/var/lib/docker/containers/{}/{}-json.log", self.id, self.id),
            "Name": format!("/{}", self.name), "RestartCount": self.restarts, "Driver": "overlay2",
            "Platform": "linux", "MountLabel": "", "ProcessLabel": "", "AppArmorProfile": "", "ExecIDs": null,
            "HostConfig": self.host_config(api),
            "GraphDriver": {"Data": {"MergedDir": format!("/var/lib/docker/overlay2/{}/merged", self.id)}, "Name": "overlay2"},
            "Mounts": self.mounts(), "Config": self.full_config(),
            "NetworkSettings": {
                "Bridge": "", "SandboxID": if self.running() { self.id.as_str() } else { "" }, "SandboxKey": "",
                "Ports": ports, "Gateway": first["Gateway"].as_str().unwrap_or(""),
                "IPAddress": first["IPAddress"].as_str().unwrap_or(""), "IPPrefixLen": first["IPPrefixLen"].as_u64().unwrap_or(0),
                "MacAddress": first["MacAddress"].as_str().unwrap_or(""), "Networks": self.endpoints,
            },
        });
        if size {
            inspect["SizeRw"] = json!(0);
            inspect["SizeRootFs"] = json!(4_261_550);
        }
        inspect
    }

    fn state(&self) -> Value {
        let mut state = json!({
            "Status": self.status, "Running": self.running(), "Paused": self.status == "paused",
            "Restarting": self.status == "restarting", "OOMKilled": self.oom, "Dead": self.status == "dead",
            "Pid": self.pid, "ExitCode": self.exit_code, "Error": self.error,
            "StartedAt": rfc3339(self.started), "FinishedAt": rfc3339(self.finished),
        });
        if !self.health.is_empty() {
            state["Health"] = json!({"Status": self.health, "FailingStreak": 0, "Log": []});
        }
        state
    }

    fn full_config(&self) -> Value {
        let mut config = json!({
            "Hostname": &self.id[..12], "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false,
            "AttachStderr": false, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": [], "Cmd": self.argv,
            "Image": self.image, "Volumes": null, "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": {},
        });
        overlay(&mut config, &self.config);
        config
    }

    fn host_config(&self, api: u32) -> Value {
        let mut host: Value = serde_json::from_str(HOST_DEFAULTS).unwrap_or_default();
        overlay(&mut host, &self.host);
        host["NetworkMode"] = json!(self.network_mode(api));
        if host["RestartPolicy"]["Name"] == json!("") {
            host["RestartPolicy"]["Name"] = json!("no");
        }
        host
    }
}

/// Lays given fields over defaults; `null` does not hide a default.
fn overlay(defaults: &mut Value, given: &Map<String, Value>) {
    for (key, value) in given.iter().filter(|(_, v)| !v.is_null()) {
        defaults[key.as_str()] = value.clone();
    }
}

/// A JSON object of strings.
pub fn string_map(value: Option<&Value>) -> BTreeMap<String, String> {
    let fields = value.and_then(Value::as_object).into_iter().flatten();
    fields.map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_string())).collect()
}

/// `80/tcp` as number and protocol; the protocol may be missing.
pub fn split_port(text: &str) -> Option<(u16, String)> {
    let (number, proto) = text.split_once('/').unwrap_or((text, "tcp"));
    Some((number.parse().ok()?, proto.to_ascii_lowercase()))
}

/// Engines list a port on all addresses twice: for either family.
fn host_addresses(port: &Port) -> Vec<String> {
    match port.ip.as_str() {
        "" => vec!["0.0.0.0".to_string(), "::".to_string()],
        ip => vec![ip.to_string()],
    }
}

fn mount_of_bind(bind: &str) -> Option<Value> {
    let mut parts = bind.split(':');
    let (source, target) = (parts.next()?, parts.next()?);
    let read_only = parts.next().is_some_and(|mode| mode.split(',').any(|m| m == "ro"));
    let kind = if source.starts_with('/') { "bind" } else { "volume" };
    Some(mount_point(kind, source, target, read_only))
}

fn mount_point(kind: &str, source: &str, target: &str, read_only: bool) -> Value {
    match kind {
        "volume" => json!({
            "Type": "volume", "Name": source, "Source": format!("/var/lib/docker/volumes/{source}/_data"),
            "Destination": target, "Driver": "local", "Mode": "z", "RW": !read_only, "Propagation": "",
        }),
        _ => json!({
            "Type": kind, "Source": source, "Destination": target, "Mode": "", "RW": !read_only,
            "Propagation": if kind == "bind" { "rprivate" } else { "" },
        }),
    }
}
