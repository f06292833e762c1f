//! Streams of processes: attach, exec, logs; hijacked connections with half-close. *Not* what is printed.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use hyper::ext::ReasonPhrase;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::Receiver;

use super::output::{Chunk, Output, STDERR, STDOUT, frame};
use super::program;
use super::query::Query;
use super::reply::{Fail, Outcome, Reply, fail, full, json_ok, json_with, status, typed, with};
use super::route::Upgrade;
use super::state::{Engine, Exec};
use super::{clock, create};

/// What a client wants of a process's streams.
struct Session {
    output: Arc<Output>,
    tty: bool,
    stdin: bool,
    close_stdin: bool,
    wanted: [bool; 2],
    past: Vec<Chunk>,
    live: Option<Receiver<Chunk>>,
}

impl Session {
    fn frame(&self, chunk: &Chunk) -> Option<Bytes> {
        self.wanted[usize::from(chunk.stream == STDERR)].then(|| frame(chunk, self.tty))
    }
}

fn content_type(api: u32, tty: bool) -> &'static str {
    match api >= 42 && !tty {
        true => "application/vnd.docker.multiplexed-stream",
        false => "application/vnd.docker.raw-stream",
    }
}

/// The answer that turns a connection into a raw one, in the engine's spelling.
fn upgraded(kind: &'static str, protocol: &str) -> Reply {
    let mut reply = typed(with(101, full(Bytes::new())), kind);
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(protocol) = HeaderValue::from_str(protocol) {
        reply.headers_mut().insert(UPGRADE, protocol);
    }
    reply.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
    reply
}

/// `POST /containers/{id}/attach`.
pub fn attach(
    engine: &Arc<Engine>,
    wanted: &str,
    query: &Query,
    api: u32,
    upgrade: Option<Upgrade>,
) -> Outcome {
    let mut state = engine.state();
    let position = state.position(wanted)?;
    let container = &state.containers[position];
    if container.status == "paused" {
        return fail(409, format!("container {wanted} is paused, unpause the container before attach"));
    }
    let (past, live) = container.output.follow(query.flag("stream"));
    // A container that has ended prints no more; one that was never started may yet.
    let live = if container.status == "exited" { None } else { live };
    let session = Session {
        output: container.output.clone(),
        tty: container.flag("Tty"),
        stdin: query.flag("stdin") && container.flag("OpenStdin"),
        close_stdin: container.flag("StdinOnce"),
        wanted: [query.flag("stdout"), query.flag("stderr")],
        past: if query.flag("logs") { past } else { Vec::new() },
        live,
    };
    state.container_event(position, "attach", &[]);
    drop(state);
    engine.bump();
    Ok(serve(engine, session, api, upgrade))
}

/// Serves a session on an upgraded connection, or its output as a plain answer.
fn serve(engine: &Arc<Engine>, session: Session, api: u32, upgrade: Option<Upgrade>) -> Reply {
    let kind = content_type(api, session.tty);
    let life = engine.life();
    match upgrade {
        Some(upgrade) => {
            tokio::spawn(async move {
                // A client that left or an engine that stops ends the session; nobody is left to tell.
                let _ = life.run_until_cancelled(hijacked(upgrade, session)).await;
            });
            upgraded(kind, "tcp")
        }
        None => {
            let (sender, channel) = Channel::new(16);
            tokio::spawn(async move {
                let _ = life.run_until_cancelled(printed(session, sender)).await;
            });
            typed(with(200, channel.boxed_unsync()), kind)
        }
    }
}

async fn hijacked(upgrade: Upgrade, mut session: Session) -> io::Result<()> {
    let _open = upgrade.open;
    let io = TokioIo::new(upgrade.connection.await.map_err(io::Error::other)?);
    let (mut reader, mut writer) = tokio::io::split(io);
    let (output, stdin, close) = (session.output.clone(), session.stdin, session.close_stdin);
    let input = async move {
        let mut sender = if stdin { output.stdin() } else { None };
        let mut buffer = vec![0; 32 << 10];
        while let Ok(n @ 1..) = reader.read(&mut buffer).await {
            if let Some(open) = &sender
                && open.send(Bytes::copy_from_slice(&buffer[..n])).await.is_err()
            {
                sender = None;
            }
        }
        drop(sender);
        if stdin && close {
            output.close_stdin();
        }
        // Half a connection is still open: the output goes on.
        std::future::pending::<()>().await;
    };
    let printing = async {
        for chunk in std::mem::take(&mut session.past) {
            if let Some(bytes) = session.frame(&chunk) {
                writer.write_all(&bytes).await?;
            }
        }
        if let Some(mut live) = session.live.take() {
            while let Some(chunk) = live.recv().await {
                if let Some(bytes) = session.frame(&chunk) {
                    writer.write_all(&bytes).await?;
                }
            }
        }
        writer.shutdown().await
    };
    tokio::select! {
        () = input => Ok(()),
        printed = printing => printed,
    }
}

