//! The HTTP front of an engine: listener, connections, version rules, common headers, and the effect of faults.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue, SERVER, UPGRADE};
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::control;
use super::fault::{self, Kind};
use super::query::Query;
use super::reply::{Body, Fail, Reply, fail, full, typed, with};
use super::route;
use super::state::{Engine, Open};

/// Largest request body taken.
const LARGEST_BODY: usize = 256 << 20;

/// Opens the listener of an engine and serves it until its life ends.
pub fn listen(engine: &Arc<Engine>, address: SocketAddr) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let (engine, life) = (engine.clone(), engine.revive());
    tokio::spawn(async move {
        let accepting = async {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let (engine, life) = (engine.clone(), life.clone());
                        tokio::spawn(async move {
                            life.run_until_cancelled(connection(&engine, stream, address)).await
                        });
                    }
                    // Out of file descriptors: others may close some.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        life.run_until_cancelled(accepting).await;
    });
    Ok(address)
}

/// Opens a listener again on an address that was just closed; the old one may need a moment to go.
pub async fn relisten(engine: &Arc<Engine>, address: SocketAddr) -> io::Result<()> {
    for _ in 0..100 {
        match listen(engine, address) {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => return other.map(|_| ()),
        }
    }
    listen(engine, address).map(|_| ())
}

