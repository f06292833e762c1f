//! How streams end before their source does: when the manager stops, or is not the primary any more.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body as _, Frame, SizeHint};

use crate::api::call::Call;
use crate::docker::http::{Body, BoxError, boxed};

type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An answer that breaks off when `cut` ends, unless its length is known: then it is over in no time. It breaks off,
/// rather than ends, so that nobody takes half an image for a whole one.
pub fn cut_by(response: Response<Body>, cut: impl Future<Output = ()> + Send + 'static) -> Response<Body> {
    stopped_by(response, cut, Some("the primary is not the primary any more, or the certificate was revoked"))
}

/// An answer that has no end of its own: it ends when `stop` does.
pub fn ended_by(response: Response<Body>, stop: impl Future<Output = ()> + Send + 'static) -> Response<Body> {
    stopped_by(response, stop, None)
}

/// Whether the answer goes on for as long as somebody listens, so that any end is as good as another.
pub fn is_endless(call: &Call) -> bool {
    let on = |value: Option<&str>| value.is_some_and(|v| !matches!(v, "" | "0" | "false" | "False" | "no"));
    match call.segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["events"] => true,
        ["containers", _, "logs"] => on(call.query.get("follow")),
        ["containers", _, "stats"] => call.query.get("stream").is_none_or(|v| on(Some(v))),
        _ => false,
    }
}

fn stopped_by(
    response: Response<Body>,
    signal: impl Future<Output = ()> + Send + 'static,
    broken: Option<&'static str>,
) -> Response<Body> {
    match response.body().size_hint().exact() {
        Some(_) => response,
        None => response.map(|body| boxed(Stopped { body, signal: Box::pin(signal), broken })),
    }
}

struct Stopped {
    body: Body,
    signal: Signal,
    /// Why it breaks off; `None`: it ends.
    broken: Option<&'static str>,
}

impl hyper::body::Body for Stopped {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.signal.as_mut().poll(cx).is_ready() {
            return Poll::Ready(self.broken.map(|why| Err(why.into())));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use http_body_util::channel::Channel;

    use super::*;
    use crate::docker::http::full;

    #[tokio::test]
    async fn a_stream_breaks_off_when_the_reign_ends() {
        let (mut sender, body) = Channel::<Bytes>::new(1);
        let (over, ends) = tokio::sync::oneshot::channel::<()>();
        let cut = async { drop(ends.await) };
        let mut response = cut_by(Response::new(boxed(body)), cut);
        sender.send_data("one".into()).await.unwrap();
        assert_eq!(response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        over.send(()).unwrap();
        assert!(response.body_mut().frame().await.unwrap().is_err(), "nobody takes it for the end");
        let whole = cut_by(Response::new(full("all of it")), async {});
        assert_eq!(whole.into_body().collect().await.unwrap().to_bytes(), "all of it");
    }

    #[tokio::test]
    async fn an_endless_one_ends() {
        let (mut sender, body) = Channel::<Bytes>::new(1);
        let (over, ends) = tokio::sync::oneshot::channel::<()>();
        let mut response = ended_by(Response::new(boxed(body)), async { drop(ends.await) });
        sender.send_data("one".into()).await.unwrap();
        assert!(response.body_mut().frame().await.unwrap().is_ok());
        over.send(()).unwrap();
        assert!(response.body_mut().frame().await.is_none());
    }
}
