//! The client against the hosted registry, and against servers of another kind, over real loopback sockets.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::Tls;
use crate::discovery::lan::proof;
use crate::discovery::registry_http::Answer;
use crate::discovery::{Backend, Entry, Guest, Means, Origin, Registry, Source, Spec};
use crate::error::Side;
use crate::tls::server::Acceptor;

pub(crate) type Log = Arc<Mutex<Vec<String>>>;

/// What a server of ours answers.
#[derive(Clone)]
pub(crate) enum Server {
    Hosted(Registry),
    Fixed(u16, &'static str),
}

async fn answer(
    server: Server,
    log: Log,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let kind = head.headers.get(CONTENT_TYPE).map_or("-", |v| v.to_str().unwrap());
    let text = String::from_utf8_lossy(&body);
    log.lock().unwrap().push(format!("{} {} {kind} {text}", head.method, head.uri));
    let answer = match server {
        Server::Fixed(status, body) => Answer {
            status: StatusCode::from_u16(status).unwrap(),
            content_type: "text/plain",
            allow: None,
            body: body.into(),
        },
        Server::Hosted(registry) if head.uri.query().and_then(Question::of_query).is_some() => {
            let question = head.uri.query().and_then(Question::of_query).unwrap();
            let own = [Endpoint::parse(head.headers["host"].to_str().unwrap()).unwrap()];
            let (status, text) = proof::answer(&registry, &own, &question);
            Answer { status, content_type: "text/plain", allow: None, body: text.into() }
        }
        Server::Hosted(registry) => {
            let path = head.uri.path().trim_start_matches("/v1").trim_start_matches("/clusters");
            let (query, guest) = (head.uri.query(), Guest::by_token(Origin::Loopback));
            registry.handle(&head.method, path, query, &body, &guest).await
        }
    };
    let response = Response::builder().status(answer.status);
    let response = response.header(CONTENT_TYPE, answer.content_type);
    Ok(response.body(Full::new(answer.body)).unwrap())
}

/// Serves until the test ends; gives `127.0.0.1:port` and the log of requests.
pub(crate) async fn serve(server: Server) -> (String, Log) {
    serve_tls(server, None).await
}

pub(crate) async fn serve_tls(server: Server, tls: Option<Acceptor>) -> (String, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let log = Log::default();
    let seen = log.clone();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let (server, log, tls) = (server.clone(), log.clone(), tls.clone());
            let service = service_fn(move |request| answer(server.clone(), log.clone(), request));
            tokio::spawn(async move {
                let http = hyper::server::conn::http1::Builder::new();
                match tls {
                    None => http.serve_connection(TokioIo::new(tcp), service).await,
                    Some(tls) => match tls.accept(tcp).await {
                        Ok(stream) => http.serve_connection(TokioIo::new(stream), service).await,
                        Err(_) => Ok(()),
                    },
                }
            });
        }
    });
    (address, seen)
}

pub(crate) fn hosted() -> (tempfile::TempDir, Registry) {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), false).unwrap();
    (dir, registry)
}

fn open(url: &str) -> Backend {
    Backend::open(&Spec::parse(url).unwrap(), &Means::default()).unwrap()
}

fn registry_of(url: &str) -> RegistryAddress {
    match Spec::parse(url).unwrap() {
        Spec::Token { registry: Some(registry), .. } => registry,
        other => panic!("{other:?}"),
    }
}

const TTL: Duration = Duration::from_secs(180);

async fn list_once(spec: &Spec, means: &Means<'_>) -> crate::error::Result<Vec<Entry>> {
    Backend::open(spec, means)?.list().await
}

#[tokio::test]
async fn create_join_list_leave() {
    let (_dir, registry) = hosted();
    let (address, log) = serve(Server::Hosted(registry)).await;
    let token = create(&registry_of(&format!("token://{address}/x")), None).await.unwrap();
    let url = format!("token://{address}/{token}");
    let backend = open(&url);
    assert_eq!(backend.list().await.unwrap(), []);
    let (a, b) = (entry::parse("10.0.0.1:2375").unwrap(), entry::parse("[fe80::1]:2375").unwrap());
    drop(backend.register(&a, TTL).await.unwrap());
    drop(backend.register(&b, TTL).await.unwrap());
    drop(backend.register(&a, TTL).await.unwrap());
    let spec = Spec::parse(&url).unwrap();
    assert_eq!(list_once(&spec, &Means::default()).await.unwrap(), [a.clone(), b.clone()]);
    backend.withdraw(&a).await.unwrap();
    backend.withdraw(&a).await.unwrap();
    assert_eq!(backend.list().await.unwrap(), [b]);
    let log = log.lock().unwrap();
    assert_eq!(log[0], "POST /clusters - ");
    assert_eq!(log[2], format!("POST /clusters/{token}?ttl=180 application/json 10.0.0.1:2375"));
}

