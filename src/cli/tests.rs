//! The command line, line by line: what classic scripts, docker-machine and people type.
//!
//! Grammar alone is tested in `grammar`, rules across keys of a file in `config::load`.

use super::*;
use crate::config::{Level, Role, Strategy};

type Env = &'static [(&'static str, &'static str)];

fn try_line(line: &str, env: Env) -> Result<Command, Outcome> {
    let args: Vec<String> = line.split_whitespace().map(|word| word.replace("''", "")).collect();
    let lookup = |name: &str| {
        let hit = env.iter().find(|(key, _)| *key == name);
        hit.map(|(_, value)| (*value).to_string())
    };
    parse("/usr/bin/swarm", &args, &lookup)
}

fn loaded(line: &str, env: Env) -> Box<Loaded> {
    match try_line(line, env) {
        Ok(Command::Manage(loaded) | Command::Join(loaded) | Command::Run(loaded)) => loaded,
        Ok(Command::List { loaded, .. }) => loaded,
        other => panic!("{line}: {other:?}"),
    }
}

fn failure(line: &str, env: Env) -> Outcome {
    match try_line(line, env) {
        Err(outcome) => outcome,
        Ok(command) => panic!("{line}: {command:?}"),
    }
}

fn hosts(loaded: &Loaded) -> Vec<String> {
    loaded.config.manager.host.iter().map(ToString::to_string).collect()
}

#[test]
fn no_command_help_and_version_print_and_succeed() {
    for (line, start) in [
        ("", "Usage: swarm [OPTIONS] COMMAND"),
        ("help", "Usage: swarm [OPTIONS] COMMAND"),
        ("-h", "Usage: swarm [OPTIONS] COMMAND"),
        ("--help manage", "Usage: swarm [OPTIONS] COMMAND"),
        ("h m", "Usage: swarm manage [OPTIONS] <discovery>"),
        ("help join", "Usage: swarm join [OPTIONS] <discovery>"),
        ("manage --help", "Usage: swarm manage [OPTIONS] <discovery>"),
        ("l -h", "Usage: swarm list [OPTIONS] <discovery>"),
        ("c --help", "Usage: swarm create [OPTIONS]"),
        ("-help", "Usage: swarm [OPTIONS] COMMAND"),
        ("run -h", "Usage: swarm run [OPTIONS]"),
    ] {
        match try_line(line, &[]) {
            Ok(Command::Print(text)) => assert!(text.starts_with(start), "{line}: {text}"),
            other => panic!("{line}: {other:?}"),
        }
    }
    for line in ["-v", "--version", "-version"] {
        match try_line(line, &[]) {
            Ok(Command::Print(text)) => {
                assert!(text.starts_with(&format!("swarm version {} (", version_number())));
            }
            other => panic!("{line}: {other:?}"),
        }
    }
    assert_eq!(program_name("swarmd"), "swarmd");
    assert_eq!(program_name(""), "swarmd");
}

#[test]
fn unknown_commands_keep_the_text_and_fail() {
    for line in ["bogus", "help bogus"] {
        let outcome = failure(line, &[]);
        assert_eq!(outcome.stdout, "No help topic for 'bogus'\n");
        assert_eq!(outcome.code, 1);
    }
    assert_eq!(failure("mange", &[]).stderr, "did you mean 'swarm manage'?\n");
}

#[test]
fn bad_usage_shows_the_help_then_the_reason() {
    for (line, help, reason, code) in [
        ("manage --bogus", "Usage: swarm manage", "flag provided but not defined: -bogus\n", 1),
        ("--bogus manage", "Usage: swarm [OPTIONS]", "flag provided but not defined: -bogus\n", 1),
        (
            "manage --engine-failure-retry x D",
            "Usage: swarm manage",
            "invalid value \"x\" for flag -engine-failure-retry: parse error\n",
            1,
        ),
        (
            "join --advertise a:1 --addr b:1 D",
            "Usage: swarm join",
            "Cannot use two forms of the same flag: addr advertise\n",
            1,
        ),
        ("run --bogus", "Usage: swarm run", "flag provided but not defined: -bogus\n", 64),
    ] {
        let outcome = failure(line, &[]);
        assert!(outcome.stdout.starts_with(&format!("Incorrect Usage.\n\n{help}")), "{line}");
        assert_eq!((outcome.stderr.as_str(), outcome.code), (reason, code), "{line}");
    }
}

