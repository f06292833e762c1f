//! `swarmd status`: the manager says how it stands, the agent of this machine has left it in a file.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::api::swarmd::talk::{Agent, LanStatus, Registration, Status};
use crate::client::target::Target;
use crate::client::{Answer, Manager, pretty};
use crate::error::{Error, Result};

/// Of what to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Whether there should be a manager.
    pub manager: bool,
    /// Whether there should be an agent here.
    pub agent: bool,
    /// Where the file of an agent may be, the likeliest first.
    pub files: Vec<PathBuf>,
}

/// Both, for programs.
#[derive(Debug, Serialize)]
struct All {
    manager: Option<Status>,
    manager_error: Option<String>,
    agent: Option<Agent>,
    agent_error: Option<String>,
}

/// Asks both. The answer is good when all that should run does, and nobody has a problem.
pub(super) async fn tell(target: &Target, scope: &Scope, json: bool) -> Result<Answer> {
    let asked = match scope.manager {
        true => Some(ask(target).await),
        false => None,
    };
    let (manager, manager_error) = split(asked);
    let (agent, agent_error) = match (agent(&scope.files), scope.agent) {
        (Ok(None), true) => (None, Some("it does not run: `systemctl status swarmd` says why".to_string())),
        (Ok(agent), _) => (agent, None),
        (Err(why), true) => (None, Some(why)),
        (Err(_), false) => (None, None),
    };
    let all = All { manager, manager_error, agent, agent_error };
    let text = if json { pretty(&all)?.text } else { all.to_text() };
    Ok(Answer { text, good: all.is_good() })
}

async fn ask(target: &Target) -> Result<Status> {
    Manager::at(target)?.get("status").await
}

fn split(asked: Option<Result<Status, Error>>) -> (Option<Status>, Option<String>) {
    match asked {
        None => (None, None),
        Some(Ok(status)) => (Some(status), None),
        Some(Err(error)) => (None, Some(error.to_string())),
    }
}

/// The agent of this machine, if one runs. A file whose process is gone tells of the past.
fn agent(files: &[PathBuf]) -> Result<Option<Agent>, String> {
    for file in files {
        let text = match std::fs::read(file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(format!("{} cannot be read: run this as root", file.display()));
            }
            Err(_) => continue,
        };
        let agent: Agent = serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", file.display()))?;
        if Path::new(&format!("/proc/{}", agent.pid)).exists() {
            return Ok(Some(agent));
        }
    }
    Ok(None)
}

impl All {
    fn is_good(&self) -> bool {
        let manager = self.manager.as_ref().is_none_or(|m| m.problem.is_none());
        let agent = self.agent.as_ref().is_none_or(|a| {
            a.problem.is_none() && a.engine.error.is_none() && a.managers.iter().all(|m| m.error.is_none())
        });
        manager && agent && self.manager_error.is_none() && self.agent_error.is_none()
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        if let Some(manager) = &self.manager {
            text += &of_manager(manager);
        }
        if let Some(error) = &self.manager_error {
            text += &format!("manager: no answer: {error}\n");
        }
        if let Some(agent) = &self.agent {
            text += &of_agent(agent);
        }
        if let Some(error) = &self.agent_error {
            text += &format!("agent: {error}\n");
        }
        text
    }
}

fn row(name: &str, text: &str) -> String {
    format!("  {name:<11} {text}\n")
}

fn of_manager(m: &Status) -> String {
    let mut text = format!("manager {} ({}), swarmd {}, since {}\n", m.host, m.role, m.version, m.started);
    text += &row("API", &m.listeners.join(", "));
    text += &row("nodes", &format!("{} of {} healthy", m.healthy, m.nodes));
    text += &row("discovery", &m.discovery.to_string());
    text += &row("LAN", &of_lan(&m.lan));
    if let Some(problem) = &m.problem {
        text += &row("problem", problem);
    }
    text
}

fn of_lan(lan: &LanStatus) -> String {
    match &lan.silent {
        Some(why) => format!("not advertised: {why}"),
        None => {
            let tls = if lan.tls { "TLS" } else { "no TLS" };
            let tokens =
                if lan.tokens.len() == 1 { "1 token" } else { &format!("{} tokens", lan.tokens.len()) };
            let (name, on, at) = (&lan.name, &lan.interfaces, lan.addresses.join(", "));
            format!("advertised as {name} on {on}: {at} ({tls}, {tokens})")
        }
    }
}

