//! The table held against the routes of the Engine API.

use super::*;

/// Every route of the Engine API, 1.24 to 1.55.
const ENGINE_API: &str = "
    GET /_ping
    HEAD /_ping
    GET /version
    GET /info
    GET /events
    GET /system/df
    POST /auth
    GET /containers/json
    POST /containers/create
    POST /containers/prune
    GET /containers/{name}/json
    GET /containers/{name}/top
    GET /containers/{name}/logs
    GET /containers/{name}/changes
    GET /containers/{name}/export
    GET /containers/{name}/stats
    GET /containers/{name}/attach/ws
    GET /containers/{name}/archive
    HEAD /containers/{name}/archive
    PUT /containers/{name}/archive
    POST /containers/{name}/resize
    POST /containers/{name}/start
    POST /containers/{name}/stop
    POST /containers/{name}/restart
    POST /containers/{name}/kill
    POST /containers/{name}/update
    POST /containers/{name}/rename
    POST /containers/{name}/pause
    POST /containers/{name}/unpause
    POST /containers/{name}/attach
    POST /containers/{name}/wait
    POST /containers/{name}/exec
    POST /containers/{name}/copy
    DELETE /containers/{name}
    GET /containers/{name}/checkpoints
    POST /containers/{name}/checkpoints
    DELETE /containers/{name}/checkpoints/{id}
    POST /exec/{id}/start
    POST /exec/{id}/resize
    GET /exec/{id}/json
    POST /commit
    GET /images/json
    GET /images/search
    GET /images/get
    GET /images/{name}/json
    GET /images/{name}/history
    GET /images/{name}/get
    GET /images/{name}/attestations
    POST /images/create
    POST /images/load
    POST /images/prune
    POST /images/{name}/push
    POST /images/{name}/tag
    DELETE /images/{name}
    GET /distribution/{name}/json
    POST /build
    POST /build/prune
    POST /build/cancel
    POST /session
    POST /grpc
    GET /networks
    GET /networks/
    GET /networks/{name}
    POST /networks/create
    POST /networks/prune
    POST /networks/{name}/connect
    POST /networks/{name}/disconnect
    DELETE /networks/{name}
    GET /volumes
    GET /volumes/{name}
    POST /volumes/create
    POST /volumes/prune
    PUT /volumes/{name}
    DELETE /volumes/{name}
    GET /plugins
    GET /plugins/privileges
    GET /plugins/{name}/json
    POST /plugins/pull
    POST /plugins/create
    POST /plugins/{name}/enable
    POST /plugins/{name}/disable
    POST /plugins/{name}/push
    POST /plugins/{name}/upgrade
    POST /plugins/{name}/set
    DELETE /plugins/{name}
    GET /swarm
    GET /swarm/unlockkey
    POST /swarm/init
    POST /swarm/join
    POST /swarm/leave
    POST /swarm/update
    POST /swarm/unlock
    GET /nodes
    GET /nodes/{id}
    DELETE /nodes/{id}
    POST /nodes/{id}/update
    GET /services
    GET /services/{id}
    POST /services/create
    POST /services/{id}/update
    DELETE /services/{id}
    GET /services/{id}/logs
    GET /tasks
    GET /tasks/{id}
    GET /tasks/{id}/logs
    GET /secrets
    GET /secrets/{id}
    POST /secrets/create
    POST /secrets/{id}/update
    DELETE /secrets/{id}
    GET /configs
    GET /configs/{id}
    POST /configs/create
    POST /configs/{id}/update
    DELETE /configs/{id}
";

/// What only a manager has, and `/containers/ps` of the oldest clients.
const OURS: [&str; 5] =
    ["/containers/ps", "/clusters", "/clusters/{id}", "/v1/clusters", "/v1/clusters/{id}"];

fn engine_api() -> impl Iterator<Item = (&'static str, &'static str)> {
    ENGINE_API.lines().map(str::trim).filter_map(|line| line.split_once(' '))
}

fn route(method: &str, path: &str) -> Option<Route> {
    let path: Vec<String> = path.split('/').skip(1).map(String::from).collect();
    find(&method.parse().unwrap(), &path)
}

