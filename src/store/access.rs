//! How to get into a store: certificates and credentials, from `--discovery-opt`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::store::StoreKind;
use crate::tls::ClientTls;

/// What a store wants to see before it answers.
#[derive(Clone, Default)]
pub struct Access {
    /// TLS to consul and etcd, verified.
    pub tls: Option<ClientTls>,
    /// Consul's ACL token.
    pub token: Option<String>,
    /// A user and its password: HTTP's for consul, etcd's own, ZooKeeper's scheme `digest`.
    pub login: Option<(String, String)>,
}

impl Access {
    /// Reads the options `kv.cacertfile`, `kv.certfile`, `kv.keyfile` (all three or none), `kv.token`,
    /// `kv.username` and `kv.password`. For consul `CONSUL_HTTP_TOKEN` and `CONSUL_HTTP_AUTH` stand in for
    /// those that are missing, as they always did.
    pub fn from_options(kind: StoreKind, options: &BTreeMap<String, String>) -> Result<Access> {
        let variable = |name: &str| std::env::var(name).ok().filter(|_| kind == StoreKind::Consul);
        Access::read(kind, options, &variable)
    }

    fn read(
        kind: StoreKind,
        options: &BTreeMap<String, String>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Access> {
        let option = |key: &str| options.get(key).cloned().filter(|value| !value.is_empty());
        let login = match (option("kv.username"), option("kv.password")) {
            (Some(user), password) => Some((user, password.unwrap_or_default())),
            (None, Some(_)) => return Err(config("kv.password also needs kv.username")),
            (None, None) => variable("CONSUL_HTTP_AUTH").map(|both| match both.split_once(':') {
                Some((user, password)) => (user.to_string(), password.to_string()),
                None => (both, String::new()),
            }),
        };
        Ok(Access {
            tls: tls(kind, &option)?,
            token: option("kv.token").or_else(|| variable("CONSUL_HTTP_TOKEN")).filter(|t| !t.is_empty()),
            login,
        })
    }
}

/// The old tool spoke plain text, without a word, when one file was missing, and to ZooKeeper always.
fn tls(kind: StoreKind, option: &dyn Fn(&str) -> Option<String>) -> Result<Option<ClientTls>> {
    let files = ["kv.cacertfile", "kv.certfile", "kv.keyfile"];
    let (ca, cert, key) = match files.map(option) {
        [None, None, None] => return Ok(None),
        [Some(ca), Some(cert), Some(key)] => (ca, cert, key),
        some => {
            let missing: Vec<&str> =
                files.into_iter().zip(&some).filter(|(_, file)| file.is_none()).map(|(key, _)| key).collect();
            return Err(config(format!("TLS to the store also needs {}", missing.join(" and "))));
        }
    };
    if kind == StoreKind::Zookeeper {
        return Err(
            config("zk:// speaks no TLS").advise("leave kv.cacertfile, kv.certfile and kv.keyfile out")
        );
    }
    ClientTls::verified(Path::new(&ca), Path::new(&cert), Path::new(&key)).map(Some)
}

fn config(message: impl Into<String>) -> Error {
    Error::us(Kind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: StoreKind, options: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Access> {
        let options = options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let found = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, v)| v.to_string());
        Access::read(kind, &options, &found)
    }

    #[test]
    fn credentials_come_from_options_then_from_the_environment() {
        let env = [("CONSUL_HTTP_TOKEN", "T"), ("CONSUL_HTTP_AUTH", "u:p:q")];
        let access = read(StoreKind::Consul, &[], &env).unwrap();
        assert_eq!(access.token.as_deref(), Some("T"));
        assert_eq!(access.login, Some(("u".into(), "p:q".into())));
        let options = [("kv.token", "O"), ("kv.username", "me"), ("kv.path", "x")];
        let access = read(StoreKind::Consul, &options, &env).unwrap();
        assert_eq!(access.token.as_deref(), Some("O"));
        assert_eq!(access.login, Some(("me".into(), String::new())));
        let error = read(StoreKind::Etcd, &[("kv.password", "x")], &[]).err().unwrap();
        assert_eq!(error.message, "kv.password also needs kv.username");
    }

    #[test]
    fn tls_takes_three_files_or_none() {
        let error = read(StoreKind::Etcd, &[("kv.certfile", "c")], &[]).err().unwrap();
        assert_eq!(error.message, "TLS to the store also needs kv.cacertfile and kv.keyfile");
        let all = [("kv.cacertfile", "/no/ca"), ("kv.certfile", "/no/c"), ("kv.keyfile", "/no/k")];
        let error = read(StoreKind::Consul, &all, &[]).err().unwrap();
        assert!(error.message.starts_with("cannot use /no/ca: "), "{error}");
        let error = read(StoreKind::Zookeeper, &all, &[]).err().unwrap();
        assert_eq!(error.message, "zk:// speaks no TLS");
    }
}
