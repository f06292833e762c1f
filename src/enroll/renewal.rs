//! The loop that keeps this machine's certificate good: in time, after an address change, and when the CA is replaced.
//!
//! With the CA here it issues; without, it asks the managers. What fails is tried again, ever more slowly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{UdpSocket, lookup_host};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::docker::connect::CONNECT_DEADLINE;
use crate::docker::endpoint::Endpoint;
use crate::enroll::ask;
use crate::enroll::talk::Request;
use crate::enroll::turn::Turn;
use crate::error::{Error, Kind, Result};
use crate::systemd::beat::Beat;
use crate::tls::pki::authority::Authority;
use crate::tls::pki::members::{self, Own};
use crate::tls::pki::own::{self, Machine};
use crate::tls::pki::pin::Pin;
use crate::tls::pki::{Files, request, revoked};
use crate::tls::{ClientTls, Peers, pem};

/// How often this machine's own addresses are looked at. A manager also asks so often what was revoked.
const LOOK: Duration = Duration::from_secs(5);
/// The longest pause after a failure.
const PAUSE: Duration = Duration::from_secs(300);
/// A turn asks some managers and writes some files. However slow those are, it takes less than this, or hangs; and
/// a certificate has weeks left.
const LONGEST_TURN: Duration = Duration::from_secs(2 * 3600);

/// What the loop needs.
pub struct Renewal {
    /// The configuration in effect.
    pub config: Config,
    /// The CA, if it is here.
    pub authority: Option<Authority>,
    /// By what others reach this machine now.
    pub machine: fn() -> Machine,
}

/// What it remembers.
struct Course {
    files: Files,
    /// Managers that can be asked.
    managers: Vec<Endpoint>,
    tls: Option<ClientTls>,
    /// When to renew, and of which certificate.
    due: Option<(String, i64)>,
    /// How long that lives. Whoever has the CA decides it, so it is not in this machine's configuration.
    life: Duration,
    /// The address with which it was renewed last: behind NAT it is never in the certificate.
    tried: Option<IpAddr>,
    /// When the managers are asked next whom they trust.
    looks: Turn,
    /// When they may be asked for a certificate. A refusal of one is no reason to look less often.
    renewals: Turn,
}

/// A certificate to ask for, and the address of this machine then.
struct Wanted {
    request: Request,
    from: IpAddr,
}

impl Renewal {
    /// Runs until `cancel`.
    pub async fn run(self, beat: Beat, cancel: CancellationToken) {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = self.keep(&beat) => {}
        }
    }

    async fn keep(self, beat: &Beat) {
        let mut course = match Course::new(&self.config) {
            Ok(course) => course,
            Err(error) => return tracing::error!("certificates are not renewed: {error}"),
        };
        loop {
            beat.within(LONGEST_TURN);
            sleep(pace(LOOK, course.life)).await;
            let machine = (self.machine)();
            match &self.authority {
                Some(authority) => match course.issue(authority, &self.config, machine).await {
                    Ok(()) => course.looks.went_well(Duration::ZERO),
                    Err(error) => course.looks.failed(PAUSE, &error),
                },
                None => course.ask(&self.config, machine).await,
            }
        }
    }
}

impl Course {
    fn new(config: &Config) -> Result<Course> {
        let files = Files::below(&config.pki_dir());
        Ok(Course {
            managers: managers(config),
            tls: ClientTls::towards(config, Peers::Managers)?,
            due: None,
            life: Own::read(&files)?.map_or(config.pki.lifetime, |own| own.life()),
            tried: None,
            looks: Turn::now(),
            renewals: Turn::now(),
            files,
        })
    }

    /// Whether the certificate has lived for long enough: a random part of its life, drawn once for each.
    fn is_due(&mut self, own: &Own, now: i64) -> bool {
        self.life = own.life();
        if self.due.as_ref().is_none_or(|(serial, _)| *serial != own.identity.serial) {
            let at = own.renewal(0.5 + 0.3 * fastrand::f64());
            self.due = Some((own.identity.serial.clone(), at));
        }
        self.due.as_ref().is_some_and(|(_, at)| *at <= now)
    }

    /// With the CA here.
    async fn issue(&mut self, authority: &Authority, config: &Config, machine: Machine) -> Result<()> {
        let now = own::now(&self.files)?;
        let due = match Own::read(&self.files)? {
            Some(own) => self.is_due(&own, now),
            None => true,
        };
        let (authority, config) = (authority.clone(), config.clone());
        let work = move || {
            own::keep_own(&authority, &config, &machine, due, now)?;
            // Who is not there yet is no news.
            if authority.finish(false, now).unwrap_or(false) {
                tracing::info!("everybody has a certificate of the new CA: the old one is trusted no more");
                own::keep_own(&authority, &config, &machine, false, now)?;
            }
            Ok(())
        };
        on_disk(work).await
    }

