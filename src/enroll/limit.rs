//! How often one address may try to join, or renew. Pure: time comes in, as seconds of any clock that runs steadily.
//!
//! A secret of 128 bits is not guessed anyway; this keeps the log and the CPU free of those who try.

use std::collections::HashMap;
use std::net::IpAddr;

/// Attempts of one address within a span.
const ATTEMPTS: u32 = 30;
/// In seconds.
const SPAN: u64 = 60;
/// Addresses that are remembered. When there are more, new ones wait.
const ADDRESSES: usize = 4096;

/// Who tried lately. Members are counted apart: strangers who come from many addresses keep none of them out.
#[derive(Debug, Default)]
pub struct Limiter {
    members: Seen,
    strangers: Seen,
}

/// The beginning of the span, and attempts since.
#[derive(Debug, Default)]
struct Seen(HashMap<IpAddr, (u64, u32)>);

impl Limiter {
    /// Counts an attempt of somebody who wants to join. Whether it may be made.
    pub fn admit(&mut self, from: IpAddr, now: u64) -> bool {
        self.strangers.admit(from.to_canonical(), now)
    }

    /// The same for who has shown the certificate of a member.
    pub fn admit_member(&mut self, from: IpAddr, now: u64) -> bool {
        self.members.admit(from.to_canonical(), now)
    }
}

impl Seen {
    fn admit(&mut self, from: IpAddr, now: u64) -> bool {
        let over = |begun: u64| now.saturating_sub(begun) >= SPAN;
        if self.0.len() >= ADDRESSES && !self.0.contains_key(&from) {
            self.0.retain(|_, (begun, _)| !over(*begun));
            if self.0.len() >= ADDRESSES {
                return false;
            }
        }
        let (begun, attempts) = self.0.entry(from).or_insert((now, 0));
        if over(*begun) {
            (*begun, *attempts) = (now, 0);
        }
        *attempts += 1;
        *attempts <= ATTEMPTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_tries_too_often_waits_and_nobody_else() {
        let mut limiter = Limiter::default();
        let (one, other) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        assert!((0..ATTEMPTS).all(|_| limiter.admit(one, 5)));
        assert!(!limiter.admit(one, 5) && !limiter.admit(one, 4 + SPAN));
        assert!(limiter.admit(other, 5));
        assert!(limiter.admit(one, 5 + SPAN));
    }

    #[test]
    fn the_same_machine_is_the_same_in_all_spellings() {
        let mut limiter = Limiter::default();
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert!((0..ATTEMPTS).all(|_| limiter.admit(mapped, 5)));
        assert!(!limiter.admit([10, 0, 0, 1].into(), 5));
    }

    #[test]
    fn a_crowd_costs_no_memory() {
        let mut limiter = Limiter::default();
        for n in 0..2 * u32::try_from(ADDRESSES).unwrap() {
            limiter.admit(IpAddr::from(n.to_be_bytes()), 5);
        }
        assert_eq!(limiter.strangers.0.len(), ADDRESSES);
        assert!(!limiter.admit([255, 0, 0, 1].into(), 5));
        assert!(limiter.admit_member([255, 0, 0, 1].into(), 5), "members are no crowd");
        assert!(limiter.admit([255, 0, 0, 1].into(), 5 + SPAN));
    }
}
