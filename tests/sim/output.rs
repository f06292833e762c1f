//! Stdin and output of a process: a bounded log, and whoever is attached. *Not* the framing on the wire.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::clock;

/// Stream number of stdout in a frame.
pub const STDOUT: u8 = 1;
/// Stream number of stderr in a frame.
pub const STDERR: u8 = 2;
/// Log bytes kept for each process.
const LOG_BYTES: usize = 1 << 20;

/// A piece of output.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// 1 or 2.
    pub stream: u8,
    /// When, in nanoseconds since 1970.
    pub time: i64,
    /// What.
    pub bytes: Bytes,
}

#[derive(Debug, Default)]
struct Inner {
    log: VecDeque<Chunk>,
    log_bytes: usize,
    attached: Vec<Sender<Chunk>>,
    stdin: Option<Sender<Bytes>>,
    unread: Option<Receiver<Bytes>>,
}

/// The ends of a process's streams. Nothing in it costs memory before it is used.
#[derive(Debug, Default)]
pub struct Output(Mutex<Inner>);

impl Output {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints: into the log and to everybody attached, who may hold it up.
    pub async fn send(&self, stream: u8, bytes: Bytes) {
        let chunk = Chunk { stream, time: clock::now(0), bytes };
        let attached = {
            let mut inner = self.inner();
            inner.log_bytes += chunk.bytes.len();
            inner.log.push_back(chunk.clone());
            while inner.log_bytes > LOG_BYTES {
                let Some(oldest) = inner.log.pop_front() else {
                    break;
                };
                inner.log_bytes -= oldest.bytes.len();
            }
            inner.attached.retain(|s| !s.is_closed());
            inner.attached.clone()
        };
        for sender in attached {
            // A reader that went away is dropped at the next turn.
            let _ = sender.send(chunk.clone()).await;
        }
    }

    /// The log so far and, if wanted, everything after it without gap.
    pub fn follow(&self, live: bool) -> (Vec<Chunk>, Option<Receiver<Chunk>>) {
        let mut inner = self.inner();
        let past = inner.log.iter().cloned().collect();
        let receiver = live.then(|| {
            let (sender, receiver) = channel(16);
            inner.attached.push(sender);
            receiver
        });
        (past, receiver)
    }

    /// A way to write to the process, also before it runs.
    pub fn stdin(&self) -> Option<Sender<Bytes>> {
        let mut inner = self.inner();
        if inner.stdin.is_none() {
            let (sender, receiver) = channel(16);
            inner.stdin = Some(sender);
            inner.unread = Some(receiver);
        }
        inner.stdin.clone()
    }

    /// No more input comes: the process reads its end.
    pub fn close_stdin(&self) {
        self.inner().stdin = None;
    }

    /// The reading end, for the process.
    pub fn take_stdin(&self) -> Option<Receiver<Bytes>> {
        let _ = self.stdin();
        self.inner().unread.take()
    }

    /// The process ended: everybody attached reads the end of the stream.
    pub fn end(&self) {
        let mut inner = self.inner();
        inner.attached.clear();
        inner.stdin = None;
        inner.unread = None;
    }
}

/// One frame of the multiplexed stream: number, three zeroes, length, bytes.
pub fn frame(chunk: &Chunk, tty: bool) -> Bytes {
    if tty {
        return chunk.bytes.clone();
    }
    let mut framed = Vec::with_capacity(8 + chunk.bytes.len());
    framed.extend_from_slice(&[chunk.stream, 0, 0, 0]);
    framed.extend_from_slice(&u32::try_from(chunk.bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(&chunk.bytes);
    framed.into()
}
