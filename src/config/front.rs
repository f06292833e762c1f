//! Rules about the agent as the front of its engine: what `agent.front` needs, and the address that it stands for.
//!
//! The front itself is in `agent::front`.

use super::check::{Purpose, Rules};
use super::lan::AUTO;
use super::local::scheme;
use super::problem::{Origin, Origins};
use super::value::{Bad, Value, quoted};
use super::{Config, Listen, Role};

/// The port of a Docker with TLS.
const PORT: u16 = 2376;
/// Where Docker has its socket, everywhere.
pub const ENGINE: &str = "unix:///var/run/docker.sock";

/// With certificates of the cluster's own, an agent that says nothing about its engine is the front of it. And
/// without a word about it, managers are told to come to the front.
pub(super) fn fill_in(config: &mut Config, origins: &mut Origins) {
    if config.has_pki()
        && config.role == Role::Agent
        && config.agent.front.is_none()
        && config.agent.advertise.is_none()
    {
        config.agent.front = Some(Listen::Tcp { host: String::new(), port: PORT });
        origins.set("agent.front", Origin::Implied("[pki] enabled, and no agent.advertise"));
    }
    let url = config.discovery.url.as_deref().unwrap_or_default();
    let registers = config.role.joins() && !matches!(scheme(url), "nodes" | "file");
    if let (Some(Listen::Tcp { host, port: 1.. }), None) = (&config.agent.front, &config.agent.advertise)
        && registers
    {
        config.agent.advertise = Some(reached_at(host, &config.agent.front));
        origins.set("agent.advertise", Origin::Implied("where agent.front listens"));
    }
}

/// `HOST:PORT`, or `auto:PORT` if it listens on all addresses.
fn reached_at(host: &str, front: &Option<Listen>) -> String {
    let listen = front.as_ref().map(Listen::to_string).unwrap_or_default();
    let address = listen.trim_start_matches("tcp://");
    match host.parse::<std::net::IpAddr>() {
        Ok(ip) if ip.is_unspecified() => auto(address),
        Err(_) if host.is_empty() => auto(address),
        _ => address.to_string(),
    }
}

fn auto(address: &str) -> String {
    format!("{AUTO}{}", address.rsplit(':').next().unwrap_or_default())
}

/// Reads `agent.front`; an empty text is none.
pub(super) fn listen(value: &Value) -> Result<Option<Listen>, Bad> {
    let Some(text) = value.optional()? else { return Ok(None) };
    let wrong =
        |why: &str| Bad::new(format!("{{name}}: {why}")).advise("write HOST:PORT, :PORT or fd://NAME");
    match Listen::parse(&text) {
        Ok(Listen::Unix(_)) => Err(wrong("a unix socket is no use to a manager on another machine")),
        Ok(listen) => Ok(Some(listen)),
        Err(why) => Err(wrong(&why)),
    }
}

/// Prints it.
pub(super) fn shown(front: &Option<Listen>) -> Option<String> {
    front.as_ref().map(|listen| quoted(&listen.to_string()))
}

/// Reads `agent.engine`.
pub(super) fn engine(value: &Value) -> Result<String, Bad> {
    value.optional()?.ok_or_else(|| Bad::new("{name} must say where Docker listens").advise(ENGINE))
}

