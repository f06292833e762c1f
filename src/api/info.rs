//! `GET /info`: the cluster as one engine, with the classic rows about its nodes.

use hyper::{Response, StatusCode};
use serde_json::json;

use crate::api::{Api, error};
use crate::clock;
use crate::cluster::view::View;
use crate::config::names::Named;
use crate::docker::http::Body;
use crate::election::Role;
use crate::engine::Node;
use crate::scheduler::explain::size;
use crate::scheduler::strategy::with_overcommit;

/// Rows of two columns, in order.
type Rows = Vec<(String, String)>;

impl Api {
    /// `GET /info`
    pub fn info(&self) -> Response<Body> {
        let view = self.cluster.view();
        let counts = Counts::of(view.containers().map(|(_, c)| c.life.word()));
        let specs = || view.validated().filter_map(|n| n.specs.as_ref());
        let overcommit = self.placement().overcommit_percent;
        let total = |sum: i64| with_overcommit(sum, overcommit);
        let images: usize = view.validated().map(|n| n.inventory.images.len()).sum();
        let memory: i64 = specs().map(|s| total(s.memory)).sum();
        let cpus: i64 = specs().map(|s| total(s.cpus)).sum();
        error::json(
            StatusCode::OK,
            &json!({
                "ID": "",
                "Containers": counts.total,
                "ContainersRunning": counts.running,
                "ContainersPaused": counts.paused,
                "ContainersStopped": counts.stopped(),
                "Images": images,
                "Driver": "",
                "DriverStatus": null,
                "SystemStatus": self.rows(&view),
                "Plugins": { "Volume": [], "Network": [], "Authorization": [], "Log": [] },
                "MemoryLimit": true,
                "SwapLimit": true,
                "KernelMemory": false,
                "CpuCfsPeriod": true,
                "CpuCfsQuota": true,
                "CPUShares": true,
                "CPUSet": true,
                "PidsLimit": true,
                "IPv4Forwarding": true,
                "BridgeNfIptables": true,
                "BridgeNfIp6tables": true,
                "Debug": self.config().log.level == crate::config::Level::Debug,
                "NFd": 0,
                "OomKillDisable": true,
                "NGoroutines": 0,
                "SystemTime": clock::rfc3339(clock::unix_seconds()),
                "LoggingDriver": "",
                "CgroupDriver": "",
                "NEventsListener": self.cluster.listeners(),
                "KernelVersion": self.host.kernel,
                "OperatingSystem": self.host.os,
                "OSType": "linux",
                "Architecture": self.architecture(&view),
                "IndexServerAddress": "",
                "RegistryConfig": null,
                "NCPU": cpus,
                "MemTotal": memory,
                "DockerRootDir": "",
                "HttpProxy": "",
                "HttpsProxy": "",
                "NoProxy": "",
                "Name": self.host.name,
                "Labels": [],
                "ExperimentalBuild": self.config().experimental,
                "ServerVersion": concat!("swarm/", env!("CARGO_PKG_VERSION")),
                "Runtimes": null,
                "DefaultRuntime": "",
                "Swarm": {
                    "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false,
                    "Error": "", "RemoteManagers": null,
                },
                "LiveRestoreEnabled": false,
                "Isolation": "",
                "InitBinary": "",
                "ContainerdCommit": { "ID": "", "Expected": "" },
                "RuncCommit": { "ID": "", "Expected": "" },
                "InitCommit": { "ID": "", "Expected": "" },
                "SecurityOptions": [],
                "Warnings": warnings(&view, self.discovery_trouble()),
            }),
        )
    }

    /// What is wrong with discovery, if something is.
    pub(super) fn discovery_trouble(&self) -> Option<String> {
        self.outlook.borrow().trouble(clock::unix_seconds())
    }

    /// What all nodes are; of a mixed cluster, what the manager's machine is.
    fn architecture<'a>(&'a self, view: &'a View) -> &'a str {
        let said = |n: &'a std::sync::Arc<Node>| n.specs.as_ref()?.labels.get("architecture");
        let mut all = view.validated().filter_map(said).map(String::as_str);
        let first = all.next().unwrap_or(self.host.arch);
        if all.all(|other| other == first) { first } else { self.host.arch }
    }

