//! Where an engine registers: one list that the configuration names, or one manager that was found.
//!
//! One attempt each, no retry inside: the loop is in `registrar`.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch::Receiver;

use crate::agent::own::Own;
use crate::discovery::lan::Found;
use crate::discovery::lan::client::{Client, Way};
use crate::discovery::news::{self, News};
use crate::discovery::{Backend, Entry};
use crate::error::Result;
use crate::tls::ClientTls;

/// Where engines register.
pub(super) trait Registrar: Send + Sync {
    /// Registers for `ttl`, or renews it; returns what was registered. The news come when the registration is lost.
    fn register(&self, own: &Own, ttl: Duration) -> impl Future<Output = Result<(Entry, News)>> + Send;
    /// Takes an entry back.
    fn withdraw(&self, entry: &Entry) -> impl Future<Output = Result<()>> + Send;
}

/// One place.
pub(super) enum Place {
    /// What the discovery URL or `discovery.managers` names.
    Listed(Backend),
    /// A manager on the LAN.
    Found(Box<OnLan>),
}

/// A manager on the LAN.
pub(super) struct OnLan {
    /// As it was seen last, which anybody may have sent.
    seen: Receiver<Found>,
    /// As it last proved that it knows the token, with the one address where it did.
    proven: Mutex<Option<Found>>,
    token: String,
    tls: Option<ClientTls>,
}

impl Place {
    /// Where it is, for people.
    pub(super) fn address(&self) -> String {
        match self {
            Place::Listed(backend) => backend.endpoint().map_or_else(String::new, ToString::to_string),
            Place::Found(on_lan) => {
                let known = on_lan.proven().unwrap_or_else(|| on_lan.seen.borrow().clone());
                known.addresses.first().map_or_else(String::new, ToString::to_string)
            }
        }
    }

    /// A manager that is seen on the LAN.
    pub(super) fn found(seen: Receiver<Found>, token: String, tls: Option<ClientTls>) -> Place {
        Place::Found(Box::new(OnLan { seen, proven: Mutex::default(), token, tls }))
    }
}

impl OnLan {
    fn proven(&self) -> Option<Found> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The way to it: as long as it proves itself where it did before, nothing that is told of it counts.
    async fn way(&self) -> Result<Way> {
        if let Some(before) = self.proven()
            && let Ok(way) = self.prove(&before).await
        {
            return Ok(way);
        }
        let seen = self.seen.borrow().clone();
        let way = self.prove(&seen).await?;
        let proven = Found { addresses: vec![way.endpoint.clone()], ..seen };
        *self.proven.lock().unwrap_or_else(PoisonError::into_inner) = Some(proven);
        Ok(way)
    }

    async fn prove(&self, found: &Found) -> Result<Way> {
        Client::new(found, &self.token, self.tls.as_ref())?.proven().await.cloned()
    }
}

impl Registrar for Place {
    async fn register(&self, own: &Own, ttl: Duration) -> Result<(Entry, News)> {
        match self {
            Place::Listed(backend) => {
                let entry = own.towards(backend.endpoint()).await?;
                let news = backend.register(&entry, ttl).await?;
                Ok((entry, news))
            }
            Place::Found(on_lan) => {
                let way = on_lan.way().await?;
                let entry = own.towards(Some(&way.endpoint)).await?;
                way.list.register(&entry, ttl).await?;
                Ok((entry, news::none()))
            }
        }
    }

    async fn withdraw(&self, entry: &Entry) -> Result<()> {
        match self {
            Place::Listed(backend) => backend.withdraw(entry).await,
            Place::Found(on_lan) => on_lan.way().await?.list.withdraw(entry).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::discovery::lan::advert::Advert;
    use crate::discovery::token::tests::{Server, hosted, serve};
    use crate::docker::endpoint::Endpoint;

    #[tokio::test]
    async fn what_anybody_tells_of_a_manager_does_not_break_a_proven_registration() {
        let (_directory, registry) = hosted();
        registry.local("T").unwrap();
        let (address, _) = serve(Server::Hosted(registry.clone())).await;
        let advert = Advert { tokens: vec![], tls: false, version: String::new(), api: None };
        let addresses = vec![Endpoint::parse(&address).unwrap()];
        let found = Found { instance: "boss".into(), addresses, advert };
        let (news, seen) = watch::channel(found.clone());
        let place = Place::found(seen, "T".into(), None);
        let (own, ttl) = (Own::parse("a:1").unwrap(), Duration::from_secs(60));
        let (entry, _) = place.register(&own, ttl).await.unwrap();
        let forged = vec![Endpoint::parse("127.0.0.1:1").unwrap()];
        for (addresses, tls) in [(forged.clone(), false), (forged, true), (vec![], true)] {
            news.send_replace(Found {
                addresses,
                advert: Advert { tls, ..found.advert.clone() },
                ..found.clone()
            });
            drop(place.register(&own, ttl).await.unwrap());
            assert_eq!(place.address(), address);
        }
        place.withdraw(&entry).await.unwrap();
        assert!(registry.list("T").unwrap().is_empty());
    }
}
