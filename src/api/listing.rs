//! The body of a long list of containers: made piece by piece while it is sent, from entries that are ready. It
//! holds the view, not a copy of anything: eight clients that list everything cost eight small buffers.

use std::collections::HashMap;
use std::fmt::Write;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::Frame;

use crate::api::selection::Hit;
use crate::cluster::View;
use crate::cluster::moves::Waiting;
use crate::docker::http::BoxError;
use crate::engine::status::Status;
use crate::engine::{Container, Node};

/// Bytes made at once. Below what allocators map anew each time.
const PIECE: usize = 64 << 10;
/// Entries of which memory is read together, before they are written: newest first, they lie anywhere, and each for itself
/// would be waited for.
const TOGETHER: usize = 16;

/// A list under way.
pub struct Listing {
    view: Arc<View>,
    hits: std::vec::IntoIter<Hit>,
    waiting: Arc<HashMap<String, Waiting>>,
    /// Our clock, in nanoseconds since the epoch.
    now: i64,
    /// The STATUS of one after the other.
    status: String,
    begun: bool,
    ended: bool,
}

impl Listing {
    /// The list of these containers of a view.
    pub fn new(view: Arc<View>, hits: Vec<Hit>, waiting: Arc<HashMap<String, Waiting>>, now: i64) -> Listing {
        Listing {
            view,
            hits: hits.into_iter(),
            waiting,
            now,
            status: String::new(),
            begun: false,
            ended: false,
        }
    }

    /// The next piece; `None` after the last.
    pub fn piece(&mut self) -> Option<Vec<u8>> {
        if self.ended {
            return None;
        }
        let mut piece = Vec::with_capacity(if self.hits.len() > 32 { PIECE } else { 2048 });
        while piece.len() < PIECE * 7 / 8 {
            let Some((node, container)) = self.hits.next().and_then(|hit| hit.find(&self.view)) else {
                piece.extend_from_slice(if self.begun { b"]\n" } else { b"[]\n" });
                self.ended = true;
                break;
            };
            if self.hits.len().is_multiple_of(TOGETHER) {
                self.reach();
            }
            piece.push(if self.begun { b',' } else { b'[' });
            self.begun = true;
            self.status.clear();
            put_status(node, container, &self.waiting, self.now, &mut self.status);
            container.entry.write(&self.status, &mut piece);
        }
        Some(piece)
    }

    /// Has what the next ones are made of brought from memory.
    fn reach(&self) {
        for hit in self.hits.as_slice().iter().take(TOGETHER) {
            if let Some((_, container)) = hit.find(&self.view) {
                black_box(container.life.started);
                container.entry.reach();
            }
        }
    }

    /// Whether all is said.
    pub fn is_over(&self) -> bool {
        self.ended
    }
}

/// Appends the STATUS text; a container on a node that cannot be reached says so, and why it stays there.
pub fn put_status(
    node: &Node,
    container: &Container,
    waiting: &HashMap<String, Waiting>,
    now: i64,
    text: &mut String,
) {
    let skew = node.specs.as_ref().map_or(0, |s| s.skew);
    // Writing to a text never fails.
    let _ = match node.is_healthy() {
        true => write!(text, "{}", Status { life: &container.life, now: now - skew }),
        false => match waiting.get(&container.id) {
            Some(waits) => write!(text, "Host Down ({})", waits.why),
            None => text.write_str("Host Down"),
        },
    };
}

/// A list whose first piece is made.
pub struct Rest {
    /// The piece.
    pub first: Option<Bytes>,
    /// What comes after it.
    pub listing: Listing,
}

impl hyper::body::Body for Rest {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let next = self.first.take().or_else(|| self.listing.piece().map(Bytes::from));
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.listing.is_over()
    }
}
