//! What an agent registers: a fixed address of its engine, or a port at whichever address of this machine reaches
//! the manager. The latter may be another one at each heartbeat, as DHCP likes it.

use std::fmt;
use std::net::Ipv4Addr;

use crate::config::Agent;
use crate::config::lan::AUTO;
use crate::discovery::{Entry, entry};
use crate::docker::endpoint::Endpoint;
use crate::enroll::renewal::local_address;
use crate::error::{Error, Kind, Result};

/// `agent.advertise`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Own {
    /// `host:port`, or a socket for a manager on this machine.
    Fixed(Entry),
    /// `auto:port`.
    Auto {
        /// The port on whichever address it is.
        port: u16,
        /// What a manager in this process connects to instead.
        here: Entry,
    },
}

impl Own {
    /// What this agent registers.
    ///
    /// # Errors
    /// `Kind::Config`: nothing to register, or malformed.
    pub fn of(agent: &Agent) -> Result<Own> {
        let Some(text) = &agent.advertise else {
            return Err(Error::us(Kind::Config, "missing mandatory --advertise flag"));
        };
        Ok(match Own::parse(text)? {
            // The front is for others: a manager in this process is at the engine already.
            Own::Auto { port, .. } if agent.front.is_some() => {
                Own::Auto { port, here: entry::parse(&agent.engine)? }
            }
            own => own,
        })
    }

    /// Reads it. The configuration has been checked; this is the last line of defence.
    pub fn parse(text: &str) -> Result<Own> {
        let malformed = |why: Option<String>| {
            let text = "--advertise should be of the form ip:port or hostname:port";
            Error { advice: why, ..Error::us(Kind::Config, text) }
        };
        match text.strip_prefix(AUTO) {
            Some(port) => {
                let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(|| malformed(None))?;
                let here = Endpoint::Tcp { host: Ipv4Addr::LOCALHOST.to_string(), port };
                Ok(Own::Auto { port, here })
            }
            None => entry::parse(text).map(Own::Fixed).map_err(|e| malformed(Some(e.message))),
        }
    }

    /// The fixed entry, if it is fixed.
    pub fn fixed(&self) -> Option<&Entry> {
        match self {
            Own::Fixed(entry) => Some(entry),
            Own::Auto { .. } => None,
        }
    }

    /// Whether another machine could connect to it.
    pub fn is_for_others(&self) -> bool {
        !matches!(self, Own::Fixed(Endpoint::Unix(_)))
    }

    /// What to register with the manager at `manager`; `None` is this process.
    pub async fn towards(&self, manager: Option<&Endpoint>) -> Result<Entry> {
        match (self, manager) {
            (Own::Fixed(entry), _) => Ok(entry.clone()),
            (Own::Auto { here, .. }, None | Some(Endpoint::Unix(_))) => Ok(here.clone()),
            (Own::Auto { port, .. }, Some(Endpoint::Tcp { host, port: of_manager })) => {
                let local = local_address(host, *of_manager).await.map_err(|e| {
                    Error::us(Kind::Connect, format!("no way to the manager at {host}: {e}"))
                        .advise("is the network up? Else write agent.advertise = \"HOST:PORT\"")
                })?;
                Ok(Endpoint::Tcp { host: local.ip().to_canonical().to_string(), port: *port })
            }
        }
    }
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Own::Fixed(entry) => entry.fmt(f),
            Own::Auto { port, .. } => write!(f, "{AUTO}{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_all_forms() {
        for text in ["10.0.0.1:2375", "pi1:2376", "unix:///run/docker.sock", "auto:2375"] {
            assert_eq!(Own::parse(text).unwrap().to_string(), text);
        }
        for text in ["nonsense", "auto:", "auto:0", "auto:x"] {
            let error = Own::parse(text).unwrap_err();
            assert_eq!(error.message, "--advertise should be of the form ip:port or hostname:port", "{text}");
        }
    }

    #[tokio::test]
    async fn the_address_is_the_one_on_the_way() {
        let own = Own::parse("auto:2375").unwrap();
        let towards = async |manager: Option<&str>| {
            let manager = manager.map(|m| Endpoint::parse(m).unwrap());
            own.towards(manager.as_ref()).await.unwrap().to_string()
        };
        assert_eq!(towards(None).await, "127.0.0.1:2375");
        assert_eq!(towards(Some("127.0.0.1:3376")).await, "127.0.0.1:2375");
        let config = crate::config::Config::default();
        let front = Some(crate::config::Listen::Tcp { host: String::new(), port: 2376 });
        let fronting = Agent { advertise: Some("auto:2376".into()), front, ..config.agent };
        let own = Own::of(&fronting).unwrap();
        assert_eq!(own.towards(None).await.unwrap().to_string(), "unix:///var/run/docker.sock");
        let fixed = Own::parse("pi1:1").unwrap();
        assert_eq!(
            fixed.towards(Some(&Endpoint::parse("127.0.0.1:1").unwrap())).await.unwrap().to_string(),
            "pi1:1"
        );
    }
}
