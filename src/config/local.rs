//! The one-machine default: with both roles and nothing else said, the cluster is the engine of this host.
//!
//! The rule is written here once. Role `both`, no `discovery.url`, no `agent.advertise`: discovery becomes
//! `nodes://unix:///var/run/docker.sock`, and the agent part has nothing to register.

use super::problem::{Origin, Origins};
use super::{Config, Role};

/// The node list of the one-machine default.
pub const LOCAL_ENGINE: &str = "nodes://unix:///var/run/docker.sock";

/// The file in which an agent leaves how it stands, in the runtime or the state directory.
pub const AGENT_FILE: &str = "agent.json";

/// Applies the rule.
pub fn fill_in(config: &mut Config, origins: &mut Origins) {
    let silent = config.discovery.url.is_none() && config.agent.advertise.is_none();
    if config.role == Role::Both && silent {
        config.discovery.url = Some(LOCAL_ENGINE.to_string());
        let why = "the engine of this host, since neither discovery.url nor agent.advertise is set";
        origins.set("discovery.url", Origin::Implied(why));
    }
}

/// The scheme of a discovery URL: what stands before the first `://`, else `nodes`.
pub fn scheme(url: &str) -> &str {
    url.split_once("://").map_or("nodes", |(scheme, _)| scheme)
}

/// The token of a URL that names no manager: `token://TOKEN`.
pub fn bare_token(url: &str) -> Option<&str> {
    url.strip_prefix("token://").filter(|rest| !rest.contains('/'))
}

/// What stands for a secret that is not shown.
pub const HIDDEN: &str = "***";

/// The URL without its token, for people to look at.
fn without_token(url: &str) -> String {
    match url.strip_prefix("token://").map(|rest| rest.rsplit_once('/')) {
        None => url.to_string(),
        Some(None) => format!("token://{HIDDEN}"),
        Some(Some((manager, _))) => format!("token://{manager}/{HIDDEN}"),
    }
}

impl Config {
    /// The same to look at: whoever sees it can neither join the cluster nor get into its store.
    pub fn without_secrets(&self) -> Config {
        let mut config = self.clone();
        config.discovery.url = config.discovery.url.as_deref().map(without_token);
        for key in ["kv.password", "kv.token"] {
            if let Some(value) = config.discovery.options.get_mut(key) {
                *value = HIDDEN.to_string();
            }
        }
        config
    }

    /// Whether others connect to this process: to the API, or to its engine's front.
    pub fn serves(&self) -> bool {
        self.role.manages() || self.agent.front.is_some()
    }

    /// Whether this process has an engine to register: the role says so, there is an address, and the
    /// discovery in use takes registrations (`nodes` and `file` are lists that people write).
    pub fn registers(&self) -> bool {
        let url = self.discovery.url.as_deref().unwrap_or_default();
        self.role.joins() && self.agent.advertise.is_some() && !matches!(scheme(url), "nodes" | "file")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_silent_both_gets_the_local_engine() {
        for (role, url, advertise, expected) in [
            (Role::Both, None, None, Some(LOCAL_ENGINE)),
            (Role::Both, Some("token://t"), None, Some("token://t")),
            (Role::Both, None, Some("h:1"), None),
            (Role::Manager, None, None, None),
            (Role::Agent, None, None, None),
        ] {
            let mut config = Config { role, ..Config::default() };
            config.discovery.url = url.map(str::to_string);
            config.agent.advertise = advertise.map(str::to_string);
            fill_in(&mut config, &mut Origins::default());
            assert_eq!(config.discovery.url.as_deref(), expected, "{role:?}");
        }
    }

    #[test]
    fn tokens_and_passwords_are_secrets() {
        for (url, shown) in [
            ("token://T", "token://***"),
            ("token://h:1/p/T", "token://h:1/p/***"),
            ("etcd://h:1/p", "etcd://h:1/p"),
        ] {
            let mut config = Config::default();
            config.discovery.url = Some(url.into());
            let options = [("kv.username", "u"), ("kv.password", "p"), ("kv.token", "t")];
            config.discovery.options = options.map(|(k, v)| (k.to_string(), v.to_string())).into();
            let shown_config = config.without_secrets();
            assert_eq!(shown_config.discovery.url.as_deref(), Some(shown));
            let values: Vec<&str> = shown_config.discovery.options.values().map(String::as_str).collect();
            assert_eq!(values, [HIDDEN, HIDDEN, "u"]);
        }
    }

    #[test]
    fn registering_needs_role_address_and_a_store() {
        let mut config = Config::default();
        config.discovery.url = Some("token://t".into());
        assert!(!config.registers());
        config.agent.advertise = Some("h:1".into());
        assert!(config.registers());
        config.role = Role::Manager;
        assert!(!config.registers());
        config.role = Role::Both;
        config.discovery.url = Some("h:1,h:2".into());
        assert!(!config.registers());
    }
}
