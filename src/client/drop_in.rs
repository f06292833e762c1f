//! The drop-in that `swarmd join` writes beside the configuration file: what the daemon must know to be a member.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::client::join::{Plan, unwritable};
use crate::config::{Listen, Role};
use crate::docker::endpoint::Endpoint;
use crate::enroll::talk::Membership;
use crate::error::Result;
use crate::tls::pki::pin::Joins;

/// Its path from there.
const DROP_IN: &str = "config.d/50-joined.toml";
/// Where agents serve their engine to managers.
const FRONT: u16 = 2376;

/// Writes it; returns where it is. The group may read it.
///
/// # Errors
/// Those of the disk.
pub(super) fn write(plan: &Plan, membership: &Membership, group: u32) -> Result<PathBuf> {
    let path = plan.file.with_file_name(DROP_IN);
    put(&path, &text(plan, membership), group)?;
    Ok(path)
}

/// What stands in it.
fn text(plan: &Plan, membership: &Membership) -> String {
    let manager = &plan.manager;
    let discovery = match membership.discovery.strip_prefix("token://") {
        Some(token) if !token.contains('/') => format!("token://{manager}/{token}"),
        _ => membership.discovery.clone(),
    };
    // Whoever registers with a manager sees the way there; a store is anywhere.
    let own = if discovery.starts_with("token://") { "auto".to_string() } else { here(plan, membership) };
    // Said in so many words: whoever advertises something and says no more has a Docker that listens itself.
    let (front, port) = match &plan.config.agent.front {
        Some(front @ Listen::Tcp { port, .. }) => (front.to_string(), *port),
        _ => (format!(":{FRONT}"), FRONT),
    };
    let agent = format!("[agent]\nfront = \"{front}\"\nadvertise = \"{own}:{port}\"\n\n");
    // The package's "both" is of a machine by itself. Who has said how other managers come to this engine means it.
    let is_node = plan.config.role == Role::Both && plan.config.agent.front.is_some();
    let (role, agent) = match plan.token.joins {
        Joins::Agent => ("agent", agent),
        Joins::Manager if is_node => ("both", agent),
        Joins::Manager => ("manager", String::new()),
    };
    let managers = managers(plan, membership);
    format!(
        "# Written by `swarmd join`, which replaces it when this machine joins again.\nrole = \"{role}\"\n\n\
         [discovery]\nurl = \"{discovery}\"\n\n{agent}[pki]\nenabled = true\nmanagers = [{managers}]\n"
    )
}

/// Where others reach this machine: an agent at the address that the manager saw, a manager where it says.
fn here(plan: &Plan, membership: &Membership) -> String {
    let said = plan.config.manager.advertise.as_deref().and_then(|address| address.rsplit_once(':'));
    let host = match (plan.token.joins, said) {
        (Joins::Manager, Some((host, _))) => return host.to_string(),
        _ => membership.hosts.first().map_or("THIS-MACHINE", String::as_str),
    };
    if host.contains(':') { format!("[{host}]") } else { host.to_string() }
}

/// Where the certificate is renewed: at the manager of the line, and where the CA is if that is another.
fn managers(plan: &Plan, membership: &Membership) -> String {
    let further = membership.managers.iter().filter_map(|text| Endpoint::parse(text).ok());
    let mut all = vec![plan.manager.clone()];
    for manager in further.filter(|manager| matches!(manager, Endpoint::Tcp { .. })) {
        if !all.contains(&manager) {
            all.push(manager);
        }
    }
    all.iter().map(|manager| format!("\"{manager}\"")).collect::<Vec<_>>().join(", ")
}

