//! A load driver's HTTP: one connection that is kept, one request after the other, bodies dropped unless wanted.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An answer that was read to its end.
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

/// A kept connection.
pub struct Line {
    addr: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Line {
    pub fn to(addr: SocketAddr) -> Line {
        Line { addr, sender: None }
    }

    /// The head of an answer; its body is the caller's to read.
    pub async fn open(&mut self, method: &str, path: &str, body: &str) -> io::Result<Response<Incoming>> {
        if self.sender.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = TcpStream::connect(self.addr).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        let sender = self.sender.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "bench")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(io::Error::other)?;
        let sent = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        let sent = sent.await;
        if sent.is_err() {
            self.sender = None;
        }
        sent.map_err(io::Error::other)
    }

    /// A whole answer.
    pub async fn call(&mut self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        let response = self.open(method, path, body).await?;
        let status = response.status().as_u16();
        let mut incoming = response.into_body();
        let mut whole = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            whole.extend_from_slice(frame.map_err(io::Error::other)?.data_ref().map_or(&[], |d| d));
        }
        Ok(Answer { status, body: whole.freeze() })
    }

    /// Status and size of an answer.
    pub async fn drain(&mut self, method: &str, path: &str, body: &str) -> io::Result<(u16, usize)> {
        let response = self.open(method, path, body).await?;
        let status = response.status().as_u16();
        let mut incoming = response.into_body();
        let mut size = 0;
        while let Some(frame) = incoming.frame().await {
            size += frame.map_err(io::Error::other)?.data_ref().map_or(0, Bytes::len);
        }
        Ok((status, size))
    }
}

/// One call on a connection of its own, within ten seconds.
pub async fn get(addr: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut line = Line::to(addr);
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, line.call("GET", path, ""))
        .await
        .unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}
