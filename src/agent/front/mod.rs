//! The agent as the front of its engine: Docker listens on its unix socket only, managers come here, over TLS.
//!
//! It knows who comes (`tls::gate`), and nothing of what is said: bytes, upgrades and ends of either direction pass as
//! they come. It does *not* register anything.
//!
//! ```text
//!  manager ── TLS ──► gate: its certificate ──► relay ◄──► /var/run/docker.sock
//! ```

mod carry;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::docker::connect::{Connector, prepare};
use crate::docker::endpoint::Endpoint;
use crate::error::{Error, Kind, Result};
use crate::stream::Ahead;
use crate::systemd::beat::{self, Beat};
use crate::systemd::sockets::Socket;
use crate::tls::gate::{Admission, gate};
use crate::tls::pki::Files;
use crate::tls::pki::revoked::Revoked;
use crate::tls::refusal;
use crate::tls::server::Acceptor;

/// Connections at once. A manager holds one for each call under way, and some more for the next ones.
const CONNECTIONS: usize = 2048;
/// Handshakes at once: a newcomer takes the place of whoever has been at it for longest, of the address that has most.
const HANDSHAKES: usize = 64;
/// A handshake must be done within this time.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// Pause after a failed accept (out of descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A front at work.
pub struct Front {
    task: JoinHandle<()>,
    at: SocketAddr,
    connections: TaskTracker,
}

/// What each connection needs.
struct Door {
    acceptor: Acceptor,
    engine: Connector,
    revoked: Revoked,
    room: Semaphore,
    closing: CancellationToken,
}

impl Front {
    /// Begins to serve on `socket`. Inside a tokio runtime.
    ///
    /// # Errors
    /// `Kind::Config`: certificates that cannot be used, a socket that is none for TCP.
    pub fn start(config: &Config, socket: Socket, beat: Beat, cancel: &CancellationToken) -> Result<Front> {
        Front::with_room(CONNECTIONS, config, socket, beat, cancel)
    }

    fn with_room(
        room: usize,
        config: &Config,
        socket: Socket,
        beat: Beat,
        cancel: &CancellationToken,
    ) -> Result<Front> {
        let Socket::Tcp(listener) = socket else {
            return Err(Error::us(Kind::Config, format!("agent.front: {socket} is no TCP socket")));
        };
        let at = listener.local_addr().map_err(|e| Error::us(Kind::Internal, e.to_string()))?;
        let engine = Endpoint::parse(&config.agent.engine)?;
        tracing::info!("Serving the engine at {engine} to managers on tcp://{at}");
        let connections = TaskTracker::new();
        let revoked = Revoked::open(&Files::below(&config.pki_dir()))?;
        let admission = Admission { foreign: !config.has_pki(), revoked: revoked.clone() };
        let door = Arc::new(Door {
            acceptor: gate(&config.tls, admission)?,
            engine: Connector::new(engine, None),
            revoked,
            room: Semaphore::new(room),
            closing: cancel.clone(),
        });
        let task = tokio::spawn(serve(listener, door, beat, connections.clone()));
        Ok(Front { task, at, connections })
    }

    /// One line for the supervisor.
    pub fn status(&self) -> String {
        match self.connections.len() {
            1 => format!("front: {}, 1 connection", self.at),
            n => format!("front: {}, {n} connections", self.at),
        }
    }

    /// Ends when the last connection has, after `cancel`.
    pub async fn stopped(self) {
        let _ = self.task.await;
        self.connections.close();
        self.connections.wait().await;
    }
}

async fn serve(listener: TcpListener, door: Arc<Door>, beat: Beat, connections: TaskTracker) {
    let mut handshakes: VecDeque<(IpAddr, AbortHandle)> = VecDeque::new();
    let mut beats = tokio::time::interval(beat::PERIOD);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = beats.tick() => {
                beat.beat();
                continue;
            }
            () = door.closing.cancelled() => return,
        };
        match accepted {
            Ok((tcp, peer)) => {
                handshakes.retain(|(_, one)| !one.is_finished());
                if handshakes.len() >= HANDSHAKES
                    && let Some((_, longest)) = crowded(&handshakes).and_then(|at| handshakes.remove(at))
                {
                    longest.abort();
                }
                let (door, connections) = (Arc::clone(&door), connections.clone());
                let greeted = tokio::spawn(async move {
                    if let Some(stream) = shake_hands(&door, tcp, peer).await {
                        connections.spawn(carry::carry(door, stream, peer));
                    }
                });
                handshakes.push_back((peer.ip().to_canonical(), greeted.abort_handle()));
            }
            Err(e) => {
                tracing::warn!("cannot accept a connection: {e}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The first of those whose address has most: so one that begins many pushes out its own, and nobody else's.
fn crowded<T>(handshakes: &VecDeque<(IpAddr, T)>) -> Option<usize> {
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    handshakes.iter().for_each(|(address, _)| *counts.entry(*address).or_default() += 1);
    let most = counts.values().max()?;
    handshakes.iter().position(|(address, _)| counts.get(address) == Some(most))
}

async fn shake_hands(door: &Door, tcp: TcpStream, peer: SocketAddr) -> Option<TlsStream<Ahead>> {
    prepare(&tcp);
    match tokio::time::timeout(HANDSHAKE_DEADLINE, door.acceptor.accept(tcp)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(e)) => {
            tracing::info!(PEER = %peer, "TLS handshake failed: {e} ({})", refusal::cure(&e));
            None
        }
        Err(_) => {
            tracing::info!(PEER = %peer, "TLS handshake took too long");
            None
        }
    }
}

#[cfg(test)]
mod tests;
