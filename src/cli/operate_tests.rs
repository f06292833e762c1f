//! Tests of the operator's command lines: which question each of them asks, and which are refused.

use super::*;

fn ask(line: &str, env: &[(&str, &str)]) -> Result<(Target, Question, bool), Outcome> {
    let words: Vec<String> = line.split(' ').map(String::from).collect();
    let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
    match crate::cli::parse("swarmd", &words, &env)? {
        Command::Ask { target, question, json } => Ok((*target, question, json)),
        other => panic!("{other:?}"),
    }
}

fn asked(line: &str) -> Question {
    ask(line, &[("SWARMD_HOST", "h:1")]).unwrap().1
}

#[test]
fn words_become_questions() {
    assert!(matches!(asked("node ls"), Question::Nodes));
    assert!(matches!(asked("node inspect pi1"), Question::Node(name) if name == "pi1"));
    assert!(matches!(asked("node resume --json pi1"), Question::Resume(name) if name == "pi1"));
    assert!(matches!(asked("node rm --json pi1 -f"), Question::Remove(name, true) if name == "pi1"));
    assert!(matches!(asked("node pause pi1 --reason fan"), Question::Pause(_, why) if why == "fan"));
    let Question::Drain(node, drain) = asked("node drain --dry-run pi1 --timeout 1.5s --reason fan") else {
        panic!()
    };
    assert_eq!((node.as_str(), drain), ("pi1", Drain { dry_run: true, reason: "fan".into(), timeout: 2 }));
    assert!(matches!(asked("node drain pi1"), Question::Drain(_, drain) if drain == Drain::default()));
    let few = Rebalance { max_moves: 3, timeout: 3600, dry_run: false };
    let line = "rebalance --max-moves 3 --timeout=1h";
    assert!(matches!(asked(line), Question::Rebalance(wanted) if wanted == few));
    assert!(matches!(asked("explain pi1/web"), Question::Explain(name) if name == "pi1/web"));
    let Question::Label(node, change) = asked("node label pi1 disk=ssd a=b=c empty= rack-") else { panic!() };
    let set: Vec<_> = change.set.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!((node.as_str(), set.join(" ").as_str()), ("pi1", "a=b=c disk=ssd empty="));
    assert_eq!(change.remove, ["rack"]);
}

#[test]
fn invitations_are_to_the_cluster_of_this_machine() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("config.toml");
    std::fs::write(&path, "role = \"manager\"\n[discovery]\nurl = \"token://T\"\n").unwrap();
    let line = format!("join-token --config {} agent", path.display());
    let invited = |line: &str, env: &[(&str, &str)]| match ask(line, env) {
        Ok((_, Question::JoinToken(cluster), _)) => Ok(cluster.url),
        Ok((_, other, _)) => panic!("{other:?}"),
        Err(outcome) => Err(outcome.stderr),
    };
    assert_eq!(invited(&line, &[("DOCKER_HOST", "tcp://elsewhere:1")]), Ok("token://T".into()));
    assert_eq!(invited("join-token agent token://U -H h:1", &[]), Ok("token://U".into()));
    let plain = format!("join-token --config {} boss", path.display());
    assert!(invited(&plain, &[]).unwrap_err().contains("not \"boss\""));
    assert!(invited("join-token -H h:1", &[]).unwrap_err().contains("who is to join"));
}

#[test]
fn what_must_run_here_follows_from_the_configuration() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("config.toml");
    let agent = "role = \"agent\"\nstate-dir = \"/s\"\n[discovery]\nurl = \"token://T\"\n[agent]\nadvertise = \"h:1\"\n";
    std::fs::write(&path, agent).unwrap();
    let line = format!("status --config {}", path.display());
    let scope = |line: &str, env: &[(&str, &str)]| match ask(line, env).unwrap().1 {
        Question::Status(scope) => scope,
        other => panic!("{other:?}"),
    };
    let here = scope(&line, &[]);
    assert_eq!((here.manager, here.agent), (false, true));
    assert_eq!(here.files, [PathBuf::from("/run/swarmd/agent.json"), PathBuf::from("/s/agent.json")]);
    let there = scope(&line, &[("SWARMD_HOST", "h:1")]);
    assert_eq!((there.manager, there.agent), (true, false));
}

#[test]
fn plans_of_both_kinds() {
    for line in [
        "plan -- run -d --name x box",
        "plan --json -- docker run --name=x box",
        "plan -- create --name x box",
    ] {
        assert!(matches!(asked(line), Question::PlanRun(create) if create.name == "x"), "{line}");
    }
    let Question::PlanCompose { files, project } = asked("plan a.yaml b.yaml -p shop") else { panic!() };
    assert_eq!((files.len(), project.as_deref()), (2, Some("shop")));
}

#[test]
fn mistakes_end_with_64_and_the_usage() {
    for (line, text) in [
        ("node inspect", "NODE is missing"),
        ("node rm a b", "one NODE, not 2"),
        ("node ls x", "takes no arguments"),
        ("node label pi1", "at least one KEY=VALUE"),
        ("node label pi1 disk", "neither KEY=VALUE nor KEY-"),
        ("node label pi1 -", "neither KEY=VALUE nor KEY-"),
        ("node drain", "NODE is missing"),
        ("node drain pi1 --timeout 0s", "longer than nothing"),
        ("node drain pi1 --timeout 5", "missing unit"),
        ("rebalance --max-moves 0", "a number from 1"),
        ("rebalance pi1", "takes no arguments"),
        ("plan", "name a compose file"),
        ("plan -- run --bogus box", "unknown flag of docker run: --bogus"),
        ("node nope", "no command \"nope\""),
    ] {
        let outcome = ask(line, &[("SWARMD_HOST", "h:1")]).unwrap_err();
        assert_eq!(outcome.code, 64, "{line}");
        assert!(outcome.stderr.contains(text), "{line}: {}", outcome.stderr);
    }
}

#[test]
fn flags_then_environment_then_the_configuration_name_the_manager() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("config.toml");
    let text =
        "[manager]\nhost = [\"tcp://0.0.0.0:9\"]\n[tls]\ntls = true\ntlscert = \"c\"\ntlskey = \"k\"\n";
    std::fs::write(&path, text).unwrap();
    let line = format!("node ls --config {}", path.display());
    let (own, ..) = ask(&line, &[]).unwrap();
    assert_eq!((own.endpoint.to_string().as_str(), own.tls.tls), ("127.0.0.1:9", true));
    let (named, ..) = ask(&line, &[("DOCKER_HOST", "tcp://d:1")]).unwrap();
    assert_eq!((named.endpoint.to_string().as_str(), named.tls.tls), ("d:1", false));
    let (flag, ..) = ask(&format!("{line} -H f:1 --tls --tlscert c --tlskey k"), &[]).unwrap();
    assert_eq!((flag.endpoint.to_string().as_str(), flag.tls.tls), ("f:1", true));
    let missing = ask("node ls --config /nowhere/config.toml", &[]).unwrap_err();
    assert_eq!(missing.code, 78);
}