async fn printed(mut session: Session, mut sender: http_body_util::channel::Sender<Bytes, io::Error>) {
    for chunk in std::mem::take(&mut session.past) {
        if let Some(bytes) = session.frame(&chunk)
            && sender.send_data(bytes).await.is_err()
        {
            return;
        }
    }
    let Some(mut live) = session.live.take() else {
        return;
    };
    while let Some(chunk) = live.recv().await {
        if let Some(bytes) = session.frame(&chunk)
            && sender.send_data(bytes).await.is_err()
        {
            return;
        }
    }
}

/// `GET /containers/{id}/logs`.
pub fn logs(engine: &Arc<Engine>, wanted: &str, query: &Query, api: u32) -> Outcome {
    let selected = [query.flag("stdout"), query.flag("stderr")];
    if selected == [false, false] {
        return fail(400, "Bad parameters: you must choose at least one stream");
    }
    let state = engine.state();
    let container = state.container(wanted)?;
    let (past, live) = container.output.follow(query.flag("follow") && container.running());
    let bound = |key: &str| query.get(key).and_then(clock::parse).filter(|t| *t > 0);
    let (since, until) = (bound("since"), bound("until"));
    let mut past: Vec<Chunk> = past
        .into_iter()
        .filter(|c| since.is_none_or(|s| c.time >= s) && until.is_none_or(|u| c.time <= u))
        .filter(|c| selected[usize::from(c.stream == STDERR)])
        .collect();
    if let Some(tail) = query.get("tail").and_then(|t| t.parse::<usize>().ok()) {
        past.drain(..past.len().saturating_sub(tail));
    }
    if query.flag("timestamps") {
        for chunk in &mut past {
            let stamped = [clock::rfc3339(chunk.time).as_bytes(), b" ", &chunk.bytes[..]].concat();
            chunk.bytes = stamped.into();
        }
    }
    let tty = container.flag("Tty");
    let session = Session {
        output: container.output.clone(),
        tty,
        stdin: false,
        close_stdin: false,
        wanted: selected,
        past,
        live,
    };
    drop(state);
    Ok(serve(engine, session, api, None))
}

/// `POST /containers/{id}/exec`.
pub fn exec_create(engine: &Arc<Engine>, wanted: &str, body: &[u8]) -> Outcome {
    let Ok(Value::Object(spec)) = serde_json::from_slice(body) else {
        return fail(400, "invalid JSON: got EOF while reading request body");
    };
    let words = create::argv(&spec);
    let mut state = engine.state();
    let position = state.position(wanted)?;
    let container = &state.containers[position];
    match container.status {
        "running" => {}
        "paused" => {
            return fail(409, format!("container {wanted} is paused, unpause the container before exec"));
        }
        _ => return fail(409, format!("container {} is not running", container.id)),
    }
    if words.is_empty() {
        return fail(400, "No exec command specified");
    }
    let container = container.id.clone();
    let id = format!("{:032x}{:032x}", fastrand::u128(..), fastrand::u128(..));
    let exec = Exec {
        container,
        spec: Value::Object(spec),
        running: false,
        started: false,
        exit_code: None,
        output: Arc::default(),
    };
    state.execs.insert(id.clone(), exec);
    state.container_event(position, &format!("exec_create: {}", words.join(" ")), &[("execID", id.clone())]);
    drop(state);
    engine.bump();
    Ok(json_with(201, &json!({"Id": id})))
}

fn no_exec(id: &str) -> Fail {
    Fail { status: 404, message: format!("No such exec instance: {id}") }
}