    /// With the CA elsewhere.
    async fn ask(&mut self, config: &Config, machine: Machine) {
        match self.look(config, machine).await {
            Ok(None) => {}
            Ok(Some((manager, wanted))) => match self.renew(&manager, &wanted.request).await {
                Ok(()) => {
                    self.tried = Some(wanted.from);
                    self.renewals.went_well(Duration::ZERO);
                }
                Err(error) => self.renewals.failed(pace(PAUSE, self.life), &error),
            },
            // What was revoked meanwhile is not to wait for long once the managers are back.
            Err(error) => {
                let longest = if config.role.manages() { longest_pause(config) } else { PAUSE };
                self.looks.failed(pace(longest, self.life), &error);
            }
        }
    }

    /// Learns whom to trust, if it is time to; tells what certificate to ask for and where, if there is to be another.
    async fn look(&mut self, config: &Config, machine: Machine) -> Result<Option<(Endpoint, Wanted)>> {
        let now = own::now(&self.files)?;
        let Some(own) = Own::read(&self.files)? else { return Ok(None) };
        let Some(from) = self.local_address().await else { return Ok(None) };
        let moved = !own.is_for(&from.to_string()) && self.tried != Some(from);
        if !(self.looks.has_come() || (moved && self.renewals.has_come())) {
            return Ok(None);
        }
        let (trust, manager) = self.first_answer().await?;
        self.looks.went_well(pace(longest_pause(config), self.life));
        holds(&trust.bundle, own.ca.as_ref())?;
        let (files, bundle, revoked) = (self.files.clone(), trust.bundle, trust.revoked);
        on_disk(move || {
            if members::trust(&files, &bundle)? {
                tracing::info!("the cluster's trusted CAs have changed");
            }
            revoked::write(&files, &revoked::Listed { revoked })
        })
        .await?;
        let names = if config.role.manages() { own::names(config, &machine) } else { Vec::new() };
        let renamed = names.iter().any(|name| !own.is_for(name));
        let replaced = own.ca.as_ref().is_none_or(|ca| ca.text() != trust.ca);
        if !(moved || renamed || replaced || self.is_due(&own, now)) || !self.renewals.has_come() {
            return Ok(None);
        }
        let csr = request::for_key(&members::key(&self.files)?)?;
        let request = Request { csr, hostname: machine.hostname, names, ..Request::default() };
        Ok(Some((manager, Wanted { request, from })))
    }

    async fn renew(&mut self, manager: &Endpoint, request: &Request) -> Result<()> {
        let membership = ask::renew(manager, &self.tls()?, request).await?;
        let chain = pem::certificates_in(&membership.certificate).map_err(|e| senseless(&e.to_string()))?;
        let next = Own::of(&chain).ok_or_else(|| senseless("there is no certificate in it"))?;
        holds(&membership.bundle, next.ca.as_ref())?;
        let (files, hosts) = (self.files.clone(), membership.hosts.join(", "));
        on_disk(move || members::replace(&files, &membership.certificate, &membership.bundle)).await?;
        tracing::info!("the certificate was renewed by {manager}, for {hosts}");
        Ok(())
    }

    fn tls(&self) -> Result<ClientTls> {
        self.tls.clone().ok_or_else(|| Error::us(Kind::Config, "certificates are renewed over TLS only"))
    }

    /// Whom the first manager that answers trusts.
    async fn first_answer(&self) -> Result<(crate::enroll::talk::Trust, Endpoint)> {
        let tls = self.tls()?;
        let mut error = Error::us(Kind::Config, "no manager is known to renew the certificate at")
            .advise("set [pki] managers = [\"HOST:3376\"]");
        for manager in &self.managers {
            match ask::trust(manager, &tls).await {
                Ok(trust) => return Ok((trust, manager.clone())),
                Err(e) => error = e,
            }
        }
        Err(error)
    }

    /// From where packets to the first manager leave; `None` without a way there.
    async fn local_address(&self) -> Option<IpAddr> {
        for manager in &self.managers {
            if let Endpoint::Tcp { host, port } = manager
                && let Ok(local) = local_address(host, *port).await
            {
                return Some(local.ip().to_canonical());
            }
        }
        None
    }
}

/// Writes. An agent has one thread, and a slow disk is not to hold up what else it does.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(Error::us(Kind::Internal, e.to_string())))
}

