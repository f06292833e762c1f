//! Answers: JSON, engine errors, streams. *Not* the headers common to all answers: `server` adds those.

use std::io;

use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// The body of every answer. An error breaks the connection off.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;
/// An answer.
pub type Reply = Response<Body>;
/// What a handler returns.
pub type Outcome = Result<Reply, Fail>;

/// An error as the engine says it.
#[derive(Debug, Clone)]
pub struct Fail {
    /// HTTP status.
    pub status: u16,
    /// `message` of the JSON body.
    pub message: String,
}

/// Shorthand of `Err(Fail)`.
pub fn fail<T>(status: u16, message: impl Into<String>) -> Result<T, Fail> {
    Err(Fail { status, message: message.into() })
}

impl Fail {
    /// The answer that says so.
    pub fn reply(&self) -> Reply {
        json_with(self.status, &json!({ "message": self.message }))
    }
}

/// Known bytes as a body.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An answer without a body.
pub fn status(code: u16) -> Reply {
    with(code, full(Bytes::new()))
}

/// An answer with any body.
pub fn with(code: u16, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply
}

/// JSON with a status; engines end it with a newline.
pub fn json_with(code: u16, value: &Value) -> Reply {
    typed(with(code, full(format!("{value}\n"))), "application/json")
}

/// JSON with status 200.
pub fn json_ok(value: &Value) -> Outcome {
    Ok(json_with(200, value))
}

/// Sets the content type.
pub fn typed(mut reply: Reply, kind: &'static str) -> Reply {
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

/// A stream: headers leave at once, then whatever is sent.
pub fn stream(kind: &'static str) -> (Sender<Bytes, io::Error>, Reply) {
    let (sender, channel) = Channel::new(16);
    (sender, typed(with(200, channel.boxed_unsync()), kind))
}

/// A stream of JSON lines whose every line is known.
pub fn lines(values: &[Value]) -> Reply {
    let text: String = values.iter().map(|v| format!("{v}\r\n")).collect();
    typed(with(200, full(text)), "application/json")
}