#[tokio::test]
async fn a_path_before_the_token_is_kept() {
    let (_dir, registry) = hosted();
    registry.local("T").unwrap();
    let (address, log) = serve(Server::Hosted(registry)).await;
    open(&format!("token://{address}/v1/T")).list().await.unwrap();
    assert_eq!(log.lock().unwrap()[0], "GET /v1/clusters/T - ");
}

#[tokio::test]
async fn refusals_carry_the_servers_words_and_what_to_do() {
    let (_dir, registry) = hosted();
    let (address, _) = serve(Server::Hosted(registry)).await;
    let backend = open(&format!("token://{address}/nobody-knows"));
    let entry = entry::parse("a:1").unwrap();
    let listed = backend.list().await.unwrap_err();
    let text = "Failed to fetch entries, Discovery service returned 404 HTTP status code: unknown token";
    assert!(listed.message.starts_with(text), "{listed}");
    let registered = backend.register(&entry, TTL).await.err().unwrap();
    assert!(registered.message.starts_with("cannot register a:1: unknown token"), "{registered}");
    for error in [listed, registered] {
        assert_eq!((error.side, error.kind), (Side::Store, Kind::NotFound));
        assert!(error.advice.unwrap().contains("swarmd create"));
    }
    backend.withdraw(&entry).await.unwrap();
}

#[tokio::test]
async fn other_servers_are_told_apart() {
    for (status, body, kind, text) in [
        (500, "", Kind::Status(500), "it answered 500 Internal Server Error"),
        (403, "{\"message\":\"no\"}", Kind::Status(403), ": no"),
        (200, "<html>", Kind::Protocol, "Failed to decode response"),
        (200, "{}", Kind::Protocol, "Failed to decode response"),
    ] {
        let (address, _) = serve(Server::Fixed(status, body)).await;
        let error = open(&format!("token://{address}/T")).list().await.unwrap_err();
        assert_eq!((error.side, error.kind), (Side::Store, kind), "{body}");
        assert!(error.message.contains(text), "{error}");
    }
    let (address, _) = serve(Server::Fixed(200, "[\"\",\"a:1\"]")).await;
    assert_eq!(open(&format!("token://{address}/T")).list().await.unwrap().len(), 1);
    let (address, _) = serve(Server::Fixed(200, "[\"a:1\",\"bad\",\"b:1\"]")).await;
    let reading = Source::read(&open(&format!("token://{address}/T"))).await.unwrap();
    assert_eq!(reading.entries.len(), 2, "one malformed entry does not blind everybody");
    assert_eq!(reading.ignored, ["address bad: missing port in address"]);
    let (address, _) = serve(Server::Fixed(200, "<html>")).await;
    let error = create(&registry_of(&format!("token://{address}/x")), None).await.unwrap_err();
    assert_eq!(error.kind, Kind::Protocol);
}

#[tokio::test]
async fn a_registry_that_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = open(&format!("token://{address}/T")).list().await.unwrap_err();
    assert_eq!((error.side, error.kind), (Side::Store, Kind::Connect));
    let start = format!("cannot reach the token registry at http://{address}: ");
    assert!(error.message.starts_with(&start), "{error}");
    assert!(!error.to_string().contains("ocker"), "{error}");
}

#[tokio::test]
async fn a_server_that_speaks_something_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        // A server that speaks first is another error; this one waits for its turn.
        tcp.read_u8().await.unwrap();
        tcp.write_all(b"SSH-2.0-x\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let error = open(&format!("token://{address}/T")).list().await.unwrap_err();
    assert_eq!((error.side, error.kind), (Side::Store, Kind::Protocol), "{error}");
    assert!(!error.to_string().contains("Docker"), "{error}");
}

#[tokio::test]
async fn https_when_tls_is_configured() {
    let (dir, registry) = hosted();
    registry.local("T").unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_string()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = Tls { tls: true, tlscert: Some(cert), tlskey: Some(key), ..Tls::default() };
    let acceptor = crate::tls::server::acceptor(&tls).unwrap();
    let (address, _) = serve_tls(Server::Hosted(registry), acceptor).await;
    let url = format!("token://{address}/T");
    let spec = Spec::parse(&url).unwrap();
    let secured = Means { tls: ClientTls::from_config(&tls).unwrap(), ..Means::default() };
    let backend = Backend::open(&spec, &secured).unwrap();
    drop(backend.register(&entry::parse("a:1").unwrap(), TTL).await.unwrap());
    assert_eq!(list_once(&spec, &secured).await.unwrap().len(), 1);
    // Either side without TLS: an error that names the registry, not a Docker daemon.
    let plain = list_once(&spec, &Means::default()).await.unwrap_err();
    let (address, _) = serve(Server::Fixed(200, "[]")).await;
    let spec = Spec::parse(&format!("token://{address}/T")).unwrap();
    let mixed = list_once(&spec, &secured).await.unwrap_err();
    assert_eq!(mixed.kind, Kind::Protocol, "{mixed}");
    assert!(mixed.message.contains("https://"), "{mixed}");
    for error in [plain, mixed] {
        assert_eq!(error.side, Side::Store);
        assert!(!error.to_string().contains("Docker"), "{error}");
    }
}
