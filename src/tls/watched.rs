//! A connection whose peer's certificate is looked at for as long as it is open: when it counts no more, so does the
//! connection. A handshake looks once, and connections are kept for the next call.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::client::TlsStream;

use crate::stream::Ahead;
use crate::tls::identity::Identity;
use crate::tls::pki::revoked::Revoked;

/// How often an idle connection is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often one on which something is sent: it costs a look at a file.
const LOOK_AT_WRITES: Duration = Duration::from_millis(100);

/// The stream, and what it is held against, if anything.
pub struct Watched {
    stream: TlsStream<Ahead>,
    watch: Option<Watch>,
}

struct Watch {
    revoked: Revoked,
    serial: String,
    timer: Pin<Box<Sleep>>,
    looked: Instant,
}

impl Watched {
    /// Of a handshake that is over. Without a list nobody is revoked.
    pub fn new(stream: TlsStream<Ahead>, revoked: Option<Revoked>) -> Watched {
        let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let serial = leaf.and_then(Identity::of).map(|owner| owner.serial);
        let watch = revoked.zip(serial).map(|(revoked, serial)| Watch {
            revoked,
            serial,
            timer: Box::pin(sleep(LOOK)),
            looked: Instant::now(),
        });
        Watched { stream, watch }
    }

    fn before_reading(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        while watch.timer.as_mut().poll(cx).is_ready() {
            watch.timer.as_mut().reset(Instant::now() + LOOK);
            watch.look()?;
        }
        Ok(())
    }

    fn before_writing(&mut self) -> io::Result<()> {
        match &mut self.watch {
            Some(watch) if watch.looked.elapsed() >= LOOK_AT_WRITES => watch.look(),
            _ => Ok(()),
        }
    }
}

impl Watch {
    fn look(&mut self) -> io::Result<()> {
        self.looked = Instant::now();
        match self.revoked.contains(&self.serial) {
            true => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the certificate of the other side was revoked",
            )),
            false => Ok(()),
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.before_reading(cx)?;
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.before_writing()?;
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.before_writing()?;
        Pin::new(&mut this.stream).poll_write_vectored(cx, bytes)
    }
}
