//! The layers: default < files < environment < flags, and for each key which of them won.
//!
//! It reads no file and no environment itself: both come in as arguments.

use super::keys::{self, Key};
use super::problem::{Origin, Origins, Problem, Style};
use super::value::Value;
use super::{Config, Role, file};

/// One key set by one layer.
#[derive(Clone)]
pub struct Setting {
    /// Which key.
    pub key: &'static Key,
    /// To what; not checked yet.
    pub value: Value,
    /// By whom.
    pub origin: Origin,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = {:?} ({})", self.key.path, self.value, self.origin)
    }
}

impl Setting {
    /// A setting of the key at `path`; `None` if there is no such key.
    pub fn new(path: &str, value: impl Into<Value>, origin: Origin) -> Option<Setting> {
        let value = value.into();
        keys::find(path).map(|key| Setting { key, value, origin })
    }

    /// Reads `key=value` of `--set`.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn from_assignment(text: &str) -> Result<Setting, String> {
        let (path, value) =
            text.split_once('=').ok_or_else(|| format!("--set needs key=value, not {text:?}"))?;
        let path = path.trim();
        let origin = Origin::Flag(format!("--set {path}"));
        Setting::new(path, file::inline(value.trim()), origin).ok_or_else(|| {
            let known = keys::KEYS.iter().map(|key| key.path);
            match super::names::nearest(path, known) {
                Some(meant) => format!("--set: unknown key {path} (did you mean {meant}?)"),
                None => format!("--set: unknown key {path} (`swarmd config` lists all keys)"),
            }
        })
    }
}

/// Applies settings in order over the defaults; a later setting of a key replaces the earlier one wholly.
///
/// A refused value leaves the key as it was, so that further rules can still be tried.
pub fn apply(settings: &[Setting], style: Style) -> (Config, Origins, Vec<Problem>) {
    let mut config = Config::default();
    let mut origins = Origins::new(style);
    let mut problems = Vec::new();
    for setting in settings {
        match (setting.key.set)(&mut config, &setting.value) {
            Ok(()) => origins.set(setting.key.path, setting.origin.clone()),
            Err(bad) => problems.push(Problem::of_value(setting.key.path, &setting.origin, style, bad)),
        }
    }
    (config, origins, problems)
}

/// What a supervisor provides: the state directory that systemd made for us. The administrator's file beats it,
/// unlike the variables of `environment`.
pub fn supervisor(env: &dyn Fn(&str) -> Option<String>) -> Option<Setting> {
    let first = env("STATE_DIRECTORY")?.split(':').next().filter(|dir| !dir.is_empty())?.to_string();
    Setting::new("state-dir", Value::Text(first), Origin::Env("STATE_DIRECTORY"))
}

