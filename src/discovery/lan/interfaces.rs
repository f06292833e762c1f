//! Which addresses of this machine are those of a LAN.
//!
//! The choice is pure; `here` reads what there is.

use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// How the interfaces are called that belong to containers and virtual machines: nobody on the LAN can connect
/// to what is behind them.
const OF_CONTAINERS: [&str; 16] = [
    "docker", "br-", "veth", "virbr", "vnet", "cni", "podman", "flannel", "cali", "cilium", "lxc", "lxdbr",
    "vxlan", "kube", "nerdctl", "tunl",
];

/// One address of one interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The interface's name.
    pub interface: String,
    /// The address.
    pub ip: IpAddr,
}

/// Whether this address is used. `patterns` are names of interfaces, `*` at the end stands for the rest; an
/// interface that is named is used whatever it is. Without patterns all are used but loopback and those of
/// containers. A link-local IPv6 address never is: what it means depends on who reads it.
pub fn takes(patterns: &[String], name: &str, ip: IpAddr) -> bool {
    let scoped = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let wanted = match patterns.is_empty() {
        true => !ip.is_loopback() && !OF_CONTAINERS.iter().any(|prefix| name.starts_with(prefix)),
        false => patterns.iter().any(|pattern| matches(pattern, name)),
    };
    wanted && !scoped
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

/// Whether a socket that listens at `bound` is reached at `ip`.
pub fn reaches(bound: SocketAddr, ip: IpAddr) -> bool {
    match bound.ip() {
        IpAddr::V4(any) if any.is_unspecified() => ip.is_ipv4(),
        // Both families: `tcp_socket` never binds it to IPv6 alone.
        IpAddr::V6(any) if any.is_unspecified() => true,
        one => one.to_canonical() == ip,
    }
}

/// The addresses of this machine that are used, in order.
pub fn here(patterns: &[String]) -> Vec<Address> {
    let all = getifaddrs().into_iter().flatten().filter(|i| i.flags.contains(InterfaceFlags::IFF_UP));
    let mut found: Vec<Address> = all
        .filter_map(|i| {
            let storage = i.address?;
            let v4 = storage.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            let ip = v4.or_else(|| storage.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))?;
            Some(Address { interface: i.interface_name, ip })
        })
        .filter(|a| takes(patterns, &a.interface, a.ip))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The names of the interfaces, for people: `eth0, wlan0`.
pub fn names(addresses: &[Address]) -> String {
    let mut names: Vec<&str> = addresses.iter().map(|a| a.interface.as_str()).collect();
    names.dedup();
    match names.is_empty() {
        true => "any interface (there is none with an address)".to_string(),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn by_default_all_but_loopback_and_containers() {
        for (name, address, used) in [
            ("eth0", "10.0.0.1", true),
            ("wlan0", "192.168.1.5", true),
            ("br0", "192.168.1.5", true),
            ("bridge0", "192.168.1.5", true),
            ("eth0", "2001:db8::1", true),
            ("eth0", "169.254.3.4", true),
            ("eth0", "fe80::1", false),
            ("lo", "127.0.0.1", false),
            ("lo", "::1", false),
            ("docker0", "172.17.0.1", false),
            ("docker_gwbridge", "172.18.0.1", false),
            ("br-0123456789ab", "172.19.0.1", false),
            ("veth12ab", "10.0.0.9", false),
            ("virbr0", "192.168.122.1", false),
            ("cni0", "10.244.0.1", false),
            ("podman1", "10.88.0.1", false),
        ] {
            assert_eq!(takes(&[], name, ip(address)), used, "{name} {address}");
        }
    }

    #[test]
    fn who_names_interfaces_gets_those_and_no_others() {
        let only = ["lo".to_string(), "wl*".to_string()];
        for (name, address, used) in [
            ("lo", "127.0.0.1", true),
            ("wlan0", "10.0.0.1", true),
            ("eth0", "10.0.0.2", false),
            ("wlan0", "fe80::1", false),
        ] {
            assert_eq!(takes(&only, name, ip(address)), used, "{name} {address}");
        }
    }

    #[test]
    fn a_listener_is_reached_where_it_is_bound() {
        for (bound, address, reached) in [
            ("0.0.0.0:1", "10.0.0.1", true),
            ("0.0.0.0:1", "2001:db8::1", false),
            ("[::]:1", "10.0.0.1", true),
            ("[::]:1", "2001:db8::1", true),
            ("10.0.0.1:1", "10.0.0.1", true),
            ("10.0.0.1:1", "10.0.0.2", false),
            ("127.0.0.1:1", "10.0.0.1", false),
            ("[::ffff:10.0.0.1]:1", "10.0.0.1", true),
        ] {
            assert_eq!(reaches(bound.parse().unwrap(), ip(address)), reached, "{bound} {address}");
        }
    }

    #[test]
    fn this_machine_has_a_loopback() {
        let loopback = here(&["lo".to_string()]);
        assert!(loopback.iter().any(|a| a.ip == ip("127.0.0.1")), "{loopback:?}");
        assert!(here(&[]).iter().all(|a| !a.ip.is_loopback()));
        assert!(names(&[]).contains("there is none"));
    }

    proptest! {
        #[test]
        fn what_no_pattern_names_is_never_used(name in "[a-z]{1,5}[0-9]?", pattern in "[a-z]{1,5}[*]?", v4 in any::<u32>()) {
            let used = takes(std::slice::from_ref(&pattern), &name, IpAddr::V4(v4.into()));
            prop_assert_eq!(used, name == pattern || (pattern.ends_with('*') && name.starts_with(pattern.trim_end_matches('*'))));
        }
    }
}
