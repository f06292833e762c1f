//! How a call that failed is told: whose fault it is, and what to do about it.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use hyper::StatusCode;
use hyper_util::client::legacy;

use crate::docker::http::Client;
use crate::error::{Error, Kind};
use crate::tls::refusal;

/// What to do about an answer that is none.
const NO_ENGINE: &str = "make sure that a Docker Engine listens there";

/// Why there is no answer.
#[derive(Debug)]
pub struct Failed {
    /// What went wrong.
    pub error: Error,
    /// Not a byte of the request left.
    pub unsent: bool,
}

impl Failed {
    /// Whether there was a connection, which had just ended.
    pub(super) fn had_ended(&self) -> bool {
        self.unsent && self.error.kind == Kind::Broken
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed { error, unsent: false }
    }
}

impl Client {
    /// The error of a call that was not answered in time.
    pub fn timed_out(&self, deadline: Duration) -> Error {
        let message = format!("{} did not answer within {} s", self.endpoint(), deadline.as_secs());
        Error::engine(Kind::Timeout, message)
    }

    /// The agent is there, its engine is not.
    pub(super) fn turned_away(&self, why: &str) -> Error {
        Error::engine(
            Kind::Connect,
            format!("the agent at {} has no engine to offer: {why}", self.endpoint()),
        )
    }

    /// Why a call over hyper has no answer.
    pub(super) fn explain(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        if let Some(ours) = find_cause::<Error>(error) {
            return ours.clone();
        }
        if find_cause::<legacy::Error>(error).is_some_and(legacy::Error::is_connect) {
            let message =
                format!("Cannot connect to the Docker daemon at {}: {}", self.endpoint(), root_cause(error));
            return Error::engine(Kind::Connect, message);
        }
        // With TLS 1.3 the other side may refuse our certificate when the handshake is over on this side.
        if let Some(io) = find_cause::<io::Error>(error).filter(|io| refusal::refused(io)) {
            return self.explain_io(io);
        }
        // What is left when the connection was sound: something came that is no answer.
        let sound = |e: &hyper::Error| {
            let ended = e.is_incomplete_message() || e.is_closed() || e.is_canceled() || e.is_user();
            !ended && find_cause::<io::Error>(e).is_none()
        };
        match find_cause::<hyper::Error>(error).is_some_and(|e| e.is_parse() || sound(e)) {
            true => self.broke_off(Kind::Protocol, root_cause(error)).advise(NO_ENGINE),
            false => self.broke_off(Kind::Broken, root_cause(error)),
        }
    }

    /// The same for an answer that is read without hyper: `InvalidData` is none.
    pub(super) fn explain_io(&self, error: &io::Error) -> Error {
        match error.kind() {
            _ if refusal::refused(error) => {
                self.broke_off(Kind::Protocol, error).advise(refusal::cure(error))
            }
            io::ErrorKind::InvalidData => self.broke_off(Kind::Protocol, error).advise(NO_ENGINE),
            _ => self.broke_off(Kind::Broken, error),
        }
    }

    fn broke_off(&self, kind: Kind, why: impl Display) -> Error {
        Error::engine(kind, format!("the call to {} broke off: {why}", self.endpoint()))
    }
}

/// The error for an HTTP answer that is not a success: the engine's `message`, else its text.
pub fn answered(status: StatusCode, body: &[u8]) -> Error {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    let text = match serde_json::from_slice::<Message>(body) {
        Ok(json) => json.message,
        Err(_) => String::from_utf8_lossy(&body[..body.len().min(1024)]).trim().to_string(),
    };
    let text = if text.is_empty() { format!("the engine answered {status}") } else { text };
    Error::engine(Kind::Status(status.as_u16()), text)
}

/// Whether not a byte of the request left: there was no connection, or it had just ended.
pub(super) fn is_unsent(error: &legacy::Error) -> bool {
    error.is_connect() || find_cause::<hyper::Error>(error).is_some_and(hyper::Error::is_canceled)
}

fn find_cause<'a, T: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a T> {
    std::iter::successors(Some(error), |e| e.source()).find_map(|e| e.downcast_ref())
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |e| e.source()).last().map_or_else(String::new, ToString::to_string)
}
