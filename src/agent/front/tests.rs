//! Tests of the front, with certificates as openssl makes them and an engine of a few lines.

use std::time::Duration;

use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::config::{Listen, Tls};
use crate::docker::http::{Client, empty, request};
use crate::systemd::beat::Beats;
use crate::systemd::inherited::Inherited;
use crate::systemd::notify::Notifier;
use crate::systemd::sockets::{Wanted, bind};
use crate::tls::ClientTls;
use crate::tls::workshop::Workshop;

const PATIENCE: Duration = Duration::from_secs(10);

/// A front, certificates, and the socket of the engine behind it.
struct Rig {
    workshop: Workshop,
    front: Front,
    cancel: CancellationToken,
    engine: Option<UnixListener>,
}

impl Rig {
    async fn new() -> Rig {
        Rig::with_room(100).await
    }

    async fn with_room(room: usize) -> Rig {
        let workshop = Workshop::new();
        workshop.leaf_of("manager", "ca", "/OU=manager/CN=boss");
        let socket = workshop.path("docker.sock");
        let tls = workshop.verify("ca", "node");
        let mut config = Config { tls, state_dir: workshop.path(""), ..Config::default() };
        config.agent.engine = format!("unix://{}", socket.display());
        let listen = Listen::Tcp { host: "127.0.0.1".into(), port: 0 };
        let wanted = Wanted { front: Some(&listen), ..Wanted::default() };
        let opened = bind(&wanted, Inherited::default(), &Notifier::default()).unwrap();
        let cancel = CancellationToken::new();
        let front = Front::with_room(
            room,
            &config,
            opened.front.unwrap(),
            Beats::default().join("the front"),
            &cancel,
        )
        .unwrap();
        let engine = Some(UnixListener::bind(socket).unwrap());
        Rig { workshop, front, cancel, engine }
    }

    /// A connection of whoever has this pair, after its side of the handshake.
    async fn come_as(&self, tls: &Tls) -> std::io::Result<TlsStream<Ahead>> {
        let client = ClientTls::from_config(tls).unwrap().unwrap();
        client.connect("127.0.0.1", TcpStream::connect(self.front.at).await.unwrap()).await
    }

    async fn manager(&self) -> TlsStream<Ahead> {
        self.come_as(&self.workshop.verify("ca", "manager")).await.unwrap()
    }

    /// The engine's end of the next connection.
    async fn engine(&self) -> UnixStream {
        timeout(PATIENCE, self.engine.as_ref().unwrap().accept()).await.unwrap().unwrap().0
    }

    /// Manager and engine, connected.
    async fn both(&self) -> (TlsStream<Ahead>, UnixStream) {
        tokio::join!(self.manager(), self.engine())
    }

    fn client(&self, pair: &str) -> Client {
        let tls = ClientTls::from_config(&self.workshop.verify("ca", pair)).unwrap();
        Client::new(Endpoint::parse(&self.front.at.to_string()).unwrap(), tls)
    }
}

async fn hears(stream: &mut (impl tokio::io::AsyncRead + Unpin), words: &str) {
    let mut heard = vec![0; words.len()];
    timeout(PATIENCE, stream.read_exact(&mut heard)).await.expect("in time").unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), words);
}

async fn hears_the_end(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("in time").unwrap(), 0);
}

