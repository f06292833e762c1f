//! `GET /info`: the cluster as one engine, with the classic rows about its nodes.

use hyper::{Response, StatusCode};
use serde_json::json;

use crate::api::sums::Rows;
use crate::api::{Api, error};
use crate::clock;
use crate::cluster::view::View;
use crate::config::names::Named;
use crate::docker::http::Body;
use crate::election::Role;
use crate::engine::Node;
use crate::scheduler;

/// Stands where the rows come. No text of ours or of a machine has it.
const PLACE: &str = "\u{1}rows\u{1}";
/// The same in JSON.
const ROWS: &str = r#""\u0001rows\u0001""#;

impl Api {
    /// `GET /info`
    pub fn info(&self) -> Response<Body> {
        let view = self.cluster.view();
        let placement = self.placement();
        let sums = self.sums.of(&view, placement.overcommit_percent);
        let (before, after) = self.rows(&view, &placement);
        let here = [self.exposure(), self.discovery_trouble().map(|trouble| format!("discovery: {trouble}"))];
        let here = here.into_iter().flatten().map(|trouble| format!("WARNING: {trouble}"));
        let warnings: Vec<_> = here.chain(sums.warnings.iter().cloned()).collect();
        let answer = json!({
                "ID": "",
                "Containers": sums.counts.total,
                "ContainersRunning": sums.counts.running,
                "ContainersPaused": sums.counts.paused,
                "ContainersStopped": sums.counts.stopped(),
                "Images": sums.images,
                "Driver": "",
                "DriverStatus": null,
                "SystemStatus": PLACE,
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
                "NCPU": sums.cpus,
                "MemTotal": sums.memory,
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
                "Warnings": warnings,
        });
        let answer = answer.to_string();
        let (head, tail) = answer.split_once(ROWS).unwrap_or((&answer, ""));
        error::raw_json(StatusCode::OK, sums.framed(head, &before, &after, tail))
    }

    /// Which listener is open to everybody who reaches it, if one is.
    pub(super) fn exposure(&self) -> Option<String> {
        let open = self.about.exposed.first().filter(|_| !self.config().tls.tlsverify)?;
        Some(format!("{open} serves without client certificates: whoever reaches it is root on every node"))
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

    /// The rows before those of the nodes, and those behind them.
    fn rows(&self, view: &View, placement: &scheduler::Options) -> (Rows, Rows) {
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
        // Not one of the classic rows: behind those, whose places scripts know.
        (rows, vec![("Discovery".into(), self.listing().to_string())])
    }
}
