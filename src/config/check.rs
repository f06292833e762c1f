//! Rules across keys, each with its classic text, all tried and all reported.
//!
//! Rules about one value are in `keys`. Nothing here touches the machine: whether files exist or ports are
//! free is seen when they are opened (and by `swarmd check`). Who may reach the API is in `exposure`.

use super::local::scheme;
use super::problem::{Origin, Origins, Problem};
use super::value::Bad;
use super::{ClientPair, Config, Role};

/// What the configuration is for. It decides which rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `swarmd run`, and `check` and `config` that look at the same.
    Run,
    /// Classic `manage`.
    Manage,
    /// Classic `join`.
    Join,
    /// `list`: reads discovery once.
    List,
    /// `create`: needs nothing but perhaps TLS.
    Create,
}

/// The verdict.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What must be changed.
    pub problems: Vec<Problem>,
    /// What should be known.
    pub warnings: Vec<String>,
}

/// Tries all rules. `known` are the problems so far: a rule about a key that is among them stays silent,
/// since its value is not what the user wrote.
pub fn check(config: &Config, origins: &Origins, purpose: Purpose, known: &[Problem]) -> Verdict {
    let mut rules = Rules { config, origins, purpose, known, verdict: Verdict::default() };
    rules.tls();
    rules.pki();
    rules.discovery();
    rules.agent();
    rules.front();
    rules.lan();
    rules.manager();
    rules.exposure();
    rules.verdict
}

pub(super) struct Rules<'a> {
    pub(super) config: &'a Config,
    pub(super) origins: &'a Origins,
    pub(super) purpose: Purpose,
    known: &'a [Problem],
    verdict: Verdict,
}

const SCHEMES: &str = "token, nodes, file, consul, etcd, zk";

