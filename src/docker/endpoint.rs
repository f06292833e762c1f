//! Where an engine, a registry or another manager listens.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Kind, Result};

/// An address that can be connected to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// `host:port`; the host without brackets.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// `unix:///path`.
    Unix(PathBuf),
}

impl Endpoint {
    /// Reads `host:port`, `[v6]:port`, `tcp://host:port` or `unix:///path`.
    pub fn parse(text: &str) -> Result<Endpoint> {
        if let Some(path) = text.strip_prefix("unix://") {
            return match path.starts_with('/') {
                true => Ok(Endpoint::Unix(PathBuf::from(path))),
                false => Err(malformed(text, "a unix socket needs an absolute path")),
            };
        }
        let rest = text.strip_prefix("tcp://").unwrap_or(text);
        let (host, port) = split_host_port(rest).map_err(|why| malformed(text, &why))?;
        let port =
            port.parse().ok().filter(|p| *p > 0).ok_or_else(|| malformed(text, "port must be 1 to 65535"))?;
        match host.is_empty() || host.contains(char::is_whitespace) || host.contains('/') {
            true => Err(malformed(text, "host is missing or malformed")),
            false => Ok(Endpoint::Tcp { host: host.to_string(), port }),
        }
    }

    /// The host as users know it; `localhost` for a unix socket.
    pub fn host(&self) -> &str {
        match self {
            Endpoint::Tcp { host, .. } => host,
            Endpoint::Unix(_) => "localhost",
        }
    }
}

/// Splits at the last colon; brackets around an IPv6 host are taken off. The texts are the classic ones.
pub fn split_host_port(text: &str) -> std::result::Result<(&str, &str), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, tail) = rest.split_once(']').ok_or(format!("address {text}: missing ']' in address"))?;
        let port = tail.strip_prefix(':').ok_or(format!("address {text}: missing port in address"))?;
        return Ok((host, port));
    }
    let (host, port) = text.rsplit_once(':').ok_or(format!("address {text}: missing port in address"))?;
    match host.contains(':') {
        true => Err(format!("address {text}: too many colons in address")),
        false => Ok((host, port)),
    }
}

/// `authority`, with `port` if it names none. A bracketed IPv6 address holds colons without naming a port.
pub fn with_port(authority: &str, port: u16) -> String {
    let names_port = match authority.rsplit_once(']') {
        Some((_, tail)) => tail.starts_with(':'),
        None => authority.contains(':'),
    };
    match names_port {
        true => authority.to_string(),
        false => format!("{authority}:{port}"),
    }
}

fn malformed(text: &str, why: &str) -> Error {
    Error::client(Kind::Invalid, format!("malformed address {text:?}: {why}"))
        .advise("write host:port, [v6-address]:port or unix:///path")
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Endpoint::Tcp { host, port } => write!(f, "{host}:{port}"),
            Endpoint::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_all_forms() {
        for (text, printed) in [
            ("10.0.0.1:2375", "10.0.0.1:2375"),
            ("tcp://pi1:2376", "pi1:2376"),
            ("[fe80::1]:2375", "[fe80::1]:2375"),
            ("unix:///run/docker.sock", "unix:///run/docker.sock"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), printed);
        }
    }

    #[test]
    fn refuses_what_cannot_be_dialled() {
        for text in ["", "host", "host:", "host:0", "host:65536", ":2375", "a:b:c", "unix://rel", "a b:1"] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }
}