fn answer(method: &str, path: &str) -> Option<(Answer, String)> {
    route(method, path).map(|r| (r.answer, r.name))
}

#[test]
fn every_route_of_the_engine_api_is_decided_by_its_own_line() {
    for (method, pattern) in engine_api() {
        let path = pattern.replace("{name}", "some").replace("{id}", "thing");
        let line =
            TABLE.iter().find(|(methods, p, _, _)| methods.split(' ').any(|m| m == method) && *p == pattern);
        let found = route(method, &path).map(|r| r.answer);
        assert!(line.is_some(), "no line for {method} {pattern}");
        assert_eq!(found, line.map(|l| l.3), "{method} {path} falls to another line");
    }
}

#[test]
fn every_line_is_a_route_of_the_engine_api_or_named_as_ours() {
    for (methods, pattern, _, _) in TABLE {
        for method in methods.split(' ') {
            let known = engine_api().any(|(m, p)| m == method && p == *pattern);
            let ours = OURS.contains(pattern) || pattern.starts_with("/swarmd/v1/");
            assert!(known || ours, "{method} {pattern}");
        }
    }
}

#[test]
fn strangers_reach_the_registry_and_joining_and_nothing_else() {
    for (_, pattern, class, _) in TABLE {
        let registry = pattern.trim_start_matches("/v1").starts_with("/clusters");
        assert_eq!(class.takes_strangers(), registry || *pattern == "/swarmd/v1/join", "{pattern}");
    }
}

#[test]
fn names_may_hold_slashes_wherever_nodes_or_registries_do() {
    for (method, pattern) in engine_api().filter(|(_, p)| p.contains("{name}")) {
        let found = route(method, &pattern.replace("{name}", "pi1/some").replace("{id}", "thing"));
        assert_eq!(found.map(|r| r.name).as_deref(), Some("pi1/some"), "{method} {pattern}");
    }
}

#[test]
fn our_own_pages_take_names_as_they_are() {
    let page = |page, name: &str| Some((Swarmd(page), name.to_string()));
    assert_eq!(answer("GET", "/swarmd/v1/nodes"), page(Page::Nodes, ""));
    assert_eq!(answer("POST", "/swarmd/v1/nodes/pi1/pause"), page(Page::Pause, "pi1"));
    assert_eq!(answer("GET", "/swarmd/v1/nodes/pi1/pause"), None);
    assert_eq!(answer("GET", "/swarmd/v1/nodes/pi1/web"), None);
    assert_eq!(answer("GET", "/swarmd/v1/nodes/"), None);
    assert_eq!(answer("GET", "/swarmd/v1/containers/pi1/web/explain"), page(Page::Explain, "pi1/web"));
    let socket = ["swarmd", "v1", "nodes", "unix:///run/docker.sock"].map(String::from);
    let found = find(&Method::DELETE, &socket).map(|r| (r.answer, r.name));
    assert_eq!(found, page(Page::NodeRemove, "unix:///run/docker.sock"));
}

#[test]
fn nothing_of_swarm_mode_reaches_an_engine() {
    for (method, pattern) in engine_api() {
        let first = pattern.split('/').nth(1).unwrap_or_default();
        if ["swarm", "nodes", "services", "tasks", "secrets", "configs"].contains(&first) {
            let found = route(method, &pattern.replace("{id}", "x")).unwrap().answer;
            let wanted = if method == "POST" && first == "swarm" {
                Refusal::NotInCluster
            } else {
                Refusal::NoSwarmMode
            };
            assert_eq!(found, Refused(wanted), "{method} {pattern}");
        }
    }
}