    /// The rows in the order and spelling of the classic manager: people and scripts read them.
    fn rows(&self, view: &View) -> Rows {
        let placement = self.placement();
        let filters: Vec<_> = placement.filters.iter().map(|f| f.word()).collect();
        let leadership = self.mandate.leadership();
        let mut rows: Rows = vec![("Role".into(), leadership.role.word().into())];
        if leadership.role != Role::Primary {
            rows.push(("Primary".into(), leadership.primary.unwrap_or_default()));
        }
        rows.extend([
            ("Strategy".into(), placement.strategy.word().into()),
            ("Filters".into(), filters.join(", ")),
        ]);
        rows.push(("Nodes".into(), view.nodes().len().to_string()));
        for node in view.nodes() {
            node_rows(node, placement.overcommit_percent, &mut rows);
        }
        // Not one of the classic rows: behind those, whose places scripts know.
        rows.push(("Discovery".into(), self.listing().to_string()));
        rows
    }
}

/// One node's rows.
fn node_rows(node: &Node, overcommit: i64, rows: &mut Rows) {
    let name = if node.name().is_empty() { "(unknown)" } else { node.name() };
    rows.push((format!(" {name}"), node.addr.clone()));
    let mut row = |key: &str, value: String| rows.push((format!("  └ {key}"), value));
    let specs = node.specs.as_deref();
    let counts = Counts::of(node.inventory.containers.values().map(|c| c.life.word()));
    let total = |sum: i64| with_overcommit(sum, overcommit);
    let (cpus, memory) = specs.map_or((0, 0), |s| (total(s.cpus), total(s.memory)));
    let labels: Vec<_> = node.labels().iter().map(|(k, v)| format!("{k}={v}")).collect();
    row("ID", node.id().to_string());
    row("Status", node.state.word().to_string());
    if !node.orders.takes_containers() {
        let since = clock::rfc3339(node.orders.since);
        row("Availability", format!("{} since {since}", node.orders.availability.word()));
        if !node.orders.reason.is_empty() {
            row("Availability Reason", node.orders.reason.clone());
        }
    }
    row(
        "Containers",
        match node.is_healthy() {
            true => format!(
                "{} ({} Running, {} Paused, {} Stopped)",
                counts.total,
                counts.running,
                counts.paused,
                counts.stopped()
            ),
            false => counts.total.to_string(),
        },
    );
    row("Reserved CPUs", format!("{} / {cpus}", node.inventory.used.cpus()));
    row("Reserved Memory", format!("{} / {}", size(node.inventory.used.memory), size(memory)));
    row("Labels", labels.join(", "));
    if let Some(error) = &node.error {
        row("Error", error.clone());
    }
    row("UpdatedAt", clock::rfc3339(node.updated_at));
    row("ServerVersion", specs.map_or_else(String::new, |s| s.version.clone()));
}

/// Shown by newer clients under the rows.
fn warnings(view: &View, discovery: Option<String>) -> Vec<String> {
    let discovery = discovery.into_iter().map(|trouble| format!("WARNING: discovery: {trouble}"));
    let unhealthy = view.nodes().iter().filter(|n| !n.is_healthy()).map(|n| {
        let name = if n.name().is_empty() { &n.addr } else { n.name() };
        format!(
            "WARNING: node {name} is {}: {}",
            n.state.word(),
            n.error.as_deref().unwrap_or("not connected yet")
        )
    });
    let specs = view.validated().filter_map(|n| n.specs.as_ref());
    let told = specs.flat_map(|s| s.warnings.iter().map(|w| format!("WARNING: node {}: {w}", s.name)));
    let twins = view.validated().flat_map(|n| {
        let others = view.validated().filter(|o| o.id() == n.id() && o.addr > n.addr);
        others.map(|o| {
            format!(
                "WARNING: {} and {} are engines with one ID (a cloned disk?): on one of them stop docker, remove \
                 /etc/docker/key.json and /var/lib/docker/engine-id, start docker",
                n.addr, o.addr
            )
        })
    });
    discovery.chain(unhealthy).chain(told).chain(twins).collect()
}

#[derive(Default)]
struct Counts {
    total: usize,
    running: usize,
    paused: usize,
}

impl Counts {
    fn of(words: impl Iterator<Item = &'static str>) -> Counts {
        words.fold(Counts::default(), |mut counts, word| {
            counts.total += 1;
            match word {
                "paused" => counts.paused += 1,
                "running" | "restarting" => counts.running += 1,
                _ => {}
            }
            counts
        })
    }

    fn stopped(&self) -> usize {
        self.total - self.running - self.paused
    }
}
