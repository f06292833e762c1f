//! When the certificates that were shown end: a handshake looks at that once, a connection may outlive it by weeks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// That many are remembered. A cluster has fewer that are good; beyond that, those that ended first are forgotten.
const MOST: usize = 16_384;

/// The ends, by serial number. Pure: time comes in, as seconds since the epoch.
#[derive(Debug, Default)]
pub struct Ends(Mutex<HashMap<String, i64>>);

impl Ends {
    /// Somebody has come in with this certificate.
    pub fn note(&self, serial: &str, end: i64) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.len() >= MOST
            && !ends.contains_key(serial)
            && let Some(first) = ends.iter().min_by_key(|(_, end)| **end).map(|(serial, _)| serial.clone())
        {
            ends.remove(&first);
        }
        // By hand, two certificates may have one number: then it is good for as long as either.
        let latest = ends.get(serial).map_or(end, |known| end.max(*known));
        ends.insert(serial.to_string(), latest);
    }

    /// Whether a certificate that was shown has ended meanwhile.
    pub fn has_ended(&self, serial: &str, now: i64) -> bool {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.get(serial).is_some_and(|end| *end < now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shown_ends_in_time() {
        let ends = Ends::default();
        ends.note("ab", 100);
        assert!(!ends.has_ended("ab", 100) && ends.has_ended("ab", 101));
        assert!(!ends.has_ended("cd", 101));
        ends.note("ef", 150);
        ends.note("ef", 100);
        assert!(!ends.has_ended("ef", 101) && ends.has_ended("ef", 151));
        for n in 0..MOST {
            ends.note(&n.to_string(), 200);
        }
        assert_eq!(ends.0.lock().unwrap().len(), MOST);
        assert!(!ends.has_ended("ab", 101) && ends.has_ended("0", 201));
    }
}
