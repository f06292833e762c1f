//! `GET /swarmd/v1/status`: how this manager stands, for whoever wonders why something does not work.

use tokio::time::Instant;

use crate::api::Api;
use crate::api::swarmd::talk::{LanStatus, Listing, Status};
use crate::clock;
use crate::config::local::scheme;
use crate::discovery::lan::advertise::Told;

impl Api {
    /// `GET /swarmd/v1/status`
    pub(super) fn tell_status(&self) -> Status {
        let view = self.cluster.view();
        let discovery = self.listing();
        let sick = || {
            let node = view.nodes().find(|n| !n.is_healthy())?;
            let name = if node.name().is_empty() { &node.addr } else { node.name() };
            Some(format!(
                "node {name} is {}: {}",
                node.state.word(),
                node.error.as_deref().unwrap_or("not connected yet")
            ))
        };
        let problem = discovery.error.as_ref().map(|e| format!("discovery: {e}")).or_else(sick);
        Status {
            role: self.mandate.leadership().role.word().into(),
            version: env!("CARGO_PKG_VERSION").into(),
            host: self.host.name.clone(),
            started: clock::rfc3339(self.about.started),
            listeners: self.about.listeners.clone(),
            healthy: view.healthy().count(),
            nodes: view.nodes().len(),
            lan: told(&self.about.lan.borrow()),
            discovery,
            problem,
            warning: self.exposure(),
        }
    }

    /// The list of engines, as it was read last.
    pub(crate) fn listing(&self) -> Listing {
        let state = self.about.discovery.borrow();
        let now = Instant::now();
        let wall = |at: Instant| {
            let ago = i64::try_from(now.duration_since(at).as_secs()).unwrap_or(0);
            clock::rfc3339(clock::unix_seconds() - ago)
        };
        Listing {
            url: shown(self.config().discovery.url.as_deref().unwrap_or_default()),
            entries: state.entries.as_ref().map_or(0, |entries| entries.len()),
            read: state.last_ok.map(wall),
            error: self.discovery_trouble().or_else(|| state.last_error.as_ref().map(ToString::to_string)),
        }
    }
}

fn told(told: &Told) -> LanStatus {
    LanStatus {
        silent: told.silent.clone(),
        name: told.name.clone(),
        interfaces: told.interfaces.clone(),
        addresses: told.addresses.iter().map(ToString::to_string).collect(),
        tokens: told.tokens.clone(),
        tls: told.tls,
    }
}

/// A URL without its secret: who sees a status over somebody's shoulder shall not be able to join.
fn shown(url: &str) -> String {
    let Some((before, token)) = url.rsplit_once('/').filter(|_| scheme(url) == "token") else {
        return url.to_string();
    };
    let begin: String = token.chars().take(4).collect();
    match token.chars().count() > 8 {
        true => format!("{before}/{begin}..."),
        false => format!("{before}/..."),
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn no_token_is_shown_whole() {
        for (url, text) in [
            ("token://0123456789abcdef", "token://0123..."),
            ("token://boss:3376/0123456789abcdef", "token://boss:3376/0123..."),
            ("token://short", "token://..."),
            ("etcd://h:1/p", "etcd://h:1/p"),
            ("nodes://unix:///s", "nodes://unix:///s"),
        ] {
            assert_eq!(shown(url), text);
        }
    }
}
