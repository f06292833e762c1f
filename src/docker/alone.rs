//! A call over a connection of its own, which moves on when the answer is read: by whoever reads it.
//!
//! A connection of the pool is a task. It and the reader wake each other for each piece, which costs more than a new
//! connection where there are thousands of pieces, as in an export, and where nobody will use the connection again, as
//! after a ping of one engine in a thousand.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{Builder, Connection};
use hyper::{Request, Response};

use crate::docker::bulk::Bulk;
use crate::docker::connect::Stream;
use crate::docker::http::{Body, BoxError};

/// The body of such an answer. Its connection ends with it.
pub struct Alone {
    body: Incoming,
    /// Until it has ended.
    connection: Option<Connection<Stream, Body>>,
    /// How bytes are waited for that are many.
    bulk: Option<Bulk>,
}

/// Sends `request`, whose URI is a path, to whoever is at the other end of `stream`; `bulk` if the answer is likely to be
/// large. No deadline.
///
/// # Errors
/// What hyper says.
pub async fn send(
    stream: Stream,
    bulk: Option<Bulk>,
    how: &Builder,
    request: Request<Body>,
) -> hyper::Result<Response<Alone>> {
    let (mut sender, connection) = how.handshake(stream).await?;
    let mut connection = Some(connection);
    let mut answer = std::pin::pin!(sender.send_request(request));
    let answer = poll_fn(|cx| {
        drive(&mut connection, cx);
        answer.as_mut().poll(cx)
    });
    let (head, body) = answer.await?.into_parts();
    Ok(Response::from_parts(head, Alone { body, connection, bulk }))
}

/// Moves a connection on. Why it ended, its answer tells.
fn drive(connection: &mut Option<Connection<Stream, Body>>, cx: &mut Context<'_>) {
    if connection.as_mut().is_some_and(|open| Pin::new(open).poll(cx).is_ready()) {
        *connection = None;
    }
}

impl hyper::body::Body for Alone {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        // The connection reads when it was asked for more, so it is asked, moved on, and asked again.
        let mut frame = Pin::new(&mut this.body).poll_frame(cx);
        if frame.is_pending() {
            drive(&mut this.connection, cx);
            frame = Pin::new(&mut this.body).poll_frame(cx);
        }
        match (&frame, &mut this.bulk) {
            (Poll::Pending, Some(bulk)) => bulk.waits(cx),
            (Poll::Ready(Some(Ok(frame))), Some(bulk)) => bulk.came(frame.data_ref().map_or(0, Bytes::len)),
            _ => {}
        }
        frame.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