/// Each line fails with exit 1; the first line of the error starts with the classic text.
#[test]
fn classic_texts_in_the_classic_order() {
    let advertise = "--advertise should be of the form ip:port or hostname:port";
    for (line, text) in [
        ("create x", "the `create` command takes no arguments. See 'swarm create --help'."),
        ("list", "discovery required to list a cluster. See 'swarm list --help'."),
        ("list --timeout x", "discovery required to list a cluster."),
        ("list --timeout x D:1", "invalid --timeout: time: invalid duration \"x\""),
        ("list --timeout 5 D:1", "invalid --timeout: time: missing unit in duration \"5\""),
        ("list --timeout 0 D:1", "--timeout should be a positive number"),
        ("list --timeout -1s D:1", "--timeout should be a positive number"),
        ("list --discovery-opt x D:1", "--discovery-opt must contain key=value strings"),
        ("list foo://x", "discovery service not supported"),
        ("join", "discovery required to join a cluster. See 'swarm join --help'."),
        ("join ''", "discovery required to join a cluster."),
        ("join token://t", "missing mandatory --advertise flag"),
        ("join --addr x token://t", advertise),
        ("join --addr x:0 token://t", advertise),
        ("join --addr x:65536 token://t", advertise),
        ("join --addr x:http token://t", advertise),
        ("join --addr a:b:1 token://t", advertise),
        ("join --addr x:1 --delay x token://t", "invalid --delay: time: invalid duration \"x\""),
        ("join --addr x:1 --delay -1s token://t", "--delay should not be a negative number"),
        ("join --addr x:1 --heartbeat 1 token://t", "invalid --heartbeat: time: missing unit"),
        ("join --addr x:1 --heartbeat 999ms token://t", "--heartbeat should be at least one second"),
        ("join --addr x:1 --ttl 60s token://t", "--ttl must be strictly superior to the heartbeat value"),
        (
            "join --addr x:1 --heartbeat 4m token://t",
            "--ttl must be strictly superior to the heartbeat value",
        ),
        ("join --addr x:1 --ttl 1 token://t", "invalid --ttl: time: missing unit in duration \"1\""),
        ("join --addr x:1 --delay x --ttl x token://t", "invalid --delay"),
        ("manage", "discovery required to manage a cluster. See 'swarm manage --help'."),
        ("manage --engine-refresh-min-interval 0 D:1", "min refresh interval should be a positive number"),
        ("manage --engine-refresh-min-interval x D:1", "min refresh interval should be a positive number"),
        (
            "manage --engine-refresh-max-interval 1s D:1",
            "max refresh interval cannot be less than min refresh interval",
        ),
        (
            "manage --engine-refresh-max-interval x D:1",
            "max refresh interval cannot be less than min refresh interval",
        ),
        (
            "manage --engine-refresh-retry 5 D:1",
            "--engine-refresh-retry is deprecated. Use --engine-failure-retry",
        ),
        ("manage --engine-failure-retry 0 D:1", "invalid failure retry count"),
        ("manage --engine-failure-retry 0", "invalid failure retry count"),
        ("manage --heartbeat 10ms D:1", "--heartbeat should be at least one second"),
        ("manage --strategy best D:1", "strategy not supported"),
        ("manage --filter best D:1", "filter not supported"),
        ("manage -f health -f best D:1", "filter not supported"),
        ("manage -c mesos-experimental D:1", "unsupported cluster \"mesos-experimental\""),
        (
            "manage --cluster-opt swarm.overcommit=-2 D:1",
            "swarm.overcommit should be larger than -1, -2.000000 is invalid",
        ),
        (
            "manage --cluster-opt swarm.createretry=-1 D:1",
            "swarm.createretry can not be negative, -1 is invalid",
        ),
        ("manage --cluster-opt swarm.overcommit D:1", "swarm.overcommit needs a value"),
        ("manage -H udp://x:1 D:1", "unsupported protocol: \"udp\""),
        (
            "manage --replication etcd://h:1",
            "--advertise address must be provided when using --leader-election",
        ),
        ("manage --replication --advertise x etcd://h:1", advertise),
        (
            "manage --replication --replication-ttl x --advertise h:1 etcd://h:1",
            "invalid --replication-ttl: time: invalid duration \"x\"",
        ),
        (
            "manage --replication --replication-ttl 0s --advertise h:1 etcd://h:1",
            "--replication-ttl should be a positive number",
        ),
        (
            "manage --replication --advertise h:1 token://t",
            "Leader election is only supported with consul, etcd and zookeeper discovery.",
        ),
        ("manage --tls D:1", "--tlscert and --tlskey must be provided when using --tls"),
        ("manage --tlsverify D:1", "--tlscert and --tlskey must be provided when using --tls"),
        (
            "manage --tlsverify --tlscert c --tlskey k D:1",
            "--tlscacert must be provided when using --tlsverify",
        ),
        (
            "manage --tlscacert c D:1",
            "--tlscert, --tlskey and --tlscacert require the use of either --tls or --tlsverify",
        ),
        ("-l foo manage D:1", "not a valid logrus Level: \"foo\""),
        ("manage a:1 b:1", "manage takes one <discovery>, got 2: a:1 b:1."),
        ("list --timeout 5s D --timeout 3s", "list takes one <discovery>, got 3: D --timeout 3s."),
    ] {
        let outcome = failure(line, &[]);
        assert!(outcome.stderr.starts_with(text), "{line}: {}", outcome.stderr);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{line}");
    }
}

