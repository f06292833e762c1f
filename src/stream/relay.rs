//! Carries bytes both ways between a client and an engine, until all is said.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

/// Bytes carried at once, at first: a terminal needs no more.
const SMALLEST: usize = 8 << 10;
/// And in a stream that fills what it is given, in each direction.
const LARGEST: usize = 256 << 10;

/// How a relay goes, for whoever wants to end it at a good moment.
#[derive(Debug, Default)]
pub struct Progress {
    pieces: AtomicUsize,
    asked: AtomicBool,
}

impl Progress {
    /// Grows with each piece that is carried.
    pub fn pieces(&self) -> usize {
        self.pieces.load(Ordering::Relaxed)
    }

    /// Whether the client spoke last, so that the engine owes it an answer, perhaps.
    pub fn awaits_engine(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    fn note(&self, from_client: bool) {
        self.pieces.fetch_add(1, Ordering::Relaxed);
        self.asked.store(from_client, Ordering::Relaxed);
    }
}

/// Carries bytes both ways. The client may end its direction and still read: `echo x | docker attach`. When
/// the engine ends, all is said.
///
/// A client over a [`super::Line`] that is gone for good ends it, too.
pub async fn relay<C, E>(client: C, engine: E, progress: &Progress)
where
    C: AsyncRead + AsyncWrite,
    E: AsyncRead + AsyncWrite,
{
    let (mut from_client, mut to_client) = split(client);
    let (mut from_engine, mut to_engine) = split(engine);
    let up = async {
        let copied = copy(&mut from_client, &mut to_engine, || progress.note(true)).await;
        let _ = to_engine.shutdown().await;
        // A client that is gone leaves nobody to read. One that only ended its direction, or still sends to a
        // program that has ended, is to hear the rest: `cat big | docker run -i busybox head -1`. Reading on
        // after the end fails once nobody is there any more, see `line`.
        let gone = match copied {
            Ok(()) => from_client.read(&mut [0]).await.is_err(),
            Err(broken) => matches!(broken, Broken::Source),
        };
        if !gone {
            std::future::pending::<()>().await;
        }
    };
    let down = async {
        let _ = copy(&mut from_engine, &mut to_client, || progress.note(false)).await;
        let _ = to_client.shutdown().await;
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// Which end of a copy broke.
enum Broken {
    Source,
    Sink,
}

async fn copy<R, W>(from: &mut R, to: &mut W, note: impl Fn()) -> Result<(), Broken>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; SMALLEST];
    loop {
        let n = match from.read(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(_) => return Err(Broken::Source),
        };
        to.write_all(&buffer[..n]).await.map_err(|_| Broken::Sink)?;
        to.flush().await.map_err(|_| Broken::Sink)?;
        note();
        if n == buffer.len() && n < LARGEST {
            buffer.resize(2 * n, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{duplex, join};

    /// Both directions may be ready at once, in any order.
    const ROUNDS: usize = 32;

    #[tokio::test]
    async fn what_the_engine_said_is_heard_though_it_takes_no_more() {
        for _ in 0..ROUNDS {
            let (mut client, ours) = duplex(64);
            let (deaf, gone) = duplex(64);
            drop(gone);
            client.write_all(b"more").await.unwrap();
            relay(ours, join(&b"the rest"[..], deaf), &Progress::default()).await;
            let mut heard = String::new();
            client.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "the rest");
        }
    }

    #[tokio::test]
    async fn either_end_may_end_its_direction_first() {
        for client_first in [true, false] {
            let ((mut client, a), (b, mut engine)) = (duplex(64), duplex(64));
            let relayed = tokio::spawn(async move { relay(a, b, &Progress::default()).await });
            client.write_all(b"up").await.unwrap();
            if client_first {
                client.shutdown().await.unwrap();
                let mut said = String::new();
                engine.read_to_string(&mut said).await.unwrap();
                assert_eq!(said, "up");
            }
            engine.write_all(b"down").await.unwrap();
            drop(engine);
            let mut said = String::new();
            client.read_to_string(&mut said).await.unwrap();
            assert_eq!(said, "down");
            relayed.await.unwrap();
        }
    }

    #[tokio::test]
    async fn who_spoke_last_is_known() {
        let ((mut client, a), (b, mut engine)) = (duplex(64), duplex(64));
        let progress = std::sync::Arc::new(Progress::default());
        let shared = std::sync::Arc::clone(&progress);
        let relayed = tokio::spawn(async move { relay(a, b, &shared).await });
        let mut said = [0; 2];
        client.write_all(b"up").await.unwrap();
        engine.read_exact(&mut said).await.unwrap();
        tokio::task::yield_now().await;
        assert!(progress.awaits_engine());
        engine.write_all(b"ok").await.unwrap();
        client.read_exact(&mut said).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!((progress.awaits_engine(), progress.pieces()), (false, 2));
        drop(engine);
        relayed.await.unwrap();
    }
}
