//! An answer that does not end, such as an engine's events, over a connection of its own.
//!
//! There is one for each engine, and mostly nothing comes: it holds a socket and no buffer, but for TLS's own. A connection
//! of hyper's keeps 16 KiB of buffers, a task and channels besides.

use std::future::poll_fn;
use std::io;
use std::mem::{MaybeUninit, take};
use std::pin::Pin;

use bytes::BytesMut;
use hyper::StatusCode;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use crate::docker::connect::Stream;
use crate::docker::framing::{Framing, Head, Malformed};

/// Bytes read at once, into the stack.
const PIECE: usize = 8 << 10;
/// A head longer than this is none. Engines' have some hundred bytes.
const LONGEST_HEAD: usize = 16 << 10;

/// An answer of which only a piece is in memory at a time.
pub struct Endless {
    stream: TokioIo<Stream>,
    head: Head,
    /// What came together with the head.
    first: BytesMut,
}

impl Endless {
    /// `GET`s `path`, which must be fit for a request line, from whoever is at the other end of `stream`. No deadline.
    ///
    /// # Errors
    /// The connection's; `InvalidData` if what comes is no answer.
    pub async fn get(stream: Stream, host: &str, path: &str) -> io::Result<Endless> {
        let mut stream = TokioIo::new(stream);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut read = BytesMut::new();
        loop {
            if more(&mut stream, |bytes| read.extend_from_slice(bytes)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            while let Some((head, length)) = Head::read(&read).map_err(malformed)? {
                let _ = read.split_to(length);
                if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                    return Ok(Endless { stream, head, first: read });
                }
            }
            if read.len() > LONGEST_HEAD {
                return Err(malformed("an endless head".into()));
            }
        }
    }

    /// How the answer began.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Waits for more of the body and appends it to `body`. False at its end. Safe to drop while it waits.
    ///
    /// # Errors
    /// The connection's, after which there is no more; `UnexpectedEof` if it ended before the body, `InvalidData` if
    /// what comes is no body.
    pub async fn read(&mut self, body: &mut BytesMut) -> io::Result<bool> {
        let before = body.len();
        let framing = &mut self.head.body;
        framing.take(&take(&mut self.first), body).map_err(malformed)?;
        while body.len() == before {
            if framing.is_over() {
                return Ok(false);
            }
            let mut sound = Ok(());
            let count = more(&mut self.stream, |bytes| sound = framing.take(bytes, body)).await?;
            sound.map_err(malformed)?;
            match (count, &*framing) {
                (0, Framing::UntilClosed) => return Ok(false),
                (0, _) => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => {}
            }
        }
        Ok(true)
    }
}

