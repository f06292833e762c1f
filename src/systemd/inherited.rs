//! Sockets that the supervisor made for us (sd_listen_fds(3)), and which configured address each stands for.
//!
//! Taking them is I/O and happens once; the matching in [`plan`] is pure. It does *not* open sockets: see
//! `sockets`.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use crate::config::{Config, Listen};
use crate::error::{Error, Kind, Result};
use crate::systemd::notify::KEPT;

/// The sockets handed to this process, in the order given.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(String, Handed)>,
}

/// A listening socket as it was handed over.
#[derive(Debug)]
pub enum Handed {
    /// `ListenStream=3376`
    Tcp(TcpListener),
    /// `ListenStream=/run/…`
    Unix(UnixListener),
}

/// What an inherited socket listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Address and port.
    Tcp(SocketAddr),
    /// Path; empty for an unnamed or abstract socket.
    Unix(PathBuf),
}

/// Where the socket for an address comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The inherited socket at this position.
    Inherited(usize),
    /// None inherited: bind it.
    Bind(Listen),
}

/// Where all sockets come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Those of the API.
    pub(super) api: Vec<Source>,
    /// That of the engine's front.
    pub(super) front: Option<Source>,
}

impl Plan {
    /// Whether the inherited socket at this position is used.
    pub(super) fn takes(&self, position: usize) -> bool {
        self.api.iter().chain(&self.front).any(|source| *source == Source::Inherited(position))
    }
}

impl Inherited {
    /// Takes the sockets named by `LISTEN_FDS`. To be called before any thread exists, since it takes the
    /// variables out of the environment.
    pub fn take() -> Result<Inherited> {
        let names = sd_notify::listen_fds_with_names().map_err(|e| unusable("LISTEN_FDS", &e))?;
        let names: Vec<String> = names.map(|(_, name)| name).collect();
        if names.is_empty() {
            return Ok(Inherited::default());
        }
        let mut fds = listenfd::ListenFd::from_env();
        let mut sockets = Vec::with_capacity(names.len());
        for (position, name) in names.into_iter().enumerate() {
            // An `Err` leaves the descriptor in place, so the second try sees it too.
            let handed = match fds.take_tcp_listener(position) {
                Ok(Some(tcp)) => Handed::Tcp(tcp),
                _ => match fds.take_unix_listener(position) {
                    Ok(Some(unix)) => Handed::Unix(unix),
                    Ok(None) => continue,
                    Err(error) => return Err(unusable(&name, &error)),
                },
            };
            sockets.push((name, handed));
        }
        Ok(Inherited { sockets })
    }

    /// Sockets made elsewhere under these names.
    pub fn from_sockets(sockets: Vec<(String, Handed)>) -> Inherited {
        Inherited { sockets }
    }

    /// Whether nothing was handed over.
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// For a role that serves nothing, but perhaps a front: other sockets of units are an error. Their supervisor goes on listening whatever
    /// we do, so clients would wait for an answer that never comes. What was kept for us is no unit's.
    pub fn refuse_units(&self, front: Option<&Listen>) -> Result<()> {
        let all = self.addresses()?;
        let fronts = front.map(|one| matching(one, &all)).unwrap_or_default();
        let idle = |(at, (name, _)): &(usize, &(String, Address))| name != KEPT && !fronts.contains(at);
        let Some((_, (unit, _))) = all.iter().enumerate().find(idle) else { return Ok(()) };
        Err(Error::us(
            Kind::Config,
            format!("role \"agent\" answers nobody, but the supervisor hands it the socket {unit:?}"),
        )
        .advise(
            "`systemctl disable --now swarmd.socket swarmd-local.socket` and start swarmd again, or set role = \"both\"",
        ))
    }

    /// Name and address of each.
    pub(super) fn addresses(&self) -> Result<Vec<(String, Address)>> {
        self.sockets
            .iter()
            .map(|(name, handed)| Ok((name.clone(), handed.address().map_err(|e| unusable(name, &e))?)))
            .collect()
    }

    /// The sockets by position; each may be taken once. Those at positions that are `idle` are closed.
    pub(super) fn into_slots(self, idle: impl Fn(usize) -> bool) -> Vec<Option<(String, Handed)>> {
        self.sockets.into_iter().enumerate().map(|(at, socket)| (!idle(at)).then_some(socket)).collect()
    }
}

impl Handed {
    fn address(&self) -> std::io::Result<Address> {
        Ok(match self {
            Handed::Tcp(tcp) => Address::Tcp(tcp.local_addr()?),
            Handed::Unix(unix) => {
                let address = unix.local_addr()?;
                Address::Unix(address.as_pathname().map(PathBuf::from).unwrap_or_default())
            }
        })
    }
}

fn unusable(name: &str, error: &std::io::Error) -> Error {
    Error::us(Kind::Config, format!("inherited socket {name}: {error}"))
        .advise("swarmd takes listening TCP and unix stream sockets: check the .socket unit")
}

