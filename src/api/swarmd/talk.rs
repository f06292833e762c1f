//! What goes over the wire under `/swarmd/v1/`. Fields are only ever added; readers ignore what they do not
//! know. Times are RFC 3339 in UTC, sizes are bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::docker::json::Object;
use crate::docker::types::Labels;
use crate::engine::Availability;
use crate::scheduler::Decision;

/// One node, and what the operator says about it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// The machine's name; empty until it was reached once.
    pub name: String,
    /// The engine's ID; empty until it was reached once.
    pub id: String,
    /// Where the engine listens.
    pub address: String,
    /// `Pending`, `Healthy`, `Unhealthy`, … as in `docker info`; `Absent` when discovery does not list it.
    pub status: String,
    /// What is wrong, if anything is.
    pub error: Option<String>,
    /// Whether it takes new containers.
    pub availability: Availability,
    /// Why not, in the operator's words.
    pub reason: String,
    /// Since when.
    pub since: Option<String>,
    /// All labels that constraints see.
    pub labels: Labels,
    /// Those of them that were set with `swarmd node label`.
    pub operator_labels: Labels,
    /// The engine's version.
    pub version: String,
    /// `linux/amd64`, `linux/arm64`, …
    pub platform: String,
    /// CPUs of the machine.
    pub cpus: i64,
    /// Memory of the machine.
    pub memory: i64,
    /// Memory that containers reserve.
    pub reserved_memory: i64,
    /// CPUs that containers reserve.
    pub reserved_cpus: f64,
    /// Containers there, running or not.
    pub containers: usize,
    /// Those of them that run.
    pub running: usize,
    /// When it was last heard of.
    pub updated: Option<String>,
}

/// `GET /swarmd/v1/leader`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Leader {
    /// What this manager is: `primary` or `replica`.
    pub role: String,
    /// Where the primary's API is, as far as this manager knows. A manager without others has no address to tell.
    pub primary: Option<String>,
    /// The number of this manager's reign; 0 without one.
    pub term: u64,
    /// For how long a primary may act, should it not reach the store again.
    pub lease_ms: Option<u64>,
}

/// `GET /swarmd/v1/status`: the manager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// `primary` or `replica`.
    pub role: String,
    /// Of swarmd.
    pub version: String,
    /// Its machine's name.
    pub host: String,
    /// When it was started.
    pub started: String,
    /// Where its API listens.
    pub listeners: Vec<String>,
    /// The list of engines.
    pub discovery: Listing,
    /// What is told on the LAN.
    pub lan: LanStatus,
    /// Nodes that can be used.
    pub healthy: usize,
    /// All nodes.
    pub nodes: usize,
    /// What is wrong now, the worst first, if anything is.
    pub problem: Option<String>,
    /// What somebody has chosen, and should know of.
    pub warning: Option<String>,
}

/// The list of engines, as the manager reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Where it is; of a token only the beginning.
    pub url: String,
    /// Entries when it was last read.
    pub entries: usize,
    /// When it was last read.
    pub read: Option<String>,
    /// What is wrong with it, if anything is: it cannot be read, or it lost entries.
    pub error: Option<String>,
}

/// In one line, also that of `docker info`.
impl std::fmt::Display for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entries = if self.entries == 1 { "entry" } else { "entries" };
        match &self.read {
            Some(at) => write!(f, "{}, {} {entries}, read {at}", self.url, self.entries)?,
            None => write!(f, "{}, not read yet", self.url)?,
        }
        self.error.as_ref().map_or(Ok(()), |error| write!(f, "; {error}"))
    }
}

/// What a manager tells on the LAN.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LanStatus {
    /// Why nothing is told, if so.
    pub silent: Option<String>,
    /// The instance of `_swarmd._tcp`.
    pub name: String,
    /// On which interfaces.
    pub interfaces: String,
    /// Where agents are told to connect.
    pub addresses: Vec<String>,
    /// Digests of the tokens that it hosts.
    pub tokens: Vec<String>,
    /// Whether it speaks TLS there.
    pub tls: bool,
}