fn malformed(why: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Waits until there is something to read, and shows it to `see`. 0 at the end of the connection.
async fn more(stream: &mut TokioIo<Stream>, mut see: impl FnMut(&[u8])) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut piece = [MaybeUninit::uninit(); PIECE];
        let mut piece = ReadBuf::uninit(&mut piece);
        Pin::new(&mut *stream).poll_read(cx, &mut piece).map_ok(|()| {
            see(piece.filled());
            piece.filled().len()
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::docker::endpoint::Endpoint;
    use crate::docker::http::Client;
    use crate::error::{Kind, Result};

    /// What a client makes of `said`, after which the connection ends; and the other end, if it is kept open.
    async fn follow(said: &[u8], end: bool) -> (Result<Endless>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let client = Client::new(endpoint.clone(), None);
        let serve = async {
            let (mut peer, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 1024];
            let n = peer.read(&mut asked).await.unwrap();
            let expected = format!("GET /events?since=1 HTTP/1.1\r\nHost: {endpoint}\r\n\r\n");
            assert_eq!(String::from_utf8_lossy(&asked[..n]), expected);
            peer.write_all(said).await.unwrap();
            if end {
                peer.shutdown().await.unwrap();
            }
            peer
        };
        tokio::join!(client.follow("/events?since=1"), serve)
    }

    const BEGUN: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n5\r\nt";

    #[tokio::test]
    async fn it_is_read_as_it_comes_and_a_wait_may_be_given_up() {
        let (answer, mut peer) = follow(BEGUN, false).await;
        let (mut answer, mut body) = (answer.unwrap(), BytesMut::new());
        assert!(answer.read(&mut body).await.unwrap());
        assert_eq!(body, "onet");
        peer.write_all(b"hree").await.unwrap();
        while body != "onethree" {
            assert!(answer.read(&mut body).await.unwrap());
        }
        // What comes during a wait that is given up, without being any of the body, counts for the next one.
        for piece in [&b"\r\n0"[..], b"4;x=", b"y\r\n"] {
            let mut wait = Box::pin(answer.read(&mut body));
            assert!(tokio::time::timeout(Duration::from_millis(5), wait.as_mut()).await.is_err());
            peer.write_all(piece).await.unwrap();
            assert!(tokio::time::timeout(Duration::from_millis(20), wait).await.is_err());
        }
        peer.write_all(b"four\r\n0\r\n\r\n").await.unwrap();
        while answer.read(&mut body).await.unwrap() {}
        assert_eq!(body, "onethreefour");
    }

    #[tokio::test]
    async fn one_that_breaks_off_has_not_ended() {
        let (answer, _peer) = follow(BEGUN, true).await;
        let (mut answer, mut body) = (answer.unwrap(), BytesMut::new());
        let end = loop {
            match answer.read(&mut body).await {
                Ok(true) => {}
                end => break end,
            }
        };
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let (answer, _peer) = follow(b"HTTP/1.0 200 OK\r\n\r\nall", true).await;
        let (mut answer, mut body) = (answer.unwrap(), BytesMut::new());
        while answer.read(&mut body).await.unwrap() {}
        assert_eq!(body, "all");
    }

    /// Over real sockets, so in real time: without a bound of its own this would never end.
    #[tokio::test]
    async fn the_rest_of_a_refusal_is_not_waited_for_for_ever() {
        let (refused, _peer) = follow(b"HTTP/1.1 404 no\r\n\r\nno such page", false).await;
        let refused = refused.map(|_| ()).unwrap_err();
        assert_eq!((refused.kind, refused.message.as_str()), (Kind::Status(404), "no such page"));
    }

    #[tokio::test]
    async fn what_is_no_stream_is_an_error_that_says_why() {
        let of = async |said: &[u8]| follow(said, true).await.0.map(|_| ()).unwrap_err();
        let refused = of(b"HTTP/1.1 500 no\r\nContent-Length: 17\r\n\r\n{\"message\":\"why\"}").await;
        assert_eq!((refused.kind, refused.message.as_str()), (Kind::Status(500), "why"));
        let cut = of(b"HTTP/1.1 500 no\r\nContent-Length: 170\r\n\r\nit broke").await;
        assert_eq!((cut.kind, cut.message.as_str()), (Kind::Status(500), "it broke"));
        assert_eq!(of(b"HTTP/1.1 304 no\r\n\r\n").await.kind, Kind::Status(304));
        assert_eq!(of(b"HTTP/1.1 101 no\r\n\r\n").await.kind, Kind::Status(101));
        let front = of(b"HTTP/1.1 503 no\r\nx-swarmd-front: asleep\r\nContent-Length: 0\r\n\r\n").await;
        assert!(front.kind == Kind::Connect && front.message.ends_with("asleep"), "{front}");
        assert_eq!(of(b"SSH-2.0-OpenSSH_9.2\r\n").await.kind, Kind::Protocol);
        assert_eq!(of(&[b"HTTP/1.1 200 OK\r\nx: ", &[b'x'; 17_000][..]].concat()).await.kind, Kind::Protocol);
        assert_eq!(of(b"HTTP/1.1 200").await.kind, Kind::Broken);
    }
}
