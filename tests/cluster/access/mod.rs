//! Who may do what, over TLS with certificates that name a role: every route, and every way to say something else in a
//! body than what is looked at.

mod images;
mod lists;
mod people;

use futures_util::future::join_all;
use rcgen::DnType;
use serde_json::{Value, json};

use crate::rig::{Answer, engines, sleeper, until};
use people::{Guarded, Person};

/// One line for each route: who may use it. Written by hand, from what the roles are for.
const ROLES: &str = include_str!("roles.txt");
const NAMES: [&str; 4] = ["reader", "operator", "deployer", "admin"];

/// Whether somebody was turned away for who it is, rather than for what it asked.
fn is_refusal(answer: &Answer) -> bool {
    let words = ["the role ", "a client certificate is needed", "the certificate of an agent"];
    answer.status == 403 && words.iter().any(|words| answer.text().contains(words))
}

/// What differs from what is expected of one person on all routes.
async fn differences(who: &str, person: &Person, expected: impl Fn(&[&str]) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for line in ROLES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let method = if words[0] == "*" { "GET" } else { words[0] };
        let path =
            words[1].replace("{name}", "nothing").replace("{id}", "nothing").replace("{node}", "nothing");
        let body = if matches!(method, "GET" | "HEAD") { "" } else { "{}" };
        let answer = person.call(method, &path, "Content-Type: application/json\r\n", body).await;
        // An answer to HEAD has no text: it is refused as such.
        let refused = is_refusal(&answer) || (method == "HEAD" && answer.status == 403);
        if refused == expected(&words) {
            wrong.push(format!("{who}: {method} {path}: {} {}", answer.status, answer.text()));
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_may_use_its_routes_and_no_other() {
    let engines = engines(2).await;
    let guarded = Guarded::of(&engines, "").await;
    let mut wrong = Vec::new();
    for (i, role) in NAMES.iter().enumerate() {
        let person = guarded.user(&format!("{role}1"), role);
        wrong.extend(differences(role, &person, |words| words[2 + i] == "yes").await);
    }
    let token = |words: &[&str]| words[1].contains("/clusters") || words[1] == "/swarmd/v1/join";
    let members = ["/swarmd/v1/renew", "/swarmd/v1/trust", "/swarmd/v1/authority"];
    let agent = guarded.person(&[(DnType::OrganizationalUnitName, "agent"), (DnType::CommonName, "pi1")]);
    wrong.extend(differences("agent", &agent, |w| token(w) || members.contains(&w[1])).await);
    wrong.extend(differences("stranger", &guarded.stranger(), token).await);
    let manager =
        guarded.person(&[(DnType::OrganizationalUnitName, "manager"), (DnType::CommonName, "boss")]);
    wrong.extend(differences("manager", &manager, |_| true).await);
    // A role that nobody knows is none.
    let king = guarded.user("king1", "king");
    wrong.extend(differences("king", &king, token).await);
    // As ever, where certificates are made by hand.
    let by_hand = guarded.person(&[(DnType::CommonName, "client")]);
    wrong.extend(differences("by hand", &by_hand, |_| true).await);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_routes_are_for_nobody_but_admins() {
    let engines = engines(1).await;
    let guarded = Guarded::of(&engines, "").await;
    for path in
        ["/nonsense", "/containers/../info", "/containers/%2e%2e/json", "//containers/json", "/v1.44/../info"]
    {
        for role in NAMES {
            let answer = guarded.user(role, role).get(path).await;
            let expected = if role == "admin" { 404 } else { 403 };
            assert_eq!(answer.status, expected, "{role} {path}: {}", answer.text());
        }
        assert_eq!(guarded.stranger().get(path).await.status, 403, "{path}");
    }
}

/// A request of a kind that some part of the way might read in another way than the manager.
fn tricks() -> Vec<(&'static str, Vec<u8>)> {
    const EVIL: &str = r#"{"Image":"busybox","HostConfig":{"Privileged":true}}"#;
    const JSON: &str = "Content-Type: application/json\r\n";
    let create = |headers: &str, body: &str| {
        let head = format!(
            "POST /containers/create?name=evil HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}"
        );
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let raw = |headers: &str, body: &str| {
        let head = format!(
            "POST /containers/create?name=evil HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}"
        );
        format!("{head}\r\n{body}").into_bytes()
    };
    let chunks = |all: &[&str]| all.iter().map(|c| format!("{:x}\r\n{c}\r\n", c.len())).collect::<String>();
    let host = |fields: &str| create(JSON, &format!(r#"{{"Image":"busybox","HostConfig":{{{fields}}}}}"#));
    let large = format!(
        r#"{{"Image":"busybox","Labels":{{"a":"{}"}},"HostConfig":{{"Privileged":true}}}}"#,
        "x".repeat(5 << 20)
    );
    let deep = format!(r#"{{"Image":"busybox","Labels":{}{}}}"#, "[".repeat(60), "]".repeat(60));
    let cut = chunks(&[&EVIL[..20], &EVIL[20..41], &EVIL[41..]]);
    let chunked = format!("{JSON}Transfer-Encoding: chunked\r\n");
    vec![
        ("plain", create(JSON, EVIL)),
        ("duplicate key", host(r#""Privileged":false,"Privileged":true"#)),
        ("duplicate key in another case", host(r#""Privileged":false,"privileged":true"#)),
        ("other case", host(r#""PRIVILEGED":true"#)),
        ("escape in a key", host(r#""\u0050rivileged":true"#)),
        ("long s", create(JSON, "{\"Image\":\"busybox\",\"ho\u{17f}tconfig\":{\"Privileged\":true}}")),
        ("kelvin", host("\"Networ\u{212a}Mode\":\"host\"")),
        (
            "two HostConfigs",
            create(JSON, r#"{"Image":"busybox","HostConfig":{},"hostconfig":{"Privileged":true}}"#),
        ),
        ("outside of HostConfig", create(JSON, r#"{"Image":"busybox","Privileged":true}"#)),
        ("unknown field", host(r#""PrivilegedToo":true"#)),
        ("network of a node", host(r#""NetworkMode":"node-0/host""#)),
        ("directory by way of a node", host(r#""Binds":["node-0//etc:/x"]"#)),
        ("oversize", create(JSON, &large)),
        ("deep nesting", create(JSON, &deep)),
        ("trailing data", create(JSON, &format!("{{\"Image\":\"busybox\"}}{EVIL}"))),
        ("trailing garbage", create(JSON, "{\"Image\":\"busybox\"}x")),
        ("no type", create("", EVIL)),
        ("wrong type", create("Content-Type: text/plain\r\n", EVIL)),
        ("form", create("Content-Type: application/x-www-form-urlencoded\r\n", "a=b")),
        ("two types", create(&format!("{JSON}Content-Type: text/plain\r\n"), EVIL)),
        ("harmless, of no type", create("", r#"{"Image":"busybox"}"#)),
        ("harmless, of two types", create(&format!("{JSON}{JSON}"), r#"{"Image":"busybox"}"#)),
        ("encoded", create(&format!("{JSON}Content-Encoding: gzip\r\n"), r#"{"Image":"busybox"}"#)),
        ("another alphabet", create(&format!("{JSON}Content-Encoding: utf-7\r\n"), EVIL)),
        ("byte order mark", create(JSON, "\u{feff}{\"Image\":\"busybox\"}")),
        ("chunked", raw(&chunked, &format!("{cut}0\r\n\r\n"))),
        (
            "chunked, with a trailer",
            raw(&format!("{chunked}Trailer: X-A\r\n"), &format!("{cut}0\r\nX-A: b\r\n\r\n")),
        ),
        ("chunked, cut off", raw(&chunked, &format!("{cut}5\r\nab"))),
        ("chunked and a length", raw(&format!("{chunked}Content-Length: 2\r\n"), &format!("{cut}0\r\n\r\n"))),
        ("two lengths", raw(&format!("{JSON}Content-Length: 2\r\nContent-Length: {}\r\n", EVIL.len()), EVIL)),
        ("length 0", raw(&format!("{JSON}Content-Length: 0\r\n"), EVIL)),
        ("no length", raw(JSON, EVIL)),
        (
            "chunked twice",
            raw(&format!("{JSON}Transfer-Encoding: chunked, chunked\r\n"), &format!("{cut}0\r\n\r\n")),
        ),
        (
            "unknown transfer",
            raw(&format!("{JSON}Transfer-Encoding: xchunked\r\nContent-Length: {}\r\n", EVIL.len()), EVIL),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tricks_with_bodies_fail_closed() {
    let engines = engines(2).await;
    let guarded = Guarded::of(&engines, "").await;
    let deployer = guarded.user("dora", "deployer");
    for (trick, bytes) in tricks() {
        // No answer is one, too: the connection is closed.
        let answer = match trick.ends_with("cut off") {
            true => deployer.send_and_end(&bytes).await,
            false => deployer.send(&bytes).await,
        };
        let status = answer.as_ref().map_or(400, |a| a.status);
        assert!((400..500).contains(&status), "{trick}: {status} {:?}", answer.map(|a| a.text()));
        let made: Vec<_> = engines.iter().flat_map(|e| e.containers()).collect();
        assert!(made.is_empty(), "{trick}: {made:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_calls_have_no_way_around_either() {
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
    const JSON: &str = "Content-Type: application/json\r\n";
    let engines = engines(1).await;
    let guarded = Guarded::of(&engines, "").await;
    let deployer = guarded.user("dora", "deployer");
    deployer.post("/containers/create?name=plain", &sleeper()).await.fine();
    engines[0].forget_calls();
    let evil_host = r#"{"Privileged":true,"Binds":["/:/x"]}"#;
    for (method, path, headers, body) in [
        ("POST", "/containers/plain/start", JSON, evil_host), // read by engines before API 1.24
        ("POST", "/v1.22/containers/plain/start", JSON, evil_host),
        ("POST", "/containers/plain/start", FORM, "checkpoint=a&checkpoint-dir=/etc"),
        ("POST", "/containers/plain/start?checkpoint=a", "", ""),
        ("POST", "/containers/plain/stop", FORM, "t=1"),
        ("POST", "/containers/plain/update", JSON, r#"{"Devices":[{"PathOnHost":"/dev/sda"}]}"#),
        ("POST", "/containers/plain/exec", JSON, r#"{"Cmd":["sh"],"PRIVILEGED":true}"#),
        ("POST", "/networks/create", JSON, r#"{"Name":"a","Driver":"macvlan","Options":{"parent":"eth0"}}"#),
        ("POST", "/networks/host/connect", JSON, r#"{"Container":"plain"}"#),
        ("POST", "/networks/node-0%2Fhost/connect", JSON, r#"{"Container":"plain"}"#),
        (
            "POST",
            "/volumes/create",
            JSON,
            r#"{"Name":"v","driveropts":{"type":"none","o":"bind","device":"/"}}"#,
        ),
        ("POST", "/build?networkmode=host", "", ""),
        ("POST", "/build?networkmode=&networkmode=host", "", ""),
        ("POST", "/build", FORM, "networkmode=host"),
        ("POST", "/build", "Content-Type: multipart/form-data; boundary=a\r\n", "--a--"),
        ("POST", "/build?cgroupparent=%2Fx", "", ""),
        ("POST", "/images/create?fromImage=busybox", FORM, "fromSrc=-"),
        ("PUT", "/containers/plain/archive?path=/", FORM, "path=/etc"),
    ] {
        let answer = deployer.call(method, path, headers, body).await;
        assert!(
            matches!(answer.status, 400 | 403),
            "{method} {path} {body}: {} {}",
            answer.status,
            answer.text()
        );
    }
    let changed: Vec<_> =
        engines[0].recent_calls().into_iter().filter(|c| !c.route.starts_with("GET")).collect();
    assert!(changed.is_empty(), "{changed:?}");
    for (method, path, headers, body) in [
        ("POST", "/containers/plain/start", JSON, "{}"),
        ("POST", "/containers/plain/exec", JSON, r#"{"Cmd":["sh"]}"#),
        ("POST", "/containers/plain/update", JSON, r#"{"Memory":67108864}"#),
        ("POST", "/networks/create", JSON, r#"{"Name":"back","CheckDuplicate":true}"#),
        ("POST", "/networks/back/connect", JSON, r#"{"Container":"plain"}"#),
        ("POST", "/volumes/create", JSON, r#"{"Name":"v"}"#),
        ("POST", "/containers/plain/stop?t=0", "", ""),
        ("DELETE", "/containers/plain", "", ""),
    ] {
        let answer = deployer.call(method, path, headers, body).await;
        assert!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_deployers_are_written_anew_and_those_of_admins_are_not() {
    let engines = engines(1).await;
    let guarded = Guarded::of(&engines, "").await;
    let odd = json!({"Image": "busybox", "HostConfig": {"memory": 67_108_864, "Later": null}});
    guarded.user("dora", "deployer").post("/containers/create?name=one", &odd).await.fine();
    guarded.user("ann", "admin").post("/containers/create?name=two", &odd).await.fine();
    let host = |name: &str| engines[0].inspect(name).unwrap()["HostConfig"].clone();
    assert_eq!(host("one")["Memory"], 67_108_864);
    assert_eq!(host("two")["memory"], 67_108_864, "as it came");
    let evil = json!({"Image": "busybox", "HostConfig": {"Privileged": true, "NetworkMode": "host"}});
    guarded.user("ann", "admin").post("/containers/create?name=three", &evil).await.fine();
    assert_eq!(host("three")["Privileged"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_something_of_the_host_is_entered_by_admins_only() {
    let engines = engines(1).await;
    let guarded = Guarded::of(&engines, "").await;
    let (ann, dora, olga) =
        (guarded.user("ann", "admin"), guarded.user("dora", "deployer"), guarded.user("olga", "operator"));
    dora.post("/containers/create?name=plain", &sleeper()).await.fine();
    let powers = [
        ("privileged", json!({"Privileged": true})),
        ("network", json!({"NetworkMode": "host"})),
        ("socket", json!({"Binds": ["/var/run/docker.sock:/s"]})),
    ];
    for (name, host) in powers {
        let mut body = sleeper();
        body["HostConfig"] = host;
        ann.post(&format!("/containers/create?name={name}"), &body).await.fine();
    }
    let exec = json!({"Cmd": ["sh"]});
    for name in ["plain", "privileged", "network", "socket"] {
        ann.post(&format!("/containers/{name}/start"), &Value::Null).await;
        let session = ann.post(&format!("/containers/{name}/exec"), &exec).await.fine().json();
        let session = session["Id"].as_str().unwrap().to_string();
        let own = name == "plain";
        for person in [&dora, &olga] {
            let answers = [
                person.post(&format!("/containers/{name}/exec"), &exec).await,
                person.get(&format!("/containers/{name}/archive?path=/etc")).await,
                person.call("HEAD", &format!("/containers/{name}/archive?path=/etc"), "", "").await,
                person.get(&format!("/containers/{name}/export")).await,
            ];
            for answer in answers {
                assert_eq!(answer.status != 403, own, "{name}: {} {}", answer.status, answer.text());
            }
        }
        // Neither by a session that somebody else has made.
        let started = dora.post(&format!("/exec/{session}/start"), &json!({"Detach": true})).await;
        assert_eq!(started.status != 403, own, "{name}: {} {}", started.status, started.text());
        // Looking at it, and stopping it, is another matter.
        olga.get(&format!("/containers/{name}/json")).await.fine();
        olga.post(&format!("/containers/{name}/restart?t=0"), &json!({})).await.fine();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_says_to_be_somebody_else() {
    let engines = engines(1).await;
    let guarded = Guarded::of(&engines, "").await;
    for said in ["X-Swarmd-User: admin - ann", "X-Swarmd-User: reader - x", "X-Swarmd-Passed-On: 10.9.9.9:1"]
    {
        let headers =
            format!("{said}\r\nX-Swarmd-Passed-On: 10.9.9.9:1\r\nContent-Type: application/json\r\n");
        for who in [guarded.user("rita", "reader"), guarded.stranger()] {
            let answer =
                who.call("POST", "/containers/create?name=evil", &headers, &sleeper().to_string()).await;
            assert_eq!(answer.status, 403, "{said}");
        }
        let answer = guarded.user("ann", "admin").call("POST", "/volumes/create", &headers, "{}").await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    assert!(engines[0].containers().is_empty());
    let log = guarded.manager.log();
    assert!(log.contains("ann (admin) POST /volumes/create: 201"), "{log}");
    assert!(!log.contains("10.9.9.9"), "{log}");
}

/// Lines of the audit.
fn records(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("RESULT=")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_on_record_without_secrets() {
    let engines = engines(2).await;
    for level in ["info", "debug"] {
        let guarded = Guarded::of(&engines, &format!("[log]\nlevel = \"{level}\"\n")).await;
        let (dora, rita) = (guarded.user("dora", "deployer"), guarded.user("rita", "reader"));
        let mut body = sleeper();
        body["Env"] = json!(["PASSWORD=CANARY-env"]);
        let secret = "X-Registry-Auth: CANARY-auth\r\nX-Registry-Config: CANARY-config\r\nAuthorization: CANARY-bearer\r\n\
                      Content-Type: application/json\r\n";
        let name = format!("web-{level}");
        let create = format!("/containers/create?name={name}");
        let answer = dora.call("POST", &create, secret, &body.to_string()).await.fine();
        let id = answer.header("x-request-id").expect("an ID of the request").to_string();
        let calls = [
            ("POST", "/images/create?fromImage=busybox&tag=latest".to_string(), ""),
            ("POST", "/images/create?fromImage=CANARYless:missing".to_string(), ""),
            (
                "POST",
                "/build?buildargs=%7B%22P%22%3A%22CANARY-arg%22%7D&remote=https://u:CANARY-url@h/"
                    .to_string(),
                "",
            ),
            ("POST", "/images/busybox/push".to_string(), ""),
            ("GET", "/distribution/busybox/json".to_string(), ""),
            ("GET", "/images/search?term=a".to_string(), ""),
            ("POST", "/auth".to_string(), r#"{"username":"u","password":"CANARY-password"}"#),
            ("POST", "/auth".to_string(), r#"{"username":"u","password":"CANARY-password"#),
            ("POST", "/auth".to_string(), r#"{"username":"u","password":{"a":"CANARY-password"}}"#),
            (
                "POST",
                create.clone(),
                r#"{"Env":["CANARY-env"],"HostConfig":{"SecurityOpt":["CANARY-profile"]}}"#,
            ),
            ("POST", create, r#"{"Env":"CANARY-env","HostConfig":7}"#),
            ("POST", format!("/containers/{name}/exec"), r#"{"Cmd":["sh"],"Env":["CANARY-env"]}"#),
            ("POST", "/session".to_string(), ""),
        ];
        for (method, path, body) in &calls {
            let answer = dora.call(method, path, secret, body).await;
            assert!(!answer.text().contains("CANARY-"), "{path}: {}", answer.text());
            let returned = answer.headers.iter().any(|(_, value)| value.contains("CANARY-"));
            assert!(!returned, "{path}: {:?}", answer.headers);
        }
        // What admins send is not looked at, and not told of either.
        let ann = guarded.user("ann", "admin");
        for (method, path, body) in &calls {
            ann.call(method, path, secret, body).await;
        }
        rita.call("DELETE", &format!("/containers/{name}?force=1"), "", "").await;
        guarded.local("DELETE", &format!("/containers/{name}?force=1"), "").await.fine();
        let log = until("the last record", async || {
            let log = guarded.manager.log();
            log.contains("ROLE=\"trusted\"").then_some(log)
        })
        .await;
        assert!(!log.contains("CANARY-"), "{:?}", log.lines().find(|l| l.contains("CANARY-")));
        let records = records(&log);
        let one = |words: &[&str]| {
            let found = records.iter().filter(|r| words.iter().all(|w| r.contains(w))).count();
            assert_eq!(found, 1, "{words:?} in {records:#?}");
        };
        one(&[
            &id,
            "USER=\"dora\"",
            "ROLE=\"deployer\"",
            "PEER=127.0.0.1:",
            "METHOD=POST",
            "RESULT=201",
            "NODE=\"node-",
        ]);
        one(&[
            "USER=\"rita\"",
            "ROLE=\"reader\"",
            "METHOD=DELETE",
            "RESULT=403",
            &format!("OBJECT=/containers/{name}"),
        ]);
        one(&["USER=\"-\"", "PEER=unix", "METHOD=DELETE", "RESULT=204"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_open_what_they_name() {
    let engines = engines(1).await;
    let more = "[access]\nreader-logs = true\ndeployer-allow = [\"host-network\"]\ndeployer-binds = [\"/srv/data\"]\n";
    let guarded = Guarded::of(&engines, more).await;
    let (dora, rita) = (guarded.user("dora", "deployer"), guarded.user("rita", "reader"));
    let with = |host: Value| {
        let mut body = sleeper();
        body["HostConfig"] = host;
        body
    };
    let create = async |host: Value| dora.post("/containers/create", &with(host)).await.status;
    assert_eq!(create(json!({"NetworkMode": "host"})).await, 201);
    assert_eq!(create(json!({"Binds": ["/srv/data:/a"]})).await, 201);
    assert_eq!(create(json!({"Binds": ["/srv/data/a:/a"]})).await, 403);
    assert_eq!(create(json!({"PidMode": "host"})).await, 403);
    assert_eq!(create(json!({"Binds": ["/srv/database:/a"]})).await, 403);
    dora.post("/containers/create?name=web", &sleeper()).await.fine();
    assert_eq!(rita.get("/containers/web/logs?stdout=1").await.status, 200);
    assert_eq!(rita.post("/containers/web/attach?stream=1", &Value::Null).await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_cannot_take_everything() {
    let engines = engines(1).await;
    let more = "[limits]\nrequests-per-second = 1\nburst = 20\nstrangers-per-second = 1\nconnections-per-client = 8\n\
                headers = 20\nheader-bytes = 8192\n";
    let guarded = Guarded::of(&engines, more).await;
    let rita = guarded.user("rita", "reader");
    let all = async |person: &Person| {
        let mut answers = Vec::new();
        for _ in 0..30 {
            answers.push(person.get("/_ping").await);
        }
        answers.into_iter().filter(|a| a.status == 429).collect::<Vec<_>>()
    };
    let turned_away = all(&rita).await;
    assert!(!turned_away.is_empty());
    assert!(turned_away.iter().all(|a| a.header("retry-after").is_some()));
    assert_eq!(guarded.user("otto", "reader").get("/_ping").await.status, 200, "others have their own");
    assert!(!all(&guarded.stranger()).await.is_empty());
    for _ in 0..40 {
        assert_eq!(guarded.local("GET", "/_ping", "").await.status, 200, "never on the unix socket");
    }
    let otto = guarded.user("otto", "reader");
    let many = (0..30).map(|i| format!("X-A{i}: b\r\n")).collect::<String>();
    assert_eq!(otto.call("GET", "/_ping", &many, "").await.status, 431);
    let long = format!("X-A: {}\r\n", "b".repeat(20_000));
    assert_eq!(otto.call("GET", "/_ping", &long, "").await.status, 431);
    // Those over the limit get no handshake.
    let held = join_all((0..20).map(|_| otto.connect())).await;
    let open = held.iter().filter(|c| c.is_ok()).count();
    assert!((1..=8).contains(&open), "{open}");
}
