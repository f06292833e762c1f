//! Opens connections for `http::Client`: TCP, TLS over TCP, or a unix socket.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpStream, UnixStream};

use crate::docker::endpoint::Endpoint;
use crate::error::{Error, Kind};
use crate::stream::{AHEAD, LITTLE_AHEAD};
use crate::tls::watched::Watched;
use crate::tls::{ClientTls, refusal};

/// How long a connection may take to come up, with name look-up and TLS handshake.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Connects to one endpoint, whatever URI it is asked for.
#[derive(Clone)]
pub struct Connector {
    endpoint: Endpoint,
    tls: Option<ClientTls>,
    /// Bytes that a connection with TLS reads ahead, and keeps room for.
    ahead: usize,
}

impl Connector {
    /// A connector for `endpoint`. Unix sockets are never TLS.
    pub fn new(endpoint: Endpoint, tls: Option<ClientTls>) -> Connector {
        let tls = tls.filter(|_| matches!(endpoint, Endpoint::Tcp { .. }));
        Connector { endpoint, tls, ahead: AHEAD }
    }

    /// The same for many connections of which each is mostly idle.
    #[must_use]
    pub fn thrifty(self) -> Connector {
        Connector { ahead: LITTLE_AHEAD, ..self }
    }

    /// Where it connects to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether it speaks TLS.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether a connection costs next to nothing: no TLS, and no name to be looked up.
    pub fn is_cheap(&self) -> bool {
        let named = match &self.endpoint {
            Endpoint::Tcp { host, .. } => host.parse::<IpAddr>().is_err(),
            Endpoint::Unix(_) => false,
        };
        !self.is_encrypted() && !named
    }

    /// Opens one connection within the deadline.
    pub async fn connect(&self) -> Result<Stream, Error> {
        match tokio::time::timeout(CONNECT_DEADLINE, self.open()).await {
            Ok(opened) => opened,
            Err(_) => Err(self
                .refused(Kind::Timeout, "no answer to the connection attempt")
                .advise("is the machine up, and does a firewall drop packets to that port?")),
        }
    }

    async fn open(&self) -> Result<Stream, Error> {
        match &self.endpoint {
            Endpoint::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Stream::Unix(TokioIo::new(stream))),
                Err(e) => Err(self.unreachable(&e)),
            },
            Endpoint::Tcp { host, port } => {
                let tcp =
                    TcpStream::connect((host.as_str(), *port)).await.map_err(|e| self.unreachable(&e))?;
                prepare(&tcp);
                match &self.tls {
                    None => Ok(Stream::Tcp(TokioIo::new(tcp))),
                    Some(tls) => match tls.connect_watched(host, tcp, self.ahead).await {
                        Ok(stream) => Ok(Stream::Tls(Box::new(TokioIo::new(stream)))),
                        Err(e) => Err(self
                            .refused(Kind::Protocol, &format!("TLS handshake failed: {e}"))
                            .advise(refusal::cure(&e))),
                    },
                }
            }
        }
    }

    fn unreachable(&self, error: &io::Error) -> Error {
        let advice = match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                "nothing listens there: is dockerd running, and on that address?"
            }
            io::ErrorKind::NotFound if matches!(self.endpoint, Endpoint::Unix(_)) => {
                "is Docker running on this machine?"
            }
            io::ErrorKind::PermissionDenied => "may this user open the socket? (group docker)",
            _ => "check the address, and the route to that machine",
        };
        self.refused(Kind::Connect, &error.to_string()).advise(advice)
    }

    fn refused(&self, kind: Kind, why: &str) -> Error {
        Error::engine(
            kind,
            format!("Cannot connect to the Docker daemon at {}: {why}", Display(&self.endpoint)),
        )
    }
}

/// Endpoints in error texts carry their scheme, as the docker client prints them.
struct Display<'a>(&'a Endpoint);

impl std::fmt::Display for Display<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Endpoint::Tcp { .. } => write!(f, "tcp://{}", self.0),
            Endpoint::Unix(_) => write!(f, "{}", self.0),
        }
    }
}

/// Small requests leave at once; a peer that vanished without a word is noticed within 25 s. Failing to set an
/// option costs only that.
///
/// Not `TCP_USER_TIMEOUT`: it also ends connections to peers that are well and read nothing for a while, such
/// as a pager or a process that has no use for its input yet.
pub fn prepare(tcp: &TcpStream) {
    let _ = tcp.set_nodelay(true);
    let _ = setsockopt(tcp, sockopt::KeepAlive, &true);
    let _ = setsockopt(tcp, sockopt::TcpKeepIdle, &10);
    let _ = setsockopt(tcp, sockopt::TcpKeepInterval, &5);
    let _ = setsockopt(tcp, sockopt::TcpKeepCount, &3);
}

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await })
    }
}

/// One open connection.
pub enum Stream {
    /// Plain TCP.
    Tcp(TokioIo<TcpStream>),
    /// TLS over TCP.
    Tls(Box<TokioIo<Watched>>),
    /// A unix socket.
    Unix(TokioIo<UnixStream>),
}

impl Stream {
    /// The socket below it, if it is one of TCP without TLS.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Stream::Tcp(tcp) => Some(tcp.inner()),
            Stream::Tls(_) | Stream::Unix(_) => None,
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Calls the same method on whichever stream it is.
macro_rules! forward {
    ($self:expr, $method:ident ( $($arg:expr),* )) => {
        match $self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).$method($($arg),*),
            Stream::Tls(s) => Pin::new(s.as_mut()).$method($($arg),*),
            Stream::Unix(s) => Pin::new(s).$method($($arg),*),
        }
    };
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        forward!(self, poll_read(cx, buf))
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        forward!(self, poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self, poll_write_vectored(cx, bufs))
    }
}
