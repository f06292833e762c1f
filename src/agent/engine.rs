//! Whether the engine answers at the address that managers are given.
//!
//! It only looks and tells the people of this machine: managers see for themselves, and a dead engine keeps nobody
//! from registering.

use std::time::Duration;

use hyper::Method;
use tokio::sync::watch::{Receiver, Sender};
use tokio::time::sleep;

use crate::clock;
use crate::discovery::Entry;
use crate::docker::http::Client;
use crate::error::Error;
use crate::systemd::beat::Beat;
use crate::tls::ClientTls;

/// How long the engine has to answer a ping.
const PING_DEADLINE: Duration = Duration::from_secs(5);

/// What is known of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pulse {
    /// Where it was asked; `None`: its address is not known yet.
    pub(super) entry: Option<Entry>,
    /// Why it did not answer, if it did not.
    pub(super) error: Option<Error>,
    /// Unix seconds since when this is so.
    pub(super) since: i64,
}

/// Asks at each heartbeat, and when the address changes. Never ends.
pub(super) async fn watch(
    mut entry: Receiver<Option<Entry>>,
    tls: Option<ClientTls>,
    heartbeat: Duration,
    beat: &Beat,
    tell: Sender<Pulse>,
) {
    loop {
        beat.within(PING_DEADLINE + heartbeat * 2);
        let at = entry.borrow_and_update().clone();
        if let Some(at) = at {
            // Any HTTP answer will do: an engine that wants TLS says so in plain HTTP.
            let pong = Client::new(at.clone(), tls.clone()).call(Method::GET, "/_ping", PING_DEADLINE).await;
            take(&tell, at, pong.err());
        }
        tokio::select! {
            () = sleep(heartbeat) => {}
            changed = entry.changed() => if changed.is_err() { sleep(heartbeat).await },
        }
    }
}

fn take(tell: &Sender<Pulse>, at: Entry, error: Option<Error>) {
    let before = tell.borrow().clone();
    match (&error, &before.error) {
        (Some(error), None) => {
            tracing::warn!("the engine at {at} is announced to managers but does not answer here: {error}");
        }
        (None, Some(_)) => tracing::info!("the engine at {at} answers"),
        _ => {}
    }
    if (before.entry.as_ref(), &before.error) != (Some(&at), &error) {
        tell.send_replace(Pulse { entry: Some(at), error, since: clock::unix_seconds() });
    }
}
