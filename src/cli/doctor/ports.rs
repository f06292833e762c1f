//! The ports that the manager and an engine's front want: free, or held by swarmd itself.
//!
//! The kernel's tables tell who listens. Nothing is bound, and nothing is connected to.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::finding::Finding;
use crate::config::{Config, Listen};
use crate::discovery::lan::interfaces;

/// One socket that listens.
#[derive(Debug, PartialEq, Eq)]
struct Listener {
    at: SocketAddr,
    inode: u64,
}

/// One finding for each address.
pub fn look(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    if !config.role.manages() {
        found.extend(idle_units(Path::new("/etc/systemd/system/sockets.target.wants")));
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut listeners = parse(&read("/proc/net/tcp"));
    listeners.extend(parse(&read("/proc/net/tcp6")));
    let here: Vec<IpAddr> = interfaces::here(&["*".to_string()]).into_iter().map(|a| a.ip).collect();
    let api = config.manager.host.iter().filter(|_| config.role.manages());
    let front = config.agent.front.iter().filter(|_| config.role.joins());
    let wanted = api.chain(front).filter_map(|listen| match listen {
        Listen::Tcp { host, port } if *port > 0 => Some((host.as_str(), *port)),
        _ => None,
    });
    found.extend(wanted.map(|(host, port)| judge(host, port, &listeners, &here, owner)));
    found
}

/// An agent listens nowhere, but a socket unit of ours would.
fn idle_units(wants: &Path) -> Option<Finding> {
    let enabled: Vec<&str> = ["swarmd.socket", "swarmd-local.socket"]
        .into_iter()
        .filter(|unit| wants.join(unit).symlink_metadata().is_ok())
        .collect();
    (!enabled.is_empty()).then(|| {
        let units = enabled.join(" ");
        Finding::fail(
            "ports",
            format!("{units} listens, but role \"agent\" answers nobody: the agent does not start"),
            format!("`systemctl disable --now {units}`"),
        )
    })
}

fn judge(
    host: &str,
    port: u16,
    listeners: &[Listener],
    here: &[IpAddr],
    owner: impl Fn(u64) -> Option<String>,
) -> Finding {
    let shown = format!("tcp://{host}:{port}");
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let ip: Option<IpAddr> = match bare {
        "" => Some(Ipv6Addr::UNSPECIFIED.into()),
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        literal => literal.parse().ok(),
    };
    let Some(ip) = ip else { return Finding::pass("ports", format!("{shown}: a name, see dns")) };
    if !ip.is_unspecified() && !ip.is_loopback() && !here.contains(&ip) {
        let text = format!("{shown}: this machine has no address {ip}");
        return Finding::fail(
            "ports",
            text,
            "`ip address` shows those it has; \"tcp://0.0.0.0:PORT\" is all of them",
        );
    }
    let clash = |l: &&Listener| {
        let any = ip.is_unspecified() || l.at.ip().is_unspecified();
        l.at.port() == port && (any || l.at.ip().to_canonical() == ip.to_canonical())
    };
    let Some(taken) = listeners.iter().find(clash) else {
        return match port < 1024 {
            true => Finding::warn(
                "ports",
                format!("{shown}: free, but ports below 1024 are for root"),
                "take a higher one such as 3376, or `systemctl edit swarmd`: AmbientCapabilities=CAP_NET_BIND_SERVICE",
            ),
            false => Finding::pass("ports", format!("{shown}: free")),
        };
    };
    match owner(taken.inode).as_deref() {
        // The supervisor holds it for us, or will hand it over.
        Some(name @ ("swarmd" | "systemd")) => Finding::pass("ports", format!("{shown}: held by {name}")),
        Some(name) => Finding::fail(
            "ports",
            format!("{shown}: {name} listens there"),
            format!("stop it, or set another port: `ss -ltnp 'sport = :{port}'` shows it"),
        ),
        None => Finding::warn(
            "ports",
            format!("{shown}: somebody listens there, and this user cannot see who"),
            "run `swarmd check` as root; if it is swarmd itself, all is well",
        ),
    }
}

/// The listening sockets of `/proc/net/tcp` or `tcp6`.
fn parse(table: &str) -> Vec<Listener> {
    const LISTENS: &str = "0A";
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (at, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        (*state == LISTENS).then_some(())?;
        Some(Listener { at: address(at)?, inode: inode.parse().ok()? })
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// `0100007F:0CF8`: words in the machine's byte order, as the kernel prints them.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let mut bytes = [0; 16];
            words.concat().iter().zip(&mut bytes).for_each(|(from, to)| *to = *from);
            IpAddr::from(bytes)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// The name of a process that has this socket. The supervisor's comes last: it has copies of what it handed over.
fn owner(inode: u64) -> Option<String> {
    let wanted = format!("socket:[{inode}]");
    let mut names = HashSet::new();
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let has = |fd: std::fs::DirEntry| {
            std::fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str())
        };
        if descriptors.flatten().any(has) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            names.insert(name.trim().to_string());
        }
    }
    let others: Vec<&String> = names.iter().filter(|name| *name != "systemd").collect();
    others.first().copied().or_else(|| names.iter().next()).cloned()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_port_is_free_ours_or_somebody_elses() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:0D30 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0\n   \
                     1: 0100007F:0050 0100007F:0001 01 00000000:00000000 00:00000000 00000000     0        0 78 1 0\n";
        let listeners = parse(table);
        assert_eq!(listeners, [Listener { at: "127.0.0.1:3376".parse().unwrap(), inode: 77 }]);
        let here = ["10.0.0.1".parse().unwrap()];
        for (host, port, name, verdict) in [
            ("127.0.0.1", 3377, None, Verdict::Pass),
            ("127.0.0.1", 3376, Some("swarmd"), Verdict::Pass),
            ("", 3376, Some("systemd"), Verdict::Pass),
            ("0.0.0.0", 3376, Some("nginx"), Verdict::Fail),
            ("localhost", 3376, None, Verdict::Warn),
            ("10.0.0.1", 3376, None, Verdict::Pass),
            ("10.0.0.2", 3376, None, Verdict::Fail),
            ("", 80, None, Verdict::Warn),
        ] {
            let owner = |inode| {
                assert_eq!(inode, 77);
                name.map(str::to_string)
            };
            assert_eq!(
                judge(host, port, &listeners, &here, owner).verdict,
                verdict,
                "{host}:{port} {name:?}"
            );
        }
        assert_eq!(
            address("00000000000000000000000001000000:0D30").unwrap(),
            "[::1]:3376".parse::<SocketAddr>().unwrap()
        );
    }

    #[test]
    fn our_own_listener_is_found_in_the_tables() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let listeners = parse(&std::fs::read_to_string("/proc/net/tcp").unwrap());
        let listener = listeners.iter().find(|l| l.at == at).unwrap();
        assert!(owner(listener.inode).is_some());
    }

    #[test]
    fn an_agent_with_a_socket_unit_is_told() {
        let wants = tempfile::tempdir().unwrap();
        assert_eq!(idle_units(wants.path()), None);
        std::os::unix::fs::symlink("/nowhere", wants.path().join("swarmd.socket")).unwrap();
        let found = idle_units(wants.path()).unwrap();
        assert_eq!(found.verdict, Verdict::Fail);
        assert_eq!(found.cure.as_deref(), Some("`systemctl disable --now swarmd.socket`"));
    }
}
