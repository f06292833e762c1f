//! The sockets that the API listens on: inherited ones first, the rest bound here.
//!
//! It does *not* accept connections, and it does not decide who may connect: see [`Socket::is_exposed`].

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use tokio::net::{TcpListener, UnixListener};

use crate::config::Listen;
use crate::error::{Error, Kind, Result};
use crate::systemd::inherited::{Handed, Inherited, Source, plan};
use crate::systemd::notify::{KEPT, Notifier};
use crate::systemd::tcp_socket;
use crate::systemd::unix_socket::{self, SocketFile};

/// A listening socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP. Keep-alive and the like are set on the accepted connections, by the server.
    Tcp(TcpListener),
    /// A unix socket and its file. The file goes away with the second part, if we made it.
    Unix(UnixListener, SocketFile),
}

impl Socket {
    /// The TCP address bound, `None` for a unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Socket::Tcp(tcp) => tcp.local_addr().ok(),
            Socket::Unix(..) => None,
        }
    }

    /// Whether other machines can reach it. An inherited socket is judged by its real address: the
    /// configuration may not say where it listens, so the rule that an exposed port wants client
    /// certificates has to be held against this as well.
    pub fn is_exposed(&self) -> bool {
        match self {
            Socket::Tcp(tcp) => tcp.local_addr().is_ok_and(|a| !a.ip().to_canonical().is_loopback()),
            Socket::Unix(..) => false,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(tcp) => tcp.as_fd(),
            Socket::Unix(unix, _) => unix.as_fd(),
        }
    }
}

/// As in the configuration: `tcp://127.0.0.1:3376`, `unix:///run/swarmd/swarmd.sock`.
impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Socket::Tcp(_) => match self.local_addr() {
                Some(address) => write!(f, "tcp://{address}"),
                None => f.write_str("tcp://?"),
            },
            Socket::Unix(_, file) => write!(f, "unix://{}", file.path().display()),
        }
    }
}

/// Opens all sockets, in the order of `listen` (what `fd://` stands for comes last), and has the supervisor keep those
/// TCP ones that it did not make itself. Inside a tokio runtime.
///
/// `unix_group` (name or number) owns the unix sockets made here, mode 0660; `None` leaves them to the
/// group of this process. Errors: address in use or not of this machine `Unavailable`, not allowed
/// `Permission`, an inherited socket that is not there `Config`.
pub fn bind(
    listen: &[Listen],
    inherited: Inherited,
    unix_group: Option<&str>,
    notifier: &Notifier,
) -> Result<Vec<Socket>> {
    let sources = plan(listen, &inherited.addresses()?)?;
    let mut handed = inherited.into_slots();
    let mut sockets = Vec::with_capacity(sources.len());
    let mut own = Vec::new();
    for source in sources {
        match source {
            Source::Inherited(position) => {
                if let Some((name, socket)) = handed.get_mut(position).and_then(Option::take) {
                    own.extend((name == KEPT).then_some(sockets.len()));
                    sockets.push(adopt(&name, socket)?);
                }
            }
            Source::Bind(Listen::Tcp { host, port }) => {
                own.push(sockets.len());
                sockets.push(Socket::Tcp(tcp_socket::bind(&host, port)?));
            }
            Source::Bind(Listen::Unix(path)) => {
                let (listener, file) = unix_socket::bind(&path, unix_group)?;
                sockets.push(Socket::Unix(listener, file));
            }
            Source::Bind(Listen::Inherited(_)) => {} // `plan` refuses those it cannot find
        }
    }
    for (name, _) in handed.into_iter().flatten().filter(|(name, _)| name != KEPT) {
        tracing::warn!(name, "an inherited socket is not used: no host entry asks for it");
    }
    let kept: Vec<_> =
        own.into_iter().filter_map(|position| sockets.get(position)).map(Socket::as_fd).collect();
    notifier.keep(&kept);
    Ok(sockets)
}

fn adopt(name: &str, handed: Handed) -> Result<Socket> {
    let fail = |error: std::io::Error| Error::us(Kind::Internal, format!("inherited socket {name}: {error}"));
    match handed {
        Handed::Tcp(tcp) => {
            tcp.set_nonblocking(true).map_err(fail)?;
            Ok(Socket::Tcp(TcpListener::from_std(tcp).map_err(fail)?))
        }
        Handed::Unix(unix) => {
            unix.set_nonblocking(true).map_err(fail)?;
            let address = unix.local_addr().map_err(fail)?;
            let file = SocketFile::of_others(address.as_pathname().unwrap_or("".as_ref()));
            Ok(Socket::Unix(UnixListener::from_std(unix).map_err(fail)?, file))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn tcp(host: &str, port: u16) -> Listen {
        Listen::Tcp { host: host.into(), port }
    }

    #[tokio::test]
    async fn an_inherited_socket_is_served_and_not_bound_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("local.sock");
        let std_tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = std_tcp.local_addr().unwrap().port();
        let std_unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let inherited = Inherited::from_sockets(vec![
            ("api".into(), Handed::Tcp(std_tcp)),
            ("local".into(), Handed::Unix(std_unix)),
        ]);
        let listen = [tcp("127.0.0.1", port), Listen::Inherited(Some("local".into()))];
        let sockets = bind(&listen, inherited, None, &Notifier::default()).unwrap();
        assert_eq!(sockets[0].to_string(), format!("tcp://127.0.0.1:{port}"));
        assert_eq!(sockets[1].to_string(), format!("unix://{}", path.display()));
        let [Socket::Tcp(tcp), Socket::Unix(unix, _)] = &sockets[..] else {
            panic!("unexpected {sockets:?}");
        };
        let client = std::thread::spawn({
            let path = path.clone();
            move || {
                std::net::TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"x").unwrap();
                std::os::unix::net::UnixStream::connect(path).unwrap();
            }
        });
        tcp.accept().await.unwrap();
        unix.accept().await.unwrap();
        client.join().unwrap();
        drop(sockets);
        assert!(path.exists(), "the file belongs to the supervisor");
    }

    #[tokio::test]
    async fn exposed_is_what_other_machines_can_reach() {
        let dir = tempfile::tempdir().unwrap();
        let listen = [tcp("127.0.0.1", 0), tcp("", 0), tcp("0.0.0.0", 0), Listen::Unix(dir.path().join("s"))];
        let sockets = bind(&listen, Inherited::default(), None, &Notifier::default()).unwrap();
        let exposed: Vec<bool> = sockets.iter().map(Socket::is_exposed).collect();
        assert_eq!(exposed, [false, true, true, false]);
    }
}