fn of_agent(agent: &Agent) -> String {
    let mut text = format!("agent of this machine, swarmd {}, process {}\n", agent.version, agent.pid);
    let since = |at: &Option<String>| at.as_ref().map_or_else(String::new, |at| format!(" since {at}"));
    let engine = &agent.engine;
    text += &row(
        "engine",
        &match (&engine.address, &engine.error) {
            (None, _) => format!("{}: not asked yet", agent.advertise),
            (Some(at), None) => format!("{at} answers{}", since(&engine.since)),
            (Some(at), Some(error)) => format!("{at} does not answer{}: {error}", since(&engine.since)),
        },
    );
    if let Some(front) = &agent.front {
        text += &row("front", &format!("{front}, TLS, for managers only"));
    }
    for place in &agent.managers {
        text += &row("registered", &of_registration(place, &since(&place.since)));
    }
    if let Some(problem) = &agent.problem {
        text += &row("problem", problem);
    }
    text
}

fn of_registration(place: &Registration, since: &str) -> String {
    let at = match place.address.as_str() {
        "" => place.manager.clone(),
        address if address == place.manager => place.manager.clone(),
        address => format!("{} ({address})", place.manager),
    };
    match (&place.entry, &place.error) {
        (_, Some(error)) => format!("not with {at}{since}: {error}"),
        (Some(entry), None) => format!("as {entry} with {at}{since}"),
        (None, None) => format!("not yet with {at}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::swarmd::talk::{Listing, LocalEngine};

    fn manager() -> Status {
        Status {
            role: "primary".into(),
            version: "2.0.0".into(),
            host: "boss".into(),
            started: "2026-01-01T00:00:00Z".into(),
            listeners: vec!["tcp://0.0.0.0:3376".into()],
            discovery: Listing {
                url: "token://0123...".into(),
                entries: 3,
                read: Some("2026-01-01T00:01:00Z".into()),
                error: None,
            },
            lan: LanStatus {
                silent: None,
                name: "boss-1a2b3c4d".into(),
                interfaces: "eth0".into(),
                addresses: vec!["10.0.0.1:3376".into()],
                tokens: vec!["0123456789abcdef".into()],
                tls: true,
            },
            healthy: 2,
            nodes: 3,
            problem: Some("node pi3 is Unhealthy: no answer".into()),
        }
    }

    fn agent() -> Agent {
        Agent {
            version: "2.0.0".into(),
            pid: std::process::id(),
            advertise: "auto:2376".into(),
            front: Some("tcp://:2376".into()),
            engine: LocalEngine {
                address: Some("unix:///var/run/docker.sock".into()),
                error: None,
                since: None,
            },
            managers: vec![
                Registration {
                    manager: "boss-1a2b3c4d".into(),
                    address: "10.0.0.1:3376".into(),
                    entry: Some("10.0.0.2:2376".into()),
                    ..Registration::default()
                },
                Registration {
                    manager: "spare-99".into(),
                    address: "10.0.0.9:3376".into(),
                    error: Some("nobody there".into()),
                    since: Some("2026-01-01T00:00:00Z".into()),
                    ..Registration::default()
                },
            ],
            problem: None,
        }
    }

    #[test]
    fn both_in_words() {
        let all =
            All { manager: Some(manager()), manager_error: None, agent: Some(agent()), agent_error: None };
        let text = all.to_text().replace(&std::process::id().to_string(), "PID");
        assert_eq!(text, include_str!("golden/status.txt"));
        assert!(!all.is_good());
    }

    #[test]
    fn only_an_agent_that_runs_is_told_of() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("agent.json");
        let files = [home.path().join("missing"), file.clone()];
        assert_eq!(super::agent(&files), Ok(None));
        std::fs::write(&file, serde_json::to_vec(&agent()).unwrap()).unwrap();
        assert_eq!(super::agent(&files), Ok(Some(agent())));
        let dead = Agent { pid: u32::MAX, ..agent() };
        std::fs::write(&file, serde_json::to_vec(&dead).unwrap()).unwrap();
        assert_eq!(super::agent(&files), Ok(None));
        std::fs::write(&file, "nonsense").unwrap();
        assert!(super::agent(&files).is_err());
    }
}
