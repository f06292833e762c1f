//! A manager under test: how it is started, and what the kernel tells of it.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client;

/// Some manager with the classic command line.
pub struct Subject {
    pub label: String,
    command: Vec<String>,
    keep_logs: bool,
}

/// One that runs. Dropping it kills it.
pub struct Running {
    pub addr: SocketAddr,
    pub started: Instant,
    child: Child,
    _home: tempfile::TempDir,
}

impl Subject {
    /// The program of this repository.
    pub fn ours(keep_logs: bool) -> Subject {
        let program = env!("CARGO_BIN_EXE_swarmd").to_string();
        Subject { label: "swarmd".to_string(), command: vec![program], keep_logs }
    }

    /// Any other.
    pub fn other(command: &str, keep_logs: bool) -> Subject {
        let command: Vec<String> = command.split_whitespace().map(str::to_string).collect();
        Subject { label: "against".to_string(), command, keep_logs }
    }

    /// Whether it is ours.
    pub fn is_ours(&self) -> bool {
        self.label == "swarmd"
    }

    /// Starts it as a manager with this file of nodes.
    pub fn manage(&self, nodes: &std::path::Path) -> Running {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("tcp://127.0.0.1:{port}");
        let list = format!("file://{}", nodes.display());
        self.start(&["manage", "-H", &host, &list], SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// Starts it as an agent that tells of `engine` in a file nobody reads.
    pub fn join(&self, engine: SocketAddr, discovery: &str) -> Running {
        let advertise = format!("--advertise={engine}");
        self.start(&["join", &advertise, discovery], engine)
    }

    fn start(&self, arguments: &[&str], addr: SocketAddr) -> Running {
        let home = tempfile::tempdir().unwrap();
        let log = match self.keep_logs {
            true => File::create(format!("bench-{}-{}.log", self.label, addr.port())).unwrap(),
            false => File::create("/dev/null").unwrap(),
        };
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).args(arguments);
        command.env("STATE_DIRECTORY", home.path());
        command.current_dir(home.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {:?}: {e}", self.command));
        Running { addr, started: Instant::now(), child, _home: home }
    }
}

impl Running {
    /// Waits until it answers.
    pub async fn answers(&self) -> bool {
        let limit = Instant::now() + Duration::from_secs(30);
        while Instant::now() < limit {
            if client::get(self.addr, "/_ping").await.is_ok_and(|a| a.status == 200) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// CPU seconds used so far, of all its threads.
    pub fn cpu(&self) -> f64 {
        cpu(self.child.id())
    }

    /// Resident memory in MiB.
    pub fn rss(&self) -> f64 {
        memory(self.child.id(), "VmRSS:")
    }

    /// The most that it had resident ever, in MiB.
    pub fn peak(&self) -> f64 {
        memory(self.child.id(), "VmHWM:")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU seconds of a process.
pub fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn memory(pid: u32, key: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
