//! The fields that we read in engine answers. Absent fields and `null` read as empty.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use crate::docker::json::Object;

/// `null` as the default value: Go writes it for empty lists and maps.
pub fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Labels of anything.
pub type Labels = BTreeMap<String, String>;

/// `GET /info`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Info {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    #[serde(rename = "NCPU")]
    pub cpus: i64,
    pub mem_total: i64,
    #[serde(deserialize_with = "nullable")]
    pub labels: Vec<String>,
    pub driver: String,
    pub kernel_version: String,
    pub operating_system: String,
    #[serde(rename = "OSType")]
    pub os_type: String,
    pub architecture: String,
    pub execution_driver: String,
    pub system_time: String,
    pub server_version: String,
    #[serde(deserialize_with = "nullable")]
    pub runtimes: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(deserialize_with = "nullable")]
    pub discovered_devices: Vec<DiscoveredDevice>,
}

/// A device that the engine found specified in one of its CDI directories (engines since 28.2).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct DiscoveredDevice {
    #[serde(rename = "ID")]
    pub id: String,
}

/// `GET /version`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Version {
    pub version: String,
    pub api_version: String,
    #[serde(rename = "MinAPIVersion")]
    pub min_api_version: String,
    pub arch: String,
}

/// One element of `GET /containers/json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct ListedContainer {
    pub id: String,
    #[serde(deserialize_with = "nullable")]
    pub names: Vec<String>,
    pub image: String,
    #[serde(rename = "ImageID")]
    pub image_id: String,
    pub created: i64,
    pub state: String,
    pub status: String,
    #[serde(deserialize_with = "nullable")]
    pub labels: Labels,
    #[serde(deserialize_with = "nullable")]
    pub ports: Vec<Port>,
    #[serde(deserialize_with = "nullable")]
    pub mounts: Vec<Mount>,
    #[serde(deserialize_with = "nullable")]
    pub network_settings: ListedNetworks,
}

/// What of such an element changes while the container is the same one: enough to tell whether to read on. It costs a
/// fraction of reading all.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Glance {
    pub id: String,
    #[serde(deserialize_with = "nullable")]
    pub names: Vec<String>,
    pub image: String,
    pub state: String,
    #[serde(deserialize_with = "nullable")]
    pub ports: Vec<Port>,
}

/// A port of a listed container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Port {
    #[serde(rename = "IP")]
    pub ip: String,
    pub private_port: u16,
    pub public_port: u16,
    pub r#type: String,
}

/// A mount point.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Mount {
    pub r#type: String,
    pub name: String,
    pub source: String,
    pub destination: String,
}

/// Networks of a listed container, by name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct ListedNetworks {
    #[serde(deserialize_with = "nullable")]
    pub networks: HashMap<String, Attachment>,
}

/// A container's end of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Attachment {
    #[serde(rename = "NetworkID")]
    pub network_id: String,
}

/// `GET /containers/{id}/json`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Inspected {
    pub id: String,
    pub name: String,
    pub created: String,
    #[serde(deserialize_with = "nullable")]
    pub state: InspectedState,
    #[serde(deserialize_with = "nullable")]
    pub config: InspectedConfig,
    #[serde(deserialize_with = "nullable")]
    pub host_config: HostConfig,
    #[serde(rename = "ExecIDs", deserialize_with = "nullable")]
    pub exec_ids: Vec<String>,
    /// The answer itself, where somebody needs it.
    #[serde(skip)]
    pub whole: Option<Arc<Object>>,
}

/// The state in an inspect answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct InspectedState {
    pub running: bool,
    pub paused: bool,
    pub restarting: bool,
    pub dead: bool,
    pub exit_code: i64,
    pub started_at: String,
    pub finished_at: String,
    #[serde(deserialize_with = "nullable")]
    pub health: Health,
}

/// The result of a health check.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Health {
    pub status: String,
}

/// The configuration in an inspect answer, as far as scheduling needs it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct InspectedConfig {
    #[serde(deserialize_with = "nullable")]
    pub exposed_ports: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(deserialize_with = "nullable")]
    pub labels: Labels,
}

