//! Closes a connection so that its last answer arrives.
//!
//! A socket that is closed with unread bytes in it resets the connection, and the reset may overtake the answer: a
//! client that still uploads would see "broken pipe" in the place of our refusal. So when our direction has
//! ended, what the client still sends is read and dropped, until it ends too, or for a moment.

use std::future::Future;
use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The moment: some round trips.
const MOMENT: Duration = Duration::from_secs(1);
/// Bytes dropped at once.
const DROPPED: usize = 16 << 10;

/// A stream whose shutdown waits for the other side.
pub struct Lingering<S> {
    stream: S,
    /// Runs once our direction has ended.
    moment: Option<Pin<Box<Sleep>>>,
}

impl<S> Lingering<S> {
    /// The same stream.
    pub fn new(stream: S) -> Lingering<S> {
        Lingering { stream, moment: None }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let moment = match &mut this.moment {
            Some(moment) => moment,
            None => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
                this.moment.insert(Box::pin(sleep(MOMENT)))
            }
        };
        let mut dropped = [0; DROPPED];
        while moment.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut dropped);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer));
            // After an error nobody waits for anything.
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn the_end_comes_when_the_other_side_ends() {
        let (ours, mut theirs) = duplex(8);
        let mut ours = Lingering::new(ours);
        let closing = tokio::spawn(async move { ours.shutdown().await });
        assert_eq!(theirs.read(&mut [0; 8]).await.unwrap(), 0, "our direction ends at once");
        theirs.write_all(&[7; 100]).await.unwrap();
        assert!(!closing.is_finished());
        drop(theirs);
        closing.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn or_after_a_moment() {
        let (ours, mut theirs) = duplex(8);
        let endless = tokio::spawn(async move {
            while theirs.write_all(&[7; 100]).await.is_ok() {
                sleep(MOMENT / 100).await;
            }
        });
        let begun = tokio::time::Instant::now();
        let mut ours = Lingering::new(ours);
        ours.shutdown().await.unwrap();
        assert_eq!(begun.elapsed(), MOMENT);
        drop(ours);
        endless.await.unwrap();
    }
}
