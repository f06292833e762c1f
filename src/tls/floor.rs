//! The time by which certificates are judged: the machine's clock, but never before our own certificate was issued.
//!
//! A machine without a battery clock (a Pi) starts in the past, and reaches the network before the network has set its
//! clock. Its own certificate proves that it is later than that. Only the cluster's own certificates count so: of others
//! nobody knows when they were issued.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::time_provider::TimeProvider;

use crate::clock;
use crate::tls::identity::Who;
use crate::tls::pki::members::Own;

/// A clock with a floor, in seconds since the epoch.
#[derive(Debug)]
pub struct Floor(i64);

impl Floor {
    /// For who shows this certificate; without one, or with one of another CA, it is the plain clock.
    pub fn of(chain: &[CertificateDer<'_>]) -> Arc<Floor> {
        let own = Own::of(chain).filter(|own| !matches!(own.identity.kind, Who::Foreign | Who::Nobody));
        Arc::new(Floor(own.map_or(i64::MIN, |own| own.issued)))
    }
}

impl TimeProvider for Floor {
    fn current_time(&self) -> Option<UnixTime> {
        let now = u64::try_from(clock::unix_seconds().max(self.0)).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(now)))
    }
}