/// The host configuration, as far as scheduling needs it; the same in create requests and inspect answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct HostConfig {
    pub network_mode: String,
    #[serde(deserialize_with = "nullable")]
    pub ipc_mode: String,
    #[serde(deserialize_with = "nullable")]
    pub pid_mode: String,
    #[serde(deserialize_with = "nullable")]
    pub port_bindings: BTreeMap<String, Option<Vec<PortBinding>>>,
    #[serde(deserialize_with = "nullable")]
    pub memory: i64,
    #[serde(deserialize_with = "nullable")]
    pub cpu_shares: i64,
    #[serde(deserialize_with = "nullable")]
    pub memory_reservation: i64,
    #[serde(deserialize_with = "nullable")]
    pub nano_cpus: i64,
    #[serde(deserialize_with = "nullable")]
    pub cpu_quota: i64,
    #[serde(deserialize_with = "nullable")]
    pub cpu_period: i64,
    #[serde(deserialize_with = "nullable")]
    pub runtime: String,
    #[serde(deserialize_with = "nullable")]
    pub devices: Vec<Device>,
    #[serde(deserialize_with = "nullable")]
    pub device_requests: Vec<DeviceRequest>,
    #[serde(deserialize_with = "nullable")]
    pub volumes_from: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub links: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub auto_remove: bool,
}

/// A device file of the host (`--device /dev/ttyUSB0`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Device {
    #[serde(deserialize_with = "nullable")]
    pub path_on_host: String,
}

/// Devices that a driver of the engine hands out (`--gpus`, `--device vendor.com/class=name`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct DeviceRequest {
    #[serde(deserialize_with = "nullable")]
    pub driver: String,
    #[serde(rename = "DeviceIDs", deserialize_with = "nullable")]
    pub device_ids: Vec<String>,
}

/// Where a container's port is wanted, or found, on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct PortBinding {
    #[serde(rename = "HostIp", deserialize_with = "nullable")]
    pub host_ip: String,
    #[serde(deserialize_with = "nullable")]
    pub host_port: String,
}

/// One element of `GET /networks`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct ListedNetwork {
    pub name: String,
    pub id: String,
    pub scope: String,
    pub driver: String,
    #[serde(deserialize_with = "nullable")]
    pub labels: Labels,
}

/// One element of `GET /volumes`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct ListedVolume {
    pub name: String,
    pub driver: String,
    pub scope: String,
    #[serde(deserialize_with = "nullable")]
    pub labels: Labels,
    #[serde(deserialize_with = "nullable")]
    pub options: Labels,
}

/// One element of `GET /images/json`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct ListedImage {
    pub id: String,
    pub parent_id: String,
    #[serde(deserialize_with = "nullable")]
    pub repo_tags: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub repo_digests: Vec<String>,
    pub created: i64,
    #[serde(deserialize_with = "nullable")]
    pub labels: Labels,
}

/// `GET /images/{name}/json`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct InspectedImage {
    pub id: String,
    #[serde(deserialize_with = "nullable")]
    pub repo_tags: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub repo_digests: Vec<String>,
    pub os: String,
    pub architecture: String,
    #[serde(deserialize_with = "nullable")]
    pub variant: String,
    pub size: i64,
    #[serde(deserialize_with = "nullable")]
    pub metadata: ImageMetadata,
}

/// What an engine, and no other, knows of an image.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct ImageMetadata {
    pub last_tag_time: String,
}

/// One message of `GET /events`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct EventMessage {
    pub status: String,
    pub from: String,
    #[serde(rename = "Type")]
    pub kind: String,
    #[serde(rename = "Action")]
    pub action: String,
    #[serde(rename = "Actor")]
    pub actor: Actor,
    pub scope: String,
    pub time: i64,
    #[serde(rename = "timeNano")]
    pub time_nano: i64,
}

impl EventMessage {
    /// With its time, what tells it from all others of its engine.
    pub fn what(&self) -> String {
        format!("{} {} {}", self.kind, self.action, self.actor.id)
    }
}

/// What an event is about.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Actor {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Attributes", deserialize_with = "nullable")]
    pub attributes: Labels,
}