/// Decides for each configured address where its socket comes from. Sockets that were kept for us over a restart
/// count by their address only: the configuration may have changed since.
///
/// * hosts left at their default, and something inherited: all that is inherited;
/// * `fd://` all that is inherited and not yet spoken for, `fd://name` all of that name;
/// * an address equal to that of an inherited socket: that socket;
/// * else bind.
///
/// The same address twice counts once. `front` has its socket before the API, which then does not count it among
/// "all that is inherited".
pub(super) fn plan(
    listen: &[Listen],
    front: Option<&Listen>,
    inherited: &[(String, Address)],
) -> Result<Plan> {
    let front = front.map(|one| source_of_one(one, inherited)).transpose()?;
    let spoken_for = |position: &usize| front != Some(Source::Inherited(*position));
    let matching = |one: &Listen| matching(one, inherited).into_iter().filter(spoken_for).collect::<Vec<_>>();
    let units = matching(&Listen::Inherited(None));
    if !units.is_empty() && is_default(listen) {
        return Ok(Plan { api: units.into_iter().map(Source::Inherited).collect(), front });
    }
    let mut sources = Vec::new();
    // Named ones and addresses first, so that `fd://` takes the rest wherever it stands in the list.
    let (rest, named): (Vec<_>, Vec<_>) = listen.iter().partition(|l| **l == Listen::Inherited(None));
    for one in named.into_iter().chain(rest) {
        let positions = matching(one);
        let found = match one {
            Listen::Inherited(name) if positions.is_empty() => {
                return Err(not_there(name.as_deref(), inherited));
            }
            _ if positions.is_empty() => vec![Source::Bind(one.clone())],
            _ => positions.into_iter().map(Source::Inherited).collect(),
        };
        for source in found {
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
    }
    Ok(Plan { api: sources, front })
}

fn source_of_one(listen: &Listen, inherited: &[(String, Address)]) -> Result<Source> {
    match (matching(listen, inherited).first(), listen) {
        (Some(position), _) => Ok(Source::Inherited(*position)),
        (None, Listen::Inherited(name)) => Err(not_there(name.as_deref(), inherited)),
        (None, _) => Ok(Source::Bind(listen.clone())),
    }
}

/// The default of `swarmd run`, or that of the classic `manage`.
fn is_default(listen: &[Listen]) -> bool {
    let classic = Listen::Tcp { host: "127.0.0.1".into(), port: 2375 };
    listen == Config::default().manager.host || listen == [classic]
}

fn matching(listen: &Listen, inherited: &[(String, Address)]) -> Vec<usize> {
    let fits = |(name, address): &(String, Address)| match (listen, address) {
        (Listen::Inherited(None), _) => name != KEPT,
        (Listen::Inherited(Some(wanted)), _) => wanted == name && name != KEPT,
        (Listen::Unix(path), Address::Unix(bound)) => path == bound,
        (Listen::Tcp { host, port }, Address::Tcp(bound)) => {
            *port == bound.port() && same_host(host, bound.ip())
        }
        _ => false,
    };
    (0..inherited.len()).filter(|&i| fits(&inherited[i])).collect()
}

/// All wildcards are one: `:3376`, `0.0.0.0:3376` and `[::]:3376` cannot be bound beside each other.
fn same_host(configured: &str, bound: IpAddr) -> bool {
    match configured {
        "" => bound.is_unspecified(),
        "localhost" => bound.is_loopback(),
        literal => literal
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip == bound || (ip.is_unspecified() && bound.is_unspecified())),
    }
}

