//! `[access]` and `[limits]`: what roles may do beyond their default, and how much one client may ask for.
//!
//! Only the values; who may do what is decided in `access`, and `api::server` counts.

use std::path::PathBuf;
use std::time::Duration;

use super::names::Named;

/// `[access]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// `reader-logs`: readers may see what containers print. Default false.
    pub reader_logs: bool,
    /// `deployer-allow`: what deployers may ask for although it takes something of the host. Default nothing.
    pub deployer_allow: Vec<Leave>,
    /// `deployer-binds`: directories of the hosts that deployers may bind: these, and none below them. Default none.
    pub deployer_binds: Vec<PathBuf>,
}

/// One thing of the host that deployers may be allowed to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Leave {
    Privileged,
    HostNetwork,
    HostPid,
    HostIpc,
    HostUts,
    HostUserns,
    HostCgroup,
    Neighbours,
    Devices,
    Capabilities,
    SecurityOptions,
    Runtimes,
    LogDrivers,
    VolumeDrivers,
    NetworkDrivers,
    Buildkit,
}

impl Named for Leave {
    const WORDS: &'static [(&'static str, Leave)] = &[
        ("privileged", Leave::Privileged),
        ("host-network", Leave::HostNetwork),
        ("host-pid", Leave::HostPid),
        ("host-ipc", Leave::HostIpc),
        ("host-uts", Leave::HostUts),
        ("host-userns", Leave::HostUserns),
        ("host-cgroup", Leave::HostCgroup),
        ("neighbours", Leave::Neighbours),
        ("devices", Leave::Devices),
        ("capabilities", Leave::Capabilities),
        ("security-options", Leave::SecurityOptions),
        ("runtimes", Leave::Runtimes),
        ("log-drivers", Leave::LogDrivers),
        ("volume-drivers", Leave::VolumeDrivers),
        ("network-drivers", Leave::NetworkDrivers),
        ("buildkit", Leave::Buildkit),
    ];
}

/// `[limits]`: none of them holds for unix sockets; those of requests neither for who needs no certificate on loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `connections`: open at once, over each listener. Default 8192.
    pub connections: u32,
    /// `connections-per-client`: of one address. Default 4096.
    pub connections_per_client: u32,
    /// `header-bytes`: of the head of one request. Default 256 KiB.
    pub header_bytes: u32,
    /// `headers`: in one request. Default 100.
    pub headers: u32,
    /// `handshakes`: TLS handshakes under way at once, over each listener. Default 256.
    pub handshakes: u32,
    /// `handshake-timeout`: how long one may take. Default 10 s.
    pub handshake_timeout: Duration,
    /// `requests-per-second` of one client in the long run. Default 1000.
    pub requests_per_second: u32,
    /// `burst`: requests of one client at once. Default 5000.
    pub burst: u32,
    /// `strangers-per-second`: requests without a certificate where one is demanded, from one address. Default 20.
    pub strangers_per_second: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 8192,
            connections_per_client: 4096,
            header_bytes: 256 << 10,
            headers: 100,
            handshakes: 256,
            handshake_timeout: Duration::from_secs(10),
            requests_per_second: 1000,
            burst: 5000,
            strangers_per_second: 20,
        }
    }
}