#[test]
fn fixed_words_beat_names_and_names_may_hold_them() {
    let owner = |what, name: &str| Some((Owner(what), name.to_string()));
    assert_eq!(answer("GET", "/containers/json"), Some((View(Lists::Containers), String::new())));
    assert_eq!(answer("GET", "/containers/json/json"), owner(One::Inspect, "json"));
    assert_eq!(answer("GET", "/containers/attach/logs"), owner(One::Pass, "attach"));
    assert_eq!(answer("GET", "/images/reg:5000/a/b/json"), owner(One::Image, "reg:5000/a/b"));
    assert_eq!(
        answer("DELETE", "/images/docker.io/library/x"),
        Some((Everywhere(Many::RemoveImage), "docker.io/library/x".into()))
    );
    let ws = route("GET", "/containers/pi1/x/attach/ws").unwrap();
    assert_eq!((ws.name.as_str(), ws.action.as_str()), ("pi1/x", "attach/ws"));
    let checkpoint = route("DELETE", "/containers/x/checkpoints/one").unwrap();
    assert_eq!((checkpoint.name.as_str(), checkpoint.action.as_str()), ("x", "checkpoints/one"));
    assert_eq!(answer("POST", "/v1/clusters").unwrap().0, Here(Manager::Registry));
}

#[test]
fn other_methods_and_odd_paths_are_no_pages() {
    for (method, path) in [
        ("POST", "/containers/json"),
        ("POST", "/exec/../start"),
        ("GET", "/distribution/../swarm/json"),
        ("DELETE", "/containers"),
        ("GET", "/containers//json"),
        ("DELETE", "/containers/../images/x"),
        ("GET", "/containers/json/"),
        ("GET", "/volumes/"),
        ("GET", "/exec/a/b/json"),
        ("GET", "/nodes/a/b"),
        ("GET", "/debug/vars"),
        ("GET", "/debug/pprof/heap"),
        ("GET", "/nonsense"),
        ("GET", "/grpc"),
        ("POST", "/session/x"),
        ("GET", "/"),
    ] {
        assert_eq!(route(method, path), None, "{method} {path}");
    }
}

#[test]
fn an_encoded_slash_is_part_of_a_name_and_leads_nowhere_else() {
    let answer = |path: [&str; 3]| find(&Method::GET, &path.map(String::from)).map(|r| (r.answer, r.name));
    let inspect = |name: &str| Some((Owner(One::Inspect), name.to_string()));
    assert_eq!(answer(["containers", "pi1/web", "json"]), inspect("pi1/web"));
    assert_eq!(answer(["containers", "/web", "json"]), inspect("web"));
    assert_eq!(answer(["images", "/web", "json"]), None);
    assert_eq!(answer(["exec", "a/b", "json"]), None);
    for name in ["a/../b", "a/..", "../b", "a//b", "a/", "/", "//a", "./a", "/../a"] {
        for kind in ["containers", "exec", "images", "networks", "volumes", "distribution"] {
            assert_eq!(answer([kind, name, "json"]), None, "{kind} {name}");
        }
    }
}

/// Who may use what, as people read it. `tests/cluster/access` holds it against the program.
const ROLES: &str = include_str!("../../tests/cluster/access/roles.txt");

#[test]
fn every_line_stands_in_the_table_of_roles_once() {
    let mut listed: Vec<(&str, &str)> = ROLES
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert!(words.len() == 6 && words[2..].iter().all(|w| matches!(*w, "yes" | "-")), "{line}");
            (words[0], words[1])
        })
        .collect();
    let mut lines: Vec<(&str, &str)> = TABLE
        .iter()
        .flat_map(|(methods, pattern, _, _)| methods.split(' ').map(move |method| (method, *pattern)))
        .collect();
    listed.sort_unstable();
    lines.sort_unstable();
    assert_eq!(listed, lines);
}

#[test]
fn pages_about_certificates_are_answered_by_any_manager() {
    for (_, pattern, _, answer) in TABLE {
        let Some(page) = pattern.strip_prefix("/swarmd/v1/") else { continue };
        let first = page.split('/').next().unwrap_or_default();
        let about = matches!(first, "join" | "renew" | "trust" | "authority" | "tokens" | "pki" | "users");
        let Swarmd(page) = answer else { panic!("{pattern}") };
        assert_eq!(page.is_pki(), about, "{pattern}");
        assert!(!about || answer.is_anyones(), "{pattern}");
    }
}
