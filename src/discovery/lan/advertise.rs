//! A manager makes itself known, and says what it told: the plan is pure, one task carries it out.

use std::net::SocketAddr;
use std::time::Duration;

use mdns_sd::{IfKind, IfPredicate, ServiceInfo};
use tokio::sync::watch::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::discovery::Registry;
use crate::discovery::lan::advert::{Advert, MOST_TOKENS, token_digest};
use crate::discovery::lan::interfaces::{self, Address, reaches};
use crate::discovery::lan::{Lan, SERVICE};
use crate::docker::endpoint::Endpoint;

/// How often interfaces and tokens are looked at. mDNS does so as often.
const LOOK: Duration = Duration::from_secs(5);
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What there is to tell of.
#[derive(Clone)]
pub struct Hosting {
    /// The tokens.
    pub registry: Registry,
    /// Where the API listens, TCP only.
    pub bound: Vec<SocketAddr>,
    /// Whether it speaks TLS there.
    pub tls: bool,
}

/// What is told, or why nothing is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// Why nothing is told; `None` if something is.
    pub silent: Option<String>,
    /// The instance's name.
    pub name: String,
    /// Where the API can be reached.
    pub addresses: Vec<Endpoint>,
    /// The interfaces, for people.
    pub interfaces: String,
    /// Digests of the hosted tokens.
    pub tokens: Vec<String>,
    /// Whether the API speaks TLS.
    pub tls: bool,
}

impl Told {
    /// Nothing is told.
    pub fn nothing(why: &str) -> Told {
        Told { silent: Some(why.to_string()), ..Told::default() }
    }
}

/// An advertisement that goes on until it is told to stop.
pub struct Advertising {
    /// What is told now.
    pub told: Receiver<Told>,
    task: Option<JoinHandle<()>>,
}

impl Advertising {
    /// None, and it stays so.
    pub fn nothing(why: &str) -> Advertising {
        Advertising { told: watch::channel(Told::nothing(why)).1, task: None }
    }

    /// Ends when the goodbye was sent, after `cancel`.
    pub async fn stopped(self) {
        if let Some(task) = self.task {
            let _ = task.await;
        }
    }
}

impl Lan {
    /// Makes this manager known until `cancel`, then says goodbye.
    pub fn advertise(&self, hosting: Hosting, cancel: CancellationToken) -> Advertising {
        let (sender, told) = watch::channel(self.plan(&hosting));
        let lan = self.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = lan.keep_told(&hosting, &sender) => {}
                () = cancel.cancelled() => {}
            }
            lan.goodbye().await;
        });
        Advertising { told, task: Some(task) }
    }

    fn plan(&self, hosting: &Hosting) -> Told {
        let hashes = hosting.registry.tokens();
        let tokens = hashes.iter().take(MOST_TOKENS).map(token_digest).collect();
        let here = interfaces::here(&self.settings.interfaces);
        let told = plan(&self.settings, &hosting.bound, &here, tokens);
        Told { name: self.name.clone(), tls: hosting.tls, ..told }
    }

    /// Tells what is true now, whenever that changes. Never ends.
    async fn keep_told(&self, hosting: &Hosting, sender: &Sender<Told>) {
        let mut before = Told::nothing("not yet");
        loop {
            let now = self.plan(hosting);
            if now != before {
                self.tell(hosting, &before, &now);
                sender.send_replace(now.clone());
                before = now;
            }
            sleep(LOOK).await;
        }
    }

    fn tell(&self, hosting: &Hosting, before: &Told, now: &Told) {
        if let Some(why) = &now.silent {
            tracing::info!("Not advertised on the LAN: {why}");
            if before.silent.is_none() {
                let _ = self.daemon.unregister(&self.instance());
            }
            return;
        }
        let addresses: Vec<String> = now.addresses.iter().map(ToString::to_string).collect();
        tracing::info!("Advertised on the LAN ({}): {}", now.interfaces, addresses.join(", "));
        let hosted = hosting.registry.tokens().len();
        if hosted > MOST_TOKENS {
            tracing::warn!(
                "Of {hosted} tokens only {MOST_TOKENS} are advertised: take those away that nobody uses"
            );
        }
        let told = self.service(hosting, now).and_then(|service| self.daemon.register(service));
        if let Err(error) = told {
            tracing::warn!("mDNS: this manager cannot be advertised: {error}");
        }
    }

    /// mDNS follows the addresses of the interfaces by itself, within what `Lan::open` and the listeners allow.
    fn service(&self, hosting: &Hosting, told: &Told) -> mdns_sd::Result<ServiceInfo> {
        let advert = Advert {
            tokens: told.tokens.clone(),
            tls: told.tls,
            version: env!("CARGO_PKG_VERSION").to_string(),
            api: self.settings.address.is_some().then(|| told.addresses[0].clone()),
        };
        let port = hosting.bound.first().map_or(0, SocketAddr::port);
        let host = format!("{}.local.", self.name);
        let txt = advert.to_txt();
        let service = ServiceInfo::new(SERVICE, &self.name, &host, "", port, &txt[..])?;
        let mut service = service.enable_addr_auto();
        if self.settings.address.is_none() {
            let bound: Vec<SocketAddr> = same_port(&hosting.bound);
            let listening = move |ip| bound.iter().any(|b| reaches(*b, ip));
            service.set_interfaces(vec![IfKind::Predicate(IfPredicate::new(move |i| listening(i.ip())))]);
        }
        Ok(service)
    }

    /// Takes everything back.
    async fn goodbye(&self) {
        let Ok(done) = self.daemon.unregister(&self.instance()) else { return };
        let _ = timeout(GOODBYE, done.recv_async()).await;
    }
}

