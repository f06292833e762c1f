//! Binding a TCP address, with errors that say what to do.
//!
//! It does *not* set options of accepted connections.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket};

use crate::error::{Error, Kind, Result};

/// Connections waiting to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: u32 = 1024;

/// Listens on `host:port`. An empty host is all interfaces, IPv6 and IPv4, or IPv4 alone where IPv6 is off.
/// Of a name's addresses the first IPv4 one is taken, as the classic binary did.
pub(super) fn bind(host: &str, port: u16) -> Result<TcpListener> {
    let fail = |error: io::Error| explain(host, port, &error);
    if host.is_empty() {
        return all_interfaces(port).map_err(fail);
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = (bare, port).to_socket_addrs().map_err(fail)?.collect();
    let first = addresses.iter().find(|a| a.is_ipv4()).or(addresses.first());
    let Some(address) = first else {
        return Err(fail(io::Error::from(io::ErrorKind::AddrNotAvailable)));
    };
    listen(*address).map_err(fail)
}

fn all_interfaces(port: u16) -> io::Result<TcpListener> {
    match listen((Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(error) if no_ipv6(&error) => listen((Ipv4Addr::UNSPECIFIED, port).into()),
        outcome => outcome,
    }
}

/// The kernel without IPv6, or a sandbox that forbids it, says one of these.
fn no_ipv6(error: &io::Error) -> bool {
    matches!(errno(error), Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL | Errno::EPROTONOSUPPORT)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if address.is_ipv6() && address.ip().is_unspecified() {
        // Not left to `net.ipv6.bindv6only`: all interfaces means both families.
        setsockopt(&socket, sockopt::Ipv6V6Only, &false)?;
    }
    // A restart must not wait for old connections in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}

fn explain(host: &str, port: u16, error: &io::Error) -> Error {
    let shown =
        if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    let failed = |kind| Error::us(kind, format!("cannot listen on tcp://{shown}:{port}: {error}"));
    match errno(error) {
        Errno::EADDRINUSE if port == 2375 => failed(Kind::Unavailable)
            .advise("is Docker already running on this machine? Try using a different port"),
        Errno::EADDRINUSE => failed(Kind::Unavailable)
            .advise(format!("`ss -ltnp 'sport = :{port}'` shows which process has it")),
        Errno::EACCES | Errno::EPERM if port < 1024 => failed(Kind::Permission)
            .advise("ports below 1024 need root or CAP_NET_BIND_SERVICE: take a higher one such as 3376"),
        Errno::EACCES | Errno::EPERM => failed(Kind::Permission),
        Errno::EADDRNOTAVAIL => failed(Kind::Unavailable)
            .advise("this machine has no such address: `ip address` shows those it has"),
        _ => failed(Kind::Unavailable).advise("give an address of this machine, or none for all of them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_says_how_to_find_its_holder() {
        let first = bind("127.0.0.1", 0).unwrap();
        let port = first.local_addr().unwrap().port();
        let error = bind("127.0.0.1", port).unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        assert_eq!(error.exit_code(), 69);
        assert!(error.advice.unwrap().contains(&format!("sport = :{port}")));
    }

    #[test]
    fn each_refusal_has_its_kind_and_advice() {
        for (errno, port, kind, advice) in [
            (Errno::EADDRINUSE, 2375, Kind::Unavailable, "is Docker already running on this machine?"),
            (Errno::EADDRINUSE, 3376, Kind::Unavailable, "ss -ltnp 'sport = :3376'"),
            (Errno::EACCES, 80, Kind::Permission, "CAP_NET_BIND_SERVICE"),
            (Errno::EADDRNOTAVAIL, 3376, Kind::Unavailable, "ip address"),
        ] {
            let error = explain("192.0.2.1", port, &errno.into());
            assert_eq!(error.kind, kind);
            assert!(error.advice.as_deref().unwrap().contains(advice), "{error}");
            assert!(error.message.contains(&format!("tcp://192.0.2.1:{port}")), "{error}");
        }
        assert!(explain("::1", 1, &Errno::EINVAL.into()).message.contains("tcp://[::1]:1"));
    }

    #[tokio::test]
    async fn an_empty_host_takes_ipv4_clients() {
        let all = bind("", 0).unwrap();
        let port = all.local_addr().unwrap().port();
        let client = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (_, peer) = all.accept().await.unwrap();
        assert_eq!(peer.port(), client.local_addr().unwrap().port());
    }

    #[test]
    fn only_a_missing_ipv6_leads_to_ipv4_alone() {
        assert!(no_ipv6(&Errno::EAFNOSUPPORT.into()));
        assert!(!no_ipv6(&Errno::EADDRINUSE.into()));
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_refused() {
        // TEST-NET-1 of RFC 5737 belongs to nobody.
        let error = bind("192.0.2.1", 0).unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
    }
}
