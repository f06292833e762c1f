//! Where the manager is, and how to talk to it.
//!
//! Pure: what flags, environment and configuration say comes in. The first of them that names a host decides,
//! and brings its own TLS along: a local configuration says nothing about a manager elsewhere.

use std::path::PathBuf;

use crate::config::{Config, Listen, Tls};
use crate::docker::endpoint::Endpoint;
use crate::error::Result;

/// The port of a manager that nobody named.
const LOCAL: (&str, u16) = ("127.0.0.1", 3376);

/// A manager.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// How to talk to it.
    pub tls: Tls,
}

/// The environment of the process.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The host that the command line (`-H`) or the environment names.
pub fn named(flag: Option<&str>, env: Env<'_>) -> Option<String> {
    let set = |text: Option<String>| text.filter(|t| !t.is_empty());
    set(flag.map(str::to_string)).or_else(|| set(env("SWARMD_HOST"))).or_else(|| set(env("DOCKER_HOST")))
}

/// A manager that is named; `flags` is what the command line says about TLS.
pub fn of_name(host: &str, flags: Tls, env: Env<'_>) -> Result<Target> {
    let tls = if flags.enabled() { flags } else { of_docker(env) };
    Ok(Target { endpoint: Endpoint::parse(host)?, tls })
}

/// The manager of this machine, as its configuration says.
pub fn of_config(config: &Config) -> Target {
    let hosts = &config.manager.host;
    let unix = hosts.iter().find_map(|listen| match listen {
        Listen::Unix(path) => Some(Endpoint::Unix(path.clone())),
        _ => None,
    });
    let tcp = || {
        hosts.iter().find_map(|listen| match listen {
            Listen::Tcp { host, port } => Some(dialled(host, *port)),
            _ => None,
        })
    };
    // An inherited socket is that of the shipped unit.
    let endpoint = unix.or_else(tcp).unwrap_or_else(|| dialled(LOCAL.0, LOCAL.1));
    Target { endpoint, tls: config.tls.clone() }
}

/// Who listens everywhere is reached on loopback.
fn dialled(host: &str, port: u16) -> Endpoint {
    let host = match host {
        "" | "0.0.0.0" => LOCAL.0,
        "::" => "::1",
        other => other,
    };
    Endpoint::Tcp { host: host.to_string(), port }
}

/// The variables of Docker's own client. As there, any value of `DOCKER_TLS_VERIFY` turns it on.
fn of_docker(env: Env<'_>) -> Tls {
    let set = |name: &str| env(name).filter(|v| !v.is_empty());
    let (verify, plain) = (set("DOCKER_TLS_VERIFY").is_some(), set("DOCKER_TLS").is_some());
    if !verify && !plain {
        return Tls::default();
    }
    let home = || env("HOME").map(|home| PathBuf::from(home).join(".docker"));
    let directory = set("DOCKER_CERT_PATH").map(PathBuf::from).or_else(home).unwrap_or_default();
    let file = |name: &str| Some(directory.join(name));
    Tls {
        tls: true,
        tlsverify: verify,
        tlscacert: file("ca.pem"),
        tlscert: file("cert.pem"),
        tlskey: file("key.pem"),
        ..Tls::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
    }

    #[test]
    fn the_nearest_name_counts() {
        let both = env(&[("SWARMD_HOST", "s:1"), ("DOCKER_HOST", "tcp://d:1")]);
        assert_eq!(named(Some("f:1"), &both).unwrap(), "f:1");
        assert_eq!(named(None, &both).unwrap(), "s:1");
        assert_eq!(named(Some(""), &env(&[("DOCKER_HOST", "tcp://d:1")])).unwrap(), "tcp://d:1");
        assert_eq!(named(None, &env(&[("DOCKER_HOST", "")])), None);
    }

    #[test]
    fn a_named_manager_takes_flags_or_dockers_variables() {
        let verify = env(&[("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/c")]);
        let target = of_name("tcp://d:1", Tls::default(), &verify).unwrap();
        assert!(target.tls.tlsverify);
        assert_eq!(target.tls.tlscacert, Some("/c/ca.pem".into()));
        let flags = Tls { tls: true, ..Tls::default() };
        assert_eq!(of_name("d:1", flags.clone(), &verify).unwrap().tls, flags);
        assert!(!of_name("d:1", Tls::default(), &env(&[])).unwrap().tls.enabled());
        assert!(of_name("ssh://x", Tls::default(), &env(&[])).is_err());
    }

    #[test]
    fn the_local_manager_is_where_it_listens() {
        for (hosts, endpoint) in [
            (vec![], "127.0.0.1:3376"),
            (vec![Listen::Inherited(None)], "127.0.0.1:3376"),
            (vec![Listen::Tcp { host: String::new(), port: 1 }], "127.0.0.1:1"),
            (vec![Listen::Tcp { host: "::".into(), port: 1 }], "[::1]:1"),
            (vec![Listen::Tcp { host: "10.0.0.1".into(), port: 1 }, Listen::Unix("/s".into())], "unix:///s"),
        ] {
            let mut config = Config::default();
            config.manager.host = hosts;
            assert_eq!(of_config(&config).endpoint.to_string(), endpoint);
        }
    }
}