/// The settings that the environment makes. An empty variable counts as not set, an unreadable `DEBUG` too.
///
/// `SWARM_ADVERTISE` is the address of the role that runs. With both roles there are two addresses and one
/// variable: it is then taken for neither, and the returned warning says so.
pub fn environment(env: &dyn Fn(&str) -> Option<String>, role: Role) -> (Vec<Setting>, Option<String>) {
    let get = |name: &str| env(name).filter(|value| !value.is_empty());
    let mut settings = Vec::new();
    let mut push = |path: &str, value: Value, name: &'static str| {
        settings.extend(Setting::new(path, value, Origin::Env(name)));
    };
    if let Some(url) = get("SWARM_DISCOVERY") {
        push("discovery.url", Value::Text(url), "SWARM_DISCOVERY");
    }
    if let Some(hosts) = get("SWARM_HOST") {
        let items = hosts.split(',').map(|host| Value::from(host.trim())).collect();
        push("manager.host", Value::List(items), "SWARM_HOST");
    }
    if get("DEBUG").and_then(|value| super::units::parse_boolean(&value)) == Some(true) {
        push("log.level", Value::from("debug"), "DEBUG");
    }
    let advertise = get("SWARM_ADVERTISE");
    let ambiguous = advertise.is_some() && role == Role::Both;
    if let Some(address) = advertise {
        match role {
            Role::Manager => push("manager.advertise", Value::Text(address), "SWARM_ADVERTISE"),
            Role::Agent => push("agent.advertise", Value::Text(address), "SWARM_ADVERTISE"),
            Role::Both => {}
        }
    }
    let warning = "SWARM_ADVERTISE is ignored: with role \"both\" it could mean the manager or the engine; \
                   set manager.advertise and agent.advertise";
    (settings, ambiguous.then(|| warning.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| {
            let hit = pairs.iter().find(|(key, _)| *key == name);
            hit.map(|(_, value)| (*value).to_string())
        }
    }

    #[test]
    fn each_layer_beats_the_one_before_and_is_remembered() {
        let mut files = file::Files::default();
        files.add_text(Path::new("/c"), "[discovery]\nurl = \"file:///f\"\nttl = 200\nheartbeat = 7\n");
        files.add_text(Path::new("/d"), "[discovery]\nttl = 300\n");
        let mut settings = files.settings;
        settings.extend(environment(&env(&[("SWARM_DISCOVERY", "file:///e")]), Role::Agent).0);
        settings.push(Setting::from_assignment("discovery.heartbeat=\"9s\"").unwrap());
        let (config, origins, problems) = apply(&settings, Style::Native);
        assert_eq!(problems, []);
        assert_eq!(config.discovery.url.as_deref(), Some("file:///e"));
        assert_eq!(config.discovery.ttl.as_secs(), 300);
        assert_eq!(config.discovery.heartbeat.as_secs(), 9);
        for (key, from) in [
            ("discovery.url", "environment SWARM_DISCOVERY"),
            ("discovery.ttl", "/d:2"),
            ("discovery.heartbeat", "flag --set discovery.heartbeat"),
            ("manager.host", "default"),
        ] {
            assert_eq!(origins.get(key).to_string(), from, "{key}");
        }
    }

    #[test]
    fn the_environment_gives_what_the_role_needs() {
        let all = [
            ("SWARM_HOST", ":1, unix:///s"),
            ("SWARM_ADVERTISE", "h:2"),
            ("DEBUG", "1"),
            ("SWARM_DISCOVERY", ""),
        ];
        let (settings, warning) = environment(&env(&all), Role::Manager);
        let (config, ..) = apply(&settings, Style::Native);
        assert_eq!(config.manager.host.len(), 2);
        assert_eq!(config.manager.advertise.as_deref(), Some("h:2"));
        assert_eq!(config.agent.advertise, None);
        assert_eq!(config.log.level, super::super::Level::Debug);
        assert_eq!(config.discovery.url, None);
        assert_eq!(warning, None);
        let (settings, warning) = environment(&env(&all), Role::Both);
        assert!(warning.is_some());
        assert_eq!(apply(&settings, Style::Native).0.manager.advertise, None);
        assert!(environment(&env(&[("DEBUG", "yes")]), Role::Both).0.is_empty());
    }

    #[test]
    fn assignments_take_toml_or_bare_text() {
        for (text, key, shown) in [
            ("manager.strategy=binpack", "manager.strategy", "\"binpack\""),
            ("manager.host = [\":1\", \"fd://\"]", "manager.host", "[\"tcp://:1\", \"fd://\"]"),
            ("manager.overcommit=0.5", "manager.overcommit", "0.5"),
            ("discovery.ttl=4m", "discovery.ttl", "\"4m0s\""),
        ] {
            let setting = Setting::from_assignment(text).unwrap();
            let (config, _, problems) = apply(&[setting], Style::Native);
            assert_eq!(problems, []);
            assert_eq!((keys::find(key).unwrap().show)(&config).as_deref(), Some(shown));
        }
        let unknown = Setting::from_assignment("manager.hosts=x").unwrap_err();
        assert_eq!(unknown, "--set: unknown key manager.hosts (did you mean manager.host?)");
        assert!(Setting::from_assignment("manager.host").is_err());
    }
}