/// A service has one port: that of the first listener.
fn same_port(bound: &[SocketAddr]) -> Vec<SocketAddr> {
    let port = bound.first().map_or(0, SocketAddr::port);
    bound.iter().filter(|b| b.port() == port).copied().collect()
}

/// What to tell, pure.
fn plan(settings: &config::Advertise, bound: &[SocketAddr], here: &[Address], tokens: Vec<String>) -> Told {
    if tokens.is_empty() {
        return Told::nothing("no token is hosted here");
    }
    let bound = same_port(bound);
    let used: Vec<Address> =
        here.iter().filter(|a| bound.iter().any(|b| reaches(*b, a.ip))).cloned().collect();
    let interfaces = interfaces::names(here);
    if let Some(Ok(address)) = settings.address.as_deref().map(Endpoint::parse) {
        return Told { addresses: vec![address], interfaces, tokens, ..Told::default() };
    }
    if bound.iter().all(|b| b.ip().to_canonical().is_loopback()) && used.is_empty() {
        return Told::nothing(
            "the API listens on loopback only: set manager.host to be reached from other machines",
        );
    }
    if used.is_empty() {
        return Told::nothing(&format!("the API does not listen on an address of {interfaces}"));
    }
    let port = bound.first().map_or(0, SocketAddr::port);
    let addresses = used.iter().map(|a| Endpoint::Tcp { host: a.ip.to_string(), port }).collect();
    Told { addresses, interfaces: interfaces::names(&used), tokens, ..Told::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Vec<Address> {
        [("eth0", "10.0.0.1"), ("eth0", "2001:db8::1"), ("wlan0", "10.1.0.1")]
            .map(|(name, ip)| Address { interface: name.into(), ip: ip.parse().unwrap() })
            .to_vec()
    }

    fn planned(bound: &[&str], settings: &config::Advertise) -> Told {
        let bound: Vec<SocketAddr> = bound.iter().map(|b| b.parse().unwrap()).collect();
        plan(settings, &bound, &here(), vec!["0123456789abcdef".into()])
    }

    fn addresses(bound: &[&str]) -> String {
        let told = planned(bound, &config::Advertise::default());
        told.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_told_is_where_the_api_listens() {
        for (bound, told) in [
            (&["0.0.0.0:3376"][..], "10.0.0.1:3376 10.1.0.1:3376"),
            (&["[::]:3376"], "10.0.0.1:3376 [2001:db8::1]:3376 10.1.0.1:3376"),
            (&["10.1.0.1:3376"], "10.1.0.1:3376"),
            (&["10.0.0.1:1", "10.1.0.1:1", "[::]:2"], "10.0.0.1:1 10.1.0.1:1"),
        ] {
            assert_eq!(addresses(bound), told, "{bound:?}");
        }
        let told = planned(&["10.1.0.1:3376"], &config::Advertise::default());
        assert_eq!((told.silent, told.interfaces.as_str()), (None, "wlan0"));
    }

    #[test]
    fn silence_says_why() {
        let default = config::Advertise::default();
        let why = |bound: &[&str]| planned(bound, &default).silent.unwrap();
        assert!(why(&["127.0.0.1:3376"]).contains("loopback only"));
        assert!(why(&[]).contains("loopback only"), "a unix socket alone");
        assert!(why(&["10.9.9.9:1"]).contains("does not listen on an address of eth0, wlan0"));
        let told = plan(&default, &["0.0.0.0:1".parse().unwrap()], &here(), vec![]);
        assert_eq!(told.silent.unwrap(), "no token is hosted here");
    }

    #[test]
    fn an_address_that_was_set_is_the_only_one() {
        let settings =
            config::Advertise { address: Some("boss.lan:443".into()), ..config::Advertise::default() };
        let told = planned(&["0.0.0.0:3376"], &settings);
        assert_eq!(told.addresses, [Endpoint::parse("boss.lan:443").unwrap()]);
    }
}
