//! One error type for the whole daemon: whose side it is on, a stable word for its kind, and what to do next.
//!
//! It is *not* the HTTP face of an error: `api::error` turns it into a status and a JSON body.

use std::fmt;

/// Whose side an error is on. It decides the HTTP status, and whether a retry makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The caller asked for something that cannot be.
    Client,
    /// A Docker Engine failed, refused or did not answer.
    Engine,
    /// A discovery store or token registry failed.
    Store,
    /// This process or its machine.
    Us,
}

/// What went wrong, as one stable word for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bad command line.
    Usage,
    /// Bad configuration.
    Config,
    /// The operating system said no.
    Permission,
    /// Something needed is not there (port in use, store down, no node).
    Unavailable,
    /// A connection could not be made.
    Connect,
    /// A deadline passed.
    Timeout,
    /// A connection broke after the request was sent: what became of it is not known.
    Broken,
    /// The other side does not speak the protocol.
    Protocol,
    /// No such object.
    NotFound,
    /// Taken, or in the wrong state.
    Conflict,
    /// A malformed request.
    Invalid,
    /// Understood, and deliberately not offered.
    Unsupported,
    /// No node satisfies the request.
    NoNode,
    /// Only a primary may do it, and this manager is none, or not any more.
    NotPrimary,
    /// The engine answered with this HTTP status.
    Status(u16),
    /// A bug or an unexpected local failure.
    Internal,
}

impl Kind {
    /// The stable word.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Usage => "usage",
            Kind::Config => "config",
            Kind::Permission => "permission",
            Kind::Unavailable => "unavailable",
            Kind::Connect => "connect",
            Kind::Timeout => "timeout",
            Kind::Broken => "broken",
            Kind::Protocol => "protocol",
            Kind::NotFound => "not-found",
            Kind::Conflict => "conflict",
            Kind::Invalid => "invalid",
            Kind::Unsupported => "unsupported",
            Kind::NoNode => "no-node",
            Kind::NotPrimary => "not-primary",
            Kind::Status(_) => "status",
            Kind::Internal => "internal",
        }
    }
}

/// An error with a side, a kind, a message and, where we know one, a piece of advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Whose side.
    pub side: Side,
    /// Which kind.
    pub kind: Kind,
    /// What happened, for a person. No trailing full stop or newline.
    pub message: String,
    /// What to do next, for a person.
    pub advice: Option<String>,
}

/// Shorthand used all over the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without advice.
    pub fn new(side: Side, kind: Kind, message: impl Into<String>) -> Error {
        Error { side, kind, message: message.into(), advice: None }
    }

    /// The caller's mistake.
    pub fn client(kind: Kind, message: impl Into<String>) -> Error {
        Error::new(Side::Client, kind, message)
    }

    /// An engine's failure.
    pub fn engine(kind: Kind, message: impl Into<String>) -> Error {
        Error::new(Side::Engine, kind, message)
    }

    /// A discovery store's failure.
    pub fn store(kind: Kind, message: impl Into<String>) -> Error {
        Error::new(Side::Store, kind, message)
    }

    /// Our own failure.
    pub fn us(kind: Kind, message: impl Into<String>) -> Error {
        Error::new(Side::Us, kind, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Error {
        self.advice = Some(advice.into());
        self
    }

    /// True for the failures that say something about the connection to an engine rather than about the
    /// request: only these count towards `engine-failure-retry`.
    pub fn is_connection(&self) -> bool {
        self.side == Side::Engine
            && matches!(self.kind, Kind::Connect | Kind::Timeout | Kind::Broken | Kind::Protocol)
    }

    /// The process exit code, after sysexits(3): 64 usage, 69 unavailable, 70 software, 77 permission,
    /// 78 configuration. The classic commands exit with 1 instead (`cli` decides).
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Usage => 64,
            Kind::Config => 78,
            Kind::Permission => 77,
            Kind::Internal => 70,
            _ => 69,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.advice {
            Some(advice) => write!(f, " ({advice})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
