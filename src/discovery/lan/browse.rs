//! Looks for managers of one token and keeps the picture current. What to do about them is the caller's affair.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mdns_sd::{ResolvedService, ServiceEvent};
use tokio::sync::Notify;
use tokio::sync::watch::{self, Receiver, Sender};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::discovery::lan::advert::{Advert, token_digest};
use crate::discovery::lan::seen::{Found, Seen};
use crate::discovery::lan::{Lan, SERVICE};
use crate::discovery::registry_store::hash;

/// The question is asked anew this often: mDNS itself asks ever more rarely, up to once an hour, and a packet
/// that is lost on a wireless LAN is lost.
const ASK_AGAIN: Duration = Duration::from_secs(300);
/// After this long a search has heard of all that mDNS knows already.
const SETTLED: Duration = Duration::from_secs(3);
/// A pause before a search that broke off is taken up.
const BROKEN: Duration = Duration::from_secs(2);

/// A search that goes on until this is dropped.
pub struct Browser {
    /// The managers of the token, in the order of their names.
    pub found: Receiver<Vec<Found>>,
    again: Arc<Notify>,
    _running: DropGuard,
}

impl Browser {
    /// Asks once more now, for somebody is missing.
    pub fn look_again(&self) {
        self.again.notify_one();
    }
}

impl Lan {
    /// Looks for the other managers that host `token`. One search at a time: a second one ends the first.
    pub fn browse(&self, token: &str) -> Browser {
        let (sender, found) = watch::channel(Vec::new());
        let again = Arc::new(Notify::new());
        let cancel = CancellationToken::new();
        let search =
            Search { lan: self.clone(), digest: token_digest(&hash(token)), sender, seen: Seen::default() };
        tokio::spawn({
            let (again, cancel) = (Arc::clone(&again), cancel.clone());
            async move { search.run(&again, &cancel).await }
        });
        Browser { found, again, _running: cancel.drop_guard() }
    }
}

struct Search {
    lan: Lan,
    digest: String,
    sender: Sender<Vec<Found>>,
    seen: Seen,
}

impl Search {
    async fn run(mut self, again: &Notify, cancel: &CancellationToken) {
        loop {
            tokio::select! {
                () = self.follow() => {}
                () = again.notified() => {}
                () = cancel.cancelled() => break,
            }
        }
        let _ = self.lan.daemon.stop_browse(SERVICE);
    }

    /// Asks, and takes in what comes, until it is time to ask anew.
    async fn follow(&mut self) {
        let begun = Instant::now();
        let events = match self.lan.daemon.browse(SERVICE) {
            Ok(events) => events,
            Err(error) => {
                tracing::warn!("mDNS: cannot look for managers: {error}");
                return sleep(BROKEN).await;
            }
        };
        // Who left between two searches left unseen: what is known is told anew at the beginning of each.
        let (mut confirmed, mut settled) = (BTreeSet::new(), false);
        loop {
            tokio::select! {
                event = events.recv_async() => match event {
                    Ok(event) => self.take(event, &mut confirmed),
                    Err(_) => return sleep(BROKEN).await,
                },
                () = sleep_until(begun + SETTLED), if !settled => {
                    settled = true;
                    self.seen.keep(&confirmed);
                }
                () = sleep_until(begun + ASK_AGAIN) => return,
            }
            self.publish();
        }
    }

    fn take(&mut self, event: ServiceEvent, confirmed: &mut BTreeSet<String>) {
        match event {
            ServiceEvent::ServiceResolved(service) => {
                confirmed.insert(service.get_fullname().to_string());
                self.resolved(&service);
            }
            ServiceEvent::ServiceRemoved(_, instance) => self.seen.removed(&instance),
            _ => {}
        }
    }

    fn publish(&self) {
        let found = self.seen.with_token(&self.digest, &self.lan.instance());
        // Each answer comes several times.
        self.sender.send_if_modified(|before| {
            let changed = *before != found;
            *before = found;
            changed
        });
    }

    fn resolved(&mut self, service: &ResolvedService) {
        let instance = service.get_fullname();
        match Advert::of_txt(|key| service.get_property_val_str(key)) {
            Some(advert) => {
                let ips = service.get_addresses().iter().map(mdns_sd::ScopedIp::to_ip_addr).collect();
                self.seen.resolved(instance, ips, service.get_port(), advert);
            }
            None => self.seen.removed(instance),
        }
    }
}
