//! Accepts connections and serves them until told to drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Api;
use crate::api::call::{Hosts, Peer};
use crate::clock;
use crate::docker::connect::prepare;
use crate::stream::{Ahead, Line, Lingering, Socket as ClientSocket};
use crate::systemd::beat::{self, Beat};
use crate::systemd::sockets::Socket;
use crate::tls::identity::Identity;
use crate::tls::pki::issue::end_of;
use crate::tls::pki::members::Own;
use crate::tls::refusal;
use crate::tls::server::Acceptor;

/// Connections at once on a unix socket. Each `logs -f`, `attach` and `events` holds one.
const CONNECTIONS: usize = 8192;
/// A head must arrive within this time. Go's clients keep idle connections for 90 s: ending those earlier
/// would race with their next request.
const HEAD_DEADLINE: Duration = Duration::from_secs(120);
/// Pause after a failed accept (out of descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A connection is closed so many seconds before its certificate ends.
const LAPSE: i64 = 2;
/// How often the clock is looked at for that: it may be set.
const LOOK: Duration = Duration::from_secs(60);

/// What a client's certificate says, if it has shown one.
#[derive(Default)]
struct Shown {
    identity: Option<Arc<Identity>>,
    hosts: Option<Hosts>,
    /// When it ends, seconds since the epoch.
    end: Option<i64>,
}

enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

/// Serves one listening socket until `cancel` fires; then waits for the requests under way.
pub async fn serve(
    socket: Socket,
    api: Arc<Api>,
    tls: Option<Acceptor>,
    beat: Beat,
    cancel: CancellationToken,
) {
    let connections = TaskTracker::new();
    let connections_at_once = match &socket {
        Socket::Tcp(_) => api.limits.set().connections as usize,
        Socket::Unix(..) => CONNECTIONS,
    };
    let room = Arc::new(Semaphore::new(connections_at_once));
    let mut beats = tokio::time::interval(beat::PERIOD);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&socket, &room) => accepted,
            _ = beats.tick() => {
                beat.beat();
                None
            }
            () = cancel.cancelled() => break,
        };
        if let Some((accepted, permit)) = accepted {
            let (api, tls, cancel) = (Arc::clone(&api), tls.clone(), cancel.clone());
            connections.spawn(async move {
                greet(accepted, tls, api, cancel).await;
                drop(permit);
            });
        }
    }
    drop(socket);
    connections.close();
    connections.wait().await;
}

async fn accept(socket: &Socket, room: &Arc<Semaphore>) -> Option<(Accepted, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    let accepted = match socket {
        Socket::Tcp(listener) => listener.accept().await.map(|(stream, peer)| Accepted::Tcp(stream, peer)),
        Socket::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
    };
    match accepted {
        Ok(accepted) => Some((accepted, permit)),
        Err(e) => {
            tracing::warn!("cannot accept a connection: {e}");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Shakes hands if need be, then serves. Unix sockets are never TLS: the file's permissions are the key.
async fn greet(accepted: Accepted, tls: Option<Acceptor>, api: Arc<Api>, cancel: CancellationToken) {
    match (accepted, tls) {
        (Accepted::Unix(stream), _) => connection(stream, Peer::Unix, Shown::default(), api, cancel).await,
        (Accepted::Tcp(stream, peer), tls) => {
            let Some(_counted) = api.limits.connect(peer.ip()) else {
                tracing::debug!(PEER = %peer, "refused: it has too many connections already");
                return;
            };
            prepare(&stream);
            match tls {
                None => connection(stream, Peer::Tcp(peer), Shown::default(), api, cancel).await,
                Some(tls) => {
                    if let Some(stream) = shake_hands(stream, peer, &tls, &api).await {
                        let (peer, shown) = met(&stream, peer, &api);
                        connection(stream, peer, shown, api, cancel).await;
                    }
                }
            }
        }
    }
}

/// So many at once, each within its time: waiting for a turn counts, too.
async fn shake_hands(
    stream: TcpStream,
    peer: SocketAddr,
    tls: &Acceptor,
    api: &Api,
) -> Option<TlsStream<Ahead>> {
    let handshake = async {
        let _turn = api.limits.handshakes.turn(peer.ip()).await;
        tls.accept(stream).await
    };
    match tokio::time::timeout(api.limits.set().handshake_timeout, handshake).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(e)) => tracing::info!(PEER = %peer, "TLS handshake failed: {e} ({})", refusal::cure(&e)),
        Err(_) => tracing::info!(PEER = %peer, "TLS handshake took too long"),
    }
    None
}

/// Who is at the other end of a handshake. A certificate that was shown is a good one, or there were no connection.
fn met(stream: &TlsStream<Ahead>, peer: SocketAddr, api: &Api) -> (Peer, Shown) {
    let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let identity = leaf.and_then(Identity::of).map(Arc::new);
    let end = leaf.and_then(end_of);
    let own = leaf.and_then(|leaf| Own::of(std::slice::from_ref(leaf)));
    let hosts = own.map(|own| Hosts(own.hosts.into()));
    if let (Some(identity), Some(end)) = (&identity, end) {
        api.ends.note(&identity.serial, end);
    }
    let peer = match api.config().tls.tlsverify && identity.is_none() {
        true => Peer::Stranger(peer),
        false => Peer::Tcp(peer),
    };
    (peer, Shown { identity, hosts, end })
}

/// Ends shortly before the certificate does: a client with a new one then comes back with that.
async fn lapse(end: Option<i64>) {
    let Some(end) = end else { return std::future::pending().await };
    while let Ok(left @ 1..) = u64::try_from(end - LAPSE - clock::unix_seconds()) {
        tokio::time::sleep(LOOK.min(Duration::from_secs(left))).await;
    }
}

async fn connection<S: ClientSocket>(
    stream: S,
    peer: Peer,
    Shown { identity, hosts, end }: Shown,
    api: Arc<Api>,
    cancel: CancellationToken,
) {
    let (header_bytes, headers) = (api.limits.set().header_bytes as usize, api.limits.set().headers as usize);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (api, identity) = (Arc::clone(&api), identity.clone());
        if let Some(hosts) = &hosts {
            request.extensions_mut().insert(hosts.clone());
        }
        async move { Ok::<_, std::convert::Infallible>(api.answer(request, peer, identity).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(header_bytes)
        .max_headers(headers)
        .serve_connection(TokioIo::new(Lingering::new(Line::new(stream))), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let lapse = lapse(end);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { tokio::select! { () = cancel.cancelled() => {}, () = lapse => {} } } => {
            // Answers what is under way, then closes.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!("a connection ended: {e}");
    }
}