/// Whether a bundle can be taken into use: one without the CA of our own certificate would lock us out.
fn holds(bundle: &str, ca: Option<&Pin>) -> Result<()> {
    let certificates = pem::certificates_in(bundle).map_err(|e| senseless(&e.to_string()))?;
    let pins: Vec<Pin> = certificates.iter().filter_map(Pin::of).collect();
    match ca {
        _ if pins.is_empty() => Err(senseless("there is no CA in it")),
        Some(ca) if !pins.contains(ca) => {
            Err(senseless("the CA of our certificate is not among those to trust"))
        }
        _ => Ok(()),
    }
}

fn senseless(why: &str) -> Error {
    Error::store(Kind::Protocol, format!("the manager's answer makes no sense: {why}"))
}

/// Where to ask: what the configuration says, else the manager whose list the engine is on.
fn managers(config: &Config) -> Vec<Endpoint> {
    let url = config.discovery.url.as_deref().unwrap_or_default();
    let listed =
        url.strip_prefix("token://").and_then(|rest| rest.split_once('/')).map(|(host, _)| host.to_string());
    let mut all: Vec<String> = config.pki.managers.clone();
    all.extend(config.discovery.managers.iter().cloned());
    all.extend(listed);
    let mut managers: Vec<Endpoint> = Vec::new();
    for text in all {
        if let Ok(manager) = Endpoint::parse(&text)
            && !managers.contains(&manager)
        {
            managers.push(manager);
        }
    }
    managers
}

/// A pause of at most that, with room for 20 of them in the life of a certificate: also one that lives for seconds, as in
/// tests, is renewed in time when an attempt or two have failed.
fn pace(longest: Duration, life: Duration) -> Duration {
    longest.min(life / 20).max(Duration::from_millis(500))
}

/// How often the managers are asked: as often as registrations are renewed; by a manager, who holds what comes in against
/// the list of what was revoked, more often.
fn longest_pause(config: &Config) -> Duration {
    match config.role.manages() {
        true => config.discovery.heartbeat.min(LOOK),
        false => config.discovery.heartbeat,
    }
}

/// The address from which a packet to `host` would leave. None is sent.
pub async fn local_address(host: &str, port: u16) -> std::io::Result<SocketAddr> {
    let found = timeout(CONNECT_DEADLINE, lookup_host((host, port))).await;
    let target = found.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??.next();
    let target = target.ok_or_else(|| std::io::Error::other("its name has no address"))?;
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(target).await?;
    socket.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enroll::talk::Trust;

    #[test]
    fn a_bundle_that_locks_us_out_is_not_taken() {
        let made = || {
            let key = rcgen::KeyPair::generate().unwrap();
            let cert = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
            (Pin::of(cert.der()).unwrap(), cert.pem())
        };
        let ((ours, own), (_, other)) = (made(), made());
        holds(&own, Some(&ours)).unwrap();
        holds(&(other.clone() + &own), Some(&ours)).unwrap();
        holds(&other, None).unwrap();
        for (bundle, ca) in [(other.as_str(), Some(&ours)), ("", Some(&ours)), ("", None), ("x", None)] {
            assert_eq!(holds(bundle, ca).unwrap_err().kind, Kind::Protocol);
        }
    }

    #[test]
    fn who_has_little_time_does_not_wait_for_long() {
        let seconds = Duration::from_secs;
        for (longest, life, pause) in [
            (PAUSE, seconds(90 * 24 * 3600), PAUSE),
            (seconds(60), seconds(3600), seconds(60)),
            (PAUSE, seconds(20), seconds(1)),
            (LOOK, seconds(0), Duration::from_millis(500)),
        ] {
            assert_eq!(pace(longest, life), pause, "{longest:?} {life:?}");
        }
    }

    #[test]
    fn managers_hear_soon_of_what_was_revoked() {
        let mut config = Config { role: crate::config::Role::Agent, ..Config::default() };
        assert_eq!(longest_pause(&config), Duration::from_secs(60));
        config.role = crate::config::Role::Manager;
        assert_eq!(longest_pause(&config), LOOK);
        config.discovery.heartbeat = Duration::from_secs(1);
        assert_eq!(longest_pause(&config), Duration::from_secs(1));
    }

    #[test]
    fn an_answer_that_says_nothing_is_none() {
        for text in ["{}", r#"{"bundle": "x", "ca": "y"}"#, r#"{"ca": "y", "revoked": {}}"#] {
            assert!(serde_json::from_str::<Trust>(text).is_err(), "{text}");
        }
        assert!(
            serde_json::from_str::<Trust>(r#"{"bundle": "x", "ca": "y", "revoked": {}, "more": 1}"#).is_ok()
        );
    }
}
