//! What the operator says about one node: whether it takes new containers, and labels set at run time.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::docker::types::Labels;

/// Whether a node takes new containers. What it holds already runs on in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// It does.
    #[default]
    Active,
    /// It does not.
    Paused,
    /// It does not, and is to be emptied.
    Drained,
}

impl Availability {
    /// The word for it, as users read and write it.
    pub fn word(self) -> &'static str {
        match self {
            Availability::Active => "active",
            Availability::Paused => "paused",
            Availability::Drained => "drained",
        }
    }
}

/// The operator's orders for one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orders {
    /// Whether it takes new containers.
    pub availability: Availability,
    /// Why not, in the operator's words; may be empty.
    pub reason: String,
    /// Unix seconds since when; 0 if that was never said.
    pub since: i64,
    /// Labels that are added to the engine's own, and win over them.
    pub labels: Labels,
}

impl Orders {
    /// Sets the availability. Saying the same again keeps the time, and the reason unless there is a new one.
    pub fn set_availability(&mut self, availability: Availability, reason: &str, now: i64) {
        if availability != self.availability {
            self.availability = availability;
            self.since = now;
            self.reason = reason.to_string();
        } else if !reason.is_empty() {
            self.reason = reason.to_string();
        }
    }

    /// Whether the node takes new containers.
    pub fn takes_containers(&self) -> bool {
        self.availability == Availability::Active
    }

    /// Whether there is nothing that must be kept.
    pub fn say_nothing(&self) -> bool {
        self.takes_containers() && self.labels.is_empty()
    }
}

/// `paused by the operator since 2026-01-01T00:00:00Z (new disk)`
impl fmt::Display for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.availability.word())?;
        if self.takes_containers() {
            return Ok(());
        }
        write!(f, " by the operator since {}", clock::rfc3339(self.since))?;
        match self.reason.as_str() {
            "" => Ok(()),
            reason => write!(f, " ({reason})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saying_it_again_keeps_the_time() {
        let mut orders = Orders::default();
        assert!(orders.say_nothing());
        orders.set_availability(Availability::Paused, "new disk", 10);
        assert_eq!(orders.to_string(), "paused by the operator since 1970-01-01T00:00:10Z (new disk)");
        orders.set_availability(Availability::Paused, "", 20);
        assert_eq!((orders.since, orders.reason.as_str()), (10, "new disk"));
        orders.set_availability(Availability::Paused, "fan", 20);
        assert_eq!((orders.since, orders.reason.as_str()), (10, "fan"));
        orders.set_availability(Availability::Active, "", 30);
        assert_eq!(orders.to_string(), "active");
        assert!(orders.say_nothing() && orders.reason.is_empty());
    }
}
