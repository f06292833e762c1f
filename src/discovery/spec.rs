//! The discovery URL: `[scheme "://"] rest`, split at the first `://`; no scheme means `nodes`. The rest is
//! not URL-decoded. It is *not* opened here, see `Backend::open`.

use std::path::PathBuf;

use crate::docker::endpoint::{Endpoint, with_port};
use crate::error::{Error, Kind, Result};
use crate::store::{Address, StoreKind};

/// The port of a registry when the URL names none: the one that managers listen on.
pub const REGISTRY_PORT: u16 = 3376;
/// Longest token.
pub const LONGEST_TOKEN: usize = 128;

/// A parsed discovery URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// `nodes://` or no scheme: patterns, separated by commas, still unexpanded.
    Nodes(String),
    /// `file://PATH`.
    File(PathBuf),
    /// `token://`.
    Token {
        /// Where the registry is; `None` for a bare token.
        registry: Option<RegistryAddress>,
        /// The token: 1 to 128 characters of `[A-Za-z0-9_-]`.
        token: String,
    },
    /// A key-value store.
    Store(Address),
}

/// A token registry and the path under which it serves `/clusters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryAddress {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Path before `/clusters`: empty, or starts with `/` and ends without.
    pub prefix: String,
}

impl Spec {
    /// Parses a discovery URL. Schemes are case-sensitive, as ever.
    pub fn parse(url: &str) -> Result<Spec> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("nodes", url));
        let store = |kind| Address::parse(kind, rest).map(Spec::Store);
        match scheme {
            "nodes" => Ok(Spec::Nodes(rest.to_string())),
            "file" if rest.is_empty() => Err(config("file:// names no file").advise("write file:///PATH")),
            "file" => Ok(Spec::File(PathBuf::from(rest))),
            "token" => parse_token(rest),
            "consul" => store(StoreKind::Consul),
            "etcd" => store(StoreKind::Etcd),
            "zk" => store(StoreKind::Zookeeper),
            _ => Err(config("discovery service not supported")
                .advise(format!("{scheme}:// is none of token, nodes, file, consul, etcd, zk"))),
        }
    }
}

/// `TOKEN` or `host[:port][/prefix...]/TOKEN`, split at the last slash.
fn parse_token(rest: &str) -> Result<Spec> {
    let (registry, token) = match rest.rsplit_once('/') {
        Some((address, token)) => (Some(address), token),
        None => (None, rest),
    };
    check_token(token)?;
    Ok(Spec::Token { registry: registry.map(parse_registry).transpose()?, token: token.to_string() })
}

fn parse_registry(address: &str) -> Result<RegistryAddress> {
    let (authority, path) = address.split_once('/').unwrap_or((address, ""));
    let endpoint = Endpoint::parse(&with_port(authority, REGISTRY_PORT)).map_err(|e| Error {
        kind: Kind::Config,
        advice: Some("write token://HOST:3376/TOKEN".into()),
        ..e
    })?;
    let segments = path.split('/').filter(|s| !s.is_empty());
    let prefix: String = segments.flat_map(|s| ["/", s]).collect();
    // What cannot be in a path would fail at the first request; here it can still be named.
    let parsed = prefix.parse::<hyper::http::uri::PathAndQuery>();
    match prefix.is_empty() || parsed.is_ok_and(|p| p.query().is_none()) {
        true => Ok(RegistryAddress { endpoint, prefix }),
        false => Err(config(format!("{prefix:?} cannot be a path")).advise("write token://HOST:3376/TOKEN")),
    }
}

/// Checks the form of a token: 1 to 128 characters of `[A-Za-z0-9_-]`.
pub fn check_token(token: &str) -> Result<()> {
    if token.is_empty() {
        return Err(config("token is empty").advise("make a token with: swarmd create"));
    }
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match token.len() <= LONGEST_TOKEN && token.chars().all(sound) {
        true => Ok(()),
        false => Err(config("malformed token").advise(format!(
            "a token has 1 to {LONGEST_TOKEN} letters, digits, - or _; make one with: swarmd create"
        ))),
    }
}

fn config(message: impl Into<String>) -> Error {
    Error::us(Kind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(url: &str) -> (Option<String>, String, String) {
        match Spec::parse(url).unwrap() {
            Spec::Token { registry, token } => match registry {
                Some(r) => (Some(r.endpoint.to_string()), r.prefix, token),
                None => (None, String::new(), token),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn splits_at_the_first_scheme_separator() {
        assert_eq!(Spec::parse("nodes://unix:///a").unwrap(), Spec::Nodes("unix:///a".into()));
        assert_eq!(Spec::parse("a:1,b:2").unwrap(), Spec::Nodes("a:1,b:2".into()));
        assert_eq!(Spec::parse("file:///abs").unwrap(), Spec::File("/abs".into()));
        assert_eq!(Spec::parse("file://rel").unwrap(), Spec::File("rel".into()));
        let address = Address::parse(StoreKind::Etcd, "a:1,b:2/p").unwrap();
        assert_eq!(Spec::parse("etcd://a:1,b:2/p").unwrap(), Spec::Store(address));
    }

    #[test]
    fn token_forms() {
        let some = |s: &str| Some(s.to_string());
        for (url, endpoint, prefix, name) in [
            ("token://T", None, "", "T"),
            ("token://10.0.0.1:3376/T", some("10.0.0.1:3376"), "", "T"),
            ("token://pi1/T", some("pi1:3376"), "", "T"),
            ("token://[::1]/T", some("[::1]:3376"), "", "T"),
            ("token://[::1]:80/v1/T", some("[::1]:80"), "/v1", "T"),
            ("token://h:1/a//b/T-_9", some("h:1"), "/a/b", "T-_9"),
        ] {
            assert_eq!(token(url), (endpoint, prefix.into(), name.into()), "{url}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let long = format!("token://{}", "x".repeat(LONGEST_TOKEN + 1));
        for (url, message) in [
            ("carrier-pigeon://x", "discovery service not supported"),
            ("TOKEN://x", "discovery service not supported"),
            ("token://", "token is empty"),
            ("token://h:1/", "token is empty"),
            ("token://a b", "malformed token"),
            (long.as_str(), "malformed token"),
            ("file://", "file:// names no file"),
        ] {
            let error = Spec::parse(url).unwrap_err();
            assert_eq!(error.message, message, "{url}");
            assert_eq!(error.kind, Kind::Config, "{url}");
            assert!(error.advice.is_some(), "{url}");
        }
        for url in ["token:///T", "token://h:x/T", "token://:1/T", "token://h:1/a?b/T"] {
            assert_eq!(Spec::parse(url).unwrap_err().kind, Kind::Config, "{url}");
        }
    }
}
