//! Where a store listens, and below which prefix the cluster's keys are: what follows the scheme of a URL.

use crate::docker::endpoint::{Endpoint, with_port};
use crate::error::{Error, Kind, Result};
use crate::store::StoreKind;

/// `host[:port][,host[:port]...][/prefix]`, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Which store.
    pub kind: StoreKind,
    /// At least one; tried in turn.
    pub endpoints: Vec<Endpoint>,
    /// Segments of the prefix, joined by `/`; none at either end.
    pub prefix: String,
}

impl Address {
    /// Reads what stands behind `scheme://`. Doubled slashes, which old versions stumbled over, mean nothing.
    pub fn parse(kind: StoreKind, rest: &str) -> Result<Address> {
        let (hosts, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let read = |host: &str| {
            Endpoint::parse(&with_port(host.trim(), kind.port())).map_err(|e| Error {
                kind: Kind::Config,
                advice: Some(format!("write {kind}://HOST:{}[,HOST...][/PREFIX]", kind.port())),
                ..e
            })
        };
        let endpoints = hosts.split(',').map(read).collect::<Result<_>>()?;
        Ok(Address { kind, endpoints, prefix: joined(&[prefix]) })
    }

    /// The key at `path` below the prefix. No slash at either end.
    pub fn key(&self, path: &str) -> String {
        joined(&[&self.prefix, path])
    }

    /// The endpoints, for people: `consul://h:8500`.
    pub fn shown(&self) -> String {
        let hosts: Vec<String> = self.endpoints.iter().map(ToString::to_string).collect();
        format!("{}://{}", self.kind, hosts.join(","))
    }
}

/// All segments of all parts, with one slash between them.
fn joined(parts: &[&str]) -> String {
    let segments = parts.iter().flat_map(|part| part.split('/')).filter(|segment| !segment.is_empty());
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hosts_ports_and_prefix() {
        for (kind, rest, hosts, prefix) in [
            (StoreKind::Consul, "h", &["h:8500"][..], ""),
            (StoreKind::Etcd, "a:1,b,[::1]/p//q/", &["a:1", "b:2379", "[::1]:2379"], "p/q"),
            (StoreKind::Zookeeper, "10.0.0.1:2182//x", &["10.0.0.1:2182"], "x"),
        ] {
            let address = Address::parse(kind, rest).unwrap();
            let printed: Vec<String> = address.endpoints.iter().map(ToString::to_string).collect();
            assert_eq!(printed, hosts, "{rest}");
            assert_eq!(address.prefix, prefix, "{rest}");
        }
        for rest in ["", "/p", "a:x", "a:1,,b:2", "a b"] {
            let error = Address::parse(StoreKind::Etcd, rest).unwrap_err();
            assert_eq!(error.kind, Kind::Config, "{rest}");
            assert!(error.advice.unwrap().starts_with("write etcd://"), "{rest}");
        }
    }

    #[test]
    fn keys_have_single_slashes() {
        let address = Address::parse(StoreKind::Consul, "h/a").unwrap();
        assert_eq!(address.key("/docker//swarm/nodes/"), "a/docker/swarm/nodes");
        assert_eq!(Address::parse(StoreKind::Consul, "h").unwrap().key("x"), "x");
        assert_eq!(address.shown(), "consul://h:8500");
    }
}
