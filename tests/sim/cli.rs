//! Simulated Docker Engines by hand: `cargo run --example sim-engine -- --help`.

#[path = "mod.rs"]
mod sim;

use std::net::Ipv4Addr;
use std::process::ExitCode;

use sim::control;
use sim::fault::{Fault, Kind};
use sim::{Profile, Release, SimEngine};

const HELP: &str = "\
sim-engine: Docker Engines that exist in memory only, for tests of scale and faults

  --engines N           how many (1)
  --base ADDRESS        where engine 0 listens (127.0.0.1); with several engines the others follow on
                        127.1.A.B, one address each, and this is engine 0's only if it was given
  --port P              port of all engines (2375; 0 takes any)
  --name NAME           name of a single engine (node-0); several are node-0, node-1, ...
  --release R           20.10, 28.5 (default) or 29.0
  --labels K=V          a daemon label; may be repeated
  --architecture A      amd64 (default), arm64, arm/v7, ...
  --cpus N              processors (4)
  --memory MIB          memory in MiB (4096)
  --image NAME          an image that is there from the start; may be repeated (busybox:latest)
  --registry NAME       an image that can be pulled; may be repeated
  --containers N        containers that run from the start on each engine
  --foreign             those carry no swarm ID label
  --export-mib N        size of a container's export (1)
  --fault JSON          a fault from the start, as for /_sim/fault; may be repeated
  --write-nodes FILE    writes the addresses, one on each line, for file:// discovery
  -h, --help            this text

At run time, on any engine (add \"engine\":\"node-3\" or \"*\" to mean another or all):
  curl ADDRESS/_sim/calls                                      requests by route, and the last ones
  curl ADDRESS/_sim/state                                      faults, containers, connections
  curl -d '{\"fault\":\"latency\",\"ms\":500,\"route\":\"/info\"}' ADDRESS/_sim/fault
       latency{ms} hang drop reset{after} garbage flood error{status,message} trickle{bytes,ms} not-docker
       end-events mute-events refuse listen clock-skew{seconds} change-id{id} clear
       with \"route\":\"part of GET /containers/{id}/json\" and \"times\":N for those of single requests
  curl -d '{\"hook\":\"exit\",\"container\":\"x\",\"code\":3}' ADDRESS/_sim/hook
       exit{container,code,oom} health{container,status} print{container,text} run{count,prefix}
       image{name} event{container,action}
";

#[derive(Default)]
struct Options {
    engines: usize,
    base: Option<Ipv4Addr>,
    port: u16,
    profile: Profile,
    faults: Vec<Fault>,
    nodes: Option<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "-h" || a == "--help") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let ran = parse(&arguments).and_then(|options| {
        let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
        runtime.block_on(run(options))
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("sim-engine: {why}");
            ExitCode::from(64)
        }
    }
}

fn parse(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options { engines: 1, port: 2375, ..Options::default() };
    let profile = &mut options.profile;
    let (mut images, mut registry) = (Vec::new(), Vec::new());
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let (flag, inline) = match flag.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_string())),
            None => (flag.as_str(), None),
        };
        if flag == "--foreign" {
            profile.foreign = true;
            continue;
        }
        let value =
            inline.or_else(|| rest.next().cloned()).ok_or(format!("{flag} needs a value; see --help"))?;
        let malformed = || format!("{flag}: cannot read {value:?}");
        let number = || value.parse::<usize>().map_err(|_| malformed());
        match flag {
            "--engines" => options.engines = number()?,
            "--base" => options.base = Some(value.parse().map_err(|_| malformed())?),
            "--port" => options.port = value.parse().map_err(|_| malformed())?,
            "--name" => profile.name = value,
            "--release" | "--profile" => profile.release = Release::parse(&value).ok_or_else(malformed)?,
            "--labels" | "--label" => {
                let (key, label) = value.split_once('=').ok_or_else(malformed)?;
                profile.labels.insert(key.to_string(), label.to_string());
            }
            "--architecture" => profile.architecture = value,
            "--cpus" => profile.ncpu = value.parse().map_err(|_| malformed())?,
            "--memory" => profile.mem_total = (number()? as u64) << 20,
            "--image" => images.push(value),
            "--registry" => registry.push(value),
            "--containers" => profile.containers = number()?,
            "--export-mib" => profile.export_mib = number()?,
            "--fault" => {
                options.faults.push(serde_json::from_str(&value).map_err(|e| format!("{flag}: {e}"))?);
            }
            "--write-nodes" => options.nodes = Some(value),
            _ => return Err(format!("unknown option {flag}; see --help")),
        }
    }
    if !images.is_empty() {
        options.profile.images = images;
    }
    if !registry.is_empty() {
        options.profile.registry = registry;
    }
    Ok(options)
}

/// Engine `i`'s address: the base for the first, then 127.1.0.1 onwards, 250 to a block.
fn address(options: &Options, i: usize) -> Ipv4Addr {
    match (i, options.base) {
        (0, Some(base)) => base,
        (0, None) => Ipv4Addr::LOCALHOST,
        _ => Ipv4Addr::new(127, 1, (i / 250) as u8, (i % 250 + 1) as u8),
    }
}

async fn run(options: Options) -> Result<(), String> {
    let mut engines = Vec::with_capacity(options.engines);
    for i in 0..options.engines {
        let mut profile = options.profile.clone();
        profile.listen = format!("{}:{}", address(&options, i), options.port);
        if options.engines > 1 {
            profile.name = format!("node-{i}");
        }
        let listen = profile.listen.clone();
        let engine =
            SimEngine::start(profile).await.map_err(|e| format!("cannot listen on {listen}: {e}"))?;
        for fault in options.faults.iter().filter(|f| f.kind != Kind::Listen) {
            control::apply(engine.engine(), fault, engine.addr).await.map_err(|e| e.to_string())?;
        }
        engines.push(engine);
    }
    if let Some(file) = &options.nodes {
        let nodes: String = engines.iter().map(|e| format!("{}\n", e.addr)).collect();
        std::fs::write(file, nodes).map_err(|e| format!("cannot write {file}: {e}"))?;
    }
    match engines.as_slice() {
        [] => return Err("--engines must be at least 1".to_string()),
        [one] => println!("{} on {}", one.name(), one.addr),
        [first, .., last] => println!("{} engines, {} to {}", engines.len(), first.addr, last.addr),
    }
    std::future::pending().await
}
