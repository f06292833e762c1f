//! An engine's event stream: opened with a resume point, cut into messages, duplicates dropped.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::BytesMut;
use hyper::Method;
use serde_json::value::RawValue;

use crate::docker::endless::Endless;
use crate::docker::http::{CALL_DEADLINE, Client, answered};
use crate::docker::types::EventMessage;
use crate::docker::version::ApiVersion;
use crate::engine::fetch::Asker;
use crate::error::{Error, Kind, Result};

/// One event: its fields, and the whole message as the engine sent it.
#[derive(Debug, Clone)]
pub struct Event {
    /// The fields that we read.
    pub message: EventMessage,
    /// Everything.
    pub whole: Box<RawValue>,
}

/// Largest single message. Labels are in it, so it may be some KiB; not a MiB.
const LARGEST_MESSAGE: usize = 1 << 20;
/// How many recent events are remembered to drop repetitions after a resume.
const REMEMBERED: usize = 256;

/// Where to resume: the time of the last event, and the ones seen lately.
#[derive(Debug, Default)]
pub struct Position {
    last: i64,
    /// Their times, and numbers for what they tell: thousands of engines have one of these each.
    seen: VecDeque<(i64, u64)>,
}

impl Position {
    /// Notes an event. False if it was seen before.
    pub fn advance(&mut self, event: &EventMessage) -> bool {
        let mut what = DefaultHasher::new();
        (&event.kind, &event.action, &event.actor.id).hash(&mut what);
        let key = (event.time_nano, what.finish());
        if self.seen.contains(&key) {
            return false;
        }
        self.last = self.last.max(event.time_nano);
        self.seen.push_back(key);
        if self.seen.len() > REMEMBERED {
            self.seen.pop_front();
        }
        true
    }

    /// Begins at a time of the engine's clock, unless there was an event already: from then on nothing is missed.
    pub fn begin(&mut self, nanos: i64) {
        if self.last == 0 {
            self.last = nanos;
        }
    }

    /// The `since` parameter that resumes here; none before the beginning.
    fn query(&self) -> String {
        match self.last {
            0 => String::new(),
            nanos => format!("?since={}", seconds(nanos)),
        }
    }
}

/// Nanoseconds as engines read a time: seconds with a fraction.
fn seconds(nanos: i64) -> String {
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

/// What happened between two times of the engine's clock, both in its past, as far as the engine remembers.
pub async fn history(client: &Client, api: ApiVersion, since: i64, until: i64) -> Result<Vec<Event>> {
    let path = format!("/v{api}/events?since={}&until={}", seconds(since), seconds(until));
    let (status, body) = client.call(Method::GET, &path, CALL_DEADLINE).await?;
    if !status.is_success() {
        return Err(answered(status, &body));
    }
    let mut events = VecDeque::new();
    cut(&body, &mut events)?;
    Ok(events.into())
}

/// An open stream.
pub struct EventStream {
    answer: Endless,
    buffer: BytesMut,
    ready: VecDeque<Event>,
}

/// Opens the stream from `position`.
pub async fn open(asker: &Asker, position: &Position) -> Result<EventStream> {
    let answer = asker.client.follow(&format!("{}/events{}", asker.prefix, position.query())).await?;
    Ok(EventStream { answer, buffer: BytesMut::new(), ready: VecDeque::new() })
}

impl EventStream {
    /// The next event; an error when the stream ends or breaks. Safe to drop while it waits.
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            self.ready = VecDeque::new();
            let ended = |why: &str| Error::engine(Kind::Connect, format!("the event stream ended{why}"));
            match self.answer.read(&mut self.buffer).await {
                Ok(true) => {}
                Ok(false) => return Err(ended("")),
                Err(e) => return Err(ended(&format!(": {e}"))),
            }
            let used = cut(&self.buffer, &mut self.ready)?;
            let _ = self.buffer.split_to(used);
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new(); // And its memory goes: there may be thousands of streams.
            }
            if self.buffer.len() > LARGEST_MESSAGE {
                return Err(Error::engine(Kind::Protocol, "the event stream carries an endless message"));
            }
        }
    }
}

/// Cuts whole messages off the front; returns how many bytes they took. Engines end each with a newline,
/// old managers did not.
fn cut(buffer: &[u8], ready: &mut VecDeque<Event>) -> Result<usize> {
    let mut messages = serde_json::Deserializer::from_slice(buffer).into_iter::<Box<RawValue>>();
    let mut used = 0;
    loop {
        match messages.next() {
            None => return Ok(messages.byte_offset()),
            Some(Err(e)) if e.is_eof() => return Ok(used),
            Some(Err(e)) => {
                return Err(Error::engine(Kind::Protocol, format!("the event stream is malformed: {e}")));
            }
            Some(Ok(whole)) => {
                used = messages.byte_offset();
                let message = serde_json::from_str(whole.get()).map_err(|e| {
                    Error::engine(Kind::Protocol, format!("the event stream is malformed: {e}"))
                })?;
                ready.push_back(Event { message, whole });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_wherever_chunks_end() {
        let text = br#"{"Type":"container","Action":"start","Actor":{"ID":"c","Attributes":{"image":"b"}},"timeNano":7}
{"Type":"image","Action":"pull"}{"Type":"volume"}"#;
        for split in 0..text.len() {
            let (mut ready, mut buffer) = (VecDeque::new(), BytesMut::new());
            for part in [&text[..split], &text[split..]] {
                buffer.extend_from_slice(part);
                let used = cut(&buffer, &mut ready).unwrap();
                let _ = buffer.split_to(used);
            }
            let kinds: Vec<_> = ready.iter().map(|e| e.message.kind.as_str()).collect();
            assert_eq!(kinds, ["container", "image", "volume"], "split at {split}");
        }
        assert!(cut(b"<html>", &mut VecDeque::new()).is_err());
    }

    #[test]
    fn a_resumed_stream_repeats_nothing() {
        let mut position = Position::default();
        assert_eq!(position.query(), "");
        position.begin(1_000_000_000);
        position.begin(9_000_000_000);
        assert_eq!(position.query(), "?since=1.000000000");
        let event = |nano, id: &str| EventMessage {
            time_nano: nano,
            actor: crate::docker::types::Actor { id: id.into(), ..Default::default() },
            ..Default::default()
        };
        assert!(position.advance(&event(1_500_000_000, "a")));
        assert!(position.advance(&event(1_500_000_000, "b")));
        assert!(!position.advance(&event(1_500_000_000, "a")));
        assert_eq!(position.query(), "?since=1.500000000");
    }
}