fn not_there(name: Option<&str>, inherited: &[(String, Address)]) -> Error {
    let wanted = name.map_or("fd://".into(), |name| format!("fd://{name}"));
    let message = if inherited.is_empty() {
        format!("host {wanted}: no sockets were handed to this process")
    } else {
        let names: Vec<&str> = inherited.iter().map(|(name, _)| name.as_str()).collect();
        format!("host {wanted}: no such socket, there are {}", names.join(", "))
    };
    Error::us(Kind::Config, message)
        .advise("`systemctl enable --now swarmd.socket`, or give an address such as tcp://127.0.0.1:3376")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Listen {
        Listen::Tcp { host: host.into(), port }
    }

    fn fd(name: &str) -> Listen {
        Listen::Inherited((!name.is_empty()).then(|| name.into()))
    }

    fn unit() -> Vec<(String, Address)> {
        vec![
            ("api".into(), Address::Tcp("[::]:3376".parse().unwrap())),
            ("local".into(), Address::Unix("/run/swarmd/swarmd.sock".into())),
            ("api".into(), Address::Tcp("127.0.0.1:2375".parse().unwrap())),
        ]
    }

    fn plan(listen: &[Listen], inherited: &[(String, Address)]) -> Result<Vec<Source>> {
        super::plan(listen, None, inherited).map(|plan| plan.api)
    }

    #[test]
    fn the_front_has_its_socket_first() {
        use Source::{Bind, Inherited as Take};
        let default = Config::default().manager.host;
        for (front, source, api) in [
            (tcp("", 2376), Bind(tcp("", 2376)), vec![Take(0), Take(1), Take(2)]),
            (tcp("", 3376), Take(0), vec![Take(1), Take(2)]),
            (fd("api"), Take(0), vec![Take(1), Take(2)]),
        ] {
            let plan = super::plan(&default, Some(&front), &unit()).unwrap();
            assert_eq!((plan.front, plan.api), (Some(source), api));
        }
        let kept = [(KEPT.to_string(), Address::Tcp("[::]:2376".parse().unwrap()))];
        let plan = super::plan(&[], Some(&tcp("0.0.0.0", 2376)), &kept).unwrap();
        assert_eq!((plan.front, plan.api), (Some(Take(0)), vec![]));
        assert!(super::plan(&[], Some(&fd("front")), &unit()).is_err());
    }

    #[test]
    fn an_agent_takes_no_socket_of_a_unit() {
        let handed = |name: &str| {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            Inherited::from_sockets(vec![(name.to_string(), Handed::Tcp(socket))])
        };
        assert_eq!(Inherited::default().refuse_units(None), Ok(()));
        assert_eq!(handed(KEPT).refuse_units(None), Ok(()), "that was ours, and is released");
        assert_eq!(handed("front").refuse_units(Some(&fd("front"))), Ok(()), "that is its own");
        let error = handed("api").refuse_units(Some(&fd("front"))).unwrap_err();
        assert_eq!(error.exit_code(), 78, "{error}");
        assert!(error.to_string().contains("systemctl disable --now swarmd.socket"), "{error}");
    }

    #[test]
    fn each_address_finds_its_socket() {
        use Source::{Bind, Inherited as Take};
        let path = |p: &str| Listen::Unix(p.into());
        let default = Config::default().manager.host;
        for (listen, expected) in [
            (default, vec![Take(0), Take(1), Take(2)]),
            (vec![fd("")], vec![Take(0), Take(1), Take(2)]),
            (vec![fd("api")], vec![Take(0), Take(2)]),
            (vec![fd("local"), fd("")], vec![Take(1), Take(0), Take(2)]),
            (vec![fd(""), fd("local")], vec![Take(1), Take(0), Take(2)]),
            (vec![tcp("", 3376)], vec![Take(0)]),
            (vec![tcp("0.0.0.0", 3376), tcp("::", 3376)], vec![Take(0)]),
            (
                vec![tcp("localhost", 2375), tcp("192.0.2.1", 2375)],
                vec![Take(2), Bind(tcp("192.0.2.1", 2375))],
            ),
            (vec![tcp("", 4000), path("/run/swarmd/swarmd.sock")], vec![Bind(tcp("", 4000)), Take(1)]),
            (vec![path("/run/other.sock")], vec![Bind(path("/run/other.sock"))]),
        ] {
            assert_eq!(plan(&listen, &unit()).unwrap(), expected, "{listen:?}");
        }
    }

    #[test]
    fn kept_sockets_count_by_their_address() {
        use Source::{Bind, Inherited as Take};
        let kept = |address: &str| (KEPT.to_string(), Address::Tcp(address.parse().unwrap()));
        let default = Config::default().manager.host;
        let port = default[0].to_string().rsplit(':').next().unwrap().to_string();
        let (before, now) = (kept("127.0.0.1:4000"), kept(&format!("127.0.0.1:{port}")));
        assert_eq!(plan(&default, &[before.clone(), now]).unwrap(), [Take(1)]);
        assert_eq!(plan(&default, std::slice::from_ref(&before)).unwrap(), [Bind(default[0].clone())]);
        assert_eq!(plan(&[tcp("localhost", 4000)], std::slice::from_ref(&before)).unwrap(), [Take(0)]);
        assert!(plan(&[fd("")], &[before]).is_err());
    }

    #[test]
    fn with_nothing_inherited_all_is_bound_once() {
        let listen = [tcp("", 3376), tcp("127.0.0.1", 4000), tcp("", 3376)];
        let expected = [Source::Bind(tcp("", 3376)), Source::Bind(tcp("127.0.0.1", 4000))];
        assert_eq!(plan(&listen, &[]).unwrap(), expected);
        let default = Config::default().manager.host;
        assert_eq!(plan(&default, &[]).unwrap(), [Source::Bind(default[0].clone())]);
    }

    #[test]
    fn a_missing_socket_is_an_error_that_names_those_there() {
        let error = plan(&[fd("metrics")], &unit()).unwrap_err();
        assert_eq!(error.kind, Kind::Config);
        assert!(error.message.contains("fd://metrics") && error.message.contains("api, local"), "{error}");
        for listen in [fd(""), fd("api")] {
            assert!(plan(&[listen], &[]).unwrap_err().message.contains("no sockets were handed"));
        }
    }

    #[test]
    fn addresses_are_those_of_the_real_sockets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let bound = tcp.local_addr().unwrap();
        let inherited = Inherited::from_sockets(vec![
            ("api".into(), Handed::Tcp(tcp)),
            ("local".into(), Handed::Unix(UnixListener::bind(&path).unwrap())),
        ]);
        let expected = [("api".into(), Address::Tcp(bound)), ("local".into(), Address::Unix(path))];
        assert_eq!(inherited.addresses().unwrap(), expected);
    }
}
