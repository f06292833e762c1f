//! `[pki]`: the cluster's own certificates, and what follows from them for other keys.
//!
//! The rules are written here once; who makes the files is `tls::pki`.
//!
//! * `[pki] enabled` and no file named in `[tls]`: `tls.tlsverify` with the files below `STATE_DIR/pki`.
//! * A manager without `discovery.url` then hosts a list of engines of its own, under a token that it makes when it
//!   first starts; with role `both` the engine of this machine is on it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::check::Rules;
use super::problem::{Origin, Origins};
use super::value::Bad;
use super::{ClientPair, Config, Role};

/// The directory of the cluster's certificates, below the state directory.
const DIRECTORY: &str = "pki";

/// The token that a manager makes for itself. It stands in the configuration for the secret that is in the state
/// directory.
pub const OWN_LIST: &str = "token://own";

/// The engine of this machine.
const LOCAL_SOCKET: &str = "unix:///var/run/docker.sock";

/// `[pki]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pki {
    /// Whether the cluster has a CA of its own. Default false; the package installs a file that says true.
    pub enabled: bool,
    /// Further names and addresses by which others reach this manager. Default none.
    pub names: Vec<String>,
    /// Managers at which this machine renews its certificate, `host:port`. Default none: it makes its own.
    pub managers: Vec<String>,
    /// How long certificates of agents and managers live. Default 90 days.
    pub lifetime: Duration,
    /// Addresses from which several machines come. Default none.
    pub shared_addresses: Vec<String>,
    /// Whether engines are registered, and taken off, also by who has the token of the list and no certificate.
    /// Default false.
    pub token_agents: bool,
}

impl Default for Pki {
    fn default() -> Pki {
        let lifetime = Duration::from_secs(90 * 24 * 3600);
        Pki {
            enabled: false,
            names: Vec::new(),
            managers: Vec::new(),
            lifetime,
            shared_addresses: Vec::new(),
            token_agents: false,
        }
    }
}

impl Config {
    /// Where the cluster's certificates are.
    pub fn pki_dir(&self) -> PathBuf {
        self.state_dir.join(DIRECTORY)
    }

    /// Whether TLS uses the cluster's own certificates: `[pki]` is on and `[tls]` names no others.
    pub fn has_pki(&self) -> bool {
        let own = |file: &Option<PathBuf>, name: &str| file.as_ref() == Some(&self.pki_dir().join(name));
        let tls = &self.tls;
        self.pki.enabled
            && tls.tlsverify
            && own(&tls.tlscacert, "ca.pem")
            && own(&tls.tlscert, "cert.pem")
            && own(&tls.tlskey, "key.pem")
    }
}

/// Applies the rules.
pub(super) fn fill_in(config: &mut Config, origins: &mut Origins) {
    if !config.pki.enabled || is_by_hand(config) {
        return;
    }
    let directory = config.pki_dir();
    let file = |name: &str| Some(Path::new(&directory).join(name));
    config.tls.tlsverify = true;
    (config.tls.tlscacert, config.tls.tlscert, config.tls.tlskey) =
        (file("ca.pem"), file("cert.pem"), file("key.pem"));
    for key in ["tls.tlsverify", "tls.tlscacert", "tls.tlscert", "tls.tlskey"] {
        origins.set(key, Origin::Implied("the cluster's own certificates ([pki] enabled)"));
    }
    if config.role.manages() && config.discovery.url.is_none() {
        config.discovery.url = Some(OWN_LIST.to_string());
        origins.set("discovery.url", Origin::Implied("this manager's own list ([pki] enabled)"));
        if config.role == Role::Both && config.agent.advertise.is_none() {
            config.agent.advertise = Some(LOCAL_SOCKET.to_string());
            origins.set("agent.advertise", Origin::Implied("the engine of this machine"));
        }
    }
}

/// Whether `[tls]` says anything itself.
fn is_by_hand(config: &Config) -> bool {
    let tls = &config.tls;
    let named = [&tls.tlscacert, &tls.tlscert, &tls.tlskey].into_iter().any(Option::is_some);
    tls.enabled() || named || tls.client != ClientPair::default()
}