async fn connection(engine: &Arc<Engine>, mut stream: TcpStream, address: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let garbage = {
        let mut state = engine.state();
        state.connections += 1;
        state.faults.iter().any(|f| f.kind == Kind::Garbage)
    };
    if garbage {
        let _ = stream.write_all(b"220 sim.example ESMTP ready\r\n\0\xff\xfe garbage\r\n").await;
        return;
    }
    let service = service_fn(|request| async move { serve(engine, request, address).await });
    // What goes wrong on a connection is the client's to see, or was asked for by a fault.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

/// Answers one request. An error closes the connection without an answer.
async fn serve(engine: &Arc<Engine>, request: Request<Incoming>, address: SocketAddr) -> io::Result<Reply> {
    if request.uri().path().starts_with("/_sim") {
        let path = request.uri().path().to_string();
        let method = request.method().clone();
        let query = Query::parse(request.uri().query().unwrap_or(""));
        let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        return Ok(control::answer(engine, &method, &path, &query, &body, address).await);
    }
    let (path, version) = split_version(request.uri().path());
    let route = route::name(request.method(), &path);
    let shown = request.uri().path_and_query().map_or(String::new(), ToString::to_string);
    let header = |name: &str| {
        let value = request.headers().get(name).map(|m| String::from_utf8_lossy(m.as_bytes()));
        value.unwrap_or_default().into_owned()
    };
    let open = engine.note(&route, &shown, &header("x-mark"), &header("x-swarmd-primary"));
    let met = fault::meet(&mut engine.state().faults, &route);
    let mut shape = Shape::default();
    for kind in met {
        match kind {
            Kind::Latency { ms } => tokio::time::sleep(Duration::from_millis(ms)).await,
            Kind::Hang => std::future::pending::<()>().await,
            Kind::Hold => {
                while engine.state().faults.iter().any(|f| f.kind == Kind::Hold) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            Kind::Drop => return Err(io::Error::other("dropped by a fault")),
            Kind::Error { status, message } => return Ok(finish(engine, Fail { status, message }.reply())),
            Kind::NotDocker => return Ok(other_server()),
            Kind::Flood => return Ok(finish(engine, flood())),
            Kind::Reset { after } => shape.reset = Some(after),
            Kind::Trickle { bytes, ms } => shape.trickle = Some((bytes.max(1), ms)),
            _ => {}
        }
    }
    let head = request.method() == Method::HEAD;
    let reply = match handle(engine, request, path, version, &open).await {
        Ok(reply) => reply,
        Err(failed) if head => with(failed.status, full("")),
        Err(failed) => failed.reply(),
    };
    engine.answered(&route, &shown, reply.status().as_u16());
    let held = move |e| {
        let _over_with_the_body = &open;
        e
    };
    Ok(finish(engine, shape.apply(reply).map(|body| body.map_err(held).boxed_unsync())))
}

async fn handle(
    engine: &Arc<Engine>,
    mut request: Request<Incoming>,
    path: Vec<String>,
    version: Option<String>,
    open: &Arc<Open>,
) -> Result<Reply, Fail> {
    let api = accept_version(engine, version)?;
    let upgrade = request
        .headers()
        .contains_key(UPGRADE)
        .then(|| route::Upgrade { connection: hyper::upgrade::on(&mut request), open: open.clone() });
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(e) => return fail(400, format!("unexpected EOF: {e}")),
    };
    let query = Query::parse(parts.uri.query().unwrap_or(""));
    route::dispatch(engine, route::Request { method: parts.method, path, query, api, body, upgrade })
}

/// Takes `/v1.51` off a path.
fn split_version(path: &str) -> (Vec<String>, Option<String>) {
    let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let mut parts: Vec<String> = path.trim_start_matches('/').split('/').map(decode).collect();
    let versioned = parts[0].strip_prefix('v').filter(|v| {
        v.starts_with(|c: char| c.is_ascii_digit()) && v.chars().all(|c| c.is_ascii_digit() || c == '.')
    });
    let version = versioned.map(str::to_string);
    if version.is_some() {
        parts.remove(0);
    }
    (parts, version)
}

/// The version to answer in, or the engine's refusal.
fn accept_version(engine: &Engine, version: Option<String>) -> Result<u32, Fail> {
    let (newest, oldest) = engine.profile.release.api();
    let Some(version) = version else { return Ok(newest) };
    let minor = version.strip_prefix("1.").and_then(|m| m.parse::<u32>().ok()).unwrap_or(u32::MAX);
    if minor > newest {
        return fail(
            400,
            format!("client version {version} is too new. Maximum supported API version is 1.{newest}"),
        );
    }
    if minor < oldest {
        return fail(
            400,
            format!(
                "client version {version} is too old. Minimum supported API version is 1.{oldest}, please upgrade your \
                 client to a newer version"
            ),
        );
    }
    Ok(minor)
}

/// The headers that are on every answer of an engine.
fn finish(engine: &Engine, mut reply: Reply) -> Reply {
    let release = engine.profile.release;
    let version = format!("1.{}", release.api().0);
    let server = format!("Docker/{} (linux)", release.version());
    let headers = reply.headers_mut();
    for (name, text) in [
        (HeaderName::from_static("api-version"), version.as_str()),
        (HeaderName::from_static("docker-experimental"), "false"),
        (HeaderName::from_static("ostype"), "linux"),
        (SERVER, server.as_str()),
    ] {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    }
    reply
}

/// An answer that begins like a list or an object of JSON, and goes on as fast as it is read.
fn flood() -> Reply {
    let (mut sender, reply) = super::reply::stream("application/json");
    tokio::spawn(async move {
        let piece = Bytes::from(vec![b'x'; 64 << 10]);
        let mut sent = sender.send_data("{\"a\":\"".into()).await;
        while sent.is_ok() {
            sent = sender.send_data(piece.clone()).await;
        }
    });
    reply
}

fn other_server() -> Reply {
    let page = "<html><head><title>404 Not Found</title></head><body><h1>404 Not Found</h1></body></html>\n";
    let mut reply = typed(with(StatusCode::NOT_FOUND.as_u16(), full(page)), "text/html");
    reply.headers_mut().insert(SERVER, HeaderValue::from_static("nginx"));
    reply
}

/// How the body of an answer is ill-treated.
#[derive(Default)]
struct Shape {
    reset: Option<usize>,
    trickle: Option<(usize, u64)>,
}

impl Shape {
    fn apply(self, reply: Reply) -> Reply {
        if self.reset.is_none() && self.trickle.is_none() {
            return reply;
        }
        let (parts, body) = reply.into_parts();
        let (sender, channel) = Channel::<Bytes, io::Error>::new(1);
        tokio::spawn(self.pass(body, sender));
        let body: Body = channel.boxed_unsync();
        hyper::Response::from_parts(parts, body)
    }

    async fn pass(self, mut body: Body, mut sender: http_body_util::channel::Sender<Bytes, io::Error>) {
        let mut left = self.reset;
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(mut data) = frame.into_data() else { continue };
            while !data.is_empty() {
                let mut size = data.len().min(left.unwrap_or(usize::MAX));
                if let Some((bytes, ms)) = self.trickle {
                    size = size.min(bytes);
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                if sender.send_data(data.split_to(size)).await.is_err() {
                    return;
                }
                left = left.map(|n| n - size);
                if left == Some(0) {
                    break;
                }
            }
            if left == Some(0) {
                break;
            }
        }
        if self.reset.is_some() {
            // Lets what was sent leave first.
            tokio::time::sleep(Duration::from_millis(20)).await;
            sender.abort(io::Error::other("broken off by a fault"));
        }
    }
}
