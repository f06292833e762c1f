//! Which names and addresses a certificate carries. Pure.
//!
//! A manager is trusted: it gets what it says of itself. An agent gets the address that it asks from, unless that is
//! another's (`claims`), and its host name if that is nobody else's. So no agent ever has a certificate for a manager, nor
//! for another agent.

use std::net::IpAddr;

use crate::error::{Error, Kind, Result};
use crate::tls::pki::book::Record;

/// What every machine calls itself.
const EVERYBODYS: [&str; 2] = ["localhost", "localhost.localdomain"];

/// More than any machine needs.
const MOST_NAMES: usize = 64;

/// What an agent's certificate is for. `peer`: where it asks from. `name`: its node's, once it has one. `others`: all
/// certificates that there are.
///
/// # Errors
/// `Kind::Permission` for the address of a manager.
pub fn of_agent(peer: IpAddr, hostname: &str, name: Option<&str>, others: &[Record]) -> Result<Vec<String>> {
    let address = peer.to_canonical().to_string();
    // On one machine manager and agent may be two processes; loopback is nobody's in particular.
    let is_managers =
        |host: &str| others.iter().any(|r| r.kind == "manager" && r.hosts.iter().any(|h| h == host));
    if is_managers(&address) && !peer.to_canonical().is_loopback() {
        let text = format!("{address} is the address of a manager: no agent gets a certificate for it");
        return Err(Error::client(Kind::Permission, text)
            .advise("on the machine of a manager, role = \"both\" makes its engine part of the cluster"));
    }
    let mut hosts = vec![address];
    let hostname = hostname.to_ascii_lowercase();
    let others_have = || {
        let of_others = |r: &&Record| !(r.kind == "agent" && Some(r.name.as_str()) == name);
        others.iter().filter(of_others).any(|r| r.hosts.contains(&hostname))
    };
    if is_name(&hostname) && !EVERYBODYS.contains(&hostname.as_str()) && !others_have() {
        hosts.push(hostname);
    }
    Ok(hosts)
}

/// What a manager's certificate is for: what it asks for, and where it asks from.
///
/// # Errors
/// `Kind::Invalid` for what can be no name, or too many.
pub fn of_manager(peer: Option<IpAddr>, wanted: &[String]) -> Result<Vec<String>> {
    let mut hosts: Vec<String> = Vec::new();
    for host in wanted {
        let host = match host.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().to_string(),
            Err(_) => host.to_ascii_lowercase(),
        };
        if !(is_name(&host) || host.parse::<IpAddr>().is_ok()) {
            return Err(Error::client(Kind::Invalid, format!("{host:?} is no host name")));
        }
        hosts.push(host);
    }
    hosts.extend(peer.map(|ip| ip.to_canonical().to_string()));
    hosts.sort();
    hosts.dedup();
    match hosts.len() > MOST_NAMES {
        true => Err(Error::client(Kind::Invalid, format!("more than {MOST_NAMES} names"))),
        false => Ok(hosts),
    }
}

/// Whether users may be called so: it stands in logs, file names and certificates.
pub fn is_user(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '@');
    (1..=64).contains(&name.len()) && name.chars().all(fine) && !name.starts_with(['-', '.'])
}

/// A DNS name, lower case.
pub fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    // The last label of a name is no number; that would be an address.
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: &str, name: &str, hosts: &[&str]) -> Record {
        Record {
            serial: "1".into(),
            kind: kind.into(),
            name: name.into(),
            role: String::new(),
            hosts: hosts.iter().map(|h| h.to_string()).collect(),
            hostname: String::new(),
            issued: 0,
            expires: 9,
            ca: String::new(),
            key: String::new(),
        }
    }

    #[test]
    fn an_agent_is_where_it_is() {
        let others = [
            record("manager", "boss", &["boss", "boss.example", "10.0.0.1", "127.0.0.1"]),
            record("agent", "n1", &["10.0.0.2", "pi2"]),
        ];
        let hosts = |peer: &str, hostname: &str, name: Option<&str>| {
            of_agent(peer.parse().unwrap(), hostname, name, &others).map(|hosts| hosts.join(" "))
        };
        assert_eq!(hosts("10.0.0.3", "pi3", None).unwrap(), "10.0.0.3 pi3");
        assert_eq!(hosts("::ffff:10.0.0.3", "PI3", None).unwrap(), "10.0.0.3 pi3");
        for name in
            ["boss", "BOSS.example", "localhost", "pi2", "10.0.0.1", "a b", "-x", "", "*.example", "10.0.0"]
        {
            assert_eq!(hosts("10.0.0.3", name, None).unwrap(), "10.0.0.3", "{name}");
        }
        assert_eq!(hosts("10.0.0.9", "pi2", Some("n1")).unwrap(), "10.0.0.9 pi2", "its own name, elsewhere");
        assert!(hosts("10.0.0.1", "x", None).unwrap_err().message.contains("address of a manager"));
        assert_eq!(hosts("127.0.0.1", "x", None).unwrap(), "127.0.0.1 x");
    }

    #[test]
    fn a_manager_is_what_it_says() {
        let wanted = ["Boss".to_string(), "10.0.0.1".into(), "::ffff:10.0.0.1".into()];
        let hosts = of_manager(Some("10.0.0.1".parse().unwrap()), &wanted).unwrap();
        assert_eq!(hosts, ["10.0.0.1", "boss"]);
        assert!(of_manager(None, &["a b".to_string()]).is_err());
        assert!(of_manager(None, &vec!["x".to_string(); 100]).is_ok());
        let many: Vec<String> = (0..100).map(|n| format!("h{n}")).collect();
        assert!(of_manager(None, &many).is_err());
    }

    #[test]
    fn users_have_plain_names() {
        for (name, fine) in
            [("alice", true), ("ci@lab", true), ("", false), ("a/b", false), ("..", false), ("-x", false)]
        {
            assert_eq!(is_user(name), fine, "{name}");
        }
    }
}
