//! A body that comes back if nobody read from it: what was never sent can be sent again.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::docker::http::{Body, BoxError, boxed};

type Home = Arc<Mutex<Option<Body>>>;

/// Where a body that was lent is found again.
pub struct Return(Home);

/// Lends `body`.
pub fn lend(body: Body) -> (Body, Return) {
    let home = Home::default();
    (boxed(Lent { body: Some(body), begun: false, home: Arc::clone(&home) }), Return(home))
}

impl Return {
    /// The body, if it was given up untouched.
    pub fn take(self) -> Option<Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

struct Lent {
    body: Option<Body>,
    begun: bool,
    home: Home,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.begun {
            *self.home.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
        }
    }
}

impl hyper::body::Body for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.begun = true;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(hyper::body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, |body| body.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use hyper::body::Body as _;

    use super::*;
    use crate::docker::http::full;

    #[tokio::test]
    async fn it_comes_back_whole_or_not_at_all() {
        let (lent, back) = lend(full("all of it"));
        assert_eq!(lent.size_hint().exact(), Some(9));
        drop(lent);
        let whole = back.take().unwrap().collect().await.unwrap().to_bytes();
        assert_eq!(whole, "all of it");
        let (mut lent, back) = lend(full("some of it"));
        lent.frame().await.unwrap().unwrap();
        drop(lent);
        assert!(back.take().is_none());
    }
}