/// An agent: what it leaves in a file for `swarmd status` on its machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Agent {
    /// Of swarmd.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// What it registers.
    pub advertise: String,
    /// Where it serves its engine to managers, if it does.
    pub front: Option<String>,
    /// The engine that it stands for.
    pub engine: LocalEngine,
    /// Where it registers.
    pub managers: Vec<Registration>,
    /// Why there is nowhere to register, if so.
    pub problem: Option<String>,
}

/// The engine of an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalEngine {
    /// Where the agent asked it; `None`: not yet.
    pub address: Option<String>,
    /// Why it did not answer, if it did not.
    pub error: Option<String>,
    /// Since when.
    pub since: Option<String>,
}

/// One place at which an agent registers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Registration {
    /// The manager's name, or the kind of list.
    pub manager: String,
    /// Where it is, if it is at one place.
    pub address: String,
    /// What is registered there; `None`: nothing, as far as is known.
    pub entry: Option<String>,
    /// Why the last attempt failed, if it did.
    pub error: Option<String>,
    /// Since when.
    pub since: Option<String>,
}

/// `POST /swarmd/v1/nodes/{name}/labels`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Relabel {
    /// Labels to set.
    pub set: Labels,
    /// Keys of labels to take off.
    pub remove: Vec<String>,
}

/// `POST /swarmd/v1/nodes/{name}/pause`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pause {
    /// Why, for whoever wonders.
    pub reason: String,
}

/// `DELETE /swarmd/v1/nodes/{name}`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Removed {
    /// The node.
    pub removed: String,
    /// What to know about it, such as that it may come back.
    pub note: String,
}

/// `GET /swarmd/v1/containers/{name}/explain`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Explanation {
    /// The container's name.
    pub container: String,
    /// Its ID.
    pub id: String,
    /// Where it is.
    pub node: String,
    /// Since when.
    pub created: String,
    /// What it asked for.
    pub expressions: Expressions,
    /// Why it was placed there, if that is remembered.
    pub then: Option<Then>,
    /// Else why not.
    pub note: Option<String>,
    /// Why it does not move, though its node has failed.
    #[serde(default)]
    pub waits: Option<String>,
    /// What would be decided now, if it were not there.
    pub now: Decision,
}

/// The expressions of a container, as users write them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Expressions {
    pub constraints: Vec<String>,
    pub affinities: Vec<String>,
    pub whitelists: Vec<String>,
    pub reschedule: Vec<String>,
}

/// A decision of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Then {
    /// When.
    pub at: String,
    /// What was decided; of the nodes only the first ones of each kind.
    pub decision: Decision,
    /// How many more nodes would have done.
    pub more_candidates: usize,
    /// How many more were turned away.
    pub more_turned_away: usize,
    /// How many were not looked at for this record: in big clusters only the best are.
    #[serde(default)]
    pub unseen: usize,
}

/// `POST /swarmd/v1/plan`: what would be made, in order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Bodies of `POST /networks/create`; they come first.
    pub networks: Vec<Object>,
    /// Containers.
    pub creates: Vec<Create>,
}

/// One call of `POST /containers/create`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Create {
    /// The container's name; may be empty.
    pub name: String,
    /// Further parameters of the call, such as `platform`.
    pub query: BTreeMap<String, String>,
    /// Its body.
    pub body: Object,
    /// A container that has this name already stays, as with compose; else that is a conflict.
    pub keep: bool,
}

/// The answer to a plan.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Planned {
    /// In the order of the question; networks that are not tied to a node are left out.
    pub steps: Vec<Step>,
}

/// One thing that would be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// `network` or `container`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Where it would go; `None`: nowhere.
    pub node: Option<String>,
    /// Why there, in a few words; or why nowhere, as the client would be told.
    pub why: String,
    /// The decision in full, if it came to one.
    pub decision: Option<Decision>,
}
