//! The sockets that the API and the engine's front listen on: inherited ones first, the rest bound here.
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

/// What to listen on.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// `manager.host`, if this process serves the API.
    pub api: &'a [Listen],
    /// Name or number of the group that owns the unix sockets made here, mode 0660; `None` leaves them to the
    /// group of this process.
    pub unix_group: Option<&'a str>,
    /// `agent.front`, if this process serves its engine.
    pub front: Option<&'a Listen>,
}

/// What is listened on.
#[derive(Debug)]
pub struct Opened {
    /// In the order of `Wanted::api`; what `fd://` stands for comes last.
    pub api: Vec<Socket>,
    /// That of the front.
    pub front: Option<Socket>,
}

/// Opens all sockets, and has the supervisor keep those TCP ones that it did not make itself; none of before that
/// nobody here would answer on. Inside a tokio runtime.
///
/// Errors: address in use or not of this machine `Unavailable`, not allowed `Permission`, an inherited socket that
/// is not there `Config`.
pub fn bind(wanted: &Wanted<'_>, inherited: Inherited, notifier: &Notifier) -> Result<Opened> {
    let addresses = inherited.addresses()?;
    let plan = plan(wanted.api, wanted.front, &addresses)?;
    // Kept for a configuration that has changed since. They go first: an old one may hold the port of a new one.
    let idle = |at: usize| addresses[at].0 == KEPT && !plan.takes(at);
    let dropped = (0..addresses.len()).any(idle);
    let mut opening = Opening { handed: inherited.into_slots(idle), unix_group: wanted.unix_group };
    if dropped {
        notifier.keep(&[]);
        notifier.settle();
    }
    // The front first, so that it has its socket before all that is left goes to `fd://`.
    let front = plan.front.map(|source| opening.open(source)).transpose()?.flatten();
    let mut api = Vec::with_capacity(plan.api.len());
    for source in plan.api {
        api.extend(opening.open(source)?);
    }
    for (name, _) in opening.handed.into_iter().flatten().filter(|(name, _)| name != KEPT) {
        tracing::warn!(name, "an inherited socket is not used: no host entry asks for it");
    }
    let all = front.iter().chain(&api);
    let kept: Vec<_> = all.filter(|(_, ours)| *ours).map(|(socket, _)| socket.as_fd()).collect();
    notifier.keep(&kept);
    let bare = |(socket, _)| socket;
    Ok(Opened { api: api.into_iter().map(bare).collect(), front: front.map(bare) })
}

/// What was handed over and not used yet, and how to make the rest.
struct Opening<'a> {
    handed: Vec<Option<(String, Handed)>>,
    unix_group: Option<&'a str>,
}

impl Opening<'_> {
    /// The socket, and whether the supervisor should keep it for us.
    fn open(&mut self, source: Source) -> Result<Option<(Socket, bool)>> {
        Ok(match source {
            Source::Inherited(position) => match self.handed.get_mut(position).and_then(Option::take) {
                Some((name, socket)) => Some((adopt(&name, socket)?, name == KEPT)),
                None => None,
            },
            Source::Bind(Listen::Tcp { host, port }) => {
                Some((Socket::Tcp(tcp_socket::bind(&host, port)?), true))
            }
            Source::Bind(Listen::Unix(path)) => {
                let (listener, file) = unix_socket::bind(&path, self.unix_group)?;
                Some((Socket::Unix(listener, file), false))
            }
            Source::Bind(Listen::Inherited(_)) => None, // `plan` refuses those it cannot find
        })
    }
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
        let wanted = Wanted { api: &listen, ..Wanted::default() };
        let sockets = bind(&wanted, inherited, &Notifier::default()).unwrap().api;
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
        let wanted = Wanted { api: &listen, ..Wanted::default() };
        let sockets = bind(&wanted, Inherited::default(), &Notifier::default()).unwrap().api;
        let exposed: Vec<bool> = sockets.iter().map(Socket::is_exposed).collect();
        assert_eq!(exposed, [false, true, true, false]);
    }
}
