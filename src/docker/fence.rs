//! Who may change something on an engine is asked at the last moment: when there is a connection, and the call is
//! about to go out on it.
//!
//! It cannot be later than that. What a process that is stopped right there sends when it wakes is too late, and
//! an engine would have to know terms to refuse it.

use std::future::{Future, poll_fn};
use std::pin::pin;

use hyper::header::HeaderValue;
use hyper::{Method, Request};
use hyper_util::client::legacy::connect::capture_connection;

use crate::error::{Error, Result};

/// The header that tells on whose word a change is made: for the logs of engines and of what stands before them.
pub const STAMP: &str = "x-swarmd-primary";

/// Asked before what changes something.
pub trait Fence: Send + Sync + 'static {
    /// Whether it may.
    fn pass(&self) -> Result<()>;
    /// On whose word, if that is worth telling.
    fn stamp(&self) -> Option<String>;
}

/// Whether a call may change something.
pub fn changes(method: &Method) -> bool {
    !method.is_safe()
}

/// Says in a request on whose word it is made.
pub fn stamp<B>(fence: &dyn Fence, request: &mut Request<B>) {
    if let Some(stamp) = fence.stamp().and_then(|s| HeaderValue::try_from(s).ok()) {
        request.headers_mut().insert(STAMP, stamp);
    }
}

/// Sends a request with `send`, unless the fence closes before it has a connection. Once it is on its way, its
/// answer is waited for, whatever becomes of the fence: it was sent in time.
pub async fn pass<B, T, E, F>(
    fence: &dyn Fence,
    mut request: Request<B>,
    send: impl FnOnce(Request<B>) -> F,
) -> Result<T, E>
where
    E: From<Error>,
    F: Future<Output = Result<T, E>>,
{
    stamp(fence, &mut request);
    let connection = capture_connection(&mut request);
    let mut sent = pin!(send(request));
    poll_fn(|cx| {
        if connection.connection_metadata().is_none()
            && let Err(closed) = fence.pass()
        {
            return std::task::Poll::Ready(Err(closed.into()));
        }
        sent.as_mut().poll(cx)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::error::Kind;

    #[derive(Default)]
    struct Gate {
        closed: AtomicBool,
        asked: AtomicUsize,
    }

    impl Fence for Gate {
        fn pass(&self) -> Result<()> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            match self.closed.load(Ordering::Relaxed) {
                true => Err(Error::us(Kind::NotPrimary, "closed")),
                false => Ok(()),
            }
        }

        fn stamp(&self) -> Option<String> {
            Some("a:1 term=7".into())
        }
    }

    /// A connection that takes its time, during which the fence may close.
    async fn send(gate: &Gate, closes: bool, request: Request<()>) -> Result<Request<()>> {
        tokio::task::yield_now().await;
        gate.closed.store(closes, Ordering::Relaxed);
        tokio::task::yield_now().await;
        Ok(request)
    }

    #[tokio::test]
    async fn it_is_asked_until_there_is_a_connection() {
        for closes in [false, true] {
            let gate = Gate::default();
            let sent = pass(&gate, Request::new(()), |request| send(&gate, closes, request)).await;
            assert_eq!(sent.is_err(), closes, "what is refused while it waits is not sent");
            assert!(gate.asked.load(Ordering::Relaxed) > 2);
            if let Ok(sent) = sent {
                assert_eq!(sent.headers()[STAMP], "a:1 term=7");
            }
        }
    }

    #[test]
    fn questions_pass_and_changes_are_asked_about() {
        assert!([Method::GET, Method::HEAD].iter().all(|m| !changes(m)));
        assert!([Method::POST, Method::PUT, Method::DELETE].iter().all(changes));
    }
}
