//! A client's connection that can tell whether anyone is left at its other end.
//!
//! A client may end its direction and go on reading: `echo x | docker attach`. It may also be gone altogether.
//! Both read as the end of its bytes, and an engine whose container is silent would never find out. So reading
//! on after the end waits until the client is gone, and then fails. Who does not read on notices nothing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Interval, interval};
use tokio_rustls::server::TlsStream;

/// How often an ended direction is looked at. The kernel itself learns of a client that vanished, or closed
/// without a reset, by keep-alive probes: within about a minute.
const LOOK: Duration = Duration::from_secs(1);

/// What clients connect through.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The kernel's socket below.
    fn descriptor(&self) -> BorrowedFd<'_>;
}

impl Socket for TcpStream {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

impl Socket for UnixStream {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

impl Socket for TlsStream<TcpStream> {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.get_ref().0.as_fd()
    }
}

/// A client's connection.
pub struct Line<S> {
    socket: S,
    /// Set once the client has ended its direction.
    looks: Option<Interval>,
}

impl<S: Socket> Line<S> {
    /// A connection of which nothing was read yet.
    pub fn new(socket: S) -> Line<S> {
        Line { socket, looks: None }
    }
}

/// Whether both directions are over: reset, or closed by both sides.
fn is_gone(descriptor: BorrowedFd<'_>) -> bool {
    let mut look = [PollFd::new(descriptor, PollFlags::empty())];
    let over = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    poll(&mut look, PollTimeout::ZERO).is_err() || look[0].revents().is_some_and(|seen| seen.intersects(over))
}

impl<S: Socket> AsyncRead for Line<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        if let Some(looks) = &mut line.looks {
            while !is_gone(line.socket.descriptor()) {
                ready!(looks.poll_tick(cx));
            }
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let room = buf.remaining();
        match ready!(Pin::new(&mut line.socket).poll_read(cx, buf)) {
            // Some end their direction below TLS, without its goodbye: the classic manager, older clients of Docker.
            // Engines take that, too; whether what was sent is whole, HTTP's lengths and chunks tell.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {}
            read => read?,
        }
        if room > 0 && buf.remaining() == room {
            line.looks = Some(interval(LOOK));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for Line<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::tls::ClientTls;
    use crate::tls::authority_tests::Authority;

    #[tokio::test]
    async fn who_ends_its_direction_below_tls_still_gets_answers() {
        let authority = Authority::new();
        let client = ClientTls::from_config(&authority.tls()).unwrap().unwrap();
        let (near, far) = authority.meet(&client).await;
        let (mut near, mut line) = (near.unwrap(), Line::new(far.unwrap()));
        near.write_all(b"question").await.unwrap();
        near.flush().await.unwrap();
        near.get_mut().0.shutdown().await.unwrap();
        let (mut asked, mut answer) = ([0; 20], [0; 6]);
        assert_eq!(line.read(&mut asked).await.unwrap(), 8);
        assert_eq!(line.read(&mut asked).await.unwrap(), 0, "the end, and no error");
        line.write_all(b"answer").await.unwrap();
        line.flush().await.unwrap();
        near.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
    }
}
