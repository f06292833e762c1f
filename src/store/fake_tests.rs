//! A server that answers by script, for the tests of the clients, over a real loopback socket.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::store::{Address, StoreKind};

/// What it saw: `METHOD PATH`, then the headers of interest, then the body.
pub type Log = Arc<Mutex<Vec<String>>>;

/// Answers with one of `answers` after the other: status, headers, body. The last one is repeated.
pub async fn serve(kind: StoreKind, answers: &[(u16, &str, &str)]) -> (Address, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::parse(kind, &listener.local_addr().unwrap().to_string()).unwrap();
    let script: VecDeque<String> = answers
        .iter()
        .map(|(status, headers, body)| {
            format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
        })
        .collect();
    let (script, log) = (Arc::new(Mutex::new(script)), Log::default());
    let seen = log.clone();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(converse(tcp, script.clone(), log.clone()));
        }
    });
    (address, seen)
}

async fn converse(mut tcp: TcpStream, script: Arc<Mutex<VecDeque<String>>>, log: Log) {
    while let Some(request) = read(&mut tcp).await {
        log.lock().unwrap().push(request);
        let answer = {
            let mut script = script.lock().unwrap();
            if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
        };
        if tcp.write_all(answer.unwrap().as_bytes()).await.is_err() {
            return;
        }
    }
}

/// One request as a line; `None` at the end of the connection.
async fn read(tcp: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        read_some(tcp, &mut bytes).await?;
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let header = |name: &str| {
        let found =
            head.lines().find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)));
        found.map(|(_, value)| value.to_string())
    };
    let length: usize = header("content-length").map_or(0, |n| n.parse().unwrap());
    while bytes.len() < end + length {
        read_some(tcp, &mut bytes).await?;
    }
    let mut words = head.split(' ');
    let mut seen = format!("{} {}", words.next().unwrap(), words.next().unwrap());
    for name in ["authorization", "x-consul-token", "content-type"] {
        if let Some(value) = header(name) {
            seen += &format!(" [{value}]");
        }
    }
    let body = String::from_utf8_lossy(&bytes[end..]);
    Some(if body.is_empty() { seen } else { format!("{seen} {body}") })
}

async fn read_some(tcp: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 4096];
    let count = tcp.read(&mut buffer).await.ok()?;
    bytes.extend_from_slice(&buffer[..count]);
    (count > 0).then_some(())
}
