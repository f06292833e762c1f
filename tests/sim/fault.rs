//! Faults that an engine can be given, and which of them a request meets. *Not* their effect: `server` has it.

use serde::{Deserialize, Serialize};

/// One way to go wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Kind {
    /// Answers late.
    Latency {
        /// Milliseconds.
        ms: u64,
    },
    /// Accepts and never answers.
    Hang,
    /// Goes on as soon as the fault is cleared.
    Hold,
    /// Closes the connection instead of answering.
    Drop,
    /// Answers, and breaks off within the body.
    Reset {
        /// Body bytes that still arrive.
        after: usize,
    },
    /// Answers with something that is not HTTP. Takes hold of new connections, whatever the route.
    Garbage,
    /// Answers as if well, with a body that never ends.
    Flood,
    /// Answers with an error.
    Error {
        /// HTTP status.
        status: u16,
        /// Its text.
        message: String,
    },
    /// Body bytes come slowly.
    Trickle {
        /// How many at a time.
        bytes: usize,
        /// Milliseconds between.
        ms: u64,
    },
    /// Every path is a 404 page of another kind of server.
    NotDocker,
    /// Open event streams end without a word. Not a lasting fault.
    EndEvents,
    /// Event streams stay open and say nothing more.
    MuteEvents,
    /// The listener closes, and all connections; state stays.
    Refuse,
    /// The listener opens again.
    Listen,
    /// The engine's clock goes wrong.
    ClockSkew {
        /// Seconds ahead.
        seconds: i64,
    },
    /// The engine has another ID.
    ChangeId {
        /// The new one.
        id: String,
    },
    /// All faults are over; the ID and the listener stay as they are.
    Clear,
}

/// A fault, where it holds, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// What.
    #[serde(flatten)]
    pub kind: Kind,
    /// Part of a route as in `GET /containers/{id}/json`; everywhere if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// How many requests meet it; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

impl Fault {
    /// For every request, until cleared.
    pub fn everywhere(kind: Kind) -> Fault {
        Fault { kind, route: None, times: None }
    }

    /// For the requests whose route contains a text.
    pub fn on(route: &str, kind: Kind) -> Fault {
        Fault { kind, route: Some(route.to_string()), times: None }
    }

    /// Only for so many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Fault {
        self.times = Some(times);
        self
    }

    fn holds(&self, route: &str) -> bool {
        self.times != Some(0) && self.route.as_ref().is_none_or(|r| route.contains(r.as_str()))
    }
}

/// The faults of a request on `route`, in the order they were set; counted faults are used up.
pub fn meet(faults: &mut Vec<Fault>, route: &str) -> Vec<Kind> {
    let met = faults.iter_mut().filter(|f| f.holds(route)).map(|fault| {
        fault.times = fault.times.map(|n| n - 1);
        fault.kind.clone()
    });
    let met = met.collect();
    faults.retain(|f| f.times != Some(0));
    met
}
