//! What a client sends as the body of its request: on its way, or here as a whole so that it can be sent twice.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// The body of a request.
pub struct Upload(Content);

enum Content {
    Coming(Incoming),
    Here(Bytes),
    Over,
}

impl From<Incoming> for Upload {
    fn from(body: Incoming) -> Upload {
        Upload(Content::Coming(body))
    }
}

impl From<Bytes> for Upload {
    fn from(body: Bytes) -> Upload {
        Upload(Content::Here(body))
    }
}

impl Upload {
    /// The same once more, of a body that is here as a whole.
    pub fn copy(&self) -> Upload {
        match &self.0 {
            Content::Here(bytes) => Upload::from(bytes.clone()),
            Content::Coming(_) | Content::Over => Upload(Content::Over),
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Content::Coming(body) => Pin::new(body).poll_frame(cx),
            Content::Here(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Content::Over;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Content::Over => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Coming(body) => body.is_end_stream(),
            Content::Here(bytes) => bytes.is_empty(),
            Content::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Coming(body) => body.size_hint(),
            Content::Here(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Over => SizeHint::with_exact(0),
        }
    }
}
