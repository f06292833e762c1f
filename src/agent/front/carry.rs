//! One connection of a manager, from the handshake to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::server::TlsStream;

use crate::agent::front::Door;
use crate::docker::framing::FRONT_SAYS;
use crate::error::{Error, Kind};
use crate::stream::relay::{Progress, relay};
use crate::stream::{Ahead, Line, Lingering};
use crate::tls::identity::Identity;

/// Whoever cannot be served is told so in answer to a request; it must come within this time.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// When the front ends, so does a connection on which nothing is owed and nothing was said for so long.
const SILENCE: Duration = Duration::from_secs(1);

/// How often the list of revoked certificates is looked at, for the sake of connections that are open.
const REVOCATION: Duration = Duration::from_secs(5);

type Manager = Lingering<Line<TlsStream<Ahead>>>;

pub(super) async fn carry(door: Arc<Door>, stream: TlsStream<Ahead>, peer: SocketAddr) {
    let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let serial = leaf.and_then(Identity::of).map(|owner| owner.serial);
    let manager = Lingering::new(Line::new(stream));
    let Ok(_place) = door.room.try_acquire() else {
        let why = Error::engine(Kind::Unavailable, "too many connections are open already");
        return turn_away(manager, &why).await;
    };
    let engine = match door.engine.connect().await {
        Ok(engine) => TokioIo::new(engine),
        Err(why) => {
            // The agent watches its engine, and warns once.
            tracing::debug!(PEER = %peer, "{why}");
            return turn_away(manager, &why).await;
        }
    };
    let progress = Progress::default();
    tokio::select! {
        () = relay(manager, engine, &progress) => {}
        () = good_moment(&door, &progress) => {}
        () = revocation(&door, serial.as_deref().unwrap_or_default()) => {
            tracing::warn!(PEER = %peer, "the manager's certificate was revoked: ending its connection");
        }
    }
}

/// Ends when the certificate with this serial number counts no more.
async fn revocation(door: &Door, serial: &str) {
    while !door.revoked.contains(serial) {
        tokio::time::sleep(REVOCATION).await;
    }
}

/// Ends when this front is to end, and nobody waits for anything here.
async fn good_moment(door: &Door, progress: &Progress) {
    door.closing.cancelled().await;
    let mut before = None;
    while progress.awaits_engine() || before != Some(progress.pieces()) {
        before = Some(progress.pieces());
        tokio::time::sleep(SILENCE).await;
    }
}

/// Answers the first request, whatever it is, with the reason; clients of Docker show the message, managers read the
/// header and know that no engine has seen the call.
async fn turn_away(mut manager: Manager, why: &Error) {
    let answered = async {
        if manager.read(&mut [0; 1024]).await? > 0 {
            manager.write_all(refusal(why).as_bytes()).await?;
            manager.flush().await?;
        }
        manager.shutdown().await
    };
    let _ = tokio::time::timeout(REQUEST_DEADLINE, answered).await;
}

fn refusal(why: &Error) -> String {
    let body = format!("{}\n", serde_json::json!({ "message": why.to_string() }));
    let header: String =
        why.to_string().chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).collect();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n{FRONT_SAYS}: {header}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
