//! A small HTTP/1.1 client that sends what it is told, well-formed or not, and reads answers strictly.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::within;

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// A header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e} in {}: {}", self.status, self.text()))
    }

    /// The answer, which must be a success.
    pub fn fine(self) -> Answer {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text());
        self
    }
}

/// One connection to a manager.
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// How much of a body is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Bytes(usize),
    Chunks,
    UntilClose,
}

impl Connection {
    pub async fn open(addr: SocketAddr) -> Connection {
        let stream = within("a connection", TcpStream::connect(addr)).await.expect("the manager listens");
        Connection { stream, unread: Vec::new() }
    }

    /// One whose kernel buffers next to nothing of what is not read.
    pub async fn open_narrow(addr: SocketAddr) -> Connection {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let stream = within("a connection", socket.connect(addr)).await.expect("the manager listens");
        Connection { stream, unread: Vec::new() }
    }

    /// Sends bytes as they are. The other side may have closed already: reading tells.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = within("sending", self.stream.write_all(bytes.as_ref())).await;
    }

    /// Sends a request without a body.
    pub async fn request(&mut self, method: &str, path: &str, more: &str) {
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{more}\r\n")).await;
    }

    /// Ends our direction only.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Closes with a reset, as the kernel of a killed client with unread data does.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("linger");
    }

    /// Status and headers of the next answer, or `None` if the connection ended cleanly before one.
    /// `100 Continue` is passed over.
    pub async fn head(&mut self) -> io::Result<Option<Answer>> {
        loop {
            let end = loop {
                if let Some(end) = self.unread.windows(4).position(|w| w == b"\r\n\r\n") {
                    break end;
                }
                if self.fill().await? == 0 {
                    return match self.unread.is_empty() {
                        true => Ok(None),
                        false => Err(io::Error::other(format!("a head broke off: {:?}", self.unread))),
                    };
                }
            };
            let head: Vec<u8> = self.unread.drain(..end + 4).collect();
            let answer = parse_head(&head)?;
            if answer.status != 100 {
                return Ok(Some(answer));
            }
        }
    }

    /// The next answer with its body. `head_only` for answers to HEAD.
    pub async fn answer(&mut self, head_only: bool) -> io::Result<Option<Answer>> {
        let Some(mut answer) = self.head().await? else { return Ok(None) };
        if head_only || matches!(answer.status, 101 | 204 | 304) {
            return Ok(Some(answer));
        }
        let mut left = framing(&answer)?;
        while let Some(piece) = self.piece(&mut left).await? {
            answer.body.extend(piece);
        }
        Ok(Some(answer))
    }

    /// Reads the body of a stream piece by piece.
    pub fn stream(self, head: &Answer) -> Stream {
        let left = framing(head).expect("a framed stream");
        Stream { connection: self, left }
    }

    /// So many bytes, raw.
    pub async fn answer_bytes(&mut self, size: usize) -> Vec<u8> {
        self.exactly(size).await.expect("bytes")
    }

    /// What comes until the other side ends, raw.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill().await? > 0 {}
        Ok(std::mem::take(&mut self.unread))
    }

    async fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 << 10];
        let n = within("reading", self.stream.read(&mut buffer)).await?;
        self.unread.extend_from_slice(&buffer[..n]);
        Ok(n)
    }

    async fn piece(&mut self, left: &mut Left) -> io::Result<Option<Vec<u8>>> {
        match *left {
            Left::Bytes(0) => return Ok(None),
            Left::Chunks => {
                let size = self.line().await?;
                let size = usize::from_str_radix(size.trim(), 16)
                    .map_err(|_| io::Error::other(format!("chunk {size:?}")))?;
                let data = self.exactly(size).await?;
                let end = self.line().await?;
                if !end.is_empty() {
                    return Err(io::Error::other("a chunk is longer than it says"));
                }
                return Ok((size > 0).then_some(data));
            }
            Left::Bytes(_) | Left::UntilClose => {}
        }
        if self.unread.is_empty() && self.fill().await? == 0 {
            return match left {
                Left::UntilClose => Ok(None),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        let take = match left {
            Left::Bytes(n) => self.unread.len().min(*n),
            _ => self.unread.len(),
        };
        if let Left::Bytes(n) = left {
            *n -= take;
        }
        Ok(Some(self.unread.drain(..take).collect()))
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn exactly(&mut self, size: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < size {
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.unread.drain(..size).collect())
    }
}

/// An answer whose body comes bit by bit.
pub struct Stream {
    pub connection: Connection,
    left: Left,
}

impl Stream {
    /// The next piece; `None` at the proper end. A break is an error.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.connection.piece(&mut self.left).await
    }
}

fn parse_head(head: &[u8]) -> io::Result<Answer> {
    let bad = || io::Error::other(format!("malformed answer: {:?}", String::from_utf8_lossy(head)));
    let text = std::str::from_utf8(head).map_err(|_| bad())?;
    let mut lines = text.trim_end().split("\r\n");
    let status =
        lines.next().and_then(|l| l.strip_prefix("HTTP/1.")).and_then(|l| l.get(2..5)).ok_or_else(bad)?;
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').ok_or_else(bad)?;
        Ok((name.to_ascii_lowercase(), value.trim().to_string()))
    });
    let headers = headers.collect::<io::Result<_>>()?;
    Ok(Answer { status: status.parse().map_err(|_| bad())?, headers, body: Vec::new() })
}

fn framing(head: &Answer) -> io::Result<Left> {
    match (head.header("transfer-encoding"), head.header("content-length")) {
        (Some("chunked"), None) => Ok(Left::Chunks),
        (None, Some(n)) => n.parse().map(Left::Bytes).map_err(io::Error::other),
        (None, None) => Ok(Left::UntilClose),
        other => Err(io::Error::other(format!("an answer framed by {other:?}"))),
    }
}
