//! Calls to several nodes at once: results gathered, streams merged line by line, uploads copied to all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::api::upload::Upload;
use crate::docker::http::{Body, BoxError, boxed};
use crate::engine::Node;
use crate::error::{Error, Kind, Result};

/// Messages that may wait for a slow client.
const QUEUE: usize = 64;
/// Pieces of an upload that may wait for a slow engine.
const PIECES: usize = 32;
/// Longest message that makes sense.
const LONGEST_MESSAGE: usize = 1 << 20;
/// An engine that takes nothing of an upload for this long is left out of it.
const STALLED: Duration = Duration::from_secs(60);

/// All successes, or one error that says for each node what went wrong, and where it went well.
pub fn together<T>(what: &str, results: Vec<(String, Result<T>)>) -> Result<Vec<(String, T)>> {
    let (mut fine, mut failed) = (Vec::new(), Vec::new());
    for (node, result) in results {
        match result {
            Ok(value) => fine.push((node, value)),
            Err(error) => failed.push((node, error)),
        }
    }
    let Some((_, first)) = failed.first() else { return Ok(fine) };
    // What all say alike, such as that a filter is invalid, is no matter of nodes.
    let alone = fine.is_empty() && failed.iter().all(|(_, e)| e.message == first.message);
    let text = match alone {
        true => first.message.clone(),
        false => {
            let mut lines: Vec<_> = failed.iter().map(|(node, e)| format!("{node}: {e}")).collect();
            if !fine.is_empty() {
                let nodes: Vec<_> = fine.iter().map(|(n, _)| n.as_str()).collect();
                lines.push(format!("({what} on {})", nodes.join(", ")));
            }
            lines.join("\n")
        }
    };
    // The worst status of all stands for the whole: an engine's 404 beside a 409 is a conflict.
    let worst =
        failed.iter().map(|(_, e)| e).max_by_key(|e| super::error::status(e).as_u16()).unwrap_or(first);
    Err(Error { message: text, advice: first.advice.clone().filter(|_| alone), ..worst.clone() })
}

/// The sending end of a merged stream of JSON messages, one a line.
#[derive(Clone)]
pub struct Lines(mpsc::Sender<Bytes>);

impl Lines {
    /// A stream, and the body that carries it.
    pub fn channel() -> (Lines, Body) {
        let (sender, mut receiver) = mpsc::channel::<Bytes>(QUEUE);
        let frames = futures_util::stream::poll_fn(move |cx| {
            receiver.poll_recv(cx).map(|next| next.map(|bytes| Ok::<_, BoxError>(Frame::data(bytes))))
        });
        (Lines(sender), boxed(StreamBody::new(frames)))
    }

    /// Sends one message. An error means that the client is gone.
    pub async fn send(&self, message: &Value) -> Result<()> {
        let line = Bytes::from(format!("{message}\r\n"));
        self.0.send(line).await.map_err(|_| Error::client(Kind::Broken, "the client is gone"))
    }

    /// Ends when the client is gone.
    pub async fn closed(&self) {
        self.0.closed().await;
    }

    /// Whether the client is gone.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// The message after which the docker client exits with an error.
    pub async fn fail(&self, text: &str) {
        let _ = self.send(&json!({ "error": text, "errorDetail": { "code": 1, "message": text } })).await;
    }
}

/// An engine's stream of JSON messages, one a line.
pub struct Messages {
    body: Incoming,
    buffer: Vec<u8>,
    idle: Duration,
}

impl Messages {
    /// Reads `body`; a pause longer than `idle` is an error.
    pub fn new(body: Incoming, idle: Duration) -> Messages {
        Messages { body, buffer: Vec::new(), idle }
    }

    /// The next message; `None` at the end. A message that tells of an error is one. Lines that are no JSON
    /// are skipped.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            while let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let Ok(message) = serde_json::from_slice::<Value>(&line) else { continue };
                return match error_of(&message) {
                    Some(error) => Err(Error::engine(Kind::Status(500), error)),
                    None => Ok(Some(message)),
                };
            }
            if self.buffer.len() > LONGEST_MESSAGE {
                return Err(Error::engine(Kind::Protocol, "the stream carries an endless message"));
            }
            match tokio::time::timeout(self.idle, self.body.frame()).await {
                Err(_) => {
                    let text = format!("no progress for {} s", self.idle.as_secs());
                    return Err(Error::engine(Kind::Timeout, text));
                }
                Ok(None) => return Ok(None),
                Ok(Some(Err(e))) => {
                    return Err(Error::engine(Kind::Broken, format!("the stream broke off: {e}")));
                }
                Ok(Some(Ok(frame))) => {
                    self.buffer.extend_from_slice(frame.data_ref().map_or(&[], |d| d.as_ref()));
                }
            }
        }
    }
}

fn error_of(message: &Value) -> Option<String> {
    let detail = message.get("errorDetail").and_then(|d| d.get("message")).or(message.get("error"));
    detail.and_then(Value::as_str).map(str::to_string)
}

/// An upload on its way to several engines. Each has a bounded queue; one that stalls is left behind and does
/// not hold up the others.
pub struct Copies {
    senders: Vec<(Arc<Node>, mpsc::Sender<Bytes>)>,
}

impl Copies {
    /// One body for each node.
    pub fn new(nodes: &[Arc<Node>]) -> (Copies, Vec<(Arc<Node>, Body)>) {
        let (mut senders, mut bodies) = (Vec::new(), Vec::new());
        for node in nodes {
            let (sender, mut receiver) = mpsc::channel::<Bytes>(PIECES);
            let frames = futures_util::stream::poll_fn(move |cx| {
                receiver.poll_recv(cx).map(|next| next.map(|bytes| Ok::<_, BoxError>(Frame::data(bytes))))
            });
            senders.push((Arc::clone(node), sender));
            bodies.push((Arc::clone(node), boxed(StreamBody::new(frames))));
        }
        (Copies { senders }, bodies)
    }

    /// Copies the upload to all until it ends, or nobody takes it any more.
    pub async fn carry(mut self, mut upload: Upload) -> Result<()> {
        while let Some(frame) = upload.frame().await {
            let frame =
                frame.map_err(|e| Error::client(Kind::Broken, format!("the upload broke off: {e}")))?;
            let Ok(data) = frame.into_data() else { continue };
            let mut kept = Vec::with_capacity(self.senders.len());
            for (node, sender) in self.senders {
                match sender.send_timeout(data.clone(), STALLED).await {
                    Ok(()) => kept.push((node, sender)),
                    Err(e) => tracing::warn!(NODE = node.name(), "left out of an upload: {e}"),
                }
            }
            self.senders = kept;
            if self.senders.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_name_their_nodes_and_the_successes() {
        let fails = |code| Err(Error::engine(Kind::Status(code), format!("e{code}")));
        let alone = together::<()>("done", vec![("a".into(), fails(409))]).unwrap_err();
        assert_eq!((alone.message.as_str(), alone.kind), ("e409", Kind::Status(409)));
        let mixed =
            together("done", vec![("a".into(), fails(404)), ("b".into(), Ok(())), ("c".into(), fails(409))]);
        let mixed = mixed.unwrap_err();
        assert_eq!(mixed.message, "a: e404\nc: e409\n(done on b)");
        assert_eq!(mixed.kind, Kind::Status(409));
        assert_eq!(together("done", vec![("b".into(), Ok(1))]).unwrap().len(), 1);
        let alike = together::<()>("done", vec![("a".into(), fails(400)), ("b".into(), fails(400))]);
        assert_eq!(alike.unwrap_err().message, "e400");
    }
}