async fn says(stream: &mut (impl tokio::io::AsyncWrite + Unpin), words: &str) {
    stream.write_all(words.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test]
async fn managers_come_in_and_nobody_else() {
    let rig = Rig::new().await;
    let shop = &rig.workshop;
    shop.leaf_of("agent", "ca", "/OU=agent/CN=pi1");
    shop.leaf_of("admin", "ca", "/OU=user/O=admin/CN=alice");
    shop.leaf_of("forged", "other", "/OU=manager/CN=boss");
    shop.leaf("bare", "ca", &["subjectAltName=IP:127.0.0.1"]);
    shop.leaf("server", "ca", &["subjectAltName=IP:127.0.0.1", "extendedKeyUsage=serverAuth"]);
    let nobody = Tls { tlscert: None, tlskey: None, ..shop.verify("ca", "manager") };
    for (who, tls, welcome) in [
        ("a manager", shop.verify("ca", "manager"), true),
        ("a certificate made by hand", shop.verify("ca", "node"), true),
        ("one without extended key usage", shop.verify("ca", "bare"), true),
        ("an agent", shop.verify("ca", "agent"), false),
        ("a user, whatever his role", shop.verify("ca", "admin"), false),
        ("a manager of another CA", shop.verify("ca", "forged"), false),
        ("a server", shop.verify("ca", "server"), false),
        ("nobody", nobody, false),
    ] {
        let attempt = async {
            let mut stream = rig.come_as(&tls).await?;
            stream.write_all(b"GET /_ping HTTP/1.1\r\n\r\n").await?;
            stream.flush().await?;
            let mut heard = [0; 2];
            stream.read_exact(&mut heard).await.map(|_| heard)
        };
        let (heard, seen) = tokio::join!(timeout(PATIENCE, attempt), async {
            let met = timeout(Duration::from_millis(if welcome { 10_000 } else { 300 }), async {
                let (mut stream, _) = rig.engine.as_ref().unwrap().accept().await.unwrap();
                hears(&mut stream, "GET /_ping").await;
                says(&mut stream, "ok").await;
                stream
            });
            met.await.is_ok()
        });
        assert_eq!(heard.expect("an end in time").is_ok(), welcome, "{who}");
        assert_eq!(seen, welcome, "{who}: of the others the engine does not even hear");
    }
}

#[tokio::test]
async fn the_refused_know_why() {
    let rig = Rig::new().await;
    rig.workshop.leaf_of("agent", "ca", "/OU=agent/CN=pi1");
    rig.workshop.leaf_of("old", "ca", "/OU=manager/CN=boss");
    let refused = async |pair: &str| {
        let client = rig.client(pair);
        let error = client.call(Method::GET, "/_ping", PATIENCE).await.unwrap_err();
        assert_eq!(error.kind, Kind::Protocol, "{error}");
        error.advice.unwrap_or_default()
    };
    assert!(refused("agent").await.contains("managers of its cluster only"));
    // Revoked while the front runs, and while it is connected.
    let (mut open, _engine) =
        tokio::join!(async { rig.come_as(&rig.workshop.verify("ca", "old")).await.unwrap() }, rig.engine());
    std::fs::create_dir(rig.workshop.path("pki")).unwrap();
    let (serial, list) = (rig.workshop.serial("old"), rig.workshop.path("pki/revoked.json"));
    std::fs::write(
        list,
        format!("{{\"revoked\": {{\"{serial}\": {{\"owner\": \"boss\", \"expires\": 5}}}}}}"),
    )
    .unwrap();
    assert!(refused("old").await.contains("was revoked"));
    assert!(timeout(PATIENCE, open.read(&mut [0; 1])).await.expect("in time").is_err(), "cut");
    rig.both().await;
}

#[tokio::test]
async fn either_side_may_end_its_direction_first() {
    let rig = Rig::new().await;
    let (mut manager, mut engine) = rig.both().await;
    says(&mut manager, "all of it").await;
    manager.shutdown().await.unwrap();
    hears(&mut engine, "all of it").await;
    hears_the_end(&mut engine).await;
    says(&mut engine, "the answer").await;
    drop(engine);
    hears(&mut manager, "the answer").await;
    hears_the_end(&mut manager).await;

    let (mut manager, mut engine) = rig.both().await;
    says(&mut engine, "last words").await;
    drop(engine);
    hears(&mut manager, "last words").await;
    hears_the_end(&mut manager).await;
}

#[tokio::test]
async fn a_manager_that_is_gone_is_gone_for_the_engine() {
    let rig = Rig::new().await;
    let (manager, mut engine) = rig.both().await;
    drop(manager);
    hears_the_end(&mut engine).await;
    drop(engine);
    rig.cancel.cancel();
    timeout(PATIENCE, rig.front.stopped()).await.expect("nothing is left of it");
}

#[tokio::test]
async fn a_last_answer_overtakes_an_upload_under_way() {
    let rig = Rig::new().await;
    let (manager, mut engine) = rig.both().await;
    let (mut from_front, mut to_front) = tokio::io::split(manager);
    let upload = tokio::spawn(async move { while to_front.write_all(&[7; 65536]).await.is_ok() {} });
    engine.read_exact(&mut [0; 1000]).await.unwrap();
    says(&mut engine, "no room").await;
    drop(engine);
    hears(&mut from_front, "no room").await;
    upload.abort();
}

/// Answers requests on one connection, one after the other, until it ends.
async fn answer(mut engine: UnixStream, text: &str) {
    let mut seen = Vec::new();
    while engine.read_buf(&mut seen).await.is_ok_and(|n| n > 0) {
        if seen.ends_with(b"\r\n\r\n") {
            seen.clear();
            says(&mut engine, text).await;
        }
    }
}

#[tokio::test]
async fn one_connection_serves_many_calls() {
    let rig = Rig::new().await;
    let client = rig.client("manager");
    let call = async || client.call(Method::GET, "/x", PATIENCE).await.unwrap();
    let serve = async {
        let engine = rig.engine().await;
        answer(engine, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    };
    tokio::select! {
        () = serve => panic!("the connection has ended"),
        () = async {
            for _ in 0..3 {
                let (status, body) = call().await;
                assert_eq!((status, &body[..]), (StatusCode::OK, &b"ok"[..]));
            }
        } => {}
    }
    assert_eq!(rig.front.status(), format!("front: {}, 1 connection", rig.front.at));
}

#[tokio::test]
async fn an_upgrade_passes() {
    let rig = Rig::new().await;
    let client = rig.client("manager");
    let mut call = request(Method::POST, "/exec/1/start", empty()).unwrap();
    call.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    call.headers_mut().insert(UPGRADE, HeaderValue::from_static("tcp"));
    let (mut response, mut engine) = tokio::join!(async { client.send(call).await.unwrap() }, async {
        let mut engine = rig.engine().await;
        hears(&mut engine, "POST /exec/1/start HTTP/1.1\r\n").await;
        says(&mut engine, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly").await;
        engine
    });
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut tunnel = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    hears(&mut tunnel, "early").await;
    says(&mut tunnel, "stdin").await;
    tunnel.shutdown().await.unwrap();
    let mut rest = String::new();
    timeout(PATIENCE, engine.read_to_string(&mut rest)).await.expect("an end").unwrap();
    assert!(rest.ends_with("\r\n\r\nstdin"), "{rest:?}");
    says(&mut engine, "stdout").await;
    drop(engine);
    hears(&mut tunnel, "stdout").await;
    hears_the_end(&mut tunnel).await;
}

#[tokio::test]
async fn an_engine_that_is_down_is_told_at_once_and_by_name() {
    let mut rig = Rig::new().await;
    drop(rig.engine.take());
    let call = request(Method::POST, "/containers/create", empty()).unwrap();
    let failed = timeout(PATIENCE, rig.client("manager").try_send(call)).await.unwrap().unwrap_err();
    assert!(failed.unsent, "no engine has seen it");
    let error = failed.error;
    assert!(error.is_connection() && error.kind == Kind::Connect, "{error:?}");
    let at = rig.front.at;
    assert!(error.message.starts_with(&format!("the agent at {at} has no engine to offer: ")), "{error}");
    assert!(error.message.contains("docker.sock: Connection refused"), "{error}");
    // To Docker's own client it is an answer of the engine.
    let mut bare = rig.manager().await;
    says(&mut bare, "HEAD /_ping HTTP/1.1\r\n\r\n").await;
    let mut text = String::new();
    timeout(PATIENCE, bare.read_to_string(&mut text)).await.expect("an end").unwrap();
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("{\"message\":\"Cannot connect to"), "{text}");
}

#[tokio::test]
async fn too_many_connections_are_told_so() {
    let rig = Rig::with_room(2).await;
    let held = [rig.both().await, rig.both().await];
    let error = rig.client("manager").call(Method::GET, "/_ping", PATIENCE).await.unwrap_err();
    assert!(error.message.contains("too many connections"), "{error}");
    drop(held);
    let (mut manager, mut engine) = loop {
        // The places of the others become free a moment later.
        let mut manager = rig.manager().await;
        match timeout(Duration::from_millis(200), rig.engine.as_ref().unwrap().accept()).await {
            Ok(Ok((engine, _))) => break (manager, engine),
            _ => drop(manager.shutdown().await),
        }
    };
    says(&mut manager, "again").await;
    hears(&mut engine, "again").await;
}

#[tokio::test]
async fn those_who_only_knock_keep_nobody_out() {
    let rig = Rig::new().await;
    let mut knocking = Vec::new();
    for _ in 0..HANDSHAKES + 8 {
        knocking.push(TcpStream::connect(rig.front.at).await.unwrap());
    }
    let (mut manager, mut engine) = rig.both().await;
    says(&mut manager, "in").await;
    hears(&mut engine, "in").await;
    hears_the_end(&mut knocking[0]).await;
}

#[tokio::test]
async fn the_end_waits_for_what_is_owed() {
    let rig = Rig::new().await;
    let (mut idle, mut silent) = rig.both().await;
    says(&mut silent, "said all").await;
    hears(&mut idle, "said all").await;
    let (mut asking, mut asked) = rig.both().await;
    says(&mut asking, "question").await;
    hears(&mut asked, "question").await;
    rig.cancel.cancel();
    hears_the_end(&mut silent).await;
    says(&mut asked, "answer").await;
    hears(&mut asking, "answer").await;
    timeout(PATIENCE, rig.front.stopped()).await.expect("nothing is owed any more");
}

#[test]
fn who_begins_many_handshakes_pushes_out_its_own() {
    let (one, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let all = |addresses: &[IpAddr]| addresses.iter().map(|address| (*address, ())).collect::<VecDeque<_>>();
    assert_eq!(crowded(&all(&[other, one, one])), Some(1));
    assert_eq!(crowded(&all(&[other, one])), Some(0), "of equals the longest");
    assert_eq!(crowded(&all(&[])), None);
}
