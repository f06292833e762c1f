//! Fewer wake-ups where bytes come fast: the kernel wakes the reader of a fast stream only when there are many.
//!
//! Woken for each packet, the reader and the thread that waits for readiness were a fifth of what an export cost.

use std::future::Future;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use nix::libc;
use nix::sys::socket::setsockopt;
use nix::{setsockopt_impl, sockopt_impl};
use tokio::time::{Instant, Sleep, sleep};

use crate::docker::connect::Stream;

/// Bytes that are read at once at most, of such a stream.
pub const BUFFER: usize = 256 << 10;
/// Bytes that are waited for.
const MANY: usize = BUFFER / 2;
/// How often it is looked whether a stream is still fast: what comes slower is late by twice this at most.
const LOOK: Duration = Duration::from_millis(20);
/// What a fast one brings in that time at least: 50 MiB in a second.
const FAST: usize = 8 * MANY;

sockopt_impl!(
    /// How many bytes make a socket readable. Its end does, too.
    LowWater, SetOnly, libc::SOL_SOCKET, libc::SO_RCVLOWAT, usize
);

/// How one connection is waited for.
pub struct Bulk {
    socket: OwnedFd,
    look: Pin<Box<Sleep>>,
    /// Bytes that came since the last look.
    came: usize,
    is_fast: bool,
}

impl Bulk {
    /// None where it is not to be had: on a unix socket, or if the process is short of descriptors.
    pub fn of(stream: &Stream) -> Option<Bulk> {
        let socket = stream.tcp()?.as_fd().try_clone_to_owned().ok()?;
        Some(Bulk { socket, look: Box::pin(sleep(LOOK)), came: 0, is_fast: false })
    }

    /// Says that bytes came.
    pub fn came(&mut self, bytes: usize) {
        self.came += bytes;
    }

    /// To be called whenever somebody begins to wait. A stream that was fast and is no more is woken for what there is.
    pub fn waits(&mut self, cx: &mut Context<'_>) {
        while self.look.as_mut().poll(cx).is_ready() {
            let is_fast = self.came >= FAST;
            if is_fast != self.is_fast {
                self.is_fast = is_fast;
                // Without it, each packet wakes us. Lowering it makes the kernel (since Linux 4.18) look at once.
                let _ = setsockopt(&self.socket, LowWater, if is_fast { &MANY } else { &1 });
            }
            self.came = 0;
            self.look.as_mut().reset(Instant::now() + LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Over real sockets, so in real time.
    #[tokio::test]
    async fn a_fast_stream_is_woken_for_many_and_one_that_was_for_what_there_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let stream = Stream::Tcp(TokioIo::new(stream));
        let mut bulk = Bulk::of(&stream).unwrap();
        bulk.came(FAST);
        tokio::time::sleep(LOOK).await;
        poll_fn(|cx| {
            bulk.waits(cx);
            Poll::Ready(())
        })
        .await;
        assert!(bulk.is_fast);
        peer.write_all(b"the rest").await.unwrap();
        let mut stream = TokioIo::new(stream);
        let mut rest = [0; 64];
        let read = poll_fn(|cx| {
            let mut rest = ReadBuf::new(&mut rest);
            let read = Pin::new(&mut stream).poll_read(cx, &mut rest);
            if read.is_pending() {
                bulk.waits(cx);
            }
            read.map(|_| rest.filled().len())
        });
        assert_eq!(tokio::time::timeout(Duration::from_secs(10), read).await, Ok(8));
        assert!(!bulk.is_fast, "it was woken before there were many");
    }
}