impl Rules<'_> {
    pub(super) fn refuse(&mut self, key: &str, bad: Bad) {
        let problem = Problem::of_value(key, self.origins.get(key), self.origins.style, bad);
        self.verdict.problems.push(problem);
    }

    pub(super) fn warn(&mut self, text: String) {
        self.verdict.warnings.push(text);
    }

    pub(super) fn name(&self, key: &str) -> String {
        self.origins.name(key)
    }

    /// Whether all these keys hold what the user wrote.
    pub(super) fn sound(&self, keys: &[&str]) -> bool {
        !self.known.iter().any(|problem| keys.contains(&problem.key.as_str()))
    }

    /// The keys among `keys` that somebody has set, else the first.
    fn culprit(&self, keys: &[&'static str]) -> &'static str {
        let set = keys.iter().find(|key| !matches!(self.origins.get(key), Origin::Default));
        set.or(keys.first()).copied().unwrap_or("")
    }

    fn tls(&mut self) {
        let tls = &self.config.tls;
        let pair = (tls.tlscert.is_some(), tls.tlskey.is_some());
        // Who only asks a registry needs no certificate of its own: the token is enough there.
        let serves = match self.purpose {
            Purpose::Run => self.config.serves(),
            Purpose::Manage => self.config.role.manages(),
            _ => false,
        };
        let mode = if tls.tls { "tls.tls" } else { "tls.tlsverify" };
        let (ca, cert, key) = (self.name("tls.tlscacert"), self.name("tls.tlscert"), self.name("tls.tlskey"));
        if !tls.enabled() {
            if tls.tlscacert.is_some() || pair != (false, false) {
                let culprit = self.culprit(&["tls.tlscert", "tls.tlskey", "tls.tlscacert"]);
                let (plain, verify) = (self.name("tls.tls"), self.name("tls.tlsverify"));
                let text = format!("{cert}, {key} and {ca} require the use of either {plain} or {verify}");
                self.refuse(culprit, Bad::new(text));
            }
            if tls.client != ClientPair::default() {
                let culprit = self.culprit(&["tls.client.cert", "tls.client.key"]);
                self.refuse(culprit, Bad::new("[tls.client] needs tls.tls or tls.tlsverify"));
            }
            return;
        }
        if tls.client.cert.is_some() != tls.client.key.is_some() {
            let culprit = self.culprit(&["tls.client.cert", "tls.client.key"]);
            self.refuse(culprit, Bad::new("tls.client.cert and tls.client.key must be provided together"));
        }
        if pair != (true, true) && (serves || pair != (false, false)) {
            let text = format!("{cert} and {key} must be provided when using {}", self.name("tls.tls"));
            self.refuse(mode, Bad::new(text));
        }
        if tls.tlsverify && tls.tlscacert.is_none() {
            let text = format!("{ca} must be provided when using {}", self.name("tls.tlsverify"));
            self.refuse("tls.tlsverify", Bad::new(text));
        }
    }

    fn discovery(&mut self) {
        if self.purpose == Purpose::Create || !self.sound(&["discovery.url"]) {
            return;
        }
        match self.config.discovery.url.as_deref() {
            None => self.refuse("discovery.url", self.discovery_missing()),
            Some(url) if !SCHEMES.split(", ").any(|known| known == scheme(url)) => {
                let advice = format!("{:?} is unknown; there is {SCHEMES}", scheme(url));
                self.refuse("discovery.url", Bad::new("discovery service not supported").advise(advice));
            }
            Some(_) => {}
        }
        let options = &self.config.discovery.options;
        let files = ["kv.cacertfile", "kv.certfile", "kv.keyfile"];
        let missing: Vec<&str> = files.into_iter().filter(|key| !options.contains_key(*key)).collect();
        if !missing.is_empty() && missing.len() < files.len() {
            let text = format!("{{name}}: TLS to the store also needs {}", missing.join(" and "));
            self.refuse("discovery.options", Bad::new(text));
        }
        let (ttl, heartbeat) = (self.config.discovery.ttl, self.config.discovery.heartbeat);
        let keys = ["discovery.ttl", "discovery.heartbeat"];
        if ttl <= heartbeat && matches!(self.purpose, Purpose::Run | Purpose::Join) && self.sound(&keys) {
            let text = "{name} must be strictly superior to the heartbeat value";
            let (ttl, heartbeat) =
                (super::units::format_duration(ttl), super::units::format_duration(heartbeat));
            let culprit = self.culprit(&keys);
            let mut bad = Bad::new(text.replace("{name}", &self.name("discovery.ttl")));
            bad.advice = Some(format!("ttl is {ttl}, heartbeat is {heartbeat}"));
            self.refuse(culprit, bad);
        }
    }

    fn discovery_missing(&self) -> Bad {
        let (goal, verb) = match self.purpose {
            Purpose::Manage => ("manage", "manage"),
            Purpose::Join => ("join", "join"),
            Purpose::List | Purpose::Create => ("list", "list"),
            Purpose::Run => {
                let role = super::names::Named::word(self.config.role);
                return Bad::new(format!("discovery.url is required with role {role:?}"))
                    .advise("mint a token with `swarmd create`, then url = \"token://MANAGER:3376/TOKEN\"");
            }
        };
        Bad::new(format!("discovery required to {goal} a cluster. See '{{program}} {verb} --help'."))
    }

    fn agent(&mut self) {
        let registers = matches!(self.purpose, Purpose::Run | Purpose::Join) && self.config.role.joins();
        if !registers || !self.sound(&["agent.advertise"]) {
            return;
        }
        let url = self.config.discovery.url.clone().unwrap_or_default();
        let listed = !url.is_empty() && matches!(scheme(&url), "nodes" | "file");
        match self.config.agent.advertise.clone() {
            None if self.purpose == Purpose::Run && self.config.role == Role::Both && listed => {}
            None if self.config.agent.front.is_some() && listed => {}
            None => {
                let text = format!("missing mandatory {} flag", self.name("agent.advertise"));
                let text = match self.purpose {
                    Purpose::Join => text,
                    _ => text.replace(" flag", ""),
                };
                let advice = "the address at which managers reach this engine, HOST:PORT";
                self.refuse("agent.advertise", Bad::new(text).advise(advice));
            }
            Some(address) => self.address("agent.advertise", &address),
        }
        if self.purpose == Purpose::Run && listed && self.config.agent.advertise.is_some() {
            let text = format!("{}:// takes no registrations", scheme(&url));
            let bad = Bad::new(text).advise("leave agent.advertise out and use role = \"manager\"");
            match self.config.role {
                Role::Agent => self.refuse("discovery.url", bad),
                _ => self.warn(format!("{}; agent.advertise has no effect", bad.text)),
            }
        }
    }

    pub(super) fn address(&mut self, key: &str, address: &str) {
        let engine = matches!(key, "agent.advertise" | "agent.engine");
        let unix = engine && address.starts_with("unix:///");
        let port_ok =
            |port: &str| super::units::parse_integer(port).is_some_and(|p| (1..=65535).contains(&p));
        let pair = match address.strip_prefix('[') {
            Some(rest) => rest.split_once("]:"),
            None => address.rsplit_once(':').filter(|(host, _)| !host.contains(':')),
        };
        match pair {
            _ if unix => {}
            Some(("", port)) if port_ok(port) => self
                .warn(format!("{} {address:?} names no host: others cannot connect to it", self.name(key))),
            Some((_, port)) if port_ok(port) => {}
            _ => {
                let bad = Bad::new("{name} should be of the form ip:port or hostname:port");
                self.refuse(key, bad.advise(format!("not {address:?}")));
            }
        }
    }

    fn manager(&mut self) {
        if !(self.config.role.manages() && matches!(self.purpose, Purpose::Run | Purpose::Manage)) {
            return;
        }
        let manager = &self.config.manager;
        let (min, max) = ("manager.engine-refresh-min-interval", "manager.engine-refresh-max-interval");
        if manager.engine_refresh_max_interval < manager.engine_refresh_min_interval
            && self.sound(&[min, max])
        {
            let text = "max refresh interval cannot be less than min refresh interval";
            self.refuse(self.culprit(&[max, min]), Bad::new(text));
        }
        if manager.overcommit < 0.0 {
            self.warn(format!(
                "{} is negative: this share of each node's memory and CPUs stays unused",
                self.name("manager.overcommit")
            ));
        }
        if manager.replication {
            self.replication();
        }
    }

    fn replication(&mut self) {
        match self.config.manager.advertise.clone() {
            None => {
                let text = "{name} address must be provided when using --leader-election";
                let advice = format!("{} needs it", self.name("manager.replication"));
                self.refuse("manager.advertise", Bad::new(text).advise(advice));
            }
            Some(address) => self.address("manager.advertise", &address),
        }
        match self.config.discovery.url.as_deref().map(scheme) {
            None => {}
            Some("consul" | "etcd" | "zk") => self.engine_for_all(),
            Some(_) => {
                let text = "Leader election is only supported with consul, etcd and zookeeper discovery.";
                self.refuse("manager.replication", Bad::new(text));
            }
        }
        if self.config.discovery.options.contains_key("kv.path") {
            self.warn(
                "kv.path says where the nodes are, but not which manager leads: clusters that share a store and a \
                 prefix have one leader among them; give each its own prefix (scheme://HOST/PREFIX)"
                    .to_string(),
            );
        }
    }

    /// What is registered by one manager is read by all.
    fn engine_for_all(&mut self) {
        let advertised = self.config.agent.advertise.as_deref().unwrap_or_default();
        if self.config.role.joins() && advertised.starts_with("unix://") {
            let text =
                "{name} is a socket of this machine: other managers would take their own Docker for it";
            let advice = "set agent.front = \":2376\" and agent.advertise = \"HOST:2376\"";
            self.refuse("agent.advertise", Bad::new(text).advise(advice));
        }
    }
}