#[test]
fn all_problems_are_reported_the_classic_one_first() {
    let outcome = failure("manage --strategy x --engine-failure-retry 0 -H y", &[]);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    for (line, start) in lines.iter().zip([
        "invalid failure retry count",
        "discovery required to manage",
        "strategy not supported",
        "address y: missing port in address",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn docker_machines_command_lines_work() {
    let line = "--experimental manage --tlsverify --tlscacert=/etc/docker/ca.pem \
                --tlscert=/etc/docker/server.pem --tlskey=/etc/docker/server-key.pem -H tcp://0.0.0.0:3376 \
                --strategy spread --advertise 10.0.0.1:3376 --heartbeat=5s --strategy binpack token://abc";
    let master = loaded(line, &[("SWARM_HOST", ":2375")]);
    assert_eq!(master.config.role, Role::Manager);
    assert!(master.config.experimental && master.config.tls.tlsverify);
    assert_eq!(hosts(&master), ["tcp://0.0.0.0:3376"]);
    assert_eq!(master.config.manager.strategy, Strategy::Binpack);
    assert_eq!(master.config.discovery.heartbeat, Duration::from_secs(5));
    assert_eq!(master.warnings, [""; 0]);
    let agent = loaded("join --advertise 10.0.0.2:2376 --heartbeat=5s token://abc", &[]);
    assert_eq!(agent.config.role, Role::Agent);
    assert_eq!(agent.config.agent.advertise.as_deref(), Some("10.0.0.2:2376"));
    assert_eq!(agent.config.manager.advertise, None);
}

#[test]
fn hosts_of_manage() {
    for (line, env, expected) in [
        ("manage D:1", &[][..], vec!["tcp://127.0.0.1:2375"]),
        ("manage D:1 -H :1 -H unix:///s", &[], vec!["tcp://:1", "unix:///s"]),
        (
            "manage D:1",
            &[("SWARM_HOST", "127.0.0.1:1, 127.0.0.1:2")],
            vec!["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"],
        ),
        // The classic tool dropped only the first of the variable's hosts.
        ("manage D:1 -H :3", &[("SWARM_HOST", "127.0.0.1:1,127.0.0.1:2")], vec!["tcp://:3"]),
        ("manage D:1", &[("SWARM_HOST", "")], vec!["tcp://127.0.0.1:2375"]),
    ] {
        assert_eq!(hosts(&loaded(line, env)), expected, "{line}");
    }
}

#[test]
fn an_open_manager_needs_a_word_on_the_command_line() {
    let by_hand = loaded("manage token://T --host=:3376 --advertise=127.0.0.1:3376", &[]);
    assert_eq!(by_hand.warnings.len(), 1);
    assert!(by_hand.warnings[0].contains("without client certificates"));
    // An inherited socket is judged later, by the same word.
    assert!(loaded("manage D:1 -H fd://", &[]).config.manager.allow_unauthenticated);
    assert!(!loaded("manage D:1", &[]).config.manager.allow_unauthenticated);
    let by_env = failure("manage token://T", &[("SWARM_HOST", ":2375")]);
    assert!(by_env.stderr.contains("-H"), "{}", by_env.stderr);
    let allowed = loaded("manage --allow-unauthenticated token://T", &[("SWARM_HOST", ":2375")]);
    assert_eq!(allowed.warnings.len(), 1);
}

#[test]
fn discovery_comes_from_the_one_positional_or_the_environment() {
    const ENV: Env = &[("SWARM_DISCOVERY", "file:///env")];
    for (line, url) in [
        ("list D:1", "D:1"),
        ("list D:1 --timeout 3s", "D:1"),
        ("list --timeout 3s D:1", "D:1"),
        ("list", "file:///env"),
        ("list --timeout 3s -- D:1", "D:1"),
    ] {
        let config = loaded(line, ENV).config;
        assert_eq!(config.discovery.url.as_deref(), Some(url), "{line}");
    }
    assert!(failure("list ''", ENV).stderr.starts_with("discovery required"));
    match try_line("l --timeout=1m30s D:1", &[]) {
        Ok(Command::List { timeout, .. }) => assert_eq!(timeout, Duration::from_secs(90)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn log_levels_and_debug() {
    for (line, env, level) in [
        ("manage D:1", &[][..], Level::Info),
        ("--debug manage D:1", &[], Level::Debug),
        ("-debug manage D:1", &[], Level::Debug),
        ("--debug -l warn manage D:1", &[], Level::Warn),
        ("--log-level=PANIC manage D:1", &[], Level::Error),
        ("manage D:1", &[("DEBUG", "1")], Level::Debug),
        ("manage D:1", &[("DEBUG", "maybe")], Level::Info),
        ("--debug=false manage D:1", &[("DEBUG", "1")], Level::Info),
        ("-l info manage D:1", &[("DEBUG", "1")], Level::Info),
    ] {
        assert_eq!(loaded(line, env).config.log.level, level, "{line}");
    }
}

#[test]
fn cluster_options_and_lists() {
    let line = "m --cluster-opt swarm.overcommit=0.5 -cluster-opt swarm.overcommit=9 --cluster-opt \
                swarm.createretry=2 --cluster-opt mesos.user=x -f health -f port --discovery-opt kv.path=a \
                --discovery-opt kv.path=b D:1";
    let loaded = loaded(line, &[]);
    let manager = &loaded.config.manager;
    assert_eq!((manager.overcommit, manager.create_retry), (0.5, 2));
    assert_eq!(manager.filter.len(), 2);
    assert_eq!(loaded.config.discovery.options["kv.path"], "b");
    assert_eq!(loaded.warnings, ["--cluster-opt mesos.user=x is unknown and ignored"]);
    let from = loaded.origins.get("manager.overcommit").to_string();
    assert_eq!(from, "flag --cluster-opt swarm.overcommit");
}

#[test]
fn warnings_instead_of_refusals() {
    let anywhere = loaded("join --addr :2375 token://t", &[]);
    assert_eq!(anywhere.config.agent.advertise.as_deref(), Some(":2375"));
    assert!(anywhere.warnings[0].contains("names no host"));
    let negative = loaded("manage --cluster-opt swarm.overcommit=-0.5 D:1", &[]);
    assert!(negative.warnings[0].contains("negative"));
    // docker-machine always passes it; without --replication nobody looks at it.
    assert_eq!(loaded("manage --advertise garbage D:1", &[]).warnings, [""; 0]);
    let local = loaded("join --addr unix:///var/run/docker.sock token://h:1/t", &[]);
    assert_eq!(local.warnings, [""; 0]);
}

#[test]
fn create_is_local_unless_a_manager_is_named() {
    match try_line("create", &[("SWARM_HOST", "garbage")]) {
        Ok(Command::Create { manager: None, .. }) => {}
        other => panic!("{other:?}"),
    }
    match try_line("c -H tcp://10.0.0.1:3376 --tlsverify --tlscacert /ca", &[]) {
        Ok(Command::Create { manager: Some(Endpoint::Tcp { port: 3376, .. }), tls }) => {
            assert!(tls.tlsverify);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(failure("create --host nonsense", &[]).code, 1);
}

#[test]
fn native_commands_take_files_flags_and_environment() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("config.toml");
    std::fs::write(&path, "role = \"agent\"\n[discovery]\nurl = \"token://h:1/t\"\nttl = 70\n").unwrap();
    let file = path.display();
    let env: Env = &[("SWARM_ADVERTISE", "h:2"), ("DEBUG", "true")];
    let run = loaded(&format!("run --config {file} --set discovery.ttl=80s"), env);
    assert_eq!(run.config.discovery.ttl, Duration::from_secs(80));
    assert_eq!(run.config.agent.advertise.as_deref(), Some("h:2"));
    assert_eq!(run.config.log.level, Level::Debug);
    assert_eq!(run.files, std::slice::from_ref(&path));
    let classic = loaded(&format!("manage --config {file}"), env);
    assert_eq!((classic.config.role, classic.config.discovery.ttl.as_secs()), (Role::Manager, 70));
    for (line, code, text) in [
        ("run extra".to_string(), 64, "run takes no arguments"),
        ("run --set x".to_string(), 64, "--set needs key=value"),
        ("run --set x=1".to_string(), 64, "--set: unknown key x"),
        (format!("run --config {file}.nope"), 78, "cannot be read"),
        (format!("run --config {file} --role boss"), 78, "--role not supported"),
        (format!("run --config {file}"), 78, "missing mandatory agent.advertise"),
    ] {
        let outcome = failure(&line, &[]);
        assert_eq!(outcome.code, code, "{line}");
        assert!(outcome.stderr.contains(text), "{line}: {}", outcome.stderr);
    }
    match try_line(&format!("config --config {file}"), env) {
        Ok(Command::ShowConfig { sources, secrets: false }) => {
            let shown = show::config(&sources, false).stdout;
            assert!(shown.contains(&format!("ttl = \"1m10s\"  # {file}:4\n")), "{shown}");
            assert!(shown.contains("advertise = \"h:2\"  # environment SWARM_ADVERTISE\n"), "{shown}");
        }
        other => panic!("{other:?}"),
    }
    match try_line(&format!("check --config {file}"), &[]) {
        Ok(Command::Check(checkup)) => assert!(!checkup.offline && checkup.sources.load().is_err()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_needs_no_runtime_is_answered_at_once() {
    let answer = |line| answer(&try_line(line, &[]).unwrap());
    assert_eq!(answer("create").unwrap().stdout.trim_end().len(), 32);
    assert_eq!(answer("create -H tcp://h:1"), None);
    assert_eq!(answer("manage D:1"), None);
    assert!(answer("--version").unwrap().stdout.starts_with("swarm version"));
}