impl Rules<'_> {
    /// The rules of this file.
    pub(super) fn front(&mut self) {
        if !matches!(self.purpose, Purpose::Run | Purpose::Join) {
            return;
        }
        if self.sound(&["agent.engine"]) {
            self.address("agent.engine", &self.config.agent.engine.clone());
        }
        if self.config.agent.front.is_none() {
            if !matches!(self.origins.get("agent.engine"), Origin::Default) {
                self.warn("agent.engine has no effect without agent.front".to_string());
            }
            return;
        }
        if !self.config.role.joins() {
            self.warn("agent.front has no effect with role \"manager\"".to_string());
            return;
        }
        let tls = &self.config.tls;
        // What is missing for tlsverify is said in its own words.
        if !tls.tlsverify && self.sound(&["tls.tlsverify"]) {
            let text = "{name}: whoever reaches it is root on this machine, so it takes only managers, by their \
                        certificates";
            let advice = "set [tls] tlsverify = true with tlscacert, tlscert and tlskey";
            self.refuse("agent.front", Bad::new(text).advise(advice));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::{Loaded, Sources};
    use crate::config::overlay::Setting;

    const TLS: [&str; 4] = ["tls.tlsverify=true", "tls.tlscacert=/a", "tls.tlscert=/c", "tls.tlskey=/k"];
    const AGENT: [&str; 2] = ["role=agent", "discovery.url=token://t"];

    fn load(settings: &[&[&str]]) -> Result<Loaded, String> {
        let mut sources = Sources::new(Purpose::Run, "swarmd");
        let all = settings.iter().copied().flatten();
        sources.flags = all.map(|s| Setting::from_assignment(s).unwrap()).collect();
        sources.load().map_err(|problems| problems[0].to_string())
    }

    fn advertised(settings: &[&str]) -> Option<String> {
        load(&[&AGENT, &TLS, settings]).unwrap().config.agent.advertise
    }

    #[test]
    fn the_front_is_what_managers_are_told() {
        for (front, told) in [
            ("agent.front=0.0.0.0:2376", "auto:2376"),
            ("agent.front=\":2376\"", "auto:2376"),
            ("agent.front=\"[::]:2376\"", "auto:2376"),
            ("agent.front=10.0.0.2:2376", "10.0.0.2:2376"),
            ("agent.front=\"[fd00::2]:2376\"", "[fd00::2]:2376"),
            ("agent.front=pi1:2376", "pi1:2376"),
        ] {
            assert_eq!(advertised(&[front]).as_deref(), Some(told), "{front}");
        }
        assert_eq!(advertised(&["agent.front=:2376", "agent.advertise=pi1:9"]).as_deref(), Some("pi1:9"));
        let inherited = load(&[&AGENT, &TLS, &["agent.front=fd://front"]]).unwrap_err();
        assert!(inherited.contains("missing mandatory agent.advertise"), "{inherited}");
        let listed = ["role=agent", "discovery.url=nodes://h:2376", "agent.front=:2376"];
        assert_eq!(load(&[&listed, &TLS]).unwrap().config.agent.advertise, None, "it is in somebody's list");
    }

    #[test]
    fn with_certificates_of_the_cluster_an_agent_is_a_front() {
        let pki = ["pki.enabled=true", "state-dir=/s"];
        let agent = load(&[&AGENT, &pki]).unwrap().config.agent;
        assert_eq!(agent.front, Some(Listen::Tcp { host: String::new(), port: 2376 }));
        assert_eq!(agent.advertise.as_deref(), Some("auto:2376"));
        let plain = load(&[&AGENT, &pki, &["agent.advertise=pi1:2376"]]).unwrap().config.agent;
        assert_eq!(plain.front, None, "its Docker listens itself");
    }

    #[test]
    fn it_takes_certificates() {
        let front = ["agent.front=:2376"];
        let open = load(&[&AGENT, &front]).unwrap_err();
        assert!(open.contains("set [tls] tlsverify = true"), "{open}");
        let bare = load(&[&AGENT, &front, &["tls.tlsverify=true", "tls.tlscacert=/a"]]).unwrap_err();
        assert!(bare.contains("tls.tlscert and tls.tlskey must be provided"), "{bare}");
    }

    #[test]
    fn addresses_and_what_has_no_effect() {
        for (setting, text) in [
            ("agent.front=unix:///s", "a unix socket is no use to a manager"),
            ("agent.front=\"2376\"", "missing port"),
            ("agent.engine=docker.sock", "ip:port"),
            ("agent.engine=", "must say where Docker listens"),
        ] {
            let error = load(&[&AGENT, &TLS, &["agent.front=:2376"], &[setting]]).unwrap_err();
            assert!(error.contains(text), "{setting}: {error}");
        }
        let plain = ["agent.advertise=h:1", "agent.engine=unix:///other.sock"];
        let loaded = load(&[&AGENT, &plain]).unwrap();
        assert_eq!(loaded.warnings, ["agent.engine has no effect without agent.front"]);
        let manager = ["role=manager", "discovery.url=token://t", "agent.front=:2376"];
        assert_eq!(load(&[&manager]).unwrap().warnings, ["agent.front has no effect with role \"manager\""]);
    }
}
