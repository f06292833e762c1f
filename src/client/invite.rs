//! What a person pastes on the next machine: for `swarmd join-token`, and after `swarmd create`.
//!
//! Pure but for the one question to the manager where it can be reached. Join tokens that carry a certificate come
//! with the cluster's own CA: they are another kind of invitation, see `tokens`.

use serde::Serialize;

use crate::api::swarmd::talk::Status;
use crate::client::target::Target;
use crate::client::{Answer, Manager, pretty};
use crate::config::Tls;
use crate::discovery::Spec;
use crate::error::{Error, Kind, Result};

/// The cluster that one is invited to.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// `discovery.url` of the manager.
    pub url: String,
    /// Its `[tls]`.
    pub tls: Tls,
}

/// The lines, for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Invitation {
    discovery: String,
    command: String,
    config: String,
    /// What to know about it.
    notes: Vec<String>,
}

/// Asks the manager where others reach it, and makes the lines of it.
pub(super) async fn invite(target: &Target, cluster: &Cluster, json: bool) -> Result<Answer> {
    let (registry, token) = match Spec::parse(&cluster.url)? {
        Spec::Token { registry, token } => (registry, token),
        Spec::Store { .. } => {
            let text = format!("{} has no token: engines join by that URL itself", cluster.url);
            return Err(Error::us(Kind::Unsupported, text)
                .advise("on the machine that joins: swarmd join --addr=THIS-MACHINE:2375 and that URL"));
        }
        Spec::Nodes(_) | Spec::File(_) => {
            let text = format!("{} is a written list, which engines do not join", cluster.url);
            return Err(Error::us(Kind::Unsupported, text)
                .advise("make a token with `swarmd create`, and set discovery.url = \"token://TOKEN\""));
        }
    };
    let invitation = match registry {
        Some(_) => lines(&cluster.url, &cluster.tls, Vec::new()),
        None => {
            let asked = async { Manager::at(target)?.get::<Status>("status").await };
            let status = asked.await;
            let (manager, notes) = whereabouts(status.as_ref());
            lines(&format!("token://{manager}/{token}"), &cluster.tls, notes)
        }
    };
    match json {
        true => pretty(&invitation),
        false => Ok(Answer::good(invitation.to_text())),
    }
}

/// Where others reach the manager, and what to know.
fn whereabouts(status: Result<&Status, &Error>) -> (String, Vec<String>) {
    let stand_in = "MANAGER:3376".to_string();
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            let note = format!("MANAGER is the machine with the manager, which does not answer now: {error}");
            return (stand_in, vec![note]);
        }
    };
    match (&status.lan.silent, status.lan.addresses.first()) {
        (None, Some(address)) => {
            let on = &status.lan.interfaces;
            (
                address.clone(),
                vec![format!(
                    "On the network of {on} the token alone will do: token://TOKEN finds this manager."
                )],
            )
        }
        (why, _) => {
            let ports = status.listeners.iter().filter_map(|l| l.strip_prefix("tcp://")?.rsplit_once(':'));
            let port = ports.map(|(_, port)| port).next().unwrap_or("3376");
            let why = why.clone().unwrap_or_default();
            (
                format!("{}:{port}", status.host),
                vec![format!("Agents cannot find this manager by the token alone: {why}")],
            )
        }
    }
}

fn lines(discovery: &str, tls: &Tls, notes: Vec<String>) -> Invitation {
    let (port, flags, table) = match tls.enabled() {
        true => {
            let mode = if tls.tlsverify { "tlsverify" } else { "tls" };
            let at = "/etc/swarmd/tls";
            let flags =
                format!(" --{mode} --tlscacert={at}/ca.pem --tlscert={at}/cert.pem --tlskey={at}/key.pem");
            let table = format!(
                "\n[tls]\n{mode} = true\ntlscacert = \"{at}/ca.pem\"\ntlscert = \"{at}/cert.pem\"\ntlskey = \"{at}/key.pem\"\n"
            );
            (2376, flags, table)
        }
        false => (2375, String::new(), String::new()),
    };
    // A certificate is for a name: with TLS the engine must be called by it.
    let own = if tls.enabled() { "THIS-MACHINE" } else { "auto" };
    Invitation {
        discovery: discovery.to_string(),
        command: format!("swarmd join{flags} --addr=THIS-MACHINE:{port} {discovery}"),
        config: format!(
            "role = \"agent\"\n\n[discovery]\nurl = \"{discovery}\"\n\n[agent]\nadvertise = \"{own}:{port}\"\n{table}"
        ),
        notes,
    }
}

impl Invitation {
    fn to_text(&self) -> String {
        let indented: String = self
            .config
            .lines()
            .map(|l| if l.is_empty() { "\n".into() } else { format!("    {l}\n") })
            .collect();
        let notes: String = self.notes.iter().map(|note| format!("\n{note}\n")).collect();
        format!(
            "On the machine that joins, where THIS-MACHINE:PORT is where its Docker listens:\n\n    {}\n\n\
             Or in its /etc/swarmd/config.toml, and then `systemctl enable --now swarmd`:\n\n{indented}{notes}",
            self.command
        )
    }
}

/// What to do with a token that was just made.
pub fn after_create(token: &str) -> String {
    format!(
        "That is the token of a new cluster; whoever has it can join. Next:\n  \
         on the manager       swarmd manage -H 0.0.0.0:3376 token://{token}\n  \
         on every machine     swarmd join --addr=THIS-MACHINE:2375 token://{token}\n  \
         on another network   swarmd join --addr=THIS-MACHINE:2375 token://MANAGER:3376/{token}\n\
         or in config.toml: url = \"token://{token}\" under [discovery]; `swarmd join-token agent` prints it all.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::swarmd::talk::LanStatus;

    fn status() -> Status {
        let lan = LanStatus {
            interfaces: "eth0".into(),
            addresses: vec!["10.0.0.1:3376".into()],
            ..LanStatus::default()
        };
        Status {
            host: "boss".into(),
            listeners: vec!["unix:///s".into(), "tcp://[::]:9".into()],
            lan,
            ..Status::default()
        }
    }

    #[test]
    fn the_lines_in_words() {
        let (manager, notes) = whereabouts(Ok(&status()));
        let invitation = lines(&format!("token://{manager}/T"), &Tls::default(), notes);
        assert_eq!(invitation.to_text(), include_str!("golden/join-token.txt"));
    }

    #[test]
    fn with_tls_both_forms_say_so() {
        let tls = Tls { tlsverify: true, ..Tls::default() };
        let invitation = lines("token://b:1/T", &tls, vec![]);
        assert!(
            invitation.command.starts_with("swarmd join --tlsverify --tlscacert="),
            "{}",
            invitation.command
        );
        assert!(invitation.command.ends_with("--addr=THIS-MACHINE:2376 token://b:1/T"));
        assert!(invitation.config.contains("advertise = \"THIS-MACHINE:2376\"\n\n[tls]\ntlsverify = true\n"));
    }

    #[test]
    fn a_manager_that_is_not_advertised_is_named() {
        let mut silent = status();
        silent.lan.silent = Some("[advertise] lan = false".into());
        let (manager, notes) = whereabouts(Ok(&silent));
        assert_eq!(manager, "boss:9");
        assert!(notes[0].contains("lan = false"));
        let (manager, notes) = whereabouts(Err(&Error::store(Kind::Connect, "down")));
        assert_eq!(manager, "MANAGER:3376");
        assert!(notes[0].contains("down"));
    }
}
