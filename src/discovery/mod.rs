//! Where the cluster's engines are listed: the discovery URL, and the kinds of list behind it.
//!
//! A backend makes one attempt and says what came of it. It never retries and never sleeps: `watch` (for
//! managers) and `agent` (for engines) own the loops, `roster` says what it means when an entry is gone. Leader election is *not* here, see `election`.

pub mod backoff;
pub mod diff;
pub mod entry;
pub mod file;
pub mod guest;
pub mod kv;
pub mod lan;
pub mod memory;
pub mod news;
pub mod nodes;
pub mod once;
pub mod origin;
pub mod outlook;
pub mod range;
pub mod registry;
pub mod registry_file;
pub mod registry_http;
pub mod registry_local;
pub mod registry_store;
pub mod roster;
pub mod spec;
pub mod token;
pub mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::docker::endpoint::Endpoint;
use crate::error::{Error, Kind, Result};
use crate::tls::{ClientTls, Peers};

pub use guest::{Guest, Rights};
pub use once::list_once;
pub use origin::Origin;
pub use registry::Registry;
pub use spec::Spec;
pub use watch::{Cadence, Reading, Source, State, watch};

use news::News;
use roster::Proof;

/// One engine of the cluster, as discovery names it.
pub type Entry = Endpoint;

/// One opened list of engines.
#[derive(Clone)]
pub enum Backend {
    /// `nodes://`: a list that never changes.
    Nodes(Arc<[Entry]>),
    /// `file://`: one pattern per line.
    File(file::File),
    /// `token://HOST/TOKEN`: a registry elsewhere.
    Token(Box<token::Client>),
    /// `token://TOKEN`: the registry in this process.
    Local(registry_local::Local),
    /// `consul://`, `etcd://`, `zk://`: a list in a key-value store.
    Store(Arc<kv::List>),
}

/// With whom a list is opened, besides its URL.
#[derive(Clone, Default)]
pub struct Means<'a> {
    /// `discovery-opt`: what is special about a store.
    pub options: BTreeMap<String, String>,
    /// How long registrations live.
    pub ttl: Duration,
    /// TLS towards token registries. (Stores have files of their own, among the options.)
    pub tls: Option<ClientTls>,
    /// The registry of this process, if it has one: a bare token means that one.
    pub hosted: Option<&'a Registry>,
}

impl Means<'_> {
    /// As configured, without a registry.
    pub fn of(config: &Config) -> Result<Means<'static>> {
        let discovery = &config.discovery;
        let tls = ClientTls::towards(config, Peers::Managers)?;
        Ok(Means { options: discovery.options.clone(), ttl: discovery.ttl, tls, hosted: None })
    }
}

impl Backend {
    /// Opens what `spec` names. Nothing is contacted yet.
    ///
    /// Errors: malformed node patterns, a bare token without a registry, files for TLS that cannot be used.
    pub fn open(spec: &Spec, means: &Means<'_>) -> Result<Backend> {
        match spec {
            Spec::Nodes(rest) => Ok(Backend::Nodes(nodes::parse(rest)?.into())),
            Spec::File(path) => Ok(Backend::File(file::File::new(path))),
            Spec::Token { registry: Some(registry), token } => {
                let client = token::Client::new(registry, token, means.tls.clone());
                Ok(Backend::Token(Box::new(client)))
            }
            Spec::Token { registry: None, token } => match means.hosted {
                Some(registry) => Ok(Backend::Local(registry.local(token)?)),
                None => Err(bare_token(token)),
            },
            Spec::Store(address) => {
                let list = kv::List::open(address, &means.options, means.ttl)?;
                Ok(Backend::Store(Arc::new(list)))
            }
        }
    }

    /// The list of `token` that the manager at `address` (`HOST:PORT`) keeps.
    pub fn at_manager(address: &str, token: &str, means: &Means<'_>) -> Result<Backend> {
        Backend::open(&Spec::parse(&format!("token://{address}/{token}"))?, means)
    }

