//! Which paths are refused, and what becomes of a call whose connection has just ended.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;

#[test]
fn no_request_is_made_for_a_path_that_an_engine_would_clean_up() {
    for path in
        ["/images/../secrets/json", "/images/a//b/json", "/images/%2e%2e/x", "/images/a%2f..%2fb", "/x/."]
    {
        assert_eq!(request(Method::GET, path, empty()).unwrap_err().kind, Kind::Invalid, "{path}");
    }
    for path in ["/_ping", "/images/reg:5000/a..b/json?x=/../", "/containers/...", "/v1.41/images/.a/json"] {
        assert!(request(Method::GET, path, empty()).is_ok(), "{path}");
    }
}

/// Closed after some questions.
struct Gate {
    asked: AtomicUsize,
    open_for: usize,
}

impl Fence for Gate {
    fn pass(&self) -> Result<()> {
        match self.asked.fetch_add(1, Ordering::Relaxed) < self.open_for {
            true => Ok(()),
            false => Err(Error::us(Kind::NotPrimary, "closed")),
        }
    }

    fn stamp(&self) -> Option<String> {
        None
    }
}

/// A server on loopback, and where it is.
fn listen() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    (listener, endpoint)
}

/// What a client says until it has said enough, or is gone.
fn hear(stream: &mut TcpStream, is_enough: impl Fn(&str) -> bool) -> String {
    let (mut seen, mut buffer) = (String::new(), [0; 1024]);
    while !is_enough(&seen) {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            n => seen += std::str::from_utf8(&buffer[..n]).unwrap(),
        }
    }
    seen
}

/// Answers one call, and says so; what was asked is returned.
fn answer(stream: &mut TcpStream) -> String {
    let is_whole = |seen: &str| seen.ends_with(if seen.starts_with("POST") { "body" } else { "\r\n\r\n" });
    let seen = hear(stream, is_whole);
    assert!(is_whole(&seen), "the client is gone");
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    seen
}

/// A call on a connection that has ended while nobody looked. The runtime has one thread, so that nobody can.
async fn call_on_an_ended_connection(open_for: usize) -> (Result<(StatusCode, Bytes)>, Option<String>) {
    let (listener, endpoint) = listen();
    let (close, closing) = mpsc::channel::<()>();
    let (tell_closed, closed) = mpsc::channel();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        answer(&mut stream);
        closing.recv().unwrap();
        drop(stream);
        tell_closed.send(()).unwrap();
        // The next is the call, or that there is none.
        let (mut stream, _) = listener.accept().unwrap();
        let mut first = [0];
        (stream.peek(&mut first).unwrap() > 0).then(|| answer(&mut stream))
    });
    let gate = Arc::new(Gate { asked: AtomicUsize::new(0), open_for });
    let client = Client::new(endpoint.clone(), None).fenced(gate);
    client.call(Method::GET, "/_ping", CALL_DEADLINE).await.unwrap();
    close.send(()).unwrap();
    closed.recv().unwrap();
    // The end is on record after this, and the call still comes before whoever looks after the connection.
    tokio::task::yield_now().await;
    let answered = client.post_json("/containers/create", "body".into(), CALL_DEADLINE).await;
    if answered.is_err() {
        drop(TcpStream::connect(endpoint.to_string()).unwrap());
    }
    (answered, server.join().unwrap())
}

#[tokio::test]
async fn what_was_never_sent_goes_out_on_another_connection() {
    let (answered, sent) = call_on_an_ended_connection(usize::MAX).await;
    assert_eq!(answered.unwrap().0, StatusCode::OK);
    assert!(sent.unwrap().ends_with("\r\n\r\nbody"));
}

#[tokio::test]
async fn the_fence_is_asked_again_before_that() {
    let (answered, sent) = call_on_an_ended_connection(1).await;
    assert_eq!(answered.unwrap_err().kind, Kind::NotPrimary);
    assert_eq!(sent, None);
}

#[tokio::test]
async fn a_connection_that_did_not_come_up_carried_nothing() {
    let (listener, endpoint) = listen();
    // It hangs up on the handshake.
    let server = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["us".to_string()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = crate::config::Tls { tls: true, tlscert: Some(cert), tlskey: Some(key), ..Default::default() };
    let client = Client::new(endpoint, ClientTls::from_config(&tls).unwrap());
    let call = || client.try_send(request(Method::POST, "/x", full("body")).unwrap());
    let failed = call().await.unwrap_err();
    assert_eq!((failed.error.kind, failed.unsent), (Kind::Protocol, true), "{}", failed.error);
    server.join().unwrap();
    let failed = call().await.unwrap_err();
    assert_eq!((failed.error.kind, failed.unsent), (Kind::Connect, true), "{}", failed.error);
}

/// What becomes of a call over a connection of its own, and what was sent, if it was.
async fn call_alone(open_for: usize, answer: &'static str) -> (Result<(StatusCode, Bytes)>, String) {
    let (listener, endpoint) = listen();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let seen = hear(&mut stream, |seen| seen.ends_with("body"));
        if !seen.is_empty() {
            stream.write_all(answer.as_bytes()).unwrap();
        }
        seen
    });
    let gate = Arc::new(Gate { asked: AtomicUsize::new(0), open_for });
    let client = Client::new(endpoint, None).fenced(gate).alone();
    let answered = client.post_json("/x", "body".into(), CALL_DEADLINE).await;
    (answered, server.join().unwrap())
}

#[tokio::test]
async fn a_connection_of_its_own_carries_the_same_call() {
    let (answered, sent) = call_alone(
        1,
        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n",
    )
    .await;
    assert_eq!(answered.unwrap(), (StatusCode::CREATED, Bytes::from("onetwo")));
    assert!(sent.starts_with("POST /x HTTP/1.1\r\n") && sent.contains("host: 127.0.0.1:"), "{sent}");
    let (answered, _) = call_alone(1, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut").await;
    assert_eq!(answered.unwrap_err().kind, Kind::Broken);
    let (answered, _) = call_alone(1, "SSH-2.0-OpenSSH_9.2\r\n").await;
    assert_eq!(answered.unwrap_err().kind, Kind::Protocol);
    let (answered, _) =
        call_alone(1, "HTTP/1.1 503 no\r\nx-swarmd-front: asleep\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(answered.unwrap_err().kind, Kind::Connect);
}

#[tokio::test]
async fn and_asks_the_fence_before_it_does() {
    let (answered, sent) = call_alone(0, "").await;
    assert_eq!((answered.unwrap_err().kind, sent.as_str()), (Kind::NotPrimary, ""));
}

/// An engine may keep the connection open, and leave less to be read at the end than is waited for on the way.
#[tokio::test]
async fn what_is_fetched_comes_whole() {
    const MUCH: usize = 32 << 20;
    let (listener, endpoint) = listen();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let seen = hear(&mut stream, |seen| seen.ends_with("\r\n\r\n"));
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", MUCH + 3).unwrap();
        stream.write_all(&vec![b'x'; MUCH]).unwrap();
        stream.write_all(b"end").unwrap();
        // Until the client lets go of it.
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        seen
    });
    let client = Client::new(endpoint, None);
    let answer = client.fetch(request(Method::GET, "/x", empty()).unwrap()).await.unwrap();
    let body = read_up_to(2 * MUCH, boxed(answer.into_body()));
    let body = tokio::time::timeout(CALL_DEADLINE, body).await.unwrap().unwrap();
    assert!(body.len() == MUCH + 3 && body.ends_with(b"end"), "{}", body.len());
    assert!(server.join().unwrap().contains("connection: close\r\n"));
}
