//! The line's order, and the lock against a server that answers as little as a test wants.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::*;
use crate::store::{Access, Address, StoreKind};

const SESSION: i64 = 7;

#[test]
fn the_least_number_is_first_whoever_made_it() {
    let names = ["_c_ff-lock-0000000010", "_c_00-lock-0000000009", "lock-0000000011", "other-0000000001"];
    let first = first_of(names.map(str::to_string).to_vec());
    assert_eq!(first.as_deref(), Some("_c_00-lock-0000000009"));
    assert_eq!(first_of(vec!["_c_x-lock-".into()]), None);
}

/// What the server knows, and how it treats clients.
#[derive(Default)]
struct Server {
    line: Mutex<Vec<String>>,
    /// It breaks the connection when it is asked to watch a node.
    breaks: bool,
    /// Told when a node was made; the answer to that never comes.
    made: Notify,
}

impl Server {
    async fn lock(self: &Arc<Server>) -> ZkLock {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = Arc::clone(&server);
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        let address = Address::parse(StoreKind::Zookeeper, &address).unwrap();
        let zk = Zk::new(&address, &Access::default(), Duration::from_secs(10));
        ZkLock::new(zk, "leader".into(), "a:1".into())
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        frame(&mut stream).await?;
        // Version, timeout, session, password, not read-only.
        let hello = [&0_i32.to_be_bytes()[..], &10_000_i32.to_be_bytes(), &SESSION.to_be_bytes()].concat();
        send(&mut stream, &[&hello[..], &16_i32.to_be_bytes(), &[0; 16], &[0]].concat()).await?;
        loop {
            let request = frame(&mut stream).await?;
            let (xid, rest) = request.split_at(4);
            let (kind, rest) = rest.split_at(4);
            let kind = i32::from_be_bytes(kind.try_into().ok()?);
            // Not at the first word: whoever has connected makes sure of the session.
            if self.breaks && kind == 3 {
                return None;
            }
            if let Some(body) = self.answer(kind, rest) {
                send(&mut stream, &[xid, &1_i64.to_be_bytes(), &0_i32.to_be_bytes(), &body].concat()).await?;
            }
        }
    }

    fn answer(&self, kind: i32, rest: &[u8]) -> Option<Vec<u8>> {
        // Made by transaction 5, bound to the session.
        let stat = [&5_i64.to_be_bytes()[..], &[0; 36], &SESSION.to_be_bytes(), &[0; 16]].concat();
        match kind {
            1 | 15 => {
                let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
                let path = String::from_utf8_lossy(&rest[4..4 + length]).into_owned();
                let name = format!("{}0000000001", path.rsplit('/').next().unwrap());
                self.line.lock().unwrap().push(name);
                self.made.notify_one();
                None
            }
            8 | 12 => {
                let line = self.line.lock().unwrap();
                let count = i32::try_from(line.len()).unwrap().to_be_bytes().to_vec();
                Some(
                    [
                        count,
                        line.iter().flat_map(|name| text(name.as_bytes())).collect(),
                        if kind == 12 { stat } else { vec![] },
                    ]
                    .concat(),
                )
            }
            4 => Some([text(b"a:1"), stat].concat()),
            3 | 5 => Some(stat),
            _ => Some(Vec::new()),
        }
    }
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [&i32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

async fn frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = stream.read_u32().await.ok()?;
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

async fn send(stream: &mut TcpStream, body: &[u8]) -> Option<()> {
    stream.write_all(&text(body)).await.ok()
}

#[tokio::test]
async fn a_place_that_was_asked_for_in_vain_is_known_again() {
    let server = Arc::new(Server::default());
    let mut lock = server.lock().await;
    tokio::select! {
        done = lock.acquire(true) => panic!("nothing answers: {done:?}"),
        () = server.made.notified() => {}
    }
    let won = Attempt::Won { term: 5, ttl: Duration::from_secs(10) };
    assert_eq!(lock.acquire(true).await.unwrap(), won);
    assert_eq!(server.line.lock().unwrap().len(), 1, "it stands in line once");
    assert!(lock.renew().await.unwrap());
}

#[tokio::test]
async fn who_gives_up_the_session_does_not_hold_the_lease() {
    let server = Arc::new(Server { breaks: true, ..Server::default() });
    let mut lock = server.lock().await;
    lock.place = Some(Place { name: "_c_0-lock-0000000001".into(), session: SESSION, term: 5 });
    assert_eq!(lock.zk.session().await.unwrap().0, SESSION);
    assert!(!lock.renew().await.unwrap());
}
