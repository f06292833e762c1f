//! The simulated engines: a process of their own, so that their cost is not the manager's nor the driver's. Told
//! what to do line by line.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::options::Options;
use crate::sim::fault::{Fault, Kind};
use crate::sim::{Profile, SimEngine, control};

/// First argument of the process that holds the engines.
pub const CHILD: &str = "--engines-process";
const PORT: u16 = 2375;

/// All engines. Dropping it ends them.
pub struct Fleet {
    pub size: usize,
    pub containers: usize,
    pub file: PathBuf,
    child: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
    block: u8,
    _home: tempfile::TempDir,
}

impl Fleet {
    /// Starts them and waits until all listen.
    pub async fn start(size: usize, options: &Options) -> Fleet {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("nodes");
        // Several runs at once keep out of each other's way.
        let block = 2 + (std::process::id() % 250) as u8;
        let each = options.containers;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                CHILD,
                &size.to_string(),
                &each.to_string(),
                &block.to_string(),
                &options.foreign.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (say, hear) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut fleet = Fleet { size, containers: each, file, child, say, hear, block, _home: home };
        assert_eq!(fleet.listen()["ready"], true, "the engines do not start");
        let nodes: String = (0..size).map(|i| format!("{}\n", fleet.addr(i))).collect();
        std::fs::write(&fleet.file, nodes).unwrap();
        fleet
    }

    /// Where an engine listens.
    pub fn addr(&self, i: usize) -> SocketAddr {
        SocketAddr::from((address(self.block, i), PORT))
    }

    /// How many requests came since the last time that this was asked.
    pub fn requests(&mut self) -> u64 {
        self.tell(&json!({"do": "count"}))["requests"].as_u64().unwrap_or(0)
    }

    /// Puts a fault into force on the engines of this range.
    pub fn fault(&mut self, engines: std::ops::Range<usize>, fault: &Fault) {
        self.tell(&json!({"do": "fault", "from": engines.start, "to": engines.end, "fault": fault}));
    }

    /// CPU seconds of the engines.
    pub fn cpu(&self) -> f64 {
        crate::subject::cpu(self.child.id())
    }

    fn tell(&mut self, what: &Value) -> Value {
        writeln!(self.say, "{what}").unwrap();
        self.say.flush().unwrap();
        self.listen()
    }

    fn listen(&mut self) -> Value {
        let mut line = String::new();
        self.hear.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_default()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(block: u8, i: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, block, (i / 250) as u8, (i % 250 + 1) as u8)
}

/// The process of the engines.
pub async fn serve(arguments: &[String]) {
    let number = |i: usize| arguments[i].parse::<usize>().unwrap();
    let (size, containers, block) = (number(0), number(1), number(2) as u8);
    let mut engines = Vec::with_capacity(size);
    for i in 0..size {
        let profile = Profile {
            name: format!("node-{i}"),
            listen: format!("{}:{PORT}", address(block, i)),
            containers,
            foreign: arguments[3] == "true",
            export_mib: 1024,
            ncpu: 16,
            mem_total: 64 << 30,
            ..Profile::default()
        };
        engines.push(SimEngine::start(profile).await.unwrap());
    }
    println!("{}", json!({"ready": true}));
    let (lines, mut next) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _ = lines.blocking_send(line);
        }
    });
    while let Some(line) = next.recv().await {
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        let answer = match told["do"].as_str() {
            Some("count") => {
                let requests: u64 = engines.iter().map(|e| e.calls("")).sum();
                engines.iter().for_each(SimEngine::forget_calls);
                json!({"requests": requests})
            }
            Some("fault") => {
                let place = |key: &str| told[key].as_u64().unwrap_or(0) as usize;
                let fault: Fault = serde_json::from_value(told["fault"].clone()).unwrap();
                for engine in &engines[place("from")..place("to")] {
                    put(engine, &fault).await;
                }
                json!({"done": true})
            }
            _ => json!({}),
        };
        println!("{answer}");
    }
}

async fn put(engine: &SimEngine, fault: &Fault) {
    match fault.kind {
        Kind::Refuse => engine.stop(),
        Kind::Listen => drop(engine.restart_on_same_port().await),
        _ => drop(control::apply(engine.engine(), fault, engine.addr).await),
    }
}