/// `POST /exec/{id}/start`.
pub fn exec_start(
    engine: &Arc<Engine>,
    id: &str,
    body: &[u8],
    api: u32,
    upgrade: Option<Upgrade>,
) -> Outcome {
    let options: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let mut state = engine.state();
    let exec = state.execs.get_mut(id).ok_or_else(|| no_exec(id))?;
    if exec.started {
        return fail(409, format!("exec command {id} is already running"));
    }
    let owner = exec.container.clone();
    let flag = |key: &str| exec.spec[key].as_bool().unwrap_or(false);
    let tty = flag("Tty") || options["Tty"].as_bool().unwrap_or(false);
    let (stdin, wanted) = (flag("AttachStdin"), [flag("AttachStdout"), flag("AttachStderr")]);
    let words = exec.spec.as_object().map(create::argv).unwrap_or_default();
    exec.started = true;
    exec.running = true;
    let output = exec.output.clone();
    let position = state.position(&owner)?;
    let container_run = state.containers[position].run.clone();
    state.container_event(
        position,
        &format!("exec_start: {}", words.join(" ")),
        &[("execID", id.to_string())],
    );
    drop(state);
    engine.bump();
    let reading = if stdin { output.take_stdin() } else { None };
    let (past, live) = output.follow(true);
    spawn_exec(engine, id, &words, reading, &output, container_run);
    if options["Detach"].as_bool().unwrap_or(false) {
        return Ok(status(200));
    }
    let session = Session { output, tty, stdin, close_stdin: true, wanted, past, live };
    Ok(serve(engine, session, api, upgrade))
}

fn spawn_exec(
    engine: &Arc<Engine>,
    id: &str,
    words: &[String],
    stdin: Option<Receiver<Bytes>>,
    output: &Arc<Output>,
    container_run: tokio_util::sync::CancellationToken,
) {
    let (engine, id, output, words) = (engine.clone(), id.to_string(), output.clone(), words.to_vec());
    tokio::spawn(async move {
        let steps = program::steps(&words);
        let unknown = program::idle(&steps) && !words[0].ends_with("sleep");
        let life = async {
            if unknown {
                // What is not imitated is not there; only a container's own command runs for ever.
                let text = format!(
                    "OCI runtime exec failed: exec failed: \"{}\": executable file not found in $PATH\n",
                    words[0]
                );
                output.send(STDOUT, text.into()).await;
                return 127;
            }
            program::run(steps, stdin, &output).await
        };
        let code = container_run.run_until_cancelled(life).await.unwrap_or(137);
        let mut state = engine.state();
        if let Some(exec) = state.execs.get_mut(&id) {
            exec.running = false;
            exec.exit_code = Some(code);
            let owner = exec.container.clone();
            if let Ok(position) = state.position(&owner) {
                state.container_event(
                    position,
                    "exec_die",
                    &[("execID", id), ("exitCode", code.to_string())],
                );
            }
        }
        drop(state);
        engine.bump();
        output.end();
    });
}

/// `GET /exec/{id}/json`.
pub fn exec_inspect(engine: &Engine, id: &str) -> Outcome {
    let state = engine.state();
    let exec = state.execs.get(id).ok_or_else(|| no_exec(id))?;
    let words = exec.spec.as_object().map(create::argv).unwrap_or_default();
    let flag = |key: &str| exec.spec[key].as_bool().unwrap_or(false);
    json_ok(&json!({
        "ID": id, "Running": exec.running, "ExitCode": exec.exit_code,
        "ProcessConfig": {
            "tty": flag("Tty"), "entrypoint": words.first(), "arguments": words.get(1..).unwrap_or(&[]),
            "privileged": flag("Privileged"),
        },
        "OpenStdin": flag("AttachStdin"), "OpenStderr": flag("AttachStderr"), "OpenStdout": flag("AttachStdout"),
        "CanRemove": false, "ContainerID": exec.container, "DetachKeys": "", "Pid": if exec.running { 4242 } else { 0 },
    }))
}

/// `POST /exec/{id}/resize`.
pub fn exec_resize(engine: &Engine, id: &str) -> Outcome {
    let state = engine.state();
    let exec = state.execs.get(id).ok_or_else(|| no_exec(id))?;
    match exec.running {
        true => Ok(status(200)),
        false => fail(400, format!("exec {id} is not running")),
    }
}

/// `POST /session` and `/grpc`: a tunnel that echoes, enough to see where it ends.
pub fn tunnel(engine: &Arc<Engine>, upgrade: Option<Upgrade>) -> Outcome {
    let Some(upgrade) = upgrade else {
        return fail(400, "no upgrade requested");
    };
    let life = engine.life();
    tokio::spawn(async move {
        let _open = upgrade.open;
        let echo = async {
            let io = TokioIo::new(upgrade.connection.await.map_err(io::Error::other)?);
            let (mut reader, mut writer) = tokio::io::split(io);
            tokio::io::copy(&mut reader, &mut writer).await?;
            writer.shutdown().await
        };
        let _ = life.run_until_cancelled(echo).await;
    });
    let mut reply = upgraded("", "h2c");
    reply.headers_mut().remove(CONTENT_TYPE);
    Ok(reply)
}