    /// Where the list is, if it is at one place that can be connected to.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Backend::Token(client) => Some(client.endpoint()),
            _ => None,
        }
    }

    /// Reads the whole list once. Duplicates are kept.
    pub async fn list(&self) -> Result<Vec<Entry>> {
        match self {
            Backend::Nodes(entries) => Ok(entries.to_vec()),
            Backend::File(file) => file.list().await,
            Backend::Token(client) => client.list().await,
            Backend::Local(local) => local.list(),
            Backend::Store(list) => list.list().await,
        }
    }

    /// Registers `entry` for `ttl`, or renews it. One attempt. The news come when the registration is lost.
    pub async fn register(&self, entry: &Entry, ttl: Duration) -> Result<News> {
        match self {
            Backend::Nodes(_) | Backend::File(_) => return Err(cannot_register()),
            Backend::Token(client) => client.register(entry, ttl).await?,
            Backend::Local(local) => local.register(entry, ttl).await?,
            Backend::Store(list) => return list.register(entry, ttl).await,
        }
        Ok(news::none())
    }

    /// Takes `entry` off the list before its time. An entry that is not there is no error.
    pub async fn withdraw(&self, entry: &Entry) -> Result<()> {
        match self {
            Backend::Nodes(_) | Backend::File(_) => Err(cannot_register()),
            Backend::Token(client) => client.withdraw(entry).await,
            Backend::Local(local) => local.withdraw(entry).await,
            Backend::Store(list) => list.withdraw(entry).await,
        }
    }

    /// Whether engines can register themselves here.
    pub fn takes_registrations(&self) -> bool {
        !matches!(self, Backend::Nodes(_) | Backend::File(_))
    }
}

impl Source for Backend {
    async fn read(&self) -> Result<Reading> {
        match self {
            Backend::Nodes(_) | Backend::File(_) => Ok(Reading::of(self.list().await?)),
            // A registry elsewhere may have lost its memory, and leaves no mark.
            Backend::Token(client) => {
                let (entries, ignored) = client.read().await?;
                Ok(Reading { ignored, proof: Proof::Life(None), ..Reading::of(entries) })
            }
            Backend::Local(local) => {
                let news = local.news();
                Ok(Reading { news, ..Reading::of(local.list()?) })
            }
            Backend::Store(list) => list.read().await,
        }
    }

    fn cadence(&self) -> Cadence {
        match self {
            Backend::Nodes(_) => Cadence::Once,
            _ => Cadence::Heartbeat,
        }
    }
}

fn bare_token(token: &str) -> Error {
    Error::us(Kind::Config, "token://TOKEN names no list: whoever wants one looks for its managers first")
        .advise(format!("write token://MANAGER:3376/{token}"))
}

/// The classic text.
fn cannot_register() -> Error {
    Error::us(Kind::Unsupported, "not implemented in this discovery service")
        .advise("nodes:// and file:// lists are written by hand; engines join through token:// or a store")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(url: &str) -> Result<Backend> {
        Backend::open(&Spec::parse(url)?, &Means::default())
    }

    #[test]
    fn stores_open_and_bare_tokens_say_what_to_write_instead() {
        for url in ["consul://h:8500/p", "etcd://a:1,b:2", "zk://h"] {
            assert!(open(url).unwrap().takes_registrations(), "{url}");
        }
        let error = open("token://abc").err().unwrap();
        assert!(error.advice.unwrap().ends_with("write token://MANAGER:3376/abc"));
    }

    #[tokio::test]
    async fn fixed_lists_take_no_registrations() {
        let backend = open("nodes://unix:///var/run/docker.sock,10.0.0.[1:2]:2375").unwrap();
        let listed = backend.list().await.unwrap();
        let printed: Vec<String> = listed.iter().map(ToString::to_string).collect();
        assert_eq!(printed, ["unix:///var/run/docker.sock", "10.0.0.1:2375", "10.0.0.2:2375"]);
        assert!(!backend.takes_registrations());
        let error = backend.register(&listed[0], Duration::from_secs(1)).await.err().unwrap();
        assert_eq!(error.message, "not implemented in this discovery service");
    }
}
