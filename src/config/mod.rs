//! The whole configuration as one plain, validated struct with one `Default`.
//!
//! Each key is described once, in `keys`. The file format is in `file`, the layers in `overlay`, rules across
//! fields in `check`; `load` puts them together. Everything behind this module sees only `Config`: no option is "maybe set twice" from here on.

pub mod access;
pub mod check;
pub mod exposure;
pub mod file;
pub mod front;
pub mod keys;
pub mod lan;
pub mod listen;
pub mod load;
pub mod local;
pub mod names;
pub mod overlay;
pub mod pki;
pub mod problem;
mod read;
pub mod settings;
#[cfg(test)]
mod shipped;
pub mod units;
pub mod value;

pub use settings::Settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use access::{Access, Leave, Limits};
pub use pki::Pki;

/// What this process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Serves the cluster's Docker API.
    Manager,
    /// Makes the engine of this host part of the cluster.
    Agent,
    /// Both, in one process.
    Both,
}

impl Role {
    /// Whether this role serves the API.
    pub fn manages(self) -> bool {
        self != Role::Agent
    }

    /// Whether this role registers the local engine.
    pub fn joins(self) -> bool {
        self != Role::Manager
    }
}

/// The effective configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What this process does.
    pub role: Role,
    /// Where tokens, registrations and labels live over restarts. Default `/var/lib/swarmd`.
    pub state_dir: PathBuf,
    /// The experimental bit in `/info` and `/version`; nothing else.
    pub experimental: bool,
    /// `[log]`
    pub log: Log,
    /// `[discovery]`
    pub discovery: Discovery,
    /// `[manager]`
    pub manager: Manager,
    /// `[agent]`
    pub agent: Agent,
    /// `[advertise]`
    pub advertise: Advertise,
    /// `[tls]`
    pub tls: Tls,
    /// `[pki]`
    pub pki: Pki,
    /// `[access]`
    pub access: Access,
    /// `[limits]`
    pub limits: Limits,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// `debug`, `info`, `warn`, `error`. Default `info`.
    pub level: Level,
}

/// Log levels of the classic command line (`fatal` and `panic` are read as `error`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// `[discovery]`: where the cluster's engines are listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Discovery {
    /// `token://…`, `nodes://…`, `file://…`, `consul://…`, `etcd://…`, `zk://…`; classic grammar.
    /// `None` only where the command does not need one.
    pub url: Option<String>,
    /// `discovery-opt`: `kv.path` and friends.
    pub options: BTreeMap<String, String>,
    /// Agent: how often to register. Manager: how often to poll, or the pause before a retry. Default 60 s.
    pub heartbeat: Duration,
    /// How long a registration lives without a heartbeat. Default 180 s.
    pub ttl: Duration,
    /// With a bare token: the managers, `host:port`, instead of a search on the LAN. Default none: search.
    pub managers: Vec<String>,
}

/// `[manager]`
#[derive(Debug, Clone, PartialEq)]
pub struct Manager {
    /// Where to listen. Default `tcp://127.0.0.1:3376` for `swarmd run` (classic `manage`: port 2375).
    pub host: Vec<Listen>,
    /// `socket-group`: who may use the unix sockets made here, by name or number. Default: the group of the process.
    pub socket_group: Option<String>,
    /// `allow-unauthenticated`: serve without client certificates beyond loopback. Default false.
    pub allow_unauthenticated: bool,
    /// The address at which other managers and agents reach this one, `host:port`.
    pub advertise: Option<String>,
    /// Placement strategy. Default spread.
    pub strategy: Strategy,
    /// Active filters in order; default all that this build has.
    pub filter: Vec<Filter>,
    /// `overcommit`: fraction of memory and CPUs promised beyond what is there. Default 0.05; above -1.
    pub overcommit: f64,
    /// `create-retry`: further attempts of a failed create on other nodes. Default 0.
    pub create_retry: u32,
    /// Shortest pause between two refreshes of an engine. Default 30 s.
    pub engine_refresh_min_interval: Duration,
    /// Longest pause between two refreshes of an engine. Default 60 s.
    pub engine_refresh_max_interval: Duration,
    /// Failed calls after which an engine is Unhealthy. Default 3, at least 1.
    pub engine_failure_retry: u32,
    /// `refresh-on-node-filter`: re-read an engine when a list names it. Default false.
    pub refresh_on_node_filter: bool,
    /// `container-name-refresh-filter`: re-read all engines when a list filters for this name. Default none.
    pub container_name_refresh_filter: Option<String>,
    /// `api-enable-cors`. Default false.
    pub cors: bool,
    /// `replication`. Default false.
    pub replication: bool,
    /// `replication-ttl`. Default 20 s.
    pub replication_ttl: Duration,
    /// `pull`: which nodes `docker pull` pulls on. Default all.
    pub pull: Pull,
    /// `image-copy`: an image that another node has is copied to the node that needs it. Default true.
    pub image_copy: bool,
    /// `network-driver`: driver of networks created without one; `auto` = multi-host where there is one, else bridge.
    pub network_driver: String,
    /// `reschedule-delay`: how long an engine must not answer before its containers move. Default 30 s.
    pub reschedule_delay: Duration,
    /// `node-prefix`: names in `docker ps` as `/NODE/name`. Default true.
    pub node_prefix: bool,
}