/// It holds the token of the list: for root and the service only.
fn put(path: &Path, text: &str, group: u32) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let fresh = path.with_extension("new");
    let written = fs::create_dir_all(folder).and_then(|()| {
        let _ = fs::remove_file(&fresh);
        fs::write(&fresh, "")?;
        fs::set_permissions(&fresh, PermissionsExt::from_mode(0o640))?;
        fs::write(&fresh, text)?;
        chown(&fresh, None, Some(group))?;
        fs::rename(&fresh, path)
    });
    written.map_err(|e| unwritable(path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::tls::pki::pin::{JoinToken, Pin};

    fn plan(role: Joins) -> Plan {
        let token = JoinToken { joins: role, pin: Pin::of_key(b"k"), id: "i".into(), secret: "s".into() };
        Plan {
            token,
            manager: Endpoint::parse("boss:3376").unwrap(),
            config: Config::default(),
            file: "/etc/swarmd/config.toml".into(),
            no_start: true,
        }
    }

    #[test]
    fn the_drop_in_is_a_configuration_that_runs() {
        for (role, discovery, url) in [
            (Joins::Agent, "token://T", "token://boss:3376/T"),
            (Joins::Agent, "etcd://s:1/p", "etcd://s:1/p"),
            (Joins::Manager, "etcd://s:1/p", "etcd://s:1/p"),
        ] {
            let hosts = vec!["fd00::7".to_string()];
            let membership = Membership { discovery: discovery.into(), hosts, ..Membership::default() };
            let home = tempfile::tempdir().unwrap();
            let file = home.path().join("config.toml");
            // As the package installs it.
            fs::write(&file, include_str!("../../etc/config.toml")).unwrap();
            let group = nix::unistd::getegid().as_raw();
            let drop_in = write(&Plan { file: file.clone(), ..plan(role) }, &membership, group).unwrap();
            assert_eq!(fs::metadata(&drop_in).unwrap().permissions().mode() & 0o777, 0o640);
            let mut sources = crate::config::load::Sources::new(crate::config::check::Purpose::Run, "swarmd");
            sources.file = Some((file, true));
            let loaded = sources.load().unwrap();
            assert_eq!(loaded.config.discovery.url.as_deref(), Some(url));
            assert_eq!(loaded.config.pki.managers, ["boss:3376"]);
            assert!(loaded.config.has_pki());
            assert_eq!(loaded.config.registers(), role == Joins::Agent);
            let front = (role == Joins::Agent).then(|| Listen::Tcp { host: String::new(), port: FRONT });
            assert_eq!(loaded.config.agent.front, front, "the agent serves Docker, which does not listen");
            // Once more, on a machine that has joined.
            let again = text(&Plan { config: loaded.config, ..plan(role) }, &membership);
            assert_eq!(again.contains("front"), role == Joins::Agent);
        }
    }

    #[test]
    fn a_manager_whose_engine_has_a_front_stays_a_node() {
        let membership = Membership {
            discovery: "etcd://s:1".into(),
            hosts: vec!["127.0.0.1".into()],
            ..Membership::default()
        };
        let mut plan = plan(Joins::Manager);
        plan.config.role = Role::Both;
        assert!(text(&plan, &membership).contains("role = \"manager\"\n"), "as the package installs it");
        plan.config.agent.front = Some(Listen::Tcp { host: String::new(), port: 2386 });
        plan.config.manager.advertise = Some("[fd00::2]:3376".into());
        let text = text(&plan, &membership);
        assert!(text.contains("role = \"both\"\n"), "{text}");
        assert!(text.contains("front = \"tcp://:2386\"\nadvertise = \"[fd00::2]:2386\"\n"), "{text}");
    }

    #[test]
    fn the_way_to_the_ca_is_kept_beside_that_of_the_line() {
        for (said, kept) in [
            (vec![], "\"boss:3376\""),
            (vec!["boss:3376"], "\"boss:3376\""),
            (vec!["first:3376", "unix:///x", "nonsense"], "\"boss:3376\", \"first:3376\""),
        ] {
            let further = said.into_iter().map(String::from).collect();
            let membership = Membership { managers: further, ..Membership::default() };
            assert_eq!(managers(&plan(Joins::Agent), &membership), kept);
        }
    }
}