impl Rules<'_> {
    pub(super) fn pki(&mut self) {
        let pki = &self.config.pki;
        if pki.enabled && !self.config.has_pki() {
            self.warn("[pki] enabled has no effect, since [tls] names certificates".to_string());
        }
        if let Some(name) = pki.names.iter().find(|name| !is_host(name)) {
            let bad = Bad::new("{name}: not a host name or an address").advise(format!("not {name:?}"));
            self.refuse("pki.names", bad);
        }
        if let Some(other) = pki.shared_addresses.iter().find(|a| a.parse::<std::net::IpAddr>().is_err()) {
            let bad = Bad::new("{name}: not an address").advise(format!("not {other:?}"));
            self.refuse("pki.shared-addresses", bad);
        }
        for manager in pki.managers.clone() {
            self.address("pki.managers", &manager);
        }
        if self.config.discovery.url.as_deref() == Some(OWN_LIST)
            && !(self.config.has_pki() && self.config.role.manages())
        {
            let bad = Bad::new(format!("{OWN_LIST} is the list of a manager with [pki] enabled"));
            self.refuse("discovery.url", bad.advise("name that manager: token://MANAGER:3376/TOKEN"));
        }
    }
}

/// A name or an address, without a port.
fn is_host(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    text.parse::<std::net::IpAddr>().is_ok() || (!text.is_empty() && text.chars().all(letter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::Purpose;
    use crate::config::load::{Loaded, Sources};
    use crate::config::overlay::Setting;
    use crate::config::problem::Problem;

    fn load(assignments: &[&str]) -> Result<Loaded, Vec<Problem>> {
        let mut sources = Sources::new(Purpose::Run, "swarmd");
        for text in ["state-dir=/s", "pki.enabled=true"].iter().chain(assignments) {
            sources.flags.push(Setting::from_assignment(text).unwrap());
        }
        sources.load()
    }

    #[test]
    fn one_key_is_enough_on_one_machine() {
        let loaded = load(&["manager.host=[\"tcp://0.0.0.0:3376\"]"]).unwrap();
        let config = loaded.config;
        assert!(config.has_pki());
        assert_eq!(config.tls.tlskey, Some("/s/pki/key.pem".into()));
        assert_eq!(config.discovery.url.as_deref(), Some(OWN_LIST));
        assert_eq!(config.agent.advertise.as_deref(), Some(LOCAL_SOCKET));
        assert!(config.registers());
        assert_eq!(loaded.warnings, [""; 0]);
    }

    #[test]
    fn what_others_say_stays() {
        let config = load(&["discovery.url=token://T", "agent.advertise=h:1"]).unwrap().config;
        assert_eq!(config.discovery.url.as_deref(), Some("token://T"));
        let config = load(&["role=manager"]).unwrap().config;
        assert_eq!((config.discovery.url.as_deref(), config.agent.advertise), (Some(OWN_LIST), None));
        let by_hand = ["tls.tls=true", "tls.tlscert=c", "tls.tlskey=k"];
        let loaded = load(&by_hand).unwrap();
        assert!(!loaded.config.has_pki() && !loaded.config.tls.tlsverify);
        assert!(loaded.warnings[0].starts_with("[pki] enabled has no effect"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (assignment, text) in [
            ("pki.names=[\"a b\"]", "pki.names: not a host name or an address"),
            ("pki.managers=[\"boss\"]", "pki.managers should be of the form ip:port or hostname:port"),
            ("pki.lifetime=1s", "pki.lifetime should be at least ten seconds"),
            ("pki.shared-addresses=[\"nat\"]", "pki.shared-addresses: not an address"),
        ] {
            let problems = load(&[assignment]).unwrap_err();
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert!(problems.iter().any(|p| p.contains(text)), "{problems:?}");
        }
        let own = load(&["role=agent", "agent.advertise=h:1", "discovery.url=token://own"]);
        assert!(own.unwrap_err()[0].to_string().contains("is the list of a manager"));
    }
}