/// A listening address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `tcp://host:port`; an empty host means all interfaces.
    Tcp {
        /// Host part as written, without brackets.
        host: String,
        /// Port, 1 to 65535 (0 only in tests: any free port).
        port: u16,
    },
    /// `unix:///path`.
    Unix(PathBuf),
    /// `fd://` (all inherited sockets) or `fd://name`.
    Inherited(Option<String>),
}

/// Placement strategies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Strategy {
    Spread,
    Binpack,
    Random,
}

/// Where `docker pull` pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// On all nodes that run the image.
    All,
    /// On those that have it already, else on one; the others get it when they need it.
    Lazy,
}

/// Scheduler filters, in their classic order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Filter {
    Health,
    Port,
    ContainerSlots,
    Dependency,
    Affinity,
    Constraint,
    Whitelist,
}

/// `[agent]`
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// What managers connect to: `host:port` of the engine, `auto:port` for whichever address of this machine
    /// reaches the manager, or `unix:///path` for a manager on this host.
    pub advertise: Option<String>,
    /// Where the agent itself serves the engine to managers, over TLS. Default none: they connect to the engine.
    pub front: Option<Listen>,
    /// What is behind the front: `unix:///path` or `host:port`. Default `unix:///var/run/docker.sock`.
    pub engine: String,
    /// Upper bound of the one random pause before the first registration. Default 0.
    pub delay: Duration,
}

/// `[advertise]`: how managers and agents find each other on the LAN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertise {
    /// Whether managers make themselves known by mDNS, and agents look for them. Default true.
    pub lan: bool,
    /// Names of the interfaces to do that on, `*` at the end stands for the rest. Default: all but loopback and
    /// those of container networks.
    pub interfaces: Vec<String>,
    /// What agents shall connect to, `host:port`, instead of the addresses of the interfaces.
    pub address: Option<String>,
}

/// `[tls]`: the classic flag matrix.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tls {
    /// Serve TLS; connect with TLS without verifying.
    pub tls: bool,
    /// Serve TLS and demand client certificates; connect with TLS and verify.
    pub tlsverify: bool,
    /// CA certificates.
    pub tlscacert: Option<PathBuf>,
    /// Certificate chain, leaf first.
    pub tlscert: Option<PathBuf>,
    /// Private key.
    pub tlskey: Option<PathBuf>,
    /// With `tlsverify`: who shows no certificate is refused in the handshake, the registry of tokens included.
    pub strict: bool,
    /// `[tls.client]`: what is shown to engines, registries and other managers, if not the pair above.
    pub client: ClientPair,
}

/// A certificate and its key; both or none.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs)]
pub struct ClientPair {
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

impl Tls {
    /// Whether TLS is on in either form.
    pub fn enabled(&self) -> bool {
        self.tls || self.tlsverify
    }

    /// Certificate and key shown to peers that we connect to.
    pub fn client_pair(&self) -> Option<(&Path, &Path)> {
        let own = self.client.cert.as_deref().zip(self.client.key.as_deref());
        own.or_else(|| self.tlscert.as_deref().zip(self.tlskey.as_deref()))
    }
}

impl Default for Advertise {
    fn default() -> Advertise {
        Advertise { lan: true, interfaces: Vec::new(), address: None }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            role: Role::Both,
            state_dir: PathBuf::from("/var/lib/swarmd"),
            experimental: false,
            log: Log { level: Level::Info },
            discovery: Discovery {
                url: None,
                options: BTreeMap::new(),
                heartbeat: Duration::from_secs(60),
                ttl: Duration::from_secs(180),
                managers: Vec::new(),
            },
            manager: Manager {
                host: vec![Listen::Tcp { host: "127.0.0.1".into(), port: 3376 }],
                socket_group: None,
                allow_unauthenticated: false,
                advertise: None,
                strategy: Strategy::Spread,
                filter: vec![
                    Filter::Health,
                    Filter::Port,
                    Filter::ContainerSlots,
                    Filter::Dependency,
                    Filter::Affinity,
                    Filter::Constraint,
                    Filter::Whitelist,
                ],
                overcommit: 0.05,
                create_retry: 0,
                engine_refresh_min_interval: Duration::from_secs(30),
                engine_refresh_max_interval: Duration::from_secs(60),
                engine_failure_retry: 3,
                refresh_on_node_filter: false,
                container_name_refresh_filter: None,
                cors: false,
                replication: false,
                replication_ttl: Duration::from_secs(20),
                pull: Pull::All,
                image_copy: true,
                network_driver: "auto".into(),
                reschedule_delay: Duration::from_secs(30),
                node_prefix: true,
            },
            agent: Agent {
                advertise: None,
                front: None,
                engine: front::ENGINE.into(),
                delay: Duration::ZERO,
            },
            advertise: Advertise::default(),
            tls: Tls::default(),
            pki: Pki::default(),
            access: Access::default(),
            limits: Limits::default(),
        }
    }
}
