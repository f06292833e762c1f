//! The built program as a manager of given engines, and what the tests ask of it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use serde_json::Value;

use super::http::Stream;
use super::{Answer, Connection, LIMIT, until};
use crate::sim::SimEngine;

/// A running manager. Dropping it kills it, and fails the test if any of its tasks panicked.
pub struct Manager {
    /// Where its API listens.
    pub addr: SocketAddr,
    child: Child,
    log: Arc<Mutex<String>>,
    config: String,
    directory: tempfile::TempDir,
}

/// One engine as `docker info` shows it.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub addr: String,
    pub id: String,
    pub status: String,
    pub containers: String,
    pub error: String,
}

impl Manager {
    /// Starts one for these engines and waits until all are in use.
    pub async fn of(engines: &[SimEngine]) -> Manager {
        let manager = Manager::starting(engines, "");
        manager.all_healthy(engines.len()).await;
        manager
    }

    /// Starts one with further lines in `[manager]`; its API listens, the engines may not be known yet.
    pub fn starting(engines: &[SimEngine], more: &str) -> Manager {
        let nodes: Vec<String> = engines.iter().map(|e| e.addr.to_string()).collect();
        Manager::listing(&format!("nodes://{}", nodes.join(",")), more)
    }

    /// Starts one with another list of engines.
    pub fn listing(url: &str, more: &str) -> Manager {
        let directory = tempfile::tempdir().expect("a directory");
        let config = format!(
            "role = \"manager\"\nstate-dir = \"{}\"\n[discovery]\nurl = \"{url}\"\n\
             heartbeat = \"1s\"\n[manager]\n\
             host = [\"tcp://127.0.0.1:0\", \"unix://{}\"]\n{more}\n",
            directory.path().join("state").display(),
            directory.path().join("socket").display(),
        );
        let (child, log, addr) = spawn(&config, directory.path());
        Manager { addr, child, log, config, directory }
    }

    /// Kills it without a word and starts it anew, on another port.
    pub fn restart(&mut self) {
        self.kill();
        self.revive();
    }

    /// Kills it without a word. `revive` must follow.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it anew after `kill`, on another port.
    pub fn revive(&mut self) {
        (self.child, self.log, self.addr) = spawn(&self.config, self.directory.path());
    }

    /// Its state directory.
    pub fn state(&self) -> std::path::PathBuf {
        self.directory.path().join("state")
    }

    /// Its unix socket.
    pub fn socket(&self) -> std::path::PathBuf {
        self.directory.path().join("socket")
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it still runs and no task of it panicked.
    pub fn is_sound(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none()) && !self.log().contains("panicked at")
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// One call on a connection of its own.
    pub async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.try_call(method, path, body).await.unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    async fn try_call(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Answer> {
        let mut connection = Connection::open(self.addr).await;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let more = format!(
            "Connection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        connection.send(format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{more}\r\n{body}")).await;
        let answer = connection.answer(method == "HEAD").await?;
        answer.ok_or_else(|| std::io::Error::other("closed without an answer"))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &Value::Null).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, body).await
    }

    /// Opens a streaming `GET`; its head has arrived.
    pub async fn stream(&self, path: &str) -> Stream {
        let mut connection = Connection::open(self.addr).await;
        connection.request("GET", path, "").await;
        let head = connection.head().await.expect("a head").expect("an answer");
        assert_eq!(head.status, 200, "{path}");
        connection.stream(&head)
    }

    /// Creates a container and starts it; returns its ID.
    pub async fn run(&self, name: &str, body: &Value) -> String {
        let created = self.post(&format!("/containers/create?name={name}"), body).await.fine();
        let id = created.json()["Id"].as_str().expect("an ID").to_string();
        self.post(&format!("/containers/{id}/start"), &Value::Null).await.fine();
        id
    }

    /// Names of all containers as `docker ps -a` has them, sorted.
    pub async fn names(&self) -> Vec<String> {
        let list = self.get("/containers/json?all=1").await.fine().json();
        let name = |c: &Value| c["Names"][0].as_str().unwrap_or("?").trim_start_matches('/').to_string();
        let mut names: Vec<String> = list.as_array().expect("a list").iter().map(name).collect();
        names.sort();
        names
    }

    /// The engines as `docker info` shows them.
    pub async fn rows(&self) -> Vec<Row> {
        let info = self.get("/info").await.fine().json();
        let mut rows: Vec<Row> = Vec::new();
        for pair in info["SystemStatus"].as_array().expect("rows") {
            let (key, value) = (pair[0].as_str().unwrap_or(""), pair[1].as_str().unwrap_or("").to_string());
            let detail = key.trim_start_matches([' ', '└']);
            match rows.last_mut() {
                Some(row) if key.starts_with("  ") => match detail {
                    "ID" => row.id = value,
                    "Status" => row.status = value,
                    "Containers" => row.containers = value,
                    "Error" => row.error = value,
                    _ => {}
                },
                _ if key.starts_with(' ') => {
                    rows.push(Row { addr: value, ..Row::default() });
                }
                _ => {}
            }
        }
        rows
    }

    /// The row of one engine.
    pub async fn row(&self, engine: &SimEngine) -> Row {
        self.find_row(engine).await.unwrap_or_else(|| panic!("no row of {}", engine.addr))
    }

    /// Its row, if the manager has read of it yet: it listens before it has read the list of engines.
    async fn find_row(&self, engine: &SimEngine) -> Option<Row> {
        let addr = engine.addr.to_string();
        self.rows().await.into_iter().find(|r| r.addr == addr)
    }

    /// Waits until so many engines are Healthy.
    pub async fn all_healthy(&self, count: usize) {
        let healthy = async || self.rows().await.iter().filter(|r| r.status == "Healthy").count();
        until("all engines Healthy", async || (healthy().await == count).then_some(())).await;
    }

    /// Waits until an engine is in a state; returns its row.
    pub async fn in_state(&self, engine: &SimEngine, status: &str) -> Row {
        let what = format!("{} {status}", engine.name());
        until(&what, async || self.find_row(engine).await.filter(|r| r.status == status)).await
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let running = self.child.try_wait().is_ok_and(|ended| ended.is_none());
        self.kill();
        let log = self.log();
        if std::thread::panicking() {
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the manager's last words:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        } else {
            assert!(running, "the manager ended by itself:\n{log}");
            assert!(!log.contains("panicked at"), "a task of the manager panicked:\n{log}");
        }
    }
}

/// Starts the program and reads from its log where it listens.
fn spawn(config: &str, directory: &std::path::Path) -> (Child, Arc<Mutex<String>>, SocketAddr) {
    let file = directory.join("config.toml");
    std::fs::write(&file, config).expect("a configuration");
    let mut command =
        Command::new(std::env::var("SWARMD_BIN").unwrap_or(env!("CARGO_BIN_EXE_swarmd").into()));
    command.args(["run", "--config"]).arg(&file).env_clear().env("RUST_BACKTRACE", "1");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("swarmd starts");
    let log = Arc::new(Mutex::new(String::new()));
    let (found, listening) = mpsc::channel();
    let (stderr, copy) = (child.stderr.take().expect("a pipe"), log.clone());
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some((_, addr)) = line.split_once("Listening for HTTP on tcp://") {
                let _ = found.send(addr.trim().parse());
            }
            let mut log = copy.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    });
    match listening.recv_timeout(LIMIT) {
        Ok(Ok(addr)) => (child, log, addr),
        other => {
            let _ = child.kill();
            panic!("no listener ({other:?}):\n{}", log.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}
